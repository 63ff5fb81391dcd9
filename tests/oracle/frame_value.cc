#include "tests/oracle/frame_value.h"

#include <dwarf.h>
#include <ucontext.h>

#include <string>
#include <vector>

#include "tests/oracle/mapped_elf.h"

namespace prof::oracle {
namespace {

// By DWARF numbers.
constexpr unsigned kBp = 6;
constexpr unsigned kSp = 7;
constexpr unsigned kPc = 16;

uint64_t hash(uint64_t number) {  // splitmix64
  number += 0x9e37'79b9'7f4a'7c15;
  number = (number ^ (number >> 30)) * 0xbf58'476d'1ce4'e5b9;
  number = (number ^ (number >> 27)) * 0x94d0'49bb'1331'11eb;
  return number ^ (number >> 31);
}

Value constant(uint64_t number) { return {number, 0, 0, true}; }

Value register_plus(unsigned number, int64_t offset, uint64_t pc) {
  const uint64_t held = number == kPc ? pc : register_value(number);
  return {held + static_cast<uint64_t>(offset), uint32_t{1} << (number & 31), 0, true};
}

Value memory_at(const Value& address) {
  return {memory_value(address.number), address.registers, address.reads + 1, address.is_known};
}

// Runs an expression or a location description of libdw's.
class Evaluation {
 public:
  Evaluation(uint64_t pc, const Value* cfa) : pc_(pc), cfa_(cfa) {}

  bool run(const Dwarf_Op* operations, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      if (!operation(operations[i])) return false;
    }
    return !stack_.empty() || is_register_;
  }
  Value top() const { return stack_.empty() ? Value{} : stack_.back(); }
  bool is_register() const { return is_register_; }
  bool is_value() const { return is_value_; }

 private:
  bool operation(const Dwarf_Op& op) {
    const uint8_t code = op.atom;
    if (code >= DW_OP_lit0 && code <= DW_OP_lit31) return push(constant(code - DW_OP_lit0));
    if (code >= DW_OP_breg0 && code <= DW_OP_breg31) {
      return push(register_plus(code - DW_OP_breg0, static_cast<int64_t>(op.number), pc_));
    }
    if (code >= DW_OP_reg0 && code <= DW_OP_reg31) return in_register(code - DW_OP_reg0);
    switch (code) {
      case DW_OP_const1u:
      case DW_OP_const1s:
      case DW_OP_const2u:
      case DW_OP_const2s:
      case DW_OP_const4u:
      case DW_OP_const4s:
      case DW_OP_const8u:
      case DW_OP_const8s:
      case DW_OP_constu:
      case DW_OP_consts:
        return push(constant(op.number));
      case DW_OP_regx:
        return in_register(static_cast<unsigned>(op.number));
      case DW_OP_bregx:
        return push(register_plus(static_cast<unsigned>(op.number), static_cast<int64_t>(op.number2), pc_));
      case DW_OP_call_frame_cfa:
        return cfa_ != nullptr && push(*cfa_);
      case DW_OP_stack_value:
        is_value_ = true;
        return true;
      case DW_OP_nop:
        return true;
      case DW_OP_dup:
        return !stack_.empty() && push(stack_.back());
      case DW_OP_drop:
        if (stack_.empty()) return false;
        stack_.pop_back();
        return true;
      case DW_OP_deref:
        if (stack_.empty()) return false;
        stack_.back() = memory_at(stack_.back());
        return true;
      case DW_OP_plus_uconst:
        if (stack_.empty()) return false;
        stack_.back().number += op.number;
        return true;
      default:
        return of_two(code);
    }
  }

  bool of_two(uint8_t code) {
    if (stack_.size() < 2) return false;
    const Value right = stack_.back();
    stack_.pop_back();
    Value& left = stack_.back();
    const uint64_t a = left.number;
    const uint64_t b = right.number;
    const auto signed_a = static_cast<int64_t>(a);
    const auto signed_b = static_cast<int64_t>(b);
    left.registers |= right.registers;
    left.reads = left.reads + right.reads;
    switch (code) {
      case DW_OP_plus:
        left.number = a + b;
        return true;
      case DW_OP_minus:
        left.number = a - b;
        return true;
      case DW_OP_mul:
        left.number = a * b;
        return true;
      case DW_OP_and:
        left.number = a & b;
        return true;
      case DW_OP_or:
        left.number = a | b;
        return true;
      case DW_OP_xor:
        left.number = a ^ b;
        return true;
      case DW_OP_shl:
        left.number = b > 63 ? 0 : a << b;
        return true;
      case DW_OP_shr:
        left.number = b > 63 ? 0 : a >> b;
        return true;
      case DW_OP_ge:
        left.number = signed_a >= signed_b;
        return true;
      case DW_OP_gt:
        left.number = signed_a > signed_b;
        return true;
      case DW_OP_le:
        left.number = signed_a <= signed_b;
        return true;
      case DW_OP_lt:
        left.number = signed_a < signed_b;
        return true;
      case DW_OP_eq:
        left.number = a == b;
        return true;
      case DW_OP_ne:
        left.number = a != b;
        return true;
      default:
        return false;
    }
  }

