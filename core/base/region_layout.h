// The region's own structures, as they lie in memory. What the record side keeps in it is laid out in core/record/*.h and
// reached from `roots`. Shared by the writer (region.h) and every reader; plain data.
//
//   segment 0 (1 MiB)                                   segment 1 …
//   ┌──────────────┬───────────────┬─────────────────┐  ┌─────────────────┐
//   │ RegionHeader │ tables (roots)│ entries … used ▶│  │ entries … used ▶│
//   └──────────────┴───────────────┴─────────────────┘  └─────────────────┘
//   offset 0                                   1 << 20
//
// The segments lie in anonymous shared memory or, from the first one on, in a file that outlives the process (PROF_SPOOL): there one
// behind the other, as in the drawing. Those that the file had no room for are anonymous.
//
// Position-independent: one thing names another by a Ref, its offset in the sequence of segments; no entry crosses a
// segment's end. Where each segment is mapped in the owner is in the header, so that a reader of another process finds it.
// Entries are published by a release store of their Ref and never move or shrink; a reader follows Refs only.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace prof {

// An offset into the region in units of 8 bytes. 0, the header, stands for "nothing".
using Ref = uint32_t;
inline constexpr unsigned kRefShift = 3;

inline constexpr uint64_t kRegionMagic = 0x3130'464f'5250'4c00;  // "\0LPROF01", read as little-endian
inline constexpr uint32_t kRegionVersion = 21;                   // any change of any layout changes this
inline constexpr unsigned kSegmentShift = 20;
inline constexpr uint64_t kSegmentBytes = uint64_t{1} << kSegmentShift;
inline constexpr unsigned kMaxSegments = 256;
inline constexpr char kRegionName[] = "/dev/zero (deleted)";  // what /proc/PID/maps calls memory of this kind

// Where each structure of the record side begins. The order is part of the layout.
enum class Root : unsigned {
  stacks,
  thread_names,
  threads,
  modules,
  losses,
  cpu,
  heap,
  live,
  snapshots,
  events,
  waits,
  labels,
  trace,
  owner,
  count
};

struct RegionHeader {
  std::atomic<uint64_t> magic;  // written last, when everything else is in place
  uint32_t version;
  uint32_t segment_bytes;
  int32_t pid;
  std::atomic<uint32_t> file_segments;  // of the segments, the first ones: they are in a file
  int64_t start_unix_ns;                // CLOCK_REALTIME when recording began
  int64_t start_monotonic_ns;           // CLOCK_MONOTONIC at the same moment
  std::atomic<uint64_t> used;           // bytes given out; the next entry begins here or at the next segment
  std::atomic<uint32_t> segments;
  std::atomic<uint32_t> growing;        // 1 while some thread adds a segment
  std::atomic<uint32_t> grow_failures;  // segments that the kernel or a limit refused
  Ref roots[static_cast<unsigned>(Root::count)];
  std::atomic<uint64_t> segment_address[kMaxSegments];  // in the owner's address space
};

// The layout is read by other processes: atomics must be plain words.
static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(std::atomic<uint64_t>) == 8);
static_assert(std::atomic<uint32_t>::is_always_lock_free && sizeof(std::atomic<uint32_t>) == 4);
static_assert(std::is_standard_layout_v<RegionHeader>);

}  // namespace prof
