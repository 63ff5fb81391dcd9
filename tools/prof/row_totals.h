// What each row of a report adds up to: flat, where the row is the leaf, and cumulative, where it is anywhere in the
// stack.
//
// A function that occurs several times in a stack (recursion) counts once for each sample.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tools/prof/frame_table.h"
#include "tools/prof/profile.h"

namespace prof::reader {

struct RowTotal {
  int64_t flat = 0, cum = 0;
  bool called_inline = false;  // some caller had it inlined
  bool called_outright = false;
};

// One for each row of `frames`. `kept` is empty, or says for each row whether it is to be shown: the others are left
// out of the stacks, so that the callers of a row are the shown ones. Callers that stand for less than `edge_cutoff`
// are not counted as callers.
std::vector<RowTotal> row_totals(const Profile& profile, const FrameTable& frames, size_t value_index,
                                 const std::vector<bool>& kept, int64_t edge_cutoff);

}  // namespace prof::reader
