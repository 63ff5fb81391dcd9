// Tables with one function, whose call frame programs and expressions are made of random instructions, or of random bytes. The
// buffer is of just their size, and the entry is its last part: what reads beyond a program reads beyond the buffer.
#include <algorithm>
#include <memory>
#include <vector>

#include "core/unwind/cfi_row.h"
#include "core/unwind/expression_value.h"
#include "tests/fuzz/fuzz.h"

namespace prof::fuzz {
namespace {

constexpr uint64_t kCodeBytes = 4096;

class Bytes {
 public:
  explicit Bytes(Random* random) : random_(random) {}

  void number(uint64_t value, unsigned width) {
    for (unsigned i = 0; i < width; ++i) bytes_.push_back(static_cast<unsigned char>(i < 8 ? value >> (8 * i) : 0));
  }
  void u8(uint64_t value) { number(value, 1); }
  // Signed and unsigned ones look alike. One in many is longer than it may be.
  void leb128(uint64_t value) {
    while (value >= 0x80) {
      u8(value | 0x80);
      value >>= 7;
    }
    u8(value);
    if (!random_->one_in(64)) return;
    bytes_.back() |= 0x80;
    for (uint64_t i = random_->below(12); i > 0; --i) u8(0x80);
  }
  void odd_leb128() { leb128(random_->odd_number()); }
  void register_number() { leb128(random_->one_in(8) ? random_->odd_number() : random_->below(18)); }
  void append(const std::vector<unsigned char>& other) { bytes_.insert(bytes_.end(), other.begin(), other.end()); }
  std::vector<unsigned char> take() { return std::move(bytes_); }
  size_t size() const { return bytes_.size(); }

