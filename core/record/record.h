// Puts the record side's tables into a new region. Normal code, once after region_create().
#pragma once

namespace prof {

// False: no room (the region is then unusable).
bool record_create();

}  // namespace prof
