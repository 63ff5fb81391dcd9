// Which loaded object an address belongs to, and where its unwind information lies: glibc's _dl_find_object, which is
// lock-free and async-signal-safe by contract (glibc manual, "Dynamic Linker Introspection"; 2.35 and later).
// Signal-safe.
#pragma once

#include <cstdint>

namespace prof {

struct CodeObject {
  uint64_t start =
      0;  // of its mapping, or of the segment with the tables: [start, end) is readable as long as it is loaded
  uint64_t end = 0;
  uint64_t eh_frame_hdr = 0;  // address of PT_GNU_EH_FRAME's contents
};

// Notes where the main program's segments are: the kernel maps them one by one, and where they leave a hole glibc knows each by itself,
// apart from that with the tables. Once, in normal code.
void code_lookup_start();

// False: no object has code there, or it has no unwind information.
bool find_code_object(uint64_t pc, CodeObject* object);

// Around an unloading: while it lasts, libraries' bytes may go while they are read, so they are read by the kernel's copying
// (slow, but it does not fault). begin waits for those that read directly (they are running handlers: microseconds). Normal
// code; may nest.
void unloading_begin();
void unloading_end();

// Holds off unloading while a handler reads unwind information. True: direct reads are safe until it is destroyed.
class CodeReader {
 public:
  CodeReader();
  ~CodeReader();
  CodeReader(const CodeReader&) = delete;
  CodeReader& operator=(const CodeReader&) = delete;
  bool may_read_directly() const { return direct_; }

 private:
  bool direct_;
};

}  // namespace prof
