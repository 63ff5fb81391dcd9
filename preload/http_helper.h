// PROF_HTTP in the program: a helper thread (helper_thread.h) that starts the server, a process of its own (core/serve/server.h), and does what that
// asks for. It sleeps in between, and nothing else of the server is in this process: no descriptor, no memory, no thread of the C
// library's.
//
// In a child it waits first: one that soon ends, or executes another program, never starts a server.
#pragma once

#include "core/report/config.h"
#include "core/report/output.h"

namespace prof {

// Takes over what the server is to be told. Normal code, once; again in a child of fork. False: nothing can be served (one line said).
bool http_prepare(const Config& config, const Output& output);

// The region is there, and recording has begun. Normal code.
void http_start();

// At exit: nothing more is switched on. Normal code.
void http_stop();

// For a moment in which the process is to have the program's threads only: the server ends, and another is started. False: there is none.
// Waits a moment, three seconds at most. Where none can be started there is one line. Normal code, by one thread at a time.
bool http_pause();
void http_resume();

// In a child of fork: the thread is the parent's.
void http_forget();

}  // namespace prof
