#include "core/serve/request.h"

#include <algorithm>
#include <charconv>

namespace prof {
namespace {

constexpr std::string_view kSchemes[] = {"http://", "https://"};

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string decoded(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit_of(text[i + 1]) >= 0 && digit_of(text[i + 2]) >= 0) {
      plain += static_cast<char>(digit_of(text[i + 1]) * 16 + digit_of(text[i + 2]));
      i += 2;
    } else {
      plain += text[i] == '+' ? ' ' : text[i];
    }
  }
  return plain;
}

std::vector<std::pair<std::string, std::string>> values_of(std::string_view form) {
  std::vector<std::pair<std::string, std::string>> values;
  while (!form.empty()) {
    const std::string_view pair = form.substr(0, form.find('&'));
    form.remove_prefix(std::min(pair.size() + 1, form.size()));
    const size_t equals = pair.find('=');
    if (pair.empty()) continue;
    values.emplace_back(decoded(pair.substr(0, equals)),
                        equals == std::string_view::npos ? std::string() : decoded(pair.substr(equals + 1)));
  }
  return values;
}

}  // namespace

std::string_view Request::value(std::string_view name) const {
  for (const auto& [key, text] : values) {
    if (key == name) return text;
  }
  return {};
}

std::optional<std::string_view> host_of_target(std::string_view target) {
  if (target.starts_with('/')) return std::string_view();
  for (const std::string_view scheme : kSchemes) {
    if (!target.starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    target = target.substr(0, target.find_first_of("/?#"));
    if (!target.empty()) return target;
  }
  return std::nullopt;
}

Request parse_request(std::string_view method, std::string_view target) {
  Request request;
  request.method = method;
  for (const std::string_view scheme : kSchemes) {
    if (!target.starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    target.remove_prefix(std::min(target.find_first_of("/?"), target.size()));
    break;
  }
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  request.path = target.substr(0, question);
  if (request.path.empty()) request.path = "/";
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  request.values = values_of(request.query);
  return request;
}

void add_form_values(std::string_view form, Request* request) {
  std::vector<std::pair<std::string, std::string>> values = values_of(form);
  values.insert(values.end(), request->values.begin(), request->values.end());
  request->values = std::move(values);
}

bool parse_integer(std::string_view text, int64_t* number) {
  if (text.starts_with('+') && text.size() > 1 && text[1] != '-') text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace prof
