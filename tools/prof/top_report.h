// The functions of a profile by their own (flat) and their callees' (cumulative) share: `prof top`. The numbers are those of
// `go tool pprof -top -symbolize=none`, which tests/e2e/test_prof.py holds it to.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "profile.pb.h"

namespace prof {

struct TopOptions {
  bool by_cum = false;
  int count = 0;            // lines; 0: all
  double min_share = 0.005;  // functions with a smaller cumulative share are left out
  int sample_type = 0;      // index
};

struct TopLine {
  std::string name;
  int64_t flat = 0;
  int64_t cum = 0;
};

struct TopTable {
  std::vector<TopLine> lines;  // as they are shown
  size_t dropped = 0;          // left out for their share
  int64_t cutoff = 0;
  int64_t total = 0;
};

TopTable top_table(const perftools::profiles::Profile& profile, const TopOptions& options);
std::string top_report(const perftools::profiles::Profile& profile, const TopOptions& options);

// The head that both reports begin with: file, build id, comments, sample type, time, duration. total: of the sample type.
std::string report_head(const perftools::profiles::Profile& profile, int sample_type);

}  // namespace prof
