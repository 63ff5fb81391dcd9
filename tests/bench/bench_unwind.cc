// What a stack costs: cold (its rules are worked out), warm, and beside libunwind's own stepping, its unw_backtrace and glibc's backtrace
// on the same stack; the whole of a tick; memory for the rules of 200 libraries, and for 10 000 stacks. Ratios beside each other in one
// run; medians.
#include <dirent.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/region.h"
#include "core/record/cpu_buckets.h"
#include "core/record/record.h"
#include "core/record/stack_table.h"
#include "core/record/thread_names.h"
#include "core/report/profile_builder.h"
#include "core/report/profile_encoder.h"
#include "core/report/snapshot_from_region.h"
#include "core/unwind/rule_cache.h"
#include "core/unwind/rule_from_libunwind.h"
#include "core/unwind/rule_from_tables.h"
#include "core/unwind/slow_walk.h"
#include "core/unwind/unwind.h"

using namespace prof;

namespace {

constexpr unsigned kCapacity = 512;
std::vector<double> g_cold, g_warm, g_along, g_tables, g_libunwind, g_step, g_backtrace, g_unw_backtrace, g_record;
int (*g_unw_backtrace_of)(void**, int);  // of Debian's libunwind8; null where it is not there
unsigned g_frames;

double now_ns() {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e9 + static_cast<double>(t.tv_nsec);
}

template <typename Work>
double per_frame(Work work) {
  const double start = now_ns();
  work();
  return (now_ns() - start) / g_frames;
}

bool visit(void*, uint64_t, bool) { return true; }

void on_signal(int, siginfo_t*, void* raw) {
  const auto& context = *static_cast<ucontext_t*>(raw);
  uint64_t frames[kCapacity];
  void* addresses[kCapacity];
  const auto sp = static_cast<uint64_t>(context.uc_mcontext.gregs[REG_RSP]);
  const StackBounds bounds = {sp - 65536, sp + 16384};
  g_frames = capture(context, bounds, frames, kCapacity).frames;
  rule_cache_forget();
  g_cold.push_back(per_frame([&] { capture(context, bounds, frames, kCapacity); }));
  g_warm.push_back(per_frame([&] {
                     for (int i = 0; i < 100; ++i) capture(context, bounds, frames, kCapacity);
                   }) /
                   100);
  constexpr unsigned kThread = 1;
  capture(context, bounds, kThread, frames, kCapacity);
  g_along.push_back(per_frame([&] {
                      for (int i = 0; i < 100; ++i) capture(context, bounds, kThread, frames, kCapacity);
                    }) /
                    100);
  g_step.push_back(per_frame([&] {
    ReadableMemory memory(context, bounds);
    slow_walk(context, &memory, visit, nullptr);
  }));
  g_backtrace.push_back(per_frame([&] { backtrace(addresses, kCapacity); }));
  if (g_unw_backtrace_of != nullptr) {
    g_unw_backtrace_of(addresses, kCapacity);
    g_unw_backtrace.push_back(per_frame([&] {
                                for (int i = 0; i < 100; ++i) g_unw_backtrace_of(addresses, kCapacity);
                              }) /
                              100);
  }
  static ThreadSlot* slot = take_thread_slot();
  const double start = now_ns();
  for (int i = 0; i < 100; ++i) {
    const unsigned count = capture(context, bounds, kThread, frames, kCapacity).frames;
    count_cpu_ticks(intern_stack(frames, count, 0), own_thread_name(slot, 1, 10), 0, 1, 1);
  }
  g_record.push_back((now_ns() - start) / 100);
}

__attribute__((noinline)) void descend(int depth) {
  if (depth == 0) {
    raise(SIGUSR1);
  } else {
    descend(depth - 1);
  }
  asm volatile("");
}

// Addresses that were not looked up before, all over one library.
void work_out_rules() {
  rule_from_libunwind_start();
  const auto base = reinterpret_cast<uint64_t>(&qsort);
  for (uint64_t i = 0; i < 2000; ++i) {
    const uint64_t address = base + i * 61;
    double start = now_ns();
    rule_from_tables(address, address);
    g_tables.push_back(now_ns() - start);
    start = now_ns();
    rule_from_libunwind(address, address);
    g_libunwind.push_back(now_ns() - start);
  }
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Memory of the process's own, in KiB.
long anonymous_kb() {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line))
    if (line.starts_with("RssAnon:")) return std::atol(line.c_str() + 8);
  return 0;
}

unsigned objects() {
  unsigned count = 0;
  dl_iterate_phdr([](struct dl_phdr_info*, size_t, void* counted) { return ++*static_cast<unsigned*>(counted), 0; },
                  &count);
  return count;
}

