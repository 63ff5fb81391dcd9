#include "core/report/profile_encoder.h"

#include <criterion/criterion.h>
#include <zlib.h>

#include "profile.pb.h"

using namespace prof;
using Message = perftools::profiles::Profile;

static Message parsed(const Profile& profile) {
  const std::string packed = encode_profile(profile);
  cr_assert_eq(static_cast<unsigned char>(packed[0]), 0x1f);
  cr_assert_eq(static_cast<unsigned char>(packed[1]), 0x8b);
  std::string bytes(1 << 20, '\0');
  z_stream stream = {};
  inflateInit2(&stream, 15 + 16);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  cr_assert_eq(inflate(&stream, Z_FINISH), Z_STREAM_END);
  bytes.resize(stream.total_out);
  inflateEnd(&stream);
  Message message;
  cr_assert(message.ParseFromString(bytes));
  cr_assert_eq(bytes, encode_profile_message(profile));
  return message;
}

Test(profile_encoder, every_field_comes_back) {
  Profile p;
  p.sample_types = {{"samples", "count"}, {"cpu", "nanoseconds"}};
  p.default_sample_type = "cpu";
  p.period_type = {"cpu", "nanoseconds"};
  p.period = 10'000'000;
  p.time_unix_ns = 1'700'000'000'123'456'789;
  p.duration_ns = 5'000'000'001;
  p.mappings = {{0x1000, 0x2000, 0x100, "/bin/app", "abcd", true},
                {0x7f0000000000, 0x7f0000001000, 0, "libc", "", false}};
  p.functions = {{"prof::f", "_ZN4prof1fEv"}, {"g", "g"}};
  p.locations = {{0, 0x1234, true, 0}, {1, 0x7f0000000010, true, 1}, {1, 0x7f0000000020, false, 0}};
  p.samples = {{{0, 1, 2}, {3, 30'000'000}, {{"thread", "main"}, {"bytes", "", 512}}}, {{2}, {-1, INT64_MIN}, {}}};
  p.comments = {"cpu clock: timer", "second"};
  const Message m = parsed(p);
  const auto text = [&](int64_t index) { return m.string_table(static_cast<int>(index)); };
  cr_assert_eq(m.string_table(0), "");
  cr_assert_eq(m.sample_type_size(), 2);
  cr_assert_eq(text(m.sample_type(1).type()), "cpu");
  cr_assert_eq(text(m.sample_type(1).unit()), "nanoseconds");
  cr_assert_eq(text(m.default_sample_type()), "cpu");
  cr_assert_eq(text(m.period_type().type()), "cpu");
  cr_assert_eq(text(m.period_type().unit()), "nanoseconds");
  cr_assert_eq(m.period(), p.period);
  cr_assert_eq(m.time_nanos(), p.time_unix_ns);
  cr_assert_eq(m.duration_nanos(), p.duration_ns);
  cr_assert_eq(m.mapping_size(), 2);
  cr_assert_eq(m.mapping(0).id(), 1u);
  cr_assert_eq(m.mapping(0).memory_start(), 0x1000u);
  cr_assert_eq(m.mapping(0).memory_limit(), 0x2000u);
  cr_assert_eq(m.mapping(0).file_offset(), 0x100u);
  cr_assert_eq(text(m.mapping(0).filename()), "/bin/app");
  cr_assert_eq(text(m.mapping(0).build_id()), "abcd");
  cr_assert(m.mapping(0).has_functions());
  cr_assert(!m.mapping(1).has_functions() && !m.mapping(0).has_filenames() && !m.mapping(0).has_line_numbers());
  cr_assert_eq(m.location_size(), 3);
  cr_assert_eq(m.location(1).id(), 2u);
  cr_assert_eq(m.location(1).mapping_id(), 2u);
  cr_assert_eq(m.location(1).address(), 0x7f0000000010u);
  cr_assert_eq(m.location(1).line(0).function_id(), 2u);
  cr_assert_eq(m.location(2).line_size(), 0);
  cr_assert_eq(m.function_size(), 2);
  cr_assert_eq(m.function(0).id(), 1u);
  cr_assert_eq(text(m.function(0).name()), "prof::f");
  cr_assert_eq(text(m.function(0).system_name()), "_ZN4prof1fEv");
  cr_assert_eq(m.sample_size(), 2);
  cr_assert_eq(m.sample(0).location_id_size(), 3);
  cr_assert_eq(m.sample(0).location_id(0), 1u);
  cr_assert_eq(m.sample(0).value(1), 30'000'000);
  cr_assert_eq(text(m.sample(0).label(0).key()), "thread");
  cr_assert_eq(text(m.sample(0).label(0).str()), "main");
  cr_assert_eq(m.sample(0).label(0).num(), 0);
  cr_assert_eq(text(m.sample(0).label(1).key()), "bytes");
  cr_assert_eq(m.sample(0).label(1).num(), 512);
  cr_assert_eq(m.sample(0).label(1).str(), 0, "a text or a number, never both");
  cr_assert_eq(m.sample(1).value(1), INT64_MIN);
  cr_assert_eq(m.comment_size(), 2);
  cr_assert_eq(text(m.comment(1)), "second");
}

Test(profile_encoder, an_empty_profile_is_a_valid_file) {
  const Message m = parsed(Profile());
  cr_assert_eq(m.string_table_size(), 1);
}

Test(profile_encoder, texts_are_valid_utf8) {
  cr_assert_eq(valid_utf8("plain"), "plain");
  cr_assert_eq(valid_utf8("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"), "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
  cr_assert_eq(valid_utf8("\xff"), "?");
  cr_assert_eq(valid_utf8("a\xc0\x80"
                          "b"),
               "a??b", "overlong");
  cr_assert_eq(valid_utf8("\xed\xa0\x80"), "???", "a surrogate");
  cr_assert_eq(valid_utf8("\xf5\x80\x80\x80"), "????", "beyond the last code point");
  cr_assert_eq(valid_utf8("\xe2\x82"), "??", "cut");
}
