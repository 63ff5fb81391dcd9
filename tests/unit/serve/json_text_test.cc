#include "core/serve/json_text.h"

#include <criterion/criterion.h>

using namespace prof;

Test(json_text, commas_are_where_they_belong) {
  JsonText json;
  json.open('{').key("a").number(-1).key("b").open('[').close(']').key("c").open('[').text("x").open('{').close('}');
  json.boolean(true).close(']').key("d").open('{').key("e").number(uint64_t{18'446'744'073'709'551'615u}).close('}');
  json.key("f").boolean(false).close('}');
  cr_assert_eq(json.take(), R"({"a":-1,"b":[],"c":["x",{},true],"d":{"e":18446744073709551615},"f":false})");
}

Test(json_text, any_bytes_are_a_text) {
  JsonText json;
  json.text(std::string("q\" b\\ n\n z\0 \x1f \x7f \xff \u00e4", 20));
  cr_assert_eq(json.take(), "\"q\\\" b\\\\ n\\u000a z\\u0000 \\u001f \x7f ? \u00e4\"");
}
