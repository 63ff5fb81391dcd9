#include "tools/prof/profile_bytes.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <vector>

namespace prof::reader {
namespace {

constexpr size_t kChunk = size_t{256} << 10;
constexpr int kGzipOnly = 16 + MAX_WBITS;

std::string too_large(size_t max_bytes) { return "more than " + std::to_string(max_bytes >> 20) + " MiB of data"; }

std::optional<std::string> all_of(int fd, std::string& error) {
  std::string bytes;
  std::vector<char> chunk(kChunk);
  for (;;) {
    const ssize_t got = read(fd, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      error = std::strerror(errno);
      return std::nullopt;
    }
    if (got == 0) return bytes;
    bytes.append(chunk.data(), static_cast<size_t>(got));
    if (bytes.size() > kMaxProfileBytes) {
      error = too_large(kMaxProfileBytes);
      return std::nullopt;
    }
  }
}

// Owns zlib's state: inflateInit2 is released by inflateEnd.
class Inflater {
 public:
  Inflater() : ready_(inflateInit2(&stream_, kGzipOnly) == Z_OK) {}
  ~Inflater() {
    if (ready_) inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  bool ready() const { return ready_; }
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_ = {};
  bool ready_;
};

}  // namespace

std::optional<std::string> gunzipped(std::string_view packed, size_t max_bytes, std::string& error) {
  Inflater inflater;
  if (!inflater.ready() || packed.size() > std::numeric_limits<uInt>::max()) {
    error = "cannot be decompressed";
    return std::nullopt;
  }
  z_stream& stream = inflater.stream();
  std::string input(packed);  // zlib wants it writable
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());

  std::string bytes;
  std::vector<Bytef> chunk(kChunk);
  for (;;) {
    stream.next_out = chunk.data();
    stream.avail_out = static_cast<uInt>(chunk.size());
    const int result = inflate(&stream, Z_NO_FLUSH);
    const size_t made = chunk.size() - stream.avail_out;
    if (made > max_bytes - bytes.size()) {
      error = too_large(max_bytes);
      return std::nullopt;
    }
    bytes.append(reinterpret_cast<const char*>(chunk.data()), made);
    if (result == Z_STREAM_END) {
      if (stream.avail_in == 0) return bytes;
      if (inflateReset(&stream) == Z_OK) continue;
    }
    if (result == Z_OK && (made > 0 || stream.avail_in > 0)) continue;
    error = result == Z_BUF_ERROR || result == Z_OK ? "the gzip data ends too early" : "the gzip data is damaged";
    return std::nullopt;
  }
}

std::optional<std::string> profile_bytes(const std::string& path, std::string& error) {
  const bool standard_input = path == "-";
  const int fd = standard_input ? STDIN_FILENO : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    error = std::strerror(errno);
    return std::nullopt;
  }
  std::optional<std::string> bytes = all_of(fd, error);
  if (!standard_input) close(fd);
  if (!bytes) return std::nullopt;
  if (bytes->empty()) {
    error = "the file is empty";
    return std::nullopt;
  }
  if (bytes->starts_with("\x1f\x8b")) return gunzipped(*bytes, kMaxProfileBytes, error);
  return bytes;
}

}  // namespace prof::reader
