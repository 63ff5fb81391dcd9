#include "preload/sigprof_view.h"

#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/base/region.h"
#include "preload/cpu_sampling.h"

namespace prof {
namespace {

struct sigaction g_view;  // all zero: the default action

}  // namespace

bool sigprof_is_ours() { return g_region != nullptr && g_region->pid == raw_getpid() && cpu_sampling_has_sigprof(); }

int set_sigprof_view(const struct sigaction* action, struct sigaction* before) {
  const struct sigaction last = g_view;
  if (action != nullptr) {
    g_view = *action;
    const bool is_handler = action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
    if (is_handler) {
      cpu_sampling_give_up();
      LogLine(LogLevel::warn) << "the program handles SIGPROF itself: CPU sampling ends here";
      if (real::sigaction()(SIGPROF, action, nullptr) != 0) return -1;
    }
  }
  if (before != nullptr) *before = last;
  return 0;
}

}  // namespace prof
