#include "tools/prof/recover_command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

#include "core/base/raw_log.h"
#include "core/report/recovery.h"

namespace prof::reader {
namespace {

// One file's: what it takes is bounded, whatever is in it.
constexpr rlim_t kMostMemory = rlim_t{4} << 30;
constexpr rlim_t kMostSeconds = 300;

std::string list_of(const std::vector<std::string>& files) {
  std::string text;
  for (const std::string& file : files) text += (text.empty() ? "" : ", ") + file;
  return text;
}

// What is read in a region's file may be meant for the terminal.
std::string shown(std::string text) {
  for (char& c : text) {
    if ((c >= 0 && c < ' ') || c == 127) c = '?';
  }
  return text;
}

// One line about a file, where there is something to be said.
void say(const std::string& path, const Recovery& recovery, const RecoveryOptions& options, std::FILE* to,
         const char* who) {
  const std::string process = "process " + std::to_string(recovery.pid) +
                              (recovery.executable.empty() ? std::string() : " (" + shown(recovery.executable) + ")");
  switch (recovery.result) {
    case Recovered::written:
      std::fprintf(to, "%s: %s %s: what it had recorded is in %s%s\n", who, process.c_str(), recovery.text.c_str(),
                   shown(list_of(recovery.files)).c_str(),
                   recovery.is_moved ? " (its own folders are those of another container, as far as can be seen)" : "");
      break;
    case Recovered::unknown:
    case Recovered::refused:
      std::fprintf(stderr, "%s: %s: left alone: %s\n", who, path.c_str(), recovery.text.c_str());
      break;
    case Recovered::failed:
      std::fprintf(
          stderr, "%s: %s: kept, for another try%s: prof recover %s%s\n", who, path.c_str(),
          recovery.missing_folder.empty() ? "" : (" when you have made " + shown(recovery.missing_folder)).c_str(),
          options.to.empty() ? "" : ("--to " + options.to + " ").c_str(), path.substr(0, path.rfind('/')).c_str());
      break;
    default:
      break;
  }
  std::fflush(to);
}

struct Outcome {
  bool any_failed = false;
  bool any_left = false;  // a process lives that has a file there, or somebody else is at one
};

void limit(int resource, rlim_t most) {
  struct rlimit now;
  if (getrlimit(resource, &now) != 0 || now.rlim_cur <= most) return;
  now.rlim_cur = most;
  setrlimit(resource, &now);
}

// In a process of its own, so that a file that is no region of ours at all costs no more than that.
Recovered recover_apart(const std::string& folder, const std::string& name, const RecoveryOptions& options,
                        std::FILE* to, const char* who) {
  const pid_t child = fork();
  if (child == 0) {
    limit(RLIMIT_AS, kMostMemory);
    limit(RLIMIT_CPU, kMostSeconds);
    Recovery recovery;
    try {
      recovery = recover_region(folder, name, options);
    } catch (const std::bad_alloc&) {
      recovery.result = Recovered::failed;
      std::fprintf(stderr, "%s: not enough memory for %s\n", who, name.c_str());
    }
    say(folder + "/" + name, recovery, options, to, who);
    _exit(static_cast<int>(recovery.result));
  }
  int status = 0;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (child > 0 && WIFEXITED(status)) return static_cast<Recovered>(WEXITSTATUS(status));
  std::fprintf(stderr, "%s: %s/%s: could not be read\n", who, folder.c_str(), name.c_str());
  return Recovered::failed;
}

Outcome recover_all(const std::string& folder, const RecoveryOptions& options, std::FILE* to, const char* who) {
  Outcome outcome;
  std::vector<std::string> names;
  if (!region_files_in(folder, &names)) {
    std::fprintf(stderr, "%s: cannot read the folder %s: %s\n", who, folder.c_str(), std::strerror(errno));
    outcome.any_failed = true;
  }
  for (const std::string& name : names) {
    const Recovered result = recover_apart(folder, name, options, to, who);
    outcome.any_failed |= result == Recovered::failed || result == Recovered::refused || result == Recovered::unknown;
    outcome.any_left |= result == Recovered::lives || result == Recovered::busy;
  }
  return outcome;
}

void put_null_at(int descriptor) {
  const int null = open("/dev/null", O_RDWR);
  if (null < 0) return;
  dup2(null, descriptor);
  if (null != descriptor) close(null);
}

// Until the process ends; those of its children that are killed meanwhile are not left to lie.
void await_end(int process, const RecoveryOptions& options, const std::string& folder) {
  constexpr int kLookEvery = 10'000;  // ms
  const char* const who = "profrun";
  struct pollfd wait = {process, POLLIN, 0};
  while (poll(&wait, 1, kLookEvery) == 0) {
    std::vector<std::string> names;
    region_files_in(folder, &names);
    // One is the process's own, as a rule.
    if (names.size() <= 1) continue;
    // What fails is tried again at the end, and said then.
    const int log = dup(STDERR_FILENO);
    put_null_at(STDERR_FILENO);
    recover_all(folder, options, stderr, who);
    if (log >= 0) dup2(log, STDERR_FILENO);
    close(log);
  }
}

[[noreturn]] void watch(int process, const std::string& folder) {
  setsid();
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE}) ::signal(signal, SIG_IGN);
  put_null_at(STDIN_FILENO);
  put_null_at(STDOUT_FILENO);
  if (process >= 0) {
    dup2(process, 3);
    syscall(SYS_close_range, 4, ~0u, 0);
  } else {
    syscall(SYS_close_range, 3, ~0u, 0);
  }
  RecoveryOptions options;
  options.is_own_folder = true;
  if (process >= 0) await_end(3, options, folder);
  options.just_ended = true;
  Outcome outcome = recover_all(folder, options, stderr, "profrun");
  // Others, that it has left behind, may live long; stderr is not theirs.
  put_null_at(STDERR_FILENO);
  options.just_ended = false;
  constexpr useconds_t kShortest = 20'000;
  constexpr useconds_t kLeast = 200'000;
  constexpr useconds_t kLongest = 2'000'000;
  for (useconds_t pause = kShortest;; pause = pause * 2 > kLongest ? kLongest : pause * 2) {
    // A child that was made at the very end may be about to have a file there.
    if (!outcome.any_left && pause > kLeast) {
      const bool is_over = rmdir(folder.c_str()) == 0 || errno != ENOTEMPTY;
      // What could not be recovered stays, and so does the folder then.
      if (is_over || outcome.any_failed) break;
    }
    usleep(pause);
    outcome = recover_all(folder, options, stderr, "profrun");
  }
  _exit(outcome.any_failed ? 1 : 0);
}

