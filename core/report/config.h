// The settings, from PROF_ variables. Normal code; allocates nothing (it runs in every process's start).
//
// A value that cannot be used gets one line (the variable, the value, what is accepted), and what it was for stays off.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/base/raw_log.h"

namespace prof {

enum class ClockChoice { automatic, timer, perf };

struct Config {
  std::string_view cpu_file;   // PROF_CPU, or empty: no CPU profile
  std::string_view directory;  // PROF_DIR
  int cpu_hz = 100;
  ClockChoice cpu_clock = ClockChoice::automatic;
  int64_t cpu_delay_ns = 0;
  int64_t cpu_duration_ns = 0;
  int cpu_signal = 0;  // 0: none
  unsigned stack_depth = 128;
  bool follow = true;
  LogLevel log_level = LogLevel::warn;

  bool cpu = false;  // a CPU profile is wanted, and every setting that it needs can be used
};

// environment: as environ. The views of the result point into it. Says what is wrong with it on stderr.
Config config_from_environment(const char* const* environment);

}  // namespace prof
