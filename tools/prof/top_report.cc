#include "tools/prof/top_report.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <utility>
#include <vector>

#include "tools/prof/frame_table.h"
#include "tools/prof/report_header.h"
#include "tools/prof/row_totals.h"
#include "tools/prof/scaled_value.h"

namespace prof::reader {
namespace {

// What stands for less than this share of all is noise.
constexpr double kRowFraction = 0.005;
constexpr double kCallFraction = 0.001;

std::optional<size_t> value_index(const Profile& profile, const std::string& wanted, std::string& error) {
  const std::vector<ValueType>& types = profile.sample_types;
  if (types.empty()) {
    error = "the profile has no sample types";
    return std::nullopt;
  }
  const std::string& name = wanted.empty() ? profile.default_sample_type : wanted;
  for (size_t i = 0; i < types.size() && !name.empty(); ++i) {
    if (types[i].type == name) return i;
  }
  if (wanted.empty()) return types.size() - 1;
  size_t number = 0;
  const auto [end, status] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), number);
  if (status == std::errc() && end == wanted.data() + wanted.size() && number < types.size()) return number;
  error = "no sample type '" + wanted + "'; there are:";
  for (const ValueType& type : types) error += " " + type.type;
  return std::nullopt;
}

// Differences are shown relative to what they are a difference to: samples of the base carry a label.
int64_t total_of(const Profile& profile, size_t index) {
  int64_t total = 0, base = 0;
  for (const Sample& sample : profile.samples) {
    const int64_t value = magnitude(sample.values[index]);
    total = wrapping_add(total, value);
    const auto label = sample.labels.find("pprof::base");
    if (label != sample.labels.end() && std::count(label->second.begin(), label->second.end(), "true") > 0) {
      base = wrapping_add(base, value);
    }
  }
  return base > 0 ? base : total;
}

std::string padded(std::string text, size_t width) {
  if (text.size() < width) text.insert(0, width - text.size(), ' ');
  return text;
}

class TopReport {
 public:
  TopReport(const Profile& profile, const TopOptions& options, size_t index)
      : profile_(profile),
        options_(options),
        index_(index),
        from_unit_(profile.sample_types[index].unit),
        total_(total_of(profile, index)),
        frames_(frame_table(profile)) {}

  std::string text() {
    select_rows();
    unit_ = common_unit();
    return report_header(profile_, index_, total_, unit_) + summary() + table();
  }

 private:
  const RowTotal& total(uint32_t row) const { return totals_[row]; }
  std::string label(int64_t value) const { return scaled_label(value, from_unit_, unit_); }

  std::vector<uint32_t> rows_with_values() const {
    std::vector<uint32_t> rows;
    for (uint32_t row = 0; row < totals_.size(); ++row) {
      if (totals_[row].flat != 0 || totals_[row].cum != 0) rows.push_back(row);
    }
    return rows;
  }

  void add_up(const std::vector<uint32_t>& shown) {
    std::vector<bool> kept(frames_.rows.size());
    for (uint32_t row : shown) kept[row] = true;
    totals_ = row_totals(profile_, frames_, index_, kept, call_cutoff_);
  }

  void select_rows() {
    totals_ = row_totals(profile_, frames_, index_, {}, 0);
    rows_ = rows_with_values();
    int64_t flat = 0;
    for (uint32_t row : rows_) flat = wrapping_add(flat, total(row).flat);
    const int64_t cutoff = magnitude(static_cast<int64_t>(static_cast<double>(flat) * kRowFraction));
    call_cutoff_ = magnitude(static_cast<int64_t>(static_cast<double>(flat) * kCallFraction));

    dropped_ = std::erase_if(rows_, [&](uint32_t row) { return magnitude(total(row).cum) < cutoff; });
    if (dropped_ > 0) {
      add_up(rows_);
      rows_ = rows_with_values();
    } else {
      totals_ = row_totals(profile_, frames_, index_, {}, call_cutoff_);
    }
    candidates_ = rows_.size();

    std::sort(rows_.begin(), rows_.end(), [this](uint32_t a, uint32_t b) { return comes_before(a, b); });
    if (options_.max_rows > 0 && options_.max_rows < rows_.size()) {
      rows_.resize(options_.max_rows);
      add_up(rows_);
    }
  }

