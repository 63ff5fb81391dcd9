// A thread's way through libprof: created, begun, ended. Normal code.
#pragma once

#include <pthread.h>
#include <signal.h>

#include "core/record/thread_table.h"

namespace prof {

// Makes the thread-specific key whose destructor sees threads end. Once. False: there are no keys left.
bool threads_start();

// The main thread, or the one that came out of a fork (with what was known of its stack).
void register_calling_thread(uint64_t stack_low, uint64_t stack_high);
// The slot of the calling thread, null if it has none.
ThreadSlot* slot_of_calling_thread();

// Threads made are counted by the stack that makes them: before and after the real call, in the creator. Callable at any time; the
// settings in normal code.
void count_threads(unsigned stack_depth);           // 0: no longer
Ref thread_creation_begins(void* (*start)(void*));  // the bucket that it is counted in, 0: none
void thread_is_made(Ref creation);

// In the creator. creation: see above. Null: nothing is recorded, or there is no room; the thread is then created as it is.
ThreadSlot* thread_is_created(const pthread_attr_t* attributes, void* (*start)(void*), void* argument, Ref creation);
void thread_was_not_created(ThreadSlot* slot);
// Threads that are made without attributes have other ones from now on.
void default_stack_changed();

// The start routine that stands before the program's own; argument: the slot.
void* start_thread(void* slot);
int start_c11_thread(void* slot);

}  // namespace prof
