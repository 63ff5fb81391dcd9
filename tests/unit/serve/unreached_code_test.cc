#include "core/serve/unreached_code.h"

#include <criterion/criterion.h>

using namespace prof;

namespace {

std::vector<UnreachedCode> of(const std::string& maps) { return unreached_code(ModuleMap::of_text(maps, "/bin/app")); }

}  // namespace

Test(unreached_code, is_known_by_the_file_s_name) {
  const auto code =
      of("1000-2000 r-xp 00000000 08:01 10 /bin/app\n"
         "3000-4000 r-xp 00000000 08:01 11 /opt/lib/libjemalloc.so.2\n"
         "5000-6000 r-xp 00000000 08:01 11 /opt/lib/libjemalloc.so.2\n"
         "7000-8000 r-xp 00000000 08:01 12 /usr/lib/libasan.so.8.0.0\n"
         "9000-a000 r--p 00000000 08:01 13 /usr/lib/libmimalloc.so.2\n");
  cr_assert_eq(code.size(), 2u, "each file once, and of code only");
  cr_assert_eq(code[0].file, "/opt/lib/libjemalloc.so.2");
  cr_assert(code[1].what.starts_with("The heap is the sanitizer's"));
}

Test(unreached_code, nothing_else_is) {
  cr_assert(of("").empty());
  cr_assert(of("1000-2000 r-xp 00000000 08:01 10 /bin/my-python\n"
               "2000-3000 r-xp 00000000 08:01 15 /bin/node_exporter\n"
               "3000-4000 r-xp 00000000 00:00 0 libjemalloc.so.2\n"
               "5000-6000 r-xp 00000000 08:01 11 /libjemalloc/x.so\n"
               "7000-8000 r-xp 00000000 00:00 0 [vdso]\n")
                .empty());
}
