// Ends that libprof's destructor does not see: the profiles are written first. exit() and quick_exit() run handlers of ours (lifecycle.cc).
// Signal-safe, as these are.

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "preload/deadly_signals.h"
#include "preload/endings.h"
#include "preload/real_symbols.h"
#include "preload/recording.h"

#define EXPORTED __attribute__((visibility("default")))

extern "C" {

EXPORTED void _exit(int status) {
  prof::end_at_once(prof::Ending::immediate);
  prof::real::_exit()(status);
  __builtin_unreachable();
}

EXPORTED void _Exit(int status) noexcept {
  prof::end_at_once(prof::Ending::immediate);
  prof::real::_Exit()(status);
  __builtin_unreachable();
}

// The C library's raises SIGABRT; where the program's own handler returns, or it ignores the signal, it resets it past our sight and
// raises it again. So the program's handler has its turn here, and the C library finds the default, which is ours.
EXPORTED void abort() noexcept {
  if (prof::is_recording() && !prof::deadly_signal_is_ours(SIGABRT)) {
    sigset_t abort_only;
    sigemptyset(&abort_only);
    sigaddset(&abort_only, SIGABRT);
    pthread_sigmask(SIG_UNBLOCK, &abort_only, nullptr);
    raise(SIGABRT);
    prof::deadly_signal_take(SIGABRT);
  }
  // Here, and not in our handler: the program may be in one of its own, on an alternate stack without room for a second frame of the kernel's
  // (Rust's for a stack that has overflowed has 8 KB).
  if (prof::is_recording() && prof::deadly_signal_is_ours(SIGABRT)) {
    prof::end_at_once(prof::ending_by_signal(SIGABRT));
    prof::deadly_signal_leave(SIGABRT);
  }
  prof::real::abort()();
  __builtin_unreachable();
}

// The C library's ends the parent past our sight, once the child is made: its fork handlers run, and ours writes then.
EXPORTED int daemon(int keeps_directory, int keeps_streams) noexcept {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  prof::ending_after_fork(true);
  const int result = prof::real::daemon()(keeps_directory, keeps_streams);
  prof::ending_after_fork(false);
  // There was no child, and the process lives on; fork handlers run all the same.
  if (result != 0) pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  return result;
}

}  // extern "C"
