// Shows stretches of work between signals: outside_one, SIGUSR1, inside_one, SIGUSR1, outside_two, SIGUSR1, inside_two,
// SIGUSR1, outside_three; and, if asked to, one SIGUSR1 more before inside_last, which then lasts till the end.
// Arguments: a folder, which is listed after the second signal and more work; `open` for the stretch at the end; `exec` to go on as another
// program after the fourth signal.
// build: -O2 -fomit-frame-pointer
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "victim.h"

BURNER(outside_one, 6364136223846793005u)
BURNER(inside_one, 2862933555777941757u)
BURNER(outside_two, 3202034522624059733u)
BURNER(inside_two, 3935559000370003845u)
BURNER(outside_three, 7664345821815920749u)
BURNER(inside_last, 4354685564936845355u)

static int profiles_in(const char *folder) {
  int count = 0;
  DIR *directory = opendir(folder);
  for (struct dirent *entry; directory && (entry = readdir(directory));)
    count += strstr(entry->d_name, ".prof") != NULL;
  if (directory) closedir(directory);
  return count;
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  uint64_t ns = milliseconds(400);
  outside_one(ns);
  raise(SIGUSR1);
  inside_one(ns);
  raise(SIGUSR1);
  outside_two(ns);
  // Another process may be the one that writes: it is given time, not a deadline that a busy machine would miss.
  int early = 0;
  for (int i = 0; i < 200 && (early = profiles_in(argv[1])) == 0; ++i) nanosleep(&(struct timespec){0, 50000000}, NULL);
  raise(SIGUSR1);
  inside_two(ns);
  raise(SIGUSR1);
  if (argc > 2 && strcmp(argv[2], "exec") == 0) return execl("/bin/true", "true", (char *)NULL);
  outside_three(ns);
  if (argc > 2 && strcmp(argv[2], "open") == 0) {
    raise(SIGUSR1);
    inside_last(ns);
  }
  printf("{\"while_running\": %d}\n", early);
}
