// Why a profile is empty, or has less in it than expected, in plain words. Normal code, without side effects.
#pragma once

#include <string>
#include <vector>

#include "core/serve/status.h"

namespace prof {

// Whole sentences; none: there is nothing to say. The first is what a reader should know first.
std::vector<std::string> why_empty(const Status& status, const KindStatus& kind);

}  // namespace prof
