#include "core/record/unloaded_modules.h"

#include <criterion/criterion.h>

#include <cstring>

#include "core/record/record.h"
#include "core/report/snapshot_from_region.h"

using namespace prof;

static void setup() {
  cr_assert(region_create());
  cr_assert(record_create({}));
}

static void unload(const char* path, uint64_t start) {
  ModuleSegment segment = {start, start + 0x1000, 0x2000, path, static_cast<uint32_t>(strlen(path)), {0xab, 0xcd}, 2};
  note_unloaded(segment);
  next_module_generation();
}

Test(unloaded_modules, a_library_that_comes_back_is_one_entry_until_another_takes_its_place, .init = setup) {
  unload("/a.so", 0x10000);
  unload("/a.so", 0x10000);
  unload("/a.so", 0x50000);
  unload("/b.so", 0x10800);
  unload("/a.so", 0x10000);
  const auto modules = snapshot_from_region(RegionView::of_self(g_region), {}).unloaded;
  cr_assert_eq(modules.size(), 4u);
  cr_assert_eq(modules[3].path, "/a.so");
  cr_assert_eq(modules[3].last_generation, 1u);
  cr_assert_eq(modules[3].build_id, "abcd");
  cr_assert_eq(modules[1].path, "/b.so");
  cr_assert_eq(modules[1].last_generation, 3u);
  cr_assert_eq(modules[0].last_generation, 4u);
  cr_assert_eq(modules[0].file_offset, 0x2000u);
}
