#include "core/report/trace_builder.h"

#include <algorithm>
#include <cstdio>
#include <unordered_map>

#include "core/report/file_name.h"
#include "core/report/location_table.h"
#include "core/report/loss_text.h"
#include "core/report/thread_state.h"
#include "core/report/trace_writer.h"
#include "core/report/wait_causes.h"

namespace prof {
namespace {

// The second track's number: above every thread's (kMostTid).
constexpr int kStacksTrack = 1 << 23;
// The kernel gives a thread the number of one that has ended: its tracks have others, above all of these.
constexpr int kSameNumberTrack = 1 << 24;
constexpr int kMostOfSameNumber = 126;

std::string hex(uint64_t number) {
  char text[24];
  snprintf(text, sizeof(text), "0x%lx", static_cast<unsigned long>(number));
  return text;
}

std::string file_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

struct Slice {
  int64_t begin_ns = 0, end_ns = 0;
  std::string name;
  std::string category;
  TraceArguments arguments;
  std::vector<uint64_t> arrows_from;  // at its beginning
  uint64_t arrow_to = 0;              // likewise; 0: none
  bool is_note = false;               // without a length
};

// Slices of one track in any order → nested events. One that ends after the slice around it is cut there.
void write_slices(TraceWriter* writer, int tid, std::vector<Slice>* slices) {
  std::stable_sort(slices->begin(), slices->end(), [](const Slice& a, const Slice& b) {
    return a.begin_ns != b.begin_ns ? a.begin_ns < b.begin_ns : a.end_ns > b.end_ns;
  });
  std::vector<const Slice*> open;
  const Slice* arrives = nullptr;  // where an arrow's end is still to be written
  // A viewer that takes the events in the order of their times is to have met the arrow's beginning: its end comes a nanosecond later,
  // unless another slice begins here.
  const auto arrow_before = [&](int64_t time) {
    if (arrives == nullptr) return;
    writer->arrow_to(tid, arrives->arrow_to, std::min(arrives->begin_ns + 1, time));
    arrives = nullptr;
  };
  const auto close_until = [&](int64_t time) {
    while (!open.empty() && open.back()->end_ns <= time) {
      arrow_before(open.back()->end_ns);
      writer->end(tid, open.back()->name, open.back()->end_ns);
      open.pop_back();
    }
  };
  for (Slice& slice : *slices) {
    close_until(slice.begin_ns);
    arrow_before(slice.begin_ns);
    if (slice.is_note) {
      writer->note(tid, slice.name, slice.begin_ns, slice.arguments);
      continue;
    }
    if (!open.empty()) slice.end_ns = std::min(slice.end_ns, open.back()->end_ns);
    if (slice.end_ns <= slice.begin_ns) continue;
    writer->begin(tid, slice.name, slice.category, slice.begin_ns, slice.arguments);
    for (const uint64_t id : slice.arrows_from) writer->arrow_from(tid, id, slice.begin_ns);
    if (slice.arrow_to != 0) arrives = &slice;
    open.push_back(&slice);
  }
  close_until(INT64_MAX);
}

class Builder {
 public:
  Builder(const Snapshot& snapshot, const ModuleMap& modules, Symbolizer* symbolizer)
      : snapshot_(snapshot),
        trace_(snapshot.trace),
        locations_(snapshot, modules, symbolizer, &profile_),
        causes_(causes_of_waits(trace_.threads)),
        writer_(snapshot.pid, snapshot.trace.base_ns) {}

  std::string build() {
    writer_.name_process(file_part(snapshot_.executable));
    find_arrows();
    size_t cause = 0;
    for (uint32_t t = 0; t < trace_.threads.size(); ++t) {
      const size_t first = cause;
      while (cause < causes_.size() && causes_[cause].waiter == t) ++cause;
      write_thread(t, first, cause);
    }
    return writer_.finish(about(), losses());
  }

 private:
  struct Arrow {
    uint32_t thread, item;  // the release that it comes from
    uint64_t id;
  };

  // An arrow has the number of its cause.
  void find_arrows() {
    for (size_t i = 0; i < causes_.size(); ++i) {
      if (causes_[i].item != WaitCause::kThreadEnd) arrows_.push_back({causes_[i].thread, causes_[i].item, i + 1});
    }
    std::sort(arrows_.begin(), arrows_.end(), [](const Arrow& a, const Arrow& b) {
      return a.thread != b.thread ? a.thread < b.thread : a.item != b.item ? a.item < b.item : a.id < b.id;
    });
  }

  static std::string name_of(const TracedThread& thread) {
    return thread.name.empty() ? "thread " + std::to_string(thread.tid) : thread.name;
  }