  bool comes_before(uint32_t a, uint32_t b) const {
    const int64_t flat_a = magnitude(total(a).flat), flat_b = magnitude(total(b).flat);
    const int64_t cum_a = magnitude(total(a).cum), cum_b = magnitude(total(b).cum);
    const auto [first_a, second_a] = options_.by_cum ? std::pair(cum_a, flat_a) : std::pair(flat_a, cum_a);
    const auto [first_b, second_b] = options_.by_cum ? std::pair(cum_b, flat_b) : std::pair(flat_b, cum_b);
    if (first_a != first_b) return first_a > first_b;
    const Row &row_a = frames_.rows[a], &row_b = frames_.rows[b];
    if (row_a.name != row_b.name) return row_a.name < row_b.name;
    if (second_a != second_b) return second_a > second_b;
    return row_a.anonymous_id < row_b.anonymous_id;
  }

  // All values are shown in one unit: the one that suits the smallest, or a hundred times it where the range is wide.
  std::string common_unit() const {
    if (rows_.empty()) return "auto";
    int64_t smallest = 0;
    for (uint32_t row : rows_) {
      int64_t value = magnitude(total(row).flat);
      if (value == 0) value = magnitude(total(row).cum);
      if (value > 0 && (smallest == 0 || value < smallest)) smallest = value;
    }
    if (smallest == 0) smallest = total_;
    std::string unit = scale(smallest, from_unit_, "auto").unit;
    const bool wide = static_cast<double>(smallest) * 100 < static_cast<double>(total_);
    if (wide && unit != scale(total_, from_unit_, "auto").unit) unit = scale(smallest * 100, from_unit_, "auto").unit;
    return unit.empty() ? from_unit_ : unit;
  }

  std::string summary() const {
    int64_t flat = 0;
    for (uint32_t row : rows_) flat = wrapping_add(flat, total(row).flat);
    std::string share = percentage(flat, total_);
    share.erase(0, share.find_first_not_of(' '));
    std::string text =
        "Showing nodes accounting for " + label(flat) + ", " + share + " of " + label(total_) + " total\n";
    if (total_ == 0) return text;
    if (dropped_ > 0) {
      const int64_t cutoff = magnitude(static_cast<int64_t>(static_cast<double>(total_) * kRowFraction));
      text += "Dropped " + std::to_string(dropped_) + (dropped_ > 1 ? " nodes" : " node") +
              " (cum <= " + label(cutoff) + ")\n";
    }
    if (!rows_.empty() && rows_.size() < candidates_) {
      text += "Showing top " + std::to_string(rows_.size()) + " nodes out of " + std::to_string(candidates_) + "\n";
    }
    return text;
  }

  std::string table() const {
    std::string text = "      flat  flat%   sum%        cum   cum%\n";
    int64_t sum = 0;
    for (uint32_t row : rows_) {
      const RowTotal& values = total(row);
      sum = wrapping_add(sum, values.flat);
      text += padded(label(values.flat), 10) + " " + percentage(values.flat, total_) + " " + percentage(sum, total_) +
              " " + padded(label(values.cum), 10) + " " + percentage(values.cum, total_) + "  " +
              frames_.rows[row].name;
      if (values.called_inline) text += values.called_outright ? " (partial-inline)" : " (inline)";
      text += "\n";
    }
    return text;
  }

  const Profile& profile_;
  const TopOptions& options_;
  const size_t index_;
  const std::string from_unit_;
  const int64_t total_;
  const FrameTable frames_;
  std::vector<RowTotal> totals_;
  std::vector<uint32_t> rows_;  // those shown, in order
  size_t dropped_ = 0, candidates_ = 0;
  int64_t call_cutoff_ = 0;
  std::string unit_;
};

}  // namespace

std::optional<std::string> top_report(const Profile& profile, const TopOptions& options, std::string& error) {
  const std::optional<size_t> index = value_index(profile, options.sample_index, error);
  if (!index) return std::nullopt;
  return TopReport(profile, options, *index).text();
}

}  // namespace prof::reader
