#include "preload/thread_look.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include <charconv>
#include <cstring>

#include "core/base/call_on_stack.h"
#include "core/base/clocks.h"
#include "core/base/raw_syscall.h"
#include "core/record/loss_counters.h"
#include "core/record/scratch.h"
#include "core/record/stack_table.h"
#include "core/record/thread_names.h"
#include "core/record/unloaded_modules.h"
#include "preload/sigprof_handler.h"

namespace prof {
namespace {

// In the low half of a timer's value, above the slot's reference: this is a look, and no tick.
constexpr uint64_t kLookFlag = uint64_t{1} << 31;
constexpr unsigned kLookerShift = 30;  // and for whom

constexpr const char* kWhereItSleeps = "syscall";

unsigned g_depth = 0;
bool g_in_user_mode = false;

// Whose descriptor it is, and of what; both 0: none is kept.
std::atomic<int> g_keeper{0};
int g_kept = -1;

// A process that gave up its rights may not open this of its own threads any more. What was opened before is read as ever.
long read_kept(int tid, char* to, unsigned bytes) {
  if (g_keeper.load(std::memory_order_acquire) != raw_gettid() || tid != raw_getpid()) return -EACCES;
  return raw_syscall(SYS_pread64, g_kept, to, bytes - 1, 0);
}

// A small file of a thread's in /proc. Answers its length; negative: it is gone.
long read_task_file(int tid, const char* file, char* to, unsigned bytes) {
  char path[64] = "/proc/self/task/";
  char* end = std::to_chars(path + 16, path + 30, tid).ptr;
  *end++ = '/';
  strcpy(end, file);
  const long fd = raw_syscall(SYS_open, path, O_RDONLY | O_CLOEXEC);
  const bool is_kept = fd == -EACCES && strcmp(file, kWhereItSleeps) == 0;
  if (fd < 0 && !is_kept) return fd;
  const long length = is_kept ? read_kept(tid, to, bytes) : raw_syscall(SYS_read, fd, to, bytes - 1);
  if (!is_kept) raw_syscall(SYS_close, fd);
  if (length >= 0) to[length] = '\0';
  return length;
}

struct InKernel {
  bool sleeps = false;
  long call = -1;  // the system call's number; -1: it sleeps otherwise (a page that is read in)
  SleepingAt at = {};
};

// "running", or "-1 SP PC", or "NUMBER ARGUMENT… SP PC", in hexadecimal but for the number.
InKernel in_kernel_of(const char* text) {
  InKernel result;
  if (text[0] != '-' && (text[0] < '0' || text[0] > '9')) return result;
  const char* const end = text + strlen(text);
  const char* at = std::from_chars(text, end, result.call).ptr;
  uint64_t last[2] = {0, 0};
  while (at < end && *at == ' ') {
    at += at + 2 < end && at[1] == '0' && at[2] == 'x' ? 3 : 1;
    last[0] = last[1];
    at = std::from_chars(at, end, last[1], 16).ptr;
  }
  result.at = {last[1], last[0]};
  result.sleeps = result.at.pc >= kFirstCodeAddress && result.at.sp >= kFirstCodeAddress;
  return result;
}

Ref intern(uint64_t* frames, const CaptureResult& result, uint32_t generation) {
  const Ref stack = intern_stack(frames, end_stack(frames, result.frames, result.end), generation);
  if (stack == 0) count_loss(LossCause::region_full);
  return stack;
}

// A note that stayed the same while it was read, of a thread that sleeps at sp (0: that runs). One whose frame has been left (by a jump
// out of a handler) lies below: it is of the past.
bool take_note(const ThreadSlot& slot, uint64_t sp, ThreadView* seen) {
  const uint32_t used = slot.waits.load(std::memory_order_acquire);
  if (used == 0 || used > kWaitNotes) return false;
  const WaitNote& note = slot.notes[used - 1];
  const WaitKind kind = note.kind.load(std::memory_order_acquire);
  const int64_t since = note.since_ns;
  const Ref stack = note.stack;
  const uint64_t frame = note.frame;
  std::atomic_thread_fence(std::memory_order_acquire);
  const bool same = note.kind.load(std::memory_order_relaxed) == kind && note.since_ns == since &&
                    slot.waits.load(std::memory_order_relaxed) == used;
  if (!same || kind == WaitKind::none || stack == 0) return false;
  // Its call lies at the depth of the note's own frame or deeper, give or take what both use.
  constexpr uint64_t kSlack = 512;
  const bool is_of_now = sp != 0 ? sp < frame + kSlack : kind == WaitKind::spin_lock;
  if (!is_of_now) return false;
  seen->stack = stack;
  seen->state = static_cast<uint32_t>(kind);
  seen->waited_ns = clock_ns(CLOCK_MONOTONIC) - since;
  return true;
}

bool is_gone(long error) { return error == 0 || error == -ENOENT || error == -ESRCH; }

// A signal of number 0 is not sent, only tried.
bool has_ended(int tid) { return raw_syscall(SYS_tgkill, raw_syscall(SYS_getpid), tid, 0) == -ESRCH; }

// Where it sleeps, if it still does after its stack was walked.
Looked look_from_outside(int tid, const ThreadSlot* slot, unsigned depth, LookRoom* room, ThreadView* seen) {
  constexpr int kTries = 3;
  char before[256];
  char after[256];
  for (int i = 0; i < kTries; ++i) {
    const long length = read_task_file(tid, kWhereItSleeps, before, sizeof(before));
    if (is_gone(length) || strncmp(before, "-1 0x0 0x0", 10) == 0)
      return Looked::gone;  // or a zombie: the main thread, ended
    // A thread that sleeps keeps them; one that runs says them with its answer, and if it gives none these have to do.
    seen->labels = slot == nullptr ? 0 : slot->labels.load(std::memory_order_relaxed);
    // Not permitted (a process that is not dumpable), or there is no such file: as one that runs.
    const InKernel in_kernel = length < 0 ? InKernel() : in_kernel_of(before);
    if (!in_kernel.sleeps) return slot != nullptr && take_note(*slot, 0, seen) ? Looked::seen : Looked::asked;
    if (slot != nullptr && in_kernel.call == SYS_futex && take_note(*slot, in_kernel.at.sp, seen)) return Looked::seen;
    StackBounds bounds;
    if (slot != nullptr) bounds = {slot->stack_low, slot->stack_high};
    const uint32_t generation = module_generation();
    const CaptureResult result = capture(in_kernel.at, bounds, &room->copy, room->frames, depth);
    if (is_gone(read_task_file(tid, kWhereItSleeps, after, sizeof(after)))) return Looked::gone;
    if (strcmp(before, after) != 0) continue;
    seen->stack = intern(room->frames, result, generation);
    seen->state = in_kernel.call < 0 ? kStateAsleep : kStateCall + static_cast<uint32_t>(in_kernel.call);
    seen->waited_ns = 0;
    return Looked::seen;
  }
  return Looked::asked;
}

ThreadLook* look_of(ThreadSlot* slot, const LookRoom& room) { return &slot->looks[room.looker]; }

// By the looker, or by the thread that gives SIGPROF up: one of them deletes it.
void stop_timer(ThreadLook* look) {
  const uint32_t timer = look->timer.exchange(0, std::memory_order_acq_rel);
  if (timer != 0) raw_syscall(SYS_timer_delete, static_cast<int>(timer - 1));
}

bool is_asked_in_user_mode(const ThreadSlot& slot) {
  return g_in_user_mode || slot.uses_rings.load(std::memory_order_seq_cst) != 0;
}

bool arm_timer(int tid, const ThreadSlot& slot, ThreadLook* look, const LookRoom& room, bool in_user_mode) {
  struct sigevent event = {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = SIGPROF;
  event.sigev_value.sival_ptr =
      reinterpret_cast<void*>(signal_value_of(slot) | kLookFlag | uint64_t{room.looker} << kLookerShift);
  event._sigev_un._tid = tid;
  int timer = -1;
  const clockid_t clock = in_user_mode ? thread_user_clock(tid) : thread_cpu_clock(tid);
  if (raw_syscall(SYS_timer_create, clock, &event, &timer) < 0) return false;
  look->timer.store(static_cast<uint32_t>(timer) + 1, std::memory_order_seq_cst);
  const struct itimerspec at_once = {{0, 0}, {0, 1}};
  raw_syscall(SYS_timer_settime, timer, 0, &at_once, nullptr);
  return true;
}

bool ask(int tid, ThreadSlot* slot, const LookRoom& room) {
  ThreadLook* look = look_of(slot, room);
  look->asked.fetch_add(1, std::memory_order_release);
  // Who took looks back, or gave up, and passed this slot before, has not stopped the timer.
  while (sigprof_is_used() && slot->held.load(std::memory_order_seq_cst) == 0) {
    const bool in_user_mode = is_asked_in_user_mode(*slot);
    if (!arm_timer(tid, *slot, look, room, in_user_mode)) return false;
    if (sigprof_is_used() && slot->held.load(std::memory_order_seq_cst) == 0 &&
        in_user_mode == is_asked_in_user_mode(*slot))
      return true;
    stop_timer(look);
  }
  return false;
}

struct Answer {
  const ThreadSlot* slot;
  ThreadLook* look;
  const ucontext_t* context;
  Scratch* scratch;
};

// On the scratch stack.
void walk_own(void* argument) {
  const auto& answer = *static_cast<const Answer*>(argument);
  const uint32_t generation = module_generation();
  const StackBounds bounds = {answer.slot->stack_low, answer.slot->stack_high};
  const CaptureResult result = capture(*answer.context, bounds, answer.scratch->frames, g_depth);
  answer.look->stack = intern(answer.scratch->frames, result, generation);
  answer.look->labels = answer.slot->labels.load(std::memory_order_relaxed);
}

}  // namespace

Looked look_at(int tid, ThreadSlot* slot, unsigned depth, LookRoom* room, ThreadView* seen) {
  const Looked result = look_from_outside(tid, slot, depth, room, seen);
  if (result != Looked::asked) return result;
  const bool is_asked_already = slot != nullptr && look_of(slot, *room)->timer.load(std::memory_order_acquire) != 0;
  if (is_asked_already) return Looked::asked;
  if (slot == nullptr || !ask(tid, slot, *room)) return has_ended(tid) ? Looked::gone : Looked::unreachable;
  return Looked::asked;
}

bool look_is_answered(ThreadSlot* slot, const LookRoom& room, ThreadView* seen) {
  ThreadLook* look = look_of(slot, room);
  const uint32_t asked = look->asked.load(std::memory_order_relaxed);
  if (look->answered.load(std::memory_order_acquire) != asked) return false;
  stop_timer(look);
  seen->stack = look->stack;
  seen->labels = look->labels;
  seen->state = kStateRunning;
  seen->waited_ns = 0;
  return true;
}

Looked look_again(int tid, ThreadSlot* slot, unsigned depth, LookRoom* room, ThreadView* seen) {
  if (look_is_answered(slot, *room, seen)) return Looked::seen;
  const Looked result = look_from_outside(tid, slot, depth, room, seen);
  const bool was_taken_back = result == Looked::asked && look_of(slot, *room)->timer.load() == 0;
  if (result != Looked::asked) look_is_over(slot, *room);
  if (was_taken_back) ask(tid, slot, *room);
  return result;
}

void take_looks_back(ThreadSlot* slot) {
  for (ThreadLook& look : slot->looks) stop_timer(&look);
}

void looks_give_up() { for_each_thread_slot(take_looks_back); }

void look_is_over(ThreadSlot* slot, const LookRoom& room) {
  ThreadLook* look = look_of(slot, room);
  look->asked.fetch_add(1, std::memory_order_release);  // a late answer is to none
  stop_timer(look);
}

Ref name_of_thread(int tid) {
  char name[kThreadNameBytes + 2] = {};
  const long bytes = read_task_file(tid, "comm", name, sizeof(name));
  if (bytes <= 0) return 0;
  char kept[kThreadNameBytes] = {};
  for (unsigned i = 0; i + 1 < kThreadNameBytes && name[i] != '\0' && name[i] != '\n'; ++i) kept[i] = name[i];
  return intern_thread_name(kept);
}

bool answer_look(const siginfo_t& info, const ucontext_t& context) {
  const auto value = reinterpret_cast<uint64_t>(info.si_value.sival_ptr);
  if (info.si_code != SI_TIMER || (value & kLookFlag) == 0) return false;
  const auto looker = static_cast<unsigned>(value >> kLookerShift & 1);
  ThreadSlot* slot = slot_of_signal_value(value & ~(kLookFlag | uint64_t{1} << kLookerShift));
  if (slot == nullptr) return true;  // of a thread that has ended
  ThreadLook* look = &slot->looks[looker];
  const uint32_t asked = look->asked.load(std::memory_order_acquire);
  Scratch* scratch = take_scratch();
  if (scratch == nullptr) {
    count_loss(LossCause::no_scratch);
    return true;
  }
  Answer answer = {slot, look, &context, scratch};
  prof_call_on_stack(scratch->stack_top(), walk_own, &answer);
  give_back_scratch(scratch);
  look->answered.store(asked, std::memory_order_release);
  return true;
}

void look_keeps_main_thread(int descriptor) {
  g_kept = descriptor;
  g_keeper.store(descriptor < 0 ? 0 : raw_gettid(), std::memory_order_release);
}

void looks_start(unsigned depth, bool in_user_mode) {
  g_depth = depth;
  g_in_user_mode = in_user_mode;
}

}  // namespace prof
