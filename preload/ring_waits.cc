#include "preload/ring_waits.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <sys/uio.h>

#include <cstdint>
#include <cstring>

#include "core/base/raw_syscall.h"
#include "preload/deadly_signals.h"
#include "preload/kernel_action.h"

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));
extern "C" const char _end[] __attribute__((visibility("hidden")));

namespace prof {
namespace {

constexpr int64_t kSyscallBytes = 2;
// The C library's own, by which setuid() and its like come to every thread: nobody waits for it.
constexpr int kSigsetxid = 33;

// At a system call's return the processor has the address in rcx, and the flags in r11. r10: the flags of io_uring_enter, rsi: how many are
// submitted, which no pointer is that another call has there.
bool may_be_ended_wait(const greg_t* registers) {
  constexpr greg_t kKnownFlags = 0xff;
  const greg_t flags = registers[REG_R10];
  return registers[REG_RAX] == -EINTR && registers[REG_RCX] == registers[REG_RIP] && registers[REG_RSI] == 0 &&
         (flags & ~kKnownFlags) == 0 && (flags & IORING_ENTER_GETEVENTS) != 0;
}

// Copied by the kernel: code need not be readable.
bool is_after_syscall(const greg_t* registers) {
  unsigned char bytes[kSyscallBytes] = {};
  const struct iovec local = {bytes, sizeof(bytes)};
  const struct iovec remote = {reinterpret_cast<void*>(registers[REG_RIP] - kSyscallBytes), sizeof(bytes)};
  const long copied = raw_syscall(SYS_process_vm_readv, raw_getpid(), &local, 1, &remote, 1, 0);
  return copied == kSyscallBytes && bytes[0] == 0x0f && bytes[1] == 0x05;
}

// Without anything to submit or to wait for it does nothing.
bool is_ring(const greg_t* registers) {
  return raw_syscall(SYS_io_uring_enter, registers[REG_RDI], 0, 0, registers[REG_R10] & IORING_ENTER_REGISTERED_RING,
                     nullptr, 0) == 0;
}

bool is_libprofs(uint64_t handler) {
  return handler >= reinterpret_cast<uint64_t>(__ehdr_start) && handler < reinterpret_cast<uint64_t>(_end) &&
         !is_handler_for_once(handler);
}

// Faults, and what ends the process by its own hand, are of what the program does itself.
bool comes_from_outside(int number) {
  return !is_fault_signal(number) && number != SIGABRT && number != SIGKILL && number != SIGSTOP &&
         number != kSigsetxid;
}

bool program_handles_signals() {
  constexpr uint64_t kIgnore = 1;
  for (int number = 1; number <= kSignals; ++number) {
    if (!comes_from_outside(number)) continue;
    KernelAction now;
    if (raw_syscall(SYS_rt_sigaction, number, nullptr, &now, sizeof(uint64_t)) != 0) return true;
    if (now.handler > kIgnore && !is_libprofs(now.handler)) return true;
  }
  return false;
}

}  // namespace

void go_on_with_ring_wait(ucontext_t* context) {
  greg_t* registers = context->uc_mcontext.gregs;
  if (!may_be_ended_wait(registers) || !is_after_syscall(registers) || program_handles_signals() || !is_ring(registers))
    return;
  registers[REG_RIP] -= kSyscallBytes;
  registers[REG_RAX] = SYS_io_uring_enter;
}

}  // namespace prof
