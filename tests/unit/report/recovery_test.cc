#include "core/report/recovery.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "core/base/clocks.h"
#include "core/record/cpu_buckets.h"
#include "core/record/owner_record.h"
#include "core/record/record.h"
#include "core/record/stack_table.h"
#include "core/report/config.h"
#include "core/report/region_owner.h"

using namespace prof;

static std::string g_folder;
static constexpr char kName[] = "libprof.5.1.region";

static void setup() {
  char folder[] = "/tmp/recovery_test.XXXXXX";
  g_folder = mkdtemp(folder);
}
static void teardown() { std::system(("rm -rf " + g_folder).c_str()); }
TestSuite(recovery, .init = setup, .fini = teardown);

static std::string path() { return g_folder + "/" + kName; }
static bool exists(const std::string& name) { return access(name.c_str(), F_OK) == 0; }

// A child that records one tick in a file, and ends without a word.
static void leave_region(OwnerState state, const std::string& profile) {
  const pid_t child = fork();
  if (child == 0) {
    const int fd = open(path().c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    if (!region_create_in(fd, 4 * kSegmentBytes) || !record_create({})) _exit(1);
    const Ref ref = region_allocate(sizeof(OwnerRecord));
    auto* owner = region_at<OwnerRecord>(ref);
    owner->state.store(state);
    owner->pid_namespace = identity_of_self().pid_namespace;
    owner->started_unix_ns = clock_ns(CLOCK_REALTIME);
    owner->last_ns.store(clock_ns(CLOCK_MONOTONIC));
    owner->executable = put_owner_text("/bin/x", 6);
    owner->paths[0] = put_owner_text(profile.data(), static_cast<uint32_t>(profile.size()));
    auto* cpu = region_root<CpuRecord>(Root::cpu);
    cpu->period_ns = 1'000'000;
    cpu->stretch.store(1);
    cpu->stretches[1].number.store(1);
    cpu->stretches[1].start_monotonic_ns = g_region->start_monotonic_ns;
    const uint64_t frames[] = {0x401000};
    count_cpu_ticks(intern_stack(frames, 1, 0), 0, 0, 1, 7);
    g_region->roots[static_cast<unsigned>(Root::owner)] = ref;
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  cr_assert_eq(status, 0);
}

static Recovered recover() { return recover_region(g_folder, kName, {}).result; }

Test(recovery, of_one_that_is_gone) {
  const std::string profile = g_folder + "/cpu.prof";
  leave_region(OwnerState::records, profile);
  const Recovery recovery = recover_region(g_folder, kName, {});
  cr_assert_eq(recovery.result, Recovered::written);
  cr_assert_eq(recovery.executable, "/bin/x");
  cr_assert_eq(recovery.files.size(), 1u);
  cr_assert_eq(recovery.files[0], profile);
  cr_assert(exists(profile) && !exists(path()));
  cr_assert_eq(recover(), Recovered::nothing, "again");
}

Test(recovery, what_is_written_is_not_written_again) {
  leave_region(OwnerState::written, g_folder + "/cpu.prof");
  cr_assert_eq(recover(), Recovered::nothing);
  cr_assert(!exists(g_folder + "/cpu.prof") && !exists(path()));
}

Test(recovery, what_cannot_be_written_stays) {
  leave_region(OwnerState::failed, g_folder + "/missing/cpu.prof");
  cr_assert_eq(recover(), Recovered::failed);
  cr_assert(exists(path()));
}

Test(recovery, one_at_a_time) {
  leave_region(OwnerState::records, g_folder + "/cpu.prof");
  const int other = open(path().c_str(), O_RDWR);
  cr_assert_eq(flock(other, LOCK_EX), 0);
  cr_assert_eq(recover(), Recovered::busy);
  close(other);
  cr_assert_eq(recover(), Recovered::written);
}

Test(recovery, what_others_may_have_made_is_left_alone) {
  leave_region(OwnerState::records, g_folder + "/cpu.prof");
  chmod(path().c_str(), 0620);
  cr_assert_eq(recover(), Recovered::refused);
  chmod(path().c_str(), 0600);
  const std::string second = g_folder + "/second";
  cr_assert_eq(link(path().c_str(), second.c_str()), 0);
  cr_assert_eq(recover(), Recovered::refused);
  cr_assert_eq(rename(second.c_str(), (g_folder + "/first").c_str()), 0);
  unlink(path().c_str());
  cr_assert_eq(symlink("first", path().c_str()), 0);
  cr_assert_eq(recover(), Recovered::refused);
  unlink(path().c_str());
  cr_assert_eq(mkfifo(path().c_str(), 0600), 0);
  cr_assert_eq(recover(), Recovered::refused);
}

Test(recovery, a_relative_name_is_none_of_ours) {
  leave_region(OwnerState::records, "cpu.prof");
  cr_assert_eq(recover(), Recovered::refused);
  cr_assert(exists(path()));
}
