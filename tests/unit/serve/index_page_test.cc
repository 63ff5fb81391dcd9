#include "core/serve/index_page.h"

#include <criterion/criterion.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <regex>

using namespace prof;

namespace {

constexpr int64_t kSecond = 1'000'000'000;

IndexPage page_of(std::vector<IndexProfile> profiles) {
  IndexPage page;
  page.command_line = {"/usr/bin/server", "--name", "a b"};
  page.pid = 4711;
  page.host = "machine";
  page.started_unix_ns = 1'700'000'000 * kSecond;
  page.now_unix_ns = page.started_unix_ns + 7'380 * kSecond;
  page.profiles = std::move(profiles);
  page.origin = "http://localhost:6060";
  return page;
}

bool has(const std::string& html, const std::string& text) { return html.find(text) != std::string::npos; }

// Every element is closed, in order; nothing is in a name or outside of quotes that should not be.
void check_markup(const std::string& html) {
  std::vector<std::string> open;
  static const std::regex kTag(R"(<(/?)([a-z0-9]+)((?: [a-z-]+(?:="[^"<>]*")?)*)>)");
  for (size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    if (html.compare(at, 9, "<!DOCTYPE") == 0) continue;
    std::smatch match;
    const auto from = html.cbegin() + static_cast<ptrdiff_t>(at);
    cr_assert(std::regex_search(from, html.cend(), match, kTag, std::regex_constants::match_continuous), "%s",
              html.substr(at, 80).c_str());
    const std::string name = match[2];
    if (name == "meta" || name == "link") continue;
    if (match[1].length() != 0) {
      cr_assert(!open.empty() && open.back() == name, "</%s>", name.c_str());
      open.pop_back();
    } else {
      open.push_back(name);
      // Their contents are no markup.
      if (name == "script" || name == "style") at = html.find("</" + name, at) - 1;
    }
  }
  cr_assert(open.empty());
}

}  // namespace

Test(index_page, says_which_process_it_is) {
  const std::string html = index_page(page_of({}));
  cr_assert(html.starts_with("<!DOCTYPE html>"));
  cr_assert(has(html, "<h1>server</h1>") &&
            has(html, "pid 4711 on machine, up 2 h 3 min, since 2023-11-14 22:13:20 UTC"));
  cr_assert(has(html, "/usr/bin/server --name &#39;a b&#39;</code>"));
  check_markup(html);
}

