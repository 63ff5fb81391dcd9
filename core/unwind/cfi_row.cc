#include "core/unwind/cfi_row.h"

#include "core/unwind/dwarf_reader.h"
#include "core/unwind/machine.h"

namespace prof {
namespace {

using How = RegisterRule::How;

// DWARF 5, 7.24. The first three have their operand in the low six bits.
enum Instruction : uint8_t {
  kAdvanceLoc = 0x40,
  kOffset = 0x80,
  kRestore = 0xc0,
  kNop = 0x00,
  kSetLoc,
  kAdvanceLoc1,
  kAdvanceLoc2,
  kAdvanceLoc4,
  kOffsetExtended,
  kRestoreExtended,
  kUndefined,
  kSameValue,
  kRegister,
  kRememberState,
  kRestoreState,
  kDefCfa,
  kDefCfaRegister,
  kDefCfaOffset,
  kDefCfaExpression,
  kExpression,
  kOffsetExtendedSf,
  kDefCfaSf,
  kDefCfaOffsetSf,
  kValOffset,
  kValOffsetSf,
  kValExpression,
  kNegateRaStateWithPc = 0x2c,  // these two of aarch64: return addresses are signed from here on, or no longer
  kNegateRaState,
  kGnuArgsSize = 0x2e,
  kGnuNegativeOffsetExtended,
};
constexpr uint8_t kPrimary = 0xc0;
constexpr unsigned kMaxRemembered = 4;

class RowMachine {
 public:
  RowMachine(CodeBytes* bytes, const FrameEntry& entry, CfiRow* row) : bytes_(bytes), entry_(entry), row_(*row) {}

  bool run(uint64_t address) {
    address_ = address;
    row_.code = entry_.code;
    if (!execute(entry_.initial_instructions, /*is_initial=*/true)) return false;
    initial_ = row_;
    return execute(entry_.instructions, /*is_initial=*/false);
  }

 private:
  bool execute(const ByteRange& instructions, bool is_initial) {
    DwarfReader reader(bytes_, instructions.start, instructions.end);
    while (!reader.at_end() && !is_found_) {
      if (++executed_ > kMaxInstructions || !instruction(&reader, is_initial)) return false;
    }
    return reader.ok();
  }

  // False: it cannot be done. A row's end is known when the next one begins.
  bool instruction(DwarfReader* reader, bool is_initial) {
    const uint8_t code = reader->u8();
    const uint8_t operand = code & static_cast<uint8_t>(~kPrimary);
    switch (code & kPrimary) {
      case kAdvanceLoc:
        return !is_initial && advance_to(row_.code.start + operand * entry_.code_factor);
      case kOffset:
        return set(operand, {How::at_cfa, factored(reader->uleb128()), {}});
      case kRestore:
        return restore(operand);
      default:
        break;
    }
    switch (code) {
      case kNop:
        return true;
      case kSetLoc:
        return !is_initial && advance_to(reader->pointer(entry_.pointer_encoding));
      case kAdvanceLoc1:
        return !is_initial && advance_to(row_.code.start + reader->u8() * entry_.code_factor);
      case kAdvanceLoc2:
        return !is_initial && advance_to(row_.code.start + reader->number<uint16_t>() * entry_.code_factor);
      case kAdvanceLoc4:
        return !is_initial && advance_to(row_.code.start + reader->number<uint32_t>() * entry_.code_factor);
      case kRememberState:
        if (remembered_ == kMaxRemembered) return false;
        states_[remembered_++] = row_;
        return true;
      case kRestoreState:
        return restore_state();
      case kGnuArgsSize:
        reader->uleb128();
        return true;
      case kNegateRaState:
      case kNegateRaStateWithPc:
        return kHasNegateRaState;
      default:
        return is_cfa_instruction(code) ? define_cfa(code, reader) : define_register(code, reader);
    }
  }

  static bool is_cfa_instruction(uint8_t code) {
    return (code >= kDefCfa && code <= kDefCfaExpression) || code == kDefCfaSf || code == kDefCfaOffsetSf;
  }

