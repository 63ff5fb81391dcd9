// Runs a function on another stack. Signal-safe. A handler may run on an 8 KB alternate stack of which the kernel's frame has
// already taken half, or on a small coroutine stack: what needs more room than a few hundred bytes runs on scratch memory.
#pragma once

namespace prof {

// Calls function(argument) with the stack pointer at `top` (aligned to 16) and returns on the present stack. function must
// return, and not throw.
extern "C" __attribute__((visibility("hidden"))) void prof_call_on_stack(void* top, void (*function)(void*),
                                                                         void* argument);

}  // namespace prof
