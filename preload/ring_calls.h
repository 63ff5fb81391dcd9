// liburing's functions that wait, where the program has the library: a thread is known to wait on rings before it does (ring_waits.h). Its
// inline ones (io_uring_wait_cqe) call __io_uring_get_cqe.
//
// They are not interposed by exporting their names: a program may ask whether they are there (a weak reference). See call_slots.h for what is
// not seen.
#pragma once

namespace prof {

// Normal code, once, in libprof's constructor.
void ring_calls_start();

// Whether the library was there then. One that is loaded later is called as it is. Signal-safe.
bool ring_calls_are_known();

}  // namespace prof
