// The process that is served, as the server sees it: what is recorded there, read from outside, and what is switched on and off in it,
// by asking. Normal code, one thread.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include "core/report/config.h"
#include "core/report/module_map.h"
#include "core/report/snapshot.h"
#include "core/report/snapshot_from_region.h"
#include "core/report/symbolizer.h"
#include "core/serve/control.h"
#include "core/serve/served_settings.h"
#include "core/serve/server.h"

namespace prof {

// What cannot be done now; what() is for the client.
class Refused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class HostProcess {
 public:
  HostProcess(const ServerArguments& arguments, Control* control);

  int pid() const { return pid_; }

  struct Since {
    int64_t unix_ns;
    bool from_start;
  };
  // Switches a kind on for good. Throws Refused.
  Since switch_on(ProfileKind kind);
  // Of one that is on; unix_ns 0: it is off.
  Since since(ProfileKind kind) const { return since_[static_cast<unsigned>(kind)]; }
  // As they are now.
  const ServedSettings& settings() const { return settings_; }
  void set_block_rate(int64_t ns);
  void set_mutex_fraction(uint32_t fraction);
  // What the program itself may have changed is asked for. Where it does not answer, all is as it was.
  void refresh();
  bool is_paused() const { return is_paused_; }

  // While one of these lives, CPU ticks or samples of the wall clock are counted, or a trace is recorded. Throws Refused.
  class Counting {
   public:
    Counting(HostProcess* host, ControlOp op);
    ~Counting();
    Counting(const Counting&) = delete;
    Counting& operator=(const Counting&) = delete;

   private:
    HostProcess* const host_;
    const ControlOp op_;
  };
  unsigned counting_cpu() const { return cpu_clients_; }
  unsigned counting_wall() const { return wall_clients_; }
  unsigned tracing() const { return trace_clients_; }

  // What is recorded now. Throws Refused.
  Snapshot snapshot(const SnapshotParts& parts);
  // With every thread's stack. Throws Refused.
  Snapshot snapshot_of_threads();

  // Its code, as mapped at the last look(). Symbols are kept from one look to the next, as long as the same files are mapped.
  void look();
  const ModuleMap& modules() const { return modules_; }
  Symbolizer* symbolizer() { return symbolizer_.get(); }
  // Lets go of what is kept to be quick.
  void rest();

  // False: it has ended, or executes another program.
  bool is_there();
  // Whether it has threads of its own yet.
  bool has_threads() const;

 private:
  ControlMessage ask(ControlOp op, uint64_t value = 0);
  void set_rate(ProfileKind kind, ControlOp op, uint64_t rate);
  // It is on.
  void note(ProfileKind kind, const Since& since);
  unsigned& clients(ControlOp op) {
    return op == ControlOp::count_cpu ? cpu_clients_ : op == ControlOp::count_wall ? wall_clients_ : trace_clients_;
  }

  const int pid_;
  const uint64_t region_;
  const int memory_;
  const bool is_copy_;  // that is a file with a copy of the region, made for each snapshot
  const int maps_;
  ServedSettings settings_;
  Since since_[kProfileKinds] = {};
  Control* const control_;
  bool is_paused_ = false;
  unsigned cpu_clients_ = 0;
  unsigned wall_clients_ = 0;
  unsigned trace_clients_ = 0;
  std::string executable_;
  std::string files_;  // mapped at the last look
  ModuleMap modules_;
  std::unique_ptr<Symbolizer> symbolizer_;
};

}  // namespace prof