int start_watching(const RecoverCommand& command) {
  const auto process = static_cast<int>(syscall(SYS_pidfd_open, command.watched, 0));
  if (process < 0 && errno != ESRCH) {
    std::fprintf(stderr, "prof: process %d cannot be watched: %s\n", command.watched, std::strerror(errno));
    return 1;
  }
  const pid_t child = fork();
  if (child == 0) watch(process, command.folder);
  return child > 0 ? 0 : 1;
}

}  // namespace

bool recover_ended(const std::string& folder) {
  log_start(LogLevel::warn);
  RecoveryOptions options;
  options.just_ended = true;
  options.is_own_folder = true;
  std::FILE* const nowhere = std::fopen("/dev/null", "w");
  if (nowhere == nullptr) return false;
  const bool any_failed = recover_all(folder, options, nowhere, "profrun").any_failed;
  std::fclose(nowhere);
  return !any_failed;
}

int run_recover(const RecoverCommand& command) {
  log_start(LogLevel::warn);
  if (command.watched != 0) return start_watching(command);
  RecoveryOptions options;
  options.is_gone = command.is_gone;
  options.to = command.to;
  std::vector<std::string> names;
  if (region_files_in(command.folder, &names) && names.empty()) {
    std::fprintf(stderr, "prof: nothing to recover in '%s'\n", command.folder.c_str());
  }
  return recover_all(command.folder, options, stdout, "prof").any_failed ? 1 : 0;
}

}  // namespace prof::reader
