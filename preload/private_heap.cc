#include "preload/private_heap.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>

#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/report/file_sink.h"

extern "C" {

// One arena, where it would have four for each processor, and no addresses kept that are not in use: they count against the program's limits.
// No caches of threads: where there is no memory to make one, jemalloc goes on with what it has not (5.3: a null pointer). It costs a writing
// of 65 000 stacks an eighth more.
__attribute__((visibility("hidden"))) const char* prof_je_malloc_conf = "narenas:1,retain:false,tcache:false";
extern void (*prof_je_malloc_message)(void*, const char*);
void* prof_je_malloc(size_t);
void* prof_je_calloc(size_t, size_t);
void* prof_je_realloc(void*, size_t);
void prof_je_free(void*);
int prof_je_posix_memalign(void**, size_t, size_t);
void* prof_je_aligned_alloc(size_t, size_t);
void* prof_je_memalign(size_t, size_t);

}  // extern "C"

namespace prof {
namespace {

std::atomic<int> g_own_process{0};
std::atomic<const char*> g_last_words{nullptr};
std::atomic<bool> g_is_closed{false};
alignas(4096) char g_trial[4096];

// What jemalloc, the C++ library or libunwind call where they cannot go on.
[[noreturn]] void give_up() {
  if (raw_getpid() == g_own_process.load()) {
    if (const char* words = g_last_words.load(); words != nullptr) {
      discard_unfinished_file();
      LogLine(LogLevel::error) << words;
    }
    raw_syscall(SYS_exit_group, 1);
  }
  LogLine(LogLevel::error) << "libprof cannot go on (is there no memory for it?): the program ends";
  uint64_t abort_only = uint64_t{1} << (SIGABRT - 1);
  raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &abort_only, nullptr, sizeof(abort_only));
  raw_syscall(SYS_tgkill, raw_getpid(), raw_syscall(SYS_gettid), SIGABRT);
  raw_syscall(SYS_exit_group, 127);
  __builtin_unreachable();
}

}  // namespace

bool private_heap_has_room() {
  constexpr uint64_t kBytes = 12 << 20;  // a start takes 6 MB, writing profiles 1 MB and more
  const long probe = raw_syscall(SYS_mmap, nullptr, kBytes, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  g_is_closed.store(probe < 0 && probe > -4096);
  if (!g_is_closed.load()) raw_syscall(SYS_munmap, probe, kBytes);
  return !g_is_closed.load();
}

void private_heap_start() {
  std::set_terminate(give_up);
  prof_je_malloc_message = [](void*, const char*) {};  // it would write to stderr itself before it calls abort()
}

void private_heap_ends(int own_process, const char* last_words) {
  g_last_words.store(last_words);
  g_own_process.store(own_process);
}

}  // namespace prof

extern "C" {

void* __wrap_malloc(size_t bytes) { return prof_je_malloc(bytes); }
void* __wrap_calloc(size_t count, size_t bytes) { return prof_je_calloc(count, bytes); }
void* __wrap_realloc(void* block, size_t bytes) { return prof_je_realloc(block, bytes); }
void __wrap_free(void* block) { prof_je_free(block); }
int __wrap_posix_memalign(void** block, size_t alignment, size_t bytes) {
  return prof_je_posix_memalign(block, alignment, bytes);
}
void* __wrap_aligned_alloc(size_t alignment, size_t bytes) { return prof_je_aligned_alloc(alignment, bytes); }
void* __wrap_memalign(size_t alignment, size_t bytes) { return prof_je_memalign(alignment, bytes); }

// jemalloc prepares itself in a constructor of its own, behind libprof's, and calls abort() where it gets only a part of what it needs: it is
// to have no block. The page that it tries the kernel with it takes for granted.
void* __wrap_mmap(void* address, size_t bytes, int protection, int flags, int descriptor, off_t offset) {
  const bool is_closed = prof::g_is_closed.load(std::memory_order_relaxed);
  if (is_closed && address == nullptr && bytes == sizeof(prof::g_trial)) return prof::g_trial;
  const long result =
      is_closed ? -ENOMEM : prof::raw_syscall(SYS_mmap, address, bytes, protection, flags, descriptor, offset);
  if (result >= 0 || result <= -4096) return reinterpret_cast<void*>(result);
  errno = static_cast<int>(-result);
  return MAP_FAILED;
}

int __wrap_munmap(void* address, size_t bytes) {
  const long result = address == prof::g_trial ? 0 : prof::raw_syscall(SYS_munmap, address, bytes);
  if (result == 0) return 0;
  errno = static_cast<int>(-result);
  return -1;
}

void __wrap_abort() { prof::give_up(); }

}  // extern "C"
