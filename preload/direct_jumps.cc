#include "preload/direct_jumps.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>

#include "core/base/raw_syscall.h"
#include "preload/real_allocator.h"
#include "preload/valgrind.h"

// Eight bytes that begin at a multiple of eight: a short conditional jump to what is to be looked at, and an indirect one to the real
// function.
extern "C" __attribute__((visibility("hidden"))) char prof_jumps_of_malloc[];
extern "C" __attribute__((visibility("hidden"))) char prof_jumps_of_free[];

namespace prof {
namespace {

constexpr uint64_t kPage = 4096;

// The same two ways in the other order: a near jump to the real function where the condition does not hold, and a short one. In one
// store, so that a call meets either the old or the new. Nobody may stand between the two, hence the single thread.
bool new_jumps(const char* site, const void* real, uint64_t* word) {
  uint8_t old[8];
  memcpy(old, site, sizeof(old));
  const bool is_short_jump =
      old[0] >> 4 == 0x7;  // Intel's manual, volume 2: 70+cc rel8, 0F 80+cc rel32, FF /4, EB rel8
  if (!is_short_jump || old[2] != 0xff || old[3] != 0x25) return false;
  const int64_t distance = static_cast<const char*>(real) - (site + 6);
  const auto near = static_cast<int32_t>(distance);
  if (near != distance) return false;
  uint8_t changed[8] = {0x0f, static_cast<uint8_t>((old[0] ^ 1) + 0x10), 0, 0, 0, 0,
                        0xeb, static_cast<uint8_t>(old[1] - 6)};
  memcpy(changed + 2, &near, sizeof(near));
  memcpy(word, changed, sizeof(*word));
  return true;
}

// Whether this is the only thread: the C library does not know of those that were made by bare clone.
bool is_alone() {
  struct stat tasks;
  const long error = raw_syscall(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &tasks, 0);
  return __libc_single_threaded && error == 0 &&
         tasks.st_nlink == 3;  // the folder itself, its parent, and a folder a thread
}

// A filter may kill for it, or SELinux's policy report it, and neither says so before; and valgrind goes on with instructions that it has
// read, and reads the others anew.
bool may_be_held_against_us() {
  return is_under_valgrind() || raw_syscall(SYS_prctl, PR_GET_SECCOMP) != SECCOMP_MODE_DISABLED ||
         raw_syscall(SYS_access, "/sys/fs/selinux/enforce", F_OK) == 0;
}

void change(char* site, uint64_t word) {
  char* const page = reinterpret_cast<char*>(reinterpret_cast<uint64_t>(site) & ~(kPage - 1));
  // Executable all the while: a handler may call malloc. A refusal leaves it as it was.
  if (raw_syscall(SYS_mprotect, page, kPage, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) return;
  reinterpret_cast<std::atomic<uint64_t>*>(site)->store(word, std::memory_order_release);
  raw_syscall(SYS_mprotect, page, kPage, PROT_READ | PROT_EXEC);
}

}  // namespace

void call_real_allocator_directly() {
  uint64_t of_malloc;
  uint64_t of_free;
  if (!is_alone() || may_be_held_against_us() || !find_real_allocator()) return;
  if (!new_jumps(prof_jumps_of_malloc, reinterpret_cast<const void*>(g_real_allocator.malloc), &of_malloc)) return;
  if (!new_jumps(prof_jumps_of_free, reinterpret_cast<const void*>(g_real_allocator.free), &of_free)) return;
  change(prof_jumps_of_malloc, of_malloc);
  change(prof_jumps_of_free, of_free);
}

}  // namespace prof
