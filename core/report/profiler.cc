#include "core/report/profiler.h"

#include <sys/uio.h>
#include <unistd.h>

#include <cstddef>
#include <string>

#include "core/base/raw_log.h"
#include "core/record/cpu_buckets.h"
#include "core/report/file_name.h"
#include "core/report/file_sink.h"
#include "core/report/module_map.h"
#include "core/report/profile_builder.h"
#include "core/report/profile_encoder.h"
#include "core/report/region_view.h"
#include "core/report/snapshot_from_region.h"
#include "core/report/symbolizer.h"

namespace prof {
namespace {

bool write_profile(const Snapshot& snapshot, uint32_t stretch, const Output& output, bool numbered) {
  // A child that recorded nothing leaves no file: a script's thousand commands would leave a thousand empty ones.
  if (output.is_child && snapshot.cpu.samples.empty() && snapshot.losses.empty()) return true;
  const ModuleMap modules = ModuleMap::of_process(snapshot.pid);
  Symbolizer symbolizer(snapshot.pid);
  const Profile profile = build_cpu_profile(snapshot, modules, &symbolizer);
  const std::string bytes = encode_profile(profile);
  std::string path = output.path;
  if (numbered) path = insert_before_suffix(path, std::to_string(stretch));
  WriteResult result = write_file_whole(path, bytes, WriteMode::replace_older, output.started_unix_ns);
  if (result.taken) {
    // Another process of this run was first, one that we are not a child of as far as can be seen.
    path = insert_before_suffix(path, std::to_string(snapshot.pid));
    result = write_file_whole(path, bytes, WriteMode::replace, 0);
  }
  if (result.ok) return true;
  LogLine(LogLevel::error) << "the CPU profile is not written: " << result.step << " '" << path
                           << "': " << result.error_text();
  return false;
}

void set_reported(int pid, const RegionView& region, uint32_t stretch, Reported reported) {
  const uint64_t offset = uint64_t{region.header().roots[static_cast<unsigned>(Root::cpu)]} << kRefShift;
  const uint64_t record =
      region.header().segment_address[offset >> kSegmentShift].load() + (offset & (kSegmentBytes - 1));
  const uint64_t address =
      record + offsetof(CpuRecord, stretches) + (stretch & 1) * sizeof(CpuStretch) + offsetof(CpuStretch, reported);
  const struct iovec from = {&reported, sizeof(reported)};
  const struct iovec to = {reinterpret_cast<void*>(address), sizeof(reported)};
  process_vm_writev(pid, &from, 1, &to, 1, 0);
}

}  // namespace

bool write_own_profile(const RegionHeader* region, uint32_t stretch, const Output& output, bool numbered,
                       unsigned unsampled_threads) {
  Snapshot snapshot = snapshot_from_region(RegionView::of_self(region), stretch);
  if (unsampled_threads != 0) {
    snapshot.notes.push_back("threads without a clock at the end: " + std::to_string(unsampled_threads));
  }
  return write_profile(snapshot, stretch, output, numbered);
}

bool write_profile_of_process(int pid, uint64_t region_address, uint32_t stretch, const Output& output, bool numbered) {
  // Where Yama asks for it, the other side names us as its reader right after it started us.
  for (int attempt = 0; attempt < 100; ++attempt) {
    const RegionView region = RegionView::of_process(pid, region_address);
    if (region.valid()) {
      const bool written = write_profile(snapshot_from_region(region, stretch), stretch, output, numbered);
      set_reported(pid, region, stretch, written ? Reported::written : Reported::failed);
      return true;
    }
    usleep(1000);
  }
  return false;
}

}  // namespace prof
