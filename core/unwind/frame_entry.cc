#include "core/unwind/frame_entry.h"

#include "core/unwind/dwarf_reader.h"

namespace prof {
namespace {

struct Header {
  uint8_t version;
  uint8_t eh_frame_encoding;
  uint8_t count_encoding;
  uint8_t table_encoding;
};
constexpr uint8_t kVersion = 1;
// What every linker writes (GNU ld, gold, lld, mold): binary search is possible, offsets count from the header.
constexpr uint8_t kTableEncoding = 0x3b;  // DW_EH_PE_datarel | DW_EH_PE_sdata4
struct TableEntry {
  int32_t code;
  int32_t entry;
};

// An entry's or CIE's body: behind its length. False: none, or in 64-bit DWARF that nobody writes into .eh_frame.
bool body_of(CodeBytes* bytes, uint64_t at, ByteRange* body) {
  uint32_t length = 0;
  if (!bytes->read(at, &length, sizeof(length)) || length == 0 || length == 0xffff'ffff) return false;
  *body = {at + sizeof(length), at + sizeof(length) + length};
  return body->end > body->start && body->end <= bytes->object().end;
}

// The address in the table at or before the one looked for: its entry. False: there is none.
bool search_table(CodeBytes* bytes, uint64_t table, uint64_t count, uint64_t address, uint64_t* entry) {
  const uint64_t base = bytes->object().eh_frame_hdr;
  uint64_t low = 0;
  uint64_t high = count;  // the entry lies in [low, high)
  TableEntry best = {};
  bool is_found = false;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    TableEntry at;
    if (!bytes->read(table + middle * sizeof(at), &at, sizeof(at))) return false;
    if (base + static_cast<uint64_t>(int64_t{at.code}) <= address) {
      best = at;
      is_found = true;
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  *entry = base + static_cast<uint64_t>(int64_t{best.entry});
  return is_found;
}

// What of a CIE an entry needs. False: it holds something unknown.
bool read_cie(CodeBytes* bytes, uint64_t at, FrameEntry* entry, bool* has_data) {
  ByteRange body;
  if (!body_of(bytes, at, &body)) return false;
  DwarfReader reader(bytes, body.start, body.end);
  if (reader.number<uint32_t>() != 0) return false;  // an entry has something else here
  const uint8_t version = reader.u8();
  if (version != 1 && version != 3) return false;
  char augmentation[8] = {};
  for (char& letter : augmentation) {
    letter = static_cast<char>(reader.u8());
    if (letter == 0) break;
  }
  if (augmentation[sizeof(augmentation) - 1] != 0) return false;
  entry->code_factor = reader.uleb128();
  entry->data_factor = reader.sleb128();
  entry->return_column = version == 1 ? reader.u8() : reader.uleb128();
  entry->pointer_encoding = 0;
  entry->is_signal_frame = false;
  *has_data = augmentation[0] == 'z';
  if (!*has_data) {
    entry->initial_instructions = {reader.at(), body.end};
    return reader.ok() && augmentation[0] == 0;
  }
  const uint64_t data_bytes = reader.uleb128();
  const uint64_t data = reader.at();
  reader.skip(data_bytes);
  if (!reader.ok()) return false;
  entry->initial_instructions = {data + data_bytes, body.end};
  DwarfReader values(bytes, data, data + data_bytes);
  for (const char* letter = augmentation + 1; *letter != 0; ++letter) {
    switch (*letter) {
      case 'R':
        entry->pointer_encoding = values.u8();
        break;
      case 'P':
        // Read for its length only. It may be given indirectly, which the flag is taken off for.
        if (const uint8_t encoding = values.u8(); encoding != kPointerOmitted) values.pointer(encoding & 0x7f);
        break;
      case 'L':
        values.u8();
        break;
      case 'S':
        entry->is_signal_frame = true;
        break;
      case 'B':  // of aarch64: which key signs return addresses, and that the stack's memory is tagged
      case 'G':
        break;
      default:
        return false;
    }
  }
  return values.ok();
}

}  // namespace

EntrySearch find_frame_entry(CodeBytes* bytes, uint64_t address, FrameEntry* entry) {
  const CodeObject& object = bytes->object();
  Header header;
  if (!bytes->read(object.eh_frame_hdr, &header, sizeof(header))) return EntrySearch::foreign;
  if (header.version != kVersion || header.table_encoding != kTableEncoding) return EntrySearch::foreign;
  DwarfReader reader(bytes, object.eh_frame_hdr + sizeof(header), object.end);
  reader.pointer(header.eh_frame_encoding, object.eh_frame_hdr);
  const uint64_t count = reader.pointer(header.count_encoding, object.eh_frame_hdr);
  if (!reader.ok() || count > (object.end - reader.at()) / sizeof(TableEntry)) return EntrySearch::foreign;
  uint64_t at = 0;
  if (!search_table(bytes, reader.at(), count, address, &at)) return EntrySearch::no_entry;

  ByteRange body;
  if (!body_of(bytes, at, &body)) return EntrySearch::foreign;
  DwarfReader fields(bytes, body.start, body.end);
  const uint64_t cie_distance = fields.number<uint32_t>();
  bool has_data = false;
  if (cie_distance == 0 || !read_cie(bytes, body.start - cie_distance, entry, &has_data)) return EntrySearch::foreign;
  entry->code.start = fields.pointer(entry->pointer_encoding);
  constexpr uint8_t kFormat = 0x0f;
  entry->code.end = entry->code.start + fields.pointer(entry->pointer_encoding & kFormat);
  if (has_data) fields.skip(fields.uleb128());
  if (!fields.ok()) return EntrySearch::foreign;
  entry->instructions = {fields.at(), body.end};
  // The table has only where functions begin: an address in a gap behind one finds that one.
  return address >= entry->code.start && address < entry->code.end ? EntrySearch::found : EntrySearch::no_entry;
}

}  // namespace prof
