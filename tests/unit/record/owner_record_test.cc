#include "core/record/owner_record.h"

#include <criterion/criterion.h>

#include <cstring>

#include "core/record/record.h"

using namespace prof;

static OwnerRecord* make_owner() {
  cr_assert(region_create());
  cr_assert(record_create({}));
  cr_assert_null(owner_record());
  const Ref ref = region_allocate(sizeof(OwnerRecord));
  g_region->roots[static_cast<unsigned>(Root::owner)] = ref;
  return owner_record();
}

Test(owner_record, texts_are_kept) {
  make_owner();
  const Ref ref = put_owner_text("/a/b", 4);
  cr_assert_eq(region_at<OwnerText>(ref)->bytes, 4u);
  cr_assert_eq(memcmp(region_at<OwnerText>(ref)->text, "/a/b", 4), 0);
}

Test(owner_record, the_last_noted_at_a_place_is_what_is_there) {
  OwnerRecord* owner = make_owner();
  cr_assert_null(loaded_at(*owner, 0x1000));
  note_loaded(owner, {0x1000, 0x3000, 0, "/first", 6, {1, 2}, 2});
  note_loaded(owner, {0x5000, 0x6000, 0, "/second", 7, {}, 0});
  cr_assert_eq(memcmp(loaded_at(*owner, 0x2fff)->path, "/first", 6), 0);
  cr_assert_eq(loaded_at(*owner, 0x2fff)->build_id_bytes, 2u);
  cr_assert_null(loaded_at(*owner, 0x3000));
  next_module_generation();
  note_loaded(owner, {0x2000, 0x4000, 0, "/third", 6, {}, 0});
  cr_assert_eq(memcmp(loaded_at(*owner, 0x2fff)->path, "/third", 6), 0);
  cr_assert_eq(loaded_at(*owner, 0x2fff)->last_generation.load(), 1u);
  cr_assert_eq(memcmp(loaded_at(*owner, 0x1000)->path, "/first", 6), 0);
}
