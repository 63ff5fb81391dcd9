#include "core/report/demangle.h"

#include <criterion/criterion.h>

using namespace prof;

Test(demangle, cpp_without_parameters) {
  cr_assert_eq(demangle("_ZN4prof7captureERK10ucontext_tRKNS_11StackBoundsEPmj"), "prof::capture");
  cr_assert_eq(demangle("_ZNSt6vectorIiSaIiEE9push_backERKi"), "std::vector<int, std::allocator<int> >::push_back");
}

Test(demangle, rust_without_hash) {
  cr_assert_eq(demangle("_ZN4core3fmt5write17h0123456789abcdefE"), "core::fmt::write");
  cr_assert_eq(demangle("_RNvC6_123foo3bar"), "123foo::bar");
}

Test(demangle, leaves_the_rest) {
  for (const char* name : {"main", "", "_Z", "_ZN", "_R", "_Zzzz", "memcpy@plt", "_start"})
    cr_assert_eq(demangle(name), name);
  const std::string endless = "_Z" + std::string(100'000, 'N');
  cr_assert(demangle(endless) == endless);
}
