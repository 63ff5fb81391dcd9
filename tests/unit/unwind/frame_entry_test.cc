#include "core/unwind/frame_entry.h"

#include <criterion/criterion.h>

#include "tests/unit/unwind/table_bytes.h"

using namespace prof;

namespace {

constexpr uint64_t kFirst = TableWriter::kCodeAt;
constexpr uint64_t kSecond = TableWriter::kCodeAt + 0x100;

// Two functions with a gap between them.
TableWriter two_functions() {
  TableWriter writer;
  writer.functions = {{kFirst, 0x40, {0}}, {kSecond, 0x40, {0, 0}}};
  return writer;
}

// Of an offset in the object; the same by reads in place and copied.
EntrySearch search(const TableWriter& writer, uint64_t offset, FrameEntry* entry = nullptr) {
  const auto object = writer.object();
  FrameEntry found;
  FrameEntry same;
  const EntrySearch result = find_frame_entry(object->direct(), object->start() + offset, &found);
  cr_assert(find_frame_entry(object->copied(), object->start() + offset, &same) == result);
  cr_assert_eq(found.code.start, same.code.start);
  // As offsets.
  for (ByteRange* range : {&found.code, &found.initial_instructions, &found.instructions}) {
    *range = {range->start - object->start(), range->end - object->start()};
  }
  if (entry != nullptr) *entry = found;
  return result;
}

void check_found(const TableWriter& writer) { cr_assert(search(writer, kSecond + 1) == EntrySearch::found); }
void check_foreign(const TableWriter& writer) { cr_assert(search(writer, kSecond + 1) == EntrySearch::foreign); }

}  // namespace

Test(frame_entry, an_entry_has_its_addresses_and_no_others) {
  const TableWriter writer = two_functions();
  FrameEntry entry;
  cr_assert(search(writer, kFirst, &entry) == EntrySearch::found);
  cr_assert(entry.code.start == kFirst && entry.code.end == kFirst + 0x40);
  cr_assert_eq(entry.instructions.end - entry.instructions.start, 1u);
  cr_assert_eq(entry.initial_instructions.end - entry.initial_instructions.start, 5u);
  cr_assert(entry.code_factor == 1 && entry.data_factor == -8 && entry.return_column == 16);
  cr_assert(entry.pointer_encoding == 0x1b && !entry.is_signal_frame);
  cr_assert(search(writer, kFirst + 0x3f) == EntrySearch::found);
  cr_assert(search(writer, kFirst + 0x40) == EntrySearch::no_entry, "in the gap");
  cr_assert(search(writer, kSecond - 1) == EntrySearch::no_entry);
  cr_assert(search(writer, kSecond, &entry) == EntrySearch::found);
  cr_assert_eq(entry.code.start, kSecond);
  cr_assert(search(writer, kSecond + 0x40) == EntrySearch::no_entry);
  cr_assert(search(writer, kFirst - 1) == EntrySearch::no_entry);
  cr_assert(search(writer, ~uint64_t{0} / 2) == EntrySearch::no_entry);
}

Test(frame_entry, each_of_many_is_found) {
  for (unsigned count = 0; count <= 17; ++count) {
    TableWriter writer;
    for (unsigned i = 0; i < count; ++i) writer.functions.push_back({kFirst + 16 * i, 16, {}});
    for (unsigned i = 0; i < count; ++i) {
      FrameEntry entry;
      cr_assert(search(writer, kFirst + 16 * i + i % 16, &entry) == EntrySearch::found);
      cr_assert_eq(entry.code.start, kFirst + 16 * i);
    }
    cr_assert(search(writer, kFirst + uint64_t{16} * count) == EntrySearch::no_entry);
  }
}

