// What becomes of an exec that a process is about to make, seen from its reporter. Normal code.
//
// A failed one is known for certain: the process waits until its reporter has seen it (SnapshotNumbers::exec_dropped) before it goes on, and
// may end. Memory that is gone is another program's, or of a process that ended before the exec was made: what it executed last tells.
#pragma once

#include <cstdint>
#include <string>

#include "core/report/owner_memory.h"

namespace prof {

enum class ExecOutcome { made, failed, ended };

class ExecWatch {
 public:
  // Before the process is told that it may go on to the exec. number: of it (SnapshotNumbers::execs).
  ExecWatch(int pid, const OwnerMemory& owner, uint32_t number);
  // Waits for it. Who asks has to be ended where it does not come.
  ExecOutcome await() const;

 private:
  // What the kernel says of a process; start_ticks is 0 where it says nothing.
  struct Process {
    std::string name;
    char state = 'X';
    uint64_t flags = 0;
    uint64_t start_ticks = 0;
    uint64_t caught = 0;  // signals that it handles
  };
  static Process process_now(int pid);
  bool is_replaced(const Process& now) const;
  bool has_lost_handlers(const Process& now) const;
  ExecOutcome outcome_without_memory() const;

  const int pid_;
  const OwnerMemory& owner_;
  const uint32_t number_;
  const Process before_;
};

}  // namespace prof
