// A child by fork tries to execute something, does child_work() for 0.3 s when that has failed, and is killed. Arguments: "large", for an
// argument that is too large; or a file to be executed. Behind it: "at_once", and the work is done before, and the kill comes right after;
// "unreadable", and no other process may read the child, which works for 50 ms before.
// build: -O2 -fomit-frame-pointer
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "victim.h"

BURNER(child_work, 6364136223846793005u)

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  const pid_t child = fork();
  if (child == 0) {
    const int is_large = strcmp(argv[1], "large") == 0;
    static char text[256 * 1024];
    if (argc > 2 && strcmp(argv[2], "unreadable") == 0) {
      prctl(PR_SET_DUMPABLE, 0);
      child_work(milliseconds(50));
    }
    memset(text, 'x', sizeof text - 1);
    const int at_once = argc > 2 && strcmp(argv[2], "at_once") == 0;
    if (at_once) child_work(milliseconds(300));
    for (int i = 0; i < 2; ++i) execl(is_large ? "/bin/true" : argv[1], "true", is_large ? text : "", (char *)NULL);
    if (!at_once) child_work(milliseconds(300));
    raise(SIGKILL);
  }
  int status;
  waitpid(child, &status, 0);
  return status == SIGKILL ? 7 : 1;
}
