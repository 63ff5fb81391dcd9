// What the program sees of SIGPROF while libprof uses it. Signal-safe, as the calls are that it stands for.
//
// To ignore it or to reset it to its default (daemons reset every signal) is remembered and shown, and changes nothing: a late
// tick must not kill. To handle it is the program's right: sampling ends, once for all, with one warning.
#pragma once

#include <signal.h>

#include "preload/real_symbols.h"

namespace prof {

// Whether libprof's handler is in place (in this process, not in one that shares its memory for a moment: vfork).
bool sigprof_is_ours();

// sigaction(SIGPROF, action, before), as the program sees it.
int set_sigprof_view(const struct sigaction* action, struct sigaction* before);

// A set to wait for, without SIGPROF: a tick of libprof's is not what the program waits for.
class SetWithoutSigprof {
 public:
  explicit SetWithoutSigprof(const sigset_t* set) : set_(set) {
    if (set == nullptr || sigismember(set, SIGPROF) != 1 || !sigprof_is_ours()) return;
    copy_ = *set;
    sigdelset(&copy_, SIGPROF);
    set_ = &copy_;
  }
  const sigset_t* set() const { return set_; }

 private:
  const sigset_t* set_;
  sigset_t copy_;
};

}  // namespace prof
