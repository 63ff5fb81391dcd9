// One profile out of one or more, without what no sample needs: equal samples become one, samples that are all zero go,
// and so do unused locations, functions and mappings. What remains is numbered in order of first use.
//
// A single profile is put through it too, because `go tool pprof` does: only then are the two readers' totals the same
// for profiles in which a stack occurs both with positive and with negative values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/prof/profile.h"

namespace prof::reader {

// `sources` must not be empty. Fails when the sources do not measure the same: sample types or period type differ.
std::optional<Profile> merged_profile(const std::vector<Profile>& sources, std::string& error);

}  // namespace prof::reader
