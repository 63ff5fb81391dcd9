#include "preload/exec_environment.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstring>

#include "core/base/errno_saver.h"
#include "core/base/raw_log.h"
#include "core/base/raw_syscall.h"
#include "core/unwind/readable_memory.h"
#include "preload/start_environment.h"
#include "preload/thread_clock.h"

extern "C" char** environ;

namespace prof {
namespace {

constexpr size_t kMostEntries = 2048;  // 16 KB of the caller's stack
constexpr size_t kMostPath = 4096;
constexpr uint64_t kPage = 4096;

const char* const* g_settings = nullptr;
size_t g_count = 0;
bool g_is_child = false;
bool g_follows_children = false;
std::atomic<int> g_pid{0};  // of the process that this program was started in; 0: nothing is done
char g_preload[kMostPath + sizeof("LD_PRELOAD=")];
const char* g_library = nullptr;  // in g_preload
// By: a child's or not, what is added.
struct Marks {
  char text[2][2][2][sizeof(kMark) + sizeof("child,65")];
};
Marks g_marks;

std::atomic<bool> g_forbids{false};
char g_forbidding_mark[] = "PROF_FOLLOWED=forbidden,0";

char* mark_of(const Addition& addition) {
  if (addition.forbids) return g_forbidding_mark;
  return g_marks.text[addition.is_child ? 1 : 0][addition.preload ? 1 : 0][addition.settings ? 1 : 0];
}

bool is_own_process() { return raw_getpid() == g_pid.load(std::memory_order_relaxed); }

void make_marks() {
  for (const bool child : {false, true}) {
    for (const bool preload : {false, true}) {
      for (const bool settings : {false, true}) {
        char* mark = mark_of({0, preload, settings, child});
        char* end = stpcpy(stpcpy(mark, kMark), child ? "child," : "same,");
        *std::to_chars(end, end + 3, (preload ? 1 : 0) + (settings ? g_count : 0)).ptr = '\0';
      }
    }
  }
}

// A name that LD_PRELOAD cannot hold.
bool is_listable(const char* library) { return strpbrk(library, ": $\t\n") == nullptr && strlen(library) < kMostPath; }

void say_once_too_many() {
  static std::atomic<bool> is_said{false};
  if (is_said.exchange(true)) return;
  LogLine(LogLevel::warn)
      << "PROF_FOLLOW: an environment of more than " << uint64_t{kMostEntries}
      << " entries, or too large for the stack, is handed on as it is: what is executed with it is not "
         "profiled";
}

// Whether the caller's stack is large enough for the new array, as far as is known of it: the thread's own, or an alternate one. (A program's
// handler may execute a debugger, on 8 KB, of which the kernel's frame has taken half.)
bool stack_has_room(size_t entries) {
  constexpr size_t kSmall = 128;          // entries; 1 KB
  constexpr size_t kForCalls = 3 * 1024;  // what is called with it, and a search of PATH
  if (entries <= kSmall) return true;
  const auto here = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
  uint64_t low = 0;
  const ThreadSlot* slot = slot_of_this_thread();
  stack_t alternate;
  if (slot != nullptr && here > slot->stack_low && here < slot->stack_high) {
    low = slot->stack_low;
  } else if (raw_syscall(SYS_sigaltstack, nullptr, &alternate) == 0 && (alternate.ss_flags & SS_ONSTACK) != 0) {
    low = reinterpret_cast<uint64_t>(alternate.ss_sp);
  }
  return low == 0 || here - low > entries * sizeof(char*) + kForCalls;
}

// Memory that the kernel says is there. Of the pages that follow one another each is asked for once (100 ns).
class ReadablePages {
 public:
  bool has(uint64_t address) {
    if ((address & ~(kPage - 1)) == last_) return true;
    if (!probe_readable(address & ~uint64_t{7})) return false;
    last_ = address & ~(kPage - 1);
    return true;
  }
  // Up to its end.
  bool has_text(const char* text) {
    for (;;) {
      const auto address = reinterpret_cast<uint64_t>(text);
      if (!has(address)) return false;
      const uint64_t rest = kPage - (address & (kPage - 1));
      if (strnlen(text, rest) < rest) return true;
      text += rest;
    }
  }

