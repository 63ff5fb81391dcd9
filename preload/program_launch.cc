#include "preload/program_launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <charconv>
#include <cstring>

#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "preload/close_from.h"
#include "preload/side_process.h"
#include "preload/signals_blocked.h"

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));

namespace prof {
namespace {

char g_own_path[4096];  // of libprof.so; empty: not known, and nothing can be launched

// These two run in the children: raw system calls only, each on its own stack.
void program_main(void* argument) {
  auto* launch = static_cast<ProgramLaunch*>(argument);
  use_hard_limits();
  unsigned number = kLaunchedDescriptor;
  for (const int descriptor : launch->descriptors) {
    if (launch->keeps_descriptors) break;
    if (descriptor < 0 || raw_syscall(SYS_dup2, descriptor, number) < 0) raw_syscall(SYS_close, number);
    ++number;
  }
  if (!launch->keeps_descriptors) close_from(number);
  const long null = raw_syscall(SYS_open, "/dev/null", O_RDWR | O_CLOEXEC);
  if (null >= 0) {
    if (!launch->keeps_descriptors) {
      raw_syscall(SYS_dup2, null, 0);
      raw_syscall(SYS_dup2, null, 1);
    }
    if (!log_stderr_is_there()) raw_syscall(SYS_dup2, null, 2);
  }
  char* const no_environment[] = {nullptr};
  raw_syscall(SYS_execve, g_own_path, launch->arguments, no_environment);
  raw_syscall(SYS_exit, 127);
}

void child_main(void* argument) {
  auto* launch = static_cast<ProgramLaunch*>(argument);
  const long pid =
      clone_with_memory(launch->program_stack + sizeof(launch->program_stack), program_main, launch, nullptr);
  const bool is_keeper = launch->keeper != 0;
  launch->pid.store(pid > 0 ? static_cast<int>(pid) : 0, std::memory_order_release);
  if (is_keeper && pid > 0) {
    close_from(0);
    raw_syscall(SYS_chdir, "/");
    raw_syscall(SYS_prctl, PR_SET_NAME, "libprof-keeper");
    int status = -1;
    while (raw_syscall(SYS_wait4, pid, &status, __WALL, nullptr) == -EINTR) {
    }
    launch->status = status;
  }
  raw_syscall(SYS_exit, 0);
}

// Whether orphans below this process become its children.
bool is_given_orphans() {
  int is_reaper = 0;
  raw_syscall(SYS_prctl, PR_GET_CHILD_SUBREAPER, &is_reaper);
  return is_reaper != 0 || raw_getpid() == 1;
}

void reap(long child) {
  while (raw_syscall(SYS_wait4, child, nullptr, __WCLONE, nullptr) == -EINTR) {
  }
}

// Until the keeper has launched the program, or ended.
void await_keeper(ProgramLaunch* launch) {
  while (launch->pid.load(std::memory_order_acquire) == 0) {
    if (raw_syscall(SYS_wait4, launch->keeper, nullptr, __WCLONE | WNOHANG, nullptr) == launch->keeper) {
      launch->keeper = 0;
      return;
    }
    raw_syscall(SYS_sched_yield);
  }
}

// After unshare(CLONE_NEWPID) the next child is the first process of the new namespace, and when that has ended there can be none any more:
// it is to be the program's own.
bool is_first_child_special() {
  char own[64];
  char of_children[64];
  const long own_bytes = raw_syscall(SYS_readlinkat, AT_FDCWD, "/proc/thread-self/ns/pid", own, sizeof(own));
  if (own_bytes <= 0) return false;
  const long bytes =
      raw_syscall(SYS_readlinkat, AT_FDCWD, "/proc/thread-self/ns/pid_for_children", of_children, sizeof(of_children));
  return bytes != own_bytes || memcmp(own, of_children, static_cast<size_t>(bytes)) != 0;
}

}  // namespace

void leave_new_pid_namespace() {
  if (!is_first_child_special()) return;
  const long own = raw_syscall(SYS_open, "/proc/thread-self/ns/pid", O_RDONLY | O_CLOEXEC);
  if (own < 0) return;
  raw_syscall(SYS_setns, own, CLONE_NEWPID);
  raw_syscall(SYS_close, own);
}

void launch_prepare() {
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

const char* launch_path() { return g_own_path[0] == '\0' ? nullptr : g_own_path; }

bool launch_program(ProgramLaunch* launch) {
  launch->pid.store(0, std::memory_order_relaxed);
  launch->status = -1;
  if (g_own_path[0] == '\0' || is_first_child_special()) return false;
  // The children must not run the host's handlers; the program keeps the mask, so that a ^C for the host leaves it alone.
  {
    const SignalsBlocked blocked;
    const bool keeps = launch->is_awaited || (launch->stays && is_given_orphans());
    launch->keeper = keeps ? 1 : 0;  // the child is to know
    launch->keeper_is_there.store(1, std::memory_order_relaxed);
    const long child = clone_with_memory(launch->child_stack + sizeof(launch->child_stack), child_main, launch,
                                         keeps ? &launch->keeper_is_there : nullptr);
    if (child > 0 && keeps) {
      launch->keeper = static_cast<int>(child);
      await_keeper(launch);
    } else if (child > 0) {
      reap(child);
    }
    if (child <= 0) launch->keeper = 0;
  }
  const int pid = launch->pid.load(std::memory_order_acquire);
  if (pid != 0) let_read(pid);
  return pid != 0;
}

bool launch_await(ProgramLaunch* launch, int64_t most_ns) {
  if (launch->keeper_is_there.load(std::memory_order_acquire) != 0) {
    const struct timespec most = {most_ns / 1'000'000'000, most_ns % 1'000'000'000};
    raw_syscall(SYS_futex, &launch->keeper_is_there, FUTEX_WAIT, 1, &most);
  }
  // The kernel clears it for one that ends by a signal too, but for where it kills all who share the memory.
  if (launch->keeper_is_there.load(std::memory_order_acquire) != 0 && raw_syscall(SYS_kill, launch->keeper, 0) == 0)
    return false;
  launch_is_over(launch);
  return true;
}

void launch_is_over(ProgramLaunch* launch) {
  if (launch->keeper != 0) reap(launch->keeper);
  launch->keeper = 0;
}

void let_read(int pid) {
#ifdef PR_SET_PTRACER
  raw_syscall(SYS_prctl, PR_SET_PTRACER, pid);  // without Yama: EINVAL
#endif
}

}  // namespace prof
