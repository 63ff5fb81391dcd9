#include "core/unwind/expression_value.h"

#include <criterion/criterion.h>

#include "tests/unit/unwind/table_bytes.h"

using namespace prof;
using Of = ExpressionValue::Of;

namespace {

struct Valued {
  ExpressionValue value;
  bool depends_on_pc = false;
};

Valued value_of(const TableBytes& expression, uint64_t pc = 0x1000) {
  TableObject object(expression);
  Valued valued;
  valued.value = value_of_expression(object.direct(), object.all(), pc, &valued.depends_on_pc);
  return valued;
}

void check(const TableBytes& expression, Of of, int64_t offset = 0, int64_t inner = 0) {
  const Valued valued = value_of(expression);
  cr_assert(valued.value.of == of, "%d", static_cast<int>(valued.value.of));
  if (of == Of::unknown) return;
  cr_assert_eq(valued.value.offset, offset);
  cr_assert_eq(valued.value.inner, inner);
  cr_assert_not(valued.depends_on_pc);
}

TableBytes repeated(const TableBytes& what, unsigned times, TableBytes after = {}) {
  TableBytes all;
  for (unsigned i = 0; i < times; ++i) all.append(what);
  return all.append(after);
}

}  // namespace

// As the linker writes it: rsp + 8 + ((rip & 15) >= 11 ? 8 : 0), since a slot pushes its number at its eleventh byte.
Test(expression_value, the_expression_of_a_plt) {
  const TableBytes plt = {0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22};
  for (uint64_t pc = 0x1000; pc < 0x1020; ++pc) {
    const Valued valued = value_of(plt, pc);
    cr_assert(valued.value.of == Of::sp);
    cr_assert_eq(valued.value.offset, pc % 16 >= 11 ? 16 : 8);
    cr_assert(valued.depends_on_pc);
  }
}

Test(expression_value, the_expressions_of_realigned_stacks) {
  check({0x76, 0x78, 0x06}, Of::memory_at_bp, 0, -8);  // *(rbp - 8)
  check({0x76, 0x78, 0x06, 0x23, 16}, Of::memory_at_bp, 16, -8);
  check({0x77, 0x28, 0x06, 0x38, 0x1c}, Of::memory_at_sp, -8, 40);
  check({0x76, 0x70}, Of::bp, -16);
}

