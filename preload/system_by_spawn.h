// system() where the C library's would hand on a default in the place of a signal that the program ignores: a handler of libprof's stands for
// that. As that one does it, by a posix_spawn that libprof sees. Normal code; may be cancelled: compiled like the interposers (Makefile).
#pragma once

namespace prof {

// command: not null. Answers what system() does.
int system_by_spawn(const char* command);

}  // namespace prof
