// A program that forbids itself system calls: the first argument says which and how (`few_for_all`: each of its threads, when there is
// something to be read, and works for two seconds then; `few_returns`: it ends by returning from main). It works before and after, and ends by
// what it may still call.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "victim.h"

BURNER(first_work, 6364136223846793005u)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// Without a clock: it would be a system call.
NOT_INLINED static void later_work(void) {
  uint64_t x = 1;
  for (int i = 0; i < 60000000; ++i) {
    x = x * 2862933555777941757u + 12345;
    __asm__ volatile("" : "+r"(x));
  }
}

#define ALLOW(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  const int by_call = argc > 2 && strcmp(argv[2], "syscall") == 0;
  struct sock_filter few[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      ALLOW(SYS_write),
      ALLOW(SYS_exit),
      ALLOW(SYS_exit_group),
      ALLOW(SYS_rt_sigreturn),
      ALLOW(SYS_brk),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  // As a sandbox has it that forbids only what is dangerous.
  struct sock_filter most[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_reboot, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  // What only a clock of libprof's asks.
  struct sock_filter no_usage[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getrusage, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  // What only a log line of libprof's asks.
  struct sock_filter no_poll[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ppoll, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  // One that a program which is executed knows nothing of.
  struct sock_filter no_timers[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_timer_create, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const int executes = strcmp(how, "executes") == 0;
  // Out of the filter, and round: the kernel refuses it.
  struct sock_filter round[] = {BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const struct sock_fprog endless = {2, round};
  const struct sock_fprog program =
      strcmp(how, "most") == 0       ? (struct sock_fprog){sizeof most / sizeof *most, most}
      : strcmp(how, "no_usage") == 0 ? (struct sock_fprog){sizeof no_usage / sizeof *no_usage, no_usage}
      : strcmp(how, "no_poll") == 0  ? (struct sock_fprog){sizeof no_poll / sizeof *no_poll, no_poll}
                                     : (struct sock_fprog){sizeof few / sizeof *few, few};
  const int for_all = strcmp(how, "few_for_all") == 0;
  first_work(milliseconds(100));
  if (for_all && getchar() == EOF) return 3;
  free(malloc(100000));
  if (executes) {
    const struct sock_fprog limit = {sizeof no_timers / sizeof *no_timers, no_timers};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    printf("endless: %d\n", by_call ? (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &endless)
                                    : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &endless));
    fflush(stdout);
    if (by_call ? (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &limit)
                : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &limit))
      return 5;
    printf("system: %d\n", system("echo of a shell; env | grep PROF_FOLLOWED"));
    fflush(stdout);
    execl("/bin/sh", "sh", "-c", "echo of another; env echo of its child", (char *)NULL);
    return 6;
  }
  int result;
  if (strcmp(how, "strict") == 0) {
    result = by_call ? (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL)
                     : prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
  } else {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    const int flags = for_all ? SECCOMP_FILTER_FLAG_TSYNC : 0;
    result = by_call ? (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program)
                     : prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
  }
  const char text[] = "forbidden\n";
  if (result == 0 && write(1, text, sizeof text - 1) < 0) return 4;
  // The time is read without a system call.
  for (const uint64_t ends = wall_ns() + seconds(for_all ? 2 : 0); wall_ns() < ends;) later_work();
  later_work();
  for (int i = 0; i < 1000; ++i) {
    pthread_mutex_lock(&lock);
    free(malloc(1000));
    pthread_mutex_unlock(&lock);
  }
  if (strcmp(how, "most") == 0) {
    printf("reboot: %ld\n", syscall(SYS_reboot, 0, 0, 0, NULL));
    return 0;
  }
  if (strcmp(how, "strict") == 0) {
    // exit_group is forbidden.
    __asm__ volatile("syscall" : : "a"(SYS_exit), "D"(7) : "rcx", "r11", "memory");
  }
  if (strcmp(how, "few_returns") == 0) return 7;
  _exit(7);
}
