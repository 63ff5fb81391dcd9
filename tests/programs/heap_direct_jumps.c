// Says how libprof's malloc and free go on to the real ones, and shows blocks of known numbers. The argument: nothing; filter (under a
// system call filter, which it gives itself before it is executed again, and which kills whoever makes memory executable); later (the
// profile begins after the start); threads (likewise, while there is another thread).
// build: -O2 -fomit-frame-pointer -I preload
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "heap_books.h"
#include "prof.h"

static struct Book book = {.function = "allocates_small"};
static struct Book *const books[] = {&book};

ALLOCATES(allocates_small, malloc(size))

static int keep_out(void) {
  struct sock_filter no_new_code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof(no_new_code) / sizeof(*no_new_code), no_new_code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// The file that holds an address, and what may be done with its page.
static void print_place(const char *key, const void *address) {
  char line[600], found[600] = "", rights[8] = "";
  FILE *maps = fopen("/proc/self/maps", "r");
  while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
    unsigned long begin, end;
    int at = 0;
    char r[8];
    if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %n", &begin, &end, r, &at) != 3) continue;
    if ((unsigned long)address < begin || (unsigned long)address >= end) continue;
    line[strcspn(line, "\n")] = 0;
    const char *name = strrchr(line + at, '/');
    snprintf(found, sizeof(found), "%s", name == NULL ? line + at : name + 1);
    snprintf(rights, sizeof(rights), "%s", r);
  }
  if (maps != NULL) fclose(maps);
  printf("\"%s\": [\"%s\", \"%s\"], ", key, found, rights);
}

// A near conditional jump followed by a short one leads straight on; the other way round it goes by a pointer.
static void print_jumps(const char *name) {
  const unsigned char *code = dlsym(RTLD_DEFAULT, name);
  const char *kind = "none";
  const void *target = NULL;
  for (unsigned i = 0; i < 64 && target == NULL; i += 8) {
    const unsigned char *word = code + i;
    if (word[0] == 0x0f && word[1] >> 4 == 0x8 && word[6] == 0xeb) {
      int distance;
      memcpy(&distance, word + 2, sizeof(distance));
      target = word + 6 + distance;
      kind = "direct";
    } else if (word[0] >> 4 == 0x7 && word[2] == 0xff && word[3] == 0x25) {
      target = word;
      kind = "indirect";
    }
  }
  printf("\"%s\": \"%s\", ", name, kind);
  char key[40];
  snprintf(key, sizeof(key), "%s_target", name);
  print_place(key, target);
  snprintf(key, sizeof(key), "%s_code", name);
  print_place(key, code);
}

static pthread_barrier_t end;
static void *waits(void *nothing) {
  pthread_barrier_wait(&end);
  return nothing;
}

int main(int argc, char **argv) {
  const char *how = argc > 1 ? argv[1] : "";
  if (strcmp(how, "filter") == 0) {
    if (keep_out()) execl("/proc/self/exe", argv[0], "filtered", NULL);
    perror("filter");
    return 1;
  }
  pthread_t thread;
  const int has_thread = strcmp(how, "threads") == 0;
  if (strcmp(how, "later") == 0 && prof_set_rate("heap", 1) != 0) return 1;
  if (has_thread) {
    pthread_barrier_init(&end, NULL, 2);
    if (pthread_create(&thread, NULL, waits, NULL) != 0 || prof_set_rate("heap", 1) != 0) return 1;
  }
  uint64_t state = 9;
  for (int i = 0; i < 20; ++i) row_of(&book, 16 + 40 * (size_t)i);
  for (int i = 0; i < 20000; ++i) {
    const int row = (int)(next_number(&state) % 20);
    void *block = allocates_small(book.row[row].size);
    book_allocated(&book, row);
    if (next_number(&state) % 3 == 0) continue;
    book_freed(&book, row);
    free(block);
  }
  printf("{");
  print_jumps("malloc");
  print_jumps("free");
  print_books("books", books, 1);
  printf("}\n");
  if (has_thread) {
    pthread_barrier_wait(&end);
    pthread_join(thread, NULL);
  }
}