  bool push(const Value& value) {
    stack_.push_back(value);
    return true;
  }
  bool in_register(unsigned number) {
    is_register_ = true;
    return push(register_plus(number, 0, pc_));
  }

  const uint64_t pc_;
  const Value* const cfa_;
  std::vector<Value> stack_;
  bool is_register_ = false;
  bool is_value_ = false;
};

CallerRegister caller_register(Dwarf_Frame* frame, unsigned number, uint64_t pc, const Value& cfa) {
  using Where = CallerRegister::Where;
  Dwarf_Op memory[3];
  Dwarf_Op* operations = nullptr;
  size_t count = 0;
  if (dwarf_frame_register(frame, static_cast<int>(number), memory, &operations, &count) != 0) {
    fail("libdw: " + std::string(dwarf_errmsg(-1)));
  }
  CallerRegister found;
  if (count == 0 && operations == memory) return found;
  if (count == 0) {
    found.where = Where::in_register;
    found.value = register_plus(number, 0, pc);
    return found;
  }
  Evaluation evaluation(pc, &cfa);
  if (!evaluation.run(operations, count)) {
    found.where = Where::computed;
    return found;
  }
  found.value = evaluation.top();
  if (evaluation.is_register()) {
    found.where = Where::in_register;
  } else if (evaluation.is_value()) {
    found.where = Where::computed;
  } else {
    found.where = Where::in_memory;
    found.is_at_cfa = operations[0].atom == DW_OP_call_frame_cfa &&
                      (count == 1 || (count == 2 && operations[1].atom == DW_OP_plus_uconst));
    found.address = found.value;
    found.value = memory_at(found.address);
  }
  return found;
}

// Of the kernel's frame, which sp points to when a handler has returned: its ucontext.
uint64_t saved_by_kernel(int index) {
  return memory_value(register_value(kSp) + offsetof(ucontext_t, uc_mcontext.gregs) +
                      static_cast<uint64_t>(index) * sizeof(greg_t));
}

}  // namespace

uint64_t register_value(unsigned number) { return hash(number) & ~uint64_t{7}; }
uint64_t memory_value(uint64_t address) { return hash(~address); }

CallerFrame frame_of_table(Dwarf_Frame* frame, uint64_t pc) {
  CallerFrame caller;
  Dwarf_Op* operations = nullptr;
  size_t count = 0;
  if (dwarf_frame_cfa(frame, &operations, &count) != 0) {
    caller.is_refused = true;
    return caller;
  }
  Evaluation evaluation(pc, nullptr);
  if (evaluation.run(operations, count) && !evaluation.is_register()) caller.cfa = evaluation.top();
  caller.bp = caller_register(frame, kBp, pc, caller.cfa);
  caller.sp = caller_register(frame, kSp, pc, caller.cfa);
  caller.return_address = caller_register(frame, kPc, pc, caller.cfa);
  return caller;
}

RuleResult result_of_rule(UnwindRule rule) {
  const uint64_t sp = register_value(kSp);
  const uint64_t bp = register_value(kBp);
  RuleResult result;
  switch (rule.kind()) {
    case RuleKind::cfa_sp:
      result.cfa = sp;
      break;
    case RuleKind::cfa_bp:
      result.cfa = bp;
      break;
    case RuleKind::cfa_deref_sp:
      result.cfa = memory_value(sp + static_cast<uint64_t>(rule.deref_offset()));
      break;
    case RuleKind::cfa_deref_bp:
      result.cfa = memory_value(bp + static_cast<uint64_t>(rule.deref_offset()));
      break;
    case RuleKind::signal_frame:
      return {saved_by_kernel(REG_RSP), saved_by_kernel(REG_RBP), saved_by_kernel(REG_RIP)};
    default:
      fail("a rule that gives no caller");
  }
  result.cfa += static_cast<uint64_t>(rule.cfa_offset());
  result.return_address = memory_value(result.cfa - 8);
  result.bp = bp;
  const auto offset = static_cast<uint64_t>(rule.bp_offset());
  if (rule.bp() == BpRule::at_cfa) result.bp = memory_value(result.cfa + offset);
  if (rule.bp() == BpRule::at_bp) result.bp = memory_value(bp + offset);
  return result;
}

}  // namespace prof::oracle
