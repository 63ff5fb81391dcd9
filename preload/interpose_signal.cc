// Signal calls of the program, as far as they concern SIGPROF and PROF_SIGNAL while those are libprof's: preload/sigprof_view.h
// and snapshot_signal.h say what the program is shown. Everything else goes straight to the real function.

#include <signal.h>

#include "preload/real_symbols.h"
#include "preload/sigprof_view.h"
#include "preload/snapshot_signal.h"

#define EXPORTED __attribute__((visibility("default")))

extern "C" {

EXPORTED int sigaction(int number, const struct sigaction* action, struct sigaction* before) {
  if (number == SIGPROF && prof::sigprof_is_ours()) return prof::set_sigprof_view(action, before);
  if (prof::is_snapshot_signal(number)) return prof::set_snapshot_signal_view(action, before);
  return prof::real::sigaction()(number, action, before);
}

EXPORTED sighandler_t signal(int number, sighandler_t handler) {
  const bool is_sigprof = number == SIGPROF && prof::sigprof_is_ours();
  if (!is_sigprof && !prof::is_snapshot_signal(number)) return prof::real::signal()(number, handler);
  // What glibc's signal() does (BSD semantics).
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  const auto set_view = is_sigprof ? prof::set_sigprof_view : prof::set_snapshot_signal_view;
  return set_view(&action, &before) == 0 ? before.sa_handler : SIG_ERR;
}

EXPORTED int sigwait(const sigset_t* set, int* number) {
  prof::program_waits_for(set);
  const prof::SetWithoutSigprof without(set);
  return prof::real::sigwait()(without.set(), number);
}

EXPORTED int sigwaitinfo(const sigset_t* set, siginfo_t* info) {
  prof::program_waits_for(set);
  const prof::SetWithoutSigprof without(set);
  return prof::real::sigwaitinfo()(without.set(), info);
}

EXPORTED int sigtimedwait(const sigset_t* set, siginfo_t* info, const struct timespec* timeout) {
  prof::program_waits_for(set);
  const prof::SetWithoutSigprof without(set);
  return prof::real::sigtimedwait()(without.set(), info, timeout);
}

EXPORTED int signalfd(int fd, const sigset_t* set, int flags) {
  prof::program_waits_for(set);
  const prof::SetWithoutSigprof without(set);
  return prof::real::signalfd()(fd, without.set(), flags);
}

EXPORTED int sigpending(sigset_t* set) {
  const int result = prof::real::sigpending()(set);
  if (result == 0 && prof::sigprof_is_ours()) sigdelset(set, SIGPROF);
  return result;
}

}  // extern "C"