  const std::string& name_of_location(uint32_t index) {
    if (index >= names_.size()) names_.resize(index + 1);
    std::string& name = names_[index];
    if (name.empty()) {
      const ProfileLocation& location = profile_.locations[index];
      const std::string& file = profile_.mappings[location.mapping].filename;
      name = location.has_function   ? profile_.functions[location.function].name
             : file.starts_with('[') ? file
                                     : "[" + file_part(file) + "]";
    }
    return name;
  }

  const std::string& name_of_frame(const StackSnapshot& stack, size_t frame) {
    return name_of_location(locations_.of_frame(stack.frames[frame], stack.generation));
  }

  std::string leaf_of(int64_t stack) {
    if (stack < 0) return {};
    const StackSnapshot& frames = snapshot_.stacks[static_cast<size_t>(stack)];
    return frames.frames.empty() ? std::string() : name_of_frame(frames, 0);
  }

  int64_t in_window(int64_t time_ns) const { return std::clamp(time_ns, trace_.from_ns, trace_.to_ns); }

  // At least a nanosecond long: viewers lose what has no length.
  Slice slice_of(int64_t begin_ns, int64_t end_ns, std::string name, std::string category) const {
    Slice slice;
    slice.begin_ns = in_window(begin_ns);
    slice.end_ns = std::max(in_window(end_ns), slice.begin_ns + 1);
    slice.name = std::move(name);
    slice.category = std::move(category);
    if (begin_ns < trace_.from_ns && begin_ns != 0) {
      slice.arguments.push_back(
          {"began before this trace by", std::to_string((trace_.from_ns - begin_ns) / 1000) + " us"});
    }
    return slice;
  }

  static std::string wait_name(const TraceItem& wait) {
    return thread_state_text(static_cast<uint32_t>(wait.wait)) + " wait";
  }

  void add_wait(const TraceItem& wait, const WaitCause* cause, std::vector<Slice>* slices) {
    Slice slice = slice_of(wait.begin_ns, wait.end_ns, wait_name(wait), "wait");
    slice.arguments.push_back({wait.wait == WaitKind::join ? "thread" : "object", hex(wait.object)});
    // "detail" is the one argument that Firefox Profiler shows.
    if (wait.wait_end == WaitEnd::timed_out) slice.arguments.push_back({"detail", "ended by timeout"});
    if (wait.wait_end == WaitEnd::interrupted) slice.arguments.push_back({"detail", "ended by a signal handler"});
    if (wait.wait_end == WaitEnd::goes_on) slice.arguments.push_back({"detail", "goes on"});
    if (cause == nullptr) return slices->push_back(std::move(slice));
    const TracedThread& other = trace_.threads[cause->thread];
    std::string by = name_of(other) + " (tid " + std::to_string(other.tid) + ")";
    const bool is_release = cause->item != WaitCause::kThreadEnd;
    const std::string where = is_release ? leaf_of(other.items[cause->item].stack) : std::string();
    if (!where.empty()) by += " in " + where;
    slice.arguments.push_back({"detail", "ended by " + by});
    slices->push_back(std::move(slice));
    if (cause->time_ns < wait.begin_ns) return;
    Slice wake_up = slice_of(cause->time_ns, wait.end_ns, "wake-up", "wait");
    if (is_release) wake_up.arrow_to = static_cast<uint64_t>(cause - causes_.data()) + 1;
    slices->push_back(std::move(wake_up));
  }

  // A release that ended a wait of this trace; the others would only be in the way.
  void add_release(const TraceItem& release, uint32_t thread, uint32_t index, std::vector<Slice>* slices) {
    auto arrow = std::partition_point(arrows_.begin(), arrows_.end(), [&](const Arrow& a) {
      return a.thread != thread ? a.thread < thread : a.item < index;
    });
    if (arrow == arrows_.end() || arrow->thread != thread || arrow->item != index) return;
    const bool is_signal = release.wait == WaitKind::condition;
    const bool is_barrier = release.wait == WaitKind::barrier;
    // One that was noted a little late has its place where the wait ended.
    const int64_t begin = std::min(release.begin_ns, causes_[arrow->id - 1].time_ns);
    Slice slice = slice_of(begin, release.end_ns,
                           is_signal    ? "signal"
                           : is_barrier ? "last at barrier"
                                        : "unlock",
                           "wait");
    slice.arguments.push_back({"object", hex(release.object)});
    for (; arrow != arrows_.end() && arrow->thread == thread && arrow->item == index; ++arrow) {
      slice.arrows_from.push_back(arrow->id);
    }
    slices->push_back(std::move(slice));
  }

  struct LabelSlice {
    const Labels::value_type* label;
    int64_t begin_ns;
  };

