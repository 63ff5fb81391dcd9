// How a process ended, as its profiles say it. Plain data; the text is for normal code.
#pragma once

#include <cstdint>
#include <string>

namespace prof {

// Numbers, since a reporter is handed one.
enum class Ending : uint32_t {
  by_exit = 0,    // exit(), or main has returned: nothing is said of it
  immediate = 1,  // _exit
  quick = 2,      // quick_exit
  exec = 3,       // another program took its place
  amid_exec = 4,  // it was about to; seen by the reporter only
  signal = 256    // and the signal's number
};

constexpr Ending ending_by_signal(int number) {
  return static_cast<Ending>(static_cast<uint32_t>(Ending::signal) + static_cast<uint32_t>(number));
}

// Such as "ended by signal 15 (SIGTERM)"; empty for exit().
std::string ending_text(Ending ending);

}  // namespace prof
