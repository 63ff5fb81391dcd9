// Whether this is still the process whose region is mapped here. A child of fork that was made past our fork handlers (a bare system
// call) shares its parent's region and must not write into it. A child of vfork is the parent for us.
#pragma once

#include <atomic>
#include <cstdint>

namespace prof {

// Of a page that the kernel empties in a child of fork (MADV_WIPEONFORK).
extern std::atomic<uint32_t>* g_fork_flag;

// Sets it; again in a child of fork, once that has a region of its own. False: there is no such page to be had. Normal code.
bool fork_flag_set();

// Signal-safe. Only after fork_flag_set().
inline bool fork_flag_holds() { return g_fork_flag->load(std::memory_order_relaxed) != 0; }

}  // namespace prof
