// Which file an exec finds. Signal-safe: some system calls, 1 KB of stack; in a child of vfork too.
#pragma once

namespace prof {

// Whether exec would take it: a regular file that this process may execute, with the rights that it has now.
bool is_executable(const char* path);
// As execveat finds it.
bool is_executable(int folder, const char* path);

// Whether it begins as what a kernel executes by itself: an ELF file, or a script that names its interpreter. Of what cannot be read: true.
bool begins_as_program(const char* path);

struct PathRoom {
  char text[1024];
};
// The file that execvp and its kin find: `file` itself where it has a slash, else one in a folder of PATH, in `room`. Null: there is none.
const char* find_executed(const char* file, PathRoom* room);

}  // namespace prof
