#include "preload/reporter.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstring>
#include <iterator>

#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/base/region.h"
#include "core/record/cpu_buckets.h"
#include "core/record/snapshot_numbers.h"

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));
extern "C" void prof_program_entry() __attribute__((visibility("hidden")));

namespace prof {
namespace {

char g_own_path[4096];  // of libprof.so; empty: not known, and every profile is written at exit

// What one launch needs, by stretch & 1, or of a snapshot; static, because both children read it when the handler may have
// returned.
struct Launch {
  ReportTask task;
  std::atomic<int> pid;  // the reporter's; 0: none
  char numbers[8][24];
  char paths[kProfileKinds][sizeof(Output::paths[0])];
  char* list[1 + 8 + kProfileKinds + 1];
  alignas(16) unsigned char child_stack[4096];
  alignas(16) unsigned char reporter_stack[4096];
};
constexpr unsigned kSnapshotLaunch = 2;
constinit Launch g_launches[3]{};

void put_number(char (&to)[24], uint64_t number) { *std::to_chars(to, to + 23, number).ptr = '\0'; }

// clone with a stack of the child's own, the host's memory shared, and no exit signal: the child calls main(launch), which does
// not return.
long clone_with_memory(unsigned char* stack_top, void (*main)(Launch*), Launch* launch) {
  long result;
  register void* stack_argument asm("rsi") = stack_top;
  asm volatile(
      "mov %[launch], %%r12\n\t"
      "xor %%edx, %%edx\n\t"
      "xor %%r10d, %%r10d\n\t"
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
      : "a"(static_cast<long>(SYS_clone)), "D"(static_cast<long>(CLONE_VM)),
        "r"(stack_argument), [launch] "r"(launch), [main] "r"(main)
      : "rcx", "r11", "rdx", "r10", "r8", "r12", "memory");
  return result;
}

// These two run in the children: raw system calls only, each on its own stack.
void reporter_main(Launch* launch) {
  raw_syscall(SYS_close_range, 3u, ~0u, 0);
  const long null = raw_syscall(SYS_open, "/dev/null", O_RDWR);
  if (null >= 0) {
    raw_syscall(SYS_dup2, null, 0);
    raw_syscall(SYS_dup2, null, 1);
  }
  char* const no_environment[] = {nullptr};
  raw_syscall(SYS_execve, g_own_path, launch->list, no_environment);
  raw_syscall(SYS_exit, 127);
}

void child_main(Launch* launch) {
  const long pid = clone_with_memory(launch->reporter_stack + sizeof(launch->reporter_stack), reporter_main, launch);
  launch->pid.store(pid > 0 ? static_cast<int>(pid) : 0, std::memory_order_release);
  raw_syscall(SYS_exit, 0);
}

Reported reported(uint32_t stretch) {
  return region_root<CpuRecord>(Root::cpu)->stretches[stretch & 1].reported.load(std::memory_order_acquire);
}

bool is_dealt_with(const ReportTask& task) {
  if (!task.cumulative) return reported(task.stretch) != Reported::no;
  return region_root<SnapshotNumbers>(Root::snapshots)->done.load(std::memory_order_acquire) == task.snapshot;
}

// Not one that has ended and that nobody has reaped.
bool is_running(int pid) {
  char path[32] = "/proc/";
  char* end = std::to_chars(path + 6, path + 24, pid).ptr;
  memcpy(end, "/stat", 6);
  const long fd = raw_syscall(SYS_open, path, O_RDONLY | O_CLOEXEC);
  // Without /proc: what kill says.
  if (fd < 0) return fd != -ENOENT && raw_syscall(SYS_kill, pid, 0) == 0;
  char text[128];
  const long bytes = raw_syscall(SYS_read, fd, text, sizeof(text));
  raw_syscall(SYS_close, fd);
  // "PID (name) state …": the name is at most 15 bytes, and may have a bracket in it.
  for (long i = bytes - 3; i > 0; --i) {
    if (text[i] == ')') return text[i + 2] != 'Z' && text[i + 2] != 'X';
  }
  return false;
}

bool is_at_work(const Launch& launch) {
  const int pid = launch.pid.load(std::memory_order_acquire);
  return pid != 0 && !is_dealt_with(launch.task) && is_running(pid);
}

}  // namespace

bool reporter_is_this_process() { return getauxval(AT_ENTRY) == reinterpret_cast<unsigned long>(prof_program_entry); }

void reporter_prepare() {
  // From the kernel's list of mappings: LD_PRELOAD may be relative, and the program may change its directory.
  const long fd = raw_syscall(SYS_open, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  char wanted[20];
  const size_t digits = static_cast<size_t>(
      std::to_chars(wanted, wanted + 18, reinterpret_cast<uint64_t>(__ehdr_start), 16).ptr - wanted);
  wanted[digits] = '-';
  char line[4096 + 128];
  size_t length = 0;
  char buffer[4096];
  long bytes;
  while ((bytes = raw_syscall(SYS_read, fd, buffer, sizeof(buffer))) > 0 && g_own_path[0] == '\0') {
    for (long i = 0; i < bytes; ++i) {
      if (buffer[i] != '\n') {
        if (length < sizeof(line)) line[length++] = buffer[i];
        continue;
      }
      const auto* path = static_cast<const char*>(memchr(line, '/', length));
      if (length > digits && memcmp(line, wanted, digits + 1) == 0 && path != nullptr) {
        const size_t path_bytes = length - static_cast<size_t>(path - line);
        if (path_bytes < sizeof(g_own_path)) memcpy(g_own_path, path, path_bytes);
        break;
      }
      length = 0;
    }
  }
  raw_syscall(SYS_close, fd);
}

void reporter_launch(const ReportTask& task, const Output& output) {
  Launch& launch = g_launches[task.cumulative ? kSnapshotLaunch : task.stretch & 1];
  launch.task = task;
  launch.pid.store(0, std::memory_order_relaxed);
  if (g_own_path[0] == '\0') return;
  memcpy(launch.paths, output.paths, sizeof(launch.paths));
  const uint64_t numbers[] = {static_cast<uint64_t>(raw_getpid()),
                              reinterpret_cast<uint64_t>(g_region),
                              task.stretch,
                              task.numbered ? 1u : 0u,
                              task.cumulative ? 1u : 0u,
                              task.snapshot,
                              static_cast<uint64_t>(output.started_unix_ns),
                              output.is_child ? 1u : 0u};
  static char name[] = "libprof-reporter";
  char** list = launch.list;
  *list++ = name;
  for (unsigned i = 0; i < std::size(numbers); ++i) {
    put_number(launch.numbers[i], numbers[i]);
    *list++ = launch.numbers[i];
  }
  for (auto& path : launch.paths) *list++ = path;
  *list = nullptr;
  // The children must not run the host's handlers; the reporter keeps the mask, so that a ^C for the host leaves it alone.
  uint64_t all = ~uint64_t{0};
  uint64_t before = 0;
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &before, sizeof(all));
  const long child = clone_with_memory(launch.child_stack + sizeof(launch.child_stack), child_main, &launch);
  if (child > 0) {
    while (raw_syscall(SYS_wait4, child, nullptr, __WCLONE, nullptr) == -EINTR) {
    }
  }
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof(before));
#ifdef PR_SET_PTRACER
  // Where Yama restricts it, a process's memory may be read by whom it names. (Without Yama: EINVAL.)
  if (const int pid = launch.pid.load(std::memory_order_acquire); pid != 0) raw_syscall(SYS_prctl, PR_SET_PTRACER, pid);
#endif
}

bool reporter_is_busy(uint32_t next_stretch) { return is_at_work(g_launches[next_stretch & 1]); }

bool reporter_is_busy_with_snapshot() { return is_at_work(g_launches[kSnapshotLaunch]); }

bool reporter_wait(uint32_t stretch) {
  constexpr int kMostMilliseconds = 5000;
  for (int waited = 0;
       waited < kMostMilliseconds && std::any_of(std::begin(g_launches), std::end(g_launches), is_at_work); ++waited) {
    const struct timespec millisecond = {0, 1'000'000};
    raw_syscall(SYS_nanosleep, &millisecond, nullptr);
  }
  return g_launches[stretch & 1].task.stretch != stretch || reported(stretch) == Reported::no;
}

void reporter_forget() {
  for (Launch& launch : g_launches) {
    launch.task = {};
    launch.pid.store(0, std::memory_order_relaxed);
  }
}

}  // namespace prof
