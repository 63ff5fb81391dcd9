// Whether this process is run by valgrind: its tools watch the C library's calls, and it ends a program that makes a process by bare clone
// with its memory shared. Normal code.
#pragma once

#include <link.h>

#include <cstring>

namespace prof {

inline bool is_under_valgrind() {
  return dl_iterate_phdr([](struct dl_phdr_info* object, size_t,
                            void*) { return strstr(object->dlpi_name, "/vgpreload_") != nullptr ? 1 : 0; },
                         nullptr) != 0;
}

}  // namespace prof
