#include "core/report/ending.h"

#include <signal.h>
#include <string.h>

namespace prof {

std::string ending_text(Ending ending) {
  switch (ending) {
    case Ending::by_exit:
      return {};
    case Ending::immediate:
      return "ended by _exit";
    case Ending::quick:
      return "ended by quick_exit";
    case Ending::exec:
      return "went on as another program (exec)";
    case Ending::amid_exec:
      return "ended as it was about to go on as another program (exec)";
    default:
      break;
  }
  const int number = static_cast<int>(ending) - static_cast<int>(Ending::signal);
  std::string text = "ended by signal " + std::to_string(number);
  if (const char* name = sigabbrev_np(number); name != nullptr) text += " (SIG" + std::string(name) + ")";
  return text;
}

}  // namespace prof
