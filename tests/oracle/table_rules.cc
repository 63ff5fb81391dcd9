// Compares the rules that core/unwind works out with what libdw reads in the same tables: at the first and the last address of every
// row of every entry of an ELF file, both for an interrupted instruction and for a return address; at every address of a row that
// depends on it; and right behind each entry.
//   table_rules [--entries N] FILE     at most N entries, spread evenly; prints figures as JSON
//   table_rules --rules FILE           prints the rule of each row in readelf's notation, to be compared with readelf
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "core/unwind/rule_from_tables.h"
#include "tests/oracle/frame_value.h"
#include "tests/oracle/libdw_tables.h"
#include "tests/oracle/mapped_elf.h"

using namespace prof;
using namespace prof::oracle;

namespace {

using Where = CallerRegister::Where;

constexpr uint32_t kSpAndBp = (1u << 7) | (1u << 6);
constexpr uint32_t kPc = 1u << 16;
constexpr uint64_t kSp = 7;
constexpr uint64_t kBp = 6;
constexpr size_t kMaxShown = 20;

const char* name_of(RuleKind kind) {
  static constexpr const char* kNames[] = {"none",         "cfa_sp",    "cfa_bp",  "cfa_deref_sp", "cfa_deref_bp",
                                           "signal_frame", "outermost", "no_info", "complex"};
  return kNames[static_cast<int>(kind)];
}

bool is_far(uint64_t number, uint64_t base, int64_t limit) {
  const auto distance = static_cast<int64_t>(number - base);
  return distance < -limit || distance >= limit;
}

// Why a rule cannot hold what the table says (core/unwind/unwind_rule.h says what it can); empty: it can.
std::string reason_for_complex(const CallerFrame& table) {
  const Value& cfa = table.cfa;
  if (!cfa.is_known) return "operation";
  if ((cfa.registers & ~(kSpAndBp | kPc)) != 0) return "cfa of another register";
  if (cfa.reads > 1 || (cfa.registers & kSpAndBp) == 0 || (cfa.registers & kSpAndBp) == kSpAndBp) return "cfa";
  if (table.return_address.where != Where::in_memory || table.return_address.address.number != cfa.number - 8) {
    return "return address elsewhere";
  }
  if (table.sp.where != Where::computed || table.sp.value.number != cfa.number) return "sp elsewhere";
  const CallerRegister& bp = table.bp;
  if (bp.where == Where::in_register && bp.value.registers != 1u << kBp) return "bp in another register";
  if (bp.where == Where::computed) return "bp computed";
  if (bp.where == Where::in_memory && !bp.is_at_cfa && (bp.address.registers != 1u << kBp || bp.address.reads != 0)) {
    return "bp by an expression";
  }
  const uint64_t base = register_value((cfa.registers & (1u << kSp)) != 0 ? kSp : kBp);
  if (cfa.reads == 0 && is_far(cfa.number, base, 1 << 25)) return "far";
  if (bp.where == Where::in_memory &&
      is_far(bp.address.number, bp.is_at_cfa ? cfa.number : register_value(kBp), 1 << 15)) {
    return "far";
  }
  return "";
}

class Comparison {
 public:
  Comparison(const MappedElf& elf, const LibdwTables& tables) : elf_(elf), tables_(tables), bytes_(/*direct=*/true) {
    bytes_.set_object(elf.object());
  }

  void compare(size_t limit) {
    const std::vector<TableEntry>& all = tables_.entries();
    const size_t step = limit == 0 ? 1 : (all.size() + limit - 1) / limit;
    for (size_t i = 0; i < all.size(); i += step) {
      ++entries_;
      entry(all[i]);
      if (i + 1 == all.size() || all[i + 1].start > all[i].end) behind(all[i].end);
    }
  }

  void print() const {
    printf("{\"of_entries\": %zu, \"entries\": %zu, \"rows\": %zu, \"rules\": %zu, ", tables_.entries().size(),
           entries_, rows_, rules_);
    printf("\"code_bytes\": %zu, \"complex_bytes\": %zu, \"refused\": %zu, \"disagreements\": %zu, ", code_bytes_,
           complex_bytes_, refused_, disagreements_);
    print_counts("kinds", kinds_);
    print_counts("complex", complex_);
    printf("\"shown\": [");
    for (size_t i = 0; i < shown_.size(); ++i) printf("%s\"%s\"", i == 0 ? "" : ", ", shown_[i].c_str());
    printf("]}\n");
  }