Test(expression_value, every_constant) {
  check({0x30}, Of::constant, 0);
  check({0x4f}, Of::constant, 31);
  check({0x08, 0xff}, Of::constant, 255);
  check({0x09, 0xff}, Of::constant, -1);
  check({0x0a, 0xff, 0xff}, Of::constant, 0xffff);
  check({0x0b, 0xfe, 0xff}, Of::constant, -2);
  check({0x0c, 0xff, 0xff, 0xff, 0xff}, Of::constant, 0xffff'ffff);
  check({0x0d, 0xfd, 0xff, 0xff, 0xff}, Of::constant, -3);
  check({0x0e, 1, 0, 0, 0, 0, 0, 0, 0x80}, Of::constant, static_cast<int64_t>(0x8000'0000'0000'0001));
  check({0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, Of::constant, -1);
  check({0x10, 0x80, 1}, Of::constant, 128);
  check({0x11, 0x7f}, Of::constant, -1);
}

Test(expression_value, operations_on_constants) {
  check({0x36, 0x33, 0x1a}, Of::constant, 2);   // 6 & 3
  check({0x36, 0x33, 0x21}, Of::constant, 7);   // |
  check({0x36, 0x33, 0x27}, Of::constant, 5);   // ^
  check({0x36, 0x33, 0x1e}, Of::constant, 18);  // *
  check({0x36, 0x33, 0x1c}, Of::constant, 3);   // -
  check({0x33, 0x36, 0x1c}, Of::constant, -3);
  check({0x36, 0x33, 0x22}, Of::constant, 9);   // +
  check({0x36, 0x33, 0x24}, Of::constant, 48);  // <<
  check({0x36, 0x32, 0x25}, Of::constant, 1);   // >>
  check({0x36, 0x33, 0x29}, Of::constant, 0);   // ==
  check({0x36, 0x33, 0x2a}, Of::constant, 1);   // >=
  check({0x36, 0x33, 0x2b}, Of::constant, 1);   // >
  check({0x36, 0x33, 0x2c}, Of::constant, 0);   // <=
  check({0x36, 0x33, 0x2d}, Of::constant, 0);   // <
  check({0x36, 0x33, 0x2e}, Of::constant, 1);   // !=
  check({0x31, 0x08, 64, 0x24}, Of::constant, 0);
  check({0x31, 0x09, 0xff, 0x25}, Of::constant, 0);
  check({0x09, 0xff, 0x30, 0x2d}, Of::constant, 1);  // -1 < 0: comparisons have a sign
}

Test(expression_value, sums_wrap_around_as_the_machine_does) {
  const TableBytes largest = {0x0e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
  const int64_t smallest = static_cast<int64_t>(uint64_t{1} << 63);
  check(TableBytes(largest).append({0x31, 0x22}), Of::constant, smallest);
  check(TableBytes{0x77, 1}.append(largest).append({0x22}), Of::sp, smallest);
  check(TableBytes(largest).append(largest).append({0x1e}), Of::constant, 1);
}

Test(expression_value, values_are_on_a_stack) {
  check({0x77, 8, 0x35, 0x13}, Of::sp, 8);      // drop
  check({0x35, 0x12, 0x22}, Of::constant, 10);  // dup
  check({0x77, 8, 0x12}, Of::sp, 8);
  check({0x38, 0x77, 8, 0x22}, Of::sp, 16);  // in either order
  check({0x96, 0x77, 8, 0x96}, Of::sp, 8);   // nop
  check({0x33, 0x77, 8}, Of::sp, 8);         // the topmost is the value
}

Test(expression_value, what_is_no_such_sum_is_unknown) {
  check({}, Of::unknown);
  check({0x73, 0}, Of::unknown);  // rbx
  check({0x73, 0, 0x38, 0x22}, Of::unknown);
  check({0x77, 0, 0x76, 0, 0x22}, Of::unknown);     // rsp + rbp
  check({0x38, 0x77, 0, 0x1c}, Of::unknown);        // 8 - rsp
  check({0x77, 0, 0x09, 0xf0, 0x1a}, Of::unknown);  // rsp & -16
  check({0x76, 0, 0x06, 0x06}, Of::unknown);        // **rbp
  check({0x38, 0x06}, Of::unknown);                 // *8
  check({0x13}, Of::unknown);
  check({0x22}, Of::unknown);
}

Test(expression_value, operations_that_are_not_known_are_not_guessed) {
  for (const unsigned operation :
       {0x00u, 0x03u, 0x14u, 0x16u, 0x1bu, 0x1du, 0x20u, 0x26u, 0x2fu, 0x28u, 0x50u, 0x90u, 0xe0u}) {
    check({0x31, 0x32, operation}, Of::unknown);
  }
}

Test(expression_value, expressions_have_a_bound) {
  check(repeated({0x31}, 16), Of::constant, 1);
  check(repeated({0x31}, 17), Of::unknown);
  check(repeated({0x31, 0x12}, 8), Of::constant, 1);
  check(repeated({0x31, 0x12}, 9), Of::unknown);
  check(repeated({0x96}, 255, {0x31}), Of::constant, 1);
  check(repeated({0x96}, 256, {0x31}), Of::unknown);
}

Test(expression_value, what_ends_too_early_is_unknown) {
  check({0x31, 0x77}, Of::unknown);
  check({0x31, 0x77, 0x80}, Of::unknown);
  check({0x31, 0x0c, 1, 2}, Of::unknown);
  check({0x31, 0x23}, Of::unknown);
}
