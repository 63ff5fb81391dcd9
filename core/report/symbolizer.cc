#include "core/report/symbolizer.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/report/module_map.h"

namespace prof {
namespace {

// The vdso is mapped whole, and ends with its section table.
uint64_t vdso_bytes(const Elf64_Ehdr& header) {
  constexpr uint64_t kMost = 64 * 1024;
  return std::min<uint64_t>(header.e_shoff + uint64_t{header.e_shnum} * header.e_shentsize, kMost);
}

// A hexadecimal number at the beginning of *text, with or without 0x, and the space behind it: taken off. False: there is none.
bool take_hexadecimal(std::string_view* text, uint64_t* number) {
  if (text->starts_with("0x")) text->remove_prefix(2);
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *number, 16);
  if (error != std::errc() || end == text->data() + text->size() || *end != ' ') return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()) + 1);
  return true;
}

}  // namespace

Symbolizer::Symbolizer(int pid) : pid_(pid) {}
Symbolizer::Symbolizer(int pid, std::unordered_map<std::string, std::string> build_ids)
    : pid_(pid), is_gone_(true), build_ids_(std::move(build_ids)) {}

const ElfSymbols& Symbolizer::file(const std::string& path) {
  const auto [found, is_new] = files_.try_emplace(path);
  if (!is_new) return found->second;
  if (path == "[vdso]") {
    // The own one: the kernel maps the same into every process.
    const unsigned long image = getauxval(AT_SYSINFO_EHDR);
    if (image != 0) {
      const auto* header = reinterpret_cast<const Elf64_Ehdr*>(image);
      found->second = ElfSymbols::of_memory(header, vdso_bytes(*header));
    }
  } else if (path.starts_with('/')) {
    // As the process sees it: it may have another root or another mount namespace.
    const std::string seen = proc_folder(pid_) + "root" + path;
    found->second = ElfSymbols::of_file(!is_gone_ && access(seen.c_str(), R_OK) == 0 ? seen : path);
  }
  const auto expected = build_ids_.find(path);
  if (expected != build_ids_.end() && expected->second != found->second.build_id()) {
    found->second = ElfSymbols::without_symbols(expected->second);
  }
  return found->second;
}

std::string Symbolizer::find_in_file(const std::string& path, uint64_t file_offset) {
  const ElfSymbols& symbols = file(path);
  uint64_t address;
  if (!symbols.address_of_offset(file_offset, &address)) return {};
  return std::string(symbols.find(address));
}

uint64_t Symbolizer::start_in_file(const std::string& path, uint64_t file_offset) {
  const ElfSymbols& symbols = file(path);
  uint64_t address;
  if (!symbols.address_of_offset(file_offset, &address)) return 0;
  const uint64_t start = symbols.find_start(address);
  return start == 0 ? 0 : file_offset - (address - start);
}

std::string Symbolizer::find_jit(uint64_t address) {
  if (!jit_read_) read_jit_map();
  auto above = jit_.upper_bound(address);
  if (above == jit_.begin()) return {};
  --above;
  return address < above->second.end ? above->second.name : std::string();
}

// A line a piece of code: start and size in hexadecimal, name (the convention of perf; Java writes 0x in front of numbers). Other lines
// are passed over.
void Symbolizer::read_jit_map() {
  jit_read_ = true;
  const std::string path = "/tmp/perf-" + std::to_string(pid_) + ".map";
  // Anyone can put a file there: only the user's own or root's is believed.
  struct stat st;
  if (lstat(path.c_str(), &st) != 0 || !S_ISREG(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0)) return;
  const std::string text = read_proc_file(path);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line(text.data() + at, end - at);
    at = end + 1;
    uint64_t start;
    uint64_t bytes;
    if (!take_hexadecimal(&line, &start) || !take_hexadecimal(&line, &bytes) || line.empty()) continue;
    jit_[start] = {start + bytes, std::string(line)};  // a later line is newer code
  }
}

void Symbolizer::forget_jit() {
  jit_read_ = false;
  jit_.clear();
}

}  // namespace prof
