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
  prof::real::abort()();
  __builtin_unreachable();
}

}  // extern "C"
