#include "preload/program_malloc.h"

#include <dlfcn.h>

#include <cstddef>

#include "core/record/byte_sampler.h"
#include "preload/real_symbols.h"

namespace prof {

bool program_malloc_reaches_ours() {
  const auto program_malloc = reinterpret_cast<void* (*)(size_t)>(real::first_definition("malloc"));
  const auto program_free = reinterpret_cast<void (*)(void*)>(real::first_definition("free"));
  if (program_malloc == nullptr || program_free == nullptr) return false;
  const uint64_t left = t_bytes_left;
  const uint32_t calls = t_sampler_calls;
  void* volatile block = program_malloc(1);
  const bool reached = t_bytes_left != left || t_sampler_calls != calls;
  program_free(block);
  return reached;
}

const char* file_of_foreign_malloc() {
  if (program_malloc_reaches_ours()) return nullptr;
  Dl_info info = {};
  const void* first = real::first_definition("malloc");
  return first == nullptr || dladdr(first, &info) == 0 ? nullptr : info.dli_fname;
}

}  // namespace prof