Test(index_page, each_profile_has_its_links_count_and_command) {
  const std::string html = index_page(page_of({{"heap", 12'345, Recording::on, 1'700'000'001 * kSecond, ""},
                                               {"mutex", 7, Recording::on, 1'700'003'000 * kSecond, ""},
                                               {"profile", -1, Recording::at_request, 0, ""},
                                               {"goroutine", 3, Recording::always, 0, ""},
                                               {"fgprof", -1, Recording::at_request, 0, ""}}));
  check_markup(html);
  cr_assert(has(html, "<a href=\"heap\">heap</a>") && has(html, "12 345"));
  cr_assert(has(html, ">since the start<") && has(html, ">since 2023-11-14 23:03:20 UTC (1 h 13 min)<"));
  cr_assert(has(html, "<a href=\"heap?debug=1\" aria-label=\"heap as text\">debug=1</a>"));
  cr_assert(has(html, ">go tool pprof -http=: http://localhost:6060/debug/pprof/heap</code>"));
  cr_assert(has(html, ">go tool pprof -http=: &#39;http://localhost:6060/debug/pprof/profile?seconds=30&#39;</code>"));
  cr_assert(has(html, "<a href=\"profile?seconds=30\">") && !has(html, "profile?debug=1"));
  cr_assert(has(html, "href=\"goroutine?debug=2\""));
  cr_assert(has(html, "href=\"../fgprof?seconds=30\"") && has(html, "http://localhost:6060/debug/fgprof?seconds=30"));
}

Test(index_page, what_is_off_has_no_link_and_says_why) {
  const std::string html =
      index_page(page_of({{"heap", -1, Recording::off, 0, "the program's malloc is that of /bin/x"}}));
  check_markup(html);
  cr_assert(has(html, "not available") && has(html, "the program&#39;s malloc is that of /bin/x"));
  cr_assert(!has(html, "href=\"heap") && !has(html, "go tool pprof -http=: http"));
}

Test(index_page, where_pprof_cannot_go_the_command_fetches_first) {
  IndexPage page = page_of({{"heap", 1, Recording::on, 0, ""}, {"profile", -1, Recording::at_request, 0, ""}});
  page.origin = "http://localhost";
  page.fetch_command = "curl -f --unix-socket /run/x";
  const std::string html = index_page(page);
  cr_assert(
      has(html,
          ">curl -f --unix-socket /run/x -o heap.pb.gz http://localhost/debug/pprof/heap &amp;&amp; go tool pprof "
          "-http=: heap.pb.gz</code>"));
}

Test(index_page, losses_are_listed) {
  IndexPage page = page_of({});
  cr_assert(has(index_page(page), "Nothing was lost so far."));
  page.losses = {"timers refused: 3", "a <b>"};
  const std::string html = index_page(page);
  cr_assert(has(html, "<li>timers refused: 3</li>") && has(html, "<li>a &lt;b&gt;</li>") && !has(html, "Nothing was"));
}

Test(index_page, nothing_of_others_is_markup) {
  const std::string evil = "\"><script>alert(1)</script><img src=x onerror='alert(1)'>&\xff\n";
  IndexPage page = page_of({{evil, 1, Recording::on, 1, evil}, {evil, 1, Recording::off, 1, evil}});
  page.command_line = {evil, evil};
  page.host = page.origin = page.version = page.fetch_command = evil;
  page.losses = {evil};
  const std::string html = index_page(page);
  check_markup(html);
  cr_assert(!has(html, "alert(1)</script>") && !has(html, "<img"));
}

Test(index_page, nothing_is_loaded_from_elsewhere) {
  const std::string html = index_page(page_of({{"heap", 1, Recording::on, 1, ""}}));
  static const std::regex kLoads("(src|href)=\"(https?:|//)|url\\(|@import");
  cr_assert(!std::regex_search(html, kLoads));
  cr_assert(has(std::string(kIndexContentSecurityPolicy), "default-src 'none'"));
}

Test(index_page, its_script_is_the_one_that_its_policy_lets_run) {
  const std::string html = index_page(page_of({}));
  const size_t begin = html.find("<script>") + 8;
  const std::string script = html.substr(begin, html.find("</script>") - begin);
  char path[] = "/tmp/index_page_XXXXXX";
  const int fd = mkstemp(path);
  cr_assert_geq(fd, 0);
  std::ofstream(path) << script;
  const std::string command =
      "/usr/bin/python3 -c 'import base64, hashlib, sys; "
      "print(base64.b64encode(hashlib.sha256(sys.stdin.buffer.read()).digest()).decode())' <";
  FILE* pipe = popen((command + path).c_str(), "r");
  char hash[64] = {};
  cr_assert_not_null(fgets(hash, sizeof(hash), pipe));
  pclose(pipe);
  remove(path);
  hash[44] = '\0';
  cr_assert(has(std::string(kIndexContentSecurityPolicy), "'sha256-" + std::string(hash) + "'"), "it is %s", hash);
}

Test(index_page, a_process_without_a_command_line_and_a_very_long_one) {
  IndexPage page = page_of({});
  page.command_line = {};
  cr_assert(has(index_page(page), "<h1>process 4711</h1>"));
  page.command_line = {"/x", std::string(1 << 20, 'a')};
  cr_assert_lt(index_page(page).size(), 20'000u);
}

// For a look at it by eye: INDEX_PAGE_FILE=/tmp/index.html.
Test(index_page, can_be_looked_at) {
  const char* path = getenv("INDEX_PAGE_FILE");
  if (path == nullptr) return;
  const int64_t since = 1'700'000'000 * kSecond;
  IndexPage page = page_of({{"profile", -1, Recording::at_request, 0, ""},
                            {"wall", -1, Recording::at_request, 0, ""},
                            {"heap", 12'345, Recording::on, since, ""},
                            {"allocs", 12'345, Recording::on, since, ""},
                            {"block", 0, Recording::from_request, 0, ""},
                            {"mutex", 218, Recording::on, since + 3'000 * kSecond, ""},
                            {"threadcreate", 12, Recording::on, since, ""},
                            {"goroutine", 48, Recording::always, 0, ""},
                            {"trace", -1, Recording::off, 0, "The kernel refuses a thread to libprof."}});
  page.command_line = {"/usr/local/bin/shop-server", "--listen", "0.0.0.0:8080", "--database",
                       "postgres://shop@db/shop",    "--name",   "Main Street"};
  page.host = "web-3";
  page.losses = {"stacks deeper than PROF_STACK_DEPTH: 12",
                 "timers refused by the kernel (threads not sampled; see ulimit -i): 3"};
  page.version = "1.0";
  std::ofstream(path) << index_page(page);
}
