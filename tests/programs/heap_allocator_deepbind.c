// Shows a plugin loaded with RTLD_DEEPBIND, which finds the C library's malloc before any preloaded one: the program frees and
// grows its blocks, and it frees and grows the program's. Argument: deep or plain (without the flag). Prints the books; in those of
// `for_plugin` a block is live until the plugin has it.
// build: -O2 -fomit-frame-pointer
#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>

#include "heap_books.h"

static struct Book own_book = {.function = "for_itself"}, given_book = {.function = "for_plugin"},
                   grown_book = {.function = "grows_plugins"}, plugin_book = {.function = "plugin_takes"},
                   plugin_grown_book = {.function = "plugin_grows"};
static struct Book *const books[] = {&own_book, &given_book, &grown_book, &plugin_book, &plugin_grown_book};
static void *to_grow;
static long wrong;

ALLOCATES(for_itself, malloc(size))
ALLOCATES(for_plugin, malloc(size))
ALLOCATES(grows_plugins, realloc(to_grow, size))

static void *filled(void *block, size_t size) { return memset(block, 0x77, size); }

static void look_at(const unsigned char *block, size_t size) {
  for (size_t i = 0; i < size; ++i) wrong += block[i] != 0x77;
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  char path[4096];
  strcpy(path, argv[0]);
  strcpy(strrchr(path, '/') + 1, "heap_allocator_deepbind_plugin");
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | (strcmp(argv[1], "deep") == 0 ? RTLD_DEEPBIND : 0));
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  void *(*const plugin_takes)(size_t) = (void *(*)(size_t))dlsym(library, "plugin_takes");
  void *(*const plugin_grows)(void *, size_t) = (void *(*)(void *, size_t))dlsym(library, "plugin_grows");
  void (*const plugin_gives_back)(void *) = (void (*)(void *))dlsym(library, "plugin_gives_back");
  for (int i = 0; i < 1200; ++i) {
    const size_t size = 40 + (size_t)i % 50 * 40;
    const size_t larger = size * 3;
    // The program's, freed or grown by the plugin.
    void *block = filled(for_plugin(size), size);
    book_allocated(&given_book, row_of(&given_book, size));
    book_freed(&given_book, row_of(&given_book, size));
    look_at(block, size);
    if (i % 3) {
      plugin_gives_back(block);
    } else {
      block = plugin_grows(block, larger);
      book_allocated(&plugin_grown_book, row_of(&plugin_grown_book, larger));
      look_at(block, size);
    }
    // The program's own, at an address that the plugin has freed.
    block = filled(for_itself(size), size);
    book_allocated(&own_book, row_of(&own_book, size));
    if (i % 2) {
      book_freed(&own_book, row_of(&own_book, size));
      free(block);
    }
    // The plugin's, freed or grown by the program.
    block = filled(plugin_takes(size), size);
    book_allocated(&plugin_book, row_of(&plugin_book, size));
    book_freed(&plugin_book, row_of(&plugin_book, size));
    if (i % 3) {
      free(block);
    } else {
      to_grow = block;
      block = grows_plugins(larger);
      book_allocated(&grown_book, row_of(&grown_book, larger));
      look_at(block, size);
    }
  }
  printf("{\"wrong\": %ld, ", wrong);
  print_books("books", books, 5);
  printf("}\n");
}
