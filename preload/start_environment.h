// The settings that this process was started with, and what its program sees of them.
//
// An environment that a program cleaned gets libprof's entries back when it is handed to exec (exec_environment.h). They stand behind a
// mark, and are taken out here before the program sees them: it has the environment that it was given. Only /proc/PID/environ shows them.
#pragma once

#include <cstddef>

namespace prof {

// The mark says whose process it is that goes on here, and how many of the entries behind it are libprof's.
inline constexpr char kMark[] = "PROF_FOLLOWED=";

enum class Lineage {
  unknown,  // there was no mark
  root,     // a process that was a program's start goes on after an exec
  child,
  forbidden  // the program that executed it, or one before, forbade itself what recording takes (seccomp), and that lasts
};

struct StartEnvironment {
  // The PROF_ entries, null-terminated. Copies: programs write their titles over the environment.
  const char* const* settings;
  size_t count;
  Lineage lineage;
};

// Takes the mark and what belongs to it out of environ and of the array that main will be given. Normal code, in libprof's constructor,
// once.
const StartEnvironment& environment_take(char** of_main);

// PROF_FOLLOW=0: the program's environment, and with it that of all that it starts, is as without libprof.
void environment_hide(char** of_main, const char* library);

// Whether a list of libraries, as in LD_PRELOAD, has this one, by its file's name. Signal-safe.
bool lists_library(const char* list, const char* library);
// Whether it is the first of them.
bool begins_with_library(const char* list, const char* library);
// Takes it out, in place: the list becomes shorter. False: nothing is left of it. Signal-safe.
bool take_library_out(char* list, const char* library);
// The entry's value, where it is one of this name ("LD_PRELOAD="); else null. Signal-safe.
const char* value_if(const char* entry, const char* name_and_equals);

}  // namespace prof
