#include "preload/ring_calls.h"

#include <signal.h>

#include "preload/call_slots.h"
#include "preload/cpu_sampling.h"

struct io_uring;
struct io_uring_cqe;
struct __kernel_timespec;

namespace prof {
namespace {

// The real functions, by the index of their names below; null: not in this process.
enum Name : unsigned {
  kEnter,
  kEnter2,
  kGetCqe,
  kSubmitAndWait,
  kSubmitAndWaitTimeout,
  kSubmitAndWaitMinTimeout,
  kSubmitAndWaitReg,
  kWaitCqe,
  kWaitCqeNr,
  kWaitCqes,
  kWaitCqesMinTimeout,
  kWaitCqeTimeout,
  kNames
};
void* g_real[kNames];

// The real call is jumped to: the thread may be cancelled in it, and an unwinder must find no frame of ours there.
template <typename... Arguments>
int wait(Name name, unsigned waits_for, Arguments... arguments) {
  if (waits_for != 0) cpu_sampling_meets_ring();
  return reinterpret_cast<int (*)(Arguments...)>(g_real[name])(arguments...);
}

using Ring = io_uring*;
using Cqe = io_uring_cqe**;
using Time = __kernel_timespec*;

int io_uring_enter(unsigned ring, unsigned submits, unsigned waits_for, unsigned flags, sigset_t* mask) {
  return wait(kEnter, waits_for, ring, submits, waits_for, flags, mask);
}
int io_uring_enter2(unsigned ring, unsigned submits, unsigned waits_for, unsigned flags, void* argument, size_t bytes) {
  return wait(kEnter2, waits_for, ring, submits, waits_for, flags, argument, bytes);
}
int get_cqe(Ring ring, Cqe cqe, unsigned submits, unsigned waits_for, sigset_t* mask) {
  return wait(kGetCqe, waits_for, ring, cqe, submits, waits_for, mask);
}
int io_uring_submit_and_wait(Ring ring, unsigned waits_for) { return wait(kSubmitAndWait, waits_for, ring, waits_for); }
int io_uring_submit_and_wait_timeout(Ring ring, Cqe cqe, unsigned waits_for, Time limit, sigset_t* mask) {
  return wait(kSubmitAndWaitTimeout, waits_for, ring, cqe, waits_for, limit, mask);
}
int io_uring_submit_and_wait_min_timeout(Ring ring, Cqe cqe, unsigned waits_for, Time limit, unsigned least,
                                         sigset_t* mask) {
  return wait(kSubmitAndWaitMinTimeout, waits_for, ring, cqe, waits_for, limit, least, mask);
}
int io_uring_submit_and_wait_reg(Ring ring, Cqe cqe, unsigned waits_for, int index) {
  return wait(kSubmitAndWaitReg, waits_for, ring, cqe, waits_for, index);
}
int io_uring_wait_cqe(Ring ring, Cqe cqe) { return wait(kWaitCqe, 1, ring, cqe); }
int io_uring_wait_cqe_nr(Ring ring, Cqe cqe, unsigned waits_for) {
  return wait(kWaitCqeNr, waits_for, ring, cqe, waits_for);
}
int io_uring_wait_cqes(Ring ring, Cqe cqe, unsigned waits_for, Time limit, sigset_t* mask) {
  return wait(kWaitCqes, waits_for, ring, cqe, waits_for, limit, mask);
}
int io_uring_wait_cqes_min_timeout(Ring ring, Cqe cqe, unsigned waits_for, Time limit, unsigned least, sigset_t* mask) {
  return wait(kWaitCqesMinTimeout, waits_for, ring, cqe, waits_for, limit, least, mask);
}
int io_uring_wait_cqe_timeout(Ring ring, Cqe cqe, Time limit) { return wait(kWaitCqeTimeout, 1, ring, cqe, limit); }

#define PROF_CALL(name, index) \
  { #name, reinterpret_cast < void*>(&name), &g_real[index] }
const CallSlot kCalls[] = {{"__io_uring_get_cqe", reinterpret_cast<void*>(&get_cqe), &g_real[kGetCqe]},
                           PROF_CALL(io_uring_enter, kEnter),
                           PROF_CALL(io_uring_enter2, kEnter2),
                           PROF_CALL(io_uring_submit_and_wait, kSubmitAndWait),
                           PROF_CALL(io_uring_submit_and_wait_timeout, kSubmitAndWaitTimeout),
                           PROF_CALL(io_uring_submit_and_wait_min_timeout, kSubmitAndWaitMinTimeout),
                           PROF_CALL(io_uring_submit_and_wait_reg, kSubmitAndWaitReg),
                           PROF_CALL(io_uring_wait_cqe, kWaitCqe),
                           PROF_CALL(io_uring_wait_cqe_nr, kWaitCqeNr),
                           PROF_CALL(io_uring_wait_cqes, kWaitCqes),
                           PROF_CALL(io_uring_wait_cqes_min_timeout, kWaitCqesMinTimeout),
                           PROF_CALL(io_uring_wait_cqe_timeout, kWaitCqeTimeout)};
#undef PROF_CALL

}  // namespace

void ring_calls_start() { point_call_slots(kCalls, sizeof(kCalls) / sizeof(kCalls[0]), nullptr); }

bool ring_calls_are_known() { return g_real[kEnter] != nullptr || g_real[kGetCqe] != nullptr; }

}  // namespace prof
