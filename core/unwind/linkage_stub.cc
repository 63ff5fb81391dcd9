#include "core/unwind/linkage_stub.h"

namespace prof {
namespace {

// ELF for the Arm 64-bit Architecture (AAELF64) leaves the code to linkers; GNU ld, gold, lld and mold write the same:
//
//   every function's   [bti c]  adrp x16, PAGE  ldr x17, [x16, OFFSET]  add x16, x16, OFFSET  [autia1716]  br x17
//   the first one      [bti c]  stp x16, x30, [sp, #-16]!, and the same from adrp on: it calls the loader's resolver
constexpr uint64_t kInstruction = 4;
constexpr uint32_t kPush = 0xa9bf'7bf0;
constexpr uint32_t kBranch = 0xd61f'0220;
constexpr unsigned kMostOthers = 5;

bool is_before_branch(uint32_t code) {
  constexpr uint32_t kBtiC = 0xd503'245f;
  constexpr uint32_t kAutia1716 = 0xd503'219f;
  const bool is_adrp = (code & 0x9f00'001f) == 0x9000'0010;
  const bool is_ldr = (code & 0xffc0'03ff) == 0xf940'0211;
  const bool is_add = (code & 0xff80'03ff) == 0x9100'0210;
  return is_adrp || is_ldr || is_add || code == kBtiC || code == kAutia1716;
}

// The first instruction from `at` on, in steps of `step`, that is none of those before the branch. 0: there is none.
uint32_t next_other(CodeBytes* bytes, uint64_t at, int64_t step) {
  uint32_t code = 0;
  for (unsigned i = 0; i <= kMostOthers; ++i, at += static_cast<uint64_t>(step)) {
    if (!bytes->read_copy(at, &code, sizeof(code))) return 0;
    if (!is_before_branch(code)) return code;
  }
  return 0;
}

}  // namespace

UnwindRule rule_in_linkage_stub(CodeBytes* bytes, uint64_t pc) {
  constexpr int64_t kStep = kInstruction;
  const UnwindRule untouched = UnwindRule::make(RuleKind::cfa_sp, 0, UnwindRule::kInLink, BpRule::unchanged, 0);
  const uint32_t next = next_other(bytes, pc, kStep);
  if (next == kPush)
    return next_other(bytes, pc + kInstruction, kStep) == kBranch ? untouched : UnwindRule(RuleKind::no_info);
  if (next != kBranch) return UnwindRule(RuleKind::no_info);
  if (next_other(bytes, pc - kInstruction, -kStep) != kPush) return untouched;
  return UnwindRule::make(RuleKind::cfa_sp, 16, -8, BpRule::unchanged, 0);
}

}  // namespace prof
