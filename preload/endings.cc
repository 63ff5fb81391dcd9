#include "preload/endings.h"

#include <signal.h>

#include <atomic>

#include "core/base/clocks.h"
#include "core/base/raw_syscall.h"
#include "preload/deadly_signals.h"
#include "preload/recording.h"

namespace prof {
namespace {

constexpr int kWritten = -1;

int64_t g_most_ns = 0;
void (*g_write)(Ending, int64_t) = nullptr;
std::atomic<int> g_writer{0};  // the thread that writes; kWritten; 0: nobody yet

void await_writer() {
  const int64_t deadline = ending_deadline();
  while (g_writer.load(std::memory_order_acquire) > 0 && clock_ns(CLOCK_MONOTONIC) < deadline && !ending_is_urgent()) {
    const struct timespec millisecond = timespec_of(1'000'000);
    raw_syscall(SYS_nanosleep, &millisecond, nullptr);
  }
}

}  // namespace

void endings_start(int64_t most_ns, void (*write)(Ending ending, int64_t deadline_ns)) {
  g_most_ns = most_ns;
  g_write = write;
}

void endings_forget() { g_writer.store(0); }

bool ending_claim() {
  int nobody = 0;
  return g_write != nullptr && is_recording() && g_writer.compare_exchange_strong(nobody, raw_gettid());
}

void ending_is_written() { g_writer.store(kWritten, std::memory_order_release); }

void ending_give_back() { g_writer.store(0, std::memory_order_release); }

int64_t ending_deadline() { return clock_ns(CLOCK_MONOTONIC) + g_most_ns; }

void end_at_once(Ending ending) {
  if (g_write == nullptr || !is_recording() || g_writer.load(std::memory_order_acquire) == kWritten) return;
  // A second signal is to end the process at once, not to come here again.
  const uint64_t all = ~uint64_t{0};
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, nullptr, sizeof(all));
  if (ending_claim()) {
    g_write(ending, ending_deadline());
    ending_is_written();
  } else if (g_writer.load(std::memory_order_relaxed) != raw_gettid()) {
    await_writer();
  }
}

bool ending_is_urgent() {
  uint64_t pending = 0;
  return raw_syscall(SYS_rt_sigpending, &pending, sizeof(pending)) == 0 && (pending & deadly_signals_now()) != 0;
}

}  // namespace prof
