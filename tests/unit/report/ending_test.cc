#include "core/report/ending.h"

#include <criterion/criterion.h>
#include <signal.h>

using prof::Ending;

Test(ending, says_how_a_process_ended) {
  cr_assert(prof::ending_text(Ending::by_exit).empty());
  cr_assert(prof::ending_text(Ending::immediate) == "ended by _exit");
  cr_assert(prof::ending_text(Ending::amid_exec) == "ended as it was about to go on as another program (exec)");
  cr_assert(prof::ending_text(prof::ending_by_signal(SIGTERM)) == "ended by signal 15 (SIGTERM)");
}

Test(ending, a_signal_without_a_name_has_its_number) {
  cr_assert(prof::ending_text(prof::ending_by_signal(SIGRTMIN)) == "ended by signal 34");
}
