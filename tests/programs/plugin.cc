// A library for storm: loaded, run and unloaded again and again.
// build: -shared -fPIC
#include <stdexcept>
extern "C" __attribute__((noinline)) int plugin_work(int n) {
  volatile int sum = 0;
  for (int i = 0; i < 20000; ++i) sum = sum + i;
  if (n % 2 != 0) throw std::runtime_error("odd");
  return sum;
}
