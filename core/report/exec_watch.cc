#include "core/report/exec_watch.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <bit>
#include <charconv>
#include <cstddef>
#include <sstream>
#include <string_view>

#include "core/record/snapshot_numbers.h"
#include "core/report/module_map.h"

namespace prof {
namespace {

// Of /proc/PID/stat (kernel: PF_EXITING, PF_FORKNOEXEC).
constexpr uint64_t kEnds = 0x4;
constexpr uint64_t kHasExecutedNothing = 0x40;

}  // namespace

ExecWatch::ExecWatch(int pid, const OwnerMemory& owner, uint32_t number)
    : pid_(pid), owner_(owner), number_(number), before_(process_now(pid)) {}

ExecWatch::Process ExecWatch::process_now(int pid) {
  const std::string text = read_proc_file("/proc/" + std::to_string(pid) + "/stat");
  const size_t begin = text.find('('), end = text.rfind(')');
  if (begin == std::string::npos || end == std::string::npos || end <= begin) return {};
  Process process;
  process.name = text.substr(begin + 1, end - begin - 1);
  std::istringstream fields(text.substr(end + 1));
  constexpr int kFlags = 9, kStart = 22;
  std::string skipped;
  fields >> process.state;
  for (int field = 4; field < kFlags; ++field) fields >> skipped;
  fields >> process.flags;
  for (int field = kFlags + 1; field < kStart; ++field) fields >> skipped;
  fields >> process.start_ticks;
  if (!fields) return {};
  const std::string status = read_proc_file("/proc/" + std::to_string(pid) + "/status");
  constexpr std::string_view kCaught = "\nSigCgt:\t";
  const size_t caught = status.find(kCaught);
  if (caught != std::string::npos)
    std::from_chars(status.data() + caught + kCaught.size(), status.data() + status.size(), process.caught, 16);
  return process;
}

bool ExecWatch::is_replaced(const Process& now) const {
  if ((before_.flags & kHasExecutedNothing) != 0) return (now.flags & kHasExecutedNothing) == 0;
  return now.name != before_.name;
}

// An exec resets every handler, of which libprof has some twenty; an end by a signal that of one.
bool ExecWatch::has_lost_handlers(const Process& now) const { return std::popcount(before_.caught & ~now.caught) > 1; }

// Two cases nothing tells apart: of a process that has been reaped the exec was most likely made, since most are; one that has executed a
// program of its own name under libprof, and has ended since, is taken for one that ended before.
ExecOutcome ExecWatch::outcome_without_memory() const {
  const Process now = process_now(pid_);
  if (now.start_ticks == 0 || now.start_ticks != before_.start_ticks) return ExecOutcome::made;
  const bool lives = now.state != 'Z' && now.state != 'X' && (now.flags & kEnds) == 0;
  return lives || is_replaced(now) || has_lost_handlers(now) ? ExecOutcome::made : ExecOutcome::ended;
}

ExecOutcome ExecWatch::await() const {
  // Who fails waits: 50 µs at first, as precise as may be. Most are made, or have failed, within a millisecond.
  constexpr int kBriefLooks = 200;
  prctl(PR_SET_TIMERSLACK, 1);
  for (int looks = 0;; ++looks) {
    uint32_t execs = 0;
    if (!owner_.read(Root::snapshots, offsetof(SnapshotNumbers, execs), &execs)) return outcome_without_memory();
    if (execs != number_) {
      owner_.write(Root::snapshots, offsetof(SnapshotNumbers, exec_dropped), number_);
      return ExecOutcome::failed;
    }
    // A process that shares the memory keeps it.
    const OwnerMemory::Place place = owner_.place();
    if (place == OwnerMemory::Place::left) return outcome_without_memory();
    if (place == OwnerMemory::Place::unclear && is_replaced(process_now(pid_))) return ExecOutcome::made;
    usleep(looks < kBriefLooks ? 50 : 1000);
  }
}

}  // namespace prof
