#include "core/unwind/cfi_row.h"

#include <criterion/criterion.h>

#include <optional>

#include "tests/unit/unwind/table_bytes.h"

using namespace prof;
using How = RegisterRule::How;

namespace {

constexpr uint64_t kCode = 0x10'0000;
const TableBytes kUsual = {0x0c, 7, 8, 0x90, 1};  // CFA = rsp + 8; return address at CFA - 8

struct Factors {
  uint64_t code = 1;
  int64_t data = -8;
};

// The row at an offset in a function of 0x1000 bytes; its addresses as offsets, expressions likewise in both programs.
std::optional<CfiRow> row_at(uint64_t offset, const TableBytes& program, const TableBytes& initial = kUsual,
                             Factors factors = {}) {
  TableObject object(TableBytes(initial).append(program));
  FrameEntry entry;
  entry.code = {kCode, kCode + 0x1000};
  entry.initial_instructions = {object.start(), object.start() + initial.size()};
  entry.instructions = {object.start() + initial.size(), object.end()};
  entry.code_factor = factors.code;
  entry.data_factor = factors.data;
  entry.return_column = 16;
  CfiRow row;
  if (!find_cfi_row(object.direct(), entry, kCode + offset, &row)) return std::nullopt;
  row.code = {row.code.start - kCode, row.code.end - kCode};
  for (ByteRange* range : {&row.cfa_expression, &row.bp.expression}) {
    *range = {range->start - object.start(), range->end - object.start()};
  }
  return row;
}

void check_range(const std::optional<CfiRow>& row, uint64_t start, uint64_t end) {
  cr_assert(row.has_value());
  cr_assert(row->code.start == start && row->code.end == end, "+%#lx to +%#lx", row->code.start, row->code.end);
}
void check_cfa(const std::optional<CfiRow>& row, uint64_t number, int64_t offset) {
  cr_assert(row.has_value());
  cr_assert_not(row->cfa_is_expression);
  cr_assert_eq(row->cfa_register, number);
  cr_assert_eq(row->cfa_offset, offset);
}
void check_bp(const std::optional<CfiRow>& row, How how, int64_t offset = 0) {
  cr_assert(row.has_value());
  cr_assert(row->bp.how == how);
  cr_assert_eq(row->bp.offset, offset);
}

}  // namespace

Test(cfi_row, the_usual_function) {
  // push %rbp; mov %rsp, %rbp; ...; pop %rbp; ret
  const TableBytes program = {0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x42, 0x0c, 7, 8, 0xc6};
  check_range(row_at(0, program), 0, 1);
  check_cfa(row_at(0, program), 7, 8);
  check_bp(row_at(0, program), How::unchanged);
  check_range(row_at(1, program), 1, 4);
  check_cfa(row_at(3, program), 7, 16);
  check_bp(row_at(3, program), How::at_cfa, -16);
  check_range(row_at(4, program), 4, 6);
  check_cfa(row_at(5, program), 6, 16);
  check_range(row_at(6, program), 6, 0x1000);
  check_cfa(row_at(0xfff, program), 7, 8);
  check_bp(row_at(6, program), How::unchanged);
  cr_assert(row_at(6, program)->return_address.how == How::at_cfa);
  cr_assert_eq(row_at(6, program)->return_address.offset, -8);
}

Test(cfi_row, advances_of_every_width) {
  const TableBytes program = {0x42, 0x0e, 16,   0x02, 0x10, 0x0e, 24, 0x03, 0x00, 0x02,
                              0x0e, 32,   0x04, 0x00, 4,    0,    0,  0x0e, 40};
  check_range(row_at(1, program), 0, 2);
  check_range(row_at(2, program), 2, 0x12);
  check_range(row_at(0x12, program), 0x12, 0x212);
  check_range(row_at(0x212, program), 0x212, 0x612);
  check_cfa(row_at(0x211, program), 7, 24);
  check_range(row_at(0x612, program), 0x612, 0x1000);
  check_cfa(row_at(0x612, program), 7, 40);
}

