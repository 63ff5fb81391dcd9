// The server of PROF_HTTP: a process of its own beside the program, libprof.so executed (preload/program_launch.h). So no client can reach
// the program's memory, and nothing that happens here happens to the program: what is recorded there is read from outside, and
// what is to be switched there is asked for (control_message.h). Normal code.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/raw_log.h"
#include "core/serve/served_settings.h"

namespace prof {

struct ServerArguments {
  int pid = 0;  // of the program
  uint64_t region = 0;
  bool is_child = false;  // its parent has the port
  LogLevel log_level = LogLevel::warn;
  std::string_view value;       // of PROF_HTTP, for messages
  std::string_view address;     // the same, with a path as it is to be (core/report/http_address.h)
  std::string_view token_file;  // absolute; empty: none
  std::string_view
      executable;    // the program's file, as it says itself: one that gave up its rights cannot be asked for it
  int control = -1;  // the pair's end
  // The program's /proc/PID/mem and …/maps, opened by itself; -1: they are asked for each time. Of one that may not open its own
  // memory: a file, open for writing too, that it copies its region to when it is asked (ControlOp::read).
  int memory = -1;
  int maps = -1;
  ServedSettings settings;
};

// How they are handed over as a program's arguments, numbers first; their order stands in preload/http_helper.cc and libprof_program.cc.
inline constexpr unsigned kServerNumbers = 11;
inline constexpr unsigned kServerTexts = 4;

// By which the program's libprof ends its server, queued with the region's address. One of the program's own, to a group of processes,
// is nothing to it.
inline constexpr int kServerEndSignal = 64;

// Serves until the program has ended or executes another one, or has sent kServerEndSignal. What keeps it from that is said, in one line. The exit code.
int serve(const ServerArguments& arguments);

}  // namespace prof
