#include "preload/ring_waits.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <sys/uio.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <climits>
#include <cstdint>
#include <cstring>

#include "core/base/clocks.h"
#include "core/base/raw_syscall.h"
#include "preload/cpu_sampling.h"
#include "preload/kernel_action.h"
#include "preload/ring_instructions.h"
#include "preload/sigprof_handler.h"

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));
extern "C" const char _end[] __attribute__((visibility("hidden")));

namespace prof {
namespace {

constexpr int64_t kSyscallBytes = 2;
// The C library's own, by which setuid() and its like come to every thread: nobody waits for it.
constexpr int kSigsetxid = 33;
constexpr uint64_t kIgnore = 1;

// Flags that headers of older kernels do not have.
constexpr greg_t kAbsoluteLimit = 1 << 5;
constexpr greg_t kRegisteredLimit = 1 << 6;

// Once for all: a handler that is there no more may be what has ended this wait.
std::atomic<bool> g_handler_blocks_ticks{false};
std::atomic<bool> g_has_looked{false};
// A tick has met a call that libprof did not know of beforehand.
std::atomic<bool> g_has_met_call{false};

// At a system call's return the processor has the address in rcx. r10: the flags of io_uring_enter; rdi, rsi, rdx: a descriptor, how many are
// submitted, and how many are waited for, which no pointer is that another call has there.
bool may_be_wait(const greg_t* registers) {
  constexpr greg_t kKnownFlags = 0xff;
  constexpr greg_t kMostEntries = 1 << 16;  // what a ring may have of them
  const greg_t flags = registers[REG_R10];
  const greg_t submits = registers[REG_RSI];
  const greg_t result = registers[REG_RAX];
  // A tick that came behind the wait has ended none, and tells as much of the thread.
  const bool may_be_result =
      submits == 0 ? result == -EINTR || result == -ETIME || result == 0 : result > 0 && result <= submits;
  return may_be_result && registers[REG_RCX] == registers[REG_RIP] && submits >= 0 && submits <= kMostEntries &&
         registers[REG_RDX] > 0 && registers[REG_RDX] <= kMostEntries && registers[REG_RDI] >= 0 &&
         registers[REG_RDI] <= INT_MAX && (flags & ~kKnownFlags) == 0 && (flags & IORING_ENTER_GETEVENTS) != 0;
}

// By the kernel: code need not be readable, and what the call was given may have gone.
template <typename T>
bool copy(greg_t address, T* to) {
  const struct iovec local = {to, sizeof(T)};
  const struct iovec remote = {reinterpret_cast<void*>(address), sizeof(T)};
  return raw_syscall(SYS_process_vm_readv, raw_getpid(), &local, 1, &remote, 1, 0) == static_cast<long>(sizeof(T));
}

bool is_after_syscall(const greg_t* registers) {
  struct {
    unsigned char bytes[kSyscallBytes];
  } code;
  return copy(registers[REG_RIP] - kSyscallBytes, &code) && code.bytes[0] == 0x0f && code.bytes[1] == 0x05;
}

// By the descriptor's name: what a filter of system calls allows. Of a ring that is registered there is none, and without /proc no name: then
// by the call itself, which does nothing without anything to submit or to wait for.
bool is_ring(const greg_t* registers) {
  char path[32] = "/proc/self/fd/";
  *std::to_chars(path + 14, path + 31, registers[REG_RDI]).ptr = '\0';
  constexpr char kRing[] = "anon_inode:[io_uring]";
  char name[sizeof(kRing)] = {};
  const bool is_index = (registers[REG_R10] & IORING_ENTER_REGISTERED_RING) != 0;
  if (!is_index && raw_syscall(SYS_readlink, path, name, sizeof(name)) > 0)
    return memcmp(name, kRing, sizeof(kRing) - 1) == 0;
  return raw_syscall(SYS_io_uring_enter, registers[REG_RDI], 0, 0, registers[REG_R10] & IORING_ENTER_REGISTERED_RING,
                     nullptr, 0) == 0;
}

// For as long as the limit after the first time, where this may be the call that was made again then: nothing tells it from a later one at
// the same place.
bool may_begin_again_at(uint64_t sp, int64_t limit_ns, RingWait* last) {
  const int64_t now = clock_ns(CLOCK_MONOTONIC);
  const bool may_be_same = last->sp == sp && now - last->last_ns < limit_ns;
  if (!may_be_same) last->first_ns = now;
  last->sp = sp;
  last->last_ns = now;
  if (now - last->first_ns < limit_ns) return true;
  last->sp = 0;
  return false;
}

bool may_begin_again(ThreadSlot* slot, const greg_t* registers) {
  const greg_t flags = registers[REG_R10];
  if ((flags & IORING_ENTER_EXT_ARG) == 0) return true;
  if ((flags & kRegisteredLimit) != 0) return false;
  io_uring_getevents_arg argument;
  if (!copy(registers[REG_R8], &argument)) return false;
  if (argument.ts == 0 || (flags & kAbsoluteLimit) != 0) return true;
  __kernel_timespec limit;
  if (slot == nullptr || !copy(static_cast<greg_t>(argument.ts), &limit)) return false;
  constexpr long long kYear = 31'536'000;
  const int64_t limit_ns = std::min<long long>(limit.tv_sec, kYear) * 1'000'000'000 + limit.tv_nsec;
  return may_begin_again_at(static_cast<uint64_t>(registers[REG_RSP]), limit_ns, &slot->ring_wait);
}

// But for faults of the program's own.
bool comes_from_outside(int number) {
  constexpr uint64_t kOthers = signal_bit(SIGSEGV) | signal_bit(SIGBUS) | signal_bit(SIGFPE) | signal_bit(SIGILL) |
                               signal_bit(SIGKILL) | signal_bit(SIGSTOP) | signal_bit(kSigsetxid);
  return number > 0 && number <= kSignals && (kOthers & signal_bit(number)) == 0;
}

bool is_libprofs(uint64_t handler) {
  return handler >= reinterpret_cast<uint64_t>(__ehdr_start) && handler < reinterpret_cast<uint64_t>(_end);
}

bool blocks_ticks(int number, uint64_t handler, uint64_t mask) {
  return handler > kIgnore && comes_from_outside(number) && (mask & signal_bit(SIGPROF)) != 0;
}

enum class Ended { by_tick, by_pending_signal, by_handler_that_blocks_ticks };  // or perhaps so

// pending: those that come at this handler's return.
Ended what_ended(uint64_t pending) {
  if (g_handler_blocks_ticks.load(std::memory_order_relaxed)) return Ended::by_handler_that_blocks_ticks;
  Ended ended = Ended::by_tick;
  for (int number = 1; number <= kSignals; ++number) {
    KernelAction now;
    if (raw_syscall(SYS_rt_sigaction, number, nullptr, &now, sizeof(uint64_t)) != 0) continue;  // SIGKILL and its like
    if (now.handler <= kIgnore || is_libprofs(now.handler)) continue;
    // Set by a bare call, or before libprof was there.
    if (blocks_ticks(number, now.handler, now.mask)) return Ended::by_handler_that_blocks_ticks;
    if ((pending & signal_bit(number)) != 0) ended = Ended::by_pending_signal;
  }
  return ended;
}

// Of those that the thread blocks here, which are all, and not where it was interrupted.
uint64_t pending_signals(const ucontext_t& context) {
  uint64_t pending = 0;
  raw_syscall(SYS_rt_sigpending, &pending, sizeof(pending));
  return pending & ~first_word(context.uc_sigmask);
}

}  // namespace

void handler_comes(int number, const struct sigaction& action) {
  if (blocks_ticks(number, reinterpret_cast<uintptr_t>(action.sa_handler), first_word(action.sa_mask)))
    ticks_are_blocked_by_handler();
}

void ticks_are_blocked_by_handler() {
  g_handler_blocks_ticks.store(true, std::memory_order_relaxed);
  keep_ticks_out_of_ring_waits();
}

void keep_ticks_out_of_ring_waits() {
  // A handler that a child of vfork sets is its own, and its threads' timers are not its parent's.
  if (!g_handler_blocks_ticks.load(std::memory_order_relaxed) || !sigprof_is_used() || !sigprof_is_handled()) return;
  const bool is_found = g_has_met_call.load() || (!g_has_looked.load() && program_holds_ring_call());
  // Not before: a child that is forked meanwhile looks itself.
  g_has_looked.store(true);
  if (is_found) cpu_sampling_in_user_mode_only();
}

void before_ring_enter(unsigned waits_for, unsigned flags) {
  if (waits_for != 0 && (flags & IORING_ENTER_GETEVENTS) != 0) cpu_sampling_meets_ring();
}

bool is_ring_wait(const ucontext_t& context) {
  const greg_t* registers = context.uc_mcontext.gregs;
  return may_be_wait(registers) && is_after_syscall(registers) && is_ring(registers);
}

void go_on_with_ring_wait(ThreadSlot* slot, ucontext_t* context) {
  greg_t* registers = context->uc_mcontext.gregs;
  const bool is_known = slot != nullptr && slot->uses_rings.exchange(1, std::memory_order_relaxed) != 0;
  if (is_known && registers[REG_RAX] != -EINTR) return;
  if (!is_known) {
    g_has_met_call.store(true);
    if (slot != nullptr) cpu_sampling_has_ring_thread();
  }
  const Ended ended = what_ended(pending_signals(*context));
  // So that no other one is ended.
  if (!is_known && ended == Ended::by_handler_that_blocks_ticks) cpu_sampling_in_user_mode_only();
  if (registers[REG_RAX] != -EINTR || ended != Ended::by_tick || !may_begin_again(slot, registers)) return;
  registers[REG_RIP] -= kSyscallBytes;
  registers[REG_RAX] = SYS_io_uring_enter;
}

}  // namespace prof
