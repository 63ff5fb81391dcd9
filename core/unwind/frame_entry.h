// The frame description entry (FDE) of a code address, found by .eh_frame_hdr's sorted table. Signal-safe; no lock, no allocation.
//
// Source: Linux Standard Base, Core 5.0, 10.6 (.eh_frame, .eh_frame_hdr).
#pragma once

#include <cstdint>

#include "core/unwind/code_bytes.h"

namespace prof {

struct ByteRange {
  uint64_t start = 0;
  uint64_t end = 0;
};

struct FrameEntry {
  ByteRange code;                  // the addresses it describes
  ByteRange initial_instructions;  // of its common information entry (CIE)
  ByteRange instructions;
  uint64_t code_factor = 1;
  int64_t data_factor = 1;
  uint64_t return_column = 0;
  uint8_t pointer_encoding = 0;
  bool is_signal_frame = false;  // its caller was interrupted: no return address was pushed
};

enum class EntrySearch {
  found,
  no_entry,  // no entry describes the address
  foreign,   // the object's tables are not as linkers write them
};

// bytes: of the object that has the address.
EntrySearch find_frame_entry(CodeBytes* bytes, uint64_t address, FrameEntry* entry);

}  // namespace prof
