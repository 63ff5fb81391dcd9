// Calls that wait with a signal mask of their own: the real ones, with libprof's ticks kept out of the wait (preload/sigprof_view.h). What a
// program that blocks every signal lets in there is what it waits for, and ends the call.

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "preload/real_symbols.h"
#include "preload/sigprof_view.h"

#define EXPORTED __attribute__((visibility("default")))

extern "C" {

EXPORTED int sigsuspend(const sigset_t* mask) {
  const prof::MaskWithSigprof with(mask);
  return prof::real::sigsuspend()(with.mask());
}

// Of BSD (the mask), and of System V (the one signal that is let in). By names of their own: the header gives one the other's.
EXPORTED int prof_bsd_sigpause(int mask) __asm__("sigpause");
int prof_bsd_sigpause(int mask) {
  sigset_t set;
  sigemptyset(&set);
  const auto word = static_cast<uint32_t>(mask);
  __builtin_memcpy(&set, &word, sizeof(word));
  return sigsuspend(&set);
}

EXPORTED int prof_xpg_sigpause(int number) __asm__("__xpg_sigpause");
int prof_xpg_sigpause(int number) {
  sigset_t set;
  if (sigprocmask(SIG_BLOCK, nullptr, &set) != 0 || sigdelset(&set, number) != 0) return -1;
  return sigsuspend(&set);
}

EXPORTED int __sigpause(int signal_or_mask, int is_signal) {
  return is_signal != 0 ? prof_xpg_sigpause(signal_or_mask) : prof_bsd_sigpause(signal_or_mask);
}

EXPORTED int ppoll(struct pollfd* polled, nfds_t count, const struct timespec* timeout, const sigset_t* mask) {
  const prof::MaskWithSigprof with(mask);
  return prof::real::ppoll()(polled, count, timeout, with.mask());
}

EXPORTED int __ppoll_chk(struct pollfd* polled, nfds_t count, const struct timespec* timeout, const sigset_t* mask,
                         size_t bytes) {
  const prof::MaskWithSigprof with(mask);
  return prof::real::__ppoll_chk()(polled, count, timeout, with.mask(), bytes);
}

EXPORTED int pselect(int count, fd_set* read, fd_set* written, fd_set* excepted, const struct timespec* timeout,
                     const sigset_t* mask) {
  const prof::MaskWithSigprof with(mask);
  return prof::real::pselect()(count, read, written, excepted, timeout, with.mask());
}

EXPORTED int epoll_pwait(int epoll, struct epoll_event* events, int count, int timeout, const sigset_t* mask) {
  const prof::MaskWithSigprof with(mask);
  return prof::real::epoll_pwait()(epoll, events, count, timeout, with.mask());
}

EXPORTED int epoll_pwait2(int epoll, struct epoll_event* events, int count, const struct timespec* timeout,
                          const sigset_t* mask) {
  const prof::MaskWithSigprof with(mask);
  return prof::real::epoll_pwait2()(epoll, events, count, timeout, with.mask());
}

}  // extern "C"
