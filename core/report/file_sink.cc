#include "core/report/file_sink.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>

namespace prof {
namespace {

// The temporary that is being written; its first byte is 0 where there is none.
char g_unfinished[4096 + 32];

void note_unfinished(const std::string& temporary) {
  if (temporary.size() >= sizeof(g_unfinished)) return;
  memcpy(g_unfinished + 1, temporary.c_str() + 1, temporary.size());
  std::atomic_signal_fence(std::memory_order_release);
  g_unfinished[0] = temporary[0];
}

WriteResult failed(const char* step, int error) { return {false, false, step, error}; }

int write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

WriteResult write_to_special(const std::string& path, bool follows, std::string_view bytes) {
  // Not blocking: a pipe that nobody reads must not hold the program.
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK | (follows ? 0 : O_NOFOLLOW));
  if (fd < 0) return failed("cannot open", errno);
  const int error = write_all(fd, bytes);
  close(fd);
  return error == 0 ? WriteResult{true, false, "", 0} : failed("cannot write", error);
}

bool stat_folder(const std::string& path, struct stat* st) {
  return stat(path.substr(0, std::max<size_t>(path.rfind('/'), 1)).c_str(), st) == 0;
}

// What others can put nothing into: /dev/stderr is a link there, and so are all of /proc/self/fd.
bool is_systems(const std::string& path, const struct stat& folder) {
  constexpr decltype(statfs::f_type) kProc = 0x9fa0;
  struct statfs system;
  if (statfs(path.substr(0, std::max<size_t>(path.rfind('/'), 1)).c_str(), &system) == 0 && system.f_type == kProc)
    return true;
  return path.starts_with("/dev/") && folder.st_uid == 0 && (folder.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool is_newer(const struct stat& st, int64_t unix_ns) {
  return int64_t{st.st_mtim.tv_sec} * 1'000'000'000 + st.st_mtim.tv_nsec >= unix_ns;
}

bool is_untrusted(WriteMode mode) { return mode == WriteMode::replace_older_profile || mode == WriteMode::create_file; }

bool is_stream(const std::string& path) {
  struct stat st;
  const bool is_named = path == "/dev/null" || path == "/dev/stdout" || path == "/dev/stderr";
  return is_named && stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode);
}

bool begins_as_profile(const std::string& path) {
  constexpr unsigned char kGzip[] = {0x1f, 0x8b, 8};
  unsigned char begin[sizeof(kGzip)];
  struct stat st;
  const int fd = open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return false;
  const bool is_profile = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
                          pread(fd, begin, sizeof(begin), 0) == sizeof(begin) &&
                          memcmp(begin, kGzip, sizeof(begin)) == 0;
  close(fd);
  return is_profile;
}

// What has the name now, if anything has.
bool may_replace(const std::string& path, WriteMode mode, int64_t unix_ns) {
  struct stat st;
  if (lstat(path.c_str(), &st) != 0) return errno == ENOENT || mode == WriteMode::replace_older;
  if (mode == WriteMode::create_file || is_newer(st, unix_ns)) return false;
  return mode == WriteMode::replace_older || (S_ISREG(st.st_mode) && begins_as_profile(path));
}

// Gives the finished temporary its name.
WriteResult publish(const std::string& temporary, const std::string& path, WriteMode mode, int64_t unix_ns) {
  if (mode != WriteMode::replace) {
    // link() fails where the name exists: of two processes that find it free, one gets it.
    if (link(temporary.c_str(), path.c_str()) == 0) {
      unlink(temporary.c_str());
      return {true, false, "", 0};
    }
    bool is_taken = errno == EEXIST;
    // Some file systems have no links.
    if (!is_taken && mode != WriteMode::replace_older) {
      if (renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0)
        return {true, false, "", 0};
      is_taken = errno == EEXIST;
    }
    // What is not to be trusted is looked at where the file system can say nothing, too.
    if ((is_taken && mode == WriteMode::create) ||
        ((is_taken || is_untrusted(mode)) && !may_replace(path, mode, unix_ns))) {
      unlink(temporary.c_str());
      return {false, true, "", 0};
    }
  }
  if (rename(temporary.c_str(), path.c_str()) == 0) return {true, false, "", 0};
  const int error = errno;
  unlink(temporary.c_str());
  return failed("cannot rename to", error);
}

}  // namespace

void discard_unfinished_file() {
  if (g_unfinished[0] != '\0') unlink(g_unfinished);
}

bool is_link_of_system(const std::string& path) {
  struct stat st;
  struct stat folder;
  struct stat devices;
  return stat_folder(path, &folder) && stat("/dev", &devices) == 0 && folder.st_ino == devices.st_ino &&
         folder.st_dev == devices.st_dev && lstat(path.c_str(), &st) == 0 && S_ISLNK(st.st_mode) &&
         stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode);
}

std::string temporary_name(const std::string& path) {
  // With room for what is added: a name may be as long as the file system allows.
  constexpr size_t kMostOfName = NAME_MAX - 24;
  const size_t slash = path.rfind('/');
  const size_t begin = slash == std::string::npos ? 0 : slash + 1;
  return path.substr(0, begin) + path.substr(begin, kMostOfName) + ".tmp." + std::to_string(getpid());
}

std::string error_text_of(int error) {
  if (error == kFolderIsOpen) return "everybody may write to the folder (chmod o-w, or +t)";
  if (error == kIsLinkToFile) return "it is a file, by a link of the system's: name the file";
  const char* description = strerrordesc_np(error);
  return description != nullptr ? description : "error " + std::to_string(error);
}

WriteResult write_file_whole(const std::string& path, std::string_view bytes, WriteMode mode, int64_t unix_ns) {
  struct stat st;
  struct stat folder;
  const bool has_folder = stat_folder(path, &folder);
  const bool follows = has_folder && is_systems(path, folder);
  const bool is_file = is_untrusted(mode) && !is_stream(path);
  if (is_file && lstat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode)) return {false, true, "", 0};
  if (!is_file && (follows ? stat(path.c_str(), &st) : lstat(path.c_str(), &st)) == 0 && !S_ISREG(st.st_mode) &&
      !S_ISLNK(st.st_mode)) {
    return S_ISDIR(st.st_mode) ? failed("cannot replace", EISDIR) : write_to_special(path, follows, bytes);
  }
  if (is_link_of_system(path)) return failed("cannot replace", kIsLinkToFile);
  if (has_folder && is_open_to_others(folder)) return failed("cannot create", kFolderIsOpen);
  struct rlimit limit;
  // Beyond it the kernel would not only fail but send SIGXFSZ, which kills.
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < bytes.size()) return failed("cannot write", EFBIG);
  // One that is there may be of an earlier process with this pid that died, or of one in another container that is at it now.
  constexpr int kMostTemporaries = 100;
  std::string temporary = temporary_name(path);
  int fd = -1;
  for (int number = 2; number <= kMostTemporaries; ++number) {
    fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 || errno != EEXIST) break;
    temporary = temporary_name(path) + "-" + std::to_string(number);
  }
  if (fd >= 0) note_unfinished(temporary);
  struct Finished {
    ~Finished() { g_unfinished[0] = '\0'; }
  } finished;
  if (fd < 0) return failed("cannot create", errno);
  int error = write_all(fd, bytes);
  const char* step = "cannot write";
  if (error == 0 && fsync(fd) != 0) {
    error = errno;
    step = "cannot sync";
  }
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0) return publish(temporary, path, mode, unix_ns);
  unlink(temporary.c_str());
  return failed(step, error);
}

}  // namespace prof
