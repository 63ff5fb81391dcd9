#include "core/report/config.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <signal.h>

#include <string>
#include <vector>

using namespace prof;

static Config config_of(std::vector<const char*> environment) {
  environment.push_back(nullptr);
  return config_from_environment(environment.data());
}

static bool usable(const char* setting) {
  log_start(LogLevel::error);
  return config_of({"PROF_CPU=cpu.prof", setting}).kinds.has(ProfileKind::cpu);
}

Test(config, exit_timeout_is_in_seconds_and_never_none) {
  const char* const environment[] = {"PROF_CPU=a", "PROF_EXIT_TIMEOUT=0.25", nullptr};
  cr_assert_eq(prof::config_from_environment(environment).exit_timeout_ns, 250'000'000);
  for (const char* const wrong :
       {"PROF_EXIT_TIMEOUT=0", "PROF_EXIT_TIMEOUT=-1", "PROF_EXIT_TIMEOUT=5s", "PROF_EXIT_TIMEOUT="}) {
    const char* const bad[] = {"PROF_CPU=a", wrong, nullptr};
    const prof::Config config = prof::config_from_environment(bad);
    cr_assert_eq(config.exit_timeout_ns, 5'000'000'000, "%s", wrong);
    cr_assert(config.kinds.has(prof::ProfileKind::cpu));
  }
}

Test(config, nothing_is_on_by_itself) {
  cr_assert_not(config_of({"HOME=/root", "PATH=/bin"}).kinds.has(ProfileKind::cpu));
  cr_assert_not(config_of({"PROF_CPU_HZ=100"}).kinds.has(ProfileKind::cpu));
}

Test(config, labels_are_keys_and_values) {
  cr_assert(config_of({"PROF_CPU=a", "PROF_LABELS=env=test,zone=a=b"}).labels == "env=test,zone=a=b");
  const auto refused = [](const char* setting) {
    return config_of({"PROF_CPU=a", "PROF_LOG=error", setting}).labels.empty();
  };
  cr_redirect_stderr();
  for (const char* wrong : {"PROF_LABELS=", "PROF_LABELS=env", "PROF_LABELS=env=", "PROF_LABELS==x", "PROF_LABELS=a=b,",
                            "PROF_LABELS=,a=b", "PROF_LABELS=tid=1", "PROF_LABELS=pprof::a=b", "PROF_LABELS=a=b,a=c"}) {
    cr_assert(refused(wrong), "%s", wrong);
  }
}

Test(config, takes_every_setting) {
  const Config c = config_of({"PROF_CPU=a%p.prof", "PROF_CPU_HZ=1000", "PROF_CPU_CLOCK=perf", "PROF_CPU_DELAY=0.5",
                              "PROF_CPU_DURATION=30", "PROF_CPU_SIGNAL=SIGUSR1", "PROF_STACK_DEPTH=1024",
                              "PROF_FOLLOW=0", "PROF_LOG=debug", "PROF_UNWIND=libunwind"});
  cr_assert(c.kinds.has(ProfileKind::cpu));
  cr_assert(c.files[0] == "a%p.prof");
  cr_assert_eq(c.cpu_hz, 1000);
  cr_assert(c.cpu_clock == ClockChoice::perf);
  cr_assert_eq(c.cpu_delay_ns, 500'000'000);
  cr_assert_eq(c.cpu_duration_ns, 30'000'000'000);
  cr_assert_eq(c.cpu_signal, SIGUSR1);
  cr_assert_eq(c.stack_depth, 1024u);
  cr_assert(c.unwind == UnwindChoice::libunwind);
  cr_assert_not(c.follow);
  cr_assert(c.log_level == LogLevel::debug);
  cr_assert(config_of({"PROF_DIR=/tmp"}).kinds.has(ProfileKind::cpu));
}

Test(config, refuses_what_cannot_be_used, .init = cr_redirect_stderr) {
  for (const char* bad : {"PROF_CPU_HZ=0",
                          "PROF_CPU_HZ=10001",
                          "PROF_CPU_HZ=-1",
                          "PROF_CPU_HZ=1e3",
                          "PROF_CPU_HZ=",
                          "PROF_CPU_HZ=100 ",
                          "PROF_CPU_CLOCK=Perf",
                          "PROF_CPU_DELAY=-1",
                          "PROF_CPU_DELAY=soon",
                          "PROF_CPU_DELAY=nan",
                          "PROF_CPU_DURATION=0",
                          "PROF_CPU_DURATION=inf",
                          "PROF_CPU_SIGNAL=KILL",
                          "PROF_CPU_SIGNAL=9",
                          "PROF_CPU_SIGNAL=SIGPROF",
                          "PROF_CPU_SIGNAL=65",
                          "PROF_CPU_SIGNAL=0",
                          "PROF_UNWIND=dwarf",
                          "PROF_STACK_DEPTH=0",
                          "PROF_STACK_DEPTH=1025",
                          "PROF_FOLLOW=a,,b",
                          "PROF_CPU=",
                          "PROF_DIR="}) {
    cr_assert_not(usable(bad), "%s", bad);
  }
}

Test(config, accepts_the_ends_of_each_range) {
  for (const char* good :
       {"PROF_CPU_HZ=1", "PROF_CPU_HZ=10000", "PROF_CPU_DELAY=0", "PROF_CPU_SIGNAL=64", "PROF_CPU_SIGNAL=USR2",
        "PROF_STACK_DEPTH=1", "PROF_FOLLOW=1", "PROF_CPU_CLOCK=auto", "PROF_CPU_CLOCK=user"}) {
    cr_assert(usable(good), "%s", good);
  }
}

Test(config, a_bad_log_level_or_an_unknown_setting_costs_no_profile, .init = cr_redirect_stderr) {
  cr_assert(config_of({"PROF_CPU=a", "PROF_LOG=loud"}).kinds.has(ProfileKind::cpu));
  cr_assert(config_of({"PROF_CPU=a", "PROF_CPUU=b"}).kinds.has(ProfileKind::cpu));
}

Test(config, follows_children_by_name) {
  const Config named = config_of({"PROF_CPU=a", "PROF_FOLLOW=make,cc1plus"});
  cr_assert(named.follow);
  cr_assert(is_followed(named, "/usr/bin/make", "/usr/bin/gmake"));
  cr_assert(is_followed(named, "/usr/bin/dash", "./cc1plus"));
  cr_assert_not(is_followed(named, "/usr/bin/make-first-existing-target", "ma"));
  cr_assert_not(is_followed(named, "", ""));
  cr_assert(is_followed(config_of({"PROF_CPU=a"}), "/bin/sh", ""));
  cr_assert_not(is_followed(config_of({"PROF_CPU=a", "PROF_FOLLOW=0"}), "/bin/sh", ""));
}

Test(config, takes_every_heap_setting) {
  const Config c = config_of({"PROF_HEAP=h.prof", "PROF_ALLOCS=a.prof", "PROF_HEAP_RATE=1", "PROF_HEAP_PEAK=1",
                              "PROF_HEAP_MMAP=1", "PROF_SIGNAL=WINCH"});
  cr_assert(c.kinds.meets(kHeapKinds) && !c.kinds.has(ProfileKind::cpu));
  cr_assert(variable_of(c, ProfileKind::heap) == "PROF_HEAP");
  cr_assert(variable_of(c, ProfileKind::allocs) == "PROF_ALLOCS");
  cr_assert_eq(c.heap_rate, 1u);
  cr_assert(c.heap_peak && c.heap_mmap);
  cr_assert_eq(c.snapshot_signal, SIGWINCH);
  cr_assert_eq(config_of({"PROF_HEAP=h.prof", "PROF_SIGNAL=0"}).snapshot_signal, 0);
  const Config folder = config_of({"PROF_DIR=/tmp"});
  cr_assert(folder.kinds.meets(kHeapKinds) && folder.kinds.has(ProfileKind::cpu));
  cr_assert(variable_of(folder, ProfileKind::allocs) == "PROF_DIR");
  cr_assert_eq(folder.snapshot_signal, SIGUSR2);
  cr_assert_eq(folder.heap_rate, 524'288u);
}

Test(config, takes_real_time_signals_by_name, .init = cr_redirect_stderr) {
  const struct {
    const char* name;
    int signal;
  } known[] = {{"RTMIN", SIGRTMIN},    {"RTMIN+0", SIGRTMIN}, {"RTMIN+3", SIGRTMIN + 3}, {"SIGRTMIN+1", SIGRTMIN + 1},
               {"RTMIN+30", SIGRTMAX}, {"RTMAX", SIGRTMAX},   {"RTMAX-2", SIGRTMAX - 2}, {"SIGRTMAX-30", SIGRTMIN}};
  for (const auto& [name, signal] : known) {
    const std::string snapshot = std::string("PROF_SIGNAL=") + name;
    cr_assert_eq(config_of({"PROF_HEAP=h.prof", snapshot.c_str()}).snapshot_signal, signal, "%s", name);
    const std::string cpu = std::string("PROF_CPU_SIGNAL=") + name;
    cr_assert_eq(config_of({"PROF_CPU=c.prof", cpu.c_str()}).cpu_signal, signal, "%s", name);
  }
  for (const char* bad : {"PROF_SIGNAL=RTMIN-1", "PROF_SIGNAL=RTMAX+1", "PROF_SIGNAL=RTMIN+31", "PROF_SIGNAL=RTMAX-31",
                          "PROF_SIGNAL=RTMIN+", "PROF_SIGNAL=RTMIN+-1", "PROF_SIGNAL=RTMIN 3", "PROF_SIGNAL=RTMID"}) {
    log_start(LogLevel::error);
    const Config c = config_of({"PROF_HEAP=h.prof", "PROF_STACKS=s.prof", bad});
    cr_assert_eq(c.snapshot_signal, 0, "%s", bad);
    cr_assert(c.kinds == kHeapKinds.without(KindSet(ProfileKind::allocs)), "%s: the profile at the end is no snapshot",
              bad);
  }
}

Test(config, a_heap_setting_that_cannot_be_used_leaves_the_cpu_profile, .init = cr_redirect_stderr) {
  for (const char* bad : {"PROF_HEAP_RATE=0", "PROF_HEAP_RATE=1k", "PROF_HEAP_RATE=-5", "PROF_HEAP_RATE=1099511627777",
                          "PROF_HEAP_PEAK=yes", "PROF_HEAP_MMAP=2", "PROF_HEAP="}) {
    log_start(LogLevel::error);
    const Config c = config_of({"PROF_CPU=cpu.prof", "PROF_HEAP=heap.prof", bad});
    cr_assert(c.kinds.has(ProfileKind::cpu), "%s", bad);
    cr_assert_not(c.kinds.meets(kHeapKinds), "%s", bad);
  }
}

Test(config, takes_every_wait_setting) {
  const Config c = config_of(
      {"PROF_BLOCK=b.prof", "PROF_MUTEX=m.prof", "PROF_THREAD=t.prof", "PROF_BLOCK_RATE=1", "PROF_MUTEX_FRACTION=100"});
  cr_assert(c.kinds == KindSet(ProfileKind::block, ProfileKind::mutex, ProfileKind::threadcreate));
  cr_assert(variable_of(c, ProfileKind::threadcreate) == "PROF_THREAD");
  cr_assert_eq(c.block_rate_ns, 1);
  cr_assert_eq(c.mutex_fraction, 100u);
  const Config folder = config_of({"PROF_DIR=/tmp"});
  cr_assert(folder.kinds == KindSet::all().without(kNamedKinds));
  cr_assert_eq(folder.block_rate_ns, 10'000);
  cr_assert_eq(folder.mutex_fraction, 1u);
}

Test(config, a_wait_setting_that_cannot_be_used_costs_its_own_profile, .init = cr_redirect_stderr) {
  for (const char* bad :
       {"PROF_BLOCK_RATE=0", "PROF_BLOCK_RATE=10us", "PROF_BLOCK_RATE=1000000000001", "PROF_BLOCK="}) {
    log_start(LogLevel::error);
    const Config c = config_of({"PROF_BLOCK=b.prof", "PROF_MUTEX=m.prof", bad});
    cr_assert(c.kinds == KindSet(ProfileKind::mutex), "%s", bad);
  }
  for (const char* bad : {"PROF_MUTEX_FRACTION=0", "PROF_MUTEX_FRACTION=-1", "PROF_MUTEX="}) {
    log_start(LogLevel::error);
    const Config c = config_of({"PROF_BLOCK=b.prof", "PROF_MUTEX=m.prof", bad});
    cr_assert(c.kinds == KindSet(ProfileKind::block), "%s", bad);
  }
}

Test(config, a_trace_is_taken_only_by_its_name) {
  const Config c = config_of({"PROF_TRACE=t.json.gz", "PROF_TRACE_BUFFER=512"});
  cr_assert(c.kinds == KindSet(ProfileKind::trace));
  cr_assert(variable_of(c, ProfileKind::trace) == "PROF_TRACE");
  cr_assert_eq(c.trace_buffer, 512u);
  cr_assert_eq(config_of({"PROF_TRACE=t.json.gz"}).trace_buffer, 64u);
  cr_assert_not(config_of({"PROF_DIR=/tmp"}).kinds.has(ProfileKind::trace));
}

Test(config, a_setting_that_the_trace_needs_too_costs_it, .init = cr_redirect_stderr) {
  for (const char* bad : {"PROF_TRACE_BUFFER=3", "PROF_TRACE_BUFFER=513", "PROF_TRACE_BUFFER=64K",
                          "PROF_TRACE=", "PROF_CPU_HZ=0", "PROF_CPU_CLOCK=x", "PROF_BLOCK_RATE=0"}) {
    log_start(LogLevel::error);
    const Config c = config_of({"PROF_TRACE=t.json.gz", "PROF_MUTEX=m.prof", bad});
    cr_assert(c.kinds == KindSet(ProfileKind::mutex), "%s", bad);
  }
}

Test(config, stacks_need_a_signal, .init = cr_redirect_stderr) {
  log_start(LogLevel::warn);
  const Config c = config_of({"PROF_CPU=cpu.prof", "PROF_STACKS=s.prof", "PROF_SIGNAL=0"});
  cr_assert(c.kinds == KindSet(ProfileKind::cpu));
  cr_assert(config_of({"PROF_STACKS=s.prof"}).kinds.has(ProfileKind::stacks));
  cr_assert_not(
      config_of({"PROF_CPU=c.prof", "PROF_STACKS=s.prof", "PROF_CPU_SIGNAL=USR2"}).kinds.has(ProfileKind::stacks));
}

Test(config, one_signal_cannot_mean_two_things, .init = cr_redirect_stderr) {
  const Config c = config_of({"PROF_CPU=cpu.prof", "PROF_HEAP=heap.prof", "PROF_CPU_SIGNAL=USR2"});
  cr_assert(c.kinds.has(ProfileKind::cpu) && c.kinds.meets(kHeapKinds));
  cr_assert_eq(c.cpu_signal, SIGUSR2);
  cr_assert_eq(c.snapshot_signal, 0);
}
