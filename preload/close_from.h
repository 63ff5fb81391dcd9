// Lets go of descriptors that a process or thread of libprof's own has copies of. Signal-safe.
#pragma once

namespace prof {

// Closes `first` and all above, in the calling thread's table.
void close_from(unsigned first);

}  // namespace prof
