// Whether the program's malloc is ours. Normal code, in libprof's constructor.
#pragma once

namespace prof {

// Tried out, with a byte: the order of libraries does not tell. An allocator may be within the program or preloaded before us; one that
// stands before us may hand on to us; and a program that takes malloc's address is found first without having one.
bool program_malloc_reaches_ours();

// The file of the malloc that the program calls instead of ours; null: it calls ours.
const char* file_of_foreign_malloc();

}  // namespace prof
