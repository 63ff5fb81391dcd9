#include "preload/system_by_spawn.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "core/base/errno_saver.h"
#include "core/base/raw_syscall.h"
#include "preload/real_symbols.h"

namespace prof {
namespace {

// SIGINT and SIGQUIT, ignored while any thread waits for a shell.
// The process that is at it: a child of fork may find what a thread of its parent has left.
std::atomic<int> g_changing{0};
int g_waiting = 0;
struct sigaction g_interrupt;
struct sigaction g_quit;

void change_waiting(int by) {
  const int self = raw_getpid();
  for (int other = 0; !g_changing.compare_exchange_strong(other, self, std::memory_order_acquire);) {
    if (other == self) raw_syscall(SYS_sched_yield), other = 0;
  }
  if (by > 0 && g_waiting == 0) {
    struct sigaction ignore = {};
    ignore.sa_handler = SIG_IGN;
    real::sigaction()(SIGINT, &ignore, &g_interrupt);
    real::sigaction()(SIGQUIT, &ignore, &g_quit);
  }
  g_waiting += by;
  if (g_waiting == 0) {
    real::sigaction()(SIGINT, &g_interrupt, nullptr);
    real::sigaction()(SIGQUIT, &g_quit, nullptr);
  }
  g_changing.store(0, std::memory_order_release);
}

void end_shell(void* argument) {
  const pid_t shell = *static_cast<const pid_t*>(argument);
  raw_syscall(SYS_kill, shell, SIGKILL);
  while (raw_syscall(SYS_wait4, shell, nullptr, 0, nullptr) == -EINTR) continue;
  change_waiting(-1);
}

// What follows the shell's "-c": from glibc 2.38 on a command may begin with '-'.
bool has_dashes() { return strverscmp(gnu_get_libc_version(), "2.38") >= 0; }

}  // namespace

int system_by_spawn(const char* command) {
  change_waiting(1);
  sigset_t child_ends;
  sigemptyset(&child_ends);
  sigaddset(&child_ends, SIGCHLD);
  sigset_t before;
  sigemptyset(&before);
  raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, &child_ends, &before, sizeof(uint64_t));
  sigset_t by_default;
  sigemptyset(&by_default);
  if (g_interrupt.sa_handler != SIG_IGN) sigaddset(&by_default, SIGINT);
  if (g_quit.sa_handler != SIG_IGN) sigaddset(&by_default, SIGQUIT);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigmask(&attributes, &before);
  posix_spawnattr_setsigdefault(&attributes, &by_default);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  const char* words[] = {"sh", "-c", "--", command, nullptr};
  if (!has_dashes()) words[2] = command, words[3] = nullptr;
  pid_t shell = 0;
  const int error = posix_spawn(&shell, "/bin/sh", nullptr, &attributes, const_cast<char* const*>(words), environ);
  posix_spawnattr_destroy(&attributes);
  int status = W_EXITCODE(127, 0);
  if (error == 0) {
    pid_t ended;
    pthread_cleanup_push(end_shell, &shell);
    do ended = waitpid(shell, &status, 0);
    while (ended < 0 && errno == EINTR);
    pthread_cleanup_pop(0);
    if (ended != shell) status = -1;
  }
  if (error != 0) errno = error;
  const ErrnoSaver errno_saver;
  change_waiting(-1);
  raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof(uint64_t));
  return status;
}

}  // namespace prof