  // A slice for each value that a label of the thread's own had. Those that begin later lie within the earlier ones, and where one of
  // these ends they are cut in two.
  void add_labels(const TracedThread& thread, int64_t end_ns, std::vector<Slice>* slices) const {
    const auto& sets = snapshot_.label_sets;
    std::vector<LabelSlice> open;
    const auto change_to = [&](uint32_t set, int64_t time) {
      const Labels none;
      const Labels& labels = set < sets.size() ? sets[set] : none;
      const auto has = [](const Labels& all, const Labels::value_type& one) {
        return std::find(all.begin(), all.end(), one) != all.end();
      };
      size_t kept = 0;
      while (kept < open.size() && has(labels, *open[kept].label)) ++kept;
      for (size_t i = kept; i < open.size(); ++i) {
        const Labels::value_type& label = *open[i].label;
        if (time > open[i].begin_ns)
          slices->push_back(slice_of(open[i].begin_ns, time, label.first + "=" + label.second, "label"));
        open[i].begin_ns = time;
      }
      open.erase(std::remove_if(open.begin() + static_cast<ptrdiff_t>(kept), open.end(),
                                [&](const LabelSlice& slice) { return !has(labels, *slice.label); }),
                 open.end());
      for (const Labels::value_type& label : labels) {
        const bool is_open =
            std::any_of(open.begin(), open.end(), [&](const LabelSlice& s) { return *s.label == label; });
        const bool is_of_process = !sets.empty() && has(sets[0], label);
        if (!is_open && !is_of_process) open.push_back({&label, time});
      }
    };
    bool is_first = true;
    const int64_t begin = std::max(thread.begin_ns, trace_.from_ns);
    for (const TraceItem& item : thread.items) {
      if (item.kind != TraceKind::labels) continue;
      if (is_first) change_to(static_cast<uint32_t>(item.object), begin);
      is_first = false;
      change_to(item.value, item.begin_ns);
    }
    if (is_first) change_to(thread.labels, begin);
    change_to(~0u, end_ns);
  }

  void write_thread(uint32_t t, size_t cause, size_t causes_end) {
    const TracedThread& thread = trace_.threads[t];
    const int64_t end = thread.end_ns == 0 ? trace_.to_ns : thread.end_ns;
    const std::string name = name_of(thread);
    int& earlier = with_number_[thread.tid];
    const int track = thread.tid + earlier * kSameNumberTrack;
    writer_.name_thread(track, name, static_cast<int>(2 * t));
    std::vector<Slice> slices;
    slices.push_back(slice_of(std::max(thread.begin_ns, trace_.from_ns), end,
                              thread.name.empty() ? name : "thread " + name, "thread"));
    if (earlier != 0) slices.back().arguments.push_back({"tid", std::to_string(thread.tid)});
    earlier = std::min(earlier + 1, kMostOfSameNumber);
    add_labels(thread, end, &slices);
    for (uint32_t i = 0; i < thread.items.size(); ++i) {
      const TraceItem& item = thread.items[i];
      if (item.kind == TraceKind::wait) {
        while (cause < causes_end && causes_[cause].wait < i) ++cause;
        const bool has_cause = cause < causes_end && causes_[cause].wait == i;
        add_wait(item, has_cause ? &causes_[cause] : nullptr, &slices);
      } else if (item.kind == TraceKind::release) {
        add_release(item, t, i, &slices);
      }
    }
    if (thread.overwritten != 0) {
      int64_t earliest = trace_.to_ns;
      for (const TraceItem& item : thread.items) earliest = std::min(earliest, item.end_ns);
      Slice note = slice_of(earliest, earliest, "earlier events of this thread are lost (PROF_TRACE_BUFFER)", "thread");
      note.arguments = {{"events", std::to_string(thread.overwritten)}};
      note.is_note = true;
      slices.push_back(std::move(note));
    }
    write_slices(&writer_, track, &slices);
    write_stacks(thread, track + kStacksTrack, name, static_cast<int>(2 * t + 1));
  }

  // A stretch of time with one stack.
  struct Stretch {
    int64_t begin_ns, end_ns;
    const TraceItem* item;
  };

  std::vector<Stretch> stretches_of(const TracedThread& thread) const {
    std::vector<Stretch> stretches;
    for (const TraceItem& item : thread.items) {
      if (item.kind == TraceKind::wait) stretches.push_back({item.begin_ns, item.end_ns, &item});
      if (item.kind != TraceKind::sample) continue;
      stretches.push_back({item.begin_ns - int64_t{item.count} * trace_.period_ns, item.begin_ns, &item});
    }
    std::stable_sort(stretches.begin(), stretches.end(),
                     [](const Stretch& a, const Stretch& b) { return a.end_ns < b.end_ns; });
    int64_t before = std::max(trace_.from_ns, thread.begin_ns);
    for (Stretch& stretch : stretches) {
      stretch.begin_ns = std::max(stretch.begin_ns, before);
      stretch.end_ns = in_window(stretch.end_ns);
      // Ticks come a little late or early, by the kernel's own tick: what is left between two of them is no pause.
      const bool is_tick = stretch.item->kind == TraceKind::sample;
      if (is_tick && stretch.begin_ns - before < trace_.period_ns / 2) stretch.begin_ns = before;
      before = std::max(before, stretch.end_ns);
    }
    return stretches;
  }

