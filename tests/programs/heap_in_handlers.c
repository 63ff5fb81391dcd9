// Shows signal handlers that come at any time, most of them in the middle of an allocation, and look at the stack that
// they are on. Arguments: how, signals, threads beside main, bytes of the handler's locals, and whether the threads'
// stacks are of the smallest size there is (1 or 0). How: allocates; burns; collects (one thread holds a list by its
// stack only, a conservative collector stops it and looks for the list there); jumps (the handler leaves the call, an
// mmap: nobody's lock is held).
// build: -O2 -fomit-frame-pointer -pthread
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "heap_books.h"

enum { kThreads = 9, kNodes = 1000, kLate = 1000, kPage = 4096, kLevels = 40 };

struct Node {
  struct Node *next;
  long number, marked;
};

// A thread that is interrupted.
struct Worker {
  pthread_t id;
  char *low, *high;  // its stack
  char *stopped_at;  // its stack pointer in the handler
  long asked, answered, off_stack, changed;
};

static struct Worker workers[kThreads];
static __thread struct Worker *me;
static struct Book here_book = {.function = "allocates_here"}, late_book = {.function = "maps_late"};
static size_t handler_bytes;
static int worker_count, stack_is_small, ready, stops, rounds;
static volatile int may_jump;
static long signals, jumps, lost;
static const char *how;
static sigjmp_buf before_the_call;
static struct Node *nodes;

static void *mapping(void *at, size_t size) {
  return mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);
}

static void *place_of_maps;  // always the same: a jump loses no memory
ALLOCATES(allocates_here, malloc(size))
ALLOCATES(maps_here, mapping(place_of_maps, size))
ALLOCATES(maps_late, mapping(NULL, size))
BURNER(burns_here, 6364136223846793005u)

static int is(const char *name) { return strcmp(how, name) == 0; }

static void on_signal(int number) {
  char *locals = __builtin_alloca(handler_bytes);
  memset(locals, number, handler_bytes);
  __asm__ volatile("" : : "r"(locals) : "memory");
  if (locals < me->low || locals + handler_bytes > me->high) ++me->off_stack;
  for (size_t i = 0; i < handler_bytes; i += 64) me->changed += locals[i] != number;
  __atomic_fetch_add(&me->answered, 1, __ATOMIC_RELEASE);
  if (is("jumps") && may_jump) {
    may_jump = 0;
    ++jumps;
    siglongjmp(before_the_call, 1);
  }
}

// The collector's: says where its stack ends, and waits until all is looked through.
static void on_stop(int number) {
  (void)number;
  const int round = __atomic_load_n(&rounds, __ATOMIC_ACQUIRE);
  me->stopped_at = __builtin_frame_address(0);
  if (me->stopped_at < me->low || me->stopped_at >= me->high) ++me->off_stack;
  __atomic_fetch_add(&me->answered, 1, __ATOMIC_RELEASE);
  while (__atomic_load_n(&rounds, __ATOMIC_ACQUIRE) == round) sched_yield();
}

static void begin(struct Worker *worker) {
  pthread_attr_t attributes;
  void *stack;
  size_t size;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &stack, &size);
  pthread_attr_destroy(&attributes);
  worker->low = stack;
  worker->high = worker->low + size;
  worker->id = pthread_self();
  me = worker;
  __atomic_fetch_add(&ready, 1, __ATOMIC_RELEASE);
}

// For up to 50 us or so: whoever is interrupted gets on meanwhile, far enough not to be met at the same point again.
static void wait_a_little(uint64_t *state) {
  for (int i = (int)(next_number(state) % 200000); i > 0; --i) __asm__ volatile("");
}

static void *interrupts(void *unused) {
  uint64_t state = 3;
  while (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) < worker_count) sched_yield();
  for (long sent = 0; sent < signals; wait_a_little(&state)) {
    for (int i = 0; i < worker_count; ++i) {
      struct Worker *worker = &workers[i];
      if (__atomic_load_n(&worker->answered, __ATOMIC_ACQUIRE) < worker->asked) continue;
      ++worker->asked;
      ++sent;
      pthread_kill(worker->id, SIGUSR1);
    }
    sched_yield();
  }
  __atomic_store_n(&stops, 1, __ATOMIC_RELEASE);
  return unused;
}

NOT_INLINED static void collect(struct Worker *worker) {
  pthread_kill(worker->id, SIGUSR1);
  ++worker->asked;
  while (__atomic_load_n(&worker->answered, __ATOMIC_ACQUIRE) < worker->asked) sched_yield();
  for (int i = 0; i < kNodes; ++i) nodes[i].marked = 0;
  char *at = worker->stopped_at;
  if (at < worker->low || at >= worker->high) at = worker->high;  // a stack that nobody knows
  for (; at + sizeof(void *) <= worker->high; at += sizeof(void *)) {
    struct Node *node = *(struct Node **)at;
    for (; node >= nodes && node < nodes + kNodes && !node->marked; node = node->next) node->marked = 1;
  }
  for (int i = 0; i < kNodes; ++i) {
    if (nodes[i].marked) continue;
    ++lost;
    nodes[i].number = -1;
  }
  __atomic_fetch_add(&rounds, 1, __ATOMIC_RELEASE);
}

