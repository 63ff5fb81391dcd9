#include "core/record/label_sets.h"

#include <criterion/criterion.h>
#include <sys/mman.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "core/record/cpu_buckets.h"
#include "core/record/loss_counters.h"
#include "core/record/record.h"
#include "core/record/stack_table.h"
#include "core/report/snapshot_from_region.h"
#include "tests/unit/rounds.h"

using namespace prof;

static void setup() {
  cr_assert(region_create());
  cr_assert(record_create({}));
  const uint64_t frames[] = {0x10'0000, 0x20'0000};
  cr_assert(intern_stack(frames, 2, 0) != 0);
}

// What a sample with this set carries into a profile: "key=value key=value".
static std::string text_of(LabelId set) {
  const uint64_t frames[] = {0x10'0000 + uint64_t{set}, 0x20'0000};
  const Ref stack = intern_stack(frames, 2, 0);
  cr_assert(count_cpu_ticks(stack, 0, set, 1, 1));
  const Snapshot snapshot = snapshot_from_region(RegionView::of_self(g_region), {1, false});
  for (const CpuSample& sample : snapshot.cpu.samples) {
    if (snapshot.stacks[sample.stack].frames[0] != frames[0]) continue;
    std::string text;
    for (const auto& [key, value] : snapshot.label_sets[sample.labels]) text += key + "=" + value + " ";
    return text;
  }
  return "no sample";
}

struct Changed {
  LabelId set, pair;
  uint64_t refused;
};
static Changed with(LabelId set, const char* key, const char* value) {
  const LabelChange changed = labels_with(set, key, value);
  return {static_cast<LabelId>(changed.set), static_cast<LabelId>(changed.pair), changed.pair >> 32 << 32};
}

static uint64_t losses(LossCause cause) {
  return region_root<LossCounters>(Root::losses)->of[static_cast<unsigned>(cause)].times.load();
}

Test(label_sets, a_set_is_stored_once_in_whatever_order_it_was_made, .init = setup) {
  const LabelId one = with(with(0, "route", "/data").set, "user", "7").set;
  const LabelId other = with(with(0, "user", "7").set, "route", "/data").set;
  cr_assert_eq(one, other);
  cr_assert(text_of(one) == "route=/data user=7 ");
  cr_assert(text_of(with(one, "route", "/").set) == "route=/ user=7 ");
  cr_assert(text_of(labels_without(one, "route")) == "user=7 ");
  cr_assert_eq(labels_without(labels_without(one, "route"), "user"), 0);
  cr_assert_eq(labels_without(one, "none of it"), one);
  cr_assert(text_of(0) == "");
}

Test(label_sets, the_memo_goes_by_the_texts_not_by_where_they_lie, .init = setup) {
  char key[8] = "key";
  char value[8] = "one";
  const LabelId one = with(0, key, value).set;
  cr_assert_eq(with(0, key, value).set, one);
  strcpy(value, "two");
  const LabelId two = with(0, key, value).set;
  cr_assert_neq(two, one);
  cr_assert(text_of(two) == "key=two ");
  const LabelId both = with(two, "other", "x").set;
  cr_assert(text_of(labels_without(both, key)) == "other=x ");
  strcpy(key, "other");
  cr_assert(text_of(labels_without(both, key)) == "key=two ");
}

Test(label_sets, texts_may_lie_anywhere_and_end_at_a_pages_end, .init = setup) {
  auto* pages = static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(pages + 4096, 4096, PROT_NONE);
  for (const std::string value : {"v", "value", "12345678", "a value of some length", "value", "v", "12345679"}) {
    for (size_t before = 1; before < 20; ++before) {
      char* end = pages + 4096 - (before == 1 ? 0 : before);
      char* place = end - value.size() - 1;
      memcpy(place, value.c_str(), value.size() + 1);
      const LabelId set = with(0, "key", place).set;
      cr_assert_eq(set, with(0, "key", std::string(value).c_str()).set);
      cr_assert(text_of(set) == "key=" + value + " ");
      cr_assert_eq(with(0, "key", place).set, set, "by the memo");
      place[value.size() / 2] ^= 1;
      cr_assert_neq(with(0, "key", place).set, set);
    }
  }
}

Test(label_sets, a_scope_restores_its_own_key_only, .init = setup) {
  const LabelId outer = with(0, "route", "/a").set;
  const LabelId before = label_of_key(outer, "route");
  const Changed inner = with(outer, "route", "/b");
  const LabelId changed = with(inner.set, "user", "7").set;
  for (int again = 0; again < 2; ++again) {
    cr_assert(text_of(labels_restored(changed, inner.pair, before)) == "route=/a user=7 ");
    cr_assert(text_of(labels_restored(changed, inner.pair, 0)) == "user=7 ");
    cr_assert_eq(labels_restored(changed, 0, 0), changed);
  }
}

