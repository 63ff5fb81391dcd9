#include "core/report/file_name.h"

#include <unistd.h>

#include <chrono>

namespace prof {
namespace {

void append_padded(std::string* text, int number, size_t digits) {
  const std::string plain = std::to_string(number);
  if (plain.size() < digits) text->append(digits - plain.size(), '0');
  *text += plain;
}

// A name within a folder, whatever it is made of.
std::string without_slashes(std::string_view text) {
  std::string name(text);
  for (char& c : name) {
    if (c == '/') c = '_';
  }
  return name;
}

}  // namespace

std::string time_text(int64_t unix_ns) {
  // Not gmtime: it takes libc's time zone lock, reads a file, and allocates in the program's heap.
  const auto when = std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(unix_ns));
  const auto midnight = std::chrono::floor<std::chrono::days>(when);
  const std::chrono::year_month_day date(midnight);
  const std::chrono::hh_mm_ss time(std::chrono::floor<std::chrono::seconds>(when - midnight));
  std::string text = std::to_string(static_cast<int>(date.year()));
  append_padded(&text, static_cast<int>(static_cast<unsigned>(date.month())), 2);
  append_padded(&text, static_cast<int>(static_cast<unsigned>(date.day())), 2);
  text += 'T';
  append_padded(&text, static_cast<int>(time.hours().count()), 2);
  append_padded(&text, static_cast<int>(time.minutes().count()), 2);
  append_padded(&text, static_cast<int>(time.seconds().count()), 2);
  return text + 'Z';
}

FileNameFacts file_name_facts_of_self(int64_t started_unix_ns) {
  FileNameFacts facts;
  facts.pid = getpid();
  char path[4096];
  const ssize_t bytes = readlink("/proc/self/exe", path, sizeof(path));
  const std::string_view executable(path, bytes < 0 ? 0 : static_cast<size_t>(bytes));
  facts.executable = executable.substr(executable.rfind('/') + 1);
  facts.time = time_text(started_unix_ns);
  char host[256] = "localhost";
  gethostname(host, sizeof(host) - 1);
  facts.host = without_slashes(host);
  return facts;
}

bool expand_file_name(std::string_view pattern, const FileNameFacts& facts, std::string* name, std::string* error) {
  name->clear();
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%') {
      *name += pattern[i];
      continue;
    }
    const char sequence = ++i < pattern.size() ? pattern[i] : '\0';
    switch (sequence) {
      case 'p':
        *name += std::to_string(facts.pid);
        break;
      case 'e':
        *name += facts.executable;
        break;
      case 't':
        *name += facts.time;
        break;
      case 'h':
        *name += facts.host;
        break;
      case '%':
        *name += '%';
        break;
      default:
        *error = "accepted after %: p, e, t, h or another %";
        return false;
    }
  }
  if (name->empty()) *error = "accepted: a file name";
  return !name->empty();
}

std::string insert_before_suffix(std::string_view path, std::string_view inserted) {
  const size_t name = path.rfind('/') == std::string_view::npos ? 0 : path.rfind('/') + 1;
  // A name's first dot makes it hidden; it begins no suffix.
  size_t dot = path.rfind('.');
  if (dot == std::string_view::npos || dot <= name) dot = path.size();
  for (const std::string_view packed : {".pb.gz", ".json.gz"}) {
    if (path.ends_with(packed) && path.size() - packed.size() > name) dot = path.size() - packed.size();
  }
  std::string result(path.substr(0, dot));
  result += '.';
  result += inserted;
  result += path.substr(dot);
  return result;
}

}  // namespace prof
