#include "core/serve/symbol_page.h"

#include <criterion/criterion.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

using namespace prof;

extern "C" __attribute__((noinline)) int symbol_with_c_name(int n) { return n + 1; }
namespace name_space {
__attribute__((noinline)) int symbol_with_mangled_name(int n) { return n + 2; }
}  // namespace name_space

namespace {

const auto kC = reinterpret_cast<uint64_t>(symbol_with_c_name);
const auto kMangled = reinterpret_cast<uint64_t>(name_space::symbol_with_mangled_name);
const char kFirst[] = "num_symbols: 1\n";

std::string ask(const std::string& query) {
  static const ModuleMap modules = ModuleMap::of_process(getpid());
  static Symbolizer symbolizer(getpid());
  return symbol_page(query, modules, &symbolizer);
}

std::string hex(uint64_t number) {
  std::ostringstream text;
  text << "0x" << std::hex << number;
  return text.str();
}

}  // namespace

Test(symbol_page, answers_a_line_an_address_in_the_order_asked) {
  cr_assert_eq(ask(hex(kMangled) + "+" + hex(kC + 1)), kFirst + hex(kMangled) +
                                                           " _ZN10name_space24symbol_with_mangled_nameEi\n" +
                                                           hex(kC + 1) + " symbol_with_c_name\n");
}

Test(symbol_page, an_empty_question_has_the_first_line) {
  cr_assert_eq(ask(""), kFirst);
  cr_assert_eq(ask("+++"), kFirst);
}

Test(symbol_page, what_is_no_address_of_a_function_is_passed_over) {
  for (const char* word : {"0", "0x0", "0x", "x", "-1", "0x1", "<script>", "0xfffffffffffffffff",
                           "18446744073709551615", "0x7fffffffffff", "%2B", "0x10 0x20", ""}) {
    cr_assert_eq(ask(word), kFirst, "%s", word);
    cr_assert_eq(ask(std::string(word) + "+" + hex(kC)), kFirst + hex(kC) + " symbol_with_c_name\n", "%s", word);
  }
}

Test(symbol_page, numbers_are_decimal_without_0x_and_may_have_spaces_around) {
  cr_assert_eq(ask(std::to_string(kC) + "\r\n"), kFirst + hex(kC) + " symbol_with_c_name\n");
}

Test(symbol_page, the_libraries_have_names_too) {
  const auto sort = reinterpret_cast<uint64_t>(&qsort);
  cr_assert(ask(hex(sort)).find(hex(sort) + " qsort") != std::string::npos);
}

Test(symbol_page, what_is_too_long_is_answered_as_far_as_it_goes) {
  std::string query;
  while (query.size() <= kMaxSymbolQuery) query += "0x1+";
  const std::string page = ask(hex(kC) + "+" + query + hex(kMangled));
  cr_assert_eq(page, kFirst + hex(kC) + " symbol_with_c_name\nreading request: it is too long\n");
  cr_assert_eq(ask(std::string(kMaxSymbolQuery + 1, '1')), std::string(kFirst) + "reading request: it is too long\n");
}

Test(symbol_page, an_answer_has_an_end) {
  std::string query;
  while (query.size() + 32 < kMaxSymbolQuery) query += hex(kMangled) + "+";
  const std::string page = ask(query);
  cr_assert_leq(page.size(), size_t{17} << 20);
  cr_assert_geq(std::count(page.begin(), page.end(), '\n'), 50'000);
}
