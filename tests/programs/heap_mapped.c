// Shows memory that a program maps itself: kept, grown, shrunk and unmapped in many ways. Arguments: mappings of each
// kind, threads, whether all is unmapped at last (1 or 0), and whether it is only about mappings that lose a part which
// is not their beginning (1 or 0). Their books, `oddly`, have them as they were made, until nothing is left of them.
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap_books.h"

enum { kPage = 4096, kSmall = 1 << 16, kLarge = 1 << 20, kGrown = 1 << 26, kSteps = 8, kThreads = 16, kKept = 1 << 16 };

static struct Book kept_book = {.function = "maps_to_keep"}, first_book = {.function = "maps_to_grow"},
                   grown_book = {.function = "grows"}, large_book = {.function = "maps_to_shrink"},
                   shrunk_book = {.function = "shrinks"}, front_book = {.function = "maps_for_front"},
                   step_book = {.function = "maps_for_steps"}, over_book = {.function = "maps_over"},
                   fails_book = {.function = "maps_for_failures"}, shared_book = {.function = "maps_shared"},
                   rounded_book = {.function = "maps_rounded"}, no_memory_book = {.function = "maps_no_memory"},
                   back_book = {.function = "maps_for_back"}, middle_book = {.function = "maps_for_middle"};
static struct Book *const books[] = {&kept_book,   &first_book,  &grown_book,   &large_book,
                                     &shrunk_book, &front_book,  &step_book,    &over_book,
                                     &fails_book,  &shared_book, &rounded_book, &no_memory_book};
static struct Book *const oddly[] = {&back_book, &middle_book};
static __thread char *place;  // what the call is about
static int count, only_oddly, wrong;

// What is there at the end: `size` bytes, of which there may be holes, in the books as a row.
static struct {
  char *start;
  size_t size;
  struct Book *book;
  int row;
} kept[kKept];
static int kept_count;

