#include "tools/prof/process_labels.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <unordered_map>

namespace prof::reader {
namespace {

constexpr std::string_view kProgram = "program: ";
constexpr std::string_view kPid = ", pid ";

std::optional<int64_t> number_of(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

std::string label_with_process(Profile* profile) {
  for (auto comment = profile->comments.begin(); comment != profile->comments.end(); ++comment) {
    const std::string_view line = *comment;
    const size_t at = line.rfind(kPid);
    if (!line.starts_with(kProgram) || at == std::string_view::npos) continue;
    const std::optional<int64_t> pid = number_of(line.substr(at + kPid.size()));
    if (!pid) continue;
    const std::string_view program = line.substr(kProgram.size(), at - kProgram.size());
    std::string command(program.substr(program.rfind('/') + 1));
    if (command.empty()) command = "?";
    profile->comments.erase(comment);
    for (Sample& sample : profile->samples) {
      if (!sample.labels.contains("pid")) sample.numeric_labels.try_emplace("pid", NumericLabel{{*pid}, {}});
      if (!sample.numeric_labels.contains("command")) sample.labels.try_emplace("command", std::vector{command});
    }
    return command;
  }
  return {};
}

void add_up_comments(std::vector<std::string>* comments) {
  std::vector<std::string> made;
  std::unordered_map<std::string, int64_t> sums;
  std::vector<std::string> counted;  // in order
  for (const std::string& comment : *comments) {
    const size_t colon = comment.rfind(": ");
    const auto number =
        colon == std::string::npos ? std::nullopt : number_of(std::string_view(comment).substr(colon + 2));
    if (number) {
      const auto [known, is_new] = sums.try_emplace(comment.substr(0, colon), 0);
      if (is_new) counted.push_back(known->first);
      known->second += *number;
    } else if (std::find(made.begin(), made.end(), comment) == made.end()) {
      made.push_back(comment);
    }
  }
  for (const std::string& what : counted) made.push_back(what + ": " + std::to_string(sums[what]));
  *comments = std::move(made);
}

}  // namespace prof::reader