Test(cfi_row, advances_count_by_the_code_factor) {
  const TableBytes program = {0x42, 0x0e, 16};
  check_range(row_at(0, program, kUsual, {4, -8}), 0, 8);
  check_range(row_at(8, program, kUsual, {4, -8}), 8, 0x1000);
}

Test(cfi_row, set_loc_names_the_address) {
  const TableBytes program = TableBytes{0x01}.number(kCode + 0x20, 8).append({0x0e, 16});
  check_range(row_at(0x1f, program), 0, 0x20);
  check_range(row_at(0x20, program), 0x20, 0x1000);
  const TableBytes back = TableBytes{0x48, 0x01}.number(kCode + 4, 8);
  cr_assert_not(row_at(0x20, back).has_value(), "rows go up");
}

Test(cfi_row, rows_do_not_go_beyond_the_function_or_round_the_address_space) {
  check_range(row_at(0, {0x04, 0xff, 0xff, 0xff, 0xff}), 0, 0x1000);
  cr_assert_not(row_at(0x20, {0x48, 0x04, 0xff, 0xff, 0xff, 0xff}, kUsual, {~uint64_t{0}, -8}).has_value());
}

Test(cfi_row, the_initial_instructions_hold_for_all_of_it) {
  cr_assert_not(row_at(0, {}, {0x41}).has_value(), "they have no addresses");
  cr_assert_not(row_at(0, {}, {0x02, 1}).has_value());
  check_range(row_at(0x800, {}), 0, 0x1000);
  check_cfa(row_at(0x800, {}), 7, 8);
}

Test(cfi_row, the_cfa_by_each_instruction) {
  check_cfa(row_at(0, {0x0c, 6, 16}), 6, 16);
  check_cfa(row_at(0, {0x12, 6, 0x7e}), 6, 16);
  check_cfa(row_at(0, {0x0d, 10}), 10, 8);
  check_cfa(row_at(0, {0x0e, 0x80, 2}), 7, 256);
  check_cfa(row_at(0, {0x13, 0x7d}), 7, 24);
  const auto row = row_at(0, {0x0f, 2, 0x77, 8});
  cr_assert(row.has_value() && row->cfa_is_expression);
  cr_assert(row->cfa_expression.start == kUsual.size() + 2 && row->cfa_expression.end == kUsual.size() + 4);
  check_cfa(row_at(0, {0x0f, 2, 0x77, 8, 0x0c, 6, 16}), 6, 16);
}

// A register alone takes the offset from before the expression, as other unwinders have it.
Test(cfi_row, an_offset_alone_does_not_change_an_expression) {
  check_cfa(row_at(0, {0x0f, 2, 0x77, 8, 0x0d, 6}), 6, 8);
  cr_assert_not(row_at(0, {0x0f, 2, 0x77, 8, 0x0e, 16}).has_value());
  cr_assert_not(row_at(0, {0x0f, 2, 0x77, 8, 0x13, 1}).has_value());
}

Test(cfi_row, a_register_by_each_instruction) {
  check_bp(row_at(0, {0x86, 2}), How::at_cfa, -16);
  check_bp(row_at(0, {0x05, 6, 3}), How::at_cfa, -24);
  check_bp(row_at(0, {0x11, 6, 0x7f}), How::at_cfa, 8);
  check_bp(row_at(0, {0x2f, 6, 2}), How::at_cfa, 16);
  check_bp(row_at(0, {0x07, 6}), How::undefined);
  check_bp(row_at(0, {0x86, 2, 0x08, 6}), How::unchanged);
  check_bp(row_at(0, {0x09, 6, 3}), How::otherwise);
  check_bp(row_at(0, {0x14, 6, 2}), How::otherwise);
  check_bp(row_at(0, {0x15, 6, 0x7e}), How::otherwise);
  check_bp(row_at(0, {0x16, 6, 2, 0x76, 0}), How::otherwise);
  const auto row = row_at(0, {0x10, 6, 2, 0x76, 0});
  check_bp(row, How::at_expression);
  cr_assert(row->bp.expression.start == kUsual.size() + 3 && row->bp.expression.end == kUsual.size() + 5);
}

