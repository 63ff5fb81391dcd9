// Whether another thread of the program has come to where it waits: who is to be let go must be asleep first, however late
// a busy machine has started it.
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// By the kernel's account, of a thread of this process.
static inline int is_asleep(int tid) {
  char text[512];
  snprintf(text, sizeof text, "/proc/self/task/%d/stat", tid);
  const int file = open(text, O_RDONLY | O_CLOEXEC);
  const ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  if (length <= 0) abort();
  text[length] = 0;
  const char *name_ends = strrchr(text, ')');
  return name_ends != NULL && name_ends[1] == ' ' && name_ends[2] == 'S';
}

// tid: 0 until the thread has written it there, just before it goes to sleep.
static inline void until_asleep(const volatile int *tid) {
  const struct timespec pause = {0, 50000};
  while (*tid == 0 || !is_asleep(*tid)) nanosleep(&pause, NULL);
}
