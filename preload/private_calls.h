// What libprof calls of the C library, past those who interpose it too. Normal code; the clock by it is signal-safe before and after.
#pragma once

namespace prof {

// Finds the C library's own clock. In the constructor.
void private_calls_start();

}  // namespace prof
