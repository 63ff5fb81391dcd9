// The order of libprof's start and stop: when it is loaded, at fork, at exit. Normal code.

#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <optional>
#include <string_view>

#include "core/base/call_on_stack.h"
#include "core/base/clocks.h"
#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/record/byte_sampler.h"
#include "core/record/heap_buckets.h"
#include "core/record/live_blocks.h"
#include "core/record/record.h"
#include "core/record/scratch.h"
#include "core/report/config.h"
#include "core/report/output.h"
#include "core/unwind/unwind.h"
#include "preload/all_stacks.h"
#include "preload/allocator_operators.h"
#include "preload/api_profiles.h"
#include "preload/api_users.h"
#include "preload/asked_profiles.h"
#include "preload/deadly_signals.h"
#include "preload/direct_jumps.h"
#include "preload/endings.h"
#include "preload/exec_environment.h"
#include "preload/extended_allocators.h"
#include "preload/fork_flag.h"
#include "preload/heap_sampling.h"
#include "preload/http_helper.h"
#include "preload/last_profiles.h"
#include "preload/load_place.h"
#include "preload/lone_thread.h"
#include "preload/mapped_memory.h"
#include "preload/normal_mutex.h"
#include "preload/private_calls.h"
#include "preload/private_heap.h"
#include "preload/program_launch.h"
#include "preload/program_malloc.h"
#include "preload/real_symbols.h"
#include "preload/recording.h"
#include "preload/reporter.h"
#include "preload/ring_calls.h"
#include "preload/side_process.h"
#include "preload/sigprof_handler.h"
#include "preload/spool.h"
#include "preload/start_environment.h"
#include "preload/system_call_filter.h"
#include "preload/thread_clock.h"
#include "preload/thread_look.h"
#include "preload/threads.h"
#include "preload/unhooked_calls.h"
#include "preload/valgrind.h"
#include "preload/wait_sampling.h"
#include "preload/wall_sampling.h"

extern "C" int __cxa_atexit(void (*function)(void*), void* argument, void* object) noexcept;
extern "C" int __cxa_thread_atexit_impl(void (*function)(void*), void* argument, void* object);
extern "C" void* __dso_handle __attribute__((visibility("hidden")));
extern "C" void* __libc_stack_end;  // the loader's: where the main thread's stack began
// Bounds of libprof.so itself, by the linker.
extern "C" const char __ehdr_start[] __attribute__((visibility("hidden")));
extern "C" const char etext[] __attribute__((visibility("hidden")));

