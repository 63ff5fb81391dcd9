// Every thread's stack at one moment, for PROF_STACKS: put into the thread table as views (core/record/thread_table.h).
#pragma once

#include <cstdint>

namespace prof {

// Signal-safe; in a helper thread (helper_thread.h). number: of the snapshot. Takes 100 ms at most; a thread that was not reached by then
// is in it without a stack. Where two helpers come at once, the later one waits for the other. False: for too long.
bool view_all_threads(uint32_t number, unsigned stack_depth);
// In a child of fork.
void views_forget();

}  // namespace prof
