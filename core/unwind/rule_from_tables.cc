#include "core/unwind/rule_from_tables.h"

#include "core/unwind/cfi_row.h"
#include "core/unwind/expression_value.h"
#include "core/unwind/frame_entry.h"
#include "core/unwind/linkage_stub.h"
#include "core/unwind/machine.h"
#include "core/unwind/signal_return.h"

namespace prof {
namespace {

using How = RegisterRule::How;
using Of = ExpressionValue::Of;

constexpr UnwindRule kComplex = UnwindRule(RuleKind::complex);

struct Sum {
  RuleKind kind = RuleKind::complex;
  int64_t offset = 0;
  int64_t deref_offset = 0;
};

Sum cfa_of(CodeBytes* bytes, const CfiRow& row, uint64_t pc, bool* depends_on_pc) {
  if (!row.cfa_is_expression) {
    if (row.cfa_register == kDwarfSp) return {RuleKind::cfa_sp, row.cfa_offset, 0};
    if (row.cfa_register == kDwarfBp) return {RuleKind::cfa_bp, row.cfa_offset, 0};
    return {};
  }
  const ExpressionValue value = value_of_expression(bytes, row.cfa_expression, pc, depends_on_pc);
  switch (value.of) {
    case Of::sp:
      return {RuleKind::cfa_sp, value.offset, 0};
    case Of::bp:
      return {RuleKind::cfa_bp, value.offset, 0};
    case Of::memory_at_sp:
      return {RuleKind::cfa_deref_sp, value.offset, value.inner};
    case Of::memory_at_bp:
      return {RuleKind::cfa_deref_bp, value.offset, value.inner};
    default:
      return {};
  }
}

// Adds to the rule where the return address is. False: in a place that no rule names.
bool add_return(const RegisterRule& returns, Sum* cfa) {
  if constexpr (!kHasLinkRegister) return returns.how == How::at_cfa && returns.offset == kReturnAddressAtCfa;
  if (cfa->kind != RuleKind::cfa_sp && cfa->kind != RuleKind::cfa_bp) return false;
  cfa->deref_offset = UnwindRule::kInLink;
  if (returns.how == How::unchanged) return true;
  cfa->deref_offset = returns.offset;
  return returns.how == How::at_cfa && returns.offset != UnwindRule::kInLink;
}

UnwindRule rule_of_row(CodeBytes* bytes, const CfiRow& row, uint64_t pc, bool* depends_on_pc) {
  if (row.return_address.how == How::undefined) return UnwindRule(RuleKind::outermost);
  if (row.sp.how != How::unchanged) return kComplex;
  Sum cfa = cfa_of(bytes, row, pc, depends_on_pc);
  if (cfa.kind == RuleKind::complex || !add_return(row.return_address, &cfa)) return kComplex;
  BpRule bp = BpRule::unchanged;
  int64_t bp_offset = 0;
  switch (row.bp.how) {
    case How::unchanged:
    case How::undefined:  // nothing above uses it then
      break;
    case How::at_cfa:
      bp = BpRule::at_cfa;
      bp_offset = row.bp.offset;
      break;
    case How::at_expression: {
      const ExpressionValue at = value_of_expression(bytes, row.bp.expression, pc, depends_on_pc);
      if (at.of != Of::bp) return kComplex;
      bp = BpRule::at_bp;
      bp_offset = at.offset;
      break;
    }
    case How::otherwise:
      return kComplex;
  }
  return UnwindRule::make(cfa.kind, cfa.offset, cfa.deref_offset, bp, bp_offset);
}

}  // namespace

RuleOfRange rule_in_object(CodeBytes* bytes, uint64_t pc, uint64_t lookup) {
  FrameEntry entry;
  const EntrySearch search = find_frame_entry(bytes, lookup, &entry);
  if (search == EntrySearch::foreign) return {kComplex};
  const bool is_found = search == EntrySearch::found;
  // A signal's return is said to be one (glibc's), or follows other code, or has no entry (musl's).
  const bool may_be_signal_return = !is_found || entry.is_signal_frame || pc == entry.code.end;
  if (may_be_signal_return && is_signal_return(bytes, pc)) return {UnwindRule(RuleKind::signal_frame)};
  if (!is_found) {
    const bool may_be_stub = kHasLinkRegister && pc == lookup;
    return {may_be_stub ? rule_in_linkage_stub(bytes, pc) : UnwindRule(RuleKind::no_info)};
  }
  CfiRow row;
  if (!find_cfi_row(bytes, entry, lookup, &row)) return {kComplex};
  bool depends_on_pc = false;
  // By the address that is looked up, since rules are kept by it: of a return address it is in the call.
  const UnwindRule rule = rule_of_row(bytes, row, lookup, &depends_on_pc);
  // An entry's last byte is looked up for the address behind it too, which may be a signal's return: it is in no range.
  const uint64_t end = row.code.end < entry.code.end ? row.code.end : entry.code.end - 1;
  if (depends_on_pc || entry.is_signal_frame || lookup >= end) return {rule};
  return {rule, row.code.start, end};
}

RuleOfRange rule_from_tables(uint64_t pc, uint64_t lookup) {
  const CodeReader reader;
  CodeBytes bytes(reader.may_read_directly());
  CodeObject object;
  if (!find_code_object(lookup, &object)) {
    const bool is_signal = is_signal_return_anywhere(&bytes, pc);
    return {UnwindRule(is_signal ? RuleKind::signal_frame : RuleKind::no_info)};
  }
  bytes.set_object(object);
  return rule_in_object(&bytes, pc, lookup);
}

}  // namespace prof
