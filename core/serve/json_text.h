// Writes JSON (RFC 8259). Normal code. Commas are its own business; whether what is opened is closed is the caller's.
//
//   JsonText json;
//   json.open('{').key("a").number(1).key("b").open('[').text("x").close(']').close('}');
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace prof {

class JsonText {
 public:
  JsonText& open(char bracket) {
    separate();
    text_ += bracket;
    is_first_ = true;
    return *this;
  }
  JsonText& close(char bracket) {
    text_ += bracket;
    is_first_ = false;
    return *this;
  }
  JsonText& key(std::string_view key) {
    text(key);
    text_ += ':';
    is_first_ = true;
    return *this;
  }
  // Any bytes: what is no UTF-8 is a '?'.
  JsonText& text(std::string_view text);
  JsonText& number(int64_t number) {
    separate();
    text_ += std::to_string(number);
    return *this;
  }
  JsonText& number(uint64_t number) {
    separate();
    text_ += std::to_string(number);
    return *this;
  }
  JsonText& number(int number) { return this->number(int64_t{number}); }
  JsonText& number(unsigned number) { return this->number(uint64_t{number}); }
  JsonText& boolean(bool is_true) {
    separate();
    text_ += is_true ? "true" : "false";
    return *this;
  }

  std::string take() { return std::move(text_); }

 private:
  void separate() {
    if (!is_first_) text_ += ',';
    is_first_ = false;
  }

  std::string text_;
  bool is_first_ = true;  // what comes next is the first here, or a key's value
};

}  // namespace prof
