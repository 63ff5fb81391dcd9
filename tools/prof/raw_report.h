// All that is in a profile, as text: `prof raw`.
#pragma once

#include <string>

#include "profile.pb.h"

namespace prof {

std::string raw_report(const perftools::profiles::Profile& profile);

}  // namespace prof
