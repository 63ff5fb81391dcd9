// Ticks of CPU time by stack, thread name and labels, in stretches. Signal-safe and lock-free.
//
// A stretch is the time from a switching on to a switching off; each is a profile of its own. A bucket has a word for the
// odd and one for the even stretches, so that the last one can be read while the next one is recorded:
//
//   63            48 47                    0
//   ┌───────────────┬───────────────────────┐
//   │ stretch number│ ticks                 │   a word of an older stretch counts as 0
//   └───────────────┴───────────────────────┘
//
// and one for all ticks that there ever were, in a stretch or not: who wants those of a time of its own subtracts what it was
// before from what it is after, however many do so at once.
#pragma once

#include "core/base/region.h"
#include "core/record/label_sets.h"

namespace prof {

enum class CpuClock : uint32_t { timer = 0, perf = 1, user = 2 };

// What became of a stretch's profile; written into the region by the reporter (preload/reporter.h).
enum class Reported : uint32_t { no = 0, written = 1, failed = 2 };  // failed: and it has said so

struct CpuStretch {
  std::atomic<uint32_t> number;
  std::atomic<Reported> reported;
  int64_t start_unix_ns;
  int64_t start_monotonic_ns;
  int64_t due_monotonic_ns;               // the latest end of what is in it, which only a tick notices; 0: none
  std::atomic<int64_t> end_monotonic_ns;  // 0 while it goes on
};

// Root::cpu
struct CpuRecord {
  int64_t period_ns;
  CpuClock clock;
  std::atomic<uint32_t> in_user_mode;  // 1: ticks came in user mode only, in all threads, from some moment on
  std::atomic<uint32_t> ring_threads;  // that do, beside these: they call io_uring_enter (and some may have ended)
  std::atomic<uint32_t> stretch;       // the present or last one, from 1; 0 before the first
  CpuStretch stretches[2];             // by number & 1
};

inline constexpr unsigned kTickBits = 48;

struct CpuBucket {
  Ref next;
  Ref thread_name;                 // 0: not known; and kHasLabels
  std::atomic<uint64_t> words[2];  // by stretch number & 1
  std::atomic<uint64_t> total;
};
// Most programs set no labels: their buckets have no room for any.
struct LabelledCpuBucket : CpuBucket {
  LabelId labels;
};
inline constexpr Ref kHasLabels = 1u << 31;  // of thread_name: a LabelledCpuBucket; no Ref is so high

inline LabelId labels_of(const CpuBucket& bucket) {
  return (bucket.thread_name & kHasLabels) == 0 ? 0 : static_cast<const LabelledCpuBucket&>(bucket).labels;
}

// Counts ticks of a stack. False: no room. stretch: 0: of none; in the word it is the number's low 16 bits.
bool count_cpu_ticks(Ref stack, Ref thread_name, LabelId labels, uint32_t stretch, uint64_t ticks);

// The ticks that a word holds for a stretch.
inline uint64_t ticks_of_word(uint64_t word, uint32_t stretch) {
  return (word >> kTickBits) == (stretch & 0xffff) ? word & ((uint64_t{1} << kTickBits) - 1) : 0;
}

}  // namespace prof
