#include "core/serve/symbol_page.h"

#include <algorithm>
#include <charconv>

#include "core/report/profile_encoder.h"

namespace prof {
namespace {

// The whole of an answer: a megabyte of short addresses could ask for the same long name a hundred thousand times.
constexpr size_t kMaxAnswer = 16 << 20;

std::string_view trimmed(std::string_view word) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const size_t first = word.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return word.substr(first, word.find_last_not_of(kSpaces) - first + 1);
}

// Hexadecimal behind 0x, else decimal. 0: it is no number.
uint64_t address_of(std::string_view word) {
  word = trimmed(word);
  const bool is_hexadecimal = word.starts_with("0x") || word.starts_with("0X");
  if (is_hexadecimal) word.remove_prefix(2);
  uint64_t address = 0;
  const char* const end = word.data() + word.size();
  const auto [at, error] = std::from_chars(word.data(), end, address, is_hexadecimal ? 16 : 10);
  return error == std::errc() && at == end ? address : 0;
}

std::string name_of_code(uint64_t address, const ModuleMap& modules, Symbolizer* symbolizer) {
  const int index = modules.find(address);
  if (index < 0) return symbolizer->find_jit(address);
  const Module& module = modules.modules()[static_cast<size_t>(index)];
  if (!module.from_file && module.path != "[vdso]") return symbolizer->find_jit(address);
  return symbolizer->find_in_file(module.path, address - module.start + module.file_offset);
}

std::string line_of(uint64_t address, std::string_view name) {
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof(digits), address, 16).ptr;
  std::string line = "0x";
  line.append(digits, end).append(" ");
  for (const char c : valid_utf8(name)) line += static_cast<unsigned char>(c) < ' ' || c == 127 ? '?' : c;
  return line + "\n";
}

}  // namespace

std::string symbol_page(std::string_view query, const ModuleMap& modules, Symbolizer* symbolizer) {
  // The number is all or nothing to pprof: 0 would tell it that there are no names here at all.
  std::string page = "num_symbols: 1\n";
  bool is_cut = query.size() > kMaxSymbolQuery;
  // Not within an address, which would be another one then.
  if (is_cut) query = query.substr(0, query.substr(0, kMaxSymbolQuery).rfind('+') + 1);
  while (!query.empty()) {
    const std::string_view word = query.substr(0, query.find('+'));
    query.remove_prefix(std::min(word.size() + 1, query.size()));
    const uint64_t address = address_of(word);
    const std::string name = address == 0 ? std::string() : name_of_code(address, modules, symbolizer);
    if (name.empty()) continue;
    page += line_of(address, name);
    if (page.size() > kMaxAnswer) {
      is_cut = true;
      break;
    }
  }
  if (is_cut) page += "reading request: it is too long\n";
  return page;
}

}  // namespace prof
