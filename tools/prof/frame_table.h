// Which function each location of a profile stands for: the rows of a report by function.
//
// Functions of one name are one row, whatever file they are in. Where no name is known, the rows are by program or
// library.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/prof/profile.h"

namespace prof::reader {

struct Row {
  std::string name;          // as printed: a function, "[libc.so.6]" or "<unknown>"
  std::string anonymous_id;  // tells rows of the same printed name apart
};

struct FrameTable {
  std::vector<Row> rows;
  std::vector<std::vector<uint32_t>> rows_of_location;  // innermost inlined function first, never empty
};

FrameTable frame_table(const Profile& profile);

// The last component: "libc.so.6" of "/usr/lib/libc.so.6".
std::string base_name(const std::string& path);

}  // namespace prof::reader
