// Threads that were made with every signal blocked: libprof has unblocked SIGPROF in them, or their work would go unseen (liblzma, GLib and
// systemd block all around pthread_create so that their workers inherit it). To the program such a thread blocks it: its mask shows it, what it
// executes and makes begins with it blocked, and a SIGPROF of the program's that comes to it is sent on to who waits for it. Until the program
// itself unblocks it there. Signal-safe.
#pragma once

#include <signal.h>

#include <cstdint>

namespace prof {

// In the thread that begins, with its mask, before the program's own code; is_made_so: its maker is such a thread, and has SIGPROF unblocked.
void unblock_thread(uint64_t mask, bool is_made_so);
// At its end, while it still can be told whose signals come to it.
void block_thread_again();

// Whether the calling thread is one, also of a child of fork or vfork that it has made.
bool is_unblocked_thread();
// Whether there ever was one.
bool sigprof_was_unblocked();

// A SIGPROF of the program's, sent to the process or this thread, which has come to the calling thread: where this is such a one the signal is sent
// again, for who waits for it, and blocked here when the handler returns. False: it is none.
bool keep_for_who_waits(siginfo_t* info, void* context);

// Around a change of such a thread's mask by the program: what is really set in the place of `*set`, and what the program is to see.
class MaskOfUnblocked {
 public:
  MaskOfUnblocked(int how, const sigset_t** set);
  void is_changed(sigset_t* before);

 private:
  sigset_t changed_;
  bool ends_ = false;
};

}  // namespace prof
