// The calling thread's own stack, interned. Signal-safe and lock-free.
//
// Works on the thread's stack where that is known to have room: the program's signal handlers may run in the middle of it, and they
// must find themselves on the stack that is theirs (a garbage collector scans it, another may need much of it). Where there is
// little room, or it is not known (a coroutine), on scratch memory, with every signal blocked.
#pragma once

#include "core/base/region.h"

namespace prof {

// The stack of who called libprof, at most `depth` frames. 0: it could not be kept, and the loss is counted.
// Where a stack ends early, it ends in a marker and that is counted too.
Ref own_stack(unsigned depth);

}  // namespace prof
