#include "core/report/region_view.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace prof {
namespace {

constexpr int kMaxCopies = 8;

bool is_region(const RegionHeader& header) {
  const uint32_t segments = header.segments.load(std::memory_order_acquire);
  return header.magic.load(std::memory_order_acquire) == kRegionMagic && header.version == kRegionVersion &&
         header.segment_bytes == kSegmentBytes && segments >= 1 && segments <= kMaxSegments &&
         header.used.load(std::memory_order_relaxed) >= sizeof(RegionHeader);
}

// A header that is no header of ours, or torn, is not followed beyond its segments.
uint64_t used_of(const RegionHeader& header) {
  return std::min(header.used.load(), uint64_t{header.segments.load()} << kSegmentShift);
}

std::string to_text(int number) {
  char digits[12];
  const auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
  return {digits, end};
}

}  // namespace

RegionView RegionView::of_self(const RegionHeader* header) {
  RegionView view;
  if (header == nullptr || !is_region(*header)) return view;
  for (uint32_t i = 0; i < header->segments.load(std::memory_order_acquire); ++i) {
    view.segments_.push_back(reinterpret_cast<const char*>(header->segment_address[i].load()));
  }
  view.copied_ = UINT64_MAX;
  return view;
}

RegionView RegionView::copied(uint64_t header_address, Read read) {
  RegionView view;
  view.read_ = std::move(read);
  const auto copy = [&](void* to, uint64_t bytes, uint64_t address) {
    return view.read_(to, bytes, address) == static_cast<ssize_t>(bytes);
  };
  auto header = std::make_unique<RegionHeader>();
  if (header_address == 0 || !copy(header.get(), sizeof(RegionHeader), header_address) || !is_region(*header))
    return {};
  // No more than is in use: a page that nobody has touched would be made by reading it. What was copied may name what was
  // made since, so that is copied too, until nothing has been added meanwhile; of a program that adds faster than it is
  // copied, at() says what is not there.
  for (int tries = 0; tries < kMaxCopies && view.copied_ < used_of(*header); ++tries) {
    while (view.copied_ < used_of(*header)) {
      const uint64_t segment = view.copied_ >> kSegmentShift, within = view.copied_ & (kSegmentBytes - 1);
      if (segment == view.segments_.size()) {
        view.copies_.push_back(std::make_unique<char[]>(kSegmentBytes));
        view.segments_.push_back(view.copies_.back().get());
        view.addresses_.push_back(header->segment_address[segment].load());
      }
      const uint64_t bytes = std::min(kSegmentBytes - within, used_of(*header) - view.copied_);
      if (!copy(view.copies_[segment].get() + within, bytes, view.addresses_[segment] + within)) return {};
      view.copied_ += bytes;
    }
    if (!copy(header.get(), sizeof(RegionHeader), header_address) || !is_region(*header)) break;
  }
  return view;
}

RegionView RegionView::of_process(int pid, uint64_t header_address) {
  return copied(header_address, [pid](void* bytes, size_t size, uint64_t address) {
    const struct iovec to = {bytes, size};
    const struct iovec from = {reinterpret_cast<void*>(address), size};
    return process_vm_readv(pid, &to, 1, &from, 1, 0);
  });
}

RegionView RegionView::of_memory(int descriptor, uint64_t header_address) {
  return copied(header_address, [descriptor](void* bytes, size_t size, uint64_t address) {
    return pread(descriptor, bytes, size, static_cast<off_t>(address));
  });
}

RegionView RegionView::of_file(int descriptor) {
  const auto copy = [descriptor](char* to, uint64_t bytes, uint64_t offset) {
    while (bytes > 0) {
      const ssize_t got = pread(descriptor, to, bytes, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      to += got;
      offset += static_cast<uint64_t>(got);
      bytes -= static_cast<uint64_t>(got);
    }
    return true;
  };
  auto header = std::make_unique<RegionHeader>();
  if (!copy(reinterpret_cast<char*>(header.get()), sizeof(RegionHeader), 0) || !is_region(*header)) return {};
  RegionView view;
  // What grew beyond the file is not there; at() says so. No more than is in use: the rest of the file is a hole.
  const uint64_t in_file = std::min(header->file_segments.load(), header->segments.load());
  const uint64_t used = std::min(header->used.load(), in_file << kSegmentShift);
  while (view.copied_ < used) {
    const uint64_t bytes = std::min(kSegmentBytes, used - view.copied_);
    view.copies_.push_back(std::make_unique<char[]>(kSegmentBytes));
    view.segments_.push_back(view.copies_.back().get());
    if (!copy(view.copies_.back().get(), bytes, view.copied_)) return {};
    view.copied_ += bytes;
  }
  // The header was read twice: who looks at it now sees what was checked.
  if (!view.segments_.empty()) memcpy(view.copies_[0].get(), header.get(), sizeof(RegionHeader));
  return view;
}

uint64_t RegionView::word_now(const std::atomic<uint64_t>& word) const {
  if (!read_) return word.load(std::memory_order_acquire);
  const char* const at = reinterpret_cast<const char*>(&word);
  for (size_t i = 0; i < segments_.size(); ++i) {
    if (at < segments_[i] || at >= segments_[i] + kSegmentBytes) continue;
    uint64_t value = 0;
    const uint64_t address = addresses_[i] + static_cast<uint64_t>(at - segments_[i]);
    if (read_(&value, sizeof(value), address) == static_cast<ssize_t>(sizeof(value))) return value;
  }
  return word.load(std::memory_order_relaxed);
}

uint64_t RegionView::find_in_process(int pid) {
  const std::string path = "/proc/" + to_text(pid) + "/maps";
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  std::string text;
  char buffer[16384];
  ssize_t bytes;
  while ((bytes = read(fd, buffer, sizeof(buffer))) > 0) text.append(buffer, static_cast<size_t>(bytes));
  close(fd);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line(text.data() + at, end - at);
    at = end + 1;
    uint64_t start = 0;
    if (line.find(kRegionName) == std::string_view::npos) continue;
    std::from_chars(line.data(), line.data() + line.size(), start, 16);
    // Other memory has that name too; the region's first segment begins with the header.
    uint64_t magic = 0;
    const struct iovec to = {&magic, sizeof(magic)};
    const struct iovec from = {reinterpret_cast<void*>(start), sizeof(magic)};
    if (process_vm_readv(pid, &to, 1, &from, 1, 0) == sizeof(magic) && magic == kRegionMagic) return start;
  }
  return 0;
}

const void* RegionView::at(Ref ref, uint64_t bytes) const {
  const uint64_t offset = uint64_t{ref} << kRefShift;
  const uint64_t segment = offset >> kSegmentShift;
  const uint64_t within = offset & (kSegmentBytes - 1);
  if (ref == 0 || segment >= segments_.size() || bytes > kSegmentBytes - within) return nullptr;
  if (offset + bytes > copied_) return nullptr;
  return segments_[segment] + within;
}

}  // namespace prof
