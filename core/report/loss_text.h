// What each cause of loss is called, and which profiles it has to do with. Normal code.
#pragma once

#include <string_view>

#include "core/record/loss_counters.h"
#include "core/report/config.h"

namespace prof {

// In words, for people.
std::string_view loss_text(LossCause cause);
// As a name, for programs: "region_full". The same as long as there is the cause.
std::string_view loss_name(LossCause cause);
// Whether it has to do with a kind of profile.
bool loss_concerns(LossCause cause, ProfileKind kind);
// Whether it is one of the reasons for a stack that ends early.
bool is_truncation(LossCause cause);

}  // namespace prof
