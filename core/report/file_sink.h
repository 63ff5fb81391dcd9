// Files that appear whole or not at all. Normal code.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace prof {

enum class WriteMode {
  replace,        // whatever is there
  replace_older,  // what was there before a given time; a newer file is somebody else's
  create,         // nothing: a file that is there is somebody else's
  // The same where the name is not to be trusted: nothing but a file is written or replaced, and only one of the caller's that begins as
  // a profile does.
  replace_older_profile,
  create_file,
};

// What stands for an errno where it is this that nothing is written for.
inline constexpr int kFolderIsOpen = -1;
inline constexpr int kIsLinkToFile = -2;
std::string error_text_of(int error);

// Such as /dev/stdout where that is a file: root would replace the link, for every program; and the file is the program's own. It is not written.
bool is_link_of_system(const std::string& path);

struct WriteResult {
  bool ok = false;
  bool taken = false;     // all but replace: the name is somebody else's, and nothing was written
  const char* step = "";  // what failed: "cannot create", "cannot write", …
  int error = 0;          // errno of it
  std::string error_text() const { return error_text_of(error); }
};

// Takes away what this process has written of a file that is not whole. Signal-safe, for who ends amid the writing of one.
void discard_unfinished_file();

// A folder in which everybody may take away and put in what they like: neither what is written there nor what is found there can be
// relied on. (With the sticky bit, as in /tmp, each only what is his own.)
inline bool is_open_to_others(const struct stat& folder) {
  return (folder.st_mode & S_IWOTH) != 0 && (folder.st_mode & S_ISVTX) == 0;
}

// What a file is called until it is whole, when this process writes it.
std::string temporary_name(const std::string& path);

// Writes bytes to a temporary file beside path (mode 0600, created new, no link followed), syncs it, and renames it, so that a link of that
// name is replaced too. path: absolute; links among its folders are followed. Nothing is written to a folder that is open to others. What
// is no regular file (a pipe, /dev/null) is written to as it is; a link to one is followed in /dev (its folders of root's alone) and in /proc.
// (Of a name that is not to be trusted /dev/null, /dev/stdout and /dev/stderr alone.) unix_ns: for what replaces the older.
WriteResult write_file_whole(const std::string& path, std::string_view bytes, WriteMode mode, int64_t unix_ns);

}  // namespace prof