  // The outermost frame first. Slices lie no deeper than viewers take them (512 in ui.perfetto.dev): of a deeper stack
  // the middle is left out.
  std::vector<std::string> names_of(const TraceItem& item) {
    constexpr size_t kOuter = 250, kInner = 250;
    std::vector<std::string> names;
    if (item.stack >= 0) {
      const StackSnapshot& stack = snapshot_.stacks[static_cast<size_t>(item.stack)];
      const size_t depth = stack.frames.size();
      for (size_t i = depth; i-- > 0;) {
        if (depth > kOuter + kInner && i + kOuter < depth && i >= kInner) {
          names.push_back("[" + std::to_string(i + 1 - kInner) + " frames are left out]");
          i = kInner;
        } else {
          names.push_back(name_of_frame(stack, i));
        }
      }
    }
    if (item.kind == TraceKind::wait) names.push_back("[" + wait_name(item) + "]");
    return names;
  }

  // What two stretches that follow at once have in common goes on.
  void write_stacks(const TracedThread& thread, int tid, const std::string& name, int order) {
    const std::vector<Stretch> stretches = stretches_of(thread);
    if (stretches.empty()) return;
    writer_.name_thread(tid, name + " stacks", order);
    std::vector<std::string> open;
    int64_t open_until = 0;
    const auto close_to = [&](size_t depth, int64_t time) {
      for (; open.size() > depth; open.pop_back()) writer_.end(tid, open.back(), time);
    };
    for (const Stretch& stretch : stretches) {
      if (stretch.end_ns <= stretch.begin_ns) continue;
      if (stretch.begin_ns != open_until) close_to(0, open_until);
      const std::vector<std::string> names = names_of(*stretch.item);
      size_t same = 0;
      while (same < open.size() && same < names.size() && open[same] == names[same]) ++same;
      close_to(same, open_until);
      for (; open.size() < names.size(); open.push_back(names[open.size()])) {
        const bool is_wait = open.size() + 1 == names.size() && stretch.item->kind == TraceKind::wait;
        writer_.begin(tid, names[open.size()], is_wait ? "wait" : "stack", stretch.begin_ns, {});
      }
      open_until = stretch.end_ns;
    }
    close_to(0, open_until);
  }

  TraceArguments about() const {
    char period[32];
    snprintf(period, sizeof(period), "%.3f", static_cast<double>(trace_.period_ns) / 1000);
    TraceArguments about = {
        {"program", snapshot_.executable},
        {"pid", std::to_string(snapshot_.pid)},
        {"clock", "microseconds of CLOCK_MONOTONIC"},
        {"time 0", std::to_string(trace_.base_ns) + " ns of CLOCK_MONOTONIC: recording began"},
        {"begin", time_text(trace_.from_unix_ns)},
        {"waits", "of " + std::to_string(trace_.waits_from_ns / 1000) + " us and more (PROF_BLOCK_RATE)"},
    };
    for (const std::string& note : snapshot_.notes) about.push_back({"note", note});
    if (trace_.period_ns != 0) {
      about.push_back({"CPU samples",
                       std::string("one each ") + period +
                           " us of a thread's CPU time; in the tracks NAME stacks, drawn back to the time before it"});
    }
    return about;
  }

  TraceArguments losses() const {
    TraceArguments losses;
    for (const Loss& loss : snapshot_.losses) {
      if (loss_concerns(loss.cause, ProfileKind::trace))
        losses.push_back({loss_text(loss.cause), std::to_string(loss.count)});
    }
    return losses;
  }

  const Snapshot& snapshot_;
  const Snapshot::Trace& trace_;
  Profile profile_;
  LocationTable locations_;
  std::vector<std::string> names_;  // by location
  const std::vector<WaitCause> causes_;
  std::vector<Arrow> arrows_;                 // by thread and item
  std::unordered_map<int, int> with_number_;  // threads that are written, by their number
  TraceWriter writer_;
};

}  // namespace

std::string build_trace(const Snapshot& snapshot, const ModuleMap& modules, Symbolizer* symbolizer) {
  return Builder(snapshot, modules, symbolizer).build();
}

}  // namespace prof
