#include "core/report/file_sink.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>

using namespace prof;

static std::string g_folder;

static void setup() {
  char folder[] = "/tmp/file_sink_test.XXXXXX";
  g_folder = mkdtemp(folder);
}
static void teardown() { std::system(("rm -rf " + g_folder).c_str()); }

static std::string contents(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}
static int files_in_folder() {
  int count = 0;
  FILE* list = popen(("ls -A " + g_folder + " | wc -l").c_str(), "r");
  if (fscanf(list, "%d", &count) != 1) count = -1;
  pclose(list);
  return count;
}
static int64_t now() {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

TestSuite(file_sink, .init = setup, .fini = teardown);

Test(file_sink, writes_all_of_it_for_the_owner_only) {
  const std::string path = g_folder + "/a.prof";
  const std::string bytes(3'000'000, 'x');
  umask(0);
  cr_assert(write_file_whole(path, bytes, WriteMode::replace, 0).ok);
  struct stat st;
  stat(path.c_str(), &st);
  cr_assert_eq(st.st_mode & 07777, 0600u);
  cr_assert(contents(path) == bytes);
  cr_assert(write_file_whole(path, "new", WriteMode::replace, 0).ok);
  cr_assert_eq(contents(path), "new");
  cr_assert_eq(files_in_folder(), 1, "no temporary is left");
}

Test(file_sink, a_newer_file_is_somebody_elses) {
  const std::string path = g_folder + "/a.prof";
  const int64_t start = now();
  usleep(20'000);
  cr_assert(write_file_whole(path, "other", WriteMode::replace_older, start).ok);
  const WriteResult result = write_file_whole(path, "mine", WriteMode::replace_older, start);
  cr_assert(!result.ok && result.taken);
  cr_assert_eq(contents(path), "other");
  usleep(20'000);
  cr_assert(write_file_whole(path, "next run", WriteMode::replace_older, now()).ok);
  cr_assert_eq(contents(path), "next run");
  cr_assert_eq(files_in_folder(), 1);
}

Test(file_sink, a_name_with_a_pid_in_it_is_given_once) {
  const std::string path = g_folder + "/p.17.prof";
  cr_assert(write_file_whole(path, "first", WriteMode::create, 0).ok);
  const WriteResult result = write_file_whole(path, "second", WriteMode::create, now());
  cr_assert(!result.ok && result.taken);
  cr_assert_eq(contents(path), "first");
  cr_assert_eq(files_in_folder(), 1, "no temporary is left");
}

Test(file_sink, a_temporary_that_is_there_is_left_alone) {
  const std::string path = g_folder + "/p.prof";
  const std::string others = temporary_name(path);
  cr_assert(write_file_whole(others, "half", WriteMode::create, 0).ok);
  cr_assert(write_file_whole(path, "whole", WriteMode::replace, 0).ok);
  cr_assert_eq(contents(path), "whole");
  cr_assert_eq(contents(others), "half");
}

Test(file_sink, says_what_failed) {
  WriteResult result = write_file_whole(g_folder + "/missing/a.prof", "x", WriteMode::replace, 0);
  cr_assert(!result.ok && result.error == ENOENT);
  cr_assert_eq(result.error_text(), "No such file or directory");
  write_file_whole(g_folder + "/file", "x", WriteMode::replace, 0);
  result = write_file_whole(g_folder + "/file/a.prof", "x", WriteMode::replace, 0);
  cr_assert(!result.ok && result.error == ENOTDIR);
  result = write_file_whole(g_folder, "x", WriteMode::replace, 0);
  cr_assert(!result.ok && result.error == EISDIR);
}

Test(file_sink, a_size_limit_is_an_error_and_not_a_signal) {
  const struct rlimit limit = {1000, 1000};
  setrlimit(RLIMIT_FSIZE, &limit);
  const WriteResult result = write_file_whole(g_folder + "/a.prof", std::string(2000, 'x'), WriteMode::replace, 0);
  cr_assert(!result.ok && result.error == EFBIG);
  cr_assert_eq(files_in_folder(), 0);
}

Test(file_sink, writes_to_what_is_no_file_as_it_is) {
  cr_assert(write_file_whole("/dev/null", "x", WriteMode::replace_older, 0).ok);
  struct stat st;
  stat("/dev/null", &st);
  cr_assert(S_ISCHR(st.st_mode));
  const WriteResult full = write_file_whole("/dev/full", "x", WriteMode::replace, 0);
  cr_assert(!full.ok && full.error == ENOSPC);
}

Test(file_sink, a_link_is_replaced_and_not_followed) {
  const std::string target = g_folder + "/target", link = g_folder + "/a.prof";
  write_file_whole(target, "kept", WriteMode::replace, 0);
  cr_assert_eq(symlink(target.c_str(), link.c_str()), 0);
  cr_assert(write_file_whole(link, "mine", WriteMode::replace, 0).ok);
  cr_assert_eq(contents(target), "kept");
  cr_assert_eq(contents(link), "mine");
  // Nor is one to a device, but in a folder of the system's.
  unlink(link.c_str());
  cr_assert_eq(symlink("/dev/full", link.c_str()), 0);
  cr_assert(write_file_whole(link, "mine", WriteMode::replace, 0).ok);
  cr_assert_eq(contents(link), "mine");
  int pipe_ends[2];
  cr_assert_eq(pipe(pipe_ends), 0);
  const std::string end = "/dev/fd/" + std::to_string(pipe_ends[1]);
  cr_assert(write_file_whole(end, "to the pipe", WriteMode::replace_older, 0).ok);
  char bytes[20] = {};
  cr_assert_eq(read(pipe_ends[0], bytes, sizeof(bytes) - 1), 11);
}

Test(file_sink, nothing_is_written_where_everybody_may_write) {
  const std::string path = g_folder + "/a.prof";
  chmod(g_folder.c_str(), 0777);
  const WriteResult result = write_file_whole(path, "x", WriteMode::replace, 0);
  cr_assert(!result.ok && result.error == kFolderIsOpen);
  cr_assert_neq(result.error_text().find("chmod o-w"), std::string::npos);
  cr_assert_eq(files_in_folder(), 0);
  for (const mode_t mode : {01777, 0775, 0700}) {
    chmod(g_folder.c_str(), mode);
    cr_assert(write_file_whole(path, "x", WriteMode::replace, 0).ok, "%o", mode);
  }
}
