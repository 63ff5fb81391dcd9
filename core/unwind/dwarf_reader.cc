#include "core/unwind/dwarf_reader.h"

namespace prof {
namespace {

// Pointer encodings: the format in the low four bits, what it is relative to in the next three.
constexpr uint8_t kFormat = 0x0f;
constexpr uint8_t kRelativeTo = 0x70;
constexpr uint8_t kIndirect = 0x80;
enum Format : uint8_t {
  kAbsolute = 0x00,
  kUleb128,
  kUdata2,
  kUdata4,
  kUdata8,
  kSleb128 = 0x09,
  kSdata2,
  kSdata4,
  kSdata8
};
enum RelativeTo : uint8_t { kNothing = 0x00, kItself = 0x10, kData = 0x30 };

}  // namespace

uint64_t DwarfReader::uleb128() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const uint8_t byte = u8();
    value |= uint64_t{byte & 0x7fu} << shift;
    if ((byte & 0x80) == 0) return value;
  }
  fail();
  return 0;
}

int64_t DwarfReader::sleb128() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const uint8_t byte = u8();
    value |= uint64_t{byte & 0x7fu} << shift;
    if ((byte & 0x80) != 0) continue;
    if ((byte & 0x40) != 0 && shift + 7 < 64) value |= ~uint64_t{0} << (shift + 7);
    return static_cast<int64_t>(value);
  }
  fail();
  return 0;
}

uint64_t DwarfReader::pointer(uint8_t encoding, uint64_t data_base) {
  const uint64_t itself = at_;
  uint64_t value = 0;
  switch (encoding & kFormat) {
    case kAbsolute:
    case kUdata8:
    case kSdata8:
      value = number<uint64_t>();
      break;
    case kUleb128:
      value = uleb128();
      break;
    case kUdata2:
      value = number<uint16_t>();
      break;
    case kUdata4:
      value = number<uint32_t>();
      break;
    case kSleb128:
      value = static_cast<uint64_t>(sleb128());
      break;
    case kSdata2:
      value = static_cast<uint64_t>(int64_t{number<int16_t>()});
      break;
    case kSdata4:
      value = static_cast<uint64_t>(int64_t{number<int32_t>()});
      break;
    default:
      fail();
      return 0;
  }
  switch (encoding & kRelativeTo) {
    case kNothing:
      break;
    case kItself:
      value += itself;
      break;
    case kData:
      value += data_base;
      break;
    default:
      fail();
      return 0;
  }
  // Only a personality routine is given indirectly, and that is skipped unread.
  if ((encoding & kIndirect) != 0) fail();
  return ok_ ? value : 0;
}

}  // namespace prof
