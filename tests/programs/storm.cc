// Threads that throw exceptions, and threads that load and unload a library, for some seconds: storm SECONDS PLUGIN.
#include <dlfcn.h>
#include <pthread.h>
#include <time.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

static std::atomic<bool> g_stop{false};
static std::atomic<long> g_caught{0}, g_loaded{0};

__attribute__((noinline)) static void thrower(int depth) {
  if (depth == 0) throw std::runtime_error("bottom");
  thrower(depth - 1);
  asm volatile("");
}

static void* throw_loop(void*) {
  while (!g_stop) {
    try {
      thrower(20);
    } catch (const std::exception&) {
      ++g_caught;
    }
  }
  return nullptr;
}

static void* load_loop(void* name) {
  for (int n = 0; !g_stop; ++n) {
    void* library = dlopen(static_cast<const char*>(name), RTLD_NOW);
    if (library == nullptr) abort();
    auto work = reinterpret_cast<int (*)(int)>(dlsym(library, "plugin_work"));
    try {
      work(n);
    } catch (const std::exception&) {
      ++g_caught;
    }
    dlclose(library);
    ++g_loaded;
  }
  return nullptr;
}

int main(int, char** argv) {
  pthread_t threads[4];
  for (int i = 0; i < 4; ++i) pthread_create(&threads[i], nullptr, i % 2 == 0 ? throw_loop : load_loop, argv[2]);
  const struct timespec time = {atoi(argv[1]), 0};
  nanosleep(&time, nullptr);
  g_stop = true;
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  puts(g_caught > 0 && g_loaded > 0 ? "survived" : "idle");
}
