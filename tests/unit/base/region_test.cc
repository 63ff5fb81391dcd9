#include "core/base/region.h"

#include <criterion/criterion.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <thread>
#include <vector>

#include "core/record/record.h"
#include "core/report/region_view.h"

using namespace prof;

Test(region, entries_are_zeroed_aligned_and_do_not_cross_segments) {
  cr_assert(region_create());
  const uint64_t sizes[] = {1, 8, 24, 4096, 100'000, kSegmentBytes / 2};
  uint64_t last_end = 0;
  for (int i = 0; i < 120; ++i) {
    const uint64_t bytes = sizes[i % 6];
    const Ref ref = region_allocate(bytes);
    cr_assert_neq(ref, 0u);
    const uint64_t begin = uint64_t{ref} << kRefShift;
    cr_assert_geq(begin, last_end);
    cr_assert_eq(begin >> kSegmentShift, (begin + bytes - 1) >> kSegmentShift);
    const char* entry = region_at<char>(ref);
    cr_assert_eq(reinterpret_cast<uint64_t>(entry) % 8, 0u);
    for (uint64_t k = 0; k < bytes; ++k) cr_assert_eq(entry[k], 0);
    memset(region_at<char>(ref), 0xff, bytes);
    last_end = begin + bytes;
  }
  cr_assert_gt(g_region->segments.load(), 10u);
}

Test(region, threads_get_entries_of_their_own) {
  cr_assert(region_create());
  constexpr int kThreads = 4;
  constexpr int kEntries = 5000;
  std::vector<std::vector<Ref>> refs(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([t, &refs] {
      for (int i = 0; i < kEntries; ++i) {
        const Ref ref = region_allocate(200);
        cr_assert_neq(ref, 0u);
        *region_at<int>(ref) = t * kEntries + i;
        refs[static_cast<size_t>(t)].push_back(ref);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (int t = 0; t < kThreads; ++t) {
    for (int i = 0; i < kEntries; ++i)
      cr_assert_eq(*region_at<int>(refs[static_cast<size_t>(t)][static_cast<size_t>(i)]), t * kEntries + i);
  }
}

Test(region, a_file_size_limit_refuses_growth_and_does_not_kill) {
  cr_assert(region_create());
  const struct rlimit limit = {4096, 4096};
  setrlimit(RLIMIT_FSIZE, &limit);
  int given = 0;
  while (given < 10'000 && region_allocate(4096) != 0) ++given;
  cr_assert_lt(given, 256, "one segment has room for fewer than 256 pages");
  cr_assert_gt(g_region->grow_failures.load(), 0u);
}

Test(region, no_descriptor_stays_open) {
  const int before = dup(0);
  close(before);
  cr_assert(region_create());
  for (int i = 0; i < 1000; ++i) region_allocate(4096);
  const int after = dup(0);
  cr_assert_eq(before, after);
}

Test(region_view, reads_its_own_and_another_process) {
  cr_assert(region_create());
  cr_assert(record_create({}));
  const Ref ref = region_allocate(4096);
  for (int i = 0; i < 600; ++i) region_allocate(4096);
  const Ref far = region_allocate(8);
  strcpy(region_at<char>(ref), "near");
  strcpy(region_at<char>(far), "far");
  const RegionView own = RegionView::of_self(g_region);
  cr_assert(own.valid());
  cr_assert_str_eq(static_cast<const char*>(own.at(far, 8)), "far");

  int ready[2];
  cr_assert_eq(pipe(ready), 0);
  const pid_t reader = fork();
  if (reader == 0) {
    // The region is found by its name, as any reader would.
    const RegionView view = RegionView::of_process(getppid(), RegionView::find_in_process(getppid()));
    const bool right = view.valid() && view.header().pid == getppid() &&
                       strcmp(static_cast<const char*>(view.at(ref, 8)), "near") == 0 &&
                       strcmp(static_cast<const char*>(view.at(far, 8)), "far") == 0;
    _exit(right ? 0 : 1);
  }
  int status = 0;
  waitpid(reader, &status, 0);
  cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(region_view, refuses_what_is_not_within) {
  cr_assert(region_create());
  const RegionView view = RegionView::of_self(g_region);
  cr_assert_null(view.at(0, 8));
  cr_assert_null(view.at(static_cast<Ref>((kSegmentBytes - 8) >> kRefShift), 16));
  cr_assert_null(view.at(0xffff'ffff, 8));
  cr_assert_not(RegionView::of_process(getpid(), 0).valid());
  cr_assert_not(RegionView::of_process(getpid(), reinterpret_cast<uint64_t>(&view)).valid());
  g_region->version += 1;
  cr_assert_not(RegionView::of_self(g_region).valid());
}
