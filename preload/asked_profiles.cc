#include "preload/asked_profiles.h"

#include <signal.h>

#include <atomic>

#include "core/base/errno_saver.h"
#include "core/base/raw_log.h"
#include "core/base/region.h"
#include "core/record/cpu_buckets.h"
#include "core/record/snapshot_numbers.h"
#include "preload/all_stacks.h"
#include "preload/cpu_sampling.h"
#include "preload/heap_sampling.h"
#include "preload/helper_thread.h"
#include "preload/last_profiles.h"
#include "preload/real_symbols.h"
#include "preload/recording.h"
#include "preload/reporter.h"
#include "preload/snapshot_signal.h"

namespace prof {
namespace {

const Config* g_config = nullptr;
const Output* g_output = nullptr;
std::atomic<bool> g_launching{false};  // a snapshot's reporter
void on_stretch_over(uint32_t stretch) { reporter_launch(task_of_stretch(*g_config, stretch), *g_output); }

ReportTask g_snapshot;  // the one that is being launched
constinit HelperThread g_stacks_helper{};

void collect_and_launch() {
  view_all_threads(g_snapshot.snapshot, g_config->stack_depth);
  reporter_launch(g_snapshot, *g_output);
  g_launching.store(false, std::memory_order_release);
}

// Signal-safe.
void on_snapshot_wanted() {
  if (!is_recording()) return;
  // Two threads may be here at once.
  const bool is_first = !g_launching.exchange(true, std::memory_order_acquire);
  if (!is_first || reporter_is_busy_with_snapshot()) {
    if (is_first) g_launching.store(false, std::memory_order_release);
    LogLine(LogLevel::warn) << "an earlier snapshot is still being written: none for this signal; try again";
    return;
  }
  g_snapshot.cumulative = true;
  g_snapshot.snapshot = region_root<SnapshotNumbers>(Root::snapshots)->asked.fetch_add(1) + 1;
  // Where the stacks of all threads are wanted, a thread of its own collects them: here is one of theirs.
  if (g_config->kinds.has(ProfileKind::stacks) &&
      helper_start(&g_stacks_helper, collect_and_launch, /*keeps_stderr=*/true))
    return;
  reporter_launch(g_snapshot, *g_output);
  g_launching.store(false, std::memory_order_release);
}

void poll_for_snapshots() { poll_snapshot_signal(); }

std::atomic<int> g_switch_signal{0};  // 0: none

void on_switch_signal(int, siginfo_t*, void*) {
  const ErrnoSaver errno_saver;
  if (!is_recording()) return;
  const uint32_t stretch = region_root<CpuRecord>(Root::cpu)->stretch.load();
  if (cpu_sampling_stop()) {
    on_stretch_over(stretch);
  } else if (reporter_is_busy(stretch + 1)) {
    LogLine(LogLevel::warn) << "an earlier profile is still being written: not switched on; try again";
  } else {
    cpu_sampling_start();
  }
}

void install_switch_signal() {
  if (g_config->cpu_signal == 0) return;
  struct sigaction before = {};
  real::sigaction()(g_config->cpu_signal, nullptr, &before);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    LogLine(LogLevel::warn) << "PROF_CPU_SIGNAL: '" << g_config->cpu_signal
                            << "' has a handler already; choose another signal";
    return;
  }
  struct sigaction action = {};
  action.sa_sigaction = on_switch_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  if (real::sigaction()(g_config->cpu_signal, &action, nullptr) == 0) g_switch_signal.store(g_config->cpu_signal);
}

}  // namespace

void program_sets_signal(int number) {
  if (number == 0 || g_switch_signal.load(std::memory_order_relaxed) != number || !is_recording()) return;
  if (g_switch_signal.exchange(0) == 0) return;
  LogLine(log_level_of_program()) << "PROF_CPU_SIGNAL: the program handles signal " << number
                                  << " itself: it does not switch sampling on or off; choose another signal";
}

void asked_profiles_start(const Config& config, const Output& output) {
  g_config = &config;
  g_output = &output;
  cpu_sampling_on_stretch_over(on_stretch_over);
  if (config.kinds.has(ProfileKind::cpu)) install_switch_signal();
  if (config.kinds.meets(kCumulativeKinds))
    snapshot_signal_start(config.snapshot_signal, config.names_snapshot_signal || config.kinds.has(ProfileKind::stacks),
                          on_snapshot_wanted);
  if (config.kinds.meets(kHeapKinds)) heap_sampling_on_visit(poll_for_snapshots);
}

void asked_profiles_forget() {
  g_launching.store(false);
  helper_forget(&g_stacks_helper);
}

}  // namespace prof