 private:
  void entry(const TableEntry& entry) {
    for (uint64_t address = entry.start; address < entry.end;) {
      TableRow row;
      if (!tables_.row_at(address, &row)) {
        if (!row.is_refused) return disagree(address, "libdw finds no row within an entry");
        ++refused_;
        return;
      }
      const bool is_entrys = address == entry.start ? row.start == address : row.start >= entry.start;
      if (!is_entrys || row.end <= address || row.end > entry.end) {
        return disagree(address, "libdw finds another entry's row");
      }
      // Where a remembered state was restored, libdw gives the start of the row that it was remembered in.
      row.start = address;
      ++rows_;
      if (frame_of_table(row.frame.get(), address).is_refused) {
        ++refused_;
        address = row.end;
        continue;
      }
      one(row, address, 0, entry);
      ++kinds_[name_of(last_.kind())];
      code_bytes_ += row.end - row.start;
      const CallerFrame table = frame_of_table(row.frame.get(), address);
      if (last_.kind() == RuleKind::complex) {
        ++complex_[reason_for_complex(table)];
        complex_bytes_ += row.end - row.start;
      }
      one(row, address, 1, entry);
      one(row, row.end - 1, 0, entry);
      one(row, row.end - 1, 1, entry);
      // A row that says something else at each address: a PLT's.
      for (uint64_t inner = address + 1; depends_on_pc(table) && inner < row.end; ++inner) one(row, inner, 0, entry);
      address = row.end;
    }
  }

  // What holds behind an entry that no other follows.
  void behind(uint64_t address) {
    TableRow row;
    if (tables_.row_at(address, &row)) return disagree(address, "libdw finds a row behind an entry");
    const RuleOfRange found = rule_in_object(&bytes_, address + elf_.bias(), address + elf_.bias());
    const RuleKind expected = elf_.is_signal_return(address + elf_.bias()) ? RuleKind::signal_frame : RuleKind::no_info;
    ++rules_;
    if (found.rule.kind() != expected || found.start != found.end) disagree(address, "a rule behind an entry");
  }

  // pc: behind the address that is looked up, where that is a return address.
  void one(const TableRow& row, uint64_t address, uint64_t pc_distance, const TableEntry& entry) {
    const uint64_t lookup = address + elf_.bias();
    const uint64_t pc = lookup + pc_distance;
    const RuleOfRange found = rule_in_object(&bytes_, pc, lookup);
    last_ = found.rule;
    ++rules_;
    // What depends on the address depends on the one that is looked up, which rules are kept by.
    const CallerFrame table = frame_of_table(row.frame.get(), lookup);
    const bool may_be_signal_return = row.is_signal_frame || address + pc_distance == entry.end;
    const bool is_signal_return = may_be_signal_return && elf_.is_signal_return(pc);
    if (const char* wrong = rule_problem(found.rule, table, is_signal_return, row.is_signal_frame)) {
      return disagree(address, wrong, found.rule);
    }
    // Whatever the address makes of the CFA: it is not asked for where there is no caller, or where no rule holds one.
    const bool is_sum = found.rule.kind() != RuleKind::outermost && found.rule.kind() != RuleKind::complex;
    const bool has_no_range = is_signal_return || row.is_signal_frame || (is_sum && depends_on_pc(table));
    const bool may_have_none = has_no_range || depends_on_pc(table);
    if (const char* wrong = range_problem(found, row, lookup, has_no_range, may_have_none, entry))
      disagree(address, wrong, found.rule);
  }

  static const char* rule_problem(UnwindRule rule, const CallerFrame& table, bool is_signal_return,
                                  bool in_signal_entry) {
    if (is_signal_return) {
      if (rule.kind() != RuleKind::signal_frame) return "a signal's return is not told";
      if (!in_signal_entry) return nullptr;  // the code before it is described here
    } else if (table.return_address.where == Where::undefined) {
      return rule.kind() == RuleKind::outermost ? nullptr : "there is no caller";
    } else if (rule.kind() == RuleKind::complex) {
      return reason_for_complex(table).empty() ? "complex, and a rule could hold it" : nullptr;
    }
    switch (rule.kind()) {
      case RuleKind::none:
      case RuleKind::outermost:
      case RuleKind::no_info:
        return "there is a caller";
      case RuleKind::signal_frame:
        if (!is_signal_return) return "no signal's return is here";
        break;
      default:
        break;
    }
    const RuleResult result = result_of_rule(rule);
    if (!table.cfa.is_known || result.cfa != table.cfa.number) return "another CFA";
    if (result.return_address != table.return_address.value.number) return "another return address";
    // Nothing above uses it where it is undefined.
    if (table.bp.where != Where::undefined && result.bp != table.bp.value.number) return "another bp";
    if (table.sp.value.number != table.cfa.number) return "another sp";
    return nullptr;
  }

