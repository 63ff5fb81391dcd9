#include "core/base/region.h"

#include <sys/mman.h>

#include <cstddef>
#include <cstring>

#include "core/base/clocks.h"
#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"

namespace prof {

RegionHeader* g_region = nullptr;

namespace {

// Growth is begun when less than this is left, so that one thread adds a segment while the others still have room.
constexpr uint64_t kGrowAhead = kSegmentBytes / 4;
constexpr int kMaxWaits = 200;  // for another thread's growth: about 10 ms of sched_yield when the machine is idle
constexpr uint32_t kRetryEvery = 64;

// Segments of the region, or of the one that was forgotten last, that are mapped in this process. Not in the header: a child of fork has
// the number that there were at the fork.
constinit std::atomic<uint32_t> g_mapped{0};
constinit uint32_t g_mapped_of_forgotten = 0;

bool is_error(long address) { return address < 0 && address > -4096; }

// A mapped, zeroed segment, or null. Shared and anonymous, because the kernel sets memory aside for the whole of such a
// mapping when it is made and takes pages when they are touched: a touch that found none left would kill the host by
// SIGBUS, as it may in a memfd or a file of tmpfs, whose pages must all be taken first (0.3 ms a MiB; /proc/meminfo's
// Committed_AS shows the difference).
void* map_segment() {
  const long address =
      raw_syscall(SYS_mmap, nullptr, kSegmentBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return is_error(address) ? nullptr : reinterpret_cast<void*>(address);
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

// Bytes of the region's file; 0: it has none. Of this process.
constinit uint64_t g_file_bytes = 0;

// Whether the file system gave every page of it. Where a touch would end in SIGBUS, for want of room, this ends in an error.
bool take_pages(long segment) { return raw_syscall(SYS_madvise, segment, kSegmentBytes, MADV_POPULATE_WRITE) == 0; }

// The file's segment behind the last one, or null. Without a descriptor, which the host may have closed long since: a second mapping of
// what is mapped already may be longer than that.
void* map_next_of_file(uint32_t before) {
  if (g_region->file_segments.load(std::memory_order_relaxed) != before) return nullptr;
  if (uint64_t{before + 1} << kSegmentShift > g_file_bytes) return nullptr;
  const uint64_t last = g_region->segment_address[before - 1].load(std::memory_order_relaxed);
  const long both = raw_syscall(SYS_mremap, last, 0, 2 * kSegmentBytes, MREMAP_MAYMOVE, 0);
  if (is_error(both)) return nullptr;
  const long next = both + static_cast<long>(kSegmentBytes);
  raw_syscall(SYS_munmap, both, kSegmentBytes);
  if (take_pages(next)) {
    g_region->file_segments.store(before + 1, std::memory_order_relaxed);
    return reinterpret_cast<void*>(next);
  }
  raw_syscall(SYS_munmap, next, kSegmentBytes);
  // Once: from here on the file has fewer segments than there are.
  LogLine(LogLevel::warn)
      << "PROF_SPOOL: there is no more room in its file system: what is recorded from now on would be lost with "
         "the process";
  return nullptr;
}

bool has_room_behind(uint64_t used) {
  return used + kGrowAhead <= uint64_t{g_region->segments.load(std::memory_order_acquire)} << kSegmentShift;
}

// Adds a segment, or waits a bounded time for the thread that is adding one. True: it is worth trying again.
bool grow(bool wait) {
  const uint32_t before = g_region->segments.load(std::memory_order_acquire);
  if (g_region->growing.exchange(1, std::memory_order_acquire) != 0) {
    for (int i = 0; wait && i < kMaxWaits; ++i) {
      if (g_region->segments.load(std::memory_order_acquire) != before) return true;
      raw_syscall(SYS_sched_yield);
    }
    return false;
  }
  bool grown = g_region->segments.load(std::memory_order_acquire) != before;
  if (!grown && before < kMaxSegments) {
    void* segment = nullptr;
    const uint32_t failures = g_region->grow_failures.load(std::memory_order_relaxed);
    // A refusal is likely to last: do not pay for the attempt at every sample.
    if (failures % kRetryEvery == 0) {
      segment = map_next_of_file(before);
      if (segment == nullptr) segment = map_segment();
    }
    if (segment != nullptr) {
      g_region->segment_address[before].store(reinterpret_cast<uint64_t>(segment), std::memory_order_relaxed);
      g_mapped.store(before + 1, std::memory_order_release);
      g_region->segments.store(before + 1, std::memory_order_release);
      grown = true;
    } else {
      g_region->grow_failures.store(failures + 1, std::memory_order_relaxed);
    }
  }
  g_region->growing.store(0, std::memory_order_release);
  return grown;
}

// The first segment becomes a region.
void begin_region(void* segment, uint32_t in_file) {
  auto* header = static_cast<RegionHeader*>(segment);  // zeroed by the kernel: every counter starts at 0
  header->version = kRegionVersion;
  header->segment_bytes = kSegmentBytes;
  header->pid = raw_getpid();
  header->start_unix_ns = clock_ns(CLOCK_REALTIME);
  header->start_monotonic_ns = clock_ns(CLOCK_MONOTONIC);
  header->segment_address[0].store(reinterpret_cast<uint64_t>(segment), std::memory_order_relaxed);
  header->file_segments.store(in_file, std::memory_order_relaxed);
  header->segments.store(1, std::memory_order_relaxed);
  header->used.store((sizeof(RegionHeader) + 63) & ~uint64_t{63}, std::memory_order_relaxed);
  header->magic.store(kRegionMagic, std::memory_order_release);
  g_mapped.store(1, std::memory_order_release);
  g_region = header;
}

}  // namespace

bool region_create() {
  void* segment = map_segment();
  if (segment == nullptr) return false;
  g_file_bytes = 0;
  begin_region(segment, 0);
  return true;
}

bool region_create_in(int descriptor, uint64_t bytes) {
  if (bytes < kSegmentBytes || raw_syscall(SYS_ftruncate, descriptor, bytes) != 0) return false;
  const long segment = raw_syscall(SYS_mmap, nullptr, kSegmentBytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (is_error(segment)) return false;
  if (!take_pages(segment)) {
    raw_syscall(SYS_munmap, segment, kSegmentBytes);
    return false;
  }
  g_file_bytes = bytes;
  begin_region(reinterpret_cast<void*>(segment), 1);
  return true;
}

bool region_move_to(int descriptor) {
  if (raw_syscall(SYS_ftruncate, descriptor, g_file_bytes) != 0) return false;
  const uint32_t segments = g_region->file_segments.load(std::memory_order_relaxed);
  const uint64_t bytes = uint64_t{segments} << kSegmentShift;
  const long file = raw_syscall(SYS_mmap, nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (is_error(file)) return false;
  for (uint32_t i = 0; i < segments; ++i) {
    const long segment = file + static_cast<long>(i * kSegmentBytes);
    if (!take_pages(segment)) {
      raw_syscall(SYS_munmap, file, bytes);
      return false;
    }
    memcpy(reinterpret_cast<void*>(segment), reinterpret_cast<void*>(g_region->segment_address[i].load()),
           kSegmentBytes);
  }
  for (uint32_t i = 0; i < segments; ++i) {
    raw_syscall(SYS_mremap, file + static_cast<long>(i * kSegmentBytes), kSegmentBytes, kSegmentBytes,
                MREMAP_MAYMOVE | MREMAP_FIXED, g_region->segment_address[i].load());
  }
  return true;
}

RegionHeader* region_forget() {
  RegionHeader* region = g_region;
  g_region = nullptr;
  g_mapped_of_forgotten = g_mapped.exchange(0);
  return region;
}

namespace {

uint64_t segment_of(Ref ref) { return (uint64_t{ref} << kRefShift) >> kSegmentShift; }

}  // namespace

bool region_maps(Ref ref) { return segment_of(ref) < g_mapped.load(std::memory_order_acquire); }
bool region_maps_forgotten(Ref ref) { return segment_of(ref) < g_mapped_of_forgotten; }

void region_unmap(RegionHeader* region) {
  if (region == nullptr) return;
  for (uint32_t i = g_mapped_of_forgotten; i-- > 0;) {  // the header's own segment last
    raw_syscall(SYS_munmap, region->segment_address[i].load(), kSegmentBytes);
  }
}

void region_abandon() { region_unmap(region_forget()); }

bool region_copy_to(int descriptor) {
  const auto put = [descriptor](const void* bytes, uint64_t size, uint64_t address) {
    return raw_syscall(SYS_pwrite64, descriptor, bytes, size, address) == static_cast<long>(size);
  };
  // What was copied may name what was made since: until nothing has been added meanwhile, or it is added faster than it is copied.
  constexpr int kMostRounds = 8;
  uint64_t copied = 0;
  for (int round = 0; round < kMostRounds; ++round) {
    const uint64_t used = g_region->used.load(std::memory_order_acquire);
    if (copied == used) break;
    if (used > kMaxSegments * kSegmentBytes) return false;
    while (copied < used) {
      const uint64_t within = copied & (kSegmentBytes - 1);
      const uint64_t bytes = used - copied < kSegmentBytes - within ? used - copied : kSegmentBytes - within;
      const uint64_t address = g_region->segment_address[copied >> kSegmentShift].load() + within;
      if (!put(reinterpret_cast<const void*>(address), bytes, address)) return false;
      copied += bytes;
    }
  }
  // The header is of the first round.
  const auto address = reinterpret_cast<uint64_t>(g_region);
  return put(g_region, sizeof(RegionHeader), address) &&
         put(&copied, sizeof(copied), address + offsetof(RegionHeader, used));
}

Ref region_allocate(uint64_t bytes) {
  bytes = (bytes + 7) & ~uint64_t{7};
  uint64_t used = g_region->used.load(std::memory_order_relaxed);
  for (;;) {
    uint64_t begin = used;
    if ((begin >> kSegmentShift) != ((begin + bytes - 1) >> kSegmentShift)) {
      begin = (begin + kSegmentBytes - 1) & ~(kSegmentBytes - 1);
    }
    const uint64_t end = begin + bytes;
    if (end > uint64_t{g_region->segments.load(std::memory_order_acquire)} << kSegmentShift) {
      if (!grow(/*wait=*/true)) return 0;
      used = g_region->used.load(std::memory_order_relaxed);
      continue;
    }
    if (g_region->used.compare_exchange_weak(used, end, std::memory_order_relaxed)) {
      if (!has_room_behind(end)) grow(/*wait=*/false);
      return static_cast<Ref>(begin >> kRefShift);
    }
  }
}

}  // namespace prof
