// One test for each of the format's conventions that the builder is answerable for.
#include "core/report/profile_builder.h"

#include <criterion/criterion.h>
#include <unistd.h>

#include <cmath>

#include "core/base/address.h"
#include "core/report/loss_text.h"

using namespace prof;

extern "C" __attribute__((noinline)) int symbol_in_this_program(int n) { return n + 1; }

namespace {

Snapshot snapshot_of(std::vector<std::vector<uint64_t>> stacks) {
  Snapshot snapshot;
  snapshot.pid = getpid();
  snapshot.executable = "/bin/test";
  snapshot.cpu.present = true;
  snapshot.cpu.period_ns = 10'000'000;
  snapshot.cpu.clock = "timer";
  snapshot.cpu.start_unix_ns = 1'700'000'000'000'000'000;
  snapshot.cpu.duration_ns = 2'000'000'000;
  for (auto& frames : stacks) {
    snapshot.stacks.push_back({frames, 0});
    snapshot.cpu.samples.push_back({static_cast<uint32_t>(snapshot.stacks.size() - 1), "worker", 2});
  }
  return snapshot;
}

Profile build(const Snapshot& snapshot) {
  Symbolizer symbolizer(getpid());
  return build_cpu_profile(snapshot, ModuleMap::of_process(getpid()), &symbolizer);
}

const uint64_t kHere = reinterpret_cast<uint64_t>(symbol_in_this_program);
const uint64_t kLibc = reinterpret_cast<uint64_t>(&qsort);

const ProfileLocation& location_at(const Profile& p, uint64_t address) {
  for (const auto& location : p.locations) {
    if (location.address == address) return location;
  }
  cr_assert_fail("no location at that address");
  abort();
}

}  // namespace

