// Single events of the trace-event format, packed as they are written. Normal code; of trace_builder.cc.
#pragma once

#include <rapidjson/writer.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/report/gzip_writer.h"

namespace prof {

struct TraceArgument {
  std::string_view key;
  std::string text;
};
using TraceArguments = std::vector<TraceArgument>;

class TraceWriter {
 public:
  // base_ns: the time that is 0 in the file.
  TraceWriter(int pid, int64_t base_ns);

  void name_process(std::string_view name);
  void name_thread(int tid, std::string_view name, int order);
  // A slice begins, or the last one that has not ended ends. Of one thread: in the order of their times.
  void begin(int tid, std::string_view name, std::string_view category, int64_t time_ns,
             const TraceArguments& arguments);
  void end(int tid, std::string_view name, int64_t time_ns);
  // Something that has no length, to be seen.
  void note(int tid, std::string_view name, int64_t time_ns, const TraceArguments& arguments);
  // An arrow, from within one slice to within another that has just begun.
  void arrow_from(int tid, uint64_t id, int64_t time_ns);
  void arrow_to(int tid, uint64_t id, int64_t time_ns);

  // The whole file. about: of the trace as a whole; losses: what is missing in it.
  std::string finish(const TraceArguments& about, const TraceArguments& losses);

 private:
  void open_event(const char* phase, int tid, std::string_view name);
  void time(int64_t time_ns);
  void text(std::string_view value);
  void object(std::string_view key, const TraceArguments& members);
  void arrow(const char* phase, int tid, uint64_t id, int64_t time_ns);

  const int pid_;
  const int64_t base_ns_;
  GzipWriter packed_;
  rapidjson::Writer<GzipWriter> json_;
};

}  // namespace prof