namespace prof {
namespace {

Config g_config;
Output g_output;
const char* g_foreign_malloc = nullptr;  // whose malloc the program calls, if its calls do not reach ours
thread_local sigset_t t_mask_before_fork;
thread_local constinit bool t_is_in_fork =
    false;                             // and its signals are blocked: recording may end meanwhile, by another thread
bool g_watches_ends = false;           // all of them, and not exit alone
std::atomic<bool> g_reporting{false};  // libprof's heap may be locked by the thread that does it

void main_stack(uint64_t* low, uint64_t* high) {
  constexpr uint64_t kUsual = 8 << 20;
  struct rlimit64 limit = {};
  raw_syscall(SYS_prlimit64, 0, RLIMIT_STACK, nullptr, &limit);
  *high = reinterpret_cast<uint64_t>(__libc_stack_end);
  *low = *high - std::min<uint64_t>(limit.rlim_cur, kUsual);
}

bool has_heap() { return g_config.kinds.meets(kHeapKinds); }

void write_at_quick_exit();

// Signals are blocked from before a fork until the child has let go of its parent's region. A big process's fork would be interrupted by
// every tick and begin anew; and a handler that forks, in the midst of this, would find libprof's heap locked, and leave what is kept
// here of the mask as its own. Handlers of the program's own fork handlers are not kept waiting: those run outside of ours.
void before_fork() {
  if (recording_has_ended()) return;
  sigset_t all;
  sigfillset(&all);
  sigset_t before;
  pthread_sigmask(SIG_BLOCK, &all, &before);
  t_mask_before_fork = before;
  t_is_in_fork = true;
}

void let_signals_in() {
  t_is_in_fork = false;
  pthread_sigmask(SIG_SETMASK, &t_mask_before_fork, nullptr);
}

void after_fork_in_parent() {
  if (!t_is_in_fork) return;
  let_signals_in();
  if (ends_after_fork()) end_at_once(Ending::immediate);
}

// False, as what has not been begun.
bool give_up_start() {
  LogLine(LogLevel::warn) << "no memory is left for a start (RLIMIT_AS or RLIMIT_DATA): nothing is recorded";
  recording_ends();
  return false;
}

// What goes on of the thread that forked.
struct ChildStart {
  uint64_t stack_low = 0, stack_high = 0;
  LabelId labels = 0;
  uint32_t inherits = 0;
  bool is_recorded = false;
};

void begin_in_child(void* argument) {
  auto& child = *static_cast<ChildStart*>(argument);
  sigprof_forked();
  http_forget();
  // Where the parent was writing a profile at that moment, or a process that shares its memory was, libprof's heap may be locked by who is not
  // here: nothing would come to unlock it, with every signal blocked.
  const bool was_in_api = api_forget();
  const bool may_allocate = !g_reporting.load() && !was_in_api && !last_profiles_hold_heap();
  views_forget();
  RegionHeader* const parent = recording_forget();
  reporter_forget();
  endings_forget();
  deadly_signals_forget();
  last_profiles_forget();
  asked_profiles_forget();
  forget_draws();
  try {
    if (g_config.follow && may_allocate) {
      output_for_child(&g_output);
      log_is_of_child();
      child.is_recorded = recording_start(g_config, child.stack_low, child.stack_high, g_foreign_malloc, parent);
    }
    region_unmap(parent);
    if (ThreadSlot* slot = slot_of_this_thread(); slot != nullptr) {
      slot->labels.store(child.labels);
      slot->inherits.store(child.inherits);
    }
    if (child.is_recorded && g_config.serves() && http_prepare(g_config, g_output)) http_start();
  } catch (const std::bad_alloc&) {
    child.is_recorded = give_up_start();
  }
}

void after_fork_in_child() {
  if (!t_is_in_fork) return;
  if (!recording_has_ended() && g_region != nullptr) {
    ChildStart child;
    if (const ThreadSlot* slot = slot_of_calling_thread(); slot != nullptr) {
      child.stack_low = slot->stack_low;
      child.stack_high = slot->stack_high;
      child.labels = slot->labels.load();
      child.inherits = slot->inherits.load();
    }
    // The thread's may be as small as a handler's that forks a debugger.
    constexpr unsigned kStackBytes = 128 * 1024;
    alignas(16) static unsigned char stack[kStackBytes];
    prof_call_on_stack(stack + kStackBytes, begin_in_child, &child);
    if (!child.is_recorded || !has_heap()) heap_sampling_stop();
  }
  let_signals_in();
}

void write_once(Ending ending);

void end_before_filter() {
  if (!is_recording()) return;
  LogLine(LogLevel::warn)
      << "the program forbids itself system calls (seccomp): recording ends here, and profiles are written now";
  write_once(Ending::by_exit);
  helpers_leave();  // the filter may be theirs too
  deadly_signals_leave();
  recording_ends();
  exec_environment_forbids();
}

Unwinder chosen_unwinder() {
  switch (g_config.unwind) {
    case UnwindChoice::libunwind:
      return Unwinder::libunwind;
    case UnwindChoice::frame_pointers:
      return Unwinder::frame_pointers;
    case UnwindChoice::tables:
      break;
  }
  return Unwinder::tables;
}

bool is_followed_here() {
  char file[4096];
  const ssize_t bytes = readlink("/proc/self/exe", file, sizeof(file));
  const auto* executed = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
  return is_followed(g_config, std::string_view(file, bytes < 0 ? 0 : static_cast<size_t>(bytes)),
                     executed == nullptr ? "" : executed);
}

std::optional<bool> is_child_by(const StartEnvironment& start) {
  if (start.lineage == Lineage::unknown) return std::nullopt;
  return start.lineage == Lineage::child;
}

void watch_ends() {
  endings_start(g_config.exit_timeout_ns, {write_last, write_amid, read_before_exec, take_back_before_exec});
  g_watches_ends = true;
}

void watch_ends_late() {
  watch_ends();
  deadly_signals_start_late();
}

// False: nothing is recorded in this process.
bool begin(char** environment_of_main) {
  if (reporter_is_this_process() || getauxval(AT_SECURE) != 0) return false;
  const StartEnvironment& start = environment_take(environment_of_main);
  if (start.lineage == Lineage::forbidden) {
    exec_environment_forbids();
    return false;
  }
  if (!private_heap_has_room()) {
    log_start(LogLevel::warn);
    if (start.count != 0) {
      LogLine(start.lineage == Lineage::child ? LogLevel::info : LogLevel::warn)
          << "too little memory may be had (RLIMIT_AS or RLIMIT_DATA): nothing is recorded";
    }
    return false;
  }
  g_config = config_from_environment(start.settings, start.lineage == Lineage::child);
  if (!g_config.api_is_set) g_config.api = program_uses_api();
  if (!g_config.is_needed()) return false;
  if (has_namespace_of_its_own()) {
    LogLine(LogLevel::warn) << "loaded into a namespace of its own (dlmopen): nothing is recorded";
    return false;
  }
  if (const char* other = file_of_libprof_before(); other != nullptr) {
    LogLine(start.lineage == Lineage::child ? LogLevel::info : LogLevel::warn)
        << "this process has a second libprof.so, before this one: '" << other << "'; this one records nothing";
    return false;
  }
  if (stands_behind_c_library()) {
    LogLine(LogLevel::warn) << "loaded by dlopen: allocations, waits and threads that begin from now on are not seen "
                               "(preload it, or link it)";
  }
  output_prepare(g_config, is_child_by(start), &g_output);
  if (g_output.is_child && !g_config.follow) return false;
  launch_prepare();
  side_process_prepare();
  const char* const library = launch_path();
  exec_environment_start(start.settings, start.count, library, g_output.is_child, g_config.follow);
  if (!g_config.follow && library != nullptr) environment_hide(environment_of_main, library);
  if (g_output.is_child && !is_followed_here()) return false;
  g_config.kinds = g_output.kinds();
  if (g_config.serves() && !http_prepare(g_config, g_output)) g_config.http = {};
  if (!g_config.is_needed()) return false;
  // Its children would say the same again.
  if (g_output.is_child) {
    log_is_of_child();
  } else {
    output_check_folders(g_config, g_output);
  }
  if (is_under_valgrind()) unwind_read_by_copies();
  unwind_start({reinterpret_cast<uint64_t>(__ehdr_start), reinterpret_cast<uint64_t>(etext)}, chosen_unwinder());
  spool_prepare(g_config, g_output);
  last_profiles_prepare(g_config, g_output);
  asked_profiles_start(g_config, g_output);
  if (may_record(g_config, kHeapKinds)) {
    g_foreign_malloc = file_of_foreign_malloc();
    if (g_foreign_malloc == nullptr) {
      extended_allocators_start();
      allocator_operators_start();
    }
    if (g_config.heap_mmap) mapped_memory_start();
  }
  if (may_record(g_config, kWaitKinds)) normal_mutex_start();
  if (may_record(g_config, kTickedKinds) || may_record(g_config, KindSet(ProfileKind::stacks, ProfileKind::wall)))
    ring_calls_start();
  system_call_filter_start(end_before_filter, deadly_signals_leave);
  pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  uint64_t low;
  uint64_t high;
  main_stack(&low, &high);
  // Here and never later: of a process with one thread, in no handler, nobody can stand amid the jumps.
  if (has_heap()) call_real_allocator_directly();
  if (!recording_start(g_config, low, high, g_foreign_malloc, nullptr)) return false;
  if (!g_config.kinds.empty()) {
    watch_ends();
    deadly_signals_start();
  } else {
    api_prepare(watch_ends_late);
  }
  if (!g_config.kinds.empty() || g_config.api) at_quick_exit(write_at_quick_exit);
  if (g_config.serves()) http_start();
  return true;
}

bool begin_if_possible(char** environment_of_main) {
  try {
    return begin(environment_of_main);
  } catch (const std::bad_alloc&) {
    return give_up_start();
  }
}

__attribute__((constructor)) void start(int, char**, char** environment_of_main) {
  private_calls_start();
  private_heap_start();
  real::find_all();
  const bool is_recorded = begin_if_possible(environment_of_main);
  const bool heap = is_recorded && has_heap();
  const bool waits = is_recorded && g_config.kinds.meets(kWaitKinds);
  if (!heap) heap_sampling_stop();
  if ((heap && waits) || getauxval(AT_SECURE) != 0 || reporter_is_this_process()) return;
  unhook_calls(/*allocation=*/!heap, /*waits=*/!waits, /*may_return=*/is_recorded && g_config.is_asked_later());
}

void write_once(Ending ending) {
  if (!is_recording() || g_reporting.exchange(true)) return;
  if (!g_watches_ends || ending_claim()) {
    write_at_exit(ending);
    ending_is_written();
    die_of_deferred();
  }
  g_reporting.store(false);
}

// Where another thread is at it, in _exit or hit by a signal, the process ends as that one would have it.
void write_or_wait(Ending ending) {
  write_once(ending);
  end_at_once(ending);
}

// Another thread that calls exit(), or returns from main, meanwhile finds no handler left but this one, and would end the process. One that
// comes after it finds the next.
void await_exit_of_other(void*) {
  if (!ending_is_of_other_thread()) return;
  __cxa_atexit(await_exit_of_other, nullptr, nullptr);
  end_at_once(Ending::by_exit);
}

void await_quick_exit_of_other() {
  if (!ending_is_of_other_thread()) return;
  at_quick_exit(await_quick_exit_of_other);
  end_at_once(Ending::quick);
}

void write_at_quick_exit() {
  if (is_recording()) at_quick_exit(await_quick_exit_of_other);
  write_or_wait(Ending::quick);
}

// Of another thread than the main one it may be that thread's end.
void write_without_destructor(void*) {
  if (is_recording() && raw_gettid() == raw_getpid()) write_or_wait(Ending::by_exit);
}

__attribute__((destructor)) void stop() {
  // A child by vfork that calls exit() runs what its parent is to run, and uses it up: none of that is left for the parent's end, this
  // destructor included. What is thread-local there had its turn before: so there is a last one, in the parent.
  const bool is_used_up =
      !recording_has_ended() && g_region != nullptr && g_region->pid != raw_getpid() && fork_flag_holds();
  if (is_used_up) __cxa_thread_atexit_impl(write_without_destructor, nullptr, &__dso_handle);
  if (is_recording()) __cxa_atexit(await_exit_of_other, nullptr, nullptr);
  write_or_wait(Ending::by_exit);
}

}  // namespace
}  // namespace prof
