#include "core/report/config.h"

#include <signal.h>

#include <algorithm>
#include <charconv>

#include "core/record/label_sets.h"
#include "core/report/http_address.h"

namespace prof {
namespace {

constexpr KindSet kNone;
constexpr KindSet kCpu{ProfileKind::cpu};
constexpr KindSet kBlock{ProfileKind::block};
constexpr KindSet kMutex{ProfileKind::mutex};
constexpr KindSet kWall{ProfileKind::wall};
constexpr KindSet kTrace{ProfileKind::trace};
constexpr KindSet kAtSignal{ProfileKind::stacks};  // and at no other time
constexpr KindSet kTimedWaits{ProfileKind::block, ProfileKind::trace};

// What a message says of the kinds that stay off.
constexpr std::string_view text_of(KindSet off) {
  if (off == kNone) return "";
  if (off == kCpu) return " (no CPU profile)";
  if (off == kHeapKinds) return " (no heap profile)";
  if (off == kBlock) return " (no block profile)";
  if (off == kMutex) return " (no mutex profile)";
  if (off == kWall) return " (no wall profile)";
  if (off == kTrace) return " (no trace)";
  if (off == kTickedKinds) return " (no CPU profile, no trace)";
  if (off == kTimedWaits) return " (no block profile, no trace)";
  if (off == KindSet(ProfileKind::threadcreate)) return " (no threadcreate profile)";
  if (off == kAtSignal) return " (no stacks)";
  return " (no profile)";
}

// How one variable is taken over. False: the value cannot be used.
struct Setting {
  std::string_view name;
  std::string_view accepted;
  KindSet needed_by;  // stay off when its value cannot be used
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

// As `kill -l` writes the real-time signals: RTMIN, RTMIN+3, RTMAX-2, RTMAX.
bool parse_realtime_signal(std::string_view text, int* signal) {
  const bool from_least = text.starts_with("RTMIN");
  if (!from_least && !text.starts_with("RTMAX")) return false;
  text.remove_prefix(5);
  int distance = 0;
  if (!text.empty()) {
    if (text.front() != (from_least ? '+' : '-')) return false;
    text.remove_prefix(1);
    if (!parse_number(text, 0, SIGRTMAX - SIGRTMIN, &distance)) return false;
  }
  *signal = from_least ? SIGRTMIN + distance : SIGRTMAX - distance;
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
  if (*signal != 0 || parse_realtime_signal(text, signal)) return true;
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
    "a signal's name such as USR1 or RTMIN+3, or its number; not one that a fault or libprof uses";
constexpr std::string_view kSnapshotSignalsAccepted =
    "a signal's name such as USR2 or RTMIN+3, or its number, not one that a fault or libprof uses; or 0 for none";

template <ProfileKind kind>
bool take_file(std::string_view value, Config* config) {
  config->files[static_cast<unsigned>(kind)] = value;
  return !value.empty();
}

bool parse_switch(std::string_view value, bool* on) {
  *on = value == "1";
  return value == "0" || value == "1";
}

bool are_labels(std::string_view text) {
  std::string_view keys[kMaxLabels];
  unsigned count = 0;
  return for_each_label(text, [&](std::string_view key, std::string_view) {
    char copy[kMaxLabelKeyBytes + 1] = {};
    if (count == kMaxLabels || key.size() > kMaxLabelKeyBytes) return false;
    key.copy(copy, key.size());
    if (check_label_key(copy) != LabelKey::good || std::find(keys, keys + count, key) != keys + count) return false;
    keys[count++] = key;
    return true;
  });
}

bool are_names(std::string_view text) {
  for (;;) {
    const std::string_view name = text.substr(0, text.find(','));
    if (name.empty() || name.find('/') != std::string_view::npos) return false;
    if (name.size() == text.size()) return true;
    text.remove_prefix(name.size() + 1);
  }
}

constexpr Setting kSettings[] = {
    {"PROF_CPU", "a file name", kCpu, take_file<ProfileKind::cpu>},
    {"PROF_HEAP", "a file name", kHeapKinds, take_file<ProfileKind::heap>},
    {"PROF_ALLOCS", "a file name", kHeapKinds, take_file<ProfileKind::allocs>},
    {"PROF_BLOCK", "a file name", kBlock, take_file<ProfileKind::block>},
    {"PROF_MUTEX", "a file name", kMutex, take_file<ProfileKind::mutex>},
    {"PROF_THREAD", "a file name", KindSet(ProfileKind::threadcreate), take_file<ProfileKind::threadcreate>},
    {"PROF_WALL", "a file name", kWall, take_file<ProfileKind::wall>},
    {"PROF_STACKS", "a file name", KindSet(ProfileKind::stacks), take_file<ProfileKind::stacks>},
    {"PROF_TRACE", "a file name", kTrace, take_file<ProfileKind::trace>},
    {"PROF_DIR", "a folder's name", KindSet::all(),
     [](std::string_view value, Config* config) {
       config->directory = value;
       return !value.empty();
     }},
    {"PROF_CPU_HZ", "a whole number from 1 to 10000", kTickedKinds,
     [](std::string_view value, Config* config) { return parse_number(value, 1, 10000, &config->cpu_hz); }},
    {"PROF_CPU_CLOCK", "auto, timer, perf or user", kTickedKinds,
     [](std::string_view value, Config* config) {
       config->cpu_clock = value == "perf"    ? ClockChoice::perf
                           : value == "timer" ? ClockChoice::timer
                           : value == "user"  ? ClockChoice::user
                                              : ClockChoice::automatic;
       return value == "auto" || config->cpu_clock != ClockChoice::automatic;
     }},
    {"PROF_CPU_DELAY", "seconds, such as 2 or 0.5", kCpu,
     [](std::string_view value, Config* config) { return parse_seconds(value, &config->cpu_delay_ns); }},
    {"PROF_CPU_DURATION", "seconds, such as 30 or 0.5, more than 0", kCpu,
     [](std::string_view value, Config* config) {
       return parse_seconds(value, &config->cpu_duration_ns) && config->cpu_duration_ns > 0;
     }},
    {"PROF_CPU_SIGNAL", kSignalsAccepted, kCpu,
     [](std::string_view value, Config* config) { return parse_signal(value, &config->cpu_signal); }},
    {"PROF_UNWIND", "tables, libunwind or fp", KindSet::all(),
     [](std::string_view value, Config* config) {
       config->unwind = value == "libunwind" ? UnwindChoice::libunwind
                        : value == "fp"      ? UnwindChoice::frame_pointers
                                             : UnwindChoice::tables;
       return value == "tables" || value == "libunwind" || value == "fp";
     }},
    {"PROF_STACK_DEPTH", "a whole number of frames from 1 to 1024", KindSet::all(),
     [](std::string_view value, Config* config) { return parse_number(value, 1u, 1024u, &config->stack_depth); }},
    {"PROF_HEAP_RATE", "a whole number of bytes from 1 to 1099511627776", kHeapKinds,
     [](std::string_view value, Config* config) {
       return parse_number(value, uint64_t{1}, uint64_t{1} << 40, &config->heap_rate);
     }},
    {"PROF_HEAP_PEAK", "0 or 1", kHeapKinds,
     [](std::string_view value, Config* config) { return parse_switch(value, &config->heap_peak); }},
    {"PROF_HEAP_MMAP", "0 or 1", kHeapKinds,
     [](std::string_view value, Config* config) { return parse_switch(value, &config->heap_mmap); }},
    {"PROF_WALL_HZ", "a whole number from 1 to 10000", kWall,
     [](std::string_view value, Config* config) { return parse_number(value, 1, 10000, &config->wall_hz); }},
    {"PROF_BLOCK_RATE", "a whole number of nanoseconds from 1 to 1000000000000", kTimedWaits,
     [](std::string_view value, Config* config) {
       return parse_number(value, int64_t{1}, int64_t{1'000'000'000'000}, &config->block_rate_ns);
     }},
    {"PROF_MUTEX_FRACTION", "a whole number from 1 to 1000000000", kMutex,
     [](std::string_view value, Config* config) {
       return parse_number(value, 1u, 1'000'000'000u, &config->mutex_fraction);
     }},
    {"PROF_TRACE_BUFFER", "a whole number of KiB from 4 to 512", kTrace,
     [](std::string_view value, Config* config) { return parse_number(value, 4u, 512u, &config->trace_buffer); }},
    {"PROF_SIGNAL", kSnapshotSignalsAccepted, kAtSignal,
     [](std::string_view value, Config* config) {
       config->snapshot_signal = 0;
       config->names_snapshot_signal = true;
       return value == "0" || parse_signal(value, &config->snapshot_signal);
     }},
    {"PROF_HTTP", "host:port, port (of loopback) or unix:/path; port 0 is one that is free", kNone,
     [](std::string_view value, Config* config) {
       HttpAddress address;
       if (parse_http_address(value, &address)) config->http = value;
       return config->serves();
     }},
    {"PROF_HTTP_TOKEN_FILE", "a file name", kNone,
     [](std::string_view value, Config* config) {
       config->http_token = value;
       return !value.empty();
     }},
    {"PROF_FOLLOW", "0, 1, or names of programs with commas between", KindSet::all(),
     [](std::string_view value, Config* config) {
       config->follow_names = {};
       if (parse_switch(value, &config->follow)) return true;
       config->follow = true;
       config->follow_names = value;
       return are_names(value);
     }},
    {"PROF_EXIT_TIMEOUT", "seconds, such as 5 or 0.5, more than 0", kNone,
     [](std::string_view value, Config* config) {
       int64_t ns = 0;
       if (!parse_seconds(value, &ns) || ns <= 0) return false;
       config->exit_timeout_ns = ns;
       return true;
     }},
    {"PROF_API", "0 or 1", kNone,
     [](std::string_view value, Config* config) {
       config->api_is_set = true;
       return parse_switch(value, &config->api);
     }},
    {"PROF_LABELS",
     "key=value,key=value, at most 16; a key of at most 64 bytes, and not thread, tid, state, bytes, start or pprof::…",
     kNone,
     [](std::string_view value, Config* config) {
       if (value.empty() || !are_labels(value)) return false;
       config->labels = value;
       return true;
     }},
    {"PROF_SPOOL", "a folder's name, or 0 for none", kNone,
     [](std::string_view value, Config* config) {
       config->spool = value == "0" ? std::string_view() : value;
       return !value.empty();
     }},
    {"PROF_LOG", "error, warn, info or debug", kNone,
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

bool is_of_server(std::string_view name) { return name.starts_with("PROF_HTTP"); }

const Setting* find_setting(std::string_view name) {
  for (const Setting& setting : kSettings) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

}  // namespace

Config config_from_environment(const char* const* environment, bool is_child) {
  // A child's settings are its parent's nearly always, and so are their faults.
  const LogLevel warning = is_child ? LogLevel::info : LogLevel::warn;
  const LogLevel fault = is_child ? LogLevel::info : LogLevel::error;
  Config config;
  KindSet usable = KindSet::all();
  bool may_serve = true;
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
        LogLine(warning) << name << ": there is no such setting; libprof's README lists them";
      } else if (!setting->take(value, &config)) {
        LogLine(fault) << name << ": '" << value << "' cannot be used; accepted: " << setting->accepted
                       << (is_of_server(name)      ? " (nothing is served)"
                           : name == "PROF_SIGNAL" ? " (no snapshots)"
                                                   : text_of(setting->needed_by));
        usable = usable.without(setting->needed_by);
        may_serve &= !is_of_server(name);
      }
    }
    if (log_only) log_start(config.log_level);
  }
  if (!may_serve) config.http = {};
  config.usable = usable;
  for (unsigned i = 0; i < kProfileKinds; ++i) {
    const auto kind = static_cast<ProfileKind>(i);
    if (usable.has(kind) && !variable_of(config, kind).empty()) config.kinds.add(kind);
  }
  const bool has_snapshots = config.kinds.meets(kCumulativeKinds);
  if (config.kinds.has(ProfileKind::cpu) && has_snapshots && config.cpu_signal == config.snapshot_signal &&
      config.cpu_signal != 0) {
    LogLine(fault) << "PROF_CPU_SIGNAL: it is PROF_SIGNAL too; choose another for one of them (no snapshots)";
    config.snapshot_signal = 0;
    config.kinds = config.kinds.without(KindSet(ProfileKind::stacks));
  }
  // They are written at its signal and at no other time.
  if (config.kinds.has(ProfileKind::stacks) && config.snapshot_signal == 0) {
    LogLine(warning) << "PROF_STACKS: nothing would ever be written, as PROF_SIGNAL=0 leaves it no signal (no stacks)";
    config.kinds = config.kinds.without(KindSet(ProfileKind::stacks));
  }
  return config;
}

bool is_followed(const Config& config, std::string_view file, std::string_view executed) {
  if (!config.follow || config.follow_names.empty()) return config.follow;
  for (std::string_view names = config.follow_names;;) {
    const std::string_view name = names.substr(0, names.find(','));
    if (name == file.substr(file.rfind('/') + 1) || name == executed.substr(executed.rfind('/') + 1)) return true;
    if (name.size() == names.size()) return false;
    names.remove_prefix(name.size() + 1);
  }
}

std::string_view variable_of(const Config& config, ProfileKind kind) {
  static constexpr std::string_view kVariables[] = {"PROF_CPU",   "PROF_HEAP",   "PROF_ALLOCS",
                                                    "PROF_BLOCK", "PROF_MUTEX",  "PROF_THREAD",
                                                    "PROF_WALL",  "PROF_STACKS", "PROF_TRACE"};
  if (!config.files[static_cast<unsigned>(kind)].empty()) return kVariables[static_cast<unsigned>(kind)];
  return config.directory.empty() || kNamedKinds.has(kind) ? std::string_view() : std::string_view("PROF_DIR");
}

std::string_view name_of(ProfileKind kind) {
  static constexpr std::string_view kNames[] = {"cpu",          "heap", "allocs", "block", "mutex",
                                                "threadcreate", "wall", "stacks", "trace"};
  return kNames[static_cast<unsigned>(kind)];
}

std::string_view title_of(ProfileKind kind) {
  return kind == ProfileKind::cpu ? std::string_view("CPU") : name_of(kind);
}

}  // namespace prof
