// The functions of stepped_functions.cc, in each of the variants that it is compiled in.
#pragma once

#define STEPPED_VARIANT(name)                                                                                      \
  namespace prof::name {                                                                                           \
  void call_all();                                                                                                 \
  void jump();                          /* by longjmp out of two frames */                                         \
  void throw_through();                 /* an exception through frames that clean up, caught, thrown on, caught */ \
  const void* realigned_and_variable(); /* call_all() has it called */                                             \
  }

STEPPED_VARIANT(plain)               // -O0
STEPPED_VARIANT(optimized)           // -O2, which leaves frame pointers out
STEPPED_VARIANT(with_frame_pointer)  // -O2 -fno-omit-frame-pointer
STEPPED_VARIANT(small)               // -Os
STEPPED_VARIANT(fastest)             // -O3, with stack protectors and probes

#undef STEPPED_VARIANT
