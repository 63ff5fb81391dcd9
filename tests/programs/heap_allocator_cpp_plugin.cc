// Shows a C++ library whose operator new must be that of its own C++ library, wherever that is: blocks of every operator, the
// standard containers, bad_alloc and the new_handler, exceptions, a thread. Each step writes a line. With OWN_NEW it has operators
// of its own over an arena, and says how often they were called.
// build: -O2 -fomit-frame-pointer -shared -fPIC -pthread
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "victim.h"

#ifdef OWN_NEW
namespace {
char arena[16 << 20];
size_t used;
long own_news, own_deletes, foreign_deletes;

void own_delete(void* block) noexcept {
  if (block == nullptr) return;
  const char* address = static_cast<char*>(block);
  ++(address >= arena && address < arena + sizeof arena ? own_deletes : foreign_deletes);
}
}  // namespace

void* operator new(size_t size) {
  if (size > sizeof arena - used - 64) throw std::bad_alloc();
  ++own_news;
  char* block = arena + (used + 63) / 64 * 64;
  used = static_cast<size_t>(block - arena) + size;
  return block;
}
void* operator new[](size_t size) { return ::operator new(size); }
void operator delete(void* block) noexcept { own_delete(block); }
void operator delete(void* block, size_t) noexcept { own_delete(block); }
void operator delete[](void* block) noexcept { own_delete(block); }
void operator delete[](void* block, size_t) noexcept { own_delete(block); }
#endif

