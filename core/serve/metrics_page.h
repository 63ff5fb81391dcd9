// `/metrics`: the status for Prometheus, in its text format 0.0.4. Normal code, without side effects.
#pragma once

#include <string>
#include <string_view>

#include "core/serve/status.h"

namespace prof {

inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

// Names begin with libprof_; what ends in _total only grows as long as the process lives. A series is there from the first scrape on, at
// 0, so that its growth can be seen.
std::string metrics_page(const Status& status);

}  // namespace prof