Test(cfi_row, registers_that_nobody_asks_for_are_read_over) {
  // rbx, r12 to r15, and numbers that no machine has; then rbp.
  const TableBytes others = {0x83, 2, 0x8c, 3, 0x05, 0xff, 0xff, 3,    9,    0x10, 3,    2, 0x77, 0,
                             0x09, 3, 5,    7, 0x16, 12,   1,    0x30, 0xc3, 0x06, 0x8f, 1, 0x86, 2};
  check_bp(row_at(0, others), How::at_cfa, -16);
  const auto row = row_at(0, {0x07, 16, 0x87, 4});
  cr_assert(row.has_value());
  cr_assert(row->return_address.how == How::undefined);
  cr_assert(row->sp.how == How::at_cfa);
}

Test(cfi_row, restore_is_to_what_the_initial_instructions_say) {
  const TableBytes initial = {0x0c, 7, 8, 0x90, 1, 0x86, 5};
  check_bp(row_at(0, {0x07, 6}, initial), How::undefined);
  check_bp(row_at(0, {0x07, 6, 0xc6}, initial), How::at_cfa, -40);
  check_bp(row_at(0, {0x07, 6, 0x06, 6}, initial), How::at_cfa, -40);
}

Test(cfi_row, states_are_remembered_on_a_stack) {
  const TableBytes program = {0x0a, 0x0e, 16, 0x86, 2, 0x0a, 0x41, 0x0c, 6, 32, 0x41, 0x0b, 0x41, 0x0b};
  check_cfa(row_at(0, program), 7, 16);
  check_cfa(row_at(1, program), 6, 32);
  check_cfa(row_at(2, program), 7, 16);
  check_bp(row_at(2, program), How::at_cfa, -16);
  check_range(row_at(2, program), 2, 3);
  check_cfa(row_at(3, program), 7, 8);
  check_bp(row_at(3, program), How::unchanged);
}

Test(cfi_row, too_many_states_or_none_are_refused) {
  cr_assert(row_at(0, {0x0a, 0x0a, 0x0a, 0x0a}).has_value());
  cr_assert_not(row_at(0, {0x0a, 0x0a, 0x0a, 0x0a, 0x0a}).has_value());
  cr_assert_not(row_at(0, {0x0b}).has_value());
  // Only as far as the address.
  cr_assert(row_at(0, {0x41, 0x0b}).has_value());
}

Test(cfi_row, sizes_of_arguments_are_read_over) {
  check_cfa(row_at(0, {0x2e, 0x80, 1, 0x0e, 16}), 7, 16);
  check_cfa(row_at(0, {0x00, 0x0e, 16, 0x00, 0x00}), 7, 16);
}

Test(cfi_row, instructions_that_are_not_known_are_refused) {
  for (const unsigned code : {0x17u, 0x1cu, 0x1du, 0x2du, 0x30u, 0x3fu}) {
    cr_assert_not(row_at(0, {code, 0, 0}).has_value(), "%#x", code);
  }
}

Test(cfi_row, programs_that_end_too_early_are_refused) {
  cr_assert_not(row_at(0x20, {0x04, 1, 0}).has_value());
  cr_assert_not(row_at(0, {0x0e}).has_value());
  cr_assert_not(row_at(0, {0x0e, 0x80}).has_value());
  cr_assert_not(row_at(0, {0x0f, 3, 0x77, 8}).has_value());
  cr_assert_not(
      row_at(0, TableBytes{0x0f}.append({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})).has_value());
}

Test(cfi_row, programs_have_a_bound) {
  TableBytes program;
  for (unsigned i = 0; i < kMaxInstructions - 2; ++i) program.u8(0);
  cr_assert(row_at(0, program).has_value(), "with the two initial ones");
  program.u8(0);
  cr_assert_not(row_at(0, program).has_value());
}
