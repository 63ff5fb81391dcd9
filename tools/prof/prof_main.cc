// prof: shows what is in a profile, without Go, adds profiles up, and writes those of processes that were killed. Commands: top, raw,
// merge, recover; and tree, for profrun.
//
// Exit status: 0, 1 when a file cannot be read or shown (one line on stderr says why), 2 for wrong usage.

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/prof/merge_command.h"
#include "tools/prof/merged_profile.h"
#include "tools/prof/profile_bytes.h"
#include "tools/prof/profile_from_bytes.h"
#include "tools/prof/raw_report.h"
#include "tools/prof/recover_command.h"
#include "tools/prof/top_report.h"
#include "tools/prof/tree_command.h"

namespace prof::reader {
namespace {

constexpr int kFailed = 1;
constexpr int kWrongUsage = 2;

int failed(const std::string& reason) {
  std::fprintf(stderr, "prof: %s\n", reason.c_str());
  return kFailed;
}

std::optional<Profile> profile_of(const std::vector<std::string>& files, std::string& error) {
  std::vector<Profile> profiles;
  for (const std::string& file : files) {
    const std::optional<std::string> bytes = profile_bytes(file, error);
    std::optional<Profile> profile;
    if (bytes) profile = profile_from_bytes(*bytes, error);
    if (!profile) {
      error = (file == "-" ? "standard input" : file) + ": " + error;
      return std::nullopt;
    }
    profiles.push_back(std::move(*profile));
  }
  return merged_profile(profiles, error);
}

int print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return 0;
  return failed(std::string("cannot write the report: ") + std::strerror(errno));
}

int run(int argc, char** argv) {
  CLI::App app("Shows CPU and other profiles in pprof's format.", "prof");
  app.require_subcommand(1);
  app.set_version_flag("--version", "prof 0.1");
  std::vector<std::string> files;
  TopOptions options;

  CLI::App* top = app.add_subcommand("top", "where it went, by function: flat (in the function itself) and cumulative");
  top->add_option("FILE", files, "profiles, gzip or plain; several are added up; - is standard input")->required();
  top->add_flag("--cum", options.by_cum, "sort by the cumulative value");
  top->add_option("-n", options.max_rows, "show at most this many functions")->check(CLI::Range(1, 1'000'000'000));
  top->add_option("--sample-index", options.sample_index, "the sample type to show, by name or number");

  RecoverCommand recover_command;
  CLI::App* recover = app.add_subcommand(
      "recover", "writes the profiles of processes that were killed, from what they left in PROF_SPOOL");
  recover->add_option("FOLDER", recover_command.folder, "PROF_SPOOL's")->required();
  recover->add_flag("--gone", recover_command.is_gone,
                    "processes that cannot be seen from here, of other containers, have ended; their profiles are "
                    "written to FOLDER");
  recover
      ->add_option("--to", recover_command.to,
                   "write all profiles to this folder, whatever folders their processes wanted: for a FOLDER that "
                   "somebody else may write to, who could name any file of yours")
      ->check(CLI::ExistingDirectory);
  recover
      ->add_option("--watch", recover_command.watched,
                   "wait in the background for the end of this process; remove the folder")
      ->check(CLI::Range(1, 1 << 22));

  CLI::App* raw = app.add_subcommand("raw", "all that is in the profile, as text");
  raw->add_option("FILE", files, "as for top")->required();

  MergeCommand merge_command;
  CLI::App* merge = app.add_subcommand("merge", "several profiles of one kind as one file");
  merge->add_option("FILE", merge_command.sources, "as for top; of a folder, all that are in it")->required();
  merge->add_option("-o,--output", merge_command.output, "the file to write")->required();
  merge->add_flag("--processes", merge_command.processes, "label each sample with its process: pid, command");

  TreeCommand tree_command;
  CLI::App* tree = app.add_subcommand("tree", "what profrun --merge does")->group("");
  tree->add_option("--preload", tree_command.preload)->required();
  tree->add_option("--wanted", tree_command.wanted)->required();
  tree->prefix_command();

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {
    return app.exit(wanted);  // --help
  } catch (const CLI::ParseError& wrong) {
    std::fprintf(stderr, "prof: %s; see prof --help\n", wrong.what());
    return kWrongUsage;
  }

  if (recover->parsed()) return run_recover(recover_command);
  std::string error;
  if (tree->parsed()) {
    tree_command.program = tree->remaining();
    if (!tree_command.program.empty() && tree_command.program.front() == "--") {
      tree_command.program.erase(tree_command.program.begin());
    }
    return tree_command.program.empty() ? kWrongUsage : run_tree(tree_command);
  }
  if (merge->parsed()) {
    size_t count = 0;
    if (!merge_files(merge_command, &count, &error)) return failed(error);
    return count == 0 ? failed("there is no profile to merge") : 0;
  }
  const std::optional<Profile> profile = profile_of(files, error);
  if (!profile) return failed(error);
  if (raw->parsed()) return print(raw_report(*profile));
  const std::optional<std::string> report = top_report(*profile, options, error);
  return report ? print(*report) : failed(error);
}

}  // namespace
}  // namespace prof::reader

int main(int argc, char** argv) {
  try {
    return prof::reader::run(argc, argv);
  } catch (const std::bad_alloc&) {
    return prof::reader::failed("not enough memory for this profile");
  }
}
