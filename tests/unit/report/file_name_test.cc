#include "core/report/file_name.h"

#include <criterion/criterion.h>

using namespace prof;

static std::string expanded(const std::string& pattern) {
  const FileNameFacts facts = {17, "app", "20240131T235959Z", "box"};
  std::string name;
  std::string error;
  return expand_file_name(pattern, facts, &name, &error) ? name : "error: " + error;
}

Test(file_name, expands_each_sequence) {
  cr_assert_eq(expanded("cpu.prof"), "cpu.prof");
  cr_assert_eq(expanded("/a/%e.%p.%t.%h.%%.prof"), "/a/app.17.20240131T235959Z.box.%.prof");
}

Test(file_name, refuses_unknown_sequences) {
  for (const char* bad : {"%x", "a%", "%P", ""}) cr_assert(expanded(bad).starts_with("error: "), "%s", bad);
}

Test(file_name, inserts_before_the_suffix) {
  cr_assert_eq(insert_before_suffix("cpu.prof", "1"), "cpu.1.prof");
  cr_assert_eq(insert_before_suffix("/d.d/cpu", "1"), "/d.d/cpu.1");
  cr_assert_eq(insert_before_suffix("a.cpu.pb.gz", "1"), "a.cpu.1.pb.gz");
  cr_assert_eq(insert_before_suffix("a.json.gz", "1"), "a.1.json.gz");
  cr_assert_eq(insert_before_suffix("/x/.hidden", "1"), "/x/.hidden.1");
  cr_assert_eq(insert_before_suffix("/x/.pb.gz", "1"), "/x/.pb.1.gz");
  cr_assert_eq(insert_before_suffix("cpu.", "1"), "cpu.1.");
}

Test(file_name, times_sort_as_they_passed) {
  cr_assert_eq(time_text(0), "19700101T000000Z");
  cr_assert_eq(time_text(1'706'745'599'000'000'000), "20240131T235959Z");
}
