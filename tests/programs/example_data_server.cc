// A web server with routes, on $PORT or 8080: /data makes a table of numbers and sorts it, /sum adds one up, / says so. Each route is a label:
//
//   g++ -O2 -g -pthread -I preload tests/programs/example_data_server.cc -o data_server
//   PORT=8081 PROF_CPU=cpu.prof LD_PRELOAD=$PWD/build/libprof.so ./data_server &
//   while curl -s http://127.0.0.1:8081/data >/dev/null; do :; done
//   kill -INT %1; go tool pprof -tags cpu.prof
// build: -pthread -I preload
#include <prof.h>
#include <stdlib.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "example_http.h"

static std::vector<unsigned> make_table(size_t rows) {
  std::vector<unsigned> table(rows);
  unsigned number = 1;
  for (unsigned &row : table) row = number = number * 1664525 + 1013904223;
  return table;
}

__attribute__((noinline)) static std::string data() {
  std::vector<unsigned> table = make_table(20000);
  std::sort(table.begin(), table.end());
  std::string text;
  for (size_t i = 0; i < table.size(); i += 100) text += std::to_string(table[i]) + "\n";
  return text;
}

__attribute__((noinline)) static std::string sum() {
  const std::vector<unsigned> table = make_table(20000);
  return std::to_string(std::accumulate(table.begin(), table.end(), 0ull)) + "\n";
}

struct Route {
  const char *path;
  std::string (*make)();
};
static const Route kRoutes[] = {
    {"/data", data}, {"/sum", sum}, {"/", [] { return std::string("try /data and /sum\n"); }}};

static Response answer(const std::string &path) {
  for (const Route &route : kRoutes) {
    if (path != route.path) continue;
    prof::Label label("route", route.path);
    return {200, route.make()};
  }
  return {404, "no such route\n"};
}

int main() {
  const char *port = getenv("PORT");
  return serve(port == nullptr ? 8080 : static_cast<unsigned>(atoi(port)), answer);
}
