// What libunwind asks of us: where unwind information is, and memory that it may read. Shared by rule_from_libunwind (a stack
// of symbols) and slow_walk (the real one). Signal-safe.
#pragma once

#include <libunwind-x86_64.h>

#include <cstdint>

#include "core/unwind/code_lookup.h"

namespace prof {

// What each `arg` of libunwind's callbacks points to: the callbacks of both uses begin with it.
struct UnwindAccess {
  explicit UnwindAccess(bool direct_reads) : direct(direct_reads) {}

  const bool direct;        // CodeReader: else the object may go while it is read
  CodeObject object;        // the one last found: what may be read
  bool found_info = false;  // since the caller last reset it

  // What was last copied, where reads are not direct.
  static constexpr uint64_t kLineBytes = 64;
  uint64_t line_start = 0;
  uint64_t line_bytes = 0;
  unsigned char line[kLineBytes];
};

// libunwind's find_proc_info and put_unwind_info. arg: an UnwindAccess.
int find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t* info, int need_unwind_info, void* arg);
void put_unwind_info(unw_addr_space_t space, unw_proc_info_t* info, void* arg);

// The callbacks that are the same for both uses; access_mem and access_reg are the caller's.
unw_accessors_t common_accessors();

// Reads bytes at address if they lie in the code object. False: they do not, or it has gone.
bool read_code_object(UnwindAccess* access, uint64_t address, void* to, uint64_t bytes);

}  // namespace prof
