#include "tools/prof/tree_command.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>

#include "tools/prof/merge_command.h"
#include "tools/prof/recover_command.h"

namespace prof::reader {
namespace {

constexpr int kFailed = 1;
constexpr int kCannotRun = 126;
constexpr int kNotFound = 127;

int failed(const std::string& reason) {
  std::fprintf(stderr, "profrun: %s\n", reason.c_str());
  return kFailed;
}

struct Wanted {
  std::string variable;
  std::string file;    // absolute
  std::string folder;  // of the processes' own
};

std::string absolute(const std::string& path) { return std::filesystem::absolute(path).string(); }

// For the processes of the tree only; where root starts it, for those that give root up, too.
bool make_folder(const std::string& path, bool exists) {
  if (!exists && mkdir(path.c_str(), 0700) != 0) return false;
  constexpr mode_t kAllMayPutIn = 01733;
  return geteuid() != 0 || chmod(path.c_str(), kAllMayPutIn) == 0;
}

std::string temporary_place() {
  const char* where = std::getenv("TMPDIR");
  return absolute(where == nullptr || *where == '\0' ? "/tmp" : where);
}

std::string make_temporary_folder() {
  std::string path = temporary_place() + "/profrun.XXXXXX";
  return mkdtemp(path.data()) != nullptr && make_folder(path, /*exists=*/true) ? path : std::string();
}

volatile sig_atomic_t g_program = 0;

// What the terminal sends, it sends to the program too.
void pass_on(int number, siginfo_t* info, void*) {
  const int error = errno;
  if (info->si_code <= 0 && g_program != 0) kill(static_cast<pid_t>(g_program), number);
  errno = error;
}

void pass_signals_on() {
  struct sigaction action = {};
  action.sa_sigaction = pass_on;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigfillset(&action.sa_mask);
  for (int number = 1; number <= SIGRTMAX; ++number) {
    bool is_left = false;
    for (const int left : {SIGKILL, SIGSTOP, SIGCHLD, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGSEGV, SIGBUS, SIGFPE,
                           SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGWINCH, SIGPIPE, SIGURG}) {
      is_left |= number == left;
    }
    struct sigaction before = {};
    if (is_left || sigaction(number, nullptr, &before) != 0 || before.sa_handler == SIG_IGN) continue;
    sigaction(number, &action, nullptr);
  }
}

// The program's wait status; -1: it could not be started.
int run(const TreeCommand& command) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);
  pass_signals_on();
  const pid_t child = fork();
  if (child == 0) {
    std::vector<char*> arguments;
    for (const std::string& word : command.program) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    setenv("LD_PRELOAD", command.preload.c_str(), 1);
    // The handlers go with the exec; what came meanwhile, goes to the program by the parent's.
    sigprocmask(SIG_SETMASK, &before, nullptr);
    execvp(arguments[0], arguments.data());
    const int error = errno;
    std::fprintf(stderr, "profrun: %s: %s\n", arguments[0], std::strerror(error));
    _exit(error == ENOENT ? kNotFound : kCannotRun);
  }
  g_program = child;
  sigprocmask(SIG_SETMASK, &before, nullptr);
  int status = -1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  g_program = 0;
  return status;
}

// No stream: a process may end while it is read.
std::string content_of(const std::string& file) {
  std::string content;
  std::FILE* stream = std::fopen(file.c_str(), "rb");
  if (stream == nullptr) return content;
  char buffer[4096];
  for (size_t bytes; (bytes = std::fread(buffer, 1, sizeof(buffer), stream)) != 0;) content.append(buffer, bytes);
  std::fclose(stream);
  return content;
}

// Amid its exec a process has addresses, but no environment yet: where that begins is 0 in its /proc/PID/stat, the 50th field.
bool is_amid_exec(const std::string& process) {
  constexpr int kFieldsBetween = 47;  // from the 3rd, behind the name in parentheses
  const std::string stat = content_of(process + "/stat");
  size_t at = stat.rfind(')');
  for (int i = 0; i <= kFieldsBetween && at != std::string::npos; ++i) at = stat.find(' ', at + 1);
  return at != std::string::npos && stat.compare(at, 3, " 0 ") == 0 && !content_of(process + "/maps").empty();
}

