// operator new and delete: the program's own C++ library's, counted once. Most of them call malloc, which is counted there
// already; an allocator's own (tcmalloc's, jemalloc's) do not. Callable wherever malloc is.
//
// No cleanup is to be written here: an exception of the program's library passes through these frames, and it shall find nothing
// to run in them.

#include <stddef.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "core/base/raw_log.h"
#include "preload/heap_sampling.h"
#include "preload/real_allocator.h"

namespace {

// The real one, looked up at the first call.
template <typename Function>
struct Real {
  const char* const name;
  std::atomic<Function> function{nullptr};

  Function get(const void* caller) {
    Function known = function.load(std::memory_order_relaxed);
    return known != nullptr ? known : find(caller);
  }
  __attribute__((noinline)) Function find(const void* caller) {
    auto found = reinterpret_cast<Function>(prof::real_symbol(name, caller));
    if (found == nullptr) {
      prof::LogLine(prof::LogLevel::error) << "no definition of " << name << " behind libprof.so";
      abort();
    }
    function.store(found, std::memory_order_relaxed);
    return found;
  }
};

// Whether anything was counted in this thread since.
class Unchanged {
 public:
  Unchanged() : left_(prof::t_bytes_left), calls_(prof::t_sampler_calls) {}
  explicit operator bool() const { return left_ == prof::t_bytes_left && calls_ == prof::t_sampler_calls; }

 private:
  const uint64_t left_;
  const uint32_t calls_;
};

inline void* counted(void* block, size_t size, const Unchanged& unchanged) {
  return unchanged && prof::count_bytes(size) ? prof::heap_allocated(block, size) : block;
}

inline void about_to_delete(void* block) {
  if (prof::may_be_live(block) && block != nullptr) prof::heap_freed(block);
}

}  // namespace

#define EXPORTED __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0)

// name: the mangled one. parameters and arguments begin with the size.
#define PROF_NEW(result, declarator, name, parameters, arguments) \
  EXPORTED result declarator parameters {                         \
    static constinit Real<void*(*)parameters> real{name};         \
    const Unchanged unchanged;                                    \
    return counted(real.get(CALLER) arguments, size, unchanged);  \
  }
#define PROF_DELETE(declarator, name, parameters, arguments) \
  EXPORTED void declarator parameters noexcept {             \
    static constinit Real<void(*) parameters> real{name};    \
    about_to_delete(block);                                  \
    real.get(CALLER) arguments;                              \
  }

// clang-format off
PROF_NEW(void*, operator new, "_Znwm", (size_t size), (size))
PROF_NEW(void*, operator new[], "_Znam", (size_t size), (size))
PROF_NEW(void*, operator new, "_ZnwmSt11align_val_t", (size_t size, std::align_val_t alignment), (size, alignment))
PROF_NEW(void*, operator new[], "_ZnamSt11align_val_t", (size_t size, std::align_val_t alignment), (size, alignment))

#define PROF_NEW_NOTHROW(declarator, name, parameters, arguments)      \
  EXPORTED void* declarator parameters noexcept {                      \
    static constinit Real<void*(*) parameters> real{name};             \
    const Unchanged unchanged;                                         \
    return counted(real.get(CALLER) arguments, size, unchanged);       \
  }
PROF_NEW_NOTHROW(operator new, "_ZnwmRKSt9nothrow_t", (size_t size, const std::nothrow_t& tag), (size, tag))
PROF_NEW_NOTHROW(operator new[], "_ZnamRKSt9nothrow_t", (size_t size, const std::nothrow_t& tag), (size, tag))
PROF_NEW_NOTHROW(operator new, "_ZnwmSt11align_val_tRKSt9nothrow_t",
                 (size_t size, std::align_val_t alignment, const std::nothrow_t& tag), (size, alignment, tag))
PROF_NEW_NOTHROW(operator new[], "_ZnamSt11align_val_tRKSt9nothrow_t",
                 (size_t size, std::align_val_t alignment, const std::nothrow_t& tag), (size, alignment, tag))

PROF_DELETE(operator delete, "_ZdlPv", (void* block), (block))
PROF_DELETE(operator delete[], "_ZdaPv", (void* block), (block))
PROF_DELETE(operator delete, "_ZdlPvm", (void* block, size_t size), (block, size))
PROF_DELETE(operator delete[], "_ZdaPvm", (void* block, size_t size), (block, size))
PROF_DELETE(operator delete, "_ZdlPvRKSt9nothrow_t", (void* block, const std::nothrow_t& tag), (block, tag))
PROF_DELETE(operator delete[], "_ZdaPvRKSt9nothrow_t", (void* block, const std::nothrow_t& tag), (block, tag))
PROF_DELETE(operator delete, "_ZdlPvSt11align_val_t", (void* block, std::align_val_t alignment), (block, alignment))
PROF_DELETE(operator delete[], "_ZdaPvSt11align_val_t", (void* block, std::align_val_t alignment), (block, alignment))
PROF_DELETE(operator delete, "_ZdlPvmSt11align_val_t", (void* block, size_t size, std::align_val_t alignment),
            (block, size, alignment))
PROF_DELETE(operator delete[], "_ZdaPvmSt11align_val_t", (void* block, size_t size, std::align_val_t alignment),
            (block, size, alignment))
PROF_DELETE(operator delete, "_ZdlPvSt11align_val_tRKSt9nothrow_t",
            (void* block, std::align_val_t alignment, const std::nothrow_t& tag), (block, alignment, tag))
PROF_DELETE(operator delete[], "_ZdaPvSt11align_val_tRKSt9nothrow_t",
            (void* block, std::align_val_t alignment, const std::nothrow_t& tag), (block, alignment, tag))
// clang-format on
