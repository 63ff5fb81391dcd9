#include <criterion/criterion.h>

#include <cstring>
#include <random>
#include <string>

extern "C" {
void* __wrap_memcpy(void*, const void*, size_t);
void* __wrap_memmove(void*, const void*, size_t);
void* __wrap_memset(void*, int, size_t);
int __wrap_memcmp(const void*, const void*, size_t);
}

static std::string random_text(std::mt19937* random, size_t bytes) {
  std::string text(bytes, 0);
  for (char& c : text) c = static_cast<char>((*random)());
  return text;
}

static int sign(int value) { return (value > 0) - (value < 0); }

Test(bytes, copies_fills_and_moves_are_what_libc_makes_of_them) {
  std::mt19937 random(20);
  for (int round = 0; round < 20'000; ++round) {
    const std::string before = random_text(&random, 200);
    const size_t to = random() % 100;
    const size_t from = random() % 100;
    const size_t bytes = random() % 100;
    std::string wanted = before;
    std::string got = before;
    memmove(wanted.data() + to, wanted.data() + from, bytes);
    cr_assert_eq(__wrap_memmove(got.data() + to, got.data() + from, bytes), got.data() + to);
    cr_assert(got == wanted, "move %zu from %zu to %zu", bytes, from, to);
    std::string other = random_text(&random, 200);
    wanted = got = other;
    memcpy(wanted.data() + to, before.data() + from, bytes);
    cr_assert_eq(__wrap_memcpy(got.data() + to, before.data() + from, bytes), got.data() + to);
    cr_assert(got == wanted);
    memset(wanted.data() + from, round, bytes);
    cr_assert_eq(__wrap_memset(got.data() + from, round, bytes), got.data() + from);
    cr_assert(got == wanted);
  }
}

Test(bytes, comparison_is_by_the_first_byte_that_differs) {
  std::mt19937 random(21);
  for (int round = 0; round < 20'000; ++round) {
    const size_t bytes = random() % 40;
    const std::string left = random_text(&random, bytes);
    std::string right = left;
    if (bytes != 0 && round % 4 != 0) right[random() % bytes] = static_cast<char>(random());
    cr_assert_eq(sign(__wrap_memcmp(left.data(), right.data(), bytes)), sign(memcmp(left.data(), right.data(), bytes)));
  }
}
