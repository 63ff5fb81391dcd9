// posix_spawn and what starts a shell: the real ones, with an environment that libprof goes along in. The C library executes what they
// start by calls of its own, which our exec does not see. system() may be cancelled: see the Makefile.

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <atomic>
#include <cstdint>

#include "core/base/errno_saver.h"
#include "core/base/raw_syscall.h"
#include "preload/exec_environment.h"
#include "preload/handler_masks.h"
#include "preload/real_symbols.h"
#include "preload/sigprof_view.h"
#include "preload/snapshot_signal.h"
#include "preload/system_by_spawn.h"
#include "preload/threads.h"
#include "preload/unblocked_threads.h"

#define EXPORTED __attribute__((visibility("default")))

namespace {

// A signal that the program ignores is ignored by what it starts: here ours stands for that, as around an exec. Not around
// system(), which takes as long as the command.
class AroundSpawn {
 public:
  AroundSpawn() : is_ignoring_(prof::program_ignores_sigprof() || prof::program_ignores_snapshot_signal()) {
    if (is_ignoring_) change(1);
  }
  ~AroundSpawn() {
    if (is_ignoring_) change(-1);
  }
  AroundSpawn(const AroundSpawn&) = delete;
  AroundSpawn& operator=(const AroundSpawn&) = delete;

 private:
  // One thread after the other: who is not the first waits until that has changed the actions, and who comes when the last changes them back
  // waits for that. A handler that spawns would wait for the thread that it interrupts.
  static void change(int by) {
    const prof::ErrnoSaver errno_saver;
    const uint64_t all = ~uint64_t{0};
    uint64_t before = 0;
    prof::raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof(all));
    const int self = prof::raw_getpid();
    for (int other = 0; !changing_.compare_exchange_strong(other, self, std::memory_order_acquire);) {
      // A child of fork may find what a thread of its parent has left.
      if (other != self) continue;
      // Not by a mere yield: that thread may be of a lower priority.
      const struct timespec moment = {0, 20'000};
      prof::raw_syscall(SYS_nanosleep, &moment, nullptr);
      other = 0;
    }
    if (by > 0 && count_ == 0) {
      prof::snapshot_signal_before_exec();
      prof::sigprof_before_exec();
    }
    count_ += by;
    if (count_ == 0) {
      prof::sigprof_after_exec();
      prof::snapshot_signal_after_exec();
    }
    changing_.store(0, std::memory_order_release);
    prof::raw_syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof(before));
  }

  const bool is_ignoring_;
  static std::atomic<int> changing_;  // the process that is at it
  static int count_;                  // of threads that spawn
};
constinit std::atomic<int> AroundSpawn::changing_{0};
constinit int AroundSpawn::count_ = 0;

// The mask as it would be without libprof: without a SIGPROF that only libprof blocks (preload/handler_masks.h), from a handler on a small
// stack, where it is to stay blocked; and with one that libprof has unblocked (preload/unblocked_threads.h).
class SpawnAttributes {
 public:
  explicit SpawnAttributes(const posix_spawnattr_t* attributes) : attributes_(attributes) {
    short flags = 0;
    if (attributes != nullptr) posix_spawnattr_getflags(attributes, &flags);
    sigset_t mask;
    if ((flags & POSIX_SPAWN_SETSIGMASK) != 0) return;
    const bool is_kept_out = prof::sigprof_is_kept_out_now(&mask);
    if (!is_kept_out && !prof::is_unblocked_thread()) return;
    if (attributes == nullptr) {
      posix_spawnattr_init(&changed_);
    } else {
      changed_ = *attributes;
    }
    if (is_kept_out) {
      sigdelset(&mask, SIGPROF);
    } else {
      prof::real::pthread_sigmask()(SIG_BLOCK, nullptr, &mask);
      sigaddset(&mask, SIGPROF);
    }
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

static void take_back(void* environment) { prof::take_environ_back(*static_cast<prof::LentEnviron*>(environment)); }

EXPORTED int system(const char* command) {
  const bool is_ignored = prof::program_ignores_sigprof() || prof::program_ignores_snapshot_signal();
  if (is_ignored && command != nullptr) return prof::system_by_spawn(command);
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