  static bool depends_on_pc(const CallerFrame& table) {
    return ((table.cfa.registers | table.bp.address.registers) & kPc) != 0;
  }

  // What is said of the neighbouring addresses. An entry's last byte is in no range on purpose (core/unwind/rule_from_tables.cc).
  const char* range_problem(const RuleOfRange& found, const TableRow& row, uint64_t lookup, bool has_no_range,
                            bool may_have_none, const TableEntry& entry) const {
    if (found.start == found.end) {
      if (may_have_none || row.end - row.start == 1 || lookup + 1 == entry.end + elf_.bias()) return nullptr;
      return "no range";
    }
    if (has_no_range) return "a range where there is none";
    if (found.start != row.start + elf_.bias()) return "another start of the range";
    const uint64_t expected = (row.end == entry.end ? row.end - 1 : row.end) + elf_.bias();
    if (found.end != expected) return "another end of the range";
    if (lookup >= found.end) return "a range without its address";
    return nullptr;
  }

  void disagree(uint64_t address, const char* what, UnwindRule rule = {}) {
    ++disagreements_;
    if (shown_.size() == kMaxShown) return;
    char line[160];
    snprintf(line, sizeof(line), "%#lx: %s (%s %016lx)", address, what, name_of(rule.kind()), rule.word());
    shown_.emplace_back(line);
  }

  static void print_counts(const char* name, const std::map<std::string, size_t>& counts) {
    printf("\"%s\": {", name);
    const char* separator = "";
    for (const auto& [key, count] : counts) {
      printf("%s\"%s\": %zu", separator, key.c_str(), count);
      separator = ", ";
    }
    printf("}, ");
  }

  const MappedElf& elf_;
  const LibdwTables& tables_;
  CodeBytes bytes_;
  UnwindRule last_;
  size_t entries_ = 0;
  size_t rows_ = 0;
  size_t rules_ = 0;
  size_t code_bytes_ = 0;
  size_t complex_bytes_ = 0;
  size_t refused_ = 0;
  size_t disagreements_ = 0;
  std::map<std::string, size_t> kinds_;
  std::map<std::string, size_t> complex_;
  std::vector<std::string> shown_;
};

// "START CFA BP RA" as readelf --debug-dump=frames-interp writes them; "exp": anything that its columns do not hold.
void print_rules(const MappedElf& elf, const LibdwTables& tables) {
  CodeBytes bytes(/*direct=*/true);
  bytes.set_object(elf.object());
  for (const TableEntry& entry : tables.entries()) {
    for (uint64_t address = entry.start; address < entry.end;) {
      const uint64_t lookup = address + elf.bias();
      const RuleOfRange found = rule_in_object(&bytes, lookup, lookup);
      const UnwindRule rule = found.rule;
      const bool is_sum = rule.kind() == RuleKind::cfa_sp || rule.kind() == RuleKind::cfa_bp;
      printf("%lx ", address);
      if (is_sum) {
        printf("%s%+ld ", rule.kind() == RuleKind::cfa_sp ? "rsp" : "rbp", rule.cfa_offset());
      } else {
        printf("%s ", name_of(rule.kind()));
      }
      if (rule.bp() == BpRule::at_cfa) {
        printf("c%+ld\n", rule.bp_offset());
      } else {
        printf("%s\n", rule.bp() == BpRule::at_bp ? "exp" : "u");
      }
      TableRow row;
      address = tables.row_at(address, &row) && row.end > address ? row.end : entry.end;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  size_t limit = 0;
  bool prints_rules = false;
  int at = 1;
  for (; at < argc - 1; ++at) {
    if (strcmp(argv[at], "--rules") == 0) prints_rules = true;
    if (strcmp(argv[at], "--entries") == 0) limit = strtoul(argv[++at], nullptr, 10);
  }
  if (at != argc - 1) fail("usage: table_rules [--rules] [--entries N] FILE");
  const MappedElf elf(argv[at]);
  const LibdwTables tables(elf.file());
  if (prints_rules) {
    print_rules(elf, tables);
  } else {
    Comparison comparison(elf, tables);
    comparison.compare(limit);
    comparison.print();
  }
}
