// Whether libprof.so will be loaded into what exec makes of a file. Signal-safe: a handful of system calls, 1.5 KB of stack; in a child
// of vfork too.
#pragma once

namespace prof {

// False: it will not (a static, setuid or other machine's program), or it cannot be told.
bool is_preloadable(const char* path);
// As execveat finds it.
bool is_preloadable(int folder, const char* path);
// Of a descriptor's file.
bool is_preloadable(int fd);
// Of the file that exec finds in PATH.
bool is_preloadable_in_path(const char* file);

}  // namespace prof
