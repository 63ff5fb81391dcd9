#include "preload/helper_thread.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "core/base/clocks.h"
#include "core/base/raw_syscall.h"
#include "preload/close_from.h"
#include "preload/signals_blocked.h"

namespace prof {
namespace {

// How the main thread has ended, 0 where it has not: the kernel takes the last thread's code for the process's, and that may be us.
int exit_code_of_main() {
  char text[1024];
  const long fd = raw_syscall(SYS_open, "/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const long bytes = raw_syscall(SYS_read, fd, text, sizeof(text) - 1);
  raw_syscall(SYS_close, fd);
  // The last field, as wait() has it.
  long at = bytes - 1;
  while (at > 0 && (text[at] < '0' || text[at] > '9')) --at;
  int status = 0;
  int scale = 1;
  for (; at > 0 && text[at] >= '0' && text[at] <= '9' && scale <= 10000; --at, scale *= 10)
    status += (text[at] - '0') * scale;
  return status >> 8 & 0xff;
}

std::atomic<int> g_holding{0};  // helpers that have not let go of what they copied

void run(HelperThread* helper) {
  // Descriptors of its own, since the program's are the program's: it may close any, and count on the lowest free number. What it has
  // copied is let go of, or a pipe's other end would not see it close; stderr is kept where a reporter is to have it.
  close_from(helper->keeps_stderr ? 3 : 0);
  if (helper->keeps_stderr) {
    raw_syscall(SYS_close, 0);
    raw_syscall(SYS_close, 1);
  }
  g_holding.fetch_sub(1, std::memory_order_release);
  helper->main();
  raw_syscall(SYS_exit, exit_code_of_main());
}

constexpr unsigned kMostHelpers = 4;
std::atomic<HelperThread*> g_helpers[kMostHelpers];  // that were ever started

void enlist(HelperThread* helper) {
  for (auto& entry : g_helpers) {
    HelperThread* none = nullptr;
    if (entry.compare_exchange_strong(none, helper) || none == helper) return;
  }
}

bool has_gone(int tid) { return tid == 0 || raw_syscall(SYS_tgkill, raw_getpid(), tid, 0) != 0; }

}  // namespace

void helpers_await_closing() {
  constexpr int kMostMilliseconds = 100;
  for (int i = 0; i < kMostMilliseconds && g_holding.load(std::memory_order_acquire) > 0; ++i) {
    const struct timespec pause = timespec_of(1'000'000);
    raw_syscall(SYS_nanosleep, &pause, nullptr);
  }
}

void helper_forget(HelperThread* helper) {
  helper->tid.store(0, std::memory_order_relaxed);
  helper->last_tid.store(0, std::memory_order_relaxed);
  g_holding.store(0, std::memory_order_relaxed);
}

bool is_helper(int tid) {
  for (const auto& entry : g_helpers) {
    const HelperThread* helper = entry.load(std::memory_order_acquire);
    if (helper != nullptr && helper->tid.load(std::memory_order_relaxed) == tid) return true;
  }
  return false;
}

unsigned helpers_there() {
  unsigned count = 0;
  for (const auto& entry : g_helpers) {
    const HelperThread* helper = entry.load(std::memory_order_acquire);
    if (helper != nullptr && !has_gone(helper->last_tid.load(std::memory_order_acquire))) ++count;
  }
  return count;
}

bool helper_await_gone(int tid, int most_milliseconds) {
  for (int i = 0; !has_gone(tid); ++i) {
    if (i == most_milliseconds) return false;
    const struct timespec pause = timespec_of(1'000'000);
    raw_syscall(SYS_nanosleep, &pause, nullptr);
  }
  return true;
}

void helpers_await_gone(int most_milliseconds) {
  for (const auto& entry : g_helpers) {
    const HelperThread* helper = entry.load(std::memory_order_acquire);
    if (helper != nullptr) helper_await_gone(helper->last_tid.load(std::memory_order_acquire), most_milliseconds);
  }
}

bool helper_start(HelperThread* helper, void (*main)(), bool keeps_stderr) {
  int none = 0;
  constexpr int kStarting = -1;
  if (!helper->tid.compare_exchange_strong(none, kStarting, std::memory_order_acquire)) return false;
  helper->main = main;
  helper->keeps_stderr = keeps_stderr;
  enlist(helper);
  g_holding.fetch_add(1, std::memory_order_relaxed);
  auto* const thread_pointer = helper->tls + HelperThread::kTlsBytes / 2;
  *reinterpret_cast<void**>(thread_pointer) = thread_pointer;  // what the ABI keeps there
  constexpr long kFlags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |
                          CLONE_CHILD_CLEARTID;
  long result;
  {
    const SignalsBlocked blocked;
    register void* stack asm("rsi") = helper->stack + HelperThread::kStackBytes;
    register std::atomic<int>* parent_tid asm("rdx") = &helper->tid;
    register std::atomic<int>* child_tid asm("r10") = &helper->tid;
    register void* tls asm("r8") = thread_pointer;
    asm volatile(
        "mov %[helper], %%r12\n\t"
        "syscall\n\t"
        "test %%rax, %%rax\n\t"
        "jnz 1f\n\t"
        "xor %%ebp, %%ebp\n\t"
        "mov %%r12, %%rdi\n\t"
        "call *%[run]\n\t"
        "hlt\n"
        "1:"
        : "=a"(result)
        : "a"(static_cast<long>(SYS_clone)), "D"(kFlags), "r"(stack), "r"(parent_tid), "r"(child_tid),
          "r"(tls), [helper] "r"(helper), [run] "r"(run)
        : "rcx", "r11", "r12", "memory");
  }
  if (result < 0) {
    g_holding.fetch_sub(1, std::memory_order_relaxed);
    helper->tid.store(0, std::memory_order_release);
  }
  if (result > 0) helper->last_tid.store(static_cast<int>(result), std::memory_order_release);
  return result > 0;
}

}  // namespace prof
