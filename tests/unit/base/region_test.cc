#include "core/base/region.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
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

Test(region, an_address_space_limit_refuses_growth_and_does_not_kill) {
  cr_assert(region_create());
  struct rlimit before;
  getrlimit(RLIMIT_AS, &before);
  const struct rlimit limit = {4096, before.rlim_max};
  setrlimit(RLIMIT_AS, &limit);
  int given = 0;
  while (given < 10'000 && region_allocate(4096) != 0) ++given;
  setrlimit(RLIMIT_AS, &before);
  cr_assert_lt(given, 256, "one segment has room for fewer than 256 pages");
  cr_assert_gt(g_region->grow_failures.load(), 0u);
}

Test(region, no_limit_on_files_concerns_it) {
  const pid_t child = fork();  // the test's own framework could not live under these
  if (child == 0) {
    const struct rlimit limit = {0, 0};
    setrlimit(RLIMIT_FSIZE, &limit);
    setrlimit(RLIMIT_NOFILE, &limit);
    bool right = region_create();
    for (int i = 0; right && i < 1000; ++i) right = region_allocate(4096) != 0;
    _exit(right ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(region, is_set_aside_when_it_is_made_and_taken_when_it_is_touched) {
  cr_assert(region_create());
  const auto pages = [] {
    unsigned char in_memory[kSegmentBytes / 4096];
    cr_assert_eq(mincore(g_region, kSegmentBytes, in_memory), 0);
    size_t count = 0;
    for (const unsigned char page : in_memory) count += page & 1;
    return count;
  };
  cr_assert_eq(pages(), 1u);
  cr_assert_neq(region_allocate(kSegmentBytes / 2), 0u);
  cr_assert_eq(pages(), 1u);
  // Only a mapping without MAP_NORESERVE has its memory set aside; a memfd's never has ("nr" is not shown for it).
  std::ifstream maps("/proc/self/smaps");
  std::string line, flags;
  char start[32];
  snprintf(start, sizeof(start), "%lx-", reinterpret_cast<unsigned long>(g_region));
  for (bool found = false; flags.empty() && std::getline(maps, line);) {
    if (line.starts_with(start)) {
      found = true;
      cr_assert_neq(line.find(kRegionName), std::string::npos, "%s", line.c_str());
    }
    if (found && line.starts_with("VmFlags:")) flags = line;
  }
  cr_assert_neq(flags.find(" sh"), std::string::npos);
  cr_assert_eq(flags.find(" nr"), std::string::npos);
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

Test(region_view, copies_what_is_in_use_and_what_was_added_meanwhile) {
  cr_assert(region_create());
  cr_assert(record_create({}));
  // Each entry names the next one. The reader copies while this thread adds, and none may be missing. It is slower under a tool, and
  // what is added before it is done has to be copied too.
#ifdef UNDER_A_TOOL
  constexpr int kCopies = 5;
  constexpr int kPauseUs = 2000;
#else
  constexpr int kCopies = 30;
  constexpr int kPauseUs = 20;
#endif
  const Ref first = region_allocate(sizeof(Ref));
  const pid_t reader = fork();
  if (reader == 0) {
    bool right = true;
    for (int i = 0; i < kCopies; ++i) {
      const RegionView view = RegionView::of_process(getppid(), RegionView::find_in_process(getppid()));
      Ref ref = first;
      while (ref != 0 && view.at(ref, sizeof(Ref)) != nullptr)
        ref = *static_cast<const Ref*>(view.at(ref, sizeof(Ref)));
      right = right && view.valid() && ref == 0;
    }
    _exit(right ? 0 : 1);
  }
  // At the pace of a busy recorder: one that does nothing else would never be caught up with.
  int status = 0;
  for (Ref last = first; waitpid(reader, &status, WNOHANG) == 0; usleep(kPauseUs)) {
    const Ref next = region_allocate(256);
    if (next == 0) continue;
    std::atomic_ref(*region_at<Ref>(last)).store(next, std::memory_order_release);
    last = next;
  }
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

Test(region, a_child_of_fork_leaves_what_its_parent_maps_meanwhile) {
  cr_assert(region_create());
  int go[2];
  cr_assert_eq(pipe(go), 0);
  const pid_t child = fork();
  if (child == 0) {
    char word;
    if (read(go[0], &word, 1) != 1) _exit(2);
    const Ref added = static_cast<Ref>(kSegmentBytes >> kRefShift);
    if (g_region->segments.load() < 2 || region_maps(added)) _exit(3);
    RegionHeader* parent = region_forget();
    // Maps what comes first, as the parent has done for its second segment.
    if (!region_create()) _exit(4);
    const bool is_same_place =
        reinterpret_cast<uint64_t>(g_region) == parent->segment_address[1].load(std::memory_order_relaxed);
    const bool is_mapped = region_maps_forgotten(1) && !region_maps_forgotten(added);
    region_unmap(parent);
    g_region->used.fetch_add(0);  // it is there
    _exit(is_mapped ? (is_same_place ? 0 : 10) : 5);
  }
  while (g_region->segments.load() < 2) cr_assert_neq(region_allocate(100'000), 0u);
  cr_assert_eq(write(go[1], "x", 1), 1);
  int status = 0;
  cr_assert_eq(waitpid(child, &status, 0), child);
  // 10: the test has shown nothing, since the kernel chose other places.
  cr_assert(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 10), "%x",
            static_cast<unsigned>(status));
}

Test(region, lies_in_a_file_and_grows_without_its_descriptor) {
  char path[] = "/tmp/region_test.XXXXXX";
  const int fd = mkstemp(path);
  cr_assert(region_create_in(fd, 4 * kSegmentBytes));
  close(fd);
  std::vector<Ref> refs;
  while (g_region->segments.load() < 6) {
    refs.push_back(region_allocate(200'000));
    cr_assert_neq(refs.back(), 0u);
    memset(region_at<char>(refs.back()), static_cast<int>(refs.size()), 200'000);
  }
  cr_assert_eq(g_region->file_segments.load(), 4u, "the rest did not fit");
  const int again = open(path, O_RDONLY);
  const RegionView view = RegionView::of_file(again);
  cr_assert(view.valid());
  size_t in_file = 0;
  for (size_t i = 0; i < refs.size(); ++i) {
    const auto* entry = static_cast<const char*>(view.at(refs[i], 200'000));
    if (entry == nullptr) continue;
    ++in_file;
    cr_assert_eq(entry[0], static_cast<char>(i + 1));
    cr_assert_eq(entry[199'999], static_cast<char>(i + 1));
  }
  cr_assert_geq(in_file, 16u);
  cr_assert_lt(in_file, refs.size());
  close(again);
  unlink(path);
}

Test(region, is_copied_into_a_file_that_is_read_as_its_memory_is) {
  cr_assert(region_create());
  std::vector<Ref> refs;
  while (g_region->segments.load() < 4) {
    refs.push_back(region_allocate(200'000));
    memset(region_at<char>(refs.back()), static_cast<int>(refs.size()), 200'000);
  }
  const int fd = memfd_create("copy", MFD_CLOEXEC);
  const auto address = reinterpret_cast<uint64_t>(g_region);
  cr_assert_not(RegionView::of_memory(fd, address).valid());
  for (int times = 0; times < 2; ++times) {
    cr_assert(region_copy_to(fd));
    const Ref later = region_allocate(8);
    const RegionView view = RegionView::of_memory(fd, address);
    cr_assert(view.valid());
    for (size_t i = 0; i < refs.size(); ++i) {
      const auto* entry = static_cast<const char*>(view.at(refs[i], 200'000));
      cr_assert(entry != nullptr && entry[0] == static_cast<char>(i + 1) && entry[199'999] == entry[0]);
    }
    cr_assert_null(view.at(later, 8));
  }
  close(fd);
  cr_assert_not(region_copy_to(fd));
}

Test(region, a_file_too_short_or_on_a_full_disk_is_none) {
  char path[] = "/tmp/region_test.XXXXXX";
  const int fd = mkstemp(path);
  cr_assert(!region_create_in(fd, kSegmentBytes - 1));
  cr_assert_null(g_region);
  unlink(path);
}
