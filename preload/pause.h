// Whether the program has switched recording off for a while (prof_pause in prof.h): nothing new is recorded of any kind; what is freed
// of sampled blocks is seen. Signal-safe.
#pragma once

#include <atomic>

namespace prof {

inline constinit std::atomic<bool> g_recording_paused{false};

inline bool is_recording_paused() { return g_recording_paused.load(std::memory_order_relaxed); }

}  // namespace prof
