// unshare and setns, with libprof's own threads out of their way (preload/lone_thread.h).

#include <sched.h>

#include "preload/lone_thread.h"

#define EXPORTED __attribute__((visibility("default")))

extern "C" {

EXPORTED int unshare(int flags) { return prof::unshare_as_lone_thread(flags); }
EXPORTED int setns(int fd, int type) { return prof::setns_as_lone_thread(fd, type); }

}  // extern "C"
