#include "core/report/config.h"

#include <signal.h>

#include <charconv>

namespace prof {
namespace {

// Which profiles stay off when a variable's value cannot be used.
enum class NeededBy { none, cpu, heap, all };

constexpr std::string_view text_of(NeededBy needed_by) {
  switch (needed_by) {
    case NeededBy::cpu:
      return " (no CPU profile)";
    case NeededBy::heap:
      return " (no heap profile)";
    case NeededBy::all:
      return " (no profile)";
    case NeededBy::none:
      break;
  }
  return "";
}

// How one variable is taken over. False: the value cannot be used.
struct Setting {
  std::string_view name;
  std::string_view accepted;
  NeededBy needed_by;
  bool (*take)(std::string_view value, Config* config);
};

template <typename Number>
bool parse_number(std::string_view text, Number least, Number most, Number* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size() && *number >= least && *number <= most;
}

bool parse_seconds(std::string_view text, int64_t* ns) {
  double seconds = 0;
  if (!parse_number(text, 0.0, 1e9, &seconds)) return false;
  *ns = static_cast<int64_t>(seconds * 1e9);
  return true;
}

bool parse_signal(std::string_view text, int* signal) {
  struct Name {
    std::string_view name;
    int number;
  };
  static constexpr Name kNames[] = {{"HUP", SIGHUP},       {"INT", SIGINT},     {"QUIT", SIGQUIT}, {"USR1", SIGUSR1},
                                    {"USR2", SIGUSR2},     {"ALRM", SIGALRM},   {"TERM", SIGTERM}, {"URG", SIGURG},
                                    {"VTALRM", SIGVTALRM}, {"WINCH", SIGWINCH}, {"IO", SIGIO},     {"PWR", SIGPWR}};
  if (text.starts_with("SIG")) text.remove_prefix(3);
  for (const Name& name : kNames) {
    if (text == name.name) *signal = name.number;
  }
  if (*signal != 0) return true;
  int number = 0;
  if (!parse_number(text, 1, 64, &number)) return false;
  // What cannot be caught, what means an error of the program, what libprof needs itself, and glibc's own 32 and 33.
  for (const int bad :
       {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT, SIGPROF, SIGCHLD, 32, 33}) {
    if (number == bad) return false;
  }
  *signal = number;
  return true;
}

constexpr std::string_view kSignalsAccepted =
    "a signal's name such as USR1, or its number; not one that a fault or libprof uses";
constexpr std::string_view kSnapshotSignalsAccepted =
    "a signal's name such as USR2, or its number, not one that a fault or libprof uses; or 0 for none";

template <ProfileKind kind>
bool take_file(std::string_view value, Config* config) {
  config->files[static_cast<unsigned>(kind)] = value;
  return !value.empty();
}

bool parse_switch(std::string_view value, bool* on) {
  *on = value == "1";
  return value == "0" || value == "1";
}

constexpr Setting kSettings[] = {
    {"PROF_CPU", "a file name", NeededBy::cpu, take_file<ProfileKind::cpu>},
    {"PROF_HEAP", "a file name", NeededBy::heap, take_file<ProfileKind::heap>},
    {"PROF_ALLOCS", "a file name", NeededBy::heap, take_file<ProfileKind::allocs>},
    {"PROF_DIR", "a folder's name", NeededBy::all,
     [](std::string_view value, Config* config) {
       config->directory = value;
       return !value.empty();
     }},
    {"PROF_CPU_HZ", "a whole number from 1 to 10000", NeededBy::cpu,
     [](std::string_view value, Config* config) { return parse_number(value, 1, 10000, &config->cpu_hz); }},
    {"PROF_CPU_CLOCK", "auto, timer or perf", NeededBy::cpu,
     [](std::string_view value, Config* config) {
       config->cpu_clock = value == "perf"    ? ClockChoice::perf
                           : value == "timer" ? ClockChoice::timer
                                              : ClockChoice::automatic;
       return value == "auto" || value == "timer" || value == "perf";
     }},
    {"PROF_CPU_DELAY", "seconds, such as 2 or 0.5", NeededBy::cpu,
     [](std::string_view value, Config* config) { return parse_seconds(value, &config->cpu_delay_ns); }},
    {"PROF_CPU_DURATION", "seconds, such as 30 or 0.5, more than 0", NeededBy::cpu,
     [](std::string_view value, Config* config) {
       return parse_seconds(value, &config->cpu_duration_ns) && config->cpu_duration_ns > 0;
     }},
    {"PROF_CPU_SIGNAL", kSignalsAccepted, NeededBy::cpu,
     [](std::string_view value, Config* config) { return parse_signal(value, &config->cpu_signal); }},
    {"PROF_STACK_DEPTH", "a whole number of frames from 1 to 1024", NeededBy::all,
     [](std::string_view value, Config* config) { return parse_number(value, 1u, 1024u, &config->stack_depth); }},
    {"PROF_HEAP_RATE", "a whole number of bytes from 1 to 1099511627776", NeededBy::heap,
     [](std::string_view value, Config* config) {
       return parse_number(value, uint64_t{1}, uint64_t{1} << 40, &config->heap_rate);
     }},
    {"PROF_HEAP_PEAK", "0 or 1", NeededBy::heap,
     [](std::string_view value, Config* config) { return parse_switch(value, &config->heap_peak); }},
    {"PROF_HEAP_MMAP", "0 or 1", NeededBy::heap,
     [](std::string_view value, Config* config) { return parse_switch(value, &config->heap_mmap); }},
    {"PROF_SIGNAL", kSnapshotSignalsAccepted, NeededBy::heap,
     [](std::string_view value, Config* config) {
       config->snapshot_signal = 0;
       return value == "0" || parse_signal(value, &config->snapshot_signal);
     }},
    {"PROF_FOLLOW", "0 or 1", NeededBy::all,
     [](std::string_view value, Config* config) { return parse_switch(value, &config->follow); }},
    {"PROF_LOG", "error, warn, info or debug", NeededBy::none,
     [](std::string_view value, Config* config) {
       static constexpr std::string_view kLevels[] = {"error", "warn", "info", "debug"};
       for (int level = 0; level < 4; ++level) {
         if (value != kLevels[level]) continue;
         config->log_level = static_cast<LogLevel>(level);
         return true;
       }
       return false;
     }},
};

constexpr std::string_view kPrefix = "PROF_";

const Setting* find_setting(std::string_view name) {
  for (const Setting& setting : kSettings) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

}  // namespace

Config config_from_environment(const char* const* environment) {
  Config config;
  bool cpu_usable = true;
  bool heap_usable = true;
  log_start(config.log_level);
  // Twice: PROF_LOG decides about the lines that the others may cause.
  for (const bool log_only : {true, false}) {
    for (const char* const* entry = environment; entry != nullptr && *entry != nullptr; ++entry) {
      const std::string_view text(*entry);
      const size_t equals = text.find('=');
      if (!text.starts_with(kPrefix) || equals == std::string_view::npos) continue;
      const std::string_view name = text.substr(0, equals);
      const std::string_view value = text.substr(equals + 1);
      if ((name == "PROF_LOG") != log_only) continue;
      const Setting* setting = find_setting(name);
      if (setting == nullptr) {
        LogLine(LogLevel::warn) << name << ": there is no such setting; libprof's README lists them";
      } else if (!setting->take(value, &config)) {
        LogLine(LogLevel::error) << name << ": '" << value << "' cannot be used; accepted: " << setting->accepted
                                 << text_of(setting->needed_by);
        const NeededBy needed_by = setting->needed_by;
        cpu_usable = cpu_usable && needed_by != NeededBy::cpu && needed_by != NeededBy::all;
        heap_usable = heap_usable && needed_by != NeededBy::heap && needed_by != NeededBy::all;
      }
    }
    if (log_only) log_start(config.log_level);
  }
  config.cpu = cpu_usable && !variable_of(config, ProfileKind::cpu).empty();
  config.heap = heap_usable &&
                !(variable_of(config, ProfileKind::heap).empty() && variable_of(config, ProfileKind::allocs).empty());
  if (config.cpu && config.heap && config.cpu_signal == config.snapshot_signal) {
    LogLine(LogLevel::error)
        << "PROF_CPU_SIGNAL: it is PROF_SIGNAL too; choose another for one of them (no heap snapshots)";
    config.snapshot_signal = 0;
  }
  return config;
}

std::string_view variable_of(const Config& config, ProfileKind kind) {
  static constexpr std::string_view kVariables[] = {"PROF_CPU", "PROF_HEAP", "PROF_ALLOCS"};
  if (!config.files[static_cast<unsigned>(kind)].empty()) return kVariables[static_cast<unsigned>(kind)];
  return config.directory.empty() ? std::string_view() : std::string_view("PROF_DIR");
}

std::string_view name_of(ProfileKind kind) {
  static constexpr std::string_view kNames[] = {"cpu", "heap", "allocs"};
  return kNames[static_cast<unsigned>(kind)];
}

}  // namespace prof
