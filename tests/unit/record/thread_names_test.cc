#include "core/record/thread_names.h"

#include <criterion/criterion.h>
#include <pthread.h>

#include <cstring>

#include "core/record/record.h"

using namespace prof;

static void setup() {
  cr_assert(region_create());
  cr_assert(record_create({}));
}

static const char* name_of(Ref ref) { return region_at<ThreadNameEntry>(ref)->name; }

Test(thread_names, a_name_is_stored_once, .init = setup) {
  const char first[kThreadNameBytes] = "fifteen letters";
  const char other[kThreadNameBytes] = "other";
  cr_assert_eq(intern_thread_name(first), intern_thread_name(first));
  cr_assert_neq(intern_thread_name(first), intern_thread_name(other));
  cr_assert_str_eq(name_of(intern_thread_name(first)), "fifteen letters");
}

Test(thread_names, a_name_serves_so_many_ticks_unless_a_change_is_announced, .init = setup) {
  ThreadSlot* slot = take_thread_slot();
  pthread_setname_np(pthread_self(), "one");
  cr_assert_str_eq(name_of(own_thread_name(slot, 4, 10)), "one");
  pthread_setname_np(pthread_self(), "two");
  cr_assert_str_eq(name_of(own_thread_name(slot, 5, 10)), "one", "nobody said so");
  cr_assert_str_eq(name_of(own_thread_name(slot, 1, 10)), "one", "9 ticks");
  cr_assert_str_eq(name_of(own_thread_name(slot, 1, 10)), "two", "10 ticks: asked again");
  pthread_setname_np(pthread_self(), "three");
  thread_names_changed();
  cr_assert_str_eq(name_of(own_thread_name(slot, 1, 10)), "three");
  // A slot's next thread begins without one.
  pthread_setname_np(pthread_self(), "four");
  give_back_thread_slot(slot);
  slot = take_thread_slot();
  cr_assert_str_eq(name_of(own_thread_name(slot, 1, 10)), "four");
}
