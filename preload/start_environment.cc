#include "preload/start_environment.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>

extern "C" char** environ;

namespace prof {
namespace {

constexpr size_t kMostSettings = 64;
constexpr size_t kMostBytes = 32 * 1024;

const char* g_settings[kMostSettings + 1];
char g_texts[kMostBytes];
StartEnvironment g_start{g_settings, 0, Lineage::unknown};

bool is_setting(const char* entry) {
  return value_if(entry, "PROF_") != nullptr && strchr(entry, '=') != nullptr && value_if(entry, kMark) == nullptr;
}

// Takes the entries out for which `goes` holds. Zeros are left behind the end, up to where the array ended: whoever walks from there to
// the auxiliary vector finds none, and asks /proc for it.
template <typename Goes>
void take_out(char** environment, Goes goes) {
  char** kept = environment;
  char** entry = environment;
  for (; *entry != nullptr; ++entry) {
    if (!goes(*entry)) *kept++ = *entry;
  }
  std::fill(kept, entry, nullptr);
}

void take_mark_out(char** environment) {
  long marked = 0;  // entries that are still to go
  take_out(environment, [&marked](const char* entry) {
    const char* mark = value_if(entry, kMark);
    const char* number = mark == nullptr ? nullptr : strchr(mark, ',');
    if (number != nullptr) marked = strtol(number + 1, nullptr, 10);
    const bool is_ours = is_setting(entry) || value_if(entry, "LD_PRELOAD=") != nullptr;
    return mark != nullptr || (is_ours && marked-- > 0);
  });
}

bool is_separator(char c) { return c == ':' || c == ' '; }

std::string_view name_of_file(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// Visits the libraries of a list.
template <typename Visit>
void for_each_library(const char* list, Visit visit) {
  while (*list != '\0') {
    while (is_separator(*list)) ++list;
    const char* end = list;
    while (*end != '\0' && !is_separator(*end)) ++end;
    if (end != list) visit(std::string_view(list, static_cast<size_t>(end - list)));
    list = end;
  }
}

}  // namespace

const char* value_if(const char* entry, const char* name_and_equals) {
  const size_t length = strlen(name_and_equals);
  return strncmp(entry, name_and_equals, length) == 0 ? entry + length : nullptr;
}

bool lists_library(const char* list, const char* library) {
  bool is_listed = false;
  for_each_library(list, [&](std::string_view each) { is_listed |= name_of_file(each) == name_of_file(library); });
  return is_listed;
}

bool begins_with_library(const char* list, const char* library) {
  bool is_first = false;
  bool has_begun = false;
  for_each_library(list, [&](std::string_view each) {
    if (!has_begun) is_first = name_of_file(each) == name_of_file(library);
    has_begun = true;
  });
  return is_first;
}

bool take_library_out(char* list, const char* library) {
  char* to = list;
  for_each_library(list, [&](std::string_view each) {
    if (name_of_file(each) == name_of_file(library)) return;
    if (to != list) *to++ = ':';
    memmove(to, each.data(), each.size());
    to += each.size();
  });
  std::fill(to, to + strlen(to), '\0');
  return to != list;
}

const StartEnvironment& environment_take(char** of_main) {
  size_t used = 0;
  size_t count = 0;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    if (const char* mark = value_if(*entry, kMark); mark != nullptr) {
      g_start.lineage = *mark == 'c' ? Lineage::child : *mark == 'f' ? Lineage::forbidden : Lineage::root;
    }
    if (!is_setting(*entry) || count == kMostSettings) continue;
    const size_t bytes = strlen(*entry) + 1;
    // One that does not fit stays where it is.
    const bool fits = bytes <= sizeof(g_texts) - used;
    g_settings[count++] = fits ? static_cast<const char*>(memcpy(g_texts + used, *entry, bytes)) : *entry;
    if (fits) used += bytes;
  }
  g_start.count = count;
  if (g_start.lineage == Lineage::unknown) return g_start;
  // Another library's constructor may have set a variable: there are two arrays then.
  if (of_main != nullptr && of_main != environ) take_mark_out(of_main);
  take_mark_out(environ);
  return g_start;
}

void environment_hide(char** of_main, const char* library) {
  const auto goes = [library](char* entry) {
    const char* libraries = value_if(entry, "LD_PRELOAD=");
    if (libraries == nullptr) return is_setting(entry);
    return lists_library(libraries, library) && !take_library_out(entry + (libraries - entry), library);
  };
  if (of_main != nullptr && of_main != environ) take_out(of_main, goes);
  if (environ != nullptr) take_out(environ, goes);
}

}  // namespace prof