Test(profile_builder, types_and_period_never_change) {
  for (const Profile& p : {build(snapshot_of({})), build(snapshot_of({{kHere}}))}) {
    cr_assert_eq(p.sample_types.size(), 2u);
    cr_assert_eq(p.sample_types[0].type + "/" + p.sample_types[0].unit, "samples/count");
    cr_assert_eq(p.sample_types[1].type + "/" + p.sample_types[1].unit, "cpu/nanoseconds");
    cr_assert_eq(p.period_type.type + "/" + p.period_type.unit, "cpu/nanoseconds");
    cr_assert_eq(p.default_sample_type, "cpu");
    cr_assert_eq(p.period, 10'000'000);
    cr_assert_eq(p.time_unix_ns, 1'700'000'000'000'000'000);
    cr_assert_eq(p.duration_ns, 2'000'000'000);
  }
}

Test(profile_builder, values_are_ticks_and_their_time) {
  const Profile p = build(snapshot_of({{kHere, kLibc}}));
  cr_assert_eq(p.samples.size(), 1u);
  cr_assert(p.samples[0].values == std::vector<int64_t>({2, 20'000'000}));
  cr_assert_eq(p.locations[p.samples[0].locations[0]].address, kHere, "the leaf is first");
  cr_assert_eq(p.samples[0].labels[0].key, "thread");
  cr_assert_eq(p.samples[0].labels[0].text, "worker");
}

Test(profile_builder, main_is_first_even_without_samples_in_it) {
  char executable[4096] = {};
  cr_assert_gt(readlink("/proc/self/exe", executable, sizeof(executable) - 1), 0);
  for (const Profile& p : {build(snapshot_of({})), build(snapshot_of({{kLibc}}))}) {
    cr_assert_eq(p.mappings[0].filename, executable);
    cr_assert_eq(p.mappings[0].build_id.size(), 40u);
  }
}

Test(profile_builder, every_location_lies_in_its_mapping) {
  constexpr uint64_t kInLastPage = ~uint64_t{0} - 100;  // no code: a spoiled return address
  const Profile p = build(snapshot_of(
      {{kHere, kLibc, 0x10'0000, 0x7fff'ffff'e000, kInLastPage, static_cast<uint64_t>(StackEnd::too_deep)}}));
  cr_assert_eq(p.locations.size(), 6u);
  for (const auto& location : p.locations) {
    const ProfileMapping& mapping = p.mappings[location.mapping];
    cr_assert(location.address >= mapping.start && location.address < mapping.limit);
  }
  cr_assert_neq(location_at(p, 0x10'0000).mapping, 0u, "unknown code is not the main program's");
}

Test(profile_builder, markers_are_functions_that_say_so) {
  const Profile p = build(snapshot_of({{kHere, static_cast<uint64_t>(StackEnd::too_deep)}}));
  const ProfileLocation& last = p.locations[p.samples[0].locations[1]];
  cr_assert(p.functions[last.function].name.starts_with("[truncated: "));
}

Test(profile_builder, losses_are_samples_and_comments) {
  Snapshot snapshot = snapshot_of({{kHere}});
  snapshot.losses = {{LossCause::no_scratch, 3, 5}, {LossCause::timer_refused, 2, 0}};
  snapshot.cpu.notes = {"a note"};
  const std::string no_scratch(loss_text(LossCause::no_scratch));
  const std::string refused(loss_text(LossCause::timer_refused));
  const Profile p = build(snapshot);
  cr_assert_eq(p.samples.size(), 2u);
  cr_assert(p.samples[1].values == std::vector<int64_t>({5, 50'000'000}));
  cr_assert_eq(p.functions[p.locations[p.samples[1].locations[0]].function].name, "[lost: " + no_scratch + "]");
  const auto has = [&](const std::string& comment) {
    return std::find(p.comments.begin(), p.comments.end(), comment) != p.comments.end();
  };
  cr_assert(has(no_scratch + ": 3") && has(refused + ": 2") && has("a note") && has("cpu clock: timer"));
}

Test(profile_builder, a_loss_is_said_where_it_concerns) {
  Snapshot snapshot = snapshot_of({{kHere}});
  snapshot.losses = {{LossCause::timer_refused, 1, 0}, {LossCause::free_unseen, 1, 0}, {LossCause::region_full, 1, 0}};
  snapshot.cpu.notes = {"a note"};
  const ModuleMap modules = ModuleMap::of_process(getpid());
  Symbolizer symbolizer(getpid());
  cr_assert_eq(build_event_profile(snapshot, ProfileKind::block, modules, &symbolizer).comments.size(), 2u);
  cr_assert_eq(build_heap_profile(snapshot, HeapView::heap, modules, &symbolizer).comments.size(), 3u);
  cr_assert_eq(build_cpu_profile(snapshot, modules, &symbolizer).comments.size(), 5u);
}

Test(profile_builder, equal_samples_are_one) {
  Snapshot snapshot = snapshot_of({{kHere}, {kHere}, {kHere}});
  snapshot.stacks[1].generation = 5;
  snapshot.cpu.samples[2].thread_name = "other";
  const Profile p = build(snapshot);
  cr_assert_eq(p.samples.size(), 2u);
  cr_assert_eq(p.samples[0].values[0] + p.samples[1].values[0], 6);
}

Test(profile_builder, has_functions_only_where_pprof_could_add_nothing) {
  const Profile p = build(snapshot_of({{kHere, kLibc, kLibc + 1}, {0x10'0000}}));
  cr_assert_not(p.mappings[0].has_functions, "this program has line tables");
  const ProfileMapping& libc = p.mappings[location_at(p, kLibc).mapping];
  const bool libc_has_lines =
      ElfSymbols::of_file(libc.filename).has_line_table();  // where its debug package is installed
  cr_assert_eq(libc.has_functions, !libc_has_lines, "every location in it has a name");
  cr_assert_not(p.mappings[location_at(p, 0x10'0000).mapping].has_functions);
}

Test(profile_builder, unloaded_code_is_told_by_generation) {
  Snapshot snapshot = snapshot_of({{kLibc}, {kLibc}, {kLibc}});
  snapshot.stacks[0].generation = 1;
  snapshot.stacks[1].generation = 3;
  snapshot.stacks[2].generation = 4;
  const uint64_t start = kLibc & ~uint64_t{4095};
  snapshot.unloaded = {{start, start + 4096, 0, 3, "/gone/second.so", "22"},
                       {start, start + 4096, 0, 1, "/gone/first.so", "11"}};
  const Profile p = build(snapshot);
  std::vector<std::string> files;
  for (const auto& location : p.locations) files.push_back(p.mappings[location.mapping].filename);
  cr_assert_eq(files.size(), 3u);
  cr_assert_eq(files[0], "/gone/first.so");
  cr_assert_eq(files[1], "/gone/second.so");
  cr_assert(files[2].find("libc.so") != std::string::npos);
  cr_assert_not(p.locations[0].has_function, "a file that is not there has no names");
}

namespace {

Snapshot heap_snapshot(uint64_t rate) {
  Snapshot snapshot = snapshot_of({});
  snapshot.cpu.present = false;
  snapshot.heap.present = true;
  snapshot.heap.rate = rate;
  snapshot.stacks = {{{kHere, kLibc}, 0}};
  return snapshot;
}

Profile build_heap(const Snapshot& snapshot, HeapView view = HeapView::heap) {
  Symbolizer symbolizer(getpid());
  return build_heap_profile(snapshot, view, ModuleMap::of_process(getpid()), &symbolizer);
}

}  // namespace

Test(profile_builder, waits_that_go_on_are_a_comment_of_the_block_profile) {
  Snapshot snapshot = heap_snapshot(1);
  Symbolizer symbolizer(getpid());
  const auto comments_of = [&](ProfileKind kind) {
    return build_event_profile(snapshot, kind, ModuleMap::of_process(getpid()), &symbolizer).comments;
  };
  cr_assert_eq(comments_of(ProfileKind::block).size(), 1u, "the program's only");
  snapshot.waits_now = 3;
  snapshot.longest_wait_now_ns = 1'900'000'000;
  const std::vector<std::string> comments = comments_of(ProfileKind::block);
  cr_assert_eq(comments.size(), 2u);
  cr_assert_eq(comments[1], "waits still going on, not in the values: 3, the longest for 1.9 s");
  cr_assert_eq(comments_of(ProfileKind::mutex).size(), 1u);
}

Test(profile_builder, a_wall_profile_says_how_seldom_a_thread_was_looked_at) {
  Snapshot snapshot = heap_snapshot(1);
  snapshot.wall_period_ns = 10'000'000;
  Symbolizer symbolizer(getpid());
  const auto comment_of = [&](uint32_t threads, uint64_t duration_ns) {
    snapshot.wall_most_threads = threads;
    snapshot.wall_duration_ns = duration_ns;
    const auto comments = build_wall_profile(snapshot, ModuleMap::of_process(getpid()), &symbolizer).comments;
    return comments.size() > 1 ? comments[1] : std::string();
  };
  cr_assert_eq(comment_of(100, 60'000'000'000), "");
  cr_assert_eq(comment_of(1, 1'000'000), "");
  cr_assert(
      comment_of(250, 60'000'000'000).starts_with("each thread was looked at every 2.5 s, when there were 250 ("));
  cr_assert_not(comment_of(250, 60'000'000'000).ends_with("before all were"));
  cr_assert(comment_of(50, 300'000'000).starts_with("each thread was looked at every 0.5 s, when there were 50 ("));
  cr_assert(comment_of(50, 300'000'000).ends_with("; the profile ends before all were"));
}

Test(profile_builder, heap_types_never_change) {
  for (const HeapView view : {HeapView::heap, HeapView::allocs, HeapView::peak}) {
    const Profile p = build_heap(heap_snapshot(524'288), view);
    const char* wanted[] = {"alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes"};
    cr_assert_eq(p.sample_types.size(), 4u);
    for (int i = 0; i < 4; ++i) cr_assert_eq(p.sample_types[i].type + "/" + p.sample_types[i].unit, wanted[i]);
    cr_assert_eq(p.default_sample_type, view == HeapView::allocs ? "alloc_space" : "inuse_space");
    cr_assert_eq(p.period_type.type + "/" + p.period_type.unit, "space/bytes");
    cr_assert_eq(p.period, 524'288);
    cr_assert_eq(p.duration_ns, 0);
  }
}

Test(profile_builder, heap_values_are_what_the_samples_stand_for) {
  Snapshot snapshot = heap_snapshot(1000);
  snapshot.heap.samples = {{0, 500, 7, 3, 5, 1}};
  const double blocks = 1 / (1 - std::exp(-0.5));
  const auto values = [&](double allocated, double live) {
    return std::vector<int64_t>{std::llround(allocated * blocks), std::llround(allocated * blocks * 500),
                                std::llround(live * blocks), std::llround(live * blocks * 500)};
  };
  const Profile p = build_heap(snapshot);
  cr_assert_eq(p.samples.size(), 1u);
  cr_assert(p.samples[0].values == values(7, 4));
  cr_assert_eq(p.samples[0].labels[0].key, "bytes");
  cr_assert_eq(p.samples[0].labels[0].number, 500);
  cr_assert(build_heap(snapshot, HeapView::peak).samples[0].values == values(5, 4));
}

Test(profile_builder, heap_samples_of_one_stack_and_size_are_one) {
  Snapshot snapshot = heap_snapshot(1);
  snapshot.stacks.push_back(snapshot.stacks[0]);
  snapshot.heap.samples = {{0, 10, 2, 0}, {1, 10, 3, 1}, {1, 11, 1, 0}};
  const Profile p = build_heap(snapshot);
  cr_assert_eq(p.samples.size(), 2u);
  cr_assert(p.samples[0].values == std::vector<int64_t>({5, 50, 4, 40}));
  cr_assert(p.samples[1].values == std::vector<int64_t>({1, 11, 1, 11}));
}

Test(profile_builder, a_foreign_malloc_is_told) {
  Snapshot snapshot = heap_snapshot(1);
  snapshot.heap.foreign_malloc = "/bin/app";
  bool told = false;
  for (const std::string& comment : build_heap(snapshot).comments)
    told |= comment.find("/bin/app") != std::string::npos;
  cr_assert(told);
}
