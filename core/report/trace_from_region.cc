#include "core/report/trace_from_region.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "core/base/clocks.h"
#include "core/record/cpu_buckets.h"
#include "core/record/thread_table.h"
#include "core/report/module_map.h"

namespace prof {
namespace {

// The event of an index, where the cell holds it whole. Whether it stayed so while it was read shows afterwards, by the
// ring's `next`.
bool take_event(const TraceCell& cell, uint64_t index, TraceEvent* event) {
  if (cell.sequence.load(std::memory_order_acquire) != 2 * index + 2) return false;
  uint64_t words[kTraceWords];
  for (unsigned i = 0; i < kTraceWords; ++i) words[i] = cell.words[i].load(std::memory_order_relaxed);
  memcpy(event, words, sizeof(words));
  return true;
}

// The name that the kernel has for a thread that lives.
std::string name_of_live_thread(int pid, int tid) {
  std::string name = read_proc_file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(tid) + "/comm");
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

class Reader {
 public:
  Reader(const RegionView& region, Stacks* stacks, LabelSets* labels, Snapshot* snapshot)
      : region_(region),
        stacks_(stacks),
        labels_(labels),
        trace_(snapshot->trace),
        cells_left_(region, sizeof(TraceCell)) {}

  // ended: as the ring's seat has it.
  void read_ring(const TraceRing& ring, int64_t ended, uint32_t cells) {
    TracedThread thread;
    const uint64_t first = ring.first.load(std::memory_order_relaxed);
    const uint64_t next = ring.next.load(std::memory_order_acquire);
    thread.tid = ring.tid.load(std::memory_order_relaxed);
    thread.name = thread_name(region_, ring.name.load(std::memory_order_relaxed));
    thread.thread = ring.thread.load(std::memory_order_relaxed);
    thread.begin_ns = ring.begin_ns.load(std::memory_order_relaxed);
    thread.end_ns = ended;
    if (!is_time(thread.begin_ns) || !is_time(ended)) return;
    if (!is_tid(thread.tid) || first > next || ring.busy.load(std::memory_order_relaxed) != 0) return;
    if (ended != 0 && ended < trace_.from_ns) return;
    if (!cells_left_.take(cells)) return;
    events_.clear();
    const uint64_t oldest = next - first > cells ? next - cells : first;
    for (uint64_t index = oldest; index < next; ++index) {
      TraceEvent event;
      if (take_event(ring.cells[index % cells], index, &event)) events_.push_back({index, event});
    }
    // What its thread may have begun to write over while it was read, or copied, is not to be trusted.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (region_.word_now(ring.first) != first) return;  // another thread has the ring by now
    const uint64_t safe = std::max(region_.word_now(ring.next), next) - cells;
    const bool has_come_round = std::max(region_.word_now(ring.next), next) - first > cells;
    int64_t earliest_ns = INT64_MAX;
    for (const auto& [index, event] : events_) {
      if (has_come_round && index < safe) continue;
      earliest_ns = std::min(earliest_ns, event.end_ns);
      add_item(event, &thread);
    }
    // What is lost of the time before the window is not missed.
    if (has_come_round && earliest_ns > trace_.from_ns) thread.overwritten = safe - first;
    if (ended == 0) living_.try_emplace(thread.tid, trace_.threads.size());
    trace_.threads.push_back(std::move(thread));
  }

  // A thread as it is now: its name, and the wait that goes on. One that has done nothing yet is in the timeline too.
  void read_slot(const ThreadSlot& slot) {
    const int tid = slot.tid.load(std::memory_order_acquire);
    if (!is_tid(tid)) return;
    const auto [known, is_new] = living_.try_emplace(tid, trace_.threads.size());
    if (is_new) {
      trace_.threads.push_back({});
      trace_.threads.back().tid = tid;
    }
    TracedThread* const found = &trace_.threads[known->second];
    found->labels = labels_->index_of(slot.labels.load(std::memory_order_relaxed));
    for (const WaitNote& note : slot.notes) add_wait_now(note, found);
  }

 private:
  void add_item(const TraceEvent& event, TracedThread* thread) {
    if (!is_time(event.begin_ns) || !is_time(event.end_ns)) return;
    if (event.end_ns < trace_.from_ns || event.begin_ns > trace_.to_ns) return;
    TraceItem item;
    item.kind = event.kind;
    item.wait = static_cast<WaitKind>(event.wait);
    item.wait_end = event.wait_end;
    item.count = event.count;
    item.begin_ns = event.begin_ns;
    item.end_ns = event.end_ns;
    item.object = event.object;
    item.stack = event.stack == 0 ? -1 : stacks_->index_of(event.stack);
    item.value = event.value;
    if (item.kind == TraceKind::labels) {
      item.object = labels_->index_of(static_cast<LabelId>(event.object));
      item.value = labels_->index_of(event.value);
    }
    thread->items.push_back(item);
  }

