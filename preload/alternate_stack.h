// Where libprof's handlers run. Signal-safe.
#pragma once

#include <signal.h>

namespace prof {

// SA_ONSTACK: on the alternate stack where the program has one, since it has one because its stacks are small. 0: one was set that cannot
// hold the kernel's frame (as MINSIGSTKSZ may not, where processors have wide vectors), and the kernel would end the program. What the
// program never gets a signal on works, so ours go to the ordinary stacks from then on.
int on_alternate_stack();

// The program has set one of so many bytes, without a fault. False: it is too small, and the handlers are to be set again.
bool alternate_stack_is_usable(size_t bytes);

}  // namespace prof
