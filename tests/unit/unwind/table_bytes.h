// Unwind tables written by hand, byte by byte, for the tests of what reads them.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "core/unwind/code_bytes.h"
#include "core/unwind/frame_entry.h"

namespace prof {

class TableBytes {
 public:
  TableBytes() = default;
  TableBytes(std::initializer_list<unsigned> bytes) {
    for (const unsigned byte : bytes) u8(byte);
  }

  TableBytes& number(uint64_t value, unsigned width) {
    for (unsigned i = 0; i < width; ++i) bytes_.push_back(static_cast<unsigned char>(value >> (8 * i)));
    return *this;
  }
  TableBytes& u8(uint64_t value) { return number(value, 1); }
  TableBytes& u32(uint64_t value) { return number(value, 4); }
  TableBytes& append(const TableBytes& other) {
    bytes_.insert(bytes_.end(), other.bytes_.begin(), other.bytes_.end());
    return *this;
  }
  uint64_t size() const { return bytes_.size(); }
  const std::vector<unsigned char>& bytes() const { return bytes_; }

 private:
  std::vector<unsigned char> bytes_;
};

// Bytes as an object's whole mapping, and what reads them.
class TableObject {
 public:
  explicit TableObject(const TableBytes& content, uint64_t header_at = 0)
      : content_(content.bytes()), copied_(false), direct_(true) {
    const auto start = reinterpret_cast<uint64_t>(content_.data());
    object_ = {start, start + content_.size(), start + header_at};
    direct_.set_object(object_);
    copied_.set_object(object_);
  }
  TableObject(const TableObject&) = delete;
  TableObject& operator=(const TableObject&) = delete;

  CodeBytes* direct() { return &direct_; }
  CodeBytes* copied() { return &copied_; }
  uint64_t start() const { return object_.start; }
  uint64_t end() const { return object_.end; }
  ByteRange all() const { return {object_.start, object_.end}; }

 private:
  const std::vector<unsigned char> content_;
  CodeObject object_;
  CodeBytes copied_;
  CodeBytes direct_;
};

// .eh_frame_hdr, code, and .eh_frame with one CIE, as an object. What a test is about it changes before object().
struct TableWriter {
  struct Function {
    uint64_t start;  // offset in the object
    uint64_t bytes;
    TableBytes program;
  };
  static constexpr uint64_t kCodeAt = 256;
  static constexpr uint64_t kCodeBytes = 1024;
  static constexpr uint64_t kFrameAt = kCodeAt + kCodeBytes;

  std::vector<Function> functions;  // sorted
  TableBytes header = {1, 0x1b, 0x03, 0x3b};
  uint64_t count_beyond = 0;
  uint64_t cie_id = 0;
  TableBytes cie = {1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b};  // version, augmentation, factors, return column, data
  TableBytes cie_program = {0x0c, 7, 8, 0x90, 1};           // CFA = rsp + 8; return address at CFA - 8
  unsigned pointer_bytes = 4;
  bool has_data = true;
  uint64_t length_beyond = 0;  // of the last entry
  TableBytes code;             // what is at kCodeAt

  std::unique_ptr<TableObject> object() const {
    TableBytes frame;
    frame.u32(4 + cie.size() + cie_program.size()).u32(cie_id).append(cie).append(cie_program);
    TableBytes all = header;
    all.u32(kFrameAt - 4).u32(functions.size() + count_beyond);
    for (const Function& function : functions) {
      all.u32(function.start).u32(kFrameAt + frame.size());
      TableBytes entry;
      entry.u32(frame.size() + 4);  // back to the CIE
      entry.number(function.start - (kFrameAt + frame.size() + 8), pointer_bytes).number(function.bytes, pointer_bytes);
      if (has_data) entry.u8(0);
      entry.append(function.program);
      frame.u32(entry.size() + (&function == &functions.back() ? length_beyond : 0)).append(entry);
    }
    while (all.size() < kCodeAt) all.u8(0);
    all.append(code);
    while (all.size() < kFrameAt) all.u8(0x90);
    return std::make_unique<TableObject>(all.append(frame));
  }
};

}  // namespace prof
