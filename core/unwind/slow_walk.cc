#include "core/unwind/slow_walk.h"

#include <libunwind-x86_64.h>

#include "core/unwind/libunwind_access.h"

namespace prof {
namespace {

struct Walk {
  explicit Walk(bool direct_reads) : access(direct_reads) {}

  UnwindAccess access;  // first: libunwind's callbacks get a pointer to it
  const ucontext_t* context = nullptr;
  ReadableMemory* memory = nullptr;
  bool unreadable = false;
};

int access_mem(unw_addr_space_t, unw_word_t address, unw_word_t* value, int write, void* arg) {
  auto* walk = static_cast<Walk*>(arg);
  if (write != 0) return -UNW_EINVAL;
  if (walk->access.bytes.read(address, value, sizeof(*value))) return 0;
  uint64_t word;
  if (walk->memory->read(address, &word)) {
    *value = word;
    return 0;
  }
  walk->unreadable = true;
  return -UNW_EINVAL;
}

// libunwind numbers registers as DWARF does; the kernel orders them otherwise.
int access_reg(unw_addr_space_t, unw_regnum_t number, unw_word_t* value, int write, void* arg) {
  static constexpr int kContextIndex[] = {REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                          REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                          REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP};
  if (write != 0 || number < 0 || number > UNW_X86_64_RIP) return -UNW_EINVAL;
  *value = static_cast<unw_word_t>(static_cast<Walk*>(arg)->context->uc_mcontext.gregs[kContextIndex[number]]);
  return 0;
}

unw_addr_space_t g_stack_space = nullptr;

}  // namespace

void make_context(const CalleeSaved& here, ucontext_t* context) {
  context->uc_stack.ss_flags = SS_DISABLE;
  auto& registers = context->uc_mcontext.gregs;
  for (auto& value : registers) value = 0;
  registers[REG_RIP] = static_cast<greg_t>(here.pc);
  registers[REG_RSP] = static_cast<greg_t>(here.sp);
  registers[REG_RBP] = static_cast<greg_t>(here.bp);
  registers[REG_RBX] = static_cast<greg_t>(here.bx);
  registers[REG_R12] = static_cast<greg_t>(here.r12);
  registers[REG_R13] = static_cast<greg_t>(here.r13);
  registers[REG_R14] = static_cast<greg_t>(here.r14);
  registers[REG_R15] = static_cast<greg_t>(here.r15);
}

void slow_walk_start() {
  unw_accessors_t accessors = common_accessors();
  accessors.access_mem = access_mem;
  accessors.access_reg = access_reg;
  g_stack_space = unw_create_addr_space(&accessors, 0);
  if (g_stack_space != nullptr) unw_set_caching_policy(g_stack_space, UNW_CACHE_NONE);
}

StackEnd slow_walk(const ucontext_t& context, ReadableMemory* memory, FrameVisitor visit, void* self) {
  const CodeReader reader;
  Walk walk(reader.may_read_directly());
  walk.context = &context;
  walk.memory = memory;
  uint64_t sp = static_cast<uint64_t>(context.uc_mcontext.gregs[REG_RSP]);
  if (!visit(self, static_cast<uint64_t>(context.uc_mcontext.gregs[REG_RIP]), false)) return StackEnd::complete;
  unw_cursor_t cursor;
  if (g_stack_space == nullptr || unw_init_remote(&cursor, g_stack_space, &walk) != 0) return StackEnd::no_unwind_info;
  for (bool is_first = true;; is_first = false) {
    walk.access.found_info = false;
    const int step = unw_step(&cursor);
    // What it says behind a step is of the frame that it stepped out of.
    const bool from_signal = unw_is_signal_frame(&cursor) > 0;
    if (!walk.access.found_info) return StackEnd::no_unwind_info;
    if (step < 0) return walk.unreadable ? StackEnd::unreadable : StackEnd::no_unwind_info;
    unw_word_t ip = 0;
    unw_word_t next_sp = 0;
    if (step == 0 || unw_get_reg(&cursor, UNW_X86_64_RIP, &ip) != 0 || ip == 0) return StackEnd::complete;
    unw_get_reg(&cursor, UNW_X86_64_RSP, &next_sp);
    // Below a signal frame the stack may be any other; elsewhere a caller's frame is above. But the first one's may be empty, with its return address
    // in a register: vfork takes it off the stack that it shares with the child.
    if (!from_signal && (next_sp < sp || (next_sp == sp && !is_first))) return StackEnd::no_progress;
    sp = next_sp;
    if (!visit(self, ip, !from_signal)) return StackEnd::complete;
  }
}

}  // namespace prof
