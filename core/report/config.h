// The settings, from PROF_ variables. Normal code; allocates nothing (it runs in every process's start).
//
// A value that cannot be used gets one line (the variable, the value, what is accepted), and what it was for stays off.
#pragma once

#include <signal.h>

#include <cstdint>
#include <string_view>

#include "core/base/raw_log.h"

namespace prof {

enum class ClockChoice { automatic, timer, perf, user };
enum class UnwindChoice { tables, libunwind, frame_pointers };

// What a profile is of; each has a file of its own. The order is that of Config::files and of Output::paths.
enum class ProfileKind : unsigned { cpu, heap, allocs, block, mutex, threadcreate, wall, stacks, trace, count };
inline constexpr unsigned kProfileKinds = static_cast<unsigned>(ProfileKind::count);

// A set of kinds.
class KindSet {
 public:
  constexpr KindSet() = default;
  template <typename... Kinds>
  constexpr explicit KindSet(ProfileKind first, Kinds... rest) : bits_((bit(first) | ... | bit(rest))) {}
  static constexpr KindSet all() {
    KindSet set;
    set.bits_ = (1u << kProfileKinds) - 1;
    return set;
  }
  constexpr bool has(ProfileKind kind) const { return (bits_ & bit(kind)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool meets(KindSet other) const { return (bits_ & other.bits_) != 0; }
  constexpr KindSet without(KindSet other) const {
    KindSet set;
    set.bits_ = bits_ & ~other.bits_;
    return set;
  }
  constexpr void add(ProfileKind kind) { bits_ |= bit(kind); }
  // As a number, and back.
  constexpr unsigned bits() const { return bits_; }
  static constexpr KindSet of_bits(unsigned bits) {
    KindSet set;
    set.bits_ = bits & all().bits_;
    return set;
  }
  constexpr bool operator==(const KindSet&) const = default;

 private:
  static constexpr unsigned bit(ProfileKind kind) { return 1u << static_cast<unsigned>(kind); }
  unsigned bits_ = 0;
};
// One recording serves both.
inline constexpr KindSet kHeapKinds{ProfileKind::heap, ProfileKind::allocs};
// Not in PROF_DIR: off unless asked for.
inline constexpr KindSet kNamedKinds{ProfileKind::wall, ProfileKind::stacks, ProfileKind::trace};
// What threads' CPU clocks tick for.
inline constexpr KindSet kTickedKinds{ProfileKind::cpu, ProfileKind::trace};
// Those that a snapshot holds.
inline constexpr KindSet kCumulativeKinds = KindSet::all().without(KindSet(ProfileKind::cpu));

struct Config {
  std::string_view files[kProfileKinds];  // PROF_CPU, PROF_HEAP, …; empty: see directory
  std::string_view directory;             // PROF_DIR: for every kind that has no file; empty: such a kind is off
  int cpu_hz = 100;
  ClockChoice cpu_clock = ClockChoice::automatic;
  int64_t cpu_delay_ns = 0;
  int64_t cpu_duration_ns = 0;
  int cpu_signal = 0;               // 0: none
  uint64_t heap_rate = 512 * 1024;  // mean bytes between sampled allocations
  bool heap_peak = false;
  bool heap_mmap = false;
  int64_t block_rate_ns = 10'000;  // a wait of so long is always recorded
  int wall_hz = 100;               // of all threads together
  uint32_t mutex_fraction = 1;     // one of so many contended unlocks is recorded
  uint32_t trace_buffer = 64;      // KiB of events, of each thread
  int snapshot_signal = SIGUSR2;   // 0: none
  bool names_snapshot_signal = false;
  std::string_view http;        // PROF_HTTP, that can be used (http_address.h); empty: nothing is served
  std::string_view http_token;  // PROF_HTTP_TOKEN_FILE: its name; empty: none
  unsigned stack_depth = 128;
  UnwindChoice unwind = UnwindChoice::tables;
  bool follow = true;
  // PROF_FOLLOW: of children by exec, those that are followed, separated by commas; empty: all
  std::string_view follow_names;
  int64_t exit_timeout_ns = 5'000'000'000;  // for what is written when the process ends
  std::string_view labels;                  // PROF_LABELS: key=value,…
  std::string_view spool;                   // PROF_SPOOL: the folder of the region's file; empty: it has none
  LogLevel log_level = LogLevel::warn;

  KindSet usable;           // every setting of theirs can be used
  KindSet kinds;            // of these, that are wanted
  bool api = false;         // the program may ask for others later (prof.h)
  bool api_is_set = false;  // by PROF_API; else whoever knows the program says

  bool serves() const { return !http.empty(); }
  // Whether kinds may be asked for later that no setting names.
  bool is_asked_later() const { return api || serves(); }
  bool is_needed() const { return is_asked_later() || !kinds.empty(); }
};

// Calls take(key, value) for each label of PROF_LABELS, until it answers false. False: it did, or the text is not key=value,… with a
// value for each.
template <typename Take>
bool for_each_label(std::string_view text, Take take) {
  while (!text.empty()) {
    const std::string_view label = text.substr(0, text.find(','));
    const size_t equals = label.find('=');
    if (equals == std::string_view::npos || equals + 1 == label.size()) return false;
    if (!take(label.substr(0, equals), label.substr(equals + 1))) return false;
    if (label.size() + 1 == text.size()) return false;  // a comma at the end
    text.remove_prefix(label.size() < text.size() ? label.size() + 1 : label.size());
  }
  return true;
}

// Whether PROF_FOLLOW has a program of these names: of its file, and of what was executed (a script, a link); with their folders.
bool is_followed(const Config& config, std::string_view file, std::string_view executed);

// The file's setting of a kind, or the folder's: empty where the kind is off.
std::string_view variable_of(const Config& config, ProfileKind kind);
// The kind in names of files in PROF_DIR, and in messages.
std::string_view name_of(ProfileKind kind);
std::string_view title_of(ProfileKind kind);

// environment: as environ. The views of the result point into it. Says what is wrong with it on stderr; of a child of a profiled program, which
// has its settings from there, only at PROF_LOG=info.
Config config_from_environment(const char* const* environment, bool is_child = false);

}  // namespace prof
