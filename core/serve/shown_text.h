// Texts and numbers as pages show them. Normal code.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace prof {

// Any bytes as HTML, in an element or in a quoted attribute; what is no UTF-8, or a control character, is a '?'.
std::string html_text(std::string_view text);

// A word as a shell takes it, quoted where it has to be.
std::string shell_word(std::string_view word);
std::string shell_words(const std::vector<std::string>& words);

// "2 d 3 h", "5 min 12 s", "1.25 s", "300 us": two units at most. Negative: "0 s".
std::string duration_text(int64_t ns);

// "2026-11-21 14:03:12 UTC"
std::string utc_text(int64_t unix_ns);

// "12 345": in groups of three.
std::string count_text(uint64_t count);

// "1 wait", "2 waits"
std::string counted_text(uint64_t count, std::string_view what);

// "3.4 MiB"
std::string bytes_text(uint64_t bytes);

}  // namespace prof
