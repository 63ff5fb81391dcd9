// What a thread's state (core/record/thread_table.h) is called in profiles. Normal code.
#pragma once

#include <cstdint>
#include <string>

namespace prof {

// "running", "mutex", "epoll_wait", …; "system call 999" where it has no name here.
std::string thread_state_text(uint32_t state);

}  // namespace prof
