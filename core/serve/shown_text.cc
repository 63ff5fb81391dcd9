#include "core/serve/shown_text.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "core/report/profile_encoder.h"

namespace prof {

std::string html_text(std::string_view text) {
  std::string html;
  for (const char c : valid_utf8(text)) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      case '\'':
        html += "&#39;";
        break;
      default:
        html += static_cast<unsigned char>(c) < ' ' || c == 127 ? '?' : c;
    }
  }
  return html;
}

std::string shell_word(std::string_view word) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%+";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string_view::npos) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::string shell_words(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += (line.empty() ? "" : " ") + shell_word(word);
  return line;
}

std::string duration_text(int64_t ns) {
  if (ns <= 0) return "0 s";
  char text[48];
  if (ns < 1'000'000'000) {
    const bool is_us = ns < 1'000'000;
    snprintf(text, sizeof(text), is_us ? "%.3g us" : "%.3g ms", static_cast<double>(ns) / (is_us ? 1e3 : 1e6));
    return text;
  }
  const int64_t seconds = ns / 1'000'000'000;
  if (seconds < 60) {
    snprintf(text, sizeof(text), "%.3g s", static_cast<double>(ns) / 1e9);
    return text;
  }
  struct Unit {
    int64_t seconds;
    const char* name;
    int64_t part;
    const char* part_name;
  };
  static constexpr Unit kUnits[] = {{86'400, "d", 3'600, "h"}, {3'600, "h", 60, "min"}, {60, "min", 1, "s"}};
  const Unit* unit = std::find_if(std::begin(kUnits), std::end(kUnits) - 1,
                                  [seconds](const Unit& each) { return seconds >= each.seconds; });
  const auto whole = static_cast<long>(seconds / unit->seconds);
  const auto rest = static_cast<long>(seconds % unit->seconds / unit->part);
  if (rest == 0) {
    snprintf(text, sizeof(text), "%ld %s", whole, unit->name);
  } else {
    snprintf(text, sizeof(text), "%ld %s %ld %s", whole, unit->name, rest, unit->part_name);
  }
  return text;
}

std::string utc_text(int64_t unix_ns) {
  const time_t seconds = unix_ns / 1'000'000'000;
  struct tm parts = {};
  gmtime_r(&seconds, &parts);
  char text[40];
  return {text, strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

std::string count_text(uint64_t count) {
  std::string text = std::to_string(count);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, " ");
  return text;
}

std::string counted_text(uint64_t count, std::string_view what) {
  return count_text(count) + " " + std::string(what) + (count == 1 ? "" : "s");
}

std::string bytes_text(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto size = static_cast<double>(bytes);
  size_t unit = 0;
  for (; size >= 1000 && unit + 1 < std::size(kUnits); ++unit) size /= 1024;
  char text[40];
  snprintf(text, sizeof(text), size >= 100 || unit == 0 ? "%.0f %s" : "%.3g %s", size, kUnits[unit]);
  return text;
}

}  // namespace prof
