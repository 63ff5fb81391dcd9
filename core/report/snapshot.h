// A snapshot: all that the report side knows of a process, as plain values, detached from the region it was copied from.
//
// Made by snapshot_from_region() (snapshot.cc); read by profile_builder. Normal code only: it allocates.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/record/event_buckets.h"
#include "core/record/loss_counters.h"
#include "core/record/trace_rings.h"

namespace prof {

// A call stack, leaf first. Each frame is an address that lies inside the instruction it stands for: the exact program
// counter of an interrupted leaf, and the return address minus one of a caller. Values below kFirstCodeAddress
// (core/base/address.h) are markers: why the walk ended before the thread's start.
struct StackSnapshot {
  std::vector<uint64_t> frames;
  uint32_t generation = 0;  // which libraries were loaded: see UnloadedModule
};

// The labels of some samples: key and value, by key. Valid UTF-8, and each key once.
using Labels = std::vector<std::pair<std::string, std::string>>;

// Ticks of one stack under one thread name.
struct CpuSample {
  uint32_t stack = 0;  // index into Snapshot::stacks
  std::string thread_name;
  uint64_t ticks = 0;   // each stands for Snapshot::Cpu::period_ns of CPU time
  Ref bucket = 0;       // which it is, for as long as the process lives
  uint32_t labels = 0;  // index into Snapshot::label_sets; here and below
};

// Sampled blocks of one stack and size. Counts of samples: the rate tells what each stands for.
struct HeapSample {
  uint32_t stack = 0;  // index into Snapshot::stacks
  uint64_t size = 0;   // bytes of each block, as asked for
  uint64_t allocated = 0, freed = 0;
  uint64_t peak_allocated = 0, peak_freed = 0;  // at the highest live bytes
  uint64_t rate = 0;  // mean bytes between samples of these; 1: each was recorded; 0: Heap::rate
  uint32_t labels = 0;
};

// Events of one kind and stack, scaled to what they stand for: waits, unlocks that others waited for, threads made.
struct EventSample {
  EventKind kind = EventKind::block;
  uint32_t stack = 0;   // index into Snapshot::stacks
  uint64_t detail = 0;  // thread_created: address of the start routine
  double events = 0;
  uint64_t total = 0;       // ns; thread_created: threads that have ended
  std::string thread_name;  // wall: of the sampled thread; `detail` is its state
  Ref bucket = 0;           // which it is, for as long as the process lives
  uint32_t labels = 0;
};

// What a thread did when all were looked at.
struct ThreadSample {
  int tid = 0;
  std::string name;
  int64_t stack = -1;  // index into Snapshot::stacks; negative: not known
  uint32_t state = 0;  // core/record/thread_table.h
  int64_t waited_ns = 0;
  uint32_t labels = 0;
};

// An executable segment of a library that was unloaded while the process ran. Of several that cover an address, the one
// of a stack with generation g is the one with the smallest last_generation >= g; when there is none, the address belongs
// to what is mapped now.
struct UnloadedModule {
  uint64_t start = 0, end = 0;  // addresses it was mapped at, bytes
  uint64_t file_offset = 0;     // of `start`, bytes
  uint32_t last_generation = 0;
  std::string path;
  std::string build_id;  // hexadecimal, empty if it had none
};

// Something that was not recorded, or not recorded whole.
struct Loss {
  LossCause cause = LossCause::region_full;  // loss_text() shows it to people
  uint64_t count = 0;
  uint64_t cpu_ticks = 0;  // how many of these were CPU ticks that now lack a stack
};

// Something that a thread did, for the timeline: a TraceEvent (core/record/trace_rings.h) with its stack.
struct TraceItem {
  TraceKind kind = TraceKind::none;
  WaitKind wait = WaitKind::none;
  WaitEnd wait_end = WaitEnd::reached;
  uint32_t count = 0;
  int64_t begin_ns = 0, end_ns = 0;  // CLOCK_MONOTONIC
  uint64_t object = 0;
  int64_t stack = -1;  // index into Snapshot::stacks; negative: not known
  uint32_t value = 0;  // labels: the set from then on, an index into Snapshot::label_sets; object: until then
};

struct TracedThread {
  int tid = 0;
  std::string name;
  uint64_t thread = 0;           // pthread_t; 0: not known
  int64_t begin_ns = 0;          // 0: before it was traced
  int64_t end_ns = 0;            // 0: it lives
  uint64_t overwritten = 0;      // events, of before the first one here
  uint32_t labels = 0;           // at the end, where no item says otherwise
  std::vector<TraceItem> items;  // as they were recorded: by when they ended
};

struct Snapshot {
  int pid = 0;
  int64_t start_unix_ns = 0;       // when recording began, CLOCK_REALTIME
  int64_t end_unix_ns = 0;         // when it ended; 0: it lives
  std::string executable;          // absolute path
  std::string ending;              // how the process ended; empty: it lives, or has exited
  std::vector<std::string> notes;  // further lines for each profile's comments
  std::vector<StackSnapshot> stacks;
  std::vector<Labels> label_sets;  // the first is what all have; the others have that in them too. No two are the same
  std::vector<UnloadedModule> unloaded;
  std::vector<Loss> losses;
  std::vector<int> tids;         // the program's threads that are known; libprof's own are not among them
  uint32_t ring_threads = 0;     // that call io_uring_enter: ticks and looks have come to them in user mode only
  bool in_user_mode = false;     // to all threads, since the program was found to need it
  uint64_t region_bytes = 0;     // memory that recording has taken
  uint64_t region_used = 0;      // of these, that hold something
  uint32_t region_refusals = 0;  // it could not have more, so many times

  struct Cpu {
    bool present = false;
    uint64_t period_ns = 0;
    std::string clock;          // "timer", "perf" or "user"
    int64_t start_unix_ns = 0;  // of this stretch
    uint64_t duration_ns = 0;
    std::vector<CpuSample> samples;
    std::vector<std::string> notes;  // further lines for the profile's comments
  } cpu;

  struct Heap {
    bool present = false;
    bool has_peak = false;
    uint64_t rate = 0;  // mean bytes between samples
    int64_t start_unix_ns = 0;
    int64_t peak_unix_ns = 0;
    std::string foreign_malloc;  // the file whose malloc the program calls instead of ours; empty: none
    std::vector<HeapSample> samples;
  } heap;

  std::vector<EventSample> events;
  unsigned waits_now = 0;  // that go on
  int64_t longest_wait_now_ns = 0;
  uint64_t wall_period_ns = 0;  // 0: it is not sampled
  uint64_t wall_duration_ns = 0;
  uint32_t wall_most_threads = 0;     // at one moment
  std::vector<ThreadSample> threads;  // all, where their stacks were asked for

  struct Trace {
    bool present = false;
    int64_t from_ns = 0, to_ns = 0;  // CLOCK_MONOTONIC: what is of before or after is left out
    int64_t base_ns = 0;             // when recording began
    int64_t from_unix_ns = 0;
    int64_t waits_from_ns = 0;  // shorter ones were not recorded
    int64_t period_ns = 0;      // of CPU time, that a tick stands for
    std::vector<TracedThread> threads;
  } trace;
};

}  // namespace prof
