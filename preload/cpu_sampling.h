// CPU sampling of the whole process: what a tick counts, the threads that have clocks, on and off.
//
// The threads: registered by the start trampoline (interpose_thread.cc), and found by a scan of /proc/self/task at every
// switching on (those that exist already, and raw clone threads). Signal-safe where not said otherwise.
#pragma once

#include <signal.h>
#include <ucontext.h>

#include <cstdint>

#include "preload/thread_clock.h"

namespace prof {

struct CpuSettings {
  ClockSettings clock;
  int64_t delay_ns = 0;
  int64_t duration_ns = 0;  // 0: no end
  unsigned stack_depth = 128;
  bool is_clock_chosen = false;  // by the user: ticks come in calls, too
};

// Takes SIGPROF. Normal code, once (and again in a child of fork, where it only forgets what was on). False: it is not to be had.
bool cpu_sampling_prepare(const CpuSettings& settings);

// Begins a stretch: a clock for every thread. Its number.
uint32_t cpu_sampling_start();

// Ends the stretch and stops every clock. False: it was off already, or somebody else is at it.
bool cpu_sampling_stop();

// Ticks are counted, in a stretch or not, from the first of these calls to the second: for who subtracts (CpuBucket::total) and for
// the trace. Not in a signal handler. False: SIGPROF is not to be had, or somebody else is at the switch for long.
enum class CountingFor : unsigned { http = 1, api = 2, trace = 4, asked_trace = 8, all = 15 };
bool cpu_counting_start(CountingFor whom = CountingFor::http);
bool cpu_counting_stop(CountingFor whom = CountingFor::http);
// In a child of fork, and at exit: nobody counts any more.
void cpu_counting_forget();

// Whether threads have clocks now.
bool cpu_sampling_is_on();

// Called in the handler that finds PROF_CPU_DURATION over, after the stretch ended.
using StretchOver = void (*)(uint32_t stretch);
void cpu_sampling_on_stretch_over(StretchOver over);

// A thread of the program begins, in itself / ends. Normal code.
void cpu_sampling_thread_begins(ThreadSlot* slot);
void cpu_sampling_thread_ends(ThreadSlot* slot);

// Around an exec by the calling thread: its clock stops, and no tick is left pending, blocked or not. What is pending when a program
// is replaced comes to the new one, and kills it. Resumed where the exec failed.
void cpu_sampling_pause_thread(ThreadSlot* slot);
void cpu_sampling_resume_thread(ThreadSlot* slot);

// The calling thread, whose slot it is, is about to block SIGPROF by name: a signal of the program's to this very thread would merge with a tick
// that is pending (the kernel keeps one), and go as one. So none is: it has no clock, and is asked by no look.
void cpu_sampling_hold_thread(ThreadSlot* slot);
// It has unblocked it: what it has used meanwhile is counted where it does so.
void cpu_sampling_let_go_thread(ThreadSlot* slot);

// Threads of the process that are not sampled because nobody told us of them. Those whose clock the kernel refused are among the
// losses. Reads /proc/self/task.
unsigned count_unsampled_threads();

// Ticks and looks are to come in user mode only from here on, in every thread. The profile says so. Nothing is done where the clock was chosen.
// Signal-safe.
void cpu_sampling_in_user_mode_only();

// One more thread is known to call io_uring_enter, for the profile to say so. Signal-safe.
void cpu_sampling_has_ring_thread();
// The calling thread is about to wait on a ring: no tick or look of its own falls due in a call from here on (ring_waits.h).
void cpu_sampling_meets_ring();

// In SIGPROF's handler: a tick of a clock's, or a look (thread_look.h).
void cpu_sampling_meets_signal(const siginfo_t& info, ucontext_t* context);

// The program takes SIGPROF over: sampling stops and does not start again. False: it has already.
bool cpu_sampling_give_up();

}  // namespace prof
