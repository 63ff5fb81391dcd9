#include "tools/prof/profile_bytes.h"

#include <criterion/criterion.h>
#include <zlib.h>

namespace {

std::string gzipped(const std::string& text) {
  z_stream stream = {};
  deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, text.size()), '\0');
  std::string input = text;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

}  // namespace

using prof::reader::gunzipped;

Test(profile_bytes, unpacks_every_member) {
  std::string error;
  const std::string large(1'000'000, 'x');
  cr_assert_eq(gunzipped(gzipped("one") + gzipped(large), 2'000'000, error).value(), "one" + large);
}

Test(profile_bytes, stops_at_the_limit) {
  std::string error;
  const std::string packed = gzipped(std::string(1'000'000, 'x'));
  cr_assert(gunzipped(packed, 1'000'000, error));
  cr_assert_not(gunzipped(packed, 999'999, error));
}

Test(profile_bytes, every_cut_is_noticed) {
  const std::string packed = gzipped("some text that is long enough to be cut");
  for (size_t size = 0; size < packed.size(); ++size) {
    std::string error;
    cr_assert_not(gunzipped(packed.substr(0, size), 1000, error), "%zu", size);
    cr_assert_not(error.empty());
  }
}
