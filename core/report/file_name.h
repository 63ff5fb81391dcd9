// Names of output files. Normal code.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace prof {

// What %-sequences stand for.
struct FileNameFacts {
  int pid = 0;             // %p
  std::string executable;  // %e: the program's file name, without folder
  std::string time;        // %t: when it started, as 20240131T235959Z (UTC)
  std::string host;        // %h
};

FileNameFacts file_name_facts_of_self(int64_t started_unix_ns);
std::string time_text(int64_t unix_ns);

// False: there is a sequence that does not exist, or the name would be empty; *error says so.
bool expand_file_name(std::string_view pattern, const FileNameFacts& facts, std::string* name, std::string* error);

// cpu.prof, 17 → cpu.17.prof; cpu → cpu.17; a.pb.gz → a.17.pb.gz, a.json.gz likewise; only the last part of a path is looked at.
std::string insert_before_suffix(std::string_view path, std::string_view inserted);

}  // namespace prof
