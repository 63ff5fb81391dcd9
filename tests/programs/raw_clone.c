// Shows a thread made by the raw clone system call, which no thread library knows of. It burns untracked_work() while
// the main thread burns main_work(); after half of it the main thread raises SIGUSR1, for whoever listens.
// Arguments: CPU seconds of each; 1: the program ends without the thread, which has ten times as much to do.
// build: -O2 -fomit-frame-pointer -fno-stack-protector
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "victim.h"

enum { kStack = 256 << 10 };

BURNER(untracked_work, 6364136223846793005u)
BURNER(main_work, 2862933555777941757u)

static uint64_t wanted_ns;
static int is_left;
static volatile uint64_t untracked_ns;
static int alive = 1;

static int raw_thread(void *unused) {
  (void)unused;
  untracked_ns = untracked_work(is_left ? 10 * wanted_ns : wanted_ns);
  return 0;
}

int main(int argc, char **argv) {
  wanted_ns = seconds(argument(argc, argv, 1, 1));
  is_left = argument(argc, argv, 2, 0) != 0;
  struct sigaction before;
  sigaction(SIGUSR1, NULL, &before);
  if (before.sa_handler == SIG_DFL) signal(SIGUSR1, SIG_IGN);
  char *stack = mmap(NULL, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
  const int thread = clone(raw_thread, stack + kStack, flags, NULL, NULL, NULL, &alive);
  if (thread == -1) return 2;
  uint64_t first = main_work(wanted_ns / 2);
  raise(SIGUSR1);
  uint64_t second = main_work(wanted_ns / 2);
  int seen;
  while (!is_left && (seen = __atomic_load_n(&alive, __ATOMIC_ACQUIRE)) != 0)
    syscall(SYS_futex, &alive, FUTEX_WAIT, seen, NULL);
  // The kernel lists it for a moment longer.
  while (!is_left && syscall(SYS_tgkill, getpid(), thread, 0) == 0) sched_yield();
  printf("{\"untracked_work\": %llu, \"main_work\": %llu}\n", (unsigned long long)untracked_ns,
         (unsigned long long)(first + second));
}
