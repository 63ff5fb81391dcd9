#include <iterator>

#include "tests/fuzz/fuzz.h"

namespace prof::fuzz {

uint64_t Random::odd_number() {
  constexpr uint64_t kEdges[] = {0,           1,           2,           7,           8,
                                 0x7f,        0x80,        0xff,        0x7fff,      0x8000,
                                 0xffff,      0x7fff'ffff, 0x8000'0000, 0xffff'fff0, 0xffff'fffe,
                                 0xffff'ffff, 1ull << 62,  1ull << 63,  ~0ull - 7,   ~0ull};
  switch (below(4)) {
    case 0:
      return below(64);
    case 1:
      return next() >> below(64);
    default:
      return one_of(kEdges);
  }
}

RuleOfRange checked_rule(const CodeObject& object, uint64_t pc, uint64_t lookup) {
  CodeBytes direct(true);
  direct.set_object(object);
  const RuleOfRange found = rule_in_object(&direct, pc, lookup);
  CodeBytes copied(false);
  copied.set_object(object);
  const RuleOfRange same = rule_in_object(&copied, pc, lookup);
  if (found.rule.word() != same.rule.word() || found.start != same.start || found.end != same.end) {
    fail("pc +%#lx: %#lx read in place, %#lx copied", pc - object.start, found.rule.word(), same.rule.word());
  }
  if (found.rule.kind() == RuleKind::none) fail("pc +%#lx: a rule that is none", pc - object.start);
  if (found.start < found.end && (lookup < found.start || lookup >= found.end)) {
    fail("lookup +%#lx has the rule of +%#lx to +%#lx", lookup - object.start, found.start - object.start,
         found.end - object.start);
  }
  return found;
}

}  // namespace prof::fuzz
