#include "core/serve/status_page.h"

#include <criterion/criterion.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "core/report/loss_text.h"
#include "tests/unit/serve/status_test.h"

using namespace prof;

namespace {

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// The value of a path like "process.pid" or "profiles.1.samples", as Python reads it.
std::string value_of(const std::string& json, const std::string& path) {
  char file[] = "/tmp/status_page_XXXXXX";
  const int fd = mkstemp(file);
  cr_assert_geq(fd, 0);
  std::ofstream(file) << json;
  const std::string command =
      "/usr/bin/python3 -c 'import json, sys\nv = json.load(open(sys.argv[1]))\n"
      "for k in sys.argv[2].split(\".\"): v = v[int(k) if k.isdigit() else k]\n"
      "print(v)' " +
      std::string(file) + " " + path;
  FILE* pipe = popen(command.c_str(), "r");
  char text[4096] = {};
  cr_assert_not_null(fgets(text, sizeof(text), pipe), "%s", json.c_str());
  cr_assert_eq(pclose(pipe), 0);
  remove(file);
  std::string value(text);
  value.pop_back();
  return value;
}

}  // namespace

Test(status_page, the_text_has_everything) {
  Status status = test_status();
  status.process.sigprof_blocked_by = {{4712, "worker"}};
  const std::string text = status_text(status);
  if (getenv("STATUS_PAGE_SHOW") != nullptr) fputs(text.c_str(), stderr);
  cr_assert(text.starts_with("/usr/bin/server, pid 4711 on machine, up 2 h 3 min, 20 ms of CPU time, 3 threads\n"));
  for (const char* part :
       {"\n  cpu           7 samples, 70 ms", "\n  heap          6 sampled blocks, 3 in use",
        "\n  block         5 waits, 8 ms", "\n  threadcreate  6 threads made",
        "recorded since 2023-11-14 22:13:20 UTC (2 h 3 min)\n",
        "\n  too many threads were sampled at the same moment: 2 (CPU samples: 5)\n",
        "\nStacks that end early\n  stacks deeper than PROF_STACK_DEPTH: 12\n",
        "\n  threads that block it: 1 of 3\n    4712 \"worker\"\n", "\n  memory in the program: 4 MiB",
        "\n  /lib/libjemalloc.so.2: Of its own calls", "\n  CPU time of the server: 1.5 s\n"}) {
    cr_assert(has(text, part), "%s\n%s", part, text.c_str());
  }
}

Test(status_page, without_losses_the_text_says_so) {
  Snapshot snapshot = test_snapshot();
  snapshot.losses.clear();
  const std::string text = status_text(test_status(snapshot));
  cr_assert(has(text, "\nLost, since recording began\n  none\n") && has(text, "\nStacks that end early\n  none\n"));
  cr_assert(has(text, "than expected\n  nothing is known that would make it so\n"));
}

Test(status_page, a_name_ends_no_line) {
  Status status = test_status();
  status.program = "/a\nb";
  status.foreign_malloc = "/c\nd";
  status.process.host = "e\nf";
  status.process.sigprof_blocked_by = {{1, "g\nh"}};
  const std::string text = status_text(status);
  for (const char* part : {"/a?b", "/c?d", "e?f", "g?h"}) cr_assert(has(text, part), "%s", part);
}

Test(status_page, a_thousand_blocking_threads_are_not_all_named) {
  Status status = test_status();
  status.process.sigprof_blocked_by.assign(1000, {1, "x"});
  cr_assert(has(status_text(status), "    and 980 more\n"));
}

Test(status_page, json_has_numbers_as_they_are) {
  Status status = test_status();
  status.process.sigprof_blocked_by = {{4712, "wor\"ker\xff"}};
  const std::string json = status_json(status);
  cr_assert_eq(value_of(json, "process.pid"), "4711");
  cr_assert_eq(value_of(json, "process.command_line.1"), "a \"b\"");
  cr_assert_eq(value_of(json, "process.start_unix_ns"), "1700000000000000000");
  cr_assert_eq(value_of(json, "profiles.1.kind"), "heap");
  cr_assert_eq(value_of(json, "profiles.1.samples"), "6");
  cr_assert_eq(value_of(json, "profiles.3.ns"), "8000000");
  cr_assert_eq(value_of(json, "profiles.0.recording"), "on");
  cr_assert_eq(value_of(json, "sigprof.blocked_by.0.name"), "wor\"ker?");
  cr_assert_eq(value_of(json, "sigprof.taken_by_program"), "False");
  cr_assert_eq(value_of(json, "own.region_bytes"), "4194304");
  cr_assert_eq(value_of(json, "unreached.0.file"), "/lib/libjemalloc.so.2");
  cr_assert_eq(value_of(json, "settings.block_rate_ns"), "10000");
}

Test(status_page, json_has_every_cause_and_whom_it_concerns) {
  const std::string json = status_json(test_status());
  for (unsigned i = 0; i < kLossCauses; ++i) {
    const auto cause = static_cast<LossCause>(i);
    cr_assert_neq(loss_text(cause), "unknown");
    cr_assert(has(json, "{\"cause\":\"" + std::string(loss_name(cause)) + "\""));
  }
  const std::string refused = "losses." + std::to_string(static_cast<unsigned>(LossCause::timer_refused));
  cr_assert_eq(value_of(json, refused + ".profiles"), "['cpu', 'trace']");
}
