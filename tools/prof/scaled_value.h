// Numbers as people read them: 1.23s, 10ms, 4.50MB, 12.30%. Plain functions of their arguments; any code may call them.
//
// The units, the rounding and the padding are those of `go tool pprof`, so that two readers' outputs can be compared
// line by line. A change here breaks that comparison (tests/e2e/test_prof.py).
#pragma once

#include <cstdint>
#include <string>

namespace prof {

struct ScaledValue {
  double value = 0;
  std::string unit;  // empty where it says nothing: counts
};

// `to` may be a unit, or "auto": the largest unit that keeps the value at 1 or more.
ScaledValue scale(int64_t value, const std::string& from, const std::string& to);

// "1.50s", "3", "0".
std::string scaled_label(int64_t value, const std::string& from, const std::string& to);

// "12.30%", "  100%", "0.031%": six characters or more, sign dropped.
std::string percentage(int64_t value, int64_t total);

// Sums and magnitudes of values read from a file wrap instead of overflowing.
int64_t wrapping_add(int64_t a, int64_t b);
int64_t magnitude(int64_t value);

}  // namespace prof