static void *mapped(void *at, size_t size, int flags) {
  return mmap(at, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
}

ALLOCATES(maps_to_keep, mapped(NULL, size, MAP_PRIVATE))
ALLOCATES(maps_to_grow, mapped(NULL, size, MAP_PRIVATE))
ALLOCATES(grows, mremap(place, size / 2, size, MREMAP_MAYMOVE))
ALLOCATES(maps_to_shrink, mapped(NULL, size, MAP_PRIVATE))
ALLOCATES(shrinks, mremap(place, kLarge, size, MREMAP_MAYMOVE))
ALLOCATES(maps_for_front, mapped(NULL, size, MAP_PRIVATE))
ALLOCATES(maps_for_steps, mapped(NULL, size, MAP_PRIVATE))
ALLOCATES(maps_over, mapped(place, size, MAP_PRIVATE | MAP_FIXED))
ALLOCATES(maps_for_failures, mapped(NULL, size, MAP_PRIVATE))
ALLOCATES(maps_shared, mapped(NULL, size, MAP_SHARED))
ALLOCATES(maps_rounded, mapped(NULL, size - 100, MAP_PRIVATE))
ALLOCATES(maps_no_memory, mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
ALLOCATES(maps_for_back, mapped(NULL, size, MAP_PRIVATE))
ALLOCATES(maps_for_middle, mapped(NULL, size, MAP_PRIVATE))

static char *noted(struct Book *book, size_t size, void *block) {
  if (block == MAP_FAILED) abort();
  book_allocated(book, row_of(book, size));
  return block;
}

static void gone(struct Book *book, size_t size) { book_freed(book, row_of(book, size)); }

static void unmap(char *start, size_t size) {
  if (munmap(start, size) != 0) abort();
}

static void keep(char *start, size_t size, struct Book *book, size_t in_books) {
  const int at = __atomic_fetch_add(&kept_count, 1, __ATOMIC_RELAXED);
  if (at >= kKept) abort();
  kept[at].start = start;
  kept[at].size = size;
  kept[at].book = book;
  kept[at].row = row_of(book, in_books);
}

static void keep_and_unmap(int i) {
  const size_t size = i % 3 == 0 ? kPage : i % 3 == 1 ? kSmall : kLarge;
  char *block = noted(&kept_book, size, maps_to_keep(size));
  if (i % 2) return keep(block, size, &kept_book, size);
  unmap(block, size);
  gone(&kept_book, size);
}

static void grow(void) {
  place = noted(&first_book, kPage, maps_to_grow(kPage));
  struct Book *book = &first_book;
  for (size_t size = 2 * kPage; size <= kGrown; size *= 2) {
    place = noted(&grown_book, size, grows(size));
    gone(book, size / 2);
    book = &grown_book;
    place[size - 1] = 1;
  }
  keep(place, kGrown, &grown_book, kGrown);
}

static void shrink(void) {
  place = noted(&large_book, kLarge, maps_to_shrink(kLarge));
  char *block = noted(&shrunk_book, kPage, shrinks(kPage));
  gone(&large_book, kLarge);
  keep(block, kPage, &shrunk_book, kPage);
}

// What is left of a mapping is one of the same place of the program.
static void lose_front(void) {
  char *block = noted(&front_book, kLarge, maps_for_front(kLarge));
  unmap(block, kLarge - kPage);
  gone(&front_book, kLarge);
  noted(&front_book, kPage, block);
  keep(block + kLarge - kPage, kPage, &front_book, kPage);
}

static void lose_all_in_steps(void) {
  char *block = noted(&step_book, kSteps * kPage, maps_for_steps(kSteps * kPage));
  for (size_t left = kSteps * kPage; left > 0; left -= kPage, block += kPage) {
    unmap(block, kPage);
    gone(&step_book, left);
    if (left > kPage) noted(&step_book, left - kPage, block);
  }
}

// Over a reservation, which does not count, and then over what does.
static void map_over(void) {
  place = maps_no_memory(kSmall);
  place = noted(&over_book, kSmall, maps_over(kSmall));
  if (noted(&over_book, kSmall, maps_over(kSmall)) != place) abort();
  gone(&over_book, kSmall);
  keep(place, kSmall, &over_book, kSmall);
}

static void fail(void) {
  char *block = noted(&fails_book, kSmall, maps_for_failures(kSmall));
  int done = munmap(block + 1, kPage) == 0 || munmap(block, 0) == 0;
  done |= mremap(block, kSmall, (size_t)1 << 60, MREMAP_MAYMOVE) != MAP_FAILED;
  done |= mmap(NULL, (size_t)1 << 60, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
  __atomic_fetch_add(&wrong, done, __ATOMIC_RELAXED);
  keep(block, kSmall, &fails_book, kSmall);
}

static void lose_back(void) {
  char *block = noted(&back_book, kLarge, maps_for_back(kLarge));
  unmap(block + kPage, kLarge - kPage);
  keep(block, kPage, &back_book, kLarge);
}

static void lose_middle(void) {
  char *block = noted(&middle_book, kLarge, maps_for_middle(kLarge));
  unmap(block + kPage, kPage);
  keep(block, kLarge, &middle_book, kLarge);
}

static void *thread(void *unused) {
  for (int i = 0; i < count && only_oddly; ++i) {
    lose_back();
    lose_middle();
  }
  for (int i = 0; i < count && !only_oddly; ++i) {
    keep_and_unmap(i);
    if (i % 100 == 0) grow();
    shrink();
    lose_front();
    lose_all_in_steps();
    map_over();
    fail();
    keep(noted(&shared_book, kSmall, maps_shared(kSmall)), kSmall, &shared_book, kSmall);
    keep(noted(&rounded_book, kSmall, maps_rounded(kSmall)), kSmall, &rounded_book, kSmall);
  }
  return unused;
}

int main(int argc, char **argv) {
  count = (int)argument(argc, argv, 1, 100);
  const int threads = (int)argument(argc, argv, 2, 1);
  const int unmap_all = (int)argument(argc, argv, 3, 0);
  only_oddly = (int)argument(argc, argv, 4, 0);
  if (threads > kThreads) return 2;
  for (size_t size = kPage; size <= kGrown; size *= 2)
    for (size_t i = 0; i < sizeof books / sizeof books[0] - 1; ++i) row_of(books[i], size);
  for (int i = 1; i <= kSteps; ++i) row_of(&step_book, (size_t)i * kPage);
  row_of(&back_book, kLarge);
  row_of(&middle_book, kLarge);

  // A file's pages are not memory that somebody allocated.
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  for (int i = 0; i < 100; ++i)
    if (mmap(NULL, kPage, PROT_READ, MAP_PRIVATE, file, 0) == MAP_FAILED) abort();
  pthread_t ids[kThreads];
  for (int i = 1; i < threads; ++i)
    if (pthread_create(&ids[i], NULL, thread, NULL) != 0) abort();
  thread(NULL);
  for (int i = 1; i < threads; ++i) pthread_join(ids[i], NULL);
  for (int i = 0; i < kept_count && unmap_all; ++i) {
    unmap(kept[i].start, kept[i].size);
    book_freed(kept[i].book, kept[i].row);
  }
  printf("{\"wrong\": %d, ", wrong);
  print_books("books", books, sizeof books / sizeof books[0]);
  printf(", ");
  print_books("oddly", oddly, 2);
  printf("}\n");
}
