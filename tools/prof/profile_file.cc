#include "tools/prof/profile_file.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <vector>

namespace prof {
namespace {

using perftools::profiles::Profile;

constexpr size_t kMaxBytes = size_t{1} << 30;  // unpacked: a small file may hold any amount of zeros

// zlib reads plain files as they are.
bool read_unpacked(const std::string& name, std::string* bytes, std::string* error) {
  const int fd = name == "-" ? dup(0) : open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    *error = std::string("cannot open: ") + strerror(errno);
    return false;
  }
  const gzFile file = gzdopen(fd, "rb");
  std::vector<char> buffer(1 << 16);
  int got = 0;
  while (bytes->size() <= kMaxBytes && (got = gzread(file, buffer.data(), static_cast<unsigned>(buffer.size()))) > 0) {
    bytes->append(buffer.data(), static_cast<size_t>(got));
  }
  int code = Z_OK;
  gzerror(file, &code);
  const bool is_whole = gzclose_r(file) == Z_OK && code == Z_OK && got == 0;
  if (bytes->size() > kMaxBytes) {
    *error = "too large: more than 1 GiB unpacked";
  } else if (!is_whole) {
    *error = code == Z_ERRNO ? std::string("cannot read: ") + strerror(errno) : "not a whole gzip file";
  }
  return error->empty();
}

// The public rules of the format (google/pprof's CheckValid) and those that indexing needs.
class Checker {
 public:
  explicit Checker(const Profile& profile) : profile_(profile) {}

  std::string find_fault() const {
    if (profile_.string_table_size() == 0 || !profile_.string_table(0).empty()) return "its string table does not begin with an empty string";
    for (const auto& type : profile_.sample_type()) {
      if (!is_text(type.type()) || !is_text(type.unit())) return "a sample type's name is out of range";
    }
    for (const auto& sample : profile_.sample()) {
      if (sample.value_size() != profile_.sample_type_size()) return "a sample has not one value for each sample type";
      for (const uint64_t id : sample.location_id()) {
        if (id == 0 || id > static_cast<uint64_t>(profile_.location_size())) return "a sample's location does not exist";
      }
      for (const auto& label : sample.label()) {
        if (!is_text(label.key()) || !is_text(label.str()) || !is_text(label.num_unit())) return "a label's text is out of range";
      }
    }
    for (int i = 0; i < profile_.mapping_size(); ++i) {
      const auto& mapping = profile_.mapping(i);
      if (mapping.id() != static_cast<uint64_t>(i) + 1) return "mapping ids are not 1, 2, 3, …";
      if (!is_text(mapping.filename()) || !is_text(mapping.build_id())) return "a mapping's text is out of range";
    }
    for (int i = 0; i < profile_.location_size(); ++i) {
      const auto& location = profile_.location(i);
      if (location.id() != static_cast<uint64_t>(i) + 1) return "location ids are not 1, 2, 3, …";
      if (location.mapping_id() > static_cast<uint64_t>(profile_.mapping_size())) return "a location's mapping does not exist";
      for (const auto& line : location.line()) {
        if (line.function_id() == 0 || line.function_id() > static_cast<uint64_t>(profile_.function_size())) {
          return "a line's function does not exist";
        }
      }
    }
    for (int i = 0; i < profile_.function_size(); ++i) {
      const auto& function = profile_.function(i);
      if (function.id() != static_cast<uint64_t>(i) + 1) return "function ids are not 1, 2, 3, …";
      if (!is_text(function.name()) || !is_text(function.system_name()) || !is_text(function.filename())) {
        return "a function's text is out of range";
      }
    }
    for (const int64_t comment : profile_.comment()) {
      if (!is_text(comment)) return "a comment's text is out of range";
    }
    if (!is_text(profile_.period_type().type()) || !is_text(profile_.period_type().unit()) ||
        !is_text(profile_.default_sample_type())) {
      return "a text of its header is out of range";
    }
    return {};
  }

 private:
  bool is_text(int64_t index) const { return index >= 0 && index < profile_.string_table_size(); }

  const Profile& profile_;
};

// Other producers number as they like: ids become positions.
template <typename Items>
std::map<uint64_t, uint64_t> renumber(Items* items) {
  std::map<uint64_t, uint64_t> ids;
  for (int i = 0; i < items->size(); ++i) {
    ids.emplace(items->Get(i).id(), i + 1);
    items->Mutable(i)->set_id(static_cast<uint64_t>(i) + 1);
  }
  return ids;
}

uint64_t renumbered(const std::map<uint64_t, uint64_t>& ids, uint64_t id) {
  const auto found = ids.find(id);
  return id == 0 ? 0 : found != ids.end() ? found->second : UINT64_MAX;
}

void renumber(Profile* profile) {
  const auto mappings = renumber(profile->mutable_mapping());
  const auto functions = renumber(profile->mutable_function());
  const auto locations = renumber(profile->mutable_location());
  for (auto& location : *profile->mutable_location()) {
    location.set_mapping_id(renumbered(mappings, location.mapping_id()));
    for (auto& line : *location.mutable_line()) line.set_function_id(renumbered(functions, line.function_id()));
  }
  for (auto& sample : *profile->mutable_sample()) {
    for (auto& id : *sample.mutable_location_id()) id = renumbered(locations, id);
  }
}

}  // namespace

bool read_profile(const std::string& name, Profile* profile, std::string* error) {
  std::string bytes;
  if (!read_unpacked(name, &bytes, error)) return false;
  if (bytes.empty() || !profile->ParseFromString(bytes)) {
    *error = "not a profile";
    return false;
  }
  renumber(profile);
  *error = Checker(*profile).find_fault();
  return error->empty();
}

int sample_type_index(const Profile& profile, const std::string& name) {
  const std::string& wanted = name.empty() ? text_at(profile, profile.default_sample_type()) : name;
  for (int i = 0; i < profile.sample_type_size(); ++i) {
    if (text_at(profile, profile.sample_type(i).type()) == wanted) return i;
  }
  return name.empty() ? profile.sample_type_size() - 1 : -1;
}

}  // namespace prof
