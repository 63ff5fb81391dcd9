// Whether libprof.so will be loaded into what exec makes of a file. Signal-safe: some thirty system calls, 2 KB of stack; in a child
// of vfork too.
#pragma once

namespace prof {

enum class Preloading {
  done,
  left_out,  // without a word: in a static or setuid program; or it cannot be told
  needs_first,  // AddressSanitizer's runtime, as gcc links it: it ends the program where another library was preloaded before it
  refused  // by a loader that ends the program for it (musl's), or says so on its stderr (another machine's, a 32-bit program's)
};

Preloading preloading_into(const char* path);
// As execveat finds it.
Preloading preloading_into(int folder, const char* path);
// Of a descriptor's file.
Preloading preloading_into(int fd);
// Of the file that exec finds in PATH.
Preloading preloading_into_found(const char* file);

}  // namespace prof
