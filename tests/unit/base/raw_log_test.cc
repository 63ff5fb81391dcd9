#include "core/base/raw_log.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <iterator>
#include <string>

using namespace prof;

// What a program does that writes to its log from a place that can do nothing but go on.
static void check_line_changes_nothing() {
  sigset_t before;
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  errno = 77;
  LogLine(LogLevel::warn) << "a line";
  cr_assert_eq(errno, 77);
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int number = 1; number < SIGRTMIN; ++number)
    cr_assert_eq(sigismember(&before, number), sigismember(&after, number), "signal %d", number);
}

static bool is_pending(int number) {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, number) == 1;
}

static void let_stderr_be(int fd) {
  dup2(fd, 2);
  close(fd);
  log_start(LogLevel::warn);
  alarm(20);  // a line that waits
}

enum class Kind { pipe, socket };

static void make(Kind kind, int ends[2]) {
  cr_assert_eq(kind == Kind::pipe ? pipe(ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
}

static void fill(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  const std::string much(4096, 'x');
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  for (const size_t bytes : {much.size(), size_t{1}}) {
    while (write(fd, much.data(), bytes) > 0) {
    }
    cr_assert_eq(errno, EAGAIN);
  }
  fcntl(fd, F_SETFL, flags);
}

static std::string read_all(int fd) {
  std::string all;
  char some[4096];
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  for (ssize_t bytes; (bytes = read(fd, some, sizeof(some))) > 0;) all.append(some, static_cast<size_t>(bytes));
  return all;
}

Test(raw_log, a_line_comes_whole) {
  for (const Kind kind : {Kind::pipe, Kind::socket}) {
    int ends[2];
    make(kind, ends);
    let_stderr_be(ends[1]);
    check_line_changes_nothing();
    cr_assert_eq(read_all(ends[0]), "libprof: a line\n");
    close(ends[0]);
  }
}

Test(raw_log, nobody_reads) {
  for (const Kind kind : {Kind::pipe, Kind::socket}) {
    int ends[2];
    make(kind, ends);
    let_stderr_be(ends[1]);
    close(ends[0]);
    check_line_changes_nothing();
  }
}

static void refuse_poll() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ppoll, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {std::size(filter), filter};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

// As where the reader goes between the look and the write: here the look is refused.
Test(raw_log, nobody_reads_any_more) {
  refuse_poll();
  for (const Kind kind : {Kind::pipe, Kind::socket}) {
    int ends[2];
    make(kind, ends);
    let_stderr_be(ends[1]);
    close(ends[0]);
    check_line_changes_nothing();
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    check_line_changes_nothing();
    cr_assert(!is_pending(SIGPIPE));
    pthread_kill(pthread_self(), SIGPIPE);
    check_line_changes_nothing();
    cr_assert(is_pending(SIGPIPE), "it is the program's");
    int number = 0;
    sigwait(&pipe, &number);
    cr_assert_eq(number, SIGPIPE);
    pthread_sigmask(SIG_UNBLOCK, &pipe, nullptr);
  }
}

Test(raw_log, no_room) {
  for (const Kind kind : {Kind::pipe, Kind::socket}) {
    int ends[2];
    make(kind, ends);
    fill(ends[1]);
    let_stderr_be(ends[1]);
    check_line_changes_nothing();
    cr_assert_eq(read_all(ends[0]).find("libprof"), std::string::npos);
    check_line_changes_nothing();
    cr_assert_eq(read_all(ends[0]), "libprof: a line\n");
    close(ends[0]);
  }
}
