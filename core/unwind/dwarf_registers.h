// The registers that rules know, by their DWARF numbers, and where a call leaves the return address.
// System V Application Binary Interface, AMD64 Architecture Processor Supplement, figure 3.36.
#pragma once

#include <cstdint>

namespace prof {

inline constexpr uint64_t kDwarfBp = 6;
inline constexpr uint64_t kDwarfSp = 7;
inline constexpr uint64_t kDwarfPc = 16;
inline constexpr int64_t kReturnAddressAtCfa = -8;

}  // namespace prof
