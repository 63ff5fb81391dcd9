#include "core/unwind/rule_from_libunwind.h"

#include <libunwind-x86_64.h>

#include <cstring>

#include "core/unwind/libunwind_access.h"
#include "core/unwind/machine.h"
#include "core/unwind/signal_return.h"

namespace prof {
namespace {

// A symbol stands for a value that is not known: index 0 is the frame's sp, 1 its bp, and each further one what lies in
// memory at some symbol plus an offset. Its number is far outside the address space, with room for offsets on both sides,
// so that a sum of a symbol and a constant can be taken apart again.
constexpr unsigned kSymbolShift = 48;
constexpr uint64_t kFirstSymbol = 0x4000;  // numbers 0x4000'0000'0000'0000 and up
constexpr unsigned kSp = 0;
constexpr unsigned kBp = 1;
constexpr unsigned kOther = 2;  // any other register: not used for rules
constexpr unsigned kMaxSymbols = 16;
constexpr int64_t kMaxOffset = int64_t{1} << 30;

struct Sum {
  unsigned symbol;
  int64_t offset;
};

uint64_t number_of(unsigned symbol) { return (kFirstSymbol + symbol) << kSymbolShift; }

// One question to libunwind. The access part is first: libunwind's callbacks get a pointer to it.
struct Question {
  explicit Question(bool direct_reads) : access(direct_reads) {}

  UnwindAccess access;
  uint64_t pc = 0;
  unsigned symbols = kOther + 1;
  Sum read_at[kMaxSymbols];  // from kOther + 1: where the value was read

  bool take_apart(uint64_t value, Sum* sum) const {
    const uint64_t nearest = (value + (uint64_t{1} << (kSymbolShift - 1))) >> kSymbolShift;
    if (nearest < kFirstSymbol || nearest >= kFirstSymbol + symbols) return false;
    sum->symbol = static_cast<unsigned>(nearest - kFirstSymbol);
    sum->offset = static_cast<int64_t>(value - number_of(sum->symbol));
    return sum->symbol != kOther && sum->offset > -kMaxOffset && sum->offset < kMaxOffset;
  }

  // The symbol of what is read at an address; the same one for the same address (libunwind reads byte by byte).
  bool read(uint64_t address, unw_word_t* value) {
    Sum at;
    if (!take_apart(address, &at)) return false;
    for (unsigned i = kOther + 1; i < symbols; ++i) {
      if (read_at[i].symbol == at.symbol && read_at[i].offset == at.offset) {
        *value = number_of(i);
        return true;
      }
    }
    if (symbols == kMaxSymbols) return false;
    read_at[symbols] = at;
    *value = number_of(symbols++);
    return true;
  }

  // Where the value was read, if it is exactly what memory held.
  bool was_read(uint64_t value, Sum* at) const {
    Sum sum;
    if (!take_apart(value, &sum) || sum.symbol <= kOther || sum.offset != 0) return false;
    *at = read_at[sum.symbol];
    return true;
  }
};

int access_mem(unw_addr_space_t, unw_word_t address, unw_word_t* value, int write, void* arg) {
  auto* question = static_cast<Question*>(arg);
  if (write != 0) return -UNW_EINVAL;
  if (question->access.bytes.read(address, value, sizeof(*value)) || question->read(address, value)) return 0;
  return -UNW_EINVAL;
}

int access_reg(unw_addr_space_t, unw_regnum_t number, unw_word_t* value, int write, void* arg) {
  auto* question = static_cast<Question*>(arg);
  if (write != 0) return -UNW_EINVAL;
  switch (number) {
    case UNW_X86_64_RIP:
      *value = question->pc;
      break;
    case UNW_X86_64_RSP:
      *value = number_of(kSp);
      break;
    case UNW_X86_64_RBP:
      *value = number_of(kBp);
      break;
    default:
      *value = number_of(kOther);
  }
  return 0;
}

unw_addr_space_t g_symbol_space = nullptr;

UnwindRule rule_of(const Question& question, uint64_t sp, uint64_t bp, uint64_t ip) {
  const UnwindRule complex(RuleKind::complex);
  Sum cfa;
  Sum return_at;
  if (!question.take_apart(sp, &cfa) || !question.was_read(ip, &return_at)) return complex;
  if (return_at.symbol != cfa.symbol || return_at.offset != cfa.offset + kReturnAddressAtCfa) return complex;

  BpRule bp_rule = BpRule::unchanged;
  int64_t bp_offset = 0;
  Sum bp_at;
  if (question.was_read(bp, &bp_at)) {
    if (bp_at.symbol == cfa.symbol) {
      bp_rule = BpRule::at_cfa;
      bp_offset = bp_at.offset - cfa.offset;
    } else if (bp_at.symbol == kBp) {
      bp_rule = BpRule::at_bp;
      bp_offset = bp_at.offset;
    } else {
      return complex;
    }
  } else if (bp != number_of(kBp)) {
    return complex;
  }

  if (cfa.symbol == kSp) return UnwindRule::make(RuleKind::cfa_sp, cfa.offset, 0, bp_rule, bp_offset);
  if (cfa.symbol == kBp) return UnwindRule::make(RuleKind::cfa_bp, cfa.offset, 0, bp_rule, bp_offset);
  const Sum from = question.read_at[cfa.symbol];
  if (from.symbol == kSp) return UnwindRule::make(RuleKind::cfa_deref_sp, cfa.offset, from.offset, bp_rule, bp_offset);
  if (from.symbol == kBp) return UnwindRule::make(RuleKind::cfa_deref_bp, cfa.offset, from.offset, bp_rule, bp_offset);
  return complex;
}

}  // namespace

void rule_from_libunwind_start() {
  unw_accessors_t accessors = common_accessors();
  accessors.access_mem = access_mem;
  accessors.access_reg = access_reg;
  g_symbol_space = unw_create_addr_space(&accessors, 0);
  if (g_symbol_space != nullptr) unw_set_caching_policy(g_symbol_space, UNW_CACHE_NONE);
}

UnwindRule rule_from_libunwind(uint64_t pc, uint64_t lookup) {
  if (g_symbol_space == nullptr) return UnwindRule(RuleKind::no_info);
  const CodeReader reader;
  Question question(reader.may_read_directly());
  question.pc = lookup;
  CodeObject object;
  if (!find_code_object(lookup, &object)) return UnwindRule(RuleKind::no_info);
  question.access.bytes.set_object(object);
  if (is_signal_return(&question.access.bytes, pc)) return UnwindRule(RuleKind::signal_frame);
  unw_cursor_t cursor;
  if (unw_init_remote(&cursor, g_symbol_space, &question) != 0) return UnwindRule(RuleKind::no_info);
  const int step = unw_step(&cursor);
  // Where it finds no information libunwind guesses; our own guess (the frame pointer, checked) is made on the real stack.
  if (!question.access.found_info) return UnwindRule(RuleKind::no_info);
  if (step < 0) return UnwindRule(RuleKind::complex);
  if (step == 0) return UnwindRule(RuleKind::outermost);
  unw_word_t sp = 0;
  unw_word_t bp = 0;
  unw_word_t ip = 0;
  if (unw_get_reg(&cursor, UNW_X86_64_RIP, &ip) != 0 || unw_get_reg(&cursor, UNW_X86_64_RSP, &sp) != 0) {
    return UnwindRule(RuleKind::complex);
  }
  // An undefined rbp has no value: it then is not used above either.
  if (unw_get_reg(&cursor, UNW_X86_64_RBP, &bp) != 0) bp = number_of(kBp);
  return rule_of(question, sp, bp, ip);
}

}  // namespace prof
