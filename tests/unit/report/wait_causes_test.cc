#include "core/report/wait_causes.h"

#include <criterion/criterion.h>

using namespace prof;

namespace {

TraceItem wait_of(WaitKind kind, uint64_t object, int64_t begin, int64_t end, WaitEnd how = WaitEnd::reached) {
  TraceItem item;
  item.kind = TraceKind::wait;
  item.wait = kind;
  item.wait_end = how;
  item.object = object;
  item.begin_ns = begin;
  item.end_ns = end;
  return item;
}

TraceItem release_of(WaitKind kind, uint64_t object, int64_t time, uint32_t waiters = 1) {
  TraceItem item;
  item.kind = TraceKind::release;
  item.wait = kind;
  item.object = object;
  item.count = waiters;
  item.begin_ns = time;
  item.end_ns = time + 1;
  return item;
}

std::vector<TracedThread> threads_of(std::vector<std::vector<TraceItem>> items) {
  std::vector<TracedThread> threads(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    threads[i].tid = static_cast<int>(i + 1);
    threads[i].thread = 0x1000 * (i + 1);
    threads[i].items = std::move(items[i]);
  }
  return threads;
}

}  // namespace

Test(wait_causes, the_last_unlock_before_the_end_is_it) {
  const auto causes =
      causes_of_waits(threads_of({{wait_of(WaitKind::mutex, 8, 100, 500), release_of(WaitKind::mutex, 8, 499)},
                                  {release_of(WaitKind::mutex, 8, 200), release_of(WaitKind::mutex, 8, 480)},
                                  {release_of(WaitKind::mutex, 8, 600), release_of(WaitKind::mutex, 16, 490)}}));
  cr_assert_eq(causes.size(), 1u);
  cr_assert_eq(causes[0].thread, 1u);
  cr_assert_eq(causes[0].item, 1u);
  cr_assert_eq(causes[0].time_ns, 480);
}

Test(wait_causes, a_mutex_may_be_had_before_its_release_is_noted) {
  const auto causes =
      causes_of_waits(threads_of({{wait_of(WaitKind::mutex, 8, 100, 500)}, {release_of(WaitKind::mutex, 8, 600)}, {}}));
  cr_assert_eq(causes.size(), 1u);
  cr_assert_eq(causes[0].thread, 1u);
  cr_assert_eq(causes[0].time_ns, 499);
  // It is another's, the waiter's own, of another kind of lock, or much later.
  cr_assert_eq(causes_of_waits(threads_of({{wait_of(WaitKind::mutex, 8, 100, 500)},
                                           {release_of(WaitKind::mutex, 8, 600)},
                                           {wait_of(WaitKind::mutex, 8, 100, 700)}}))
                   .size(),
               1u);
  cr_assert(causes_of_waits(threads_of({{wait_of(WaitKind::mutex, 8, 100, 500), release_of(WaitKind::mutex, 8, 550)},
                                        {release_of(WaitKind::mutex, 8, 600)}}))
                .empty());
  cr_assert(
      causes_of_waits(threads_of({{wait_of(WaitKind::write_lock, 8, 100, 500)}, {release_of(WaitKind::mutex, 8, 600)}}))
          .empty());
  cr_assert(
      causes_of_waits(threads_of({{wait_of(WaitKind::mutex, 8, 100, 500)}, {release_of(WaitKind::mutex, 8, 60'000)}}))
          .empty());
}

Test(wait_causes, a_reader_and_a_writer_wait_for_the_same_unlock) {
  const auto causes = causes_of_waits(threads_of({{wait_of(WaitKind::read_lock, 8, 100, 500)},
                                                  {wait_of(WaitKind::write_lock, 8, 100, 510)},
                                                  {release_of(WaitKind::mutex, 8, 400)}}));
  cr_assert_eq(causes.size(), 2u);
}

Test(wait_causes, none_where_nothing_is_known) {
  // Of before the wait; timed out; one's own; of something else.
  cr_assert(causes_of_waits(threads_of({{wait_of(WaitKind::mutex, 8, 100, 500)}, {release_of(WaitKind::mutex, 8, 99)}}))
                .empty());
  cr_assert(causes_of_waits(threads_of({{wait_of(WaitKind::mutex, 8, 100, 500, WaitEnd::timed_out)},
                                        {release_of(WaitKind::mutex, 8, 200)}}))
                .empty());
  cr_assert(causes_of_waits(threads_of({{wait_of(WaitKind::mutex, 8, 100, 500), release_of(WaitKind::mutex, 8, 200)}}))
                .empty());
  cr_assert(
      causes_of_waits(threads_of({{wait_of(WaitKind::condition, 8, 100, 500)}, {release_of(WaitKind::mutex, 8, 200)}}))
          .empty());
}

Test(wait_causes, each_signal_wakes_one) {
  const auto causes =
      causes_of_waits(threads_of({{wait_of(WaitKind::condition, 8, 100, 520)},
                                  {wait_of(WaitKind::condition, 8, 100, 510)},
                                  {wait_of(WaitKind::condition, 8, 100, 530)},
                                  {release_of(WaitKind::condition, 8, 200), release_of(WaitKind::condition, 8, 300)}}));
  cr_assert_eq(causes.size(), 2u);
  cr_assert_eq(causes[0].waiter, 0u);
  cr_assert_eq(causes[0].item, 1u, "it went on later");
  cr_assert_eq(causes[1].waiter, 1u);
  cr_assert_eq(causes[1].item, 0u);
}

Test(wait_causes, a_broadcast_wakes_as_many_as_there_were) {
  const auto causes = causes_of_waits(threads_of({{wait_of(WaitKind::condition, 8, 100, 520)},
                                                  {wait_of(WaitKind::condition, 8, 100, 510)},
                                                  {wait_of(WaitKind::condition, 8, 250, 530)},
                                                  {release_of(WaitKind::condition, 8, 200, 2)}}));
  cr_assert_eq(causes.size(), 2u);
}

Test(wait_causes, a_join_ends_with_the_thread) {
  auto threads = threads_of({{wait_of(WaitKind::join, 0x2000, 100, 500)}, {}, {}});
  threads[1].end_ns = 90;
  threads[2].thread = 0x2000;  // made later, at the same place
  threads[2].end_ns = 600;
  const auto causes = causes_of_waits(threads);
  cr_assert_eq(causes.size(), 1u);
  cr_assert_eq(causes[0].thread, 1u);
  cr_assert_eq(causes[0].item, WaitCause::kThreadEnd);
}
