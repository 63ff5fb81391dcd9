// What happened between two profiles of the same process and kind: after minus before. Normal code.
#pragma once

#include "core/report/profile_model.h"

namespace prof {

// By stack and labels, as Go's `?seconds=N` does it: a value may be negative (blocks that were freed in between), and a sample whose
// values are all zero is left out. Its time is the end's, its duration the time between; all else is as in `after`. Locations,
// functions and mappings that no sample needs any more are left out, but for the main program's mapping.
//
// Frames are told by file and address, and texts that stand for no code by the text: where they are in a profile's tables, and at which
// address a text is, differs from profile to profile.
Profile profile_delta(const Profile& before, Profile after);

}  // namespace prof
