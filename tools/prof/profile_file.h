// A profile read from a file, checked: every index in it is within bounds, so that the reports need not look.
#pragma once

#include <string>

#include "profile.pb.h"

namespace prof {

// name: a path, or "-" for standard input; gzip or plain. False: *error says in a line what is wrong.
bool read_profile(const std::string& name, perftools::profiles::Profile* profile, std::string* error);

// The text at an index of the string table.
inline const std::string& text_at(const perftools::profiles::Profile& profile, int64_t index) {
  return profile.string_table(static_cast<int>(index));
}

// The index of the sample type of that name; where name is empty the profile's default, else its last one. -1: there is none.
int sample_type_index(const perftools::profiles::Profile& profile, const std::string& name);

}  // namespace prof
