#include "core/report/thread_state.h"

#include <sys/syscall.h>

#include "core/record/thread_table.h"

namespace prof {
namespace {

struct CallName {
  long number;
  const char* name;
};

// System calls that threads are found asleep in.
#define PROF_CALL(name) \
  { SYS_##name, #name }
constexpr CallName kCalls[] = {PROF_CALL(read),
                               PROF_CALL(write),
                               PROF_CALL(readv),
                               PROF_CALL(writev),
                               PROF_CALL(pread64),
                               PROF_CALL(pwrite64),
                               PROF_CALL(preadv),
                               PROF_CALL(pwritev),
                               PROF_CALL(open),
                               PROF_CALL(openat),
                               PROF_CALL(close),
                               PROF_CALL(fsync),
                               PROF_CALL(fdatasync),
                               PROF_CALL(flock),
                               PROF_CALL(fcntl),
                               PROF_CALL(ioctl),
                               PROF_CALL(poll),
                               PROF_CALL(ppoll),
                               PROF_CALL(select),
                               PROF_CALL(pselect6),
                               PROF_CALL(epoll_wait),
                               PROF_CALL(epoll_pwait),
                               PROF_CALL(epoll_pwait2),
                               PROF_CALL(io_getevents),
                               PROF_CALL(io_uring_enter),
                               PROF_CALL(accept),
                               PROF_CALL(accept4),
                               PROF_CALL(connect),
                               PROF_CALL(recvfrom),
                               PROF_CALL(recvmsg),
                               PROF_CALL(recvmmsg),
                               PROF_CALL(sendto),
                               PROF_CALL(sendmsg),
                               PROF_CALL(sendmmsg),
                               PROF_CALL(sendfile),
                               PROF_CALL(splice),
                               PROF_CALL(nanosleep),
                               PROF_CALL(clock_nanosleep),
                               PROF_CALL(pause),
                               PROF_CALL(futex),
                               PROF_CALL(wait4),
                               PROF_CALL(waitid),
                               PROF_CALL(rt_sigtimedwait),
                               PROF_CALL(rt_sigsuspend),
                               PROF_CALL(semop),
                               PROF_CALL(semtimedop),
                               PROF_CALL(msgrcv),
                               PROF_CALL(msgsnd),
                               PROF_CALL(mq_timedreceive),
                               PROF_CALL(mq_timedsend),
                               PROF_CALL(vfork),
                               PROF_CALL(execve),
                               PROF_CALL(mmap),
                               PROF_CALL(munmap),
                               PROF_CALL(mprotect),
                               PROF_CALL(madvise),
                               PROF_CALL(msync),
                               PROF_CALL(unlink),
                               PROF_CALL(rename),
                               PROF_CALL(getdents64),
                               PROF_CALL(sched_yield),
                               PROF_CALL(restart_syscall)};
#undef PROF_CALL

constexpr const char* kWaits[] = {"running",   "mutex",     "read lock", "write lock", "spin lock",
                                  "condition", "semaphore", "barrier",   "join"};

}  // namespace

std::string thread_state_text(uint32_t state) {
  if (state < sizeof(kWaits) / sizeof(kWaits[0])) return kWaits[state];
  if (state == kStateAsleep) return "asleep";
  if (state < kStateCall) return "not reached";
  const long number = state - kStateCall;
  for (const CallName& call : kCalls) {
    if (call.number == number) return call.name;
  }
  return "system call " + std::to_string(number);
}

}  // namespace prof
