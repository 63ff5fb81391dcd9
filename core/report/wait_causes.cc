#include "core/report/wait_causes.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

namespace prof {
namespace {

struct Release {
  int64_t time_ns;
  uint32_t thread, item;
  uint32_t left;  // how many it may still have woken
  bool is_used = false;
};
struct Wait {
  uint32_t thread, item;
  const TraceItem* event;
};

// What happened to one lock, condition or barrier.
struct Object {
  std::vector<Release> releases;  // by time
  std::vector<Wait> waits;        // by their end
};

class Finder {
 public:
  explicit Finder(const std::vector<TracedThread>& threads) : threads_(threads) { collect(); }

  std::vector<WaitCause> find() {
    for (auto& [key, object] : objects_) {
      const bool is_condition = key % kKinds == static_cast<uint64_t>(WaitKind::condition);
      if (is_condition) {
        hand_out_signals(&object);
      } else {
        std::vector<Wait> others;
        for (const Wait& wait : object.waits) {
          if (!find_last(&object, wait)) others.push_back(wait);
        }
        for (const Wait& wait : others) find_late(&object, wait);
      }
    }
    std::sort(causes_.begin(), causes_.end(), [](const WaitCause& a, const WaitCause& b) {
      return std::tie(a.waiter, a.wait) < std::tie(b.waiter, b.wait);
    });
    return std::move(causes_);
  }

 private:
  static constexpr uint64_t kKinds = 16;

  // A condition may lie where a mutex was. Every kind of lock is given free by the same event.
  static uint64_t key_of(const TraceItem& item) {
    const bool is_lock = item.wait == WaitKind::read_lock || item.wait == WaitKind::write_lock;
    return item.object * kKinds + static_cast<uint64_t>(is_lock ? WaitKind::mutex : item.wait);
  }

  void collect() {
    for (uint32_t t = 0; t < threads_.size(); ++t) {
      const TracedThread& thread = threads_[t];
      if (thread.end_ns != 0 && thread.thread != 0) {
        objects_[thread.thread * kKinds + static_cast<uint64_t>(WaitKind::join)].releases.push_back(
            {thread.end_ns, t, WaitCause::kThreadEnd, 1});
      }
      for (uint32_t i = 0; i < thread.items.size(); ++i) {
        const TraceItem& item = thread.items[i];
        if (item.kind == TraceKind::release) {
          objects_[key_of(item)].releases.push_back({item.begin_ns, t, i, item.count});
        } else if (item.kind == TraceKind::wait && item.wait_end == WaitEnd::reached) {
          objects_[key_of(item)].waits.push_back({t, i, &item});
        }
      }
    }
    for (auto& [key, object] : objects_) {
      std::sort(object.releases.begin(), object.releases.end(),
                [](const Release& a, const Release& b) { return a.time_ns < b.time_ns; });
      std::sort(object.waits.begin(), object.waits.end(),
                [](const Wait& a, const Wait& b) { return a.event->end_ns < b.event->end_ns; });
    }
  }

  void add(const Wait& wait, const Release& release) {
    causes_.push_back({wait.thread, wait.item, release.thread, release.item, release.time_ns});
  }

  bool find_last(Object* object, const Wait& wait) {
    auto& all = object->releases;
    auto release = std::upper_bound(all.begin(), all.end(), wait.event->end_ns,
                                    [](int64_t time, const Release& r) { return time < r.time_ns; });
    while (release != all.begin()) {
      --release;
      // A thread is on its way out before it has ended; its number is nobody else's before it is joined.
      const bool is_early = release->time_ns < wait.event->begin_ns;
      if (is_early && release->item != WaitCause::kThreadEnd) return false;
      if (release->thread == wait.thread) continue;
      add(wait, *release);
      release->is_used = true;
      return true;
    }
    return false;
  }

  // A mutex may be free before its release's time is taken: one that was waiting on its feet has it by then. Only the next release can
  // be such a one, and only if it comes at once and no other wait has it.
  void find_late(Object* object, const Wait& wait) {
    constexpr int64_t kLateNs = 20'000;
    if (wait.event->wait != WaitKind::mutex) return;
    auto& all = object->releases;
    const auto release = std::upper_bound(all.begin(), all.end(), wait.event->end_ns,
                                          [](int64_t time, const Release& r) { return time < r.time_ns; });
    if (release == all.end() || release->time_ns - wait.event->end_ns > kLateNs) return;
    if (release->is_used || release->thread == wait.thread) return;
    release->is_used = true;
    add(wait, *release);
    causes_.back().time_ns = std::max(wait.event->begin_ns, wait.event->end_ns - 1);
  }

  // Each to those that ended first; next_[i]: the first signal from i on that may still wake somebody.
  void hand_out_signals(Object* object) {
    auto& all = object->releases;
    std::vector<size_t> next(all.size() + 1);
    for (size_t i = 0; i < next.size(); ++i) next[i] = i;
    const auto unused_from = [&](size_t i) {
      while (next[i] != i) i = next[i] = next[next[i]];
      return i;
    };
    for (const Wait& wait : object->waits) {
      const auto after = std::lower_bound(all.begin(), all.end(), wait.event->begin_ns,
                                          [](const Release& r, int64_t time) { return r.time_ns < time; });
      const size_t i = unused_from(static_cast<size_t>(after - all.begin()));
      if (i == all.size() || all[i].time_ns > wait.event->end_ns) continue;
      add(wait, all[i]);
      if (all[i].left <= 1) next[i] = i + 1;
      --all[i].left;
    }
  }

  const std::vector<TracedThread>& threads_;
  std::unordered_map<uint64_t, Object> objects_;
  std::vector<WaitCause> causes_;
};

}  // namespace

std::vector<WaitCause> causes_of_waits(const std::vector<TracedThread>& threads) { return Finder(threads).find(); }

}  // namespace prof
