// posix_spawn and what starts a shell: the real ones, with an environment that libprof goes along in. The C library executes what they
// start by calls of its own, which our exec does not see. system() may be cancelled: see the Makefile.

#include <errno.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <atomic>

#include "core/base/errno_saver.h"
#include "core/base/raw_syscall.h"
#include "preload/exec_environment.h"
#include "preload/handler_masks.h"
#include "preload/real_symbols.h"
#include "preload/sigprof_view.h"
#include "preload/snapshot_signal.h"

#define EXPORTED __attribute__((visibility("default")))

namespace {

// A signal that the program ignores is ignored by what it starts: here ours stands for that, as around an exec. Not around
// system(), which takes as long as the command.
class AroundSpawn {
 public:
  AroundSpawn() {
    const prof::ErrnoSaver errno_saver;
    if (count_.fetch_add(1) != 0) return;
    prof::snapshot_signal_before_exec();
    prof::sigprof_before_exec();
  }
  ~AroundSpawn() {
    const prof::ErrnoSaver errno_saver;
    if (count_.fetch_sub(1) != 1) return;
    prof::sigprof_after_exec();
    prof::snapshot_signal_after_exec();
  }
  AroundSpawn(const AroundSpawn&) = delete;
  AroundSpawn& operator=(const AroundSpawn&) = delete;

 private:
  static std::atomic<int> count_;  // of threads that are at it
};
constinit std::atomic<int> AroundSpawn::count_{0};

// Without a SIGPROF that only libprof blocks (preload/handler_masks.h): from a handler on a small stack, where it is to stay blocked.
class SpawnAttributes {
 public:
  explicit SpawnAttributes(const posix_spawnattr_t* attributes) : attributes_(attributes) {
    short flags = 0;
    if (attributes != nullptr) posix_spawnattr_getflags(attributes, &flags);
    sigset_t mask;
    if ((flags & POSIX_SPAWN_SETSIGMASK) != 0 || !prof::sigprof_is_kept_out_now(&mask)) return;
    if (attributes == nullptr) {
      posix_spawnattr_init(&changed_);
    } else {
      changed_ = *attributes;
    }
    sigdelset(&mask, SIGPROF);
    posix_spawnattr_setsigmask(&changed_, &mask);
    posix_spawnattr_setflags(&changed_, static_cast<short>(flags | POSIX_SPAWN_SETSIGMASK));
    attributes_ = &changed_;
  }
  const posix_spawnattr_t* get() const { return attributes_; }

 private:
  const posix_spawnattr_t* attributes_;
  posix_spawnattr_t changed_;
};

}  // namespace

extern "C" {

EXPORTED int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                         const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) {
  const AroundSpawn around;
  const SpawnAttributes with_mask(attributes);
  const posix_spawnattr_t* const used = with_mask.get();
  return prof::with_exec_environment(
      prof::Executed::by_new_child, environment, [path] { return prof::preloading_into(path); },
      [=](char* const* handed_on) {
        return prof::real::posix_spawn()(pid, path, actions, used, arguments, handed_on);
      });
}

EXPORTED int posix_spawnp(pid_t* pid, const char* file, const posix_spawn_file_actions_t* actions,
                          const posix_spawnattr_t* attributes, char* const* arguments, char* const* environment) {
  const AroundSpawn around;
  const SpawnAttributes with_mask(attributes);
  const posix_spawnattr_t* const used = with_mask.get();
  return prof::with_exec_environment(
      prof::Executed::by_new_child, environment, [file] { return prof::preloading_into_found(file); },
      [=](char* const* handed_on) {
        return prof::real::posix_spawnp()(pid, file, actions, used, arguments, handed_on);
      });
}

namespace {

// SIGINT and SIGQUIT, ignored while any thread waits for a shell.
std::atomic<int> g_changing{
    0};  // the process that is at it: a child of fork may find what a thread of its parent has left
int g_waiting = 0;
struct sigaction g_interrupt;
struct sigaction g_quit;

void change_waiting(int by) {
  const int self = prof::raw_getpid();
  for (int other = 0; !g_changing.compare_exchange_strong(other, self, std::memory_order_acquire);) {
    if (other == self) prof::raw_syscall(SYS_sched_yield), other = 0;
  }
  if (by > 0 && g_waiting == 0) {
    struct sigaction ignore = {};
    ignore.sa_handler = SIG_IGN;
    prof::real::sigaction()(SIGINT, &ignore, &g_interrupt);
    prof::real::sigaction()(SIGQUIT, &ignore, &g_quit);
  }
  g_waiting += by;
  if (g_waiting == 0) {
    prof::real::sigaction()(SIGINT, &g_interrupt, nullptr);
    prof::real::sigaction()(SIGQUIT, &g_quit, nullptr);
  }
  g_changing.store(0, std::memory_order_release);
}

void end_shell(void* argument) {
  const pid_t shell = *static_cast<const pid_t*>(argument);
  prof::raw_syscall(SYS_kill, shell, SIGKILL);
  while (prof::raw_syscall(SYS_wait4, shell, nullptr, 0, nullptr) == -EINTR) continue;
  change_waiting(-1);
}

// What follows the shell's "-c": from glibc 2.38 on a command may begin with '-'.
bool has_dashes() { return strverscmp(gnu_get_libc_version(), "2.38") >= 0; }

// system() of a program that ignores a signal which ours stands for: the C library's would hand its default on. As that one does it, by a
// posix_spawn that is seen here.
int system_by_spawn(const char* command) {
  change_waiting(1);
  sigset_t child_ends;
  sigemptyset(&child_ends);
  sigaddset(&child_ends, SIGCHLD);
  sigset_t before;
  sigemptyset(&before);
  prof::raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, &child_ends, &before, sizeof(uint64_t));
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
  const prof::ErrnoSaver errno_saver;
  change_waiting(-1);
  prof::raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof(uint64_t));
  return status;
}

}  // namespace

static void take_back(void* environment) { prof::take_environ_back(*static_cast<prof::LentEnviron*>(environment)); }

EXPORTED int system(const char* command) {
  const bool is_ignored = prof::program_ignores_sigprof() || prof::program_ignores_snapshot_signal();
  if (is_ignored && command != nullptr) return system_by_spawn(command);
  prof::LentEnviron environment = command == nullptr ? prof::LentEnviron{} : prof::lend_environ();
  if (environment.lent == nullptr) return prof::real::system()(command);
  int result;
  pthread_cleanup_push(take_back, &environment);
  result = prof::real::system()(command);
  pthread_cleanup_pop(0);
  const prof::ErrnoSaver errno_saver;
  take_back(&environment);
  return result;
}

EXPORTED FILE* popen(const char* command, const char* mode) {
  const AroundSpawn around;
  prof::LentEnviron environment = prof::lend_environ();
  FILE* result = prof::real::popen()(command, mode);
  const prof::ErrnoSaver errno_saver;
  if (environment.lent != nullptr) take_back(&environment);
  return result;
}

}  // extern "C"