// The rules of 500 addresses of each of 200 libraries, as ticks would ask for them.
void many_libraries() {
  constexpr unsigned kLibraries = 200;
  constexpr unsigned kAddresses = 500;
  const std::string folder = "/usr/lib/x86_64-linux-gnu/";
  DIR* const listed = opendir(folder.c_str());
  if (listed == nullptr) return;
  while (const struct dirent* entry = readdir(listed)) {
    if (objects() >= kLibraries) break;
    const std::string name = entry->d_name;
    // Not those that take over malloc or the like when they are there.
    const bool is_plain = name.starts_with("lib") && name.find(".so.") != std::string::npos &&
                          name.find("malloc") == std::string::npos && name.find("san.") == std::string::npos &&
                          name.find("efence") == std::string::npos && name.find("prof") == std::string::npos;
    if (is_plain) dlopen((folder + name).c_str(), RTLD_LAZY | RTLD_LOCAL);
  }
  closedir(listed);
  const long before = anonymous_kb();
  unsigned rules = 0;
  dl_iterate_phdr(
      [](struct dl_phdr_info* object, size_t, void* counted) {
        for (int i = 0; i < object->dlpi_phnum; ++i) {
          const auto& segment = object->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0) continue;
          for (unsigned k = 0; k < kAddresses; ++k) {
            const uint64_t address = object->dlpi_addr + segment.p_vaddr + segment.p_memsz * k / kAddresses;
            const uint32_t generation = rule_cache_generation();
            if (rule_cache_find(address, generation).kind() != RuleKind::none) continue;
            const RuleOfRange found = rule_from_tables(address, address);
            rule_cache_store(address, found.start, found.end, generation, found.rule);
            ++*static_cast<unsigned*>(counted);
          }
        }
        return 0;
      },
      &rules);
  printf("memory for the rules of %u libraries (%u worked out): %.1f MB\n", objects(), rules,
         static_cast<double>(anonymous_kb() - before) / 1024);
}

double resident_mb() {
  std::ifstream status("/proc/self/statm");
  long total = 0;
  long resident = 0;
  status >> total >> resident;
  return static_cast<double>(resident) * 4096 / 1e6;
}

}  // namespace

int main() {
  void* warm[4];
  backtrace(warm, 4);
  unwind_start({});
  if (!region_create() || !record_create({})) return 1;
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGUSR1, &action, nullptr);
  if (void* const libunwind = dlopen("libunwind.so.8", RTLD_NOW); libunwind != nullptr)
    g_unw_backtrace_of = reinterpret_cast<int (*)(void**, int)>(dlsym(libunwind, "unw_backtrace"));
  for (int i = 0; i < 300; ++i) descend(40);
  work_out_rules();
  printf(
      "a stack of %u frames, ns a frame (medians of 300): warm %.1f, cold %.0f; libunwind's unw_step %.0f, its "
      "unw_backtrace "
      "%.1f, glibc's backtrace %.0f\n",
      g_frames, median(g_warm), median(g_cold), median(g_step), g_unw_backtrace.empty() ? 0 : median(g_unw_backtrace),
      median(g_backtrace));
  printf("the same along the thread's last walk: %.1f ns a frame\n", median(g_along));
  printf("a rule worked out, ns (medians of 2000 addresses of libc): from tables %.0f, by libunwind %.0f\n",
         median(g_tables), median(g_libunwind));
  printf("a tick's recording (capture, intern, name, count), warm: %.0f ns\n", median(g_record));
  const double before = resident_mb();
  // 10 000 addresses all over libc and libstdc++, so that the dump has names to look up.
  const uint64_t code[] = {reinterpret_cast<uint64_t>(&qsort),
                           reinterpret_cast<uint64_t>(static_cast<void (*)()>(&std::terminate))};
  for (uint64_t i = 0; i < 10'000; ++i) {
    uint64_t frames[40];
    for (uint64_t k = 0; k < 40; ++k) frames[k] = code[k % 2] + (i * 31 + k * k * 17 + i / 5000 * k) * 7919 % 5000 * 80;
    count_cpu_ticks(intern_stack(frames, 40, 0), 0, 0, 1, 1);
  }
  printf("resident for 10 000 stacks of 40 frames: %.1f MB, %u MB of region\n", resident_mb() - before,
         g_region->segments.load());
  std::vector<double> dumps;
  for (int i = 0; i < 5; ++i) {
    const double start = now_ns();
    Symbolizer symbolizer(getpid());
    const Profile profile = build_cpu_profile(snapshot_from_region(RegionView::of_self(g_region), {1}),
                                              ModuleMap::of_process(getpid()), &symbolizer);
    const size_t bytes = encode_profile(profile).size();
    dumps.push_back((now_ns() - start) / 1e6);
    if (i == 0)
      printf("their profile: %zu locations, %zu functions, %zu kB\n", profile.locations.size(),
             profile.functions.size(), bytes / 1000);
  }
  printf("a dump of them, names included: %.0f ms (median of 5)\n", median(dumps));
  many_libraries();
}
