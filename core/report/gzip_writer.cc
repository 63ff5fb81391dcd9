#include "core/report/gzip_writer.h"

namespace prof {

GzipWriter::GzipWriter() {
  constexpr int kGzipHeader = 16;
  constexpr int kMostMemory = 9;
  works_ = deflateInit2(&stream_, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + kGzipHeader, kMostMemory - 1,
                        Z_DEFAULT_STRATEGY) == Z_OK;
}

GzipWriter::~GzipWriter() {
  if (works_) deflateEnd(&stream_);
}

void GzipWriter::pack(int flush) {
  stream_.next_in = reinterpret_cast<Bytef*>(plain_);
  stream_.avail_in = static_cast<uInt>(used_);
  used_ = 0;
  int result = works_ ? Z_OK : Z_STREAM_END;
  while (result == Z_OK) {
    char piece[16 * 1024];
    stream_.next_out = reinterpret_cast<Bytef*>(piece);
    stream_.avail_out = sizeof(piece);
    result = deflate(&stream_, flush);
    packed_.append(piece, sizeof(piece) - stream_.avail_out);
    // All is taken; at the end deflate itself says when it has given all.
    if (flush == Z_NO_FLUSH && stream_.avail_out != 0) break;
  }
}

std::string GzipWriter::finish() {
  pack(Z_FINISH);
  return works_ ? std::move(packed_) : std::string();
}

}  // namespace prof