  bool define_cfa(uint8_t code, DwarfReader* reader) {
    const bool has_register = code == kDefCfa || code == kDefCfaSf || code == kDefCfaRegister;
    if (code == kDefCfaExpression) {
      row_.cfa_is_expression = true;
      row_.cfa_expression = block(reader);
      return true;
    }
    // An offset alone changes what is there, which must be a sum. A register alone should, too; where it follows an expression
    // (libgcrypt), the offset from before that is meant: GCC's unwinder, gdb and readelf read it so.
    if ((code == kDefCfaOffset || code == kDefCfaOffsetSf) && row_.cfa_is_expression) return false;
    row_.cfa_is_expression = false;
    if (has_register) row_.cfa_register = reader->uleb128();
    if (code == kDefCfa || code == kDefCfaOffset) row_.cfa_offset = static_cast<int64_t>(reader->uleb128());
    if (code == kDefCfaSf || code == kDefCfaOffsetSf) row_.cfa_offset = factored(reader->sleb128());
    return true;
  }

  bool define_register(uint8_t code, DwarfReader* reader) {
    if (code < kOffsetExtended || (code > kValExpression && code != kGnuNegativeOffsetExtended)) return false;
    const uint64_t number = reader->uleb128();
    switch (code) {
      case kOffsetExtended:
        return set(number, {How::at_cfa, factored(reader->uleb128()), {}});
      case kOffsetExtendedSf:
        return set(number, {How::at_cfa, factored(reader->sleb128()), {}});
      case kGnuNegativeOffsetExtended:
        return set(number, {How::at_cfa, factored(0 - reader->uleb128()), {}});
      case kRestoreExtended:
        return restore(number);
      case kUndefined:
        return set(number, {How::undefined, 0, {}});
      case kSameValue:
        return set(number, {How::unchanged, 0, {}});
      case kExpression:
        return set(number, {How::at_expression, 0, block(reader)});
      case kRegister:
      case kValOffset:
        reader->uleb128();
        return set(number, {How::otherwise, 0, {}});
      case kValOffsetSf:
        reader->sleb128();
        return set(number, {How::otherwise, 0, {}});
      case kValExpression:
        return set(number, {How::otherwise, 0, block(reader)});
      default:
        return false;
    }
  }

  bool advance_to(uint64_t next) {
    if (next < row_.code.start) return false;
    if (next > address_) {
      row_.code.end = next < entry_.code.end ? next : entry_.code.end;
      is_found_ = true;
    } else {
      row_.code.start = next;
    }
    return true;
  }

  bool restore_state() {
    if (remembered_ == 0) return false;
    const ByteRange code = row_.code;
    row_ = states_[--remembered_];
    row_.code = code;
    return true;
  }

  RegisterRule* rule_of(CfiRow* row, uint64_t number) const {
    if (number == kDwarfBp) return &row->bp;
    if (number == kDwarfSp) return &row->sp;
    return number == entry_.return_column ? &row->return_address : nullptr;
  }
  bool set(uint64_t number, const RegisterRule& rule) {
    if (RegisterRule* present = rule_of(&row_, number); present != nullptr) *present = rule;
    return true;
  }
  bool restore(uint64_t number) {
    if (RegisterRule* present = rule_of(&row_, number); present != nullptr) *present = *rule_of(&initial_, number);
    return true;
  }

  // Unsigned, so that absurd numbers wrap around and are refused later.
  int64_t factored(uint64_t value) const {
    return static_cast<int64_t>(value * static_cast<uint64_t>(entry_.data_factor));
  }
  int64_t factored(int64_t value) const { return factored(static_cast<uint64_t>(value)); }

  static ByteRange block(DwarfReader* reader) {
    const uint64_t bytes = reader->uleb128();
    const uint64_t start = reader->at();
    reader->skip(bytes);
    return {start, start + bytes};
  }

  CodeBytes* const bytes_;
  const FrameEntry& entry_;
  uint64_t address_ = 0;
  CfiRow& row_;
  CfiRow initial_;
  CfiRow states_[kMaxRemembered];
  unsigned remembered_ = 0;
  unsigned executed_ = 0;
  bool is_found_ = false;
};

}  // namespace

bool find_cfi_row(CodeBytes* bytes, const FrameEntry& entry, uint64_t address, CfiRow* row) {
  return RowMachine(bytes, entry, row).run(address);
}

}  // namespace prof
