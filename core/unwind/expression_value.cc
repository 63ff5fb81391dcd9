#include "core/unwind/expression_value.h"

#include <optional>

#include "core/unwind/dwarf_reader.h"
#include "core/unwind/machine.h"

namespace prof {
namespace {

using Of = ExpressionValue::Of;

// DWARF 5, 7.7.1: those that call frame information uses in practice.
enum Operation : uint8_t {
  kDeref = 0x06,
  kConst1u = 0x08,
  kConst1s,
  kConst2u,
  kConst2s,
  kConst4u,
  kConst4s,
  kConst8u,
  kConst8s,
  kConstu,
  kConsts,
  kDup,
  kDrop,
  kAnd = 0x1a,
  kMinus = 0x1c,
  kMul = 0x1e,
  kOr = 0x21,
  kPlus,
  kPlusUconst,
  kShl,
  kShr,
  kXor = 0x27,
  kEq = 0x29,
  kGe,
  kGt,
  kLe,
  kLt,
  kNe,
  kLit0 = 0x30,
  kLit31 = 0x4f,
  kBreg0 = 0x70,
  kBreg31 = 0x8f,
  kNop = 0x96,
};
constexpr unsigned kMaxValues = 16;
constexpr unsigned kMaxOperations = 256;

ExpressionValue constant(uint64_t value) { return {Of::constant, static_cast<int64_t>(value), 0}; }

// Wraps around, as the machine's addition does.
int64_t sum(int64_t a, int64_t b) { return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b)); }

ExpressionValue memory_at(const ExpressionValue& address) {
  if (address.of == Of::sp) return {Of::memory_at_sp, 0, address.offset};
  if (address.of == Of::bp) return {Of::memory_at_bp, 0, address.offset};
  return {};
}

ExpressionValue plus(const ExpressionValue& a, const ExpressionValue& b) {
  if (a.of != Of::unknown && b.of == Of::constant) return {a.of, sum(a.offset, b.offset), a.inner};
  if (a.of == Of::constant && b.of != Of::unknown) return {b.of, sum(a.offset, b.offset), b.inner};
  return {};
}

std::optional<uint64_t> of_constants(uint8_t operation, int64_t a, int64_t b) {
  const auto x = static_cast<uint64_t>(a);
  const auto y = static_cast<uint64_t>(b);
  switch (operation) {
    case kAnd:
      return x & y;
    case kOr:
      return x | y;
    case kXor:
      return x ^ y;
    case kMul:
      return x * y;
    case kShl:
      return y < 64 ? x << y : 0;
    case kShr:
      return y < 64 ? x >> y : 0;
    case kEq:
      return a == b;
    case kGe:
      return a >= b;
    case kGt:
      return a > b;
    case kLe:
      return a <= b;
    case kLt:
      return a < b;
    case kNe:
      return a != b;
    default:
      return std::nullopt;
  }
}

class Stack {
 public:
  bool push(const ExpressionValue& value) {
    if (count_ == kMaxValues) return false;
    values_[count_++] = value;
    return true;
  }
  // Of an empty one: unknown.
  ExpressionValue pop() { return count_ == 0 ? ExpressionValue{} : values_[--count_]; }

 private:
  ExpressionValue values_[kMaxValues];
  unsigned count_ = 0;
};

std::optional<uint64_t> literal(uint8_t operation, DwarfReader* reader) {
  if (operation >= kLit0 && operation <= kLit31) return operation - kLit0;
  switch (operation) {
    case kConst1u:
      return reader->u8();
    case kConst1s:
      return static_cast<uint64_t>(int64_t{reader->number<int8_t>()});
    case kConst2u:
      return reader->number<uint16_t>();
    case kConst2s:
      return static_cast<uint64_t>(int64_t{reader->number<int16_t>()});
    case kConst4u:
      return reader->number<uint32_t>();
    case kConst4s:
      return static_cast<uint64_t>(int64_t{reader->number<int32_t>()});
    case kConst8u:
    case kConst8s:
      return reader->number<uint64_t>();
    case kConstu:
      return reader->uleb128();
    case kConsts:
      return static_cast<uint64_t>(reader->sleb128());
    default:
      return std::nullopt;
  }
}

}  // namespace

ExpressionValue value_of_expression(CodeBytes* bytes, const ByteRange& expression, uint64_t pc, bool* depends_on_pc) {
  DwarfReader reader(bytes, expression.start, expression.end);
  Stack stack;
  unsigned operations = 0;
  while (!reader.at_end()) {
    if (++operations > kMaxOperations) return {};
    const uint8_t operation = reader.u8();
    bool is_pushed = true;
    if (const std::optional<uint64_t> value = literal(operation, &reader); value.has_value()) {
      is_pushed = stack.push(constant(*value));
    } else if (operation >= kBreg0 && operation <= kBreg31) {
      const unsigned number = operation - kBreg0;
      const int64_t offset = reader.sleb128();
      ExpressionValue base;
      if (number == kDwarfSp) base = {Of::sp, offset, 0};
      if (number == kDwarfBp) base = {Of::bp, offset, 0};
      if (number == kDwarfPc) {
        *depends_on_pc = true;
        base = constant(static_cast<uint64_t>(sum(static_cast<int64_t>(pc), offset)));
      }
      is_pushed = stack.push(base);
    } else if (operation == kDeref) {
      is_pushed = stack.push(memory_at(stack.pop()));
    } else if (operation == kPlusUconst) {
      is_pushed = stack.push(plus(stack.pop(), constant(reader.uleb128())));
    } else if (operation == kDup) {
      const ExpressionValue top = stack.pop();
      is_pushed = stack.push(top) && stack.push(top);
    } else if (operation == kDrop) {
      stack.pop();
    } else if (operation != kNop) {
      const ExpressionValue b = stack.pop();
      const ExpressionValue a = stack.pop();
      ExpressionValue value;
      if (operation == kPlus) {
        value = plus(a, b);
      } else if (operation == kMinus && b.of == Of::constant) {
        value = plus(a, constant(0 - static_cast<uint64_t>(b.offset)));
      } else if (a.of == Of::constant && b.of == Of::constant) {
        const std::optional<uint64_t> result = of_constants(operation, a.offset, b.offset);
        if (!result.has_value()) return {};
        value = constant(*result);
      }
      is_pushed = stack.push(value);
    }
    if (!is_pushed || !reader.ok()) return {};
  }
  return reader.ok() ? stack.pop() : ExpressionValue{};
}

}  // namespace prof
