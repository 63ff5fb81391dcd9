// A profile as text, as Go's `?debug=1` prints it: for people, and read by google/pprof's legacy parser. Normal code.
//
//   heap profile: 3: 1536 [10: 5120] @ heap/1048576     --- mutex:                     goroutine profile: total 8
//   3: 1536 [10: 5120] @ 0x55d4 0x7f12                  cycles/second=1000000000       7 @ 0x7f01 0x7f02
//   #\t0x55d3\tCache::fill+0x2f\t/usr/bin/server          sampling period=1              # labels: {"state":"condition"}
//   #\t0x7f11\tmain+0x31\t\t/usr/bin/server               81200 2 @ 0x55d4 0x7f12        #\t0x7f00\t…
//
// The addresses behind `@` are one more than the profile's: the parser takes them for return addresses, and one off. The largest
// come first. At the end: the profile's comments, and which files the code is in, so that pprof finds names and lines.
#pragma once

#include <string>

#include "core/report/config.h"
#include "core/report/profile_model.h"
#include "core/report/symbolizer.h"

namespace prof {

// The stacks' `?debug=2`, a block a thread, is stacks_text()'s; of the other kinds it is the same text.
//
// heap and allocs: as sampled, since the parser does the scaling by the rate in the first line. A profile with blocks that stand for
// themselves among the sampled ones (PROF_HEAP_MMAP) has no such rate: it is printed as scaled, and says rate 1. All others are printed
// as they are, and say so by a period of 1.
std::string profile_text(const Profile& profile, ProfileKind kind, Symbolizer* symbolizer);

}  // namespace prof
