// Wall-clock sampling: one thread after another is looked at (thread_look.h), whether it runs or waits, by a helper thread that
// lives as long as the sampling does.
#pragma once

#include <cstdint>

namespace prof {

// Begins. The region has its tables, and SIGPROF is taken. Normal code; again in a child of fork, after wall_sampling_forget(). False:
// no thread to be had (one line said).
bool wall_sampling_start(int hz, unsigned stack_depth);
// Ends: what is still to be answered is counted, nothing after that. Waits 100 ms at most. Normal code.
void wall_sampling_stop();
// For a moment in which the process is to have the program's threads only. False: the sampler is not at work.
// Where it cannot be started again there is one line, and no wall samples from then on. Normal code, by one thread at a time.
bool wall_sampling_pause();
void wall_sampling_resume();
// In a child of fork: the thread is the parent's.
void wall_sampling_forget();

}  // namespace prof