 private:
  uint64_t last_ = 1;  // no page's
};

// What the program hands over may be no environment at all. The kernel refuses it then: it shall not end in a fault here.
bool is_readable(char* const* environment) {
  ReadablePages of_array;
  ReadablePages of_texts;
  for (; environment != nullptr; ++environment) {
    const auto address = reinterpret_cast<uint64_t>(environment);
    if (!of_array.has(address) || !of_array.has(address + sizeof(char*) - 1)) return false;
    if (*environment == nullptr) break;
    if (!of_texts.has_text(*environment)) return false;
  }
  return true;
}

}  // namespace

void exec_environment_forbids() { g_forbids.store(true); }

void exec_environment_start(const char* const* settings, size_t count, const char* library, bool is_child,
                            bool follows_children) {
  if (library == nullptr || !is_listable(library) || count == 0) return;
  g_settings = settings;
  g_count = count;
  g_is_child = is_child;
  g_follows_children = follows_children;
  g_library = stpcpy(g_preload, "LD_PRELOAD=");
  memcpy(g_preload + strlen(g_preload), library, strlen(library) + 1);
  make_marks();
  g_pid.store(raw_getpid());
}

namespace {

// Only where something is preloaded, which may be libprof.so.
Addition forbidding(char* const* environment) {
  size_t entries = 0;
  bool has_preload = false;
  for (; environment != nullptr && environment[entries] != nullptr; ++entries) {
    if (value_if(environment[entries], kMark) != nullptr) return {};
    if (value_if(environment[entries], "LD_PRELOAD=") != nullptr) has_preload = true;
  }
  if (!has_preload || entries + 2 > kMostEntries || !stack_has_room(entries + 2)) return {};
  return {entries + 2, false, false, false, true, false, entries};
}

}  // namespace

Addition addition_to(char* const* environment, Executed executed) {
  if (g_forbids.load(std::memory_order_relaxed)) return is_readable(environment) ? forbidding(environment) : Addition{};
  if (g_pid.load(std::memory_order_relaxed) == 0) return {};
  const bool is_child = executed == Executed::by_new_child || !is_own_process();
  if ((!g_follows_children && is_child) || !is_readable(environment)) return {};
  bool has_settings = false;
  bool is_order_free = false;
  const char* libraries = nullptr;
  size_t entries = 0;
  for (; environment != nullptr && environment[entries] != nullptr; ++entries) {
    const char* entry = environment[entries];
    if (value_if(entry, kMark) != nullptr) return {};
    if (value_if(entry, "PROF_") != nullptr) has_settings = true;
    if (const char* value = value_if(entry, "LD_PRELOAD="); value != nullptr) libraries = value;
    if (const char* value = value_if(entry, "ASAN_OPTIONS="); value != nullptr)
      is_order_free = strstr(value, "verify_asan_link_order=0") != nullptr;
  }
  const bool has_library = libraries != nullptr && strlen(libraries) < kMostPath && lists_library(libraries, g_library);
  if (!has_library && (has_settings || libraries != nullptr)) return {};
  const bool is_allowed_first = is_order_free || (has_library && !begins_with_library(libraries, g_library));
  Addition addition = {entries + 2, !has_library,     !has_settings, g_is_child || is_child,
                       false,       is_allowed_first, entries};
  addition.entries += (addition.preload ? 1 : 0) + (addition.settings ? g_count : 0);
  if (addition.entries <= kMostEntries && stack_has_room(addition.entries)) return addition;
  if (addition.preload || addition.settings) say_once_too_many();
  return {};
}

namespace {

// Those that were counted. What another thread does to them meanwhile is seen or not, but no entry more.
template <typename Visit>  // void(char*)
void for_each_entry(char* const* environment, const Addition& addition, Visit visit) {
  for (size_t i = 0; environment != nullptr && i < addition.of_environment; ++i) {
    char* const entry = __atomic_load_n(environment + i, __ATOMIC_RELAXED);
    if (entry == nullptr) break;
    visit(entry);
  }
}

}  // namespace

void add_to(char* const* environment, const Addition& addition, char** room) {
  for_each_entry(environment, addition, [&room](char* entry) { *room++ = entry; });
  *room++ = mark_of(addition);
  if (addition.preload) *room++ = g_preload;
  for (size_t i = 0; addition.settings && i < g_count; ++i) *room++ = const_cast<char*>(g_settings[i]);
  *room = nullptr;
}

// Of several entries the loader goes by the last.
size_t bytes_of_preload(char* const* environment, const Addition& addition) {
  size_t bytes = 1;
  for_each_entry(environment, addition, [&bytes](const char* entry) {
    if (value_if(entry, "LD_PRELOAD=") != nullptr) bytes = strlen(entry) + 1;
  });
  return bytes;
}

void copy_without_library(char* const* environment, const Addition& addition, char** room, char* text, size_t bytes) {
  char* last = nullptr;
  for_each_entry(environment, addition, [&](char* entry) {
    if (value_if(entry, "LD_PRELOAD=") == nullptr) {
      *room++ = entry;
    } else {
      last = entry;
    }
  });
  const size_t length = last == nullptr ? 0 : strlen(last);
  if (last != nullptr && length >= bytes) {
    // Another one than was measured.
    *room++ = last;
  } else if (last != nullptr) {
    memcpy(text, last, length);
    text[length] = '\0';
    if (take_library_out(text + strlen("LD_PRELOAD="), g_library)) *room++ = text;
  }
  *room = nullptr;
}

bool is_library_in_reach() { return raw_syscall(SYS_faccessat, AT_FDCWD, g_library, R_OK) == 0; }

namespace {

// The array that is lent, while nobody has it. Never unmapped, since who reads environ may go on in it. A thread that finds none while
// another is at it, and environ as it was before, makes a second.
std::atomic<char**> g_lent{nullptr};

bool is_lent_entry(const char* entry) {
  const auto* marks = reinterpret_cast<const char*>(&g_marks);
  const bool is_mark = (entry >= marks && entry < marks + sizeof(g_marks)) || entry == g_forbidding_mark;
  return is_mark || entry == g_preload || std::find(g_settings, g_settings + g_count, entry) != g_settings + g_count;
}

// Another thread may have changed or removed a variable meanwhile, in place. False: it has set one that was lent, and there are more of
// them than before: there is no room in that array.
bool put_back(const LentEnviron& environment) {
  size_t room = 0;
  while (environment.before != nullptr && environment.before[room] != nullptr) ++room;
  size_t kept = 0;
  for (char** entry = environment.lent; *entry != nullptr; ++entry) kept += is_lent_entry(*entry) ? 0 : 1;
  if (kept > room) return false;
  kept = 0;
  for (char** entry = environment.lent; *entry != nullptr && kept < room; ++entry) {
    if (is_lent_entry(*entry)) continue;
    if (environment.before[kept] != *entry) environment.before[kept] = *entry;
    ++kept;
  }
  if (environment.before != nullptr) std::fill(environment.before + kept, environment.before + room, nullptr);
  return true;
}

void take_lent_out(char** entries) {
  char** kept = entries;
  char** entry = entries;
  for (; *entry != nullptr; ++entry) {
    if (!is_lent_entry(*entry)) *kept++ = *entry;
  }
  std::fill(kept, entry, nullptr);
}

}  // namespace

LentEnviron lend_environ() {
  const ErrnoSaver errno_saver;
  char** const before = environ;
  const Addition addition = addition_to(before, Executed::by_new_child);
  // The mark alone is not worth it: the shell's parent is here, and is known by its own environment.
  if (!addition.preload && !addition.settings && !addition.forbids) return {};
  if (!addition.forbids && (preloading_into("/bin/sh") != Preloading::done || !is_library_in_reach())) return {};
  char** lent = g_lent.exchange(nullptr);
  if (lent == nullptr) {
    const long memory = raw_syscall(SYS_mmap, nullptr, kMostEntries * sizeof(char*), PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory < 0 && memory > -4096) return {};
    lent = reinterpret_cast<char**>(memory);
  }
  add_to(before, addition, lent);
  __atomic_store_n(&environ, lent, __ATOMIC_RELEASE);
  return {before, lent};
}

void take_environ_back(const LentEnviron& environment) {
  char** const now = environ;
  if (now == environment.lent && put_back(environment)) {
    __atomic_store_n(&environ, environment.before, __ATOMIC_RELEASE);
  } else if (now != nullptr) {
    // Another thread has set a variable meanwhile, in a copy as a rule.
    take_lent_out(now);
    if (now == environment.lent) return;  // it is environ from now on
  }
  char** none = nullptr;
  g_lent.compare_exchange_strong(none, environment.lent);
}

}  // namespace prof
