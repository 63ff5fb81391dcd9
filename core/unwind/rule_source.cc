#include "core/unwind/rule_source.h"

#include "core/unwind/machine.h"
#include "core/unwind/rule_from_libunwind.h"

namespace prof {
namespace {

Unwinder g_unwinder = Unwinder::tables;
CodeRange g_own_code;

}  // namespace

RuleOfRange rule_from_source(uint64_t pc, uint64_t lookup) {
  if constexpr (kHasLibunwind) {
    if (g_unwinder == Unwinder::libunwind) return {rule_from_libunwind(pc, lookup)};
  }
  const RuleOfRange found = rule_from_tables(pc, lookup);
  // libprof itself keeps no frame pointers: without its tables the caller of an interposed call would be missing from each stack.
  if (g_unwinder != Unwinder::frame_pointers || lookup - g_own_code.start < g_own_code.end - g_own_code.start)
    return found;
  // By frame pointers alone, a stack's end and a signal's frame are still told by what they are.
  const RuleKind kind = found.rule.kind();
  return kind == RuleKind::signal_frame || kind == RuleKind::outermost ? found
                                                                       : RuleOfRange{UnwindRule(RuleKind::no_info)};
}

StackEnd end_without_rule() {
  return g_unwinder == Unwinder::frame_pointers ? StackEnd::no_frame_pointer : StackEnd::no_unwind_info;
}

void rule_source_start(CodeRange own_code, Unwinder unwinder) {
  g_unwinder = unwinder;
  g_own_code = own_code;
  if constexpr (kHasLibunwind) {
    if (unwinder == Unwinder::libunwind) rule_from_libunwind_start();
  }
}

}  // namespace prof