Test(label_sets, keys_that_are_libprofs_own_are_refused, .init = setup) {
  for (const char* key : {"thread", "tid", "state", "bytes", "start", "pprof::base", "pprof::"}) {
    cr_assert_eq(with(0, key, "x").refused, LabelChange::kReservedKey, "%s", key);
    cr_assert_eq(with(0, key, "x").set, 0);
  }
  cr_assert_eq(with(0, "", "x").refused, LabelChange::kBadKey);
  cr_assert_eq(with(0, std::string(64, 'k').c_str(), "x").refused, 0);
  cr_assert_eq(with(0, std::string(65, 'k').c_str(), "x").refused, LabelChange::kBadKey);
  cr_assert_eq(with(0, "threads", "x").refused, 0);
  cr_assert_eq(with(0, "pprof:", "x").refused, 0);
}

Test(label_sets, a_long_value_is_cut_at_a_characters_end, .init = setup) {
  const std::string whole(256, 'v');
  cr_assert(text_of(with(0, "k", whole.c_str()).set) == "k=" + whole + " ");
  cr_assert_eq(losses(LossCause::label_cut), 0);
  cr_assert(text_of(with(0, "k", (whole + "v").c_str()).set) == "k=" + whole + " ");
  const std::string split = std::string(254, 'v') + "\xe2\x82\xac";  // one byte too many
  cr_assert(text_of(with(0, "k", split.c_str()).set) == "k=" + split.substr(0, 254) + " ");
  cr_assert_eq(losses(LossCause::label_cut), 2);
}

Test(label_sets, what_is_not_utf8_is_made_so, .init = setup) {
  cr_assert(text_of(with(0, "k\xff", "v\xfe").set) == "k?=v? ");
}

Test(label_sets, more_than_sixteen_labels_are_a_loss, .init = setup) {
  LabelId set = 0;
  for (unsigned i = 0; i < kMaxLabels; ++i) set = with(set, ("k" + std::to_string(i)).c_str(), "v").set;
  cr_assert_eq(losses(LossCause::label_lost), 0);
  const Changed last = with(set, "one more", "v");
  cr_assert_eq(last.pair, 0);
  cr_assert_eq(last.set, set);
  cr_assert_eq(losses(LossCause::label_lost), 1);
  cr_assert_neq(with(set, "k3", "w").pair, 0, "another value has room");
}

Test(label_sets, a_full_table_never_leaves_a_wrong_value, .init = setup) {
  LabelId set = with(0, "user", "7").set;
  const LabelId user = set;
  unsigned fitted = 0;
  for (unsigned i = 0; losses(LossCause::label_lost) == 0; ++i) {
    cr_assert_lt(i, 100'000u);
    set = with(set, "request", std::to_string(i).c_str()).set;
    ++fitted;
  }
  cr_assert_eq(set, user, "the set without the key");
  cr_assert_gt(fitted, 5000u);
  cr_assert(text_of(with(set, "request", "5").set) == "request=5 user=7 ", "old ones go on");
  cr_assert_eq(with(with(set, "request", "5").set, "request", "new").set, user);
  // Bounded: the table's MiB, and what else there is.
  cr_assert_lt(g_region->used.load(), uint64_t{3} << 20);
}

Test(label_sets, threads_that_make_the_same_sets_at_once_agree_on_their_texts, .init = setup) {
  constexpr int kThreads = 4;
  std::vector<std::thread> threads;
  std::vector<LabelId> sets[kThreads];
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&sets, t] {
      for (int i = 0; i < rounds(2000); ++i) {
        const LabelId a = with(0, "a", std::to_string(i % 97).c_str()).set;
        const LabelId b = with(a, "b", std::to_string(i % 13).c_str()).set;
        cr_assert_eq(labels_without(b, "b") != 0, true);
        if (i < 97 * 13) sets[t].push_back(b);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (size_t i = 0; i < sets[0].size() && i < 100; ++i) {
    const std::string wanted = "a=" + std::to_string(i % 97) + " b=" + std::to_string(i % 13) + " ";
    for (const auto& own : sets) cr_assert(text_of(own[i]) == wanted);
  }
}

Test(label_sets, a_childs_region_has_the_same_ids, .init = setup) {
  const Changed outer = with(0, "route", "/a");
  const LabelId set = with(outer.set, "user", "7").set;
  RegionHeader* parent = region_forget();
  cr_assert(region_create());
  cr_assert(record_create({}));
  labels_copy(*parent);
  region_unmap(parent);
  cr_assert(text_of(set) == "route=/a user=7 ");
  cr_assert_eq(with(with(0, "user", "7").set, "route", "/a").set, set);
  cr_assert(text_of(labels_restored(with(set, "route", "/b").set, 0, outer.pair)).c_str(), "route=/a user=7 ");
}

Test(label_sets, the_processs_labels_are_on_every_sample_and_weaker, .init = setup) {
  const LabelId own = with(with(0, "env", "production").set, "route", "none").set;
  region_root<LabelTable>(Root::labels)->of_process.store(own);
  cr_assert(text_of(0) == "env=production route=none ");
  cr_assert(text_of(with(0, "route", "/a").set) == "env=production route=/a ");
}
