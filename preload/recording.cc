#include "preload/recording.h"

#include <sys/resource.h>

#include <atomic>
#include <cstring>
#include <string>

#include "core/base/clocks.h"
#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/record/event_buckets.h"
#include "core/record/heap_buckets.h"
#include "core/record/label_sets.h"
#include "core/record/live_blocks.h"
#include "core/record/loss_counters.h"
#include "core/record/record.h"
#include "core/record/scratch.h"
#include "core/unwind/unwind.h"
#include "preload/cpu_sampling.h"
#include "preload/fork_flag.h"
#include "preload/heap_sampling.h"
#include "preload/sigprof_handler.h"
#include "preload/spool.h"
#include "preload/thread_look.h"
#include "preload/threads.h"
#include "preload/trace_sampling.h"
#include "preload/unhooked_calls.h"
#include "preload/wait_sampling.h"
#include "preload/wall_sampling.h"

namespace prof {
namespace {

const Config* g_config = nullptr;
const char* g_foreign_malloc = nullptr;
WaitSettings g_waits;                 // as they are now; a helper thread's once recording has begun
uint64_t g_heap_rate = 0;             // likewise
int64_t g_since_ns[kProfileKinds]{};  // CLOCK_REALTIME; 0: it is off
int64_t g_start_ns = 0;
uint64_t g_used_at_start = 0;  // of the region

std::atomic<bool> g_has_ended{false};

bool wants(KindSet kinds) { return g_config->kinds.meets(kinds); }
bool wants(ProfileKind kind) { return g_config->kinds.has(kind); }

int64_t& since(ProfileKind kind) { return g_since_ns[static_cast<unsigned>(kind)]; }

ClockSettings clock_settings(const Config& config) {
  ClockSettings settings;
  settings.period_ns = 1'000'000'000 / config.cpu_hz;
  settings.kernel_tick_ns = kernel_tick_ns();
  if (config.cpu_clock == ClockChoice::user) settings.clock = CpuClock::user;
  const bool too_fast_for_timer = settings.period_ns < settings.kernel_tick_ns;
  if (config.cpu_clock == ClockChoice::perf || (config.cpu_clock == ClockChoice::automatic && too_fast_for_timer)) {
    if (perf_clock_permitted()) {
      settings.clock = CpuClock::perf;
    } else if (config.cpu_clock == ClockChoice::perf) {
      LogLine(LogLevel::warn)
          << "PROF_CPU_CLOCK: 'perf' is not permitted here (see kernel.perf_event_paranoid): a timer instead";
    }
  }
  return settings;
}

bool prepare_cpu(const Config& config) {
  CpuSettings settings;
  settings.clock = clock_settings(config);
  settings.delay_ns = config.cpu_delay_ns;
  settings.duration_ns = config.cpu_duration_ns;
  settings.stack_depth = config.stack_depth;
  settings.is_clock_chosen = config.cpu_clock != ClockChoice::automatic;
  return cpu_sampling_prepare(settings);
}

void note_foreign_malloc() {
  if (g_foreign_malloc == nullptr) return;
  strncpy(region_root<HeapRecord>(Root::heap)->foreign_malloc, g_foreign_malloc,
          sizeof(HeapRecord::foreign_malloc) - 1);
}

bool has_root(Root root) { return g_region->roots[static_cast<unsigned>(root)] != 0; }

// Settings of waits for these kinds and those that are on already.
void add_waits(ProfileKind kind) {
  g_waits.stack_depth = g_config->stack_depth;
  if (kind == ProfileKind::block) g_waits.block_rate_ns = g_config->block_rate_ns;
  if (kind == ProfileKind::mutex) g_waits.mutex_fraction = g_config->mutex_fraction;
  if (kind != ProfileKind::mutex && kind != ProfileKind::trace) g_waits.keeps_stacks = true;
}

// PROF_LABELS: on every sample.
void set_process_labels(const Config& config) {
  LabelId labels = 0;
  for_each_label(config.labels, [&labels](std::string_view key, std::string_view value) {
    labels = static_cast<LabelId>(labels_with(labels, std::string(key).c_str(), std::string(value).c_str()).set);
    return true;
  });
  region_root<LabelTable>(Root::labels)->of_process.store(labels, std::memory_order_release);
}

// To be recorded from the next start on. False: they cannot be.
bool prepare_waits(ProfileKind kind) {
  if (!g_config->usable.has(kind) || !kWaitKinds.has(kind)) return false;
  if (since(kind) != 0) return true;
  hook_waits_again();
  add_waits(kind);
  since(kind) = clock_ns(CLOCK_REALTIME);
  return true;
}

int g_wall_hz = 0;  // that the program has set; 0: none
bool g_wall_is_counted = false;
bool g_trace_is_asked_for = false;

// Whoever asks for something, a helper thread or one of the program's: one at a time. What is done meanwhile takes microseconds.
std::atomic<bool> g_changing{false};
class Turn {
 public:
  Turn() {
    while (g_changing.exchange(true, std::memory_order_acquire)) raw_syscall(SYS_sched_yield);
  }
  ~Turn() { g_changing.store(false, std::memory_order_release); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
};

bool start_heap() {
  if (!has_root(Root::heap) && !record_create_heap(g_config->heap_rate, g_config->heap_peak)) return false;
  note_foreign_malloc();
  g_heap_rate = g_config->heap_rate;
  heap_sampling_start(g_heap_rate, g_config->stack_depth);
  return true;
}

}  // namespace

// Both are asked: the first process of a pid namespace may have its parent's number, and a child that shares its parent's memory has
// the parent's flag.
bool is_recording() {
  return !recording_has_ended() && g_region != nullptr && g_region->pid == raw_getpid() && fork_flag_holds();
}
void recording_ends() { g_has_ended.store(true); }
bool recording_has_ended() { return g_has_ended.load(std::memory_order_relaxed); }

bool may_record(const Config& config, KindSet kinds) {
  return config.kinds.meets(kinds) || (config.is_asked_later() && config.usable.meets(kinds));
}

bool recording_may_have(ProfileKind kind) { return may_record(*g_config, KindSet(kind)); }

bool recording_start(const Config& config, uint64_t stack_low, uint64_t stack_high, const char* foreign_malloc,
                     const RegionHeader* parent) {
  g_config = &config;
  g_foreign_malloc = foreign_malloc;
  g_waits = {};
  for (int64_t& since : g_since_ns) since = 0;
  const bool has_waits = wants(kWaitKinds);
  const bool has_events = has_waits || wants(ProfileKind::threadcreate) || config.is_asked_later();
  const RecordedKinds recorded = {wants(kHeapKinds) ? config.heap_rate : 0, config.heap_peak, has_events,
                                  config.trace_buffer * 1024};
  if (!fork_flag_set() || !(spool_create_region() || region_create()) || !record_create(recorded)) {
    LogLine(LogLevel::warn) << "no memory for recording: no profile";
    spool_drop();
    region_abandon();
    return false;
  }
  if (parent != nullptr) {
    labels_copy(*parent);
  } else {
    set_process_labels(config);
  }
  spool_describe(parent);
  g_start_ns = clock_ns(CLOCK_REALTIME);
  const bool cpu = may_record(config, kTickedKinds) && prepare_cpu(config);
  const bool is_needed = (cpu && wants(ProfileKind::cpu)) || wants(kCumulativeKinds) || config.is_asked_later();
  if (!threads_start() || !is_needed) {
    spool_drop();
    region_abandon();
    return false;
  }
  trace_prepare(config.block_rate_ns);
  if (wants(ProfileKind::trace)) trace_switch_on();
  register_calling_thread(stack_low, stack_high);
  if (wants(kHeapKinds)) start_heap();
  for (unsigned i = 0; i < kProfileKinds; ++i) {
    const auto kind = static_cast<ProfileKind>(i);
    if (!wants(kind)) continue;
    since(kind) = g_start_ns;
    if (kWaitKinds.has(kind)) add_waits(kind);
  }
  if (wants(kHeapKinds)) since(ProfileKind::heap) = since(ProfileKind::allocs) = g_start_ns;
  if (has_waits) wait_sampling_start(g_waits);
  // A thread costs much more than to count it: it need not be asked for first.
  if (may_record(config, KindSet(ProfileKind::threadcreate))) {
    since(ProfileKind::threadcreate) = g_start_ns;
    count_threads(config.stack_depth);
  }
  if (may_record(config, KindSet(ProfileKind::stacks, ProfileKind::wall))) {
    looks_start(config.stack_depth, config.cpu_clock == ClockChoice::user);
    if (!cpu) sigprof_take();
  }
  g_used_at_start = g_region->used.load(std::memory_order_relaxed);
  if (wants(ProfileKind::wall)) wall_sampling_start(config.wall_hz, config.stack_depth);
  // Clocks last: a helper thread begins with a copy of all descriptors, and a perf event lives as long as somebody has its.
  if (cpu && wants(ProfileKind::trace)) cpu_counting_start(CountingFor::trace);
  if (cpu && wants(ProfileKind::cpu) && config.cpu_signal == 0) cpu_sampling_start();
  return true;
}

bool recording_has_any() { return g_region->used.load(std::memory_order_relaxed) != g_used_at_start; }

void recording_counts_unseen_child() {
  // Such a child's region is its parent's, and its flag is gone. One that only launches another program has done nothing.
  constexpr int64_t kNothingNs = 1'000'000;
  static std::atomic<bool> is_counted{false};
  if (recording_has_ended() || g_region == nullptr || fork_flag_holds()) return;
  if (clock_ns(CLOCK_PROCESS_CPUTIME_ID) >= kNothingNs && !is_counted.exchange(true))
    count_loss(LossCause::child_unseen);
}

bool recording_stop() {
  const bool was_on = g_config->kinds.has(ProfileKind::cpu) && cpu_sampling_stop();
  cpu_counting_stop(CountingFor::all);
  sigprof_leave();
  heap_sampling_stop();
  wait_sampling_stop();
  count_threads(0);
  wall_sampling_stop();
  return was_on;
}

RegionHeader* recording_forget() {
  g_changing.store(false);
  g_wall_hz = 0;
  g_wall_is_counted = false;
  g_trace_is_asked_for = false;
  close_inherited_perf_events();
  heap_sampling_pause();
  wait_sampling_forget();
  trace_forget();
  count_threads(0);
  wall_sampling_forget();
  this_thread_is(nullptr);
  forget_live_blocks();
  reset_scratch();
  forget_walks();
  return region_forget();
}

namespace {

RecordedSince switch_on(ProfileKind kind) {
  if (!g_config->usable.has(kind) || kind == ProfileKind::cpu) return {0, false};
  if (since(kind) == 0) {
    if (kHeapKinds.has(kind)) {
      hook_allocation_again();
      if (!start_heap()) return {0, false};
      since(ProfileKind::heap) = since(ProfileKind::allocs) = clock_ns(CLOCK_REALTIME);
    } else if (prepare_waits(kind)) {
      wait_sampling_start(g_waits);
    }
  }
  return {since(kind), since(kind) == g_start_ns};
}

}  // namespace

RecordedSince recording_switch_on(ProfileKind kind) {
  const Turn turn;
  return switch_on(kind);
}

bool is_recorded(ProfileKind kind) { return since(kind) != 0; }

RecordedNow recording_now(ProfileKind kind) {
  const Turn turn;
  const int64_t rate = kHeapKinds.has(kind)         ? static_cast<int64_t>(g_heap_rate)
                       : kind == ProfileKind::block ? g_waits.block_rate_ns
                       : kind == ProfileKind::mutex ? g_waits.mutex_fraction
                                                    : 0;
  return {since(kind), rate};
}

unsigned recorded_depth() { return g_config->stack_depth; }

bool set_cpu_hz(int hz) {
  const Turn turn;
  if (wants(ProfileKind::cpu) || cpu_sampling_is_on()) return false;
  Config changed = *g_config;
  changed.cpu_hz = hz;
  return prepare_cpu(changed);
}

bool set_heap_rate(uint64_t rate) {
  const Turn turn;
  if (rate == 0) {
    if (!is_recorded(ProfileKind::heap)) return true;
    g_heap_rate = 0;
    heap_sampling_start(0, g_config->stack_depth);
    return true;
  }
  const bool is_first = !is_recorded(ProfileKind::heap);
  if (switch_on(ProfileKind::heap).unix_ns == 0) return false;
  region_root<HeapRecord>(Root::heap)->rate = rate;
  g_heap_rate = rate;
  heap_sampling_start(rate, g_config->stack_depth);
  // Of this thread at once; of the others, where they have not begun, within 64 KiB.
  if (is_first) skip_bytes(0);
  return true;
}

bool set_wall_hz(int hz) {
  const Turn turn;
  if (wants(ProfileKind::wall) || g_wall_is_counted) return false;
  if (hz != 0 && g_wall_hz != 0) return hz == g_wall_hz;
  if (hz == 0) {
    wall_sampling_stop();
  } else if (switch_on(ProfileKind::wall).unix_ns == 0 || !wall_sampling_start(hz, g_config->stack_depth)) {
    return false;
  }
  g_wall_hz = hz;
  return true;
}

int64_t set_block_rate(int64_t ns) {
  const Turn turn;
  if (!prepare_waits(ProfileKind::block)) return 0;
  g_waits.block_rate_ns = ns;
  wait_sampling_start(g_waits);
  return since(ProfileKind::block);
}

int64_t set_mutex_fraction(uint32_t fraction) {
  const Turn turn;
  if (!prepare_waits(ProfileKind::mutex)) return 0;
  g_waits.mutex_fraction = fraction;
  wait_sampling_start(g_waits);
  return since(ProfileKind::mutex);
}

bool wall_counting_start() {
  const Turn turn;
  if (wants(ProfileKind::wall) || g_wall_hz != 0) return true;
  g_wall_is_counted =
      switch_on(ProfileKind::wall).unix_ns != 0 && wall_sampling_start(g_config->wall_hz, g_config->stack_depth);
  return g_wall_is_counted;
}

void wall_counting_stop() {
  const Turn turn;
  if (g_wall_is_counted) wall_sampling_stop();
  g_wall_is_counted = false;
}

bool trace_recording_start() {
  const Turn turn;
  if (wants(ProfileKind::trace)) return true;
  if (!g_trace_is_asked_for) {
    if (switch_on(ProfileKind::trace).unix_ns == 0) return false;
    trace_switch_on();
    g_trace_is_asked_for = true;
  }
  // Each time: who took SIGPROF over may have given it back. Without it there are no samples.
  cpu_counting_start(CountingFor::asked_trace);
  return true;
}

void trace_recording_stop() {
  const Turn turn;
  if (!g_trace_is_asked_for) return;
  g_trace_is_asked_for = false;
  trace_switch_off();
  cpu_counting_stop(CountingFor::asked_trace);
  since(ProfileKind::trace) = 0;
  bool has_others = false;
  for (unsigned i = 0; i < kProfileKinds; ++i) {
    const auto kind = static_cast<ProfileKind>(i);
    has_others |= kWaitKinds.has(kind) && since(kind) != 0;
  }
  if (!has_others) wait_sampling_stop();
}

}  // namespace prof
