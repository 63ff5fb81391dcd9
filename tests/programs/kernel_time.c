// CPU time in user mode, in system calls and in page faults, by turns of random length: each in a function of its own.
// Arguments: seconds of each. Answers what each used, in ns.
// build: -O2 -fomit-frame-pointer
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "victim.h"

BURNER(compute, 6364136223846793005u)

enum { kBytes = 1 << 20, kFewPages = 64, kPage = 4096 };

static int zeros;

NOT_INLINED uint64_t read_zeros(uint64_t ns) {
  static char buffer[kBytes];
  uint64_t start = thread_cpu_ns(), now = start;
  while (now - start < ns) {
    if (read(zeros, buffer, sizeof buffer) != sizeof buffer) exit(3);
    now = thread_cpu_ns();
  }
  return now - start;
}

NOT_INLINED uint64_t touch_pages(uint64_t ns) {
  uint64_t start = thread_cpu_ns(), now = start;
  while (now - start < ns) {
    char *pages = mmap(NULL, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) exit(3);
    madvise(pages, kBytes, MADV_NOHUGEPAGE);
    for (int i = 0; i < kBytes; i += kPage) {
      pages[i] = 1;
      if (i % (kFewPages * kPage) != 0) continue;
      now = thread_cpu_ns();
      if (now - start >= ns) break;
    }
    munmap(pages, kBytes);
  }
  return thread_cpu_ns() - start;
}

int main(int argc, char **argv) {
  uint64_t most = seconds(argument(argc, argv, 1, 1)), spent[3] = {0};
  uint64_t (*const parts[])(uint64_t) = {compute, read_zeros, touch_pages};
  uint64_t random = 1;
  zeros = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  while (spent[0] < most || spent[1] < most || spent[2] < most) {
    int i = (int)(next_number(&random) % 3);
    if (spent[i] < most) spent[i] += parts[i](milliseconds(100 + next_number(&random) % 4900) / 1000);
  }
  printf("{\"compute\": %llu, \"read_zeros\": %llu, \"touch_pages\": %llu}\n", (unsigned long long)spent[0],
         (unsigned long long)spent[1], (unsigned long long)spent[2]);
  return 0;
}
