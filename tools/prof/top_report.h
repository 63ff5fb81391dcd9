// `prof top`: where the time (or memory, …) went, by function.
//
// Text, numbers and order are those of `go tool pprof -top -symbolize=none`, line by line. That includes what is left
// out: functions below 0.5 % of the total, which a line of the header counts. The profile's comments (samples lost, the
// clock used, …) are lines of the header, unless they begin with '#'. Frame-dropping patterns in a profile are not
// applied.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "tools/prof/profile.h"

namespace prof::reader {

struct TopOptions {
  bool by_cum = false;
  size_t max_rows = 0;       // 0: all
  std::string sample_index;  // a sample type's name or number; empty: the profile's default, else the last
};

std::optional<std::string> top_report(const Profile& profile, const TopOptions& options, std::string& error);

}  // namespace prof::reader
