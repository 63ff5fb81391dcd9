// Shows threads that throw exceptions and one that loads, calls and unloads a library, all the time.
// Arguments: wall seconds, threads that throw (2).
// build: -O2 -fomit-frame-pointer -pthread
#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "victim.h"

static std::atomic<bool> stop;
static std::atomic<long> thrown, caught, loads, wrong;
static std::string plugin_path;

PLAIN_NAME NOT_INLINED void throw_from(int depth) {
  if (depth == 0) {
    ++thrown;
    throw std::runtime_error("on purpose");
  }
  throw_from(depth - 1);
  NOT_A_TAIL_CALL();
}

static void *throwing_thread(void *) {
  for (int depth = 0; !stop; depth = (depth + 1) % 40) {
    try {
      throw_from(depth);
    } catch (const std::exception &) {
      ++caught;
    }
  }
  return nullptr;
}

static void *loading_thread(void *) {
  while (!stop) {
    void *library = dlopen(plugin_path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
      fprintf(stderr, "%s\n", dlerror());
      ++wrong;
      break;
    }
    auto entry = reinterpret_cast<int (*)()>(dlsym(library, "plugin_entry"));
    if (!entry || entry() != 42) ++wrong;
    if (dlclose(library) != 0) ++wrong;
    ++loads;
  }
  return nullptr;
}

int main(int argc, char **argv) {
  plugin_path = argv[0];
  plugin_path.replace(plugin_path.rfind('/') + 1, std::string::npos, "plugin");
  std::vector<pthread_t> ids(1 + static_cast<size_t>(argument(argc, argv, 2, 2)));
  pthread_create(&ids[0], nullptr, loading_thread, nullptr);
  for (size_t i = 1; i < ids.size(); ++i) pthread_create(&ids[i], nullptr, throwing_thread, nullptr);
  const uint64_t end = wall_ns() + seconds(argument(argc, argv, 1, 20));
  while (wall_ns() < end) nanosleep((const timespec[]){{0, 50000000}}, nullptr);
  stop = true;
  for (pthread_t id : ids) pthread_join(id, nullptr);
  printf("{\"all_caught\": %d, \"some_loads\": %d, \"wrong\": %ld, \"cpu\": %llu}\n", thrown == caught && caught > 100,
         loads > 10, wrong.load(), (unsigned long long)process_cpu_ns());
}
