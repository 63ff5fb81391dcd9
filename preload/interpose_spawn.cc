// posix_spawn and what starts a shell: the real ones, with an environment that libprof goes along in. The C library executes what they
// start by calls of its own, which our exec does not see. system() may be cancelled: see the Makefile.

#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>

#include <atomic>

#include "core/base/errno_saver.h"
#include "preload/exec_environment.h"
#include "preload/handler_masks.h"
#include "preload/real_symbols.h"
#include "preload/sigprof_view.h"
#include "preload/snapshot_signal.h"
#include "preload/system_by_spawn.h"

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
