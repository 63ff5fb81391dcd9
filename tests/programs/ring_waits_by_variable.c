// ring_waits.c, whose bare instruction has its number from a variable: no look at the code finds it.
// build: -O2 -fomit-frame-pointer -pthread -Wl,--no-as-needed,-luring
#define NUMBER_IS_VARIABLE
#include "ring_waits.c"
