// The calls of prof.h that start, stop and write profiles. Normal code; here is what the process's own way needs of them.
#pragma once

namespace prof {

// At exit, before recording stops: a CPU profile that goes on is written. Later calls do nothing.
void api_end();

// In a child of fork: what goes on is the parent's. True: it was writing a profile at that moment.
bool api_forget();

}  // namespace prof
