#include "core/serve/index_page.h"

#include "core/serve/shown_text.h"

namespace prof {

// The hash is that of kScript (index_page_test).
const std::string_view kIndexContentSecurityPolicy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-zR540Pzcy7FJAfHod34g3Le1d99yA9o57MTSNBOYqG0='; "
    "img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

namespace {

constexpr std::string_view kStyle = R"(
:root{color-scheme:light dark;--ink:#1c2430;--soft:#566070;--page:#f6f7f9;--card:#fff;--line:#dde1e7;--code:#eef1f5;--link:#0b57c2;
--on:#11692f;--on-back:#e0f3e5;--idle:#5a4a00;--idle-back:#fbf2cc;--off:#8c2413;--off-back:#fce5e0}
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ee;--soft:#a3adba;--page:#14181d;--card:#1c2128;--line:#323a45;--code:#262d37;
--link:#7fb4ff;--on:#8fdca6;--on-back:#173a23;--idle:#ecd680;--idle-back:#3c3410;--off:#ffb1a3;--off-back:#4a201a}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:84rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1{font-size:1.5rem;line-height:1.25;margin:0;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:2rem 0 .6rem}
p{margin:.4rem 0}
a{color:var(--link)}
code{font:.875em/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.where{color:var(--soft)}
.command{display:block;margin-top:.6rem;padding:.5rem .7rem;background:var(--code);border-radius:.4rem;overflow-wrap:anywhere}
table{width:100%;border-collapse:collapse;background:var(--card);border:1px solid var(--line);border-radius:.5rem}
th{font-size:.8rem;font-weight:600;text-align:left;color:var(--soft);white-space:nowrap}
td,th{padding:.65rem .8rem;vertical-align:top;border-top:1px solid var(--line)}
thead th{border-top:0}
tbody th{font-size:1rem;white-space:normal;color:inherit}
.what{min-width:18rem}
.recorded{min-width:10.5rem}
.command-cell{width:100%}
.what small{display:block;font-weight:400;font-size:.85rem;color:var(--soft)}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.state{display:inline-block;padding:.05rem .5rem;border-radius:1rem;font-size:.8rem;white-space:nowrap}
.on{color:var(--on);background:var(--on-back)}.idle{color:var(--idle);background:var(--idle-back)}
.off{color:var(--off);background:var(--off-back)}
.note{font-size:.85rem;color:var(--soft);margin:.15rem 0 0}
table+.note{margin-top:.7rem}
.open{display:flex;gap:.5rem;align-items:flex-start}
.open code{flex:1;padding:.3rem .5rem;background:var(--code);border-radius:.3rem;overflow-wrap:anywhere;user-select:all}
button{flex:none;min-width:4.6rem;min-height:2rem;padding:.2rem .7rem;font:inherit;font-size:.85rem;color:var(--link);background:var(--card);
border:1px solid var(--line);border-radius:.3rem;cursor:pointer}
button:hover{border-color:var(--link)}
a:focus-visible,button:focus-visible{outline:2px solid var(--link);outline-offset:2px}
ul{margin:.4rem 0;padding-left:1.2rem}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
@media(max-width:60rem){
table,tbody,tr,td,tbody th{display:block;width:100%;max-width:none}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
tr{border-top:1px solid var(--line);padding:.6rem .8rem}
tbody tr:first-child{border-top:0}
.what,.recorded{min-width:0}
td,tbody th,td.number{border:0;padding:.15rem 0;text-align:left}
.recorded .note{display:inline;margin-left:.5rem}
td.number:before,td.text:before{content:attr(data-label) ": ";color:var(--soft)}
td:empty{display:none}
.open{flex-wrap:wrap}.open code{flex-basis:100%}
}
)";

// Without it the commands can still be selected: a click takes the whole of one.
constexpr std::string_view kScript = R"(
for (const code of document.querySelectorAll('.open code')) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = 'Copy';
  button.setAttribute('aria-label', 'Copy the command for ' + code.dataset.name);
  button.onclick = async () => {
    let copied = true;
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code);
      copied = document.execCommand('copy');
    }
    button.textContent = copied ? 'Copied' : 'Selected';
    document.getElementById('said').textContent = button.textContent + ': ' + code.dataset.name;
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  };
  code.after(button);
}
)";

struct Known {
  std::string_view name;
  std::string_view what;
  bool has_text;                // as ?debug=1
  std::string_view for_people;  // another link: its query
  std::string_view parameters;  // that make it what it is called
};