 private:
  Random* const random_;
  std::vector<unsigned char> bytes_;
};

std::vector<unsigned char> expression(Random* random) {
  constexpr uint64_t kPopular[] = {0x06, 0x12, 0x13, 0x1a, 0x1c, 0x1e, 0x21, 0x22, 0x24, 0x25, 0x27, 0x2a, 0x96};
  Bytes bytes(random);
  for (uint64_t i = random->below(random->one_in(16) ? 600 : 12); i > 0; --i) {
    switch (random->below(8)) {
      case 0:
      case 1:
        bytes.u8(random->one_of({0x70u + 6, 0x70u + 7, 0x70u + 16, 0x70u}));
        bytes.leb128(random->one_in(2) ? random->below(64) : random->odd_number());
        break;
      case 2:
        bytes.u8(0x30 + random->below(32));
        break;
      case 3: {
        const uint64_t width = random->below(8);
        bytes.u8(0x08 + width);
        bytes.number(random->odd_number(), 1u << width / 2);
        break;
      }
      case 4:
        bytes.u8(random->one_of({0x10u, 0x11u, 0x23u}));
        bytes.odd_leb128();
        break;
      case 5:
        bytes.u8(random->next());
        break;
      default:
        bytes.u8(random->one_of(kPopular));
    }
  }
  return bytes.take();
}

std::vector<unsigned char> program(Random* random) {
  Bytes bytes(random);
  for (uint64_t i = random->below(random->one_in(2000) ? 100'000 : 24); i > 0; --i) {
    switch (random->below(8)) {
      case 0:
        bytes.u8(0x40 | random->below(64));
        break;
      case 1:
        bytes.u8((random->one_in(2) ? 0x80 : 0xc0) | (random->one_in(4) ? random->below(64) : random->one_of({6, 16})));
        bytes.leb128(random->one_in(4) ? random->odd_number() : random->below(8));
        break;
      case 2: {
        const uint64_t how = random->below(3);
        bytes.u8(2 + how);
        bytes.number(random->one_in(4) ? random->odd_number() : random->below(200), 1u << how);
        break;
      }
      case 3:
        bytes.u8(random->one_of({0x0c, 0x12}));
        bytes.leb128(random->one_of({6, 7, 10}));
        bytes.leb128(random->one_in(4) ? random->odd_number() : random->below(64));
        break;
      case 4: {
        const bool is_cfa = random->one_in(2);
        bytes.u8(is_cfa ? 0x0f : random->one_of({0x10, 0x16}));
        if (!is_cfa) bytes.register_number();
        const std::vector<unsigned char> body = expression(random);
        bytes.leb128(random->one_in(16) ? random->odd_number() : body.size());
        bytes.append(body);
        break;
      }
      case 5:
        bytes.u8(random->one_of({0x0a, 0x0b}));
        break;
      case 6:
        bytes.u8(random->one_of({0x05, 0x06, 0x07, 0x08, 0x09, 0x0d, 0x0e, 0x11, 0x13, 0x14, 0x15, 0x2e, 0x2f}));
        bytes.register_number();
        bytes.odd_leb128();
        break;
      default:
        bytes.u8(random->one_in(2) ? 0 : random->next());
    }
  }
  return bytes.take();
}

std::vector<unsigned char> random_bytes(Random* random) {
  std::vector<unsigned char> bytes(random->below(200));
  for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random->next());
  return bytes;
}

std::vector<unsigned char> some_program(Random* random) {
  return random->one_in(8) ? random_bytes(random) : program(random);
}

// Something in an object of its own, to its last byte.
struct Object {
  explicit Object(const std::vector<unsigned char>& bytes) : data(new unsigned char[bytes.size() + 1]) {
    // One byte more in front: an empty one is no object otherwise.
    data[0] = 0;
    std::copy(bytes.begin(), bytes.end(), data.get() + 1);
    start = reinterpret_cast<uint64_t>(data.get()) + 1;
    object = {start - 1, start + bytes.size(), start};
  }
  const std::unique_ptr<unsigned char[]> data;
  uint64_t start;
  CodeObject object;
};

void check_expression(Random* random) {
  const Object at(random->one_in(8) ? random_bytes(random) : expression(random));
  CodeBytes bytes(random->one_in(2));
  bytes.set_object(at.object);
  bool depends_on_pc = false;
  value_of_expression(&bytes, {at.start, at.object.end}, random->next(), &depends_on_pc);
}

void check_program(Random* random) {
  const Object at(some_program(random));
  CodeBytes bytes(random->one_in(2));
  bytes.set_object(at.object);
  FrameEntry entry;
  entry.code = {0x10'0000, 0x10'0000 + kCodeBytes};
  const uint64_t middle = at.start + random->below(at.object.end - at.start + 1);
  entry.initial_instructions = {at.start, middle};
  entry.instructions = {middle, at.object.end};
  entry.code_factor = random->one_in(4) ? random->odd_number() : 1;
  entry.data_factor = static_cast<int64_t>(random->one_in(4) ? random->odd_number() : uint64_t{0} - 8);
  entry.return_column = random->one_in(4) ? random->below(20) : 16;
  entry.pointer_encoding = static_cast<uint8_t>(random->next());
  const uint64_t address = entry.code.start + random->below(kCodeBytes);
  CfiRow row;
  if (!find_cfi_row(&bytes, entry, address, &row)) return;
  if (address < row.code.start || address >= row.code.end || row.code.start < entry.code.start ||
      row.code.end > entry.code.end) {
    fail("the row of +%#lx is +%#lx to +%#lx", address - entry.code.start, row.code.start - entry.code.start,
         row.code.end - entry.code.start);
  }
}

// A header with one entry in its table, then a CIE and the entry.
void check_tables(Random* random) {
  constexpr uint64_t kHeaderBytes = 20;
  const bool has_data = !random->one_in(8);
  Bytes cie(random);
  cie.number(0, 4);
  cie.u8(random->one_in(16) ? random->next() : random->one_of({1, 3}));
  if (has_data) cie.u8('z');
  for (uint64_t i = has_data ? random->below(random->one_in(8) ? 9 : 4) : 0; i > 0; --i) {
    cie.u8(random->one_in(16) ? random->next() : static_cast<unsigned>(random->one_of({'R', 'P', 'L', 'S', 'B'})));
  }
  cie.u8(0);
  cie.leb128(random->one_in(8) ? random->odd_number() : 1);
  cie.leb128(random->one_in(8) ? random->odd_number() : 0x78);  // -8
  cie.leb128(random->one_in(8) ? random->below(20) : 16);
  if (has_data) {
    constexpr uint64_t kEncodings[] = {0x1b, 0x00, 0x03, 0x0b, 0x1c, 0x01, 0x09, 0x9b, 0xff, 0x3b};
    Bytes data(random);
    for (uint64_t i = random->below(5); i > 0; --i) {
      data.u8(random->one_in(16) ? random->next() : random->one_of(kEncodings));
      if (random->one_in(2)) data.number(random->next(), 4);
    }
    cie.leb128(random->one_in(16) ? random->odd_number() : data.size());
    cie.append(data.take());
  }
  cie.append(some_program(random));

  Bytes entry(random);
  entry.number(random->one_in(16) ? random->odd_number() : cie.size() + 8, 4);
  const unsigned width = random->one_of({4u, 4u, 8u, 2u});
  // Relative to itself, the code begins a few bytes before or behind.
  entry.number(random->below(64) - 32, width);
  entry.number(random->one_in(8) ? random->odd_number() : random->below(kCodeBytes), width);
  if (has_data) entry.leb128(random->one_in(16) ? random->odd_number() : 0);
  entry.append(some_program(random));

  const uint64_t entry_at = kHeaderBytes + 4 + cie.size();
  Bytes all(random);
  all.number(0x3b031b01, 4);
  all.number(16, 4);
  all.number(random->one_in(16) ? random->odd_number() : 1, 4);
  all.number(random->one_in(4) ? random->odd_number() : 0, 4);
  all.number(entry_at, 4);
  all.number(random->one_in(16) ? random->odd_number() : cie.size(), 4);
  all.append(cie.take());
  all.number(random->one_in(16) ? random->odd_number() : entry.size(), 4);
  all.append(entry.take());

  const Object at(all.take());
  for (int i = 0; i < 8; ++i) {
    uint64_t lookup = at.start + entry_at + random->below(kCodeBytes);
    if (random->one_in(2)) lookup = at.start + entry_at + 8 + random->below(40) - 20;
    checked_rule(at.object, random->one_in(2) ? lookup : lookup + 1, lookup);
  }
}

}  // namespace

void programs_round(Random* random) {
  for (int i = 0; i < 100; ++i) {
    check_expression(random);
    check_program(random);
    check_tables(random);
  }
}

}  // namespace prof::fuzz
