// The settings, from PROF_ variables. Normal code; allocates nothing (it runs in every process's start).
//
// A value that cannot be used gets one line (the variable, the value, what is accepted), and what it was for stays off.
#pragma once

#include <signal.h>

#include <cstdint>
#include <string_view>

#include "core/base/raw_log.h"

namespace prof {

enum class ClockChoice { automatic, timer, perf };

// What a profile is of; each has a file of its own. The order is that of Config::files and of Output::paths.
enum class ProfileKind : unsigned { cpu, heap, allocs, count };
inline constexpr unsigned kProfileKinds = static_cast<unsigned>(ProfileKind::count);

struct Config {
  std::string_view files[kProfileKinds];  // PROF_CPU, PROF_HEAP, PROF_ALLOCS; empty: see directory
  std::string_view directory;             // PROF_DIR: for every kind that has no file; empty: such a kind is off
  int cpu_hz = 100;
  ClockChoice cpu_clock = ClockChoice::automatic;
  int64_t cpu_delay_ns = 0;
  int64_t cpu_duration_ns = 0;
  int cpu_signal = 0;               // 0: none
  uint64_t heap_rate = 512 * 1024;  // mean bytes between sampled allocations
  bool heap_peak = false;
  bool heap_mmap = false;
  int snapshot_signal = SIGUSR2;  // 0: none
  unsigned stack_depth = 128;
  bool follow = true;
  LogLevel log_level = LogLevel::warn;

  // A profile is wanted, and every setting that it needs can be used.
  bool cpu = false;
  bool heap = false;  // heap or allocs: the same recording
};

// The file's setting of a kind, or the folder's: empty where the kind is off.
std::string_view variable_of(const Config& config, ProfileKind kind);
// The kind in names: of files in PROF_DIR, and in messages.
std::string_view name_of(ProfileKind kind);

// environment: as environ. The views of the result point into it. Says what is wrong with it on stderr.
Config config_from_environment(const char* const* environment);

}  // namespace prof
