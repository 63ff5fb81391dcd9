#include "core/report/loss_text.h"

#include <iterator>

namespace prof {

std::string_view loss_text(LossCause cause) {
  switch (cause) {
    case LossCause::region_full:
      return "libprof's memory was full";
    case LossCause::no_scratch:
      return "too many threads were sampled at the same moment";
    case LossCause::timer_refused:
      return "timers refused by the kernel (threads not sampled; see ulimit -i)";
    case LossCause::perf_refused:
      return "perf events refused by the kernel (threads sampled by a timer instead)";
    case LossCause::thread_untracked:
      return "threads not sampled for want of memory";
    case LossCause::stack_too_deep:
      return "stacks deeper than PROF_STACK_DEPTH";
    case LossCause::stack_no_unwind_info:
      return "stacks that end in code without unwind information";
    case LossCause::stack_unreadable:
      return "stacks that end in unreadable memory";
    case LossCause::stack_no_progress:
      return "stacks that end in a broken frame";
    case LossCause::free_unseen:
      return "sampled blocks whose free was not seen (freed by an allocator's own calls)";
    case LossCause::live_block_lost:
      return "sampled blocks counted as freed at once for want of memory";
    case LossCause::stack_unknown_register:
      return "stacks of sleeping threads that end where a register is not known";
    case LossCause::wait_of_unknown_thread:
      return "waits of threads that were made past libprof (not in this profile)";
    case LossCause::stack_no_frame_pointer:
      return "stacks that end in code without a frame pointer (PROF_UNWIND=fp)";
    case LossCause::sigprof_taken:
      return "SIGPROF is handled by the program itself (nothing is sampled by it from then on)";
    case LossCause::label_lost:
      return "labels not set for want of room (samples may lack them)";
    case LossCause::label_cut:
      return "values of labels cut to 256 bytes";
    case LossCause::trace_overwritten:
      return "events of the trace that later ones took the place of (PROF_TRACE_BUFFER)";
    case LossCause::trace_thread_dropped:
      return "ended threads whose place in the trace was given to others";
    case LossCause::trace_no_room:
      return "events of threads that there was no place for in the trace";
    case LossCause::child_unseen:
      return "children made past fork, by a bare clone or _Fork (what they did is in no profile)";
    case LossCause::tick_unplaced:
      return "threads that were never met outside the kernel (PROF_CPU_CLOCK=user, or they wait on rings)";
    case LossCause::sigprof_blocked:
      return "threads that blocked SIGPROF by name to the end (nobody knows where they were)";
    case LossCause::count:
      break;
  }
  return "unknown";
}

std::string_view loss_name(LossCause cause) {
  static constexpr std::string_view kNames[] = {"region_full",
                                                "no_scratch",
                                                "timer_refused",
                                                "perf_refused",
                                                "thread_untracked",
                                                "stack_too_deep",
                                                "stack_no_unwind_info",
                                                "stack_unreadable",
                                                "stack_no_progress",
                                                "free_unseen",
                                                "live_block_lost",
                                                "stack_unknown_register",
                                                "wait_of_unknown_thread",
                                                "stack_no_frame_pointer",
                                                "sigprof_taken",
                                                "label_lost",
                                                "label_cut",
                                                "trace_overwritten",
                                                "trace_thread_dropped",
                                                "trace_no_room",
                                                "child_unseen",
                                                "tick_unplaced",
                                                "sigprof_blocked"};
  static_assert(std::size(kNames) == kLossCauses);
  return cause < LossCause::count ? kNames[static_cast<unsigned>(cause)] : "unknown";
}

bool loss_concerns(LossCause cause, ProfileKind kind) {
  switch (cause) {
    case LossCause::timer_refused:
    case LossCause::perf_refused:
    case LossCause::tick_unplaced:
    case LossCause::sigprof_blocked:
      return kTickedKinds.has(kind);
    case LossCause::free_unseen:
    case LossCause::live_block_lost:
      return kHeapKinds.has(kind);
    case LossCause::wait_of_unknown_thread:
      return kind == ProfileKind::block || kind == ProfileKind::mutex || kind == ProfileKind::trace;
    case LossCause::sigprof_taken:
      return kTickedKinds.has(kind) || kind == ProfileKind::wall || kind == ProfileKind::stacks;
    case LossCause::trace_overwritten:
    case LossCause::trace_thread_dropped:
    case LossCause::trace_no_room:
      return kind == ProfileKind::trace;
    default:
      return true;
  }
}

bool is_truncation(LossCause cause) { return loss_name(cause).starts_with("stack_"); }

}  // namespace prof
