#include "core/report/elf_symbols.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <random>

#include "core/report/module_map.h"
#include "core/report/symbolizer.h"

using namespace prof;

extern "C" __attribute__((noinline)) int a_function_of_this_test(int n) { return n * 7; }

static std::string name_of(uint64_t address) {
  const ModuleMap map = ModuleMap::of_process(getpid());
  const Module& module = map.modules()[static_cast<size_t>(map.find(address))];
  Symbolizer symbolizer(getpid());
  return symbolizer.find_in_file(module.path, address - module.start + module.file_offset);
}

Test(elf_symbols, names_functions_of_the_program_and_of_libc) {
  cr_assert_eq(name_of(reinterpret_cast<uint64_t>(a_function_of_this_test)), "a_function_of_this_test");
  cr_assert_eq(name_of(reinterpret_cast<uint64_t>(a_function_of_this_test) + 2), "a_function_of_this_test");
  cr_assert_eq(name_of(reinterpret_cast<uint64_t>(&qsort)), "qsort");
}

Test(elf_symbols, names_the_vdso) {
  Symbolizer symbolizer(getpid());
  const ElfSymbols& vdso = symbolizer.file("[vdso]");
  bool found = false;
  for (uint64_t address = 0; address < 8192; ++address)
    found = found || vdso.find(address).find("clock_gettime") != std::string_view::npos;
  cr_assert(found);
}

Test(elf_symbols, reads_build_id_and_line_table) {
  const ElfSymbols self = ElfSymbols::of_file("/proc/self/exe");
  cr_assert_eq(self.build_id().size(), 40u);
  cr_assert(self.has_line_table());
  const ElfSymbols ls = ElfSymbols::of_file("/bin/ls");
  cr_assert_eq(ls.build_id().size(), 40u);
  cr_assert_not(ls.has_line_table());
}

Test(elf_symbols, what_is_no_elf_file_has_nothing) {
  for (const char* path : {"/etc/passwd", "/nonexistent", "/tmp", "/dev/null", "/dev/zero", ""}) {
    const ElfSymbols none = ElfSymbols::of_file(path);
    cr_assert(none.find(0x1000).empty());
    cr_assert(none.segments().empty());
  }
}

// Damaged in a few bytes of the headers or anywhere, or cut: never a crash.
Test(elf_symbols, survives_damage) {
  std::ifstream original("/bin/true", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(original), {}};
  std::mt19937_64 random(3);
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = bytes;
    for (unsigned i = 0; i < 1 + random() % 8; ++i) {
      const size_t range = random() % 2 == 0 ? 0x300 : damaged.size();
      // The section table is at the end.
      const size_t at = random() % 3 == 0 ? damaged.size() - 1 - random() % 2000 : random() % range;
      damaged[at] = static_cast<char>(random());
    }
    if (random() % 4 == 0) damaged.resize(random() % damaged.size());
    const ElfSymbols elf = ElfSymbols::of_memory(damaged.data(), damaged.size());
    uint64_t address = 0;
    elf.address_of_offset(random() % 100'000, &address);
    elf.find(address);
  }
}
