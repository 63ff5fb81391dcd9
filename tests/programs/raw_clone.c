// A thread made by the bare clone system call, alive when sampling is switched on by SIGUSR1, which it sends itself.
// build: -D_GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int g_done, g_stop;
static volatile unsigned long g_count;

__attribute__((noinline)) int raw_work(void* unused) {
  (void)unused;
  while (!g_stop) ++g_count;
  g_done = 1;
  for (;;) syscall(SYS_exit, 0);
}

int main(void) {
  char* stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  clone(raw_work, stack + 65536, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, NULL);
  usleep(50000);
  raise(SIGUSR1);
  usleep(1000000);
  raise(SIGUSR1);
  g_stop = 1;
  while (!g_done) usleep(1000);
  puts("done");
  return 0;
}
