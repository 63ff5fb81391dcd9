#include "tools/prof/frame_table.h"

#include <unordered_map>
#include <utility>

namespace prof::reader {
namespace {

const Function kNoFunction;

class TableBuilder {
 public:
  explicit TableBuilder(const Profile& profile) : profile_(profile) {}

  FrameTable build() {
    for (const Location& location : profile_.locations) {
      std::vector<uint32_t> rows;
      for (const Line& line : location.lines) rows.push_back(row(location, profile_.functions[line.function]));
      if (rows.empty()) rows.push_back(row(location, kNoFunction));
      table_.rows_of_location.push_back(std::move(rows));
    }
    return std::move(table_);
  }

 private:
  uint32_t row(const Location& location, const Function& function) {
    Row row;
    row.name = function.name;
    if (row.name.empty()) {
      const std::string file = location.mapping == kNone ? "" : profile_.mappings[location.mapping].file;
      row.name = file.empty() ? "<unknown>" : "[" + base_name(file) + "]";
      row.anonymous_id = std::to_string(function.start_line) + " 0 " + file;
    }
    const auto [place, is_new] =
        row_numbers_.emplace(row.name + '\0' + row.anonymous_id, static_cast<uint32_t>(table_.rows.size()));
    if (is_new) table_.rows.push_back(std::move(row));
    return place->second;
  }

  const Profile& profile_;
  FrameTable table_;
  std::unordered_map<std::string, uint32_t> row_numbers_;
};

}  // namespace

FrameTable frame_table(const Profile& profile) { return TableBuilder(profile).build(); }

std::string base_name(const std::string& path) {
  const size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return path.empty() ? "." : "/";
  const size_t slash = path.find_last_of('/', end);
  const size_t start = slash == std::string::npos ? 0 : slash + 1;
  return path.substr(start, end - start + 1);
}

}  // namespace prof::reader