Test(frame_entry, augmentations_that_compilers_write) {
  TableWriter writer = two_functions();
  writer.cie = {1, 'z', 'P', 'L', 'R', 0, 1, 0x78, 16, 7, 0x9b, 1, 2, 3, 4, 0x1b, 0x1b};
  check_found(writer);
  writer.cie = {1, 'z', 'R', 'S', 0, 1, 0x78, 16, 1, 0x1b};
  FrameEntry entry;
  cr_assert(search(writer, kFirst, &entry) == EntrySearch::found);
  cr_assert(entry.is_signal_frame);
  writer.cie = {3, 'z', 'R', 0, 1, 0x78, 0x90, 0, 1, 0x1b};
  cr_assert(search(writer, kFirst, &entry) == EntrySearch::found);
  cr_assert_eq(entry.return_column, 16u, "of version 3: a LEB128");
}

Test(frame_entry, without_augmentation_addresses_are_absolute) {
  TableWriter writer = two_functions();
  writer.cie = {1, 0, 1, 0x78, 16};
  writer.pointer_bytes = 8;
  writer.has_data = false;
  // Not where anybody looks, but read.
  cr_assert(search(writer, kFirst) == EntrySearch::no_entry);
}

Test(frame_entry, what_is_not_known_is_foreign) {
  TableWriter writer = two_functions();
  writer.cie = {4, 'z', 'R', 0, 8, 0, 1, 0x78, 16, 1, 0x1b};
  check_foreign(writer);  // a version that .eh_frame does not have
  writer.cie = {1, 'z', 'R', 'X', 0, 1, 0x78, 16, 1, 0x1b};
  check_foreign(writer);
  writer.cie = {1, 'e', 'h', 0, 1, 0x78, 16, 1, 0x1b};
  check_foreign(writer);
  writer.cie = {1, 'z', 'R', 'B', 'B', 'B', 'B', 'B', 'B', 0, 1, 0x78, 16, 1, 0x1b};
  check_foreign(writer);  // longer than there is room
  writer.cie = {1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x9b};
  check_foreign(writer);  // code by indirect addresses
  writer.cie = {1, 'z', 'R', 0, 1, 0x78, 16, 1, 0xff};
  check_foreign(writer);
  writer.cie = {1, 'z', 'P', 'R', 0, 1, 0x78, 16, 2, 0x03, 0x1b};
  check_foreign(writer);  // data that are shorter than what they hold
  writer.cie = {1, 'z', 'R', 0, 1, 0x78, 16, 0x7f, 0x1b};
  check_foreign(writer);  // and longer than the CIE
}

Test(frame_entry, headers_that_no_linker_writes_are_foreign) {
  for (const TableBytes& header : {TableBytes{2, 0x1b, 0x03, 0x3b}, TableBytes{1, 0x1b, 0x03, 0x1b},
                                   TableBytes{1, 0x1b, 0xff, 0xff}, TableBytes{1, 0xff, 0x03, 0x3b}}) {
    TableWriter writer = two_functions();
    writer.header = header;
    check_foreign(writer);
  }
}

Test(frame_entry, lengths_that_lead_out_of_the_object_are_foreign) {
  TableWriter writer = two_functions();
  writer.count_beyond = 1000;
  check_foreign(writer);
  writer.count_beyond = 0xffff'ff00;
  check_foreign(writer);
  writer = two_functions();
  writer.length_beyond = 1;
  check_foreign(writer);
  writer.length_beyond = 0x7fff'ffff;
  check_foreign(writer);
}

Test(frame_entry, an_entry_whose_cie_is_none_is_foreign) {
  TableWriter writer = two_functions();
  writer.cie_id = 24;
  check_foreign(writer);
}

Test(frame_entry, an_object_without_room_for_a_header_is_foreign) {
  for (uint64_t size = 1; size < 12; ++size) {
    TableBytes bytes;
    for (uint64_t i = 0; i < size; ++i) bytes.u8(TableBytes{1, 0x1b, 0x03, 0x3b, 0, 0, 0, 0, 0, 0, 0, 0}.bytes()[i]);
    TableObject object(bytes);
    FrameEntry entry;
    cr_assert(find_frame_entry(object.direct(), object.start(), &entry) == EntrySearch::foreign);
    cr_assert(find_frame_entry(object.copied(), object.start(), &entry) == EntrySearch::foreign);
  }
}
