// Sets labels, and says as JSON what its profiles are to show. Arguments: what (truth, kinds, inherit, fork, exhaust, cost), further numbers.
// build: -O2 -pthread -I preload
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "asleep.h"
#include "prof.h"
#include "victim.h"

BURNER(burn, 6364136223846793005u)

namespace {

const char *const kRoutes[] = {"/data", "/login", "/"};
uint64_t g_cpu_ns[3];
std::mutex g_sum;

// Slices of 1 to 5 ms, each under the label of its route; the routes have 50, 30 and 20 % of the time.
void serve(unsigned number, double cpu_seconds) {
  uint64_t random = 77 + number;
  uint64_t spent[3] = {};
  const uint64_t wanted = seconds(cpu_seconds);
  for (uint64_t all = 0; all < wanted;) {
    const uint32_t draw = next_number(&random) % 10;
    const int route = draw < 5 ? 0 : draw < 8 ? 1 : 2;
    prof::Label label("route", kRoutes[route]);
    const uint64_t slice = burn(milliseconds(1 + next_number(&random) % 5));
    spent[route] += slice;
    all += slice;
  }
  const std::lock_guard<std::mutex> guard(g_sum);
  for (int i = 0; i < 3; ++i) g_cpu_ns[i] += spent[i];
}

void truth(unsigned count, double cpu_seconds) {
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < count; ++i) threads.emplace_back(serve, i, cpu_seconds);
  for (std::thread &thread : threads) thread.join();
  printf("{\"/data\": %lu, \"/login\": %lu, \"/\": %lu}\n", (unsigned long)g_cpu_ns[0], (unsigned long)g_cpu_ns[1],
         (unsigned long)g_cpu_ns[2]);
}

void *g_kept[2];

PLAIN_NAME NOT_INLINED void allocate_labelled(const char *route, int at, size_t bytes) {
  prof::Label label("route", route);
  g_kept[at] = malloc(bytes);
  NOT_A_TAIL_CALL();
}

// One holds a lock under /holder while another waits for it under /waiter; then both sleep, for who looks at them.
void kinds(double asleep) {
  allocate_labelled("/big", 0, 300000);
  allocate_labelled("/small", 1, 7000);
  free(g_kept[1]);
  std::mutex lock;
  std::atomic<bool> is_held{false};
  volatile pid_t waiter_tid = 0;
  std::thread holder([&] {
    prof::Label label("route", "/holder");
    lock.lock();
    is_held = true;
    until_asleep(&waiter_tid);
    usleep(150000);
    lock.unlock();
    usleep((useconds_t)(asleep * 1e6));
  });
  while (!is_held) usleep(1000);
  std::thread waiter([&] {
    prof::Label label("route", "/waiter");
    waiter_tid = gettid();
    lock.lock();
    lock.unlock();
    usleep((useconds_t)(asleep * 1e6));
  });
  holder.join();
  waiter.join();
  printf("{}\n");
}

void inherit(double cpu_seconds) {
  prof_label_set("route", "/parent");
  std::thread without([&] { burn(seconds(cpu_seconds)); });
  without.join();
  prof_label_inherit(1);
  std::thread with([&] {
    std::thread grandchild([&] { burn(seconds(cpu_seconds)); });
    prof_label_set("route", "/changed");  // the grandchild's stays
    burn(seconds(cpu_seconds));
    grandchild.join();
  });
  with.join();
  prof_label_inherit(0);
  std::thread after([&] { burn(seconds(cpu_seconds)); });
  after.join();
  printf("{}\n");
}

// The child goes on under its parent's label, leaves the parent's scope, and has labels of its own.
void forks(double cpu_seconds) {
  prof_label_set("user", "7");
  prof_label_former outer, inner;
  prof_label_enter("route", "/outer", &outer);
  prof_label_enter("route", "/inner", &inner);
  const pid_t child = fork();
  if (child == 0) {
    burn(seconds(cpu_seconds));
    prof_label_leave(&inner);
    burn(seconds(cpu_seconds));
    prof_label_leave(&outer);
    prof_label_set("route", "/child");
    burn(seconds(cpu_seconds));
    exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  burn(seconds(cpu_seconds));
  printf("{\"child\": %d, \"status\": %d}\n", (int)child, status);
}

// Different labels until there is no room, and work under one that did not fit.
void exhaust(double cpu_seconds) {
  int error = PROF_OK;
  unsigned fitted = 0;
  prof_label_set("user", "7");
  while (fitted < 1000000 && error == PROF_OK) {
    error = prof_label_set("request", std::to_string(fitted).c_str());
    ++fitted;
  }
  burn(seconds(cpu_seconds));
  printf("{\"fitted\": %u, \"error\": %d}\n", fitted, error);
}

// Median ns of a set and a clear, of a change between two values, and of a scope.
void cost() {
  prof_label_set("user", "7");
  uint64_t best[3] = {~0ull, ~0ull, ~0ull};
  constexpr int kTimes = 100000;
  for (int round = 0; round < 50; ++round) {
    for (int what = 0; what < 3; ++what) {
      const uint64_t start = thread_cpu_ns();
      for (int i = 0; i < kTimes; ++i) {
        if (what == 0) {
          prof_label_set("route", "/data");
          prof_label_clear("route");
        } else if (what == 1) {
          prof_label_set("route", "/data");
          prof_label_set("route", "/login");
        } else {
          prof::Label label("route", "/data");
        }
      }
      const uint64_t spent = thread_cpu_ns() - start;
      if (spent < best[what]) best[what] = spent;
    }
  }
  printf("{\"set_clear\": %.2f, \"set_set\": %.2f, \"scope\": %.2f}\n", (double)best[0] / kTimes,
         (double)best[1] / kTimes, (double)best[2] / kTimes);
}

}  // namespace

int main(int argc, char **argv) {
  const std::string what = argc > 1 ? argv[1] : "truth";
  if (what == "truth") truth((unsigned)argument(argc, argv, 2, 8), argument(argc, argv, 3, .5));
  if (what == "kinds") kinds(argument(argc, argv, 2, 1));
  if (what == "inherit") inherit(argument(argc, argv, 2, .2));
  if (what == "fork") forks(argument(argc, argv, 2, .2));
  if (what == "exhaust") exhaust(argument(argc, argv, 2, .2));
  if (what == "cost") cost();
  return 0;
}
