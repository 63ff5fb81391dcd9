// Shows calls that never return as a function's last instruction, so that the return address lies in the next function:
// by longjmp, by throw, and by abort() with a handler that jumps out.
// Argument: rounds of 3 x 10 ms.
// build: -O2 -fomit-frame-pointer
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "victim.h"

BURNER(burn_before_jump, 6364136223846793005u)
BURNER(burn_before_throw, 2862933555777941757u)
BURNER(burn_in_abort, 3202034522624059733u)

static sigjmp_buf jump_target;

PLAIN_NAME [[noreturn]] NOT_INLINED void jumps_out() {
  burn_before_jump(milliseconds(10));
  siglongjmp(jump_target, 1);
}
PLAIN_NAME NOT_INLINED void ends_in_jump() { jumps_out(); }
// Never called: what a return address that is taken for an instruction would be attributed to.
PLAIN_NAME NOT_INLINED int after_the_jump(int x) { return x * 3; }

PLAIN_NAME [[noreturn]] NOT_INLINED void throws_out() {
  burn_before_throw(milliseconds(10));
  throw 1;
}
PLAIN_NAME NOT_INLINED void ends_in_throw() { throws_out(); }
PLAIN_NAME NOT_INLINED int after_the_throw(int x) { return x * 5; }

PLAIN_NAME NOT_INLINED void ends_in_abort() { abort(); }
PLAIN_NAME NOT_INLINED int after_the_abort(int x) { return x * 7; }

static void on_abort(int) {
  burn_in_abort(milliseconds(10));
  siglongjmp(jump_target, 1);
}

int main(int argc, char **argv) {
  struct sigaction action = {};
  action.sa_handler = on_abort;
  sigaction(SIGABRT, &action, nullptr);
  static int rounds, jumps, catches;  // static: what is local may be lost by a jump
  for (rounds = int(argument(argc, argv, 1, 40)); rounds > 0; --rounds) {
    if (sigsetjmp(jump_target, 1) == 0) {
      ends_in_jump();
    } else {
      ++jumps;
    }
    try {
      ends_in_throw();
    } catch (int) {
      ++catches;
    }
    if (sigsetjmp(jump_target, 1) == 0) {
      ends_in_abort();
    } else {
      ++jumps;
    }
  }
  printf("{\"jumps\": %d, \"catches\": %d}\n", jumps, catches);
}
