#include "core/serve/unreached_code.h"

#include <algorithm>
#include <string_view>

namespace prof {
namespace {

struct Known {
  std::string_view name;  // how the file's begins
  std::string_view what;
  bool is_whole = false;  // it has no more than that
};

constexpr std::string_view kSanitizer = "The heap is the sanitizer's, and is not in the heap profile.";
constexpr std::string_view kOwnCalls =
    "Of its own calls, and its operator new and delete, those of libraries that dlopen loads later are not seen.";

constexpr Known kKnown[] = {
    {"libasan.so", kSanitizer},
    {"libhwasan.so", kSanitizer},
    {"liblsan.so", kSanitizer},
    {"libtsan.so", kSanitizer},
    {"libjemalloc", kOwnCalls},
    {"libmimalloc", kOwnCalls},
    {"libtcmalloc", kOwnCalls},
    {"libstd-", "The waits of Rust's std::sync are not seen: they go past pthread's calls."},
    {"libgo.so", "Go's objects are not malloc's, and its goroutines are not threads."},
    {"libjvm.so",
     "Java's objects are not malloc's. Names and stacks of compiled code need -XX:+PreserveFramePointer and "
     "-XX:+DumpPerfMapAtExit."},
    {"libpython", "Python maps the memory of small objects itself: PROF_HEAP_MMAP=1 counts it."},
    {"python3", "Python maps the memory of small objects itself: PROF_HEAP_MMAP=1 counts it."},
    {"node", "Code that is compiled at run time has names with --perf-basic-prof only.", true},
    {"libnode.so", "Code that is compiled at run time has names with --perf-basic-prof only."},
};

}  // namespace

std::vector<UnreachedCode> unreached_code(const ModuleMap& modules) {
  std::vector<UnreachedCode> all;
  for (const Module& module : modules.modules()) {
    if (!module.from_file) continue;
    const std::string_view path = module.path;
    const std::string_view name = path.substr(path.rfind('/') + 1);
    const auto known = std::find_if(std::begin(kKnown), std::end(kKnown), [name](const Known& each) {
      return each.is_whole ? name == each.name : name.starts_with(each.name);
    });
    if (known == std::end(kKnown)) continue;
    const bool is_there =
        std::any_of(all.begin(), all.end(), [&](const UnreachedCode& code) { return code.file == module.path; });
    if (!is_there) all.push_back({module.path, std::string(known->what)});
  }
  return all;
}

}  // namespace prof
