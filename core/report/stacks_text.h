// Every thread's stack as text, in the manner of a Go goroutine dump:
//
//   thread 4711 "worker" [mutex, 3.214 s]:
//   \tqueue::pop()+0x31  /usr/bin/app
//   \tstart_thread+0x2f4  /usr/lib/x86_64-linux-gnu/libc.so.6
//
// Normal code.
#pragma once

#include <string>

#include "core/report/profile_model.h"
#include "core/report/snapshot.h"
#include "core/report/symbolizer.h"

namespace prof {

// profile: of this snapshot, by build_stacks_profile(): its samples are the snapshot's threads.
std::string stacks_text(const Snapshot& snapshot, const Profile& profile, Symbolizer* symbolizer);

}  // namespace prof
