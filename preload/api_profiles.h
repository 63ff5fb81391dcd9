// The calls of prof.h that start, stop and write profiles. Normal code; here is what the process's own way needs of them.
#pragma once

#include <cstdint>

#include "core/report/ending.h"

namespace prof {

// begins(): called before the first CPU profile begins, so that it is written however the process ends. Normal code, at start.
void api_prepare(void (*begins)());

// Whether a CPU profile goes on, and where it goes to. Signal-safe.
enum class ApiRun : uint8_t { none, to_file, to_descriptor };
ApiRun api_run();

// Whether a thread is in one of the calls, and may have libprof's heap locked. Signal-safe.
bool api_is_called();

// At an end that passes the destructor, in a process beside (side_process.h): the CPU profile that goes on is written. Of an exec, which
// may fail: it goes on. False: it is not written.
bool api_write_run(Ending ending);
// That process was ended in the midst of it. Later calls do nothing. Signal-safe.
void api_give_up();

// At exit, before recording stops: a CPU profile that goes on is written. Later calls do nothing.
void api_end();

// In a child of fork: what goes on is the parent's. True: it was writing a profile at that moment.
bool api_forget();

}  // namespace prof
