// `/debug/pprof/status`: whether all is well with the recording, and why a profile is empty; as text for people, or as JSON. Normal code,
// without side effects.
#pragma once

#include <string>

#include "core/serve/status.h"

namespace prof {

std::string status_text(const Status& status);

// Numbers are plain (nanoseconds, bytes, Unix time in nanoseconds), causes and kinds by name. Fields are only ever added.
std::string status_json(const Status& status);

}  // namespace prof
