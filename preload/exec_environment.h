// The environment of what the program executes: libprof goes along where PROF_FOLLOW says so.
//
// An environment that has the settings and the preload is handed on as it is, with a mark that says whose child it is. One that has
// neither was cleaned, or made anew: both are added, and taken out again at the start of what is executed (start_environment.h), which sees
// the environment that the program meant for it. One that has half of it was changed on purpose (LD_PRELOAD unset or set to something
// else), and stays as it is; so does that of a program into which nothing can be preloaded. Where the program's loader would refuse
// libprof.so it is taken out of LD_PRELOAD, or the program would not start, or have more on its stderr. And one that cannot be read is
// left to the kernel, which says EFAULT.
//
// Signal-safe where not said otherwise, and for children of vfork: the new array is on the caller's stack.
#pragma once

#include <alloca.h>
#include <errno.h>

#include <cstddef>

#include "preload/preloadable_file.h"

namespace prof {

// From now on. Normal code, in libprof's constructor. settings: null-terminated, they stay where they are; library: libprof.so's path,
// null: not known, and nothing is added; is_child: this process is one; follows_children: PROF_FOLLOW is not 0.
void exec_environment_start(const char* const* settings, size_t count, const char* library, bool is_child,
                            bool follows_children);

// From now on nothing is recorded here, nor in anything that is executed: the mark that is handed on says so. Signal-safe.
void exec_environment_forbids();

// Whose program it will be.
enum class Executed { by_caller, by_new_child };

// What is to be added to an environment; entries: pointers that the new one takes, with its end; 0: nothing is.
struct Addition {
  size_t entries;
  bool preload, settings;
  bool is_child;
  bool forbids = false;
  bool is_allowed_first = false;  // before AddressSanitizer's runtime
  size_t of_environment = 0;      // entries that it had: another thread may add more before they are copied
};
Addition addition_to(char* const* environment, Executed executed);
// room: of `entries` pointers.
void add_to(char* const* environment, const Addition& addition, char** room);

// Whether libprof.so can be reached by what is executed.
bool is_library_in_reach();

// The same environment without libprof.so in its LD_PRELOAD. room: as for add_to(); text: of bytes_of_preload().
size_t bytes_of_preload(char* const* environment, const Addition& addition);
void copy_without_library(char* const* environment, const Addition& addition, char** room, char* text, size_t bytes);

// Calls exec(environment) with what is to be handed on. preloading: asked of the file.
template <typename PreloadingInto, typename Exec>
inline __attribute__((always_inline)) int with_exec_environment(Executed executed, char* const* environment,
                                                                PreloadingInto preloading, Exec exec) {
  const Addition addition = addition_to(environment, executed);
  if (addition.entries == 0) return exec(environment);
  auto** room = static_cast<char**>(alloca(addition.entries * sizeof(char*)));
  if (!addition.forbids) {
    Preloading found = preloading();
    if (found == Preloading::needs_first) found = addition.is_allowed_first ? Preloading::done : Preloading::refused;
    if (found == Preloading::refused && !addition.preload) {
      const size_t bytes = bytes_of_preload(environment, addition);
      copy_without_library(environment, addition, room, static_cast<char*>(alloca(bytes)), bytes);
      return exec(static_cast<char* const*>(room));
    }
    if (found != Preloading::done || (addition.preload && !is_library_in_reach())) return exec(environment);
  }
  add_to(environment, addition, room);
  const int result = exec(static_cast<char* const*>(room));
  // At the very limit of what may be handed on: what the program asked for fits.
  const bool is_too_big = result == E2BIG || (result == -1 && errno == E2BIG);
  return is_too_big ? exec(environment) : result;
}

// For calls of the C library that execute a shell with environ, which cannot be handed another: until it is taken back, environ is what is
// to be handed on. Who reads it meanwhile sees the same and more. lent: null: environ is as it is to be. Normal code.
struct LentEnviron {
  char** before;
  char** lent;
};
LentEnviron lend_environ();
void take_environ_back(const LentEnviron& environment);

}  // namespace prof
