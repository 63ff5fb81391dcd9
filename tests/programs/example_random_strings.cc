// A web server that makes random strings, on port 8080 or the one given. To be profiled under load:
//
//   g++ -O2 -g -pthread -I preload tests/programs/example_random_strings.cc -o random_strings
//   PROF_CPU=cpu.prof LD_PRELOAD=$PWD/build/libprof.so ./random_strings &
//   ab -k -c 8 -n 100000 http://127.0.0.1:8080/
//   kill -INT $!; build/prof top cpu.prof
// build: -pthread -I preload
#include <prof.h>
#include <stdlib.h>

#include <random>
#include <string>

#include "example_http.h"

__attribute__((noinline)) static std::string random_string(size_t length) {
  static constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  thread_local std::mt19937_64 numbers{std::random_device{}()};
  std::uniform_int_distribution<size_t> place(0, sizeof(kLetters) - 2);
  std::string text;
  for (size_t i = 0; i < length; ++i) text += kLetters[place(numbers)];
  return text;
}

static Response answer(const std::string &path) {
  // By what the program knows, and not by the request's own text: labels are to have few values.
  prof::Label label("route", path == "/" ? "/" : "other");
  if (path != "/") return {404, "there is only /\n"};
  return {200, random_string(2000) + "\n"};
}

int main(int argc, char **argv) { return serve(argc > 1 ? static_cast<unsigned>(atoi(argv[1])) : 8080, answer); }
