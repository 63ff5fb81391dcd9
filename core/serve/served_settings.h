// The program's settings, as far as its server has to know them. Plain data.
#pragma once

#include <cstdint>

#include "core/report/config.h"

namespace prof {

struct ServedSettings {
  int64_t started_unix_ns = 0;  // recording
  KindSet from_start;           // recorded since then; the others are switched on by a request
  KindSet usable;               // the others cannot be had
  int cpu_hz = 0;
  uint64_t heap_rate = 0;     // mean bytes between samples
  int64_t block_rate_ns = 0;  // these two as they are once the kind is on
  uint32_t mutex_fraction = 0;
};

}  // namespace prof