// Whether it was started with these settings. A program that writes its title over its environment still has the region mapped that it
// records in. One of which it cannot be said yet is taken for such a one.
bool is_of_tree(const std::string& process, const std::string& folder) {
  constexpr int kLooks = 3;  // its exec may be over between two readings
  for (int i = 0; i < kLooks; ++i) {
    const std::string environment = content_of(process + "/environ");
    if (environment.find(folder + "/") != std::string::npos) return true;
    if (!environment.empty()) break;
    if (is_amid_exec(process)) return true;
  }
  return content_of(process + "/maps").find(folder + "/") != std::string::npos;
}

size_t count_left(const std::string& folder) {
  size_t count = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos || name == std::to_string(getpid())) continue;
    if (is_of_tree(entry.path().string(), folder)) ++count;
  }
  return count;
}

// Those of the tree that end with the program, or right after it, are waited for.
size_t await_others(const std::string& folder) {
  constexpr std::chrono::seconds kMost{2};
  constexpr std::chrono::milliseconds kEvery{20};
  const auto end = std::chrono::steady_clock::now() + kMost;
  size_t left = count_left(folder);
  while (left != 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(kEvery);
    left = count_left(folder);
  }
  return left;
}

constexpr const char* kAside = ".merged";

// What is there before those that go on have added theirs. The folder that it is in: where there is no room for another, the same.
std::string put_aside(const std::string& folder) {
  const std::string aside = folder + kAside;
  std::error_code error;
  if (mkdir(aside.c_str(), 0700) != 0) return folder;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    if (name.find(".tmp.") == std::string::npos) std::filesystem::rename(entry.path(), aside + "/" + name, error);
  }
  return aside;
}

int exit_as(int status) {
  if (status < 0) return failed(std::string("cannot start a process: ") + std::strerror(errno));
  if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
  // The core, where one is made, is the program's.
  const struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  signal(WTERMSIG(status), SIG_DFL);
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, WTERMSIG(status));
  raise(WTERMSIG(status));
  sigprocmask(SIG_UNBLOCK, &ending, nullptr);
  constexpr int kBySignal = 128;  // as a shell says it
  return kBySignal + WTERMSIG(status);
}

}  // namespace

int run_tree(const TreeCommand& command) {
  const std::string folder = make_temporary_folder();
  if (folder.empty()) {
    const std::string why = std::strerror(errno);
    return failed("cannot make a folder for profiles in '" + temporary_place() + "': " + why +
                  " (TMPDIR names another place)");
  }
  std::vector<Wanted> wanted;
  for (const std::string& each : command.wanted) {
    const size_t equals = std::min(each.find('='), each.size() - 1);
    const std::string variable = each.substr(0, equals);
    wanted.push_back({variable, absolute(each.substr(equals + 1)), folder + "/" + variable});
    if (!make_folder(wanted.back().folder, /*exists=*/false)) return failed("cannot make " + wanted.back().folder);
    const std::string place = std::filesystem::path(wanted.back().file).parent_path().string();
    if (access(place.c_str(), W_OK | X_OK) != 0) {
      failed(wanted.back().file + ": cannot be written there: " + std::strerror(errno) +
             "; the profiles will stay in " + folder);
    }
    setenv(variable.c_str(), (wanted.back().folder + "/p").c_str(), 1);
  }
  // Of those that are killed.
  const std::string spool = folder + "/spool";
  const bool spools = std::getenv("PROF_SPOOL") == nullptr && make_folder(spool, /*exists=*/false);
  if (spools) setenv("PROF_SPOOL", spool.c_str(), 1);
  const int status = run(command);
  const size_t left = status < 0 ? 0 : await_others(folder);
  if (spools && !recover_ended(spool)) {
    failed("not all that killed processes had recorded could be recovered: it is in " + spool);
    return exit_as(status);
  }
  for (const Wanted& each : wanted) {
    MergeCommand merge;
    merge.output = each.file;
    merge.sources = {each.folder};
    if (left != 0) merge.sources = {put_aside(each.folder)};
    merge.processes = true;
    size_t count = 0;
    std::string error;
    if (!merge_files(merge, &count, &error)) {
      failed("the profiles are not merged: " + error + "; they are in " + folder);
      return exit_as(status);
    }
    if (count == 0 && status >= 0) failed(each.file + ": not written, as no process has left such a profile");
  }
  std::error_code ignored;
  if (left != 0) {
    for (const Wanted& each : wanted) std::filesystem::remove_all(each.folder + kAside, ignored);
    failed(std::to_string(left) + (left == 1 ? " process goes on: its profiles" : " processes go on: their profiles") +
           " will not be in the merged ones, but in " + folder);
    return exit_as(status);
  }
  std::filesystem::remove_all(folder, ignored);
  return exit_as(status);
}

}  // namespace prof::reader
