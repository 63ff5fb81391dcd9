#include "core/report/module_map.h"

#include <criterion/criterion.h>
#include <unistd.h>

using namespace prof;

static const char kMaps[] =
    "55550000-55551000 r--p 00000000 fe:00 12 /usr/bin/app\n"
    "55551000-55553000 r-xp 00001000 fe:00 12 /usr/bin/app\n"
    "7f0000000000-7f0000004000 r-xp 00028000 fe:00 99                         /tmp/with space.so (deleted)\n"
    "7f0000010000-7f0000011000 r-xp 00000000 fe:00 98 /tmp/new\\012line.so\n"
    "7f0000020000-7f0000021000 rwxp 00000000 00:00 0 \n"
    "7ffff0000000-7ffff0002000 r-xp 00000000 00:00 0                          [vdso]\n"
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"
    "garbage\n"
    "7f00\n";

Test(module_map, keeps_what_can_be_executed) {
  const ModuleMap map = ModuleMap::of_text(kMaps, "/usr/bin/app");
  const auto& modules = map.modules();
  cr_assert_eq(modules.size(), 6u);
  cr_assert_eq(map.main(), 0);
  cr_assert_eq(modules[0].start, 0x55551000u);
  cr_assert_eq(modules[0].file_offset, 0x1000u);
  cr_assert(modules[0].from_file);
  cr_assert_eq(modules[1].path, "/tmp/with space.so");
  cr_assert_eq(modules[2].path, "/tmp/new\nline.so");
  cr_assert_eq(modules[3].path, "");
  cr_assert_not(modules[3].from_file);
  cr_assert_eq(modules[4].path, "[vdso]");
}

Test(module_map, finds_by_address) {
  const ModuleMap map = ModuleMap::of_text(kMaps, "/usr/bin/app");
  cr_assert_eq(map.find(0x55551000), 0);
  cr_assert_eq(map.find(0x55552fff), 0);
  cr_assert_eq(map.find(0x55553000), -1);
  cr_assert_eq(map.find(0x55550fff), -1);
  cr_assert_eq(map.find(0), -1);
  cr_assert_eq(map.find(0x7f0000010800), 2);
}

Test(module_map, an_executable_that_was_replaced_is_still_main) {
  const ModuleMap map = ModuleMap::of_text("1000-2000 r-xp 0 fe:00 5 /bin/x (deleted)\n", "/bin/x (deleted)");
  cr_assert_eq(map.main(), 0);
}

Test(module_map, of_this_process) {
  const ModuleMap map = ModuleMap::of_process(getpid());
  cr_assert_geq(map.main(), 0);
  cr_assert_eq(map.find(reinterpret_cast<uint64_t>(&kMaps)), -1, "data is no code");
  const int self = map.find(reinterpret_cast<uint64_t>(&ModuleMap::of_process));
  cr_assert_eq(self, map.main());
}