namespace {

const size_t kHuge = static_cast<size_t>(-1) / 4;
using Caller = void (*)(void (*)(int), int);

// In functions of their own: the compiler may not leave them out.
NOT_INLINED void* taken(size_t size) {
  void* block = ::operator new(size);
  NOT_A_TAIL_CALL();
  return block;
}

NOT_INLINED char* taken_array(long count) {
  char* block = new char[static_cast<size_t>(count)];
  NOT_A_TAIL_CALL();
  return block;
}

int handler_calls;

void counting_handler() {
  if (++handler_calls % 3 == 0) std::set_new_handler(nullptr);
}

void throwing_handler() { throw std::out_of_range("the handler's own"); }

struct Thrower {
  ~Thrower() noexcept(false) {
    // While another exception is on its way.
    printf("in flight: %d\n", std::uncaught_exceptions());
    try {
      taken(kHuge);
    } catch (const std::bad_alloc& error) {
      printf("inside: %s, in flight: %d\n", error.what(), std::uncaught_exceptions());
    }
  }
};

void blocks() {
  size_t sum = 0;
  for (size_t size = 1; size < 100000; size = size * 3 + 1) {
    auto* block = static_cast<char*>(taken(size));
    memset(block, 1, size);
    sum += static_cast<size_t>(block[size - 1]);
    if (size % 2)
      ::operator delete(block);
    else
      ::operator delete(block, size);
    char* array = taken_array(static_cast<long>(size));
    memset(array, 1, size);
    delete[] array;
    void* nothrow = ::operator new(size, std::nothrow);
    sum += nothrow != nullptr;
    ::operator delete(nothrow, std::nothrow);
#ifndef OWN_NEW
    void* aligned = ::operator new (size, std::align_val_t{512});
    sum += reinterpret_cast<size_t>(aligned) % 512 == 0;
    ::operator delete (aligned, std::align_val_t{512});
#endif
  }
  std::map<std::string, std::vector<int>> map;
  for (int i = 0; i < 2000; ++i) map["key number " + std::to_string(i % 50)].push_back(i);
  for (const auto& [key, values] : map) sum += key.size() + values.size();
  std::ostringstream text;
  text << "numbers " << 1.5 << ' ' << 42;
  auto shared = std::make_shared<std::string>(text.str());
  std::function<size_t()> function = [shared] { return shared->size(); };
  printf("blocks: %zu %zu %s\n", sum, function(), shared->c_str());
}

void refusals() {
  try {
    taken(kHuge);
    puts("oddly a block");
  } catch (const std::bad_alloc& error) {
    printf("bad_alloc: %s, in flight: %d\n", error.what(), std::uncaught_exceptions());
  }
  try {
    taken(kHuge);
  } catch (const std::exception& error) {
    printf("as its base: %s, is bad_alloc: %d\n", error.what(), dynamic_cast<const std::bad_alloc*>(&error) != nullptr);
  }
  std::exception_ptr kept;
  try {
    taken(kHuge);
  } catch (...) {
    kept = std::current_exception();
  }
  try {
    std::rethrow_exception(kept);
  } catch (const std::bad_alloc&) {
    puts("kept and thrown again");
  }
  kept = nullptr;
  try {
    try {
      taken(kHuge);
    } catch (const std::bad_alloc&) {
      std::throw_with_nested(std::runtime_error("outside"));
    }
  } catch (const std::runtime_error& error) {
    try {
      std::rethrow_if_nested(error);
    } catch (const std::bad_alloc&) {
      printf("nested in %s\n", error.what());
    }
  }
  volatile long negative = -1;
  try {
    taken_array(negative);
  } catch (const std::bad_alloc&) {
    puts("no array of a negative length");
  }
  printf("nothrow: %d\n", ::operator new(kHuge, std::nothrow) == nullptr);
  try {
    Thrower thrower;
    throw std::runtime_error("first");
  } catch (const std::runtime_error& error) {
    printf("then: %s, in flight: %d\n", error.what(), std::uncaught_exceptions());
  }
#ifndef OWN_NEW
  handler_calls = 0;
  std::set_new_handler(counting_handler);
  try {
    taken(kHuge);
  } catch (const std::bad_alloc&) {
    printf("after %d calls of the handler\n", handler_calls);
  }
  std::set_new_handler(throwing_handler);
  try {
    taken(kHuge);
  } catch (const std::out_of_range& error) {
    printf("%s\n", error.what());
  }
  printf("null by the handler: %d\n", ::operator new(kHuge, std::nothrow) == nullptr);
  printf("the handler stays: %d\n", std::get_new_handler() == throwing_handler);
  std::set_new_handler(nullptr);
#endif
  try {
    std::vector<int> vector;
    vector.reserve(static_cast<size_t>(-1));
  } catch (const std::length_error& error) {
    printf("length_error: %s\n", error.what());
  }
}

void from_the_host(int depth) {
  std::string held(static_cast<size_t>(100 + depth), 'h');
  if (depth == 42) taken(kHuge);
  throw std::runtime_error(held);
}

void through_the_host(Caller call) {
  int caught = 0;
  for (int i = 0; i < 84; ++i) {
    try {
      call(from_the_host, i);
    } catch (const std::bad_alloc&) {
      caught += 1000;
    } catch (const std::runtime_error& error) {
      caught += strlen(error.what()) == static_cast<size_t>(100 + i);
    }
  }
  printf("through C: %d\n", caught);
}

void in_a_thread() {
  std::exception_ptr kept;
  size_t length = 0;
  std::thread([&] {
    thread_local std::vector<std::string> local;
    for (int i = 0; i < 300; ++i) local.emplace_back(60, 't');
    for (const auto& text : local) length += text.size();
    try {
      taken(kHuge);
    } catch (...) {
      kept = std::current_exception();
    }
  }).join();
  try {
    std::rethrow_exception(kept);
  } catch (const std::bad_alloc& error) {
    printf("a thread's: %zu, %s\n", length, error.what());
  }
}

}  // namespace

PLAIN_NAME NOT_INLINED int plugin_works(const char* what, Caller call) {
  if (!strchr(what, 'b') || !call) return 1;
  blocks();
  if (strchr(what, 'r')) refusals();
  if (strchr(what, 'e')) through_the_host(call);
  if (strchr(what, 't')) in_a_thread();
#ifdef OWN_NEW
  printf("own operators: %d %d, %ld of others\n", own_news > 100, own_deletes > 100, foreign_deletes);
#endif
  fflush(stdout);
  return 0;
}
