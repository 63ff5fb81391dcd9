#include "core/unwind/rule_from_tables.h"

#include <criterion/criterion.h>

#include "core/unwind/rule_cache.h"
#include "tests/unit/unwind/table_bytes.h"

using namespace prof;

namespace {

constexpr uint64_t kFirst = TableWriter::kCodeAt;
const TableBytes kReturnFromSignal = {0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05};

TableWriter one_function(const TableBytes& program, uint64_t bytes = 0x40) {
  TableWriter writer;
  writer.functions = {{kFirst, bytes, program}};
  return writer;
}

// Of offsets in the object; the range as offsets too.
RuleOfRange rule_at(const TableObject& object, CodeBytes* bytes, uint64_t pc, uint64_t lookup) {
  RuleOfRange found = rule_in_object(bytes, object.start() + pc, object.start() + lookup);
  if (found.start < found.end) found = {found.rule, found.start - object.start(), found.end - object.start()};
  return found;
}

RuleOfRange rule_at(const TableWriter& writer, uint64_t pc, uint64_t lookup) {
  const auto object = writer.object();
  const RuleOfRange found = rule_at(*object, object->direct(), pc, lookup);
  const RuleOfRange same = rule_at(*object, object->copied(), pc, lookup);
  cr_assert_eq(found.rule.word(), same.rule.word());
  cr_assert(found.start == same.start && found.end == same.end);
  return found;
}

TableBytes nops(unsigned count) {
  TableBytes bytes;
  while (bytes.size() < count) bytes.u8(0x90);
  return bytes;
}

UnwindRule rule_of(const TableBytes& program, uint64_t offset = 0) {
  return rule_at(one_function(program), kFirst + offset, kFirst + offset).rule;
}

void check_kind(const TableBytes& program, RuleKind kind) { cr_assert(rule_of(program).kind() == kind); }
void check_rule(const TableBytes& program, const UnwindRule& rule) {
  cr_assert_eq(rule_of(program).word(), rule.word());
}
void check_range(const RuleOfRange& found, uint64_t start, uint64_t end) {
  cr_assert(found.start == start && found.end == end, "+%#lx to +%#lx", found.start, found.end);
}

}  // namespace

Test(rule_from_tables, rules_of_usual_rows) {
  check_rule({}, UnwindRule::make(RuleKind::cfa_sp, 8, 0, BpRule::unchanged, 0));
  check_rule({0x0e, 32, 0x86, 2}, UnwindRule::make(RuleKind::cfa_sp, 32, 0, BpRule::at_cfa, -16));
  check_rule({0x0c, 6, 16, 0x86, 2}, UnwindRule::make(RuleKind::cfa_bp, 16, 0, BpRule::at_cfa, -16));
  check_rule({0x07, 6}, UnwindRule::make(RuleKind::cfa_sp, 8, 0, BpRule::unchanged, 0));
}

Test(rule_from_tables, rules_of_realigned_stacks) {
  // CFA = *(rbp - 8); rbp at *rbp.
  check_rule({0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0},
             UnwindRule::make(RuleKind::cfa_deref_bp, 0, -8, BpRule::at_bp, 0));
  check_rule({0x0f, 5, 0x77, 16, 0x06, 0x23, 8}, UnwindRule::make(RuleKind::cfa_deref_sp, 8, 16, BpRule::unchanged, 0));
}

Test(rule_from_tables, an_undefined_return_address_is_the_outermost_frame) {
  check_kind({0x07, 16}, RuleKind::outermost);
}

Test(rule_from_tables, what_a_rule_does_not_hold_is_complex) {
  check_kind({0x0d, 10}, RuleKind::complex);                      // a CFA in r10
  check_kind({0x0f, 2, 0x73, 0}, RuleKind::complex);              // and by rbx
  check_kind({0x90, 2}, RuleKind::complex);                       // the return address elsewhere
  check_kind({0x09, 16, 0}, RuleKind::complex);                   // or in a register
  check_kind({0x87, 3}, RuleKind::complex);                       // rsp saved
  check_kind({0x09, 6, 3}, RuleKind::complex);                    // rbp in a register
  check_kind({0x10, 6, 2, 0x77, 0}, RuleKind::complex);           // or at *rsp
  check_kind({0x0e, 0x80, 0x80, 0x80, 0x10}, RuleKind::complex);  // too far
  check_kind({0x86, 0x80, 0x80, 4}, RuleKind::complex);
  check_kind({0x1d}, RuleKind::complex);  // an instruction that is not known
}

