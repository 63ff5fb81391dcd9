#include "tools/prof/scaled_value.h"

#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>

namespace prof {
namespace {

struct Unit {
  const char* name;
  double factor;
  std::array<std::string_view, 3> spellings;  // singular, lower case
};

constexpr double kKilo = 1024;
constexpr Unit kBytes[] = {
    {"B", 1, {"b", "byte"}},
    {"kB", kKilo, {"kb", "kbyte", "kilobyte"}},
    {"MB", kKilo* kKilo, {"mb", "mbyte", "megabyte"}},
    {"GB", kKilo* kKilo* kKilo, {"gb", "gbyte", "gigabyte"}},
    {"TB", kKilo* kKilo* kKilo* kKilo, {"tb", "tbyte", "terabyte"}},
    {"PB", kKilo* kKilo* kKilo* kKilo* kKilo, {"pb", "pbyte", "petabyte"}},
};
constexpr Unit kTimes[] = {
    {"ns", 1, {"ns", "nanosecond"}},    {"us", 1e3, {"us", "microsecond"}}, {"ms", 1e6, {"ms", "millisecond"}},
    {"s", 1e9, {"s", "sec", "second"}}, {"hrs", 3600e9, {"hour", "hr"}},
};

struct UnitFamily {
  std::span<const Unit> units;
  const Unit& fallback;  // for values below 1 of every unit, and for targets of another family
};
constexpr UnitFamily kFamilies[] = {{kBytes, kBytes[0]}, {kTimes, kTimes[3]}};

const Unit* find_unit(const UnitFamily& family, std::string_view spelling) {
  std::string lower;
  for (char c : spelling) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (lower.size() > 2 && lower.back() == 's') lower.pop_back();
  if (lower.empty()) return nullptr;
  for (const Unit& unit : family.units) {
    for (std::string_view known : unit.spellings) {
      if (known == lower) return &unit;
    }
  }
  return nullptr;
}

ScaledValue scale_in(const UnitFamily& family, double base, const std::string& to) {
  const Unit* target = nullptr;
  if (to == "auto") {
    for (const Unit& unit : family.units) {
      if (base / unit.factor >= 1) target = &unit;
    }
  } else {
    target = find_unit(family, to);
  }
  if (target == nullptr) target = &family.fallback;
  return {base / target->factor, target->name};
}

std::string format(const char* pattern, double value) {
  std::array<char, 400> text;  // a double has at most 309 digits before the point
  std::snprintf(text.data(), text.size(), pattern, value);
  return text.data();
}

}  // namespace

ScaledValue scale(int64_t value, const std::string& from, const std::string& to) {
  if (value < 0) {
    ScaledValue positive;
    if (value != INT64_MIN) {
      positive = scale(-value, from, to);
      positive.value = -positive.value;
      return positive;
    }
  }
  for (const UnitFamily& family : kFamilies) {
    if (const Unit* unit = find_unit(family, from)) {
      return scale_in(family, static_cast<double>(value) * unit->factor, to);
    }
  }
  for (const char* uninteresting : {"count", "sample", "unit", "auto"}) {
    if (to == uninteresting) return {static_cast<double>(value), ""};
  }
  return {static_cast<double>(value), to};
}

std::string scaled_label(int64_t value, const std::string& from, const std::string& to) {
  const ScaledValue scaled = scale(value, from, to);
  std::string text = format("%.2f", scaled.value);
  if (text.ends_with(".00")) text.resize(text.size() - 3);
  if (text == "0" || text == "-0") return "0";
  return text + scaled.unit;
}

std::string percentage(int64_t value, int64_t total) {
  double percent = 0;
  if (total != 0) percent = std::fabs(static_cast<double>(value) / static_cast<double>(total)) * 100;
  if (percent >= 99.95 && percent <= 100.05) return "  100%";
  return format(percent >= 1 ? "%5.2f%%" : "%5.2g%%", percent);
}

int64_t wrapping_add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

int64_t magnitude(int64_t value) { return value < 0 ? static_cast<int64_t>(-static_cast<uint64_t>(value)) : value; }

}  // namespace prof
