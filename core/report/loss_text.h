// What each cause of loss is called in a profile. Normal code.
#pragma once

#include <string_view>

#include "core/record/loss_counters.h"

namespace prof {

std::string_view loss_text(LossCause cause);

}  // namespace prof
