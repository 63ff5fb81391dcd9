#include "preload/side_process.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "core/base/clocks.h"
#include "core/base/raw_syscall.h"
#include "preload/close_from.h"
#include "preload/private_heap.h"
#include "preload/signals_blocked.h"
#include "preload/valgrind.h"

namespace prof {

namespace {
bool g_is_under_valgrind = false;
}

void side_process_prepare() { g_is_under_valgrind = is_under_valgrind(); }

void use_hard_limits() {
  for (const int which : {RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA}) {
    struct rlimit64 limit;
    if (raw_syscall(SYS_prlimit64, 0, which, nullptr, &limit) != 0) continue;
    limit.rlim_cur = limit.rlim_max;
    raw_syscall(SYS_prlimit64, 0, which, &limit, nullptr);
  }
}

long clone_with_memory(void* stack_top, void (*main)(void*), void* argument, std::atomic<uint32_t>* cleared) {
  if (g_is_under_valgrind) return -ENOSYS;  // it would end the program
  const long flags = CLONE_VM | (cleared != nullptr ? CLONE_CHILD_CLEARTID : 0);
  long result;
  register void* stack asm("rsi") = stack_top;
  register std::atomic<uint32_t>* child_tid asm("r10") = cleared;
  asm volatile(
      "mov %[argument], %%r12\n\t"
      "xor %%edx, %%edx\n\t"
      "xor %%r8d, %%r8d\n\t"
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %%r12, %%rdi\n\t"
      "call *%[main]\n\t"
      "hlt\n"
      "1:"
      : "=a"(result)
      : "a"(static_cast<long>(SYS_clone)), "D"(flags), "r"(stack),
        "r"(child_tid), [argument] "r"(argument), [main] "r"(main)
      : "rcx", "r11", "rdx", "r8", "r12", "memory");
  return result;
}

namespace {

constexpr uint64_t kStackBytes = 8 << 20;  // as the main thread has; of which what is used takes memory
constexpr int kFaults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};

std::atomic<uint32_t> g_is_there{0};
std::atomic<int> g_child{0};
std::atomic<bool> g_may_hold_heap{false};  // it is at work, or was cut off
void (*g_work)() = nullptr;
bool g_keeps_descriptors = false;
bool g_is_done = false;

// Our own mistake is not to be the program's end: by default it would dump the memory, which is the program's.
extern "C" void prof_side_process_fails() { raw_syscall(SYS_exit, 1); }

void run(void*) {
  use_hard_limits();
  struct KernelAction {
    void (*handler)();
    uint64_t flags;
    uint64_t restorer;
    uint64_t mask;
  };
  constexpr uint64_t kRestorer = 0x0400'0000;  // SA_RESTORER, which the kernel insists on; nothing returns
  const KernelAction fails = {prof_side_process_fails, kRestorer, reinterpret_cast<uint64_t>(prof_side_process_fails),
                              0};
  uint64_t faults = 0;
  for (const int number : kFaults) {
    raw_syscall(SYS_rt_sigaction, number, &fails, nullptr, sizeof(uint64_t));
    faults |= uint64_t{1} << (number - 1);
  }
  raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &faults, nullptr, sizeof(faults));
  // Should this process be left behind, no pipe's other end is to wait for its end.
  if (!g_keeps_descriptors) {
    close_from(3);
    raw_syscall(SYS_close, 0);
    raw_syscall(SYS_close, 1);
  }
  // Its pid as the kernel says it: the C library knows the program's.
  private_heap_ends(raw_getpid(), nullptr);  // who waits says it
  try {
    g_work();
    g_is_done = true;
  } catch (...) {  // std::bad_alloc; above this frame there is none that could be unwound
    g_may_hold_heap.store(false);
  }
  raw_syscall(SYS_exit, g_is_done ? 0 : 1);
}

// True: it has ended.
bool await_end(int64_t deadline_ns) {
  while (g_is_there.load(std::memory_order_acquire) != 0) {
    const int64_t left = deadline_ns - clock_ns(CLOCK_MONOTONIC);
    if (left <= 0) return false;
    const struct timespec most = timespec_of(left);
    raw_syscall(SYS_futex, &g_is_there, FUTEX_WAIT, 1, &most);
  }
  return true;
}

}  // namespace

bool work_aside_may_hold_heap() { return g_may_hold_heap.load(); }

bool work_aside_is_at_work() { return g_is_there.load(std::memory_order_acquire) != 0; }

void work_aside_await(int64_t deadline_ns) {
  if (!await_end(deadline_ns)) raw_syscall(SYS_kill, g_child.load(std::memory_order_relaxed), SIGKILL);
}

SideWork work_aside(void (*work)(), bool keeps_descriptors, int64_t deadline_ns) {
  constexpr int64_t kToEndNs = 250'000'000;  // on a machine where many wait for a processor
  const long stack = raw_syscall(SYS_mmap, nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (stack < 0 && stack > -4096) return SideWork::impossible;
  g_work = work;
  g_keeps_descriptors = keeps_descriptors;
  g_is_done = false;
  long child;
  {
    // What is sent to the whole group, such as a ^C, is not meant for the child.
    const SignalsBlocked blocked;
    g_is_there.store(1, std::memory_order_relaxed);
    const bool was_cut_off = g_may_hold_heap.exchange(true);
    child = clone_with_memory(reinterpret_cast<char*>(stack) + kStackBytes, run, nullptr, &g_is_there);
    if (child <= 0) {
      g_is_there.store(0, std::memory_order_relaxed);
      g_may_hold_heap.store(was_cut_off);
    }
    g_child.store(static_cast<int>(child), std::memory_order_relaxed);
  }
  SideWork result = SideWork::impossible;
  if (child > 0) {
    result = SideWork::failed;
    if (!await_end(deadline_ns)) {
      raw_syscall(SYS_kill, child, SIGKILL);
      result = await_end(clock_ns(CLOCK_MONOTONIC) + kToEndNs) ? SideWork::too_late : SideWork::stuck;
    }
    if (g_is_done) {
      result = SideWork::done;
      g_may_hold_heap.store(false);
    }
    if (result != SideWork::stuck) {
      while (raw_syscall(SYS_wait4, child, nullptr, __WCLONE, nullptr) == -EINTR) {
      }
    }
  }
  // Else that one may still run on it; the process ends, and its memory with it.
  if (result != SideWork::stuck) raw_syscall(SYS_munmap, stack, kStackBytes);
  return result;
}

}  // namespace prof
