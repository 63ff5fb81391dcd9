// A text that is packed while it is written, so that it is never in memory as a whole. Normal code.
#pragma once

#include <zlib.h>

#include <string>

namespace prof {

// Also what rapidjson calls an output stream.
class GzipWriter {
 public:
  using Ch = char;

  GzipWriter();
  ~GzipWriter();
  GzipWriter(const GzipWriter&) = delete;
  GzipWriter& operator=(const GzipWriter&) = delete;

  void Put(char c) {  // NOLINT(readability-identifier-naming): rapidjson's
    if (used_ == sizeof(plain_)) pack(Z_NO_FLUSH);
    plain_[used_++] = c;
  }
  void Flush() {}  // NOLINT(readability-identifier-naming)

  // The gzip file; nothing is written after it. Empty: zlib had no memory.
  std::string finish();

 private:
  void pack(int flush);

  z_stream stream_ = {};
  bool works_;
  size_t used_ = 0;
  char plain_[16 * 1024];
  std::string packed_;
};

}  // namespace prof
