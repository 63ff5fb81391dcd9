#include "core/unwind/readable_memory.h"

#include <sys/uio.h>

#include <cerrno>

#include "core/base/raw_syscall.h"
#include "core/unwind/machine.h"

namespace prof {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kWord = 8;

bool within(const StackBounds& bounds, uint64_t address) { return address >= bounds.low && address < bounds.high; }

// Bytes of this process as they are now, as many as are there: less at the end of what is mapped, negative for none.
long copy_out(uint64_t address, void* to, uint64_t bytes) {
  const struct iovec local = {to, bytes};
  const struct iovec remote = {reinterpret_cast<void*>(address), bytes};
  return raw_syscall(SYS_process_vm_readv, raw_getpid(), &local, 1, &remote, 1, 0);
}

bool copy_out_word(uint64_t address, uint64_t* word) {
  return copy_out(address, word, kWord) == static_cast<long>(kWord);
}

constinit bool g_reads_by_copies = false;

}  // namespace

void unwind_read_by_copies() { g_reads_by_copies = true; }

bool probe_readable(uint64_t address) {
  uint64_t word;
  if (g_reads_by_copies) return copy_out_word(address, &word);
  constexpr long kNoSuchHow = -1;
  return raw_syscall(SYS_rt_sigprocmask, kNoSuchHow, address, nullptr, kWord) != -EFAULT;
}

ReadableMemory::ReadableMemory(const ucontext_t& context, const StackBounds& bounds) : own_(bounds) {
  if ((context.uc_stack.ss_flags & SS_DISABLE) == 0 && context.uc_stack.ss_size != 0) {
    alternate_.low = reinterpret_cast<uint64_t>(context.uc_stack.ss_sp);
    alternate_.high = alternate_.low + context.uc_stack.ss_size;
  }
  const uint64_t sp = word_of_context(context, kContextSp);
  const auto frame = reinterpret_cast<uint64_t>(&context);
  // The kernel has just written the signal's frame right below: this stack is there. (Else a system call, 100 ns, tells.)
  const bool is_below = within(bounds, sp) && within(bounds, frame) && frame < sp;
  if (is_below) {
    take(sp, bounds.high);
  } else {
    move_to(sp);
  }
}

ReadableMemory::ReadableMemory(uint64_t sp, const StackBounds& bounds) : own_(bounds) {
  if (within(bounds, sp)) {
    take(sp, bounds.high);
  } else {
    move_to(sp);
  }
}

ReadableMemory::ReadableMemory(uint64_t sp, const StackBounds& bounds, StackCopy* copy) : own_(bounds), is_copy_(true) {
  const uint64_t most = within(bounds, sp) ? bounds.high - sp : StackCopy::kBytes;
  const long bytes = copy_out(sp, copy->bytes, most < StackCopy::kBytes ? most : StackCopy::kBytes);
  if (bytes <= 0) return;
  take(sp, sp + static_cast<uint64_t>(bytes));
  copied_by_ = reinterpret_cast<uint64_t>(copy->bytes) - sp;
}

uint64_t ReadableMemory::stack_end(uint64_t sp) const {
  // The alternate one first: it may lie within the thread's own.
  if (within(alternate_, sp)) return alternate_.high;
  return within(own_, sp) ? own_.high : 0;
}

void ReadableMemory::take(uint64_t low, uint64_t end) {
  low_ = low;
  // Differences, since a stack pointer may be any number: a sum with one goes round the end of the address space.
  span_ = end > low && end - low >= kWord ? end - low - (kWord - 1) : 0;
  if (g_reads_by_copies && !is_copy_) span_ = 0;
}

void ReadableMemory::move_to(uint64_t sp) {
  if (is_copy_) return;
  const uint64_t end = stack_end(sp);
  // The stack's own page may not be there yet (a frame just made, larger than what was touched): ask once. What is above has
  // been used by the callers.
  const bool is_there = end != 0 && probe_readable(sp);
  take(sp, is_there ? end : sp);
}

bool ReadableMemory::read_elsewhere(uint64_t address, uint64_t* value) {
  if (address < kFirstCodeAddress || address > kLastWord) return false;
  if (g_reads_by_copies) return copy_out_word(address, value);
  if (address % kWord != 0) return false;
  if (is_copy_) return copy_out_word(address, value);
  if (!probe_readable(address)) return false;
  // The rest of this page, for the frames to come. 8-byte alignment: no read crosses into the next one.
  low_ = address & ~(kPage - 1);
  span_ = kPage - (kWord - 1);
  *value = *reinterpret_cast<const uint64_t*>(address);
  return true;
}

}  // namespace prof
