#include "preload/reporter.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <cstring>

#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/base/region.h"

extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));
extern "C" void prof_program_entry() __attribute__((visibility("hidden")));

namespace prof {
namespace {

char g_own_path[4096];  // of libprof.so; empty: not known, and every profile is written at exit

struct Running {
  int pid = 0;
  uint32_t stretch = 0;
  bool written = false;
};
Running g_running[2];  // by stretch & 1

// The arguments of one launch; static, because the child reads them while the handler has returned.
struct Arguments {
  char numbers[6][24];
  char path[sizeof(Output::path)];
  char* list[10];
  alignas(16) unsigned char stack[8192];
};
Arguments g_arguments[2];

void put_number(char (&to)[24], uint64_t number) { *std::to_chars(to, to + 23, number).ptr = '\0'; }

// In the child, which shares the host's memory until execve: raw system calls only, on its own stack.
[[noreturn]] void child_main(Arguments* arguments) {
  raw_syscall(SYS_close_range, 3u, ~0u, 0);
  const long null = raw_syscall(SYS_open, "/dev/null", O_RDWR);
  if (null >= 0) {
    raw_syscall(SYS_dup2, null, 0);
    raw_syscall(SYS_dup2, null, 1);
  }
  char* const no_environment[] = {nullptr};
  raw_syscall(SYS_execve, g_own_path, arguments->list, no_environment);
  raw_syscall(SYS_exit, 127);
  __builtin_unreachable();
}

// clone with a stack of the child's own: the child calls child_main(arguments) and does not return.
long clone_child(Arguments* arguments) {
  constexpr long kFlags = CLONE_VM;  // no exit signal: invisible to the host's wait()
  long result;
  register void* stack_argument asm("rsi") = arguments->stack + sizeof(arguments->stack);
  asm volatile(
      "mov %[arguments], %%r12\n\t"
      "xor %%edx, %%edx\n\t"
      "xor %%r10d, %%r10d\n\t"
      "xor %%r8d, %%r8d\n\t"
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %%r12, %%rdi\n\t"
      "call *%[child]\n\t"
      "hlt\n"
      "1:"
      : "=a"(result)
      : "a"(static_cast<long>(SYS_clone)), "D"(kFlags),
        "r"(stack_argument), [arguments] "r"(arguments), [child] "r"(child_main)
      : "rcx", "r11", "rdx", "r10", "r8", "r12", "memory");
  return result;
}

// Reaps one. False: it is still at work.
bool reap(Running* running, int options) {
  if (running->pid == 0) return true;
  int status = 0;
  long got;
  do {
    got = raw_syscall(SYS_wait4, running->pid, &status, options | __WCLONE, nullptr);
  } while (got == -EINTR);
  if (got == 0) return false;
  running->pid = 0;
  running->written = got > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return true;
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

void reporter_launch(uint32_t stretch, const Output& output, bool numbered) {
  Running& running = g_running[stretch & 1];
  if (!reap(&running, WNOHANG)) return;
  running = {0, stretch, false};
  if (g_own_path[0] == '\0') return;
  Arguments& arguments = g_arguments[stretch & 1];
  memcpy(arguments.path, output.path, sizeof(arguments.path));
  put_number(arguments.numbers[0], static_cast<uint64_t>(raw_getpid()));
  put_number(arguments.numbers[1], reinterpret_cast<uint64_t>(g_region));
  put_number(arguments.numbers[2], stretch);
  put_number(arguments.numbers[3], static_cast<uint64_t>(output.started_unix_ns));
  put_number(arguments.numbers[4], numbered ? 1 : 0);
  put_number(arguments.numbers[5], output.is_child ? 1 : 0);
  static char name[] = "libprof-reporter";
  arguments.list[0] = name;
  for (int i = 0; i < 6; ++i) arguments.list[1 + i] = arguments.numbers[i];
  arguments.list[7] = arguments.path;
  arguments.list[8] = nullptr;
  // Every signal is blocked by the handler's mask, or is here: the child must not run the host's handlers.
  uint64_t all = ~uint64_t{0};
  uint64_t before = 0;
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &before, sizeof(all));
  const long pid = clone_child(&arguments);
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof(before));
  if (pid <= 0) return;
  running.pid = static_cast<int>(pid);
#ifdef PR_SET_PTRACER
  // Where Yama restricts it, a process's memory may be read by its descendants' named exception only. (Without Yama: EINVAL.)
  raw_syscall(SYS_prctl, PR_SET_PTRACER, pid);
#endif
}

void reporter_reap() {
  for (Running& running : g_running) reap(&running, WNOHANG);
}

bool reporter_wait(uint32_t stretch) {
  for (Running& running : g_running) reap(&running, 0);
  const Running& last = g_running[stretch & 1];
  return last.stretch != stretch || !last.written;
}

void reporter_forget() { g_running[0] = g_running[1] = {}; }

}  // namespace prof
