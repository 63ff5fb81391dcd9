#include "core/report/trace_builder.h"

#include <criterion/criterion.h>
#include <rapidjson/document.h>
#include <unistd.h>
#include <zlib.h>

#include <map>
#include <string>
#include <vector>

using namespace prof;

namespace {

std::string unpacked(const std::string& packed) {
  z_stream stream = {};
  cr_assert_eq(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  std::string text;
  int result = Z_OK;
  while (result == Z_OK) {
    char piece[65536];
    stream.next_out = reinterpret_cast<Bytef*>(piece);
    stream.avail_out = sizeof(piece);
    result = inflate(&stream, Z_NO_FLUSH);
    text.append(piece, sizeof(piece) - stream.avail_out);
  }
  cr_assert_eq(result, Z_STREAM_END);
  cr_assert_eq(stream.avail_in, 0u);
  inflateEnd(&stream);
  return text;
}

Snapshot snapshot_of(std::vector<TracedThread> threads) {
  Snapshot snapshot;
  snapshot.pid = getpid();
  snapshot.executable = "/bin/test";
  snapshot.stacks = {{{1}, 0}, {{2}, 0}};  // markers: they need no module
  Snapshot::Trace& trace = snapshot.trace;
  trace.present = true;
  trace.base_ns = trace.from_ns = 1'000'000;
  trace.to_ns = 2'000'000'000;
  trace.period_ns = 10'000'000;
  trace.threads = std::move(threads);
  return snapshot;
}

struct Trace {
  explicit Trace(const Snapshot& snapshot) {
    Symbolizer symbolizer(getpid());
    const std::string text = unpacked(build_trace(snapshot, ModuleMap::of_process(getpid()), &symbolizer));
    cr_assert_not(document.Parse<rapidjson::kParseValidateEncodingFlag>(text.c_str()).HasParseError(), "%s",
                  text.c_str());
    // Each track's slices are nested, and its times go forward.
    std::map<int, std::vector<std::string>> open;
    std::map<int, double> last;
    for (const auto& event : document["traceEvents"].GetArray()) {
      const int tid = event["tid"].GetInt();
      const std::string phase = event["ph"].GetString();
      const std::string name = event["name"].GetString();
      cr_assert(event.HasMember("ts"));
      if (phase == "M") continue;
      cr_assert_geq(event["ts"].GetDouble(), last[tid]);
      last[tid] = event["ts"].GetDouble();
      if (phase == "B") open[tid].push_back(name);
      if (phase == "E") {
        cr_assert_eq(open[tid].back(), name);
        open[tid].pop_back();
      }
    }
    for (const auto& [tid, names] : open) cr_assert(names.empty());
  }

  // Beginnings and ends of the slices of a name, in microseconds.
  std::vector<std::pair<double, double>> slices(const std::string& name) const {
    std::vector<std::pair<double, double>> found;
    for (const auto& event : document["traceEvents"].GetArray()) {
      if (name != event["name"].GetString()) continue;
      if (event["ph"].GetString()[0] == 'B') found.push_back({event["ts"].GetDouble(), 0});
      if (event["ph"].GetString()[0] == 'E') found.back().second = event["ts"].GetDouble();
    }
    return found;
  }
  unsigned count(const char* phase) const {
    unsigned count = 0;
    for (const auto& event : document["traceEvents"].GetArray()) count += event["ph"].GetString() == std::string(phase);
    return count;
  }

  rapidjson::Document document;
};

TraceItem item_of(TraceKind kind, int64_t begin, int64_t end, int64_t stack) {
  TraceItem item;
  item.kind = kind;
  item.begin_ns = begin;
  item.end_ns = end;
  item.stack = stack;
  item.count = 1;
  return item;
}

TraceItem wait_of(int64_t begin, int64_t end, WaitEnd how = WaitEnd::reached) {
  TraceItem item = item_of(TraceKind::wait, begin, end, 0);
  item.wait = WaitKind::mutex;
  item.wait_end = how;
  item.object = 0x1234;
  return item;
}

TracedThread thread_of(int tid, const std::string& name, std::vector<TraceItem> items) {
  TracedThread thread;
  thread.tid = tid;
  thread.name = name;
  thread.items = std::move(items);
  return thread;
}

}  // namespace

Test(trace_builder, times_are_microseconds_since_the_beginning_to_the_nanosecond) {
  const Trace trace(snapshot_of({thread_of(5, "worker", {wait_of(11'000'001, 21'000'002)})}));
  const auto waits = trace.slices("mutex wait");
  cr_assert_eq(waits.size(), 1u);
  cr_assert_float_eq(waits[0].first, 10'000.001, 1e-7);
  cr_assert_float_eq(waits[0].second, 20'000.002, 1e-7);
  cr_assert_eq(trace.slices("[mutex wait]"), waits, "its stack is there as long");
}

Test(trace_builder, an_arrow_leads_from_the_unlock_to_the_wake_up) {
  TraceItem release = item_of(TraceKind::release, 15'000'000, 15'000'100, 1);
  release.wait = WaitKind::mutex;
  release.object = 0x1234;
  const Trace trace(
      snapshot_of({thread_of(5, "worker", {wait_of(11'000'000, 16'000'000)}), thread_of(6, "holder", {release})}));
  cr_assert_eq(trace.slices("unlock").size(), 1u);
  cr_assert_eq(trace.slices("wake-up").at(0), std::make_pair(14'000.0, 15'000.0));
  cr_assert_eq(trace.count("s"), 1u);
  cr_assert_eq(trace.count("f"), 1u);
  double from = 0, to = 0;
  for (const auto& event : trace.document["traceEvents"].GetArray()) {
    if (event["ph"] == "s") from = event["ts"].GetDouble();
    if (event["ph"] == "f") to = event["ts"].GetDouble();
  }
  cr_assert_eq(from, 14'000.0);
  cr_assert_lt(from, to, "also for who sorts by time: the waiter comes first in the file");
  cr_assert_float_eq(to, from, 0.002);
}

Test(trace_builder, a_stack_deeper_than_viewers_take_them_has_no_middle) {
  Snapshot snapshot = snapshot_of({thread_of(5, "worker", {item_of(TraceKind::sample, 101'000'000, 101'000'000, 2)})});
  snapshot.stacks.push_back({std::vector<uint64_t>(500, 1), 0});
  snapshot.stacks.push_back({std::vector<uint64_t>(1024, 1), 0});
  const char* frame = "[truncated: the stack is deeper than PROF_STACK_DEPTH]";
  cr_assert_eq(Trace(snapshot).slices(frame).size(), 500u);
  snapshot.trace.threads[0].items[0].stack = 3;
  const Trace trace(snapshot);
  cr_assert_eq(trace.slices(frame).size(), 500u);
  cr_assert_eq(trace.slices("[524 frames are left out]").size(), 1u);
}

Test(trace_builder, an_unlock_that_ended_no_wait_of_the_trace_is_not_shown) {
  TraceItem release = item_of(TraceKind::release, 15'000'000, 15'000'100, 1);
  release.object = 0x1234;
  release.wait = WaitKind::mutex;
  cr_assert(Trace(snapshot_of({thread_of(6, "holder", {release})})).slices("unlock").empty());
}

Test(trace_builder, a_tick_is_drawn_over_its_period_but_not_over_waits_and_earlier_ticks) {
  const Trace trace(snapshot_of({thread_of(
      5, "worker",
      {item_of(TraceKind::sample, 101'000'000, 101'000'000, 0), item_of(TraceKind::sample, 109'000'000, 109'000'000, 0),
       wait_of(150'000'000, 201'000'000), item_of(TraceKind::sample, 207'000'000, 207'000'000, 1)})}));
  const auto first = trace.slices("[truncated: the stack is deeper than PROF_STACK_DEPTH]");
  cr_assert_eq(first.at(0), std::make_pair(90'000.0, 108'000.0), "two that follow at once are one");
  const auto second = trace.slices("[truncated: code without unwind information]");
  cr_assert_eq(second.at(0), std::make_pair(200'000.0, 206'000.0));
}

Test(trace_builder, what_reaches_beyond_the_window_is_cut) {
  Snapshot snapshot = snapshot_of({thread_of(5, "worker", {wait_of(11'000'000, 50'000'000)})});
  snapshot.trace.from_ns = 21'000'000;
  snapshot.trace.to_ns = 31'000'000;
  const Trace trace(snapshot);
  cr_assert_eq(trace.slices("mutex wait").at(0), std::make_pair(20'000.0, 30'000.0));
  cr_assert_eq(trace.slices("thread worker").at(0), std::make_pair(20'000.0, 30'000.0));
}

Test(trace_builder, losses_are_said) {
  Snapshot snapshot = snapshot_of({thread_of(5, "worker", {wait_of(11'000'000, 50'000'000)})});
  snapshot.trace.threads[0].overwritten = 17;
  snapshot.losses = {{LossCause::trace_overwritten, 17, 0}, {LossCause::free_unseen, 4, 0}};
  const Trace trace(snapshot);
  cr_assert_eq(trace.count("i"), 1u);
  cr_assert_eq(trace.document["metadata"]["losses"].MemberCount(), 1u, "what has nothing to do with it is not");
}

Test(trace_builder, any_name_is_valid_text) {
  Snapshot snapshot = snapshot_of({thread_of(5, "a\"b\\\xff\n\x01", {}), thread_of(6, "", {})});
  const Trace trace(snapshot);
  cr_assert_eq(trace.slices("thread a\"b\\?\n\x01").size(), 1u);
  cr_assert_eq(trace.slices("thread 6").size(), 1u);
}

Test(trace_builder, slices_that_overlap_are_cut_to_nest) {
  const Trace trace(snapshot_of({thread_of(
      5, "worker",
      {wait_of(11'000'000, 21'000'000), wait_of(15'000'000, 25'000'000), wait_of(15'000'000, 15'000'000)})}));
  cr_assert_eq(trace.slices("thread worker").size(), 1u);
}

Test(trace_builder, labels_are_slices_that_nest) {
  const auto labels_at = [](int64_t time, uint32_t before, uint32_t after) {
    TraceItem item = item_of(TraceKind::labels, time, time, -1);
    item.object = before;
    item.value = after;
    return item;
  };
  Snapshot snapshot = snapshot_of({thread_of(5, "worker",
                                             {labels_at(11'000'000, 1, 2), wait_of(12'000'000, 16'000'000),
                                              labels_at(21'000'000, 2, 3), labels_at(31'000'000, 3, 0)}),
                                   thread_of(6, "other", {})});
  snapshot.label_sets = {{{"env", "test"}},
                         {{"env", "test"}, {"route", "/a"}},
                         {{"env", "test"}, {"route", "/a"}, {"turn", "odd"}},
                         {{"env", "test"}, {"route", "/b"}, {"turn", "odd"}}};
  snapshot.trace.threads[1].labels = 3;
  const Trace trace(snapshot);
  const auto of = [&](const char* name) { return trace.slices(name); };
  cr_assert(of("env=test").empty(), "it is the process's");
  cr_assert_eq(of("route=/a").size(), 1u);
  cr_assert_eq(of("route=/a")[0], std::make_pair(0.0, 20'000.0), "it had it before the trace");
  cr_assert_eq(of("turn=odd").size(), 3u, "cut where what is around it ends; and the other thread's");
  cr_assert_eq(of("turn=odd")[0], std::make_pair(10'000.0, 20'000.0));
  cr_assert_eq(of("turn=odd")[1], std::make_pair(20'000.0, 30'000.0));
  cr_assert_eq(of("route=/b").size(), 2u);
  cr_assert_eq(of("route=/b")[0], std::make_pair(20'000.0, 30'000.0));
  cr_assert_eq(of("route=/b")[1].second, 1'999'000.0);
}

// The kernel gives numbers again. Each thread has tracks of its own all the same, whatever the order they are found in.
Test(trace_builder, threads_with_one_number_have_tracks_of_their_own) {
  TracedThread late = thread_of(5, "late", {item_of(TraceKind::sample, 1'500'000'000, 1'500'000'000, 0)});
  TracedThread early = thread_of(5, "early", {item_of(TraceKind::sample, 500'000'000, 500'000'000, 0)});
  late.begin_ns = 1'000'000'000;
  early.end_ns = 900'000'000;
  const Trace trace(snapshot_of({late, early}));
  std::map<int, std::string> names;
  for (const auto& event : trace.document["traceEvents"].GetArray()) {
    if (event["name"].GetString() != std::string("thread_name")) continue;
    const bool is_new = names.emplace(event["tid"].GetInt(), event["args"]["name"].GetString()).second;
    cr_assert(is_new);
  }
  cr_assert_eq(names.size(), 4u);
}