constexpr Known kKnown[] = {
    {"profile", "CPU: where the program computes. Takes as many seconds as it is asked for.", false, "", "?seconds=30"},
    {"wall", "Where threads are, running or waiting, over as many seconds as it is asked for.", false, "",
     "?seconds=30"},
    {"heap", "Memory that is in use, by the stack that allocated it.", true, "", ""},
    {"allocs", "All memory allocated since recording began, in use or not.", true, "", ""},
    {"block", "Where threads waited: for locks, conditions, semaphores, barriers, joins.", true, "", ""},
    {"mutex", "Which unlocks ended the waits of others: who held the locks.", true, "", ""},
    {"threadcreate", "What created the threads.", true, "", ""},
    {"goroutine", "Every thread's stack, now.", true, "?debug=2", ""},
    {"stacks", "Every thread's stack, now, with what it does or waits for.", true, "?debug=2", ""},
    {"fgprof", "The wall profile, in the form that fgprof's clients ask for.", false, "", "?seconds=30"},
    {"trace", "A timeline: threads, waits, samples. For ui.perfetto.dev or speedscope.", false, "", "?seconds=5"},
};

const Known& known(std::string_view name) {
  static constexpr Known kOther = {"", "", false, "", ""};
  for (const Known& each : kKnown) {
    if (each.name == name) return each;
  }
  return kOther;
}

// Below /debug/pprof/, where the page is itself: links go on from there, whatever a proxy puts before it.
std::string path_of(const IndexProfile& profile) { return profile.name == "fgprof" ? "../fgprof" : profile.name; }

std::string command_of(const IndexPage& page, const IndexProfile& profile) {
  const std::string folder = profile.name == "fgprof" ? "/debug/" : "/debug/pprof/";
  const std::string url = page.origin + folder + profile.name + std::string(known(profile.name).parameters);
  const bool is_trace = profile.name == "trace";
  if (!is_trace && page.fetch_command.empty()) return "go tool pprof -http=: " + shell_word(url);
  const std::string file = profile.name + (is_trace ? ".json.gz" : ".pb.gz");
  const std::string fetch = page.fetch_command.empty() ? "curl -f" : page.fetch_command;
  const std::string get = fetch + " -o " + shell_word(file) + " " + shell_word(url);
  return is_trace ? get : get + " && go tool pprof -http=: " + shell_word(file);
}

std::string state_of(const IndexPage& page, const IndexProfile& profile) {
  const auto badge = [](const char* look, const std::string& text) {
    return "<span class=\"state " + std::string(look) + "\">" + text + "</span>";
  };
  switch (profile.recording) {
    case Recording::always:
      return badge("on", "at any time");
    case Recording::on: {
      constexpr int64_t kStartNs = 5'000'000'000;  // as long as a start may take
      std::string text = badge("on", "recording");
      if (profile.since_unix_ns == 0) return text;
      const bool is_from_start = profile.since_unix_ns - page.started_unix_ns < kStartNs;
      text += "<p class=\"note\">since " +
              (is_from_start ? "the start"
                             : utc_text(profile.since_unix_ns) + " (" +
                                   duration_text(page.now_unix_ns - profile.since_unix_ns) + ")") +
              "</p>";
      return text;
    }
    case Recording::at_request:
      return badge("idle", "while asked for");
    case Recording::from_request:
      return badge("idle", "from the first request on");
    case Recording::off:
      break;
  }
  return badge("off", "not available");
}

std::string link(const std::string& path, std::string_view query, const std::string& text, const std::string& label) {
  return "<a href=\"" + html_text(path + std::string(query)) + "\"" +
         (label.empty() ? "" : " aria-label=\"" + html_text(label) + "\"") + ">" + html_text(text) + "</a>";
}

