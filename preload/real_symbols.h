// The functions that ours stand before: the next definitions in the loader's search order. Normal code: the first call of
// each looks its symbol up (dlsym); later ones are a load.
#pragma once

#include <pthread.h>

#include "preload/hooked_functions.h"

namespace prof::real {

#define PROF_DECLARE(result, name, parameters) result(*name()) parameters;
PROF_HOOKED_FUNCTIONS(PROF_DECLARE)
#undef PROF_DECLARE

// Looks all of them up, and leaves no dlerror() behind. Normal code, in libprof's constructor: a look-up later could take an error
// from a program that is about to ask for it.
void find_all();

// The definition that the program itself reaches: its own, a preloaded library's, ours. Not dlsym(RTLD_DEFAULT): libprof.so is linked
// with -Bsymbolic, and would find its own first. Null: there is none. Normal code.
void* first_definition(const char* name);

}  // namespace prof::real
