#include "core/unwind/dwarf_reader.h"

#include <criterion/criterion.h>

#include <limits>

#include "tests/unit/unwind/table_bytes.h"

using namespace prof;

namespace {

// All reads are made both ways: in place, and copied.
template <typename Read>
void check(const TableBytes& content, Read read) {
  TableObject object(content);
  for (CodeBytes* bytes : {object.direct(), object.copied()}) {
    DwarfReader reader(bytes, object.start(), object.end());
    read(&reader);
  }
}

void check_uleb128(const TableBytes& content, uint64_t value) {
  check(content, [&](DwarfReader* reader) {
    cr_assert_eq(reader->uleb128(), value);
    cr_assert(reader->ok() && reader->at_end());
  });
}

void check_sleb128(const TableBytes& content, int64_t value) {
  check(content, [&](DwarfReader* reader) {
    cr_assert_eq(reader->sleb128(), value);
    cr_assert(reader->ok() && reader->at_end());
  });
}

void check_pointer(uint8_t encoding, const TableBytes& content, uint64_t value) {
  check(content, [&](DwarfReader* reader) {
    cr_assert_eq(reader->pointer(encoding, 0x1000), value, "encoding %#x", encoding);
    cr_assert(reader->ok() && reader->at_end());
  });
}

void check_no_pointer(uint8_t encoding) {
  check({1, 0, 0, 0, 0, 0, 0, 0}, [&](DwarfReader* reader) {
    cr_assert_eq(reader->pointer(encoding, 0x1000), 0u);
    cr_assert_not(reader->ok(), "encoding %#x", encoding);
  });
}

}  // namespace

Test(dwarf_reader, numbers_follow_each_other) {
  check({1, 2, 0, 3, 0, 0, 0, 0xff}, [](DwarfReader* reader) {
    cr_assert_eq(reader->u8(), 1);
    cr_assert_eq(reader->number<uint16_t>(), 2);
    cr_assert_eq(reader->number<uint32_t>(), 3u);
    cr_assert_not(reader->at_end());
    cr_assert_eq(reader->number<int8_t>(), -1);
    cr_assert(reader->ok() && reader->at_end());
  });
}

Test(dwarf_reader, unsigned_leb128_to_its_limits) {
  check_uleb128({0}, 0);
  check_uleb128({0x7f}, 127);
  check_uleb128({0x80, 1}, 128);
  check_uleb128({0x80, 0x80, 0}, 0);
  check_uleb128({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, ~uint64_t{0});
}

Test(dwarf_reader, signed_leb128_to_its_limits) {
  check_sleb128({0}, 0);
  check_sleb128({0x3f}, 63);
  check_sleb128({0x40}, -64);
  check_sleb128({0xc0, 0}, 64);
  check_sleb128({0x7f}, -1);
  check_sleb128({0x80, 0x7f}, -128);
  check_sleb128({0xff, 0x7f}, -1);
  check_sleb128({0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f}, std::numeric_limits<int64_t>::min());
  check_sleb128({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0}, std::numeric_limits<int64_t>::max());
}

Test(dwarf_reader, leb128_of_more_than_64_bits_is_refused) {
  const TableBytes longer = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0};
  check(longer, [](DwarfReader* reader) {
    cr_assert_eq(reader->uleb128(), 0u);
    cr_assert_not(reader->ok());
  });
  check(longer, [](DwarfReader* reader) {
    cr_assert_eq(reader->sleb128(), 0);
    cr_assert_not(reader->ok());
  });
}

Test(dwarf_reader, what_goes_over_the_end_is_remembered) {
  check({1, 2, 3}, [](DwarfReader* reader) {
    cr_assert_eq(reader->number<uint32_t>(), 0u);
    cr_assert(!reader->ok() && reader->at_end());
    cr_assert_eq(reader->u8(), 0, "nothing is read any more");
  });
  check({0x80, 0x80}, [](DwarfReader* reader) {
    reader->uleb128();
    cr_assert_not(reader->ok());
  });
  check({1, 2}, [](DwarfReader* reader) {
    reader->skip(2);
    cr_assert(reader->ok() && reader->at_end());
    reader->skip(1);
    cr_assert_not(reader->ok());
  });
  check({1, 2}, [](DwarfReader* reader) {
    reader->skip(~uint64_t{0});
    cr_assert_not(reader->ok());
  });
}

Test(dwarf_reader, the_end_may_be_within_the_object_and_not_behind_it) {
  TableObject object({1, 2, 3, 4});
  DwarfReader within(object.direct(), object.start(), object.start() + 2);
  within.number<uint32_t>();
  cr_assert_not(within.ok());
  for (CodeBytes* bytes : {object.direct(), object.copied()}) {
    DwarfReader beyond(bytes, object.start() + 2, object.end() + 100);
    beyond.number<uint32_t>();
    cr_assert_not(beyond.ok());
  }
}

Test(dwarf_reader, pointers_as_encoded) {
  check_pointer(0x00, {1, 2, 3, 4, 5, 6, 7, 8}, 0x0807'0605'0403'0201);
  check_pointer(0x01, {0x80, 1}, 128);
  check_pointer(0x02, {0xff, 0xff}, 0xffff);
  check_pointer(0x03, {0xff, 0xff, 0xff, 0xff}, 0xffff'ffff);
  check_pointer(0x04, {1, 0, 0, 0, 0, 0, 0, 0x80}, 0x8000'0000'0000'0001);
  check_pointer(0x09, {0x7f}, ~uint64_t{0});
  check_pointer(0x0a, {0xfe, 0xff}, ~uint64_t{0} - 1);
  check_pointer(0x0b, {0xfe, 0xff, 0xff, 0xff}, ~uint64_t{0} - 1);
  check_pointer(0x0c, {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ~uint64_t{0} - 1);
  check_pointer(0x3b, {0xff, 0xff, 0xff, 0xff}, 0xfff);
}

Test(dwarf_reader, a_pointer_relative_to_itself) {
  check({0, 0xff, 0xff, 0xff, 0xff}, [](DwarfReader* reader) {
    reader->u8();
    const uint64_t itself = reader->at();
    cr_assert_eq(reader->pointer(0x1b), itself - 1);
    cr_assert(reader->ok());
  });
}

Test(dwarf_reader, encodings_that_do_not_occur_are_refused) {
  for (const unsigned encoding : {0x05u, 0x0fu, 0x20u, 0x40u, 0x50u, 0x9bu, 0x80u, 0xffu}) {
    check_no_pointer(static_cast<uint8_t>(encoding));
  }
}
