#include "tools/prof/merge_command.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include "tools/prof/merged_profile.h"
#include "tools/prof/process_labels.h"
#include "tools/prof/profile_bytes.h"
#include "tools/prof/profile_from_bytes.h"
#include "tools/prof/profile_to_bytes.h"

namespace prof::reader {
namespace {

// In the memory at once, beside what they are added to.
constexpr size_t kBatch = 64;

std::vector<std::string> files_of(const std::string& source) {
  std::error_code error;
  if (!std::filesystem::is_directory(source, error)) return {source};
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(source, error)) {
    const std::string name = entry.path().filename();
    // What a process that was killed left half written is none.
    const bool is_whole = name.find(".tmp.") == std::string::npos;
    if (entry.is_regular_file(error) && name.front() != '.' && is_whole) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::optional<Profile> profile_of(const std::string& file, std::string* error) {
  const std::optional<std::string> bytes = profile_bytes(file, *error);
  std::optional<Profile> profile;
  if (bytes) profile = profile_from_bytes(*bytes, *error);
  if (!profile) *error = file + ": " + *error;
  return profile;
}

// What is there under the name stays until the new file is whole.
bool write_whole(const std::string& path, const std::string& bytes, std::string* error) {
  struct stat st;
  const bool is_special = stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode);
  const std::string written = is_special ? path : path + ".tmp." + std::to_string(getpid());
  const int flags = O_WRONLY | O_CLOEXEC | (is_special ? 0 : O_CREAT | O_EXCL | O_NOFOLLOW);
  const int fd = open(written.c_str(), flags, 0600);
  const char* rest = bytes.data();
  const char* const end = rest + bytes.size();
  bool done = fd >= 0;
  while (done && rest < end) {
    const ssize_t count = write(fd, rest, static_cast<size_t>(end - rest));
    if (count > 0) rest += count;
    done = count > 0 || errno == EINTR;
  }
  int failure = done ? 0 : errno;
  if (fd >= 0 && close(fd) != 0 && failure == 0) failure = errno;
  if (failure == 0 && !is_special && rename(written.c_str(), path.c_str()) != 0) failure = errno;
  if (failure == 0) return true;
  if (fd >= 0 && !is_special) unlink(written.c_str());
  *error = path + ": " + std::strerror(failure);
  return false;
}

class Merging {
 public:
  // False: it is of another kind than those before.
  bool add(Profile profile, std::string* error) {
    batch_.push_back(std::move(profile));
    return batch_.size() < kBatch || flush(error);
  }
  bool flush(std::string* error) {
    if (batch_.empty()) return true;
    std::optional<Profile> merged = merged_profile(batch_, *error);
    if (!merged) return false;
    batch_.clear();
    batch_.push_back(std::move(*merged));
    return true;
  }
  Profile take() { return std::move(batch_.front()); }

 private:
  std::vector<Profile> batch_;
};

std::string processes_text(const std::map<std::string, size_t>& commands, size_t count) {
  std::vector<std::pair<std::string, size_t>> order(commands.begin(), commands.end());
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  constexpr size_t kMostNames = 10;
  std::string text = std::to_string(count) + (count == 1 ? " profile" : " profiles") + " of processes:";
  for (size_t i = 0; i < order.size() && i < kMostNames; ++i) {
    text += (i == 0 ? " " : ", ") + order[i].first;
    if (order[i].second > 1) text += " (" + std::to_string(order[i].second) + ")";
  }
  return order.size() > kMostNames ? text + ", …" : text;
}

}  // namespace

bool merge_files(const MergeCommand& command, size_t* count, std::string* error) {
  *count = 0;
  Merging merging;
  std::map<std::string, size_t> commands;
  std::vector<std::string> comments;
  for (const std::string& source : command.sources) {
    for (const std::string& file : files_of(source)) {
      std::optional<Profile> profile = profile_of(file, error);
      if (!profile) {
        if (!command.processes) return false;
        std::fprintf(stderr, "prof: %s\n", error->c_str());
        continue;
      }
      if (command.processes) {
        ++commands[label_with_process(&*profile)];
        comments.insert(comments.end(), profile->comments.begin(), profile->comments.end());
        add_up_comments(&comments);
        profile->comments.clear();
      }
      if (!merging.add(std::move(*profile), error)) return false;
      ++*count;
    }
  }
  if (*count == 0) return true;
  if (!merging.flush(error)) return false;
  Profile merged = merging.take();
  if (command.processes) {
    merged.comments = {processes_text(commands, *count)};
    merged.comments.insert(merged.comments.end(), comments.begin(), comments.end());
  }
  return write_whole(command.output, bytes_of_profile(merged), error);
}

}  // namespace prof::reader
