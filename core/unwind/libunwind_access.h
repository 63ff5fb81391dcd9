// What libunwind asks of us: where unwind information is, and memory that it may read. Shared by rule_from_libunwind (a stack
// of symbols) and slow_walk (the real one). Signal-safe.
#pragma once

#include <libunwind-x86_64.h>

#include <cstdint>

#include "core/unwind/code_bytes.h"

namespace prof {

// What each `arg` of libunwind's callbacks points to: the callbacks of both uses begin with it.
struct UnwindAccess {
  explicit UnwindAccess(bool direct_reads) : bytes(direct_reads) {}

  CodeBytes bytes;          // of the object last found: what may be read
  bool found_info = false;  // since the caller last reset it
};

// libunwind's find_proc_info and put_unwind_info. arg: an UnwindAccess.
int find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t* info, int need_unwind_info, void* arg);
void put_unwind_info(unw_addr_space_t space, unw_proc_info_t* info, void* arg);

// The callbacks that are the same for both uses; access_mem and access_reg are the caller's.
unw_accessors_t common_accessors();

}  // namespace prof
