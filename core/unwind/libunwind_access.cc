#include "core/unwind/libunwind_access.h"

// libunwind exports its search of a sorted .eh_frame_hdr table for profilers that bring their own memory (its header does
// not declare it).
extern "C" int _Ux86_64_dwarf_search_unwind_table(unw_addr_space_t, unw_word_t, unw_dyn_info_t*, unw_proc_info_t*, int,
                                                  void*);
// unwind_object_pool.cc
extern "C" void _UIx86_64__mempool_free(void* pool, void* block);

namespace prof {
namespace {

// .eh_frame_hdr (Linux Standard Base, Core 5.0, 10.6.2). Other encodings than these are not produced by any linker.
struct EhFrameHeader {
  uint8_t version;  // 1
  uint8_t eh_frame_encoding;
  uint8_t count_encoding;  // DW_EH_PE_udata4
  uint8_t table_encoding;  // DW_EH_PE_datarel | DW_EH_PE_sdata4
  int32_t eh_frame;
  uint32_t count;
};
constexpr uint8_t kUdata4 = 0x03;
constexpr uint8_t kPcrelSdata4 = 0x1b;
constexpr uint8_t kDatarelSdata4 = 0x3b;
constexpr uint64_t kTableEntryBytes = 8;

int get_dynamic_list(unw_addr_space_t, unw_word_t*, void*) { return -UNW_ENOINFO; }
int access_no_fpreg(unw_addr_space_t, unw_regnum_t, unw_fpreg_t*, int, void*) { return -UNW_EINVAL; }
int resume_nothing(unw_addr_space_t, unw_cursor_t*, void*) { return -UNW_EINVAL; }
int no_name(unw_addr_space_t, unw_word_t, char*, size_t, unw_word_t*, void*) { return -UNW_ENOINFO; }

}  // namespace

int find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t* info, int need_unwind_info, void* arg) {
  auto* access = static_cast<UnwindAccess*>(arg);
  CodeObject object;
  if (!find_code_object(ip, &object)) return -UNW_ENOINFO;
  access->bytes.set_object(object);
  EhFrameHeader header;
  if (!access->bytes.read(object.eh_frame_hdr, &header, sizeof(header))) return -UNW_ENOINFO;
  if (header.version != 1 || header.eh_frame_encoding != kPcrelSdata4 || header.count_encoding != kUdata4 ||
      header.table_encoding != kDatarelSdata4 || header.count == 0) {
    return -UNW_ENOINFO;
  }
  const uint64_t table = object.eh_frame_hdr + sizeof(EhFrameHeader);
  if (header.count > (object.end - table) / kTableEntryBytes) return -UNW_ENOINFO;
  unw_dyn_info_t dynamic = {};
  dynamic.format = UNW_INFO_FORMAT_REMOTE_TABLE;
  dynamic.start_ip = 0;  // the tables say where code is: it may lie in another segment than they do
  dynamic.end_ip = ~uint64_t{0};
  dynamic.u.rti.segbase = object.eh_frame_hdr;
  dynamic.u.rti.table_data = table;
  dynamic.u.rti.table_len = header.count * kTableEntryBytes / sizeof(unw_word_t);
  const int result = _Ux86_64_dwarf_search_unwind_table(space, ip, &dynamic, info, need_unwind_info, arg);
  if (result < 0) return result;
  // The table has only where functions begin; an address in a gap behind one finds that one.
  if (ip < info->start_ip || ip >= info->end_ip) {
    put_unwind_info(space, info, arg);
    return -UNW_ENOINFO;
  }
  access->found_info = true;
  return result;
}

void put_unwind_info(unw_addr_space_t, unw_proc_info_t* info, void*) {
  if (info->unwind_info == nullptr) return;
  _UIx86_64__mempool_free(nullptr, info->unwind_info);
  info->unwind_info = nullptr;
}

unw_accessors_t common_accessors() {
  unw_accessors_t accessors = {};
  accessors.find_proc_info = find_proc_info;
  accessors.put_unwind_info = put_unwind_info;
  accessors.get_dyn_info_list_addr = get_dynamic_list;
  accessors.access_fpreg = access_no_fpreg;
  accessors.resume = resume_nothing;
  accessors.get_proc_name = no_name;
  return accessors;
}

}  // namespace prof
