// A program that changes what it may do, and where it is, while it runs: the first argument says how.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(first_work, 6364136223846793005u)
BURNER(later_work, 2862933555777941757u)

static volatile sig_atomic_t limits_hit;

static void on_limit(int number) { limits_hit += number == SIGXCPU; }

static const char *outcome(int result) { return result < 0 ? strerrorname_np(errno) : "done"; }

static void limit(int which, rlim_t soft, rlim_t hard) {
  const struct rlimit limits = {soft, hard};
  printf("limit: %s\n", outcome(setrlimit((__rlimit_resource_t)which, &limits)));
}

// HOW [END]. END: 0, or nothing: by return; _exit; a signal's number.
int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  const char *end = argc > 2 ? argv[2] : "0";
  first_work(milliseconds(60));
  if (strcmp(how, "chdir") == 0) printf("%s %s\n", outcome(mkdir("below", 0700)), outcome(chdir("below")));
  if (strcmp(how, "umask") == 0) printf("%03o\n", (unsigned)umask(0777));
  if (strcmp(how, "chroot") == 0) {
    mkdir("below", 0700);
    printf("%s %s\n", outcome(chroot("below")), outcome(chdir("/")));
  }
  if (strncmp(how, "setuid", 6) == 0) {
    printf("%s ", outcome(setgroups(0, NULL)));
    printf("%s ", outcome(setgid(65534)));
    printf("%s\n", outcome(setuid(65534)));
  }
  if (strcmp(how, "seteuid") == 0) printf("%s %s\n", outcome(seteuid(65534)), outcome(seteuid(0)));
  if (strncmp(how, "unshare_", 8) == 0) {
    const char *what = how + 8;
    const int flags = strcmp(what, "user") == 0       ? CLONE_NEWUSER
                      : strcmp(what, "mount") == 0    ? CLONE_NEWNS
                      : strcmp(what, "net") == 0      ? CLONE_NEWNET
                      : strcmp(what, "pid") == 0      ? CLONE_NEWPID
                      : strcmp(what, "user_pid") == 0 ? CLONE_NEWUSER | CLONE_NEWPID
                      : strcmp(what, "files") == 0    ? CLONE_FILES
                                                      : CLONE_FS;
    printf("%s\n", outcome(unshare(flags)));
    if ((flags & CLONE_NEWPID) != 0) {
      const pid_t child = fork();
      if (child == 0) {
        later_work(milliseconds(30));
        _exit(getpid() == 1 ? 0 : 1);
      }
      int status = -1;
      waitpid(child, &status, 0);
      printf("child %#x\n", status);
    }
    if (flags == CLONE_NEWNS)
      printf("%s %s\n", outcome(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL)),
             outcome(umount2("/proc", MNT_DETACH)));
  }
  if (strcmp(how, "setns") == 0) {
    const int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    printf("%s ", outcome(setns(fd, CLONE_NEWNET)));
    // Not a mount namespace: that takes a program out of its chroot, and away from where its profiles go.
    const int names = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
    printf("%s\n", outcome(setns(names, CLONE_NEWUTS)));
  }
  if (strcmp(how, "fsize") == 0) limit(RLIMIT_FSIZE, 0, 0);
  if (strcmp(how, "nofile") == 0) limit(RLIMIT_NOFILE, 3, 3);
  if (strcmp(how, "soft_fsize") == 0) limit(RLIMIT_FSIZE, 0, RLIM_INFINITY);
  if (strcmp(how, "soft_nofile") == 0) limit(RLIMIT_NOFILE, 0, 100);
  if (strcmp(how, "as") == 0) limit(RLIMIT_AS, 1 << 20, 1 << 20);
  if (strcmp(how, "data") == 0) limit(RLIMIT_DATA, 0, 0);
  if (strstr(how, "nproc") != NULL) limit(RLIMIT_NPROC, 0, 0);
  if (strcmp(how, "stack") == 0) limit(RLIMIT_STACK, 65536, 65536);
  if (strcmp(how, "sigpending") == 0) limit(RLIMIT_SIGPENDING, 0, 0);
  if (strcmp(how, "cpu") == 0) {
    signal(SIGXCPU, on_limit);
    limit(RLIMIT_CPU, 1, 3);
    fflush(stdout);
    while (!limits_hit) later_work(milliseconds(10));
    printf("told once %d, in time %d\n", (int)limits_hit, process_cpu_ns() < seconds(1.5));
  }
  if (strcmp(how, "cpu_ends") == 0) {
    limit(RLIMIT_CPU, 1, 1);
    fflush(stdout);
    later_work(seconds(5));
  }
  if (strcmp(how, "close") == 0)
    for (int fd = 0; fd < 3; ++fd) close(fd);
  later_work(milliseconds(60));
  char *block = malloc(50000000);
  printf("block %d\n", block != NULL);
  free(block);
  fflush(stdout);
  if (ferror(stdout)) return 5;
  if (strcmp(end, "_exit") == 0) _exit(7);
  return raise(atoi(end));
}
