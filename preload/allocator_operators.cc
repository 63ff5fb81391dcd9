#include "preload/allocator_operators.h"

#include <dlfcn.h>

#include <cstddef>
#include <new>

#include "preload/call_slots.h"
#include "preload/heap_sampling.h"
#include "preload/real_allocator.h"
#include "preload/real_symbols.h"

// No cleanup is to be written here: an exception of the program's library passes through these frames, and it shall find nothing
// to run in them.

namespace prof {
namespace {

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

// A new: the parameters after the size, if any; a delete: those after the block. Names by the Itanium C++ ABI.
template <unsigned index, typename... Rest>
struct Operator {
  static void* real;
  static void* allocate(size_t size, Rest... rest) {
    const Unchanged unchanged;
    void* block = reinterpret_cast<void* (*)(size_t, Rest...)>(real)(size, rest...);
    return counted(block, size, unchanged);
  }
  static void release(void* block, Rest... rest) {
    about_to_delete(block);
    reinterpret_cast<void (*)(void*, Rest...)>(real)(block, rest...);
  }
};
template <unsigned index, typename... Rest>
void* Operator<index, Rest...>::real = nullptr;

template <unsigned index, typename... Rest>
CallSlot slot_of_new(const char* name) {
  using Op = Operator<index, Rest...>;
  return {name, reinterpret_cast<void*>(&Op::allocate), &Op::real};
}
template <unsigned index, typename... Rest>
CallSlot slot_of_delete(const char* name) {
  using Op = Operator<index, Rest...>;
  return {name, reinterpret_cast<void*>(&Op::release), &Op::real};
}

using Nothrow = const std::nothrow_t&;
using Align = std::align_val_t;

}  // namespace

void allocator_operators_start() {
  const CallSlot slots[] = {
      slot_of_new<0>("_Znwm"),
      slot_of_new<1>("_Znam"),
      slot_of_new<2, Align>("_ZnwmSt11align_val_t"),
      slot_of_new<3, Align>("_ZnamSt11align_val_t"),
      slot_of_new<4, Nothrow>("_ZnwmRKSt9nothrow_t"),
      slot_of_new<5, Nothrow>("_ZnamRKSt9nothrow_t"),
      slot_of_new<6, Align, Nothrow>("_ZnwmSt11align_val_tRKSt9nothrow_t"),
      slot_of_new<7, Align, Nothrow>("_ZnamSt11align_val_tRKSt9nothrow_t"),
      slot_of_delete<8>("_ZdlPv"),
      slot_of_delete<9>("_ZdaPv"),
      slot_of_delete<10, size_t>("_ZdlPvm"),
      slot_of_delete<11, size_t>("_ZdaPvm"),
      slot_of_delete<12, Nothrow>("_ZdlPvRKSt9nothrow_t"),
      slot_of_delete<13, Nothrow>("_ZdaPvRKSt9nothrow_t"),
      slot_of_delete<14, Align>("_ZdlPvSt11align_val_t"),
      slot_of_delete<15, Align>("_ZdaPvSt11align_val_t"),
      slot_of_delete<16, size_t, Align>("_ZdlPvmSt11align_val_t"),
      slot_of_delete<17, size_t, Align>("_ZdaPvmSt11align_val_t"),
      slot_of_delete<18, Align, Nothrow>("_ZdlPvSt11align_val_tRKSt9nothrow_t"),
      slot_of_delete<19, Align, Nothrow>("_ZdaPvSt11align_val_tRKSt9nothrow_t"),
  };
  // Only if they come with malloc.
  const void* definition = real::first_definition(slots[0].name);
  Dl_info of_new = {};
  Dl_info of_malloc = {};
  if (definition == nullptr || dladdr(definition, &of_new) == 0 ||
      dladdr(reinterpret_cast<const void*>(g_real_allocator.malloc), &of_malloc) == 0 ||
      of_new.dli_fbase != of_malloc.dli_fbase) {
    return;
  }
  point_call_slots(slots, sizeof(slots) / sizeof(slots[0]), definition);
}

}  // namespace prof
