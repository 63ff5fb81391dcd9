// Shows every call that waits or lets go, with what it has to answer: what it returns, errno (kMark before each call),
// the state that it leaves, the order of events. One line a case, without times, addresses or thread ids: the same in
// every run, and the same under libprof. `wait_conformance [PREFIX…]` runs the cases whose names begin so; the stages
// before main and after it always run. An answer is "returned,errno".
// The cases are in wait_conformance/*_cases.h, by kind of call; their table is here.
// build: -std=c++20 -O2 -fomit-frame-pointer -pthread
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "wait_conformance/barrier_cases.h"
#include "wait_conformance/c11_cases.h"
#include "wait_conformance/cond_cases.h"
#include "wait_conformance/create_cases.h"
#include "wait_conformance/handler_cases.h"
#include "wait_conformance/harness.h"
#include "wait_conformance/join_cases.h"
#include "wait_conformance/mutex_cases.h"
#include "wait_conformance/mutex_kinds.h"
#include "wait_conformance/old_cond.h"
#include "wait_conformance/old_cond_cases.h"
#include "wait_conformance/rwlock_cases.h"
#include "wait_conformance/sem_cases.h"
#include "wait_conformance/spin_cases.h"
#include "wait_conformance/stages.h"
#include "wait_conformance/std_cases.h"
#include "wait_conformance/wait_cases.h"

struct Case {
  std::string name;
  std::function<void()> run;
};

static const std::pair<const char*, void (*)()> kPlainCases[] = {
    {"mutex/static", mutex_static},
    {"mutex/ceiling", mutex_ceiling},
    {"spin/private", [] { spin_lock(PTHREAD_PROCESS_PRIVATE); }},
    {"spin/shared", [] { spin_lock(PTHREAD_PROCESS_SHARED); }},
    {"old_cond/linked", [] { cond_by_calls(kLinkedOldCalls, sizeof(OldCond)); }},
    {"old_cond/dlvsym", [] { cond_by_calls(looked_up_calls("GLIBC_2.2.5"), sizeof(OldCond)); }},
    {"cond/dlvsym", [] { cond_by_calls(looked_up_calls("GLIBC_2.3.2"), sizeof(pthread_cond_t)); }},
    {"cond/dlsym", [] { cond_by_calls(looked_up_calls(nullptr), sizeof(pthread_cond_t)); }},
    {"sem/private", [] { sem_life(0); }},
    {"sem/shared", [] { sem_life(1); }},
    {"sem/named", sem_named},
    {"barrier/private", [] { barrier_rounds(PTHREAD_PROCESS_PRIVATE); }},
    {"barrier/shared", [] { barrier_rounds(PTHREAD_PROCESS_SHARED); }},
    {"join/value", joins_value},
    {"join/running", joins_running},
    {"join/refused", joins_refused},
    {"cancel/asynchronous", cancel_asynchronous},
    {"cancel/keeps_sem", cancel_keeps_sem},
    {"cancel/nested", cancel_nested},
    {"handler/on_own_stack", handler_on_own_stack},
    {"create/refused", create_refused},
    {"create/smallest", create_smallest},
    {"create/on_own_stack", create_on_own_stack},
    {"create/detached", create_detached},
    {"c11/plain", [] { c11_mtx(mtx_plain); }},
    {"c11/timed", [] { c11_mtx(mtx_timed); }},
    {"c11/recursive", [] { c11_mtx(mtx_plain | mtx_recursive); }},
    {"c11/recursive_timed", [] { c11_mtx(mtx_timed | mtx_recursive); }},
    {"c11/bad_mtx", c11_bad_mtx},
    {"c11/cnd", c11_cnd},
    {"c11/thrd", c11_thrd},
    {"std/mutex", std_mutex<std::mutex>},
    {"std/timed_mutex", std_mutex<std::timed_mutex>},
    {"std/recursive_mutex", std_mutex<std::recursive_mutex>},
    {"std/recursive_timed_mutex", std_mutex<std::recursive_timed_mutex>},
    {"std/shared_mutex", std_mutex<std::shared_mutex>},
    {"std/shared_timed_mutex", std_mutex<std::shared_timed_mutex>},
    {"std/condition_variable", std_condition<std::condition_variable>},
    {"std/condition_variable_any", std_condition<std::condition_variable_any>},
    {"std/stop", std_stop},
    {"std/latch_barrier", std_latch_barrier},
    {"std/semaphore", std_semaphore},
    {"std/futures", std_futures},
    {"thread_ends", thread_ends},
};

static std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const Value& type : kTypes)
    for (const Value& protocol : kProtocols)
      for (const Value& robust : kRobust)
        for (const Value& sharing : kSharing) {
          const MutexKind kind{std::string(type.name) + robust.name + protocol.name + sharing.name, type.value,
                               protocol.value, robust.value, sharing.value};
          for (const MutexOperation& operation : kMutexOperations)
            cases.push_back(
                {"mutex/" + kind.name + "/" + operation.name, [kind, &operation] { run_mutex(kind, operation); }});
        }
  for (const Value& preference : kPreferences)
    for (const Value& sharing : kSharing) {
      const RwlockKind kind{std::string(preference.name) + sharing.name, preference.value, sharing.value};
      for (const RwlockOperation& operation : kRwlockOperations)
        cases.push_back(
            {"rwlock/" + kind.name + "/" + operation.name, [kind, &operation] { run_rwlock(kind, operation); }});
    }
  for (const Value& clock : kClocks)
    for (const Value& sharing : kSharing)
      for (const CondOperation& operation : kCondOperations)
        cases.push_back({std::string("cond/") + clock.name + sharing.name + "/" + operation.name,
                         [&] { operation.run(clock.value, sharing.value); }});
  for (const Wait& wait : kWaits)
    for (const auto& [name, event] : kEvents)
      cases.push_back({std::string("wait/") + wait.name + "/" + name, [&wait, event] { run_wait(wait, event); }});
  for (const auto& [name, run] : kPlainCases) cases.push_back({name, run});
  return cases;
}

int main(int argc, char** argv) {
  signal(SIGALRM, is_stuck);
  thread_object.name_ = "thread-local destructor of main";
  timespec start{};
  clock_gettime(CLOCK_MONOTONIC, &start);
  std::atexit([] { run_stage("exit handler"); });
  for (const Case& one : all_cases()) {
    const auto is_asked_for = [&](const char* prefix) { return one.name.starts_with(prefix); };
    if (argc > 1 && std::none_of(argv + 1, argv + argc, is_asked_for)) continue;
    current_case = one.name.c_str();
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const auto left = std::max<time_t>(kAllSeconds - (now.tv_sec - start.tv_sec), 1);
    alarm(static_cast<unsigned>(std::min<time_t>(left, kCaseSeconds)));
    one.run();
    end_line(one.name);
  }
  alarm(kCaseSeconds);
}