// Roles are said where a narrow page's look would take them away.
std::string row_of(const IndexPage& page, const IndexProfile& profile) {
  const Known& what = known(profile.name);
  const std::string path = path_of(profile);
  const bool is_off = profile.recording == Recording::off;
  std::string row = "<tr role=\"row\">\n<th scope=\"row\" role=\"rowheader\" class=\"what\">";
  row += is_off ? html_text(profile.name) : link(path, what.parameters, profile.name, "");
  if (!what.what.empty()) row += "<small>" + html_text(what.what) + "</small>";
  row += "</th>\n<td role=\"cell\" class=\"number\" data-label=\"Records\">";
  if (profile.count >= 0) row += count_text(static_cast<uint64_t>(profile.count));
  row += "</td>\n<td role=\"cell\" class=\"recorded\">" + state_of(page, profile);
  if (!profile.note.empty()) row += "<p class=\"note\">" + html_text(profile.note) + "</p>";
  row += "</td>\n<td role=\"cell\" class=\"text\" data-label=\"As text\">";
  if (what.has_text && !is_off) row += link(path, "?debug=1", "debug=1", profile.name + " as text");
  if (!what.for_people.empty() && !is_off) {
    row +=
        " " + link(path, what.for_people, std::string(what.for_people.substr(1)), profile.name + ", a block a thread");
  }
  row += "</td>\n<td role=\"cell\" class=\"command-cell\">";
  if (!is_off) {
    row += "<div class=\"open\"><code data-name=\"" + html_text(profile.name) + "\">" +
           html_text(command_of(page, profile)) + "</code></div>";
  }
  return row + "</td>\n</tr>\n";
}

std::string table_of(const IndexPage& page) {
  std::string table = "<table role=\"table\" aria-labelledby=\"profiles\">\n<thead role=\"rowgroup\"><tr role=\"row\">";
  for (const char* head : {"Profile", "Records", "Recorded", "As text", "Open it with"}) {
    table += std::string("<th scope=\"col\" role=\"columnheader\">") + head + "</th>";
  }
  table += "</tr></thead>\n<tbody role=\"rowgroup\">\n";
  for (const IndexProfile& profile : page.profiles) table += row_of(page, profile);
  return table + "</tbody>\n</table>\n";
}

std::string losses_of(const IndexPage& page) {
  if (page.losses.empty()) return "<p>Nothing was lost so far.</p>\n";
  std::string list = "<ul>\n";
  for (const std::string& loss : page.losses) list += "<li>" + html_text(loss) + "</li>\n";
  return list + "</ul>\n";
}

std::string name_of_program(const IndexPage& page) {
  if (page.command_line.empty()) return "process " + std::to_string(page.pid);
  const std::string& path = page.command_line[0];
  const std::string name = path.substr(path.rfind('/') + 1);
  return name.empty() ? path : name;
}

// A command line may be megabytes long.
std::string shown_command_line(const IndexPage& page) {
  constexpr size_t kMost = 2000;
  std::string line = shell_words(page.command_line);
  if (line.size() > kMost) line = line.substr(0, kMost) + " …";
  return line;
}

}  // namespace

std::string index_page(const IndexPage& page) {
  const std::string name = html_text(name_of_program(page));
  std::string html = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>" + name +
                     " – profiles</title>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<link rel=\"icon\" href=\"data:,\">\n<style>" +
                     std::string(kStyle) + "</style>\n</head>\n<body>\n<main>\n<h1>" + name +
                     "</h1>\n<p class=\"where\">pid " + std::to_string(page.pid);
  if (!page.host.empty()) html += " on " + html_text(page.host);
  if (page.started_unix_ns != 0) {
    html +=
        ", up " + duration_text(page.now_unix_ns - page.started_unix_ns) + ", since " + utc_text(page.started_unix_ns);
  }
  html += "</p>\n";
  if (!page.command_line.empty())
    html += "<code class=\"command\">" + html_text(shown_command_line(page)) + "</code>\n";
  html += "<h2 id=\"profiles\">Profiles</h2>\n" + table_of(page);
  html +=
      "<p class=\"note\">A command opens the profile in the browser, on the machine it is entered on. With "
      "<code>?seconds=10</code> "
      "behind heap, allocs, block, mutex or threadcreate it is what happened in those seconds.</p>\n"
      "<h2>What is missing</h2>\n" +
      losses_of(page) +
      "<h2>More</h2>\n<ul>\n"
      "<li><a href=\"status\">status</a>: what is recorded and lost, and why a profile may be empty</li>\n"
      "<li><a href=\"../../metrics\">metrics</a>: the same for Prometheus</li>\n"
      "<li><a href=\"cmdline\">cmdline</a>: the command line, its words separated by zero bytes</li>\n"
      "<li><code>symbol</code>: function names of addresses, for <code>go tool pprof</code></li>\n</ul>\n";
  html += "<p class=\"where\">libprof" + (page.version.empty() ? "" : " " + html_text(page.version)) + "</p>\n";
  html += "<p class=\"hidden\" id=\"said\" role=\"status\"></p>\n</main>\n<script>" + std::string(kScript) +
          "</script>\n</body>\n</html>\n";
  return html;
}

}  // namespace prof
