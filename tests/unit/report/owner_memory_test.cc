#include "core/report/owner_memory.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "core/record/snapshot_numbers.h"

using namespace prof;

namespace {

constexpr uint64_t kAddress = 0x2000'0000'0000;
constexpr Ref kNumbers = (sizeof(RegionHeader) + 7) >> kRefShift;
constexpr uint32_t kUntouched = 77;
constexpr char kNextProgram[] = "OWNER_MEMORY_TEST_NEXT";

// Always in the same place, as where addresses are not random.
RegionHeader* make_region(int64_t start_monotonic_ns) {
  void* at = mmap(reinterpret_cast<void*>(kAddress), kSegmentBytes, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (at != reinterpret_cast<void*>(kAddress)) _exit(9);
  auto* header = static_cast<RegionHeader*>(at);
  header->version = kRegionVersion;
  header->segment_bytes = kSegmentBytes;
  header->pid = getpid();
  header->start_monotonic_ns = start_monotonic_ns;
  header->used = (uint64_t{kNumbers} << kRefShift) + sizeof(SnapshotNumbers);
  header->segments = 1;
  header->roots[static_cast<unsigned>(Root::snapshots)] = kNumbers;
  header->segment_address[0] = kAddress;
  header->magic = kRegionMagic;
  return header;
}

SnapshotNumbers* numbers_of(RegionHeader* header) {
  return reinterpret_cast<SnapshotNumbers*>(reinterpret_cast<char*>(header) + (uint64_t{kNumbers} << kRefShift));
}

// A byte goes through: it is there.
void say(int descriptor) {
  if (write(descriptor, "", 1) != 1) _exit(9);
}
void hear(int descriptor) {
  char byte;
  cr_assert_eq(read(descriptor, &byte, 1), 1);
}

// The program that the process becomes; before main, whose arguments are Criterion's.
__attribute__((constructor)) void next_program() {
  const char* descriptor = getenv(kNextProgram);
  if (descriptor == nullptr) return;
  numbers_of(make_region(2))->done = kUntouched;
  say(atoi(descriptor));
  pause();
}

// A process with a region, which becomes another program when it gets a signal.
struct Process {
  Process() {
    cr_assert_eq(pipe(ready), 0);
    pid = fork();
    if (pid == 0) run();
    hear(ready[0]);
  }
  ~Process() {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  void run() const {
    make_region(1);
    char text[12];
    snprintf(text, sizeof(text), "%d", ready[1]);
    setenv(kNextProgram, text, 1);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    say(ready[1]);
    int number;
    sigwait(&signals, &number);
    execl("/proc/self/exe", "next", nullptr);
    _exit(9);
  }
  void becomes_another() const {
    kill(pid, SIGUSR1);
    hear(ready[0]);
  }
  RegionView view() const { return RegionView::of_process(pid, kAddress); }
  uint32_t done() const { return view().root<SnapshotNumbers>(Root::snapshots)->done.load(); }
  int pid = 0;
  int ready[2] = {-1, -1};
};

bool write_done(const OwnerMemory& owner, uint32_t value) {
  return owner.write(Root::snapshots, offsetof(SnapshotNumbers, done), value);
}

void check_that_the_next_program_is_not_written_to(bool has_proc) {
  const Process process;
  const Process other;  // begins while there is /proc still
  if (!has_proc && (chroot("/sys/kernel") != 0 || access("/proc/self", F_OK) == 0)) cr_skip_test("it takes root");
  const RegionView region = process.view();
  cr_assert(region.valid());
  const OwnerMemory owner(process.pid, kAddress, region);
  cr_assert(write_done(owner, 5));
  cr_assert_eq(process.done(), 5u);
  process.becomes_another();
  cr_assert(!write_done(owner, 6));
  cr_assert_eq(process.done(), kUntouched);
  // It was another one already when its memory was opened.
  const RegionView earlier = other.view();
  other.becomes_another();
  const OwnerMemory late(other.pid, kAddress, earlier);
  cr_assert(!write_done(late, 6));
  cr_assert_eq(other.done(), kUntouched);
}

}  // namespace

Test(owner_memory, a_program_that_follows_is_not_written_to) { check_that_the_next_program_is_not_written_to(true); }

Test(owner_memory, nor_where_there_is_no_proc) { check_that_the_next_program_is_not_written_to(false); }

Test(owner_memory, places_that_are_not_in_the_region) {
  const Process process;
  // The program may have spoiled what is read of it.
  for (const Ref ref : {Ref{0}, Ref{kSegmentBytes >> kRefShift}, Ref{300} << (kSegmentShift - kRefShift), ~Ref{0}}) {
    const RegionView region = process.view();
    const_cast<RegionHeader&>(region.header()).roots[static_cast<unsigned>(Root::snapshots)] = ref;
    const OwnerMemory owner(process.pid, kAddress, region);
    cr_assert(!write_done(owner, 5));
  }
  const RegionView region = process.view();
  const_cast<RegionHeader&>(region.header()).segment_address[0] = 0;
  cr_assert(!write_done(OwnerMemory(process.pid, kAddress, region), 5));
  cr_assert_eq(process.done(), 0u);
}