static void *collects(void *worker) {
  uint64_t state = 3;
  while (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) < worker_count) sched_yield();
  for (long i = 0; i < signals; ++i) {
    wait_a_little(&state);
    collect(worker);
  }
  __atomic_store_n(&stops, 1, __ATOMIC_RELEASE);
  return NULL;
}

// A long stack takes longer to look through.
NOT_INLINED static void deeper(int levels, void (*function)(void)) {
  if (levels > 0)
    deeper(levels - 1, function);
  else
    function();
  NOT_A_TAIL_CALL();
}

// The blocks of this thread, each freed at once.
NOT_INLINED static void allocate(void) {
  while (!__atomic_load_n(&stops, __ATOMIC_ACQUIRE)) {
    void *block = allocates_here(here_book.row[0].size);
    book_allocated(&here_book, 0);
    book_freed(&here_book, 0);
    free(block);
  }
}

static void burn(void) {
  while (!__atomic_load_n(&stops, __ATOMIC_ACQUIRE)) burns_here(milliseconds(1));
}

NOT_INLINED static void hold_a_list(struct Worker *worker) {
  struct Node *volatile head = NULL;
  for (int i = 0; i < kNodes; ++i) {
    nodes[i] = (struct Node){head, i, 0};
    head = &nodes[i];
  }
  begin(worker);
  deeper(kLevels, allocate);
  long number = kNodes;
  for (const struct Node *node = head; node; node = node->next) lost += node->number != --number;
}

static void jump(void) {
  while (!__atomic_load_n(&stops, __ATOMIC_ACQUIRE)) {
    if (sigsetjmp(before_the_call, 1) != 0) continue;
    may_jump = 1;
    while (!__atomic_load_n(&stops, __ATOMIC_ACQUIRE)) maps_here(kPage);
  }
  may_jump = 0;
}

static void *thread(void *worker) {
  if (is("collects")) {
    hold_a_list(worker);
    return NULL;
  }
  begin(worker);
  if (is("burns")) deeper(kLevels, burn);
  if (is("allocates")) deeper(kLevels, allocate);
  return NULL;
}

static void start(pthread_t *id, void *(*function)(void *), void *argument, int is_small) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  if (is_small && pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) != 0) abort();
  if (pthread_create(id, &attributes, function, argument) != 0) abort();
  pthread_attr_destroy(&attributes);
}

int main(int argc, char **argv) {
  if (argc < 6) return 2;
  how = argv[1];
  signals = atol(argv[2]);
  const int others = atoi(argv[3]);
  handler_bytes = (size_t)atol(argv[4]);
  stack_is_small = atoi(argv[5]);
  if (others >= kThreads) return 2;
  const int main_works = !is("collects");
  worker_count = others + main_works;
  nodes = mapping(NULL, kNodes * sizeof(struct Node));
  place_of_maps = mapping(NULL, kPage);
  row_of(&here_book, 32);
  row_of(&late_book, kPage);
  struct sigaction action = {.sa_handler = is("collects") ? on_stop : on_signal, .sa_flags = SA_RESTART};
  sigaction(SIGUSR1, &action, NULL);

  // Who interrupts is not interrupted.
  pthread_t interrupter, ids[kThreads];
  if (main_works) start(&interrupter, interrupts, NULL, 0);
  for (int i = 0; i < others; ++i) start(&ids[i], thread, &workers[main_works + i], stack_is_small);
  if (is("collects")) {
    collects(&workers[0]);
  } else if (is("jumps")) {
    begin(&workers[0]);
    deeper(kLevels, jump);
  } else {
    thread(&workers[0]);
  }
  if (main_works) pthread_join(interrupter, NULL);
  for (int i = 0; i < others; ++i) pthread_join(ids[i], NULL);
  for (int i = 0; i < kLate && is("jumps"); ++i) {
    maps_late(kPage);
    book_allocated(&late_book, 0);
  }

  long off_stack = 0, changed = 0;
  for (int i = 0; i < worker_count; ++i) {
    off_stack += workers[i].off_stack;
    changed += workers[i].changed;
  }
  struct Book *const books[] = {&here_book, &late_book};
  printf("{\"off_stack\": %ld, \"changed\": %ld, \"lost\": %ld, \"jumps\": %ld, ", off_stack, changed, lost, jumps);
  print_books("books", books, 2);
  printf("}\n");
}
