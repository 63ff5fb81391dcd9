#include "preload/system_call_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/uio.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/base/raw_syscall.h"

namespace prof {
namespace {

void (*g_end)() = nullptr;
void (*g_leave_signals)() = nullptr;
constexpr unsigned kMostInstructions = 4096;  // the kernel's BPF_MAXINSNS
sock_filter g_instructions[kMostInstructions];
std::atomic<bool> g_busy{false};

// What recording and writing cannot do without.
constexpr int kNeeded[] = {SYS_rt_sigreturn, SYS_getpid,     SYS_gettid,        SYS_tgkill,          SYS_timer_create,
                           SYS_timer_delete, SYS_mmap,       SYS_timer_settime, SYS_clock_gettime,   SYS_munmap,
                           SYS_ioctl,        SYS_close,      SYS_sched_yield,   SYS_futex,           SYS_nanosleep,
                           SYS_openat,       SYS_read,       SYS_pread64,       SYS_rt_sigprocmask,  SYS_write,
                           SYS_lseek,        SYS_newfstatat, SYS_rename,        SYS_rt_sigtimedwait, SYS_fsync,
                           SYS_mprotect,     SYS_madvise,    SYS_open,          SYS_rt_sigpending};
// What may be refused, but must not end the program.
constexpr int kWanted[] = {SYS_perf_event_open, SYS_clone,    SYS_wait4,         SYS_execve,       SYS_process_vm_readv,
                           SYS_prctl,           SYS_readlink, SYS_fcntl,         SYS_kill,         SYS_unlink,
                           SYS_getdents64,      SYS_fstat,    SYS_getrusage,     SYS_rt_sigaction, SYS_rt_sigqueueinfo,
                           SYS_memfd_create,    SYS_pwrite64, SYS_timer_gettime, SYS_ppoll};

// With these a deadly signal's handler lets the program die of it (deadly_signals.h). The last may be refused.
constexpr int kNeededToDie[] = {SYS_rt_sigaction, SYS_tgkill};
constexpr int kWantedToDie[] = {SYS_rt_tgsigqueueinfo};

// What it would copy, the kernel does: one that cannot be read is refused there too, as who asks whether there is seccomp wants.
enum class Copied { all, unreadable, unknown };

Copied copy_own_memory(void* to, const void* from, size_t bytes) {
  const struct iovec local = {to, bytes};
  const struct iovec remote = {const_cast<void*>(from), bytes};
  const long copied = raw_syscall(SYS_process_vm_readv, raw_getpid(), &local, 1, &remote, 1, 0);
  if (copied == static_cast<long>(bytes)) return Copied::all;
  return copied >= 0 || copied == -EFAULT ? Copied::unreadable : Copied::unknown;
}

uint32_t calculate(uint16_t operation, uint32_t a, uint32_t b) {
  switch (operation) {
    case BPF_ADD:
      return a + b;
    case BPF_SUB:
      return a - b;
    case BPF_MUL:
      return a * b;
    case BPF_DIV:
      return b == 0 ? 0 : a / b;
    case BPF_OR:
      return a | b;
    case BPF_AND:
      return a & b;
    case BPF_XOR:
      return a ^ b;
    case BPF_LSH:
      return b > 31 ? 0 : a << b;
    case BPF_RSH:
      return b > 31 ? 0 : a >> b;
    default:
      return 0 - a;  // BPF_NEG
  }
}

bool holds(uint16_t operation, uint32_t a, uint32_t b) {
  switch (operation) {
    case BPF_JEQ:
      return a == b;
    case BPF_JGT:
      return a > b;
    case BPF_JGE:
      return a >= b;
    default:
      return (a & b) != 0;  // BPF_JSET
  }
}

// What the filter answers to a call whose arguments are all 0. The kernel's classic BPF, with the call as the packet.
uint32_t answer_to(unsigned count, int call) {
  seccomp_data data = {};
  data.nr = call;
  data.arch = AUDIT_ARCH_X86_64;
  uint32_t a = 0;
  uint32_t x = 0;
  uint32_t memory[BPF_MEMWORDS] = {};
  for (unsigned at = 0; at < count; ++at) {
    const sock_filter& now = g_instructions[at];
    const bool by_x = BPF_SRC(now.code) == BPF_X;
    switch (BPF_CLASS(now.code)) {
      case BPF_LD:
      case BPF_LDX: {
        uint32_t value = now.k;
        if (BPF_MODE(now.code) == BPF_MEM) value = memory[now.k % BPF_MEMWORDS];
        if (BPF_MODE(now.code) == BPF_LEN) value = sizeof(data);
        if (BPF_MODE(now.code) == BPF_ABS) {
          if (now.k > sizeof(data) - sizeof(value)) return SECCOMP_RET_KILL_PROCESS;
          memcpy(&value, reinterpret_cast<const char*>(&data) + now.k, sizeof(value));
        }
        (BPF_CLASS(now.code) == BPF_LD ? a : x) = value;
        break;
      }
      case BPF_ST:
        memory[now.k % BPF_MEMWORDS] = a;
        break;
      case BPF_STX:
        memory[now.k % BPF_MEMWORDS] = x;
        break;
      case BPF_ALU:
        a = calculate(BPF_OP(now.code), a, by_x ? x : now.k);
        break;
      case BPF_JMP:
        if (BPF_OP(now.code) == BPF_JA) {
          at += now.k;
        } else {
          at += holds(BPF_OP(now.code), a, by_x ? x : now.k) ? now.jt : now.jf;
        }
        break;
      case BPF_RET:
        return BPF_RVAL(now.code) == BPF_A ? a : now.k;
      default:
        (BPF_MISCOP(now.code) == BPF_TAX ? x : a) = BPF_MISCOP(now.code) == BPF_TAX ? a : x;
    }
  }
  return SECCOMP_RET_KILL_PROCESS;
}

bool is_allowed(uint32_t answer) {
  const uint32_t action = answer & SECCOMP_RET_ACTION_FULL;
  return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG;
}

bool is_harmless(uint32_t answer) {
  return is_allowed(answer) || (answer & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO;
}

// The kernel refuses one that jumps past its end; here it might go round for ever.
bool jumps_out(unsigned count) {
  for (unsigned at = 0; at < count; ++at) {
    const sock_filter& now = g_instructions[at];
    if (BPF_CLASS(now.code) != BPF_JMP) continue;
    const uint32_t most = BPF_OP(now.code) == BPF_JA ? now.k : std::max(now.jt, now.jf);
    if (most >= count - at - 1) return true;
  }
  return false;
}

bool lets_die(unsigned count) {
  bool lets = true;
  for (const int call : kNeededToDie) lets = lets && is_allowed(answer_to(count, call));
  for (const int call : kWantedToDie) lets = lets && is_harmless(answer_to(count, call));
  return lets;
}

}  // namespace

bool filter_lets_libprof_work(const void* program) {
  sock_fprog filter = {};
  if (g_busy.exchange(true, std::memory_order_acquire)) return false;
  Copied copied = copy_own_memory(&filter, program, sizeof(filter));
  const bool is_refused_by_length = copied == Copied::all && (filter.len == 0 || filter.len > kMostInstructions);
  if (copied == Copied::all && !is_refused_by_length)
    copied = copy_own_memory(g_instructions, filter.filter, filter.len * sizeof(sock_filter));
  if (copied == Copied::unreadable || is_refused_by_length || (copied == Copied::all && jumps_out(filter.len))) {
    g_busy.store(false, std::memory_order_release);
    return true;
  }
  bool works = copied == Copied::all;
  for (const int call : kNeeded) works = works && is_allowed(answer_to(filter.len, call));
  for (const int call : kWanted) works = works && is_harmless(answer_to(filter.len, call));
  if (works && g_leave_signals != nullptr && !lets_die(filter.len)) g_leave_signals();
  g_busy.store(false, std::memory_order_release);
  return works;
}

void system_call_filter_start(void (*end)(), void (*leave_signals)()) {
  g_end = end;
  g_leave_signals = leave_signals;
}

void before_system_call_filter(unsigned long mode, const void* program) {
  if (g_end == nullptr || (mode == SECCOMP_MODE_FILTER && filter_lets_libprof_work(program))) return;
  if (mode == SECCOMP_MODE_FILTER || mode == SECCOMP_MODE_STRICT) g_end();
}

}  // namespace prof