  // As add_waits_now in snapshot_from_region.cc: `kind` is written last at the beginning, and first at the end.
  void add_wait_now(const WaitNote& note, TracedThread* thread) {
    TraceItem item;
    item.kind = TraceKind::wait;
    item.wait = note.kind.load(std::memory_order_acquire);
    item.wait_end = WaitEnd::goes_on;
    item.begin_ns = note.since_ns;
    item.end_ns = trace_.to_ns;
    item.object = note.object;
    const Ref stack = note.stack;
    std::atomic_thread_fence(std::memory_order_acquire);
    const bool is_whole = item.wait != WaitKind::none && note.kind.load(std::memory_order_relaxed) == item.wait &&
                          note.since_ns == item.begin_ns;
    if (!is_whole || !is_time(item.begin_ns) || item.end_ns - item.begin_ns < trace_.waits_from_ns) return;
    item.stack = stack == 0 ? -1 : stacks_->index_of(stack);
    thread->items.push_back(item);
  }

  const RegionView& region_;
  Stacks* const stacks_;
  LabelSets* const labels_;
  Snapshot::Trace& trace_;
  ChainBudget cells_left_;
  std::unordered_map<int, size_t> living_;  // threads in the trace, by their number
  std::vector<std::pair<uint64_t, TraceEvent>> events_;
};

}  // namespace

void add_trace(const RegionView& region, const SnapshotParts& parts, Stacks* stacks, LabelSets* labels,
               Snapshot* snapshot) {
  const auto* record = region.root<TraceRecord>(Root::trace);
  const auto* cpu = region.root<CpuRecord>(Root::cpu);
  const auto* slots = region.root<ThreadTable>(Root::threads);
  if (record == nullptr || cpu == nullptr || slots == nullptr) return;
  Snapshot::Trace& trace = snapshot->trace;
  const RegionHeader& header = region.header();
  trace.present = true;
  trace.from_ns = std::max(parts.trace_from_ns, header.start_monotonic_ns);
  trace.to_ns = parts.trace_to_ns != 0 ? parts.trace_to_ns
                : parts.ended_ns != 0  ? parts.ended_ns
                                       : clock_ns(CLOCK_MONOTONIC);
  trace.base_ns = header.start_monotonic_ns;
  trace.from_unix_ns = header.start_unix_ns + trace.from_ns - header.start_monotonic_ns;
  trace.waits_from_ns =
      static_cast<int64_t>(std::min(record->waits_from_ns.load(std::memory_order_relaxed), uint64_t{kMostTime}));
  constexpr int64_t kLongestPeriod = 1'000'000'000;  // PROF_CPU_HZ is 1 or more; of a spoiled file it may be anything
  trace.period_ns = std::clamp(cpu->period_ns, int64_t{0}, kLongestPeriod);
  Reader reader(region, stacks, labels, snapshot);
  const Ref seats = header.roots[static_cast<unsigned>(Root::trace)];
  if (region.at(seats, sizeof(TraceRecord) + uint64_t{record->most_rings} * sizeof(TraceSeat)) == nullptr) return;
  for (uint32_t i = 0; i < record->most_rings; ++i) {
    const TraceSeat& seat = record->seats[i];
    const Ref ref = seat.ring.load(std::memory_order_acquire);
    const auto* ring = region.at<TraceRing>(ref);
    if (ring == nullptr || region.at(ref, sizeof(TraceRing) + record->cells * sizeof(TraceCell)) == nullptr) continue;
    reader.read_ring(*ring, seat.ended_ns.load(std::memory_order_acquire), record->cells);
  }
  ChainBudget budget(region, sizeof(ThreadSlot));
  for (Ref ref = slots->all.load(std::memory_order_acquire); ref != 0 && budget.take();) {
    const auto* slot = region.at<ThreadSlot>(ref);
    if (slot == nullptr) break;
    reader.read_slot(*slot);
    ref = slot->next;
  }
  for (TracedThread& thread : trace.threads) {
    if (thread.end_ns != 0 || parts.ended_ns != 0) continue;
    if (std::string name = name_of_live_thread(snapshot->pid, thread.tid); !name.empty()) thread.name = std::move(name);
  }
  // Those of before the trace first, in the order of their numbers.
  std::stable_sort(trace.threads.begin(), trace.threads.end(), [](const TracedThread& a, const TracedThread& b) {
    return a.begin_ns != b.begin_ns ? a.begin_ns < b.begin_ns : a.tid < b.tid;
  });
}

}  // namespace prof
