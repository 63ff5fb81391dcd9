#include "core/report/region_owner.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

using namespace prof;

Test(region_owner, names) {
  cr_assert_eq(region_file_name(17, 5), "libprof.17.5.region");
  cr_assert(is_region_file_name("libprof.17.5.region"));
  cr_assert(!is_region_file_name("libprof.17.5.region.tmp"));
  cr_assert(!is_region_file_name("x.libprof.17.5.region"));
}

Test(region_owner, a_process_knows_itself) {
  const ProcessIdentity self = identity_of_self();
  cr_assert_gt(self.start_ticks, 0u);
  cr_assert_gt(self.pid_namespace, 0u);
  cr_assert_eq(self.boot_id.size(), 36u);
  cr_assert_eq(fate_of_owner(getpid(), self, "libprof.nowhere.region"), OwnerFate::replaced,
               "it has no such file mapped");
}

Test(region_owner, a_process_lives_as_long_as_it_has_the_file) {
  char path[] = "/tmp/libprof.XXXXXX";
  const int fd = mkstemp(path);
  cr_assert_eq(ftruncate(fd, 4096), 0);
  int ready[2];
  cr_assert_eq(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    const ProcessIdentity self = identity_of_self();
    if (write(ready[1], &self.start_ticks, sizeof(self.start_ticks)) < 0) _exit(1);
    pause();
  }
  ProcessIdentity identity = identity_of_self();
  cr_assert_eq(read(ready[0], &identity.start_ticks, sizeof(identity.start_ticks)), 8);
  const char* name = path + 5;
  cr_assert_eq(fate_of_owner(child, identity, name), OwnerFate::lives);
  ProcessIdentity other = identity;
  ++other.start_ticks;
  cr_assert_eq(fate_of_owner(child, other, name), OwnerFate::gone, "a later process of the same number");
  other = identity;
  other.boot_id = "another";
  cr_assert_eq(fate_of_owner(child, other, name), OwnerFate::gone);
  other = identity;
  other.pid_namespace = 1;
  cr_assert_eq(fate_of_owner(99, other, name), OwnerFate::lives, "whoever has it, by whatever number");
  kill(child, SIGKILL);
  siginfo_t info;
  waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
  cr_assert_eq(fate_of_owner(child, identity, name), OwnerFate::gone, "though nobody has reaped it");
  waitpid(child, nullptr, 0);
  cr_assert_eq(fate_of_owner(child, identity, name), OwnerFate::gone);
  unlink(path);
}
