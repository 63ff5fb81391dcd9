#include "core/serve/process_facts.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "core/base/clocks.h"

using namespace prof;

Test(process_facts, stat_is_read_behind_any_name) {
  const std::string rest = " S 1 2 3 4 5 6 7 8 9 10 150 25 13 14 15 16 17 18 98765 20 21\n";
  for (const char* name : {"app", "a b", "a) (b", ")))", "1 2 3"}) {
    uint64_t start = 0;
    uint64_t cpu = 0;
    cr_assert(parse_stat("4711 (" + std::string(name) + ")" + rest, &start, &cpu), "%s", name);
    cr_assert_eq(start, 98'765u);
    cr_assert_eq(cpu, 175u);
  }
  uint64_t number = 0;
  for (const char* text : {"", "4711", "4711 (a) S 1 2 3", ")"}) cr_assert_not(parse_stat(text, &number, &number));
}

Test(process_facts, blocked_signals_are_bits) {
  const std::string status = "Name:\tx\nSigPnd:\t0000000004000000\nSigBlk:\t0000000004000001\nSigIgn:\t0\n";
  cr_assert(is_blocked(status, SIGPROF) && is_blocked(status, SIGHUP) && !is_blocked(status, SIGINT));
  cr_assert_not(is_blocked("", SIGPROF));
  cr_assert_not(is_blocked("Name:\tx\n", SIGPROF));
}

Test(process_facts, says_who_blocks_sigprof) {
  std::atomic<int> tid{0};
  std::atomic<bool> over{false};
  std::thread thread([&] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPROF);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    pthread_setname_np(pthread_self(), "blocks");
    tid.store(gettid());
    while (!over.load()) usleep(1000);
  });
  while (tid.load() == 0) usleep(1000);
  const ProcessFacts facts = process_facts(getpid(), {getpid(), tid.load(), 0x7fff'ffff});
  const ProcessFacts others = process_facts(getpid(), {getpid()});
  over.store(true);
  thread.join();
  cr_assert_eq(facts.sigprof_blocked_by.size(), 1u, "one of two, and one that there is not");
  cr_assert_eq(facts.sigprof_blocked_by[0].tid, tid.load());
  cr_assert_eq(facts.sigprof_blocked_by[0].name, "blocks");
  cr_assert(others.sigprof_blocked_by.empty());
}

Test(process_facts, of_this_process) {
  const int64_t before = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) < before + 30'000'000) {
  }
  const ProcessFacts facts = process_facts(getpid(), {});
  cr_assert(!facts.host.empty());
  cr_assert(facts.started_unix_ns > 0 && facts.started_unix_ns <= facts.now_unix_ns);
  cr_assert_gt(facts.cpu_ns, 0);
  cr_assert_geq(facts.own_cpu_ns, 30'000'000);
  cr_assert_gt(facts.own_memory_bytes, 100'000u);
}

Test(process_facts, the_command_line_is_in_words) {
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[0], 0);
    close(ends[1]);
    execl("/bin/cat", "cat", "-u", "-", nullptr);
    _exit(1);
  }
  close(ends[0]);
  std::vector<std::string> words;
  // Until it has executed.
  for (int tries = 0; tries < 5000 && (words.empty() || words[0] != "cat"); ++tries) {
    usleep(1000);
    words = process_facts(child, {}).command_line;
  }
  close(ends[1]);
  waitpid(child, nullptr, 0);
  cr_assert(words == std::vector<std::string>({"cat", "-u", "-"}));
}

Test(process_facts, a_process_that_is_gone_has_none) {
  const ProcessFacts facts = process_facts(0x7fff'ffff, {0x7fff'ffff});
  cr_assert(facts.command_line.empty() && facts.started_unix_ns == 0 && facts.cpu_ns == 0);
  cr_assert(facts.sigprof_blocked_by.empty());
}
