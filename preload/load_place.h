// How libprof.so came into the process, where it was not preloaded or linked. Normal code.
#pragma once

namespace prof {

// Loaded by dlmopen, with a C library of its own, which the program's forks, threads and exits pass by.
bool has_namespace_of_its_own();

// Loaded by dlopen: the program's calls were bound to the C library's functions before, and others are looked for there first.
bool stands_behind_c_library();

// The file of another libprof.so that the program's calls come to first; null: there is none.
const char* file_of_libprof_before();

}  // namespace prof
