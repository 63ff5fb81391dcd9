#include "core/unwind/rule_source.h"

#include "core/unwind/rule_from_libunwind.h"

namespace prof {
namespace {

Unwinder g_unwinder = Unwinder::tables;

}  // namespace

RuleOfRange rule_from_source(uint64_t pc, uint64_t lookup) {
  if (g_unwinder == Unwinder::libunwind) return {rule_from_libunwind(pc, lookup)};
  const RuleOfRange found = rule_from_tables(pc, lookup);
  if (g_unwinder == Unwinder::tables) return found;
  // By frame pointers alone, a stack's end and a signal's frame are still told by what they are.
  const RuleKind kind = found.rule.kind();
  return kind == RuleKind::signal_frame || kind == RuleKind::outermost ? found
                                                                       : RuleOfRange{UnwindRule(RuleKind::no_info)};
}

void rule_source_start(Unwinder unwinder) {
  g_unwinder = unwinder;
  if (unwinder == Unwinder::libunwind) rule_from_libunwind_start();
}

}  // namespace prof
