// prof: reads profiles. Exit code 0 done, 1 the file cannot be used (one line on stderr), 2 wrong usage.

#include <CLI/CLI.hpp>
#include <iostream>

#include "tools/prof/profile_file.h"
#include "tools/prof/raw_report.h"
#include "tools/prof/top_report.h"

namespace {

int fail(const std::string& file, const std::string& why) {
  std::cerr << "prof: " << file << ": " << why << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Reads profiles in pprof's format."};
  app.require_subcommand(1);
  std::string file;
  std::string sample_type;
  prof::TopOptions options;

  CLI::App* top = app.add_subcommand("top", "the functions that the most was spent in");
  top->add_option("file", file, "a profile, or - for standard input")->required();
  top->add_flag("--cum", options.by_cum, "in the order of what was spent in them and below");
  top->add_option("-n", options.count, "how many lines (default: all)")->check(CLI::NonNegativeNumber);
  top->add_option("--sample-index", sample_type, "which sample type (default: the profile's own default)");
  CLI::App* raw = app.add_subcommand("raw", "everything that is in a profile");
  raw->add_option("file", file, "a profile, or - for standard input")->required();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, std::cout, std::cerr) == 0 ? 0 : 2;
  }
  perftools::profiles::Profile profile;
  std::string error;
  if (!prof::read_profile(file, &profile, &error)) return fail(file, error);
  if (*raw) {
    std::cout << prof::raw_report(profile);
    return std::cout.flush() ? 0 : 1;
  }
  options.sample_type = prof::sample_type_index(profile, sample_type);
  if (options.sample_type < 0) return fail(file, "it has no sample type " + (sample_type.empty() ? "at all" : sample_type));
  std::cout << prof::top_report(profile, options);
  return std::cout.flush() ? 0 : 1;
}
