#include "core/report/trace_writer.h"

#include <cstdio>

#include "core/report/profile_encoder.h"

namespace prof {

TraceWriter::TraceWriter(int pid, int64_t base_ns) : pid_(pid), base_ns_(base_ns), json_(packed_) {
  json_.StartObject();
  json_.Key("displayTimeUnit");
  json_.String("ns");
  json_.Key("traceEvents");
  json_.StartArray();
}

void TraceWriter::text(std::string_view value) {
  const std::string valid = valid_utf8(value);
  json_.String(valid.data(), static_cast<rapidjson::SizeType>(valid.size()));
}

void TraceWriter::time(int64_t time_ns) {
  // Not as a double: it is to be the same text wherever it is the same time.
  const int64_t ns = time_ns < base_ns_ ? 0 : time_ns - base_ns_;
  char digits[32];
  const int length =
      snprintf(digits, sizeof(digits), "%ld.%03ld", static_cast<long>(ns / 1000), static_cast<long>(ns % 1000));
  json_.Key("ts");
  json_.RawValue(digits, static_cast<size_t>(length), rapidjson::kNumberType);
}

void TraceWriter::object(std::string_view key, const TraceArguments& members) {
  json_.Key(key.data(), static_cast<rapidjson::SizeType>(key.size()));
  json_.StartObject();
  for (const TraceArgument& member : members) {
    json_.Key(member.key.data(), static_cast<rapidjson::SizeType>(member.key.size()));
    text(member.text);
  }
  json_.EndObject();
}

void TraceWriter::open_event(const char* phase, int tid, std::string_view name) {
  json_.StartObject();
  json_.Key("ph");
  json_.String(phase);
  json_.Key("pid");
  json_.Int(pid_);
  json_.Key("tid");
  json_.Int(tid);
  json_.Key("name");
  text(name);
}

void TraceWriter::name_process(std::string_view name) {
  open_event("M", pid_, "process_name");
  time(base_ns_);
  object("args", {{"name", std::string(name)}});
  json_.EndObject();
}

void TraceWriter::name_thread(int tid, std::string_view name, int order) {
  open_event("M", tid, "thread_name");
  time(base_ns_);
  object("args", {{"name", std::string(name)}});
  json_.EndObject();
  open_event("M", tid, "thread_sort_index");
  time(base_ns_);
  json_.Key("args");
  json_.StartObject();
  json_.Key("sort_index");
  json_.Int(order);
  json_.EndObject();
  json_.EndObject();
}

void TraceWriter::begin(int tid, std::string_view name, std::string_view category, int64_t time_ns,
                        const TraceArguments& arguments) {
  open_event("B", tid, name);
  json_.Key("cat");
  text(category);
  time(time_ns);
  if (!arguments.empty()) object("args", arguments);
  json_.EndObject();
}

void TraceWriter::end(int tid, std::string_view name, int64_t time_ns) {
  open_event("E", tid, name);
  time(time_ns);
  json_.EndObject();
}

void TraceWriter::note(int tid, std::string_view name, int64_t time_ns, const TraceArguments& arguments) {
  open_event("i", tid, name);
  json_.Key("s");
  json_.String("t");
  time(time_ns);
  if (!arguments.empty()) object("args", arguments);
  json_.EndObject();
}

void TraceWriter::arrow(const char* phase, int tid, uint64_t id, int64_t time_ns) {
  open_event(phase, tid, "ends the wait");
  json_.Key("cat");
  json_.String("wait");
  json_.Key("id");
  json_.Uint64(id);
  time(time_ns);
  if (phase[0] == 'f') {
    json_.Key("bp");  // to the slice that it lies in, not to the next one
    json_.String("e");
  }
  json_.EndObject();
}

void TraceWriter::arrow_from(int tid, uint64_t id, int64_t time_ns) { arrow("s", tid, id, time_ns); }
void TraceWriter::arrow_to(int tid, uint64_t id, int64_t time_ns) { arrow("f", tid, id, time_ns); }

std::string TraceWriter::finish(const TraceArguments& about, const TraceArguments& losses) {
  json_.EndArray();
  json_.Key("metadata");
  json_.StartObject();
  for (const TraceArgument& member : about) {
    json_.Key(member.key.data(), static_cast<rapidjson::SizeType>(member.key.size()));
    text(member.text);
  }
  object("losses", losses);
  json_.EndObject();
  json_.EndObject();
  return packed_.finish();
}

}  // namespace prof