Test(rule_from_tables, foreign_tables_are_complex_and_no_entry_is_no_info) {
  TableWriter writer = one_function({});
  cr_assert(rule_at(writer, kFirst + 0x40, kFirst + 0x40).rule.kind() == RuleKind::no_info);
  cr_assert(rule_at(writer, kFirst - 1, kFirst - 1).rule.kind() == RuleKind::no_info);
  writer.header = {1, 0x1b, 0x03, 0x1b};
  cr_assert(rule_at(writer, kFirst, kFirst).rule.kind() == RuleKind::complex);
}

Test(rule_from_tables, a_rule_is_known_for_its_row) {
  const TableWriter writer = one_function({0x41, 0x0e, 16, 0x4f, 0x0e, 8});
  check_range(rule_at(writer, kFirst, kFirst), kFirst, kFirst + 1);
  check_range(rule_at(writer, kFirst + 5, kFirst + 5), kFirst + 1, kFirst + 16);
  check_range(rule_at(writer, kFirst + 6, kFirst + 5), kFirst + 1, kFirst + 16);
  check_range(rule_at(writer, kFirst + 16, kFirst + 16), kFirst + 16, kFirst + 0x3f);
}

Test(rule_from_tables, a_functions_last_byte_is_in_no_range) {
  const TableWriter writer = one_function({0x41, 0x0e, 16});
  for (const uint64_t pc : {kFirst + 0x3f, kFirst + 0x40}) {
    const RuleOfRange last = rule_at(writer, pc, kFirst + 0x3f);
    cr_assert_eq(last.rule.cfa_offset(), 16);
    check_range(last, 0, 0);
  }
  check_range(rule_at(one_function({}, 1), kFirst, kFirst), 0, 0);
}

// The range that ends before the last byte wrapped around where that byte begins a block: all of the block had the rule.
Test(rule_from_tables, a_last_byte_that_begins_a_block_is_kept_for_itself) {
  // A function of each length up to more than a block's: one of them ends in the right place, wherever the object is.
  for (uint64_t bytes = 0x40; bytes < 0x40 + 256; ++bytes) {
    const auto object = one_function({0x0e, 64}, bytes).object();
    const uint64_t end = object->start() + kFirst + bytes;
    const RuleOfRange found = rule_in_object(object->direct(), end, end - 1);
    const bool is_range = found.start < found.end;
    const uint32_t generation = rule_cache_generation();
    rule_cache_store(end - 1, is_range ? found.start : end - 1, is_range ? found.end : end, generation, found.rule);
    cr_assert_eq(rule_cache_find(end - 1, generation).cfa_offset(), 64);
    cr_assert(rule_cache_find(end, generation).kind() == RuleKind::none, "a function of %lu bytes", bytes);
    rule_cache_forget();
  }
}

Test(rule_from_tables, a_plts_rule_is_for_one_address) {
  const TableWriter writer = one_function({0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22});
  const auto object = writer.object();
  for (uint64_t i = 0; i < 0x3f; ++i) {
    const uint64_t pc = object->start() + kFirst + i;
    const RuleOfRange found = rule_in_object(object->direct(), pc, pc);
    cr_assert_eq(found.rule.word(),
                 UnwindRule::make(RuleKind::cfa_sp, pc % 16 >= 11 ? 16 : 8, 0, BpRule::unchanged, 0).word());
    check_range(found, 0, 0);
    cr_assert_eq(rule_in_object(object->direct(), pc + 1, pc).rule.word(), found.rule.word(),
                 "as a return address too");
  }
}

Test(rule_from_tables, a_signals_return_by_its_code) {
  TableWriter writer = one_function({}, 16);
  writer.code = kReturnFromSignal;
  // Within an entry of usual code it is not looked for.
  cr_assert(rule_at(writer, kFirst, kFirst).rule.kind() == RuleKind::cfa_sp);
  writer.cie = {1, 'z', 'R', 'S', 0, 1, 0x78, 16, 1, 0x1b};
  const RuleOfRange said = rule_at(writer, kFirst, kFirst);
  cr_assert(said.rule.kind() == RuleKind::signal_frame);
  check_range(said, 0, 0);
  // Behind other code, or without any entry.
  writer = one_function({}, 16);
  writer.code = nops(16).append(kReturnFromSignal);
  cr_assert(rule_at(writer, kFirst + 16, kFirst + 15).rule.kind() == RuleKind::signal_frame);
  cr_assert(rule_at(writer, kFirst + 16, kFirst + 16).rule.kind() == RuleKind::signal_frame);
  cr_assert(rule_at(writer, kFirst + 15, kFirst + 15).rule.kind() == RuleKind::cfa_sp);
}
