// operator new and delete of an allocator that has its own, beside malloc (tcmalloc, jemalloc, mimalloc): they do not call malloc, which
// is where everybody else's is counted.
//
// Not interposed by exporting them: a library that was loaded by itself (RTLD_LOCAL) has the operators of its own scope, its own or
// those of its own C++ library, and exported ones of ours would take their place. See call_slots.h for what is not seen.
#pragma once

namespace prof {

// Normal code, once, in libprof's constructor.
void allocator_operators_start();

}  // namespace prof
