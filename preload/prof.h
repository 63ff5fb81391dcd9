/* libprof from inside a program, in C (89 and later) and C++ (11 and later), gcc and clang.
 *
 * Nothing is to be linked: each call looks for libprof.so when it is first made. In a program that runs without it, or is linked
 * statically, each call does nothing and returns PROF_NOT_LOADED. (Before glibc 2.34, link with -ldl.) With libprof.so preloaded no
 * PROF_ variable is needed.
 *
 * Every call returns PROF_OK (0) or one of the negative numbers below; prof_error_text() says what it means. All may be called from any
 * thread at any time, but not from signal handlers. From there only the label calls are allowed, once prof_is_loaded() was called
 * in the same source file.
 */
#ifndef PROF_H
#define PROF_H

enum {
  PROF_OK = 0,
  PROF_NOT_LOADED = -1,    /* libprof.so is not preloaded: nothing was done */
  PROF_OFF = -2,           /* nothing is recorded in this process, or nothing of that kind */
  PROF_BAD_ARGUMENT = -3,  /* null, negative, or too long */
  PROF_RESERVED_KEY = -4,  /* a label's key that libprof or pprof uses: thread, tid, state, bytes, start, pprof::… */
  PROF_NO_ROOM = -5,       /* no memory left for it */
  PROF_UNKNOWN_KIND = -6,  /* there is no such kind of profile, or it has no rate */
  PROF_BUSY = -7,          /* a CPU profile goes on already; or a rate that cannot change now */
  PROF_NOT_PERMITTED = -8, /* the program or another library handles SIGPROF */
  PROF_NOT_WRITTEN = -9    /* the file or descriptor cannot be written: nothing is there, or an older file */
};

/* What prof_label_leave() needs; its members are libprof's. */
struct prof_label_former { /* NOLINT(readability-identifier-naming) */
  unsigned label;
  unsigned before;
};

#ifdef PROF_LINKED

/* For programs that are linked with libprof.so itself: plain declarations. */
#ifdef __cplusplus
extern "C" {
#endif
const char* prof_version(void);
int prof_start_cpu(const char* path);
int prof_start_cpu_fd(int fd);
int prof_stop_cpu(void);
int prof_write(const char* kind, const char* path);
int prof_write_fd(const char* kind, int fd);
int prof_set_rate(const char* kind, long rate);
int prof_pause(void);
int prof_resume(void);
int prof_label_set(const char* key, const char* value);
int prof_label_clear(const char* key);
int prof_label_clear_all(void);
int prof_label_inherit(int on);
int prof_label_enter(const char* key, const char* value, struct prof_label_former* former);
int prof_label_leave(const struct prof_label_former* former);
#ifdef __cplusplus
}
#endif

#else

/* How libprof.so's functions are found. ------------------------------------------------------------------------------------------ */
#ifdef __cplusplus
#define PROF_CALL_ inline __attribute__((__visibility__("hidden")))
#else
#define PROF_CALL_ static __inline__ __attribute__((__unused__))
#endif

typedef void (*prof_function_)(void);
PROF_CALL_ void prof_absent_(void) {}

#if defined(__linux__) && defined(__ELF__)
static void* prof_dlsym_(void*, const char*) __attribute__((__weakref__("dlsym")));

PROF_CALL_ prof_function_ prof_look_up_(prof_function_* kept, const char* name) {
  prof_function_ found = prof_absent_;
  void* address = prof_dlsym_ ? prof_dlsym_((void*)0, name) : (void*)0;
  if (address) __builtin_memcpy(&found, &address, sizeof(found));
  __atomic_store_n(kept, found, __ATOMIC_RELEASE);
  return found;
}
PROF_CALL_ prof_function_ prof_find_(prof_function_* kept, const char* name) {
  prof_function_ found = __atomic_load_n(kept, __ATOMIC_ACQUIRE);
  return found ? found : prof_look_up_(kept, name);
}

/* Says to libprof.so, when the program starts, that these calls are in it. */
__asm__(
    ".pushsection .note.prof,\"aG\",%note,prof_note,comdat\n"
    "\t.balign 4\n"
    "\t.long 8, 4, 1\n"
    "\t.asciz \"libprof\"\n"
    "\t.long 1\n"
    "\t.popsection\n");
#else
PROF_CALL_ prof_function_ prof_find_(prof_function_* kept, const char* name) {
  (void)kept;
  (void)name;
  return prof_absent_;
}
#endif

/* Profiles. ----------------------------------------------------------------------------------------------------------------------
 *
 *   Go                                            here                                      gperftools
 *   pprof.StartCPUProfile(w)                      prof_start_cpu(path), prof_start_cpu_fd   ProfilerStart(path)
 *   pprof.StopCPUProfile()                        prof_stop_cpu()                           ProfilerStop()
 *                                                 prof_write("cpu", path)                   ProfilerFlush()
 *   pprof.WriteHeapProfile(w)                     prof_write("heap", path)
 *   pprof.Lookup(name).WriteTo(w, 0)              prof_write(name, path), prof_write_fd
 *   runtime.MemProfileRate = n                    prof_set_rate("heap", n)
 *   runtime.SetBlockProfileRate(ns)               prof_set_rate("block", ns)
 *   runtime.SetMutexProfileFraction(n)            prof_set_rate("mutex", n)
 *   runtime.SetCPUProfileRate(hz)                 prof_set_rate("cpu", hz)
 *   pprof.Do(ctx, pprof.Labels(k, v), f)          prof::Label, prof_label_enter and prof_label_leave
 *
 * The three of gperftools can be called by their own names in a program that has none of gperftools; where it is there, they are its own.
 *
 * A program that includes this file is prepared for all this when it starts (a MiB of memory, half a millisecond), and nothing is recorded yet.
 * Set PROF_API=1 for one that loads what calls libprof later (by dlopen); PROF_API=0 forbids it: the calls answer PROF_OFF.
 *
 * Files are complete when a call returns, appear whole or not at all, and are readable by their owner only; an older one is replaced. What
 * goes to a descriptor is the same: a gzip. The caller writes them itself, in its own thread.
 */

/* Begins a CPU profile of all threads, at 100 Hz or what was set. Any number of others (PROF_CPU) may go on meanwhile. One at a
 * time: else PROF_BUSY. At the program's end it is written as if it had been stopped. A child of fork does not have it. */
PROF_CALL_ int prof_start_cpu(const char* path) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_start_cpu");
  return call == prof_absent_ ? PROF_NOT_LOADED : ((int (*)(const char*))call)(path);
}

/* fd: it stays the caller's, and open until the profile is stopped. */
PROF_CALL_ int prof_start_cpu_fd(int fd) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_start_cpu_fd");
  return call == prof_absent_ ? PROF_NOT_LOADED : ((int (*)(int))call)(fd);
}

/* Ends it, and writes it. PROF_OFF: there is none. */
PROF_CALL_ int prof_stop_cpu(void) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_stop_cpu");
  return call == prof_absent_ ? PROF_NOT_LOADED : ((int (*)(void))call)();
}

/* Writes what is recorded of a kind by now: "heap", "allocs", "block", "mutex", "threadcreate", "wall"; "stacks" (or "goroutine"), which is
 * of this moment; or "cpu": of the profile that goes on, so far. PROF_OFF: the kind is not recorded; see prof_set_rate(). */
PROF_CALL_ int prof_write(const char* kind, const char* path) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_write");
  return call == prof_absent_ ? PROF_NOT_LOADED : ((int (*)(const char*, const char*))call)(kind, path);
}

PROF_CALL_ int prof_write_fd(const char* kind, int fd) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_write_fd");
  return call == prof_absent_ ? PROF_NOT_LOADED : ((int (*)(const char*, int))call)(kind, fd);
}

/* Switches a kind on, or changes its rate from now on; 0: no more is recorded of it (of the heap, what is freed is still seen).
 *
 *   "heap", "allocs"   mean bytes between sampled allocations; PROF_RATE_HEAP is what libprof and Go take; 1 records each.
 *                      What was allocated before is not in the profile. Other threads begin within their next 64 KiB
 *   "block"            ns: waits of so long and more are all recorded, shorter ones in proportion; 1 records each
 *   "mutex"            one of so many contended unlocks is recorded, and stands for all
 *   "wall"             looks a second at all threads in turn; once it is on it can only be switched off
 *   "cpu"              ticks a second of CPU time, for the next prof_start_cpu(); PROF_BUSY while a CPU profile goes on
 */
#define PROF_RATE_HEAP 524288L
#define PROF_RATE_BLOCK 10000L
PROF_CALL_ int prof_set_rate(const char* kind, long rate) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_set_rate");
  return call == prof_absent_ ? PROF_NOT_LOADED : ((int (*)(const char*, long))call)(kind, rate);
}

/* Nothing is recorded from now on, of any kind, but for what is freed of sampled blocks; and goes on again. Profiles go on meanwhile: they
 * lack what comes in between. Not counted: one prof_resume() is enough. */
PROF_CALL_ int prof_pause(void) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_pause");
  return call == prof_absent_ ? PROF_NOT_LOADED : ((int (*)(void))call)();
}

PROF_CALL_ int prof_resume(void) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_resume");
  return call == prof_absent_ ? PROF_NOT_LOADED : ((int (*)(void))call)();
}

/* Labels. ------------------------------------------------------------------------------------------------------------------------
 *
 * A label is a key and a value of the calling thread, and of every sample of it from then on: CPU, wall, heap (of what it allocates), block
 * (its waits), mutex (its unlocks) and stacks. `go tool pprof -tagfocus route=/data` shows the samples of one value, -tags all.
 * A call takes some nanoseconds where the thread had this label before.
 *
 * A key has at most 64 bytes, a value 256: a longer one is cut. At most 16 labels at once, and a MiB of different ones in a process: what
 * is beyond that is not set, and the profile's comments count it. Use what has few values: the route, not the request's number.
 */

/* Sets a label, or changes its value. An empty value: as prof_label_clear. PROF_NO_ROOM: the thread is now without a label of this key. */
PROF_CALL_ int prof_label_set(const char* key, const char* value) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_label_set");
  return call == prof_absent_ ? PROF_NOT_LOADED : ((int (*)(const char*, const char*))call)(key, value);
}

PROF_CALL_ int prof_label_clear(const char* key) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_label_clear");
  return call == prof_absent_ ? PROF_NOT_LOADED : ((int (*)(const char*))call)(key);
}

PROF_CALL_ int prof_label_clear_all(void) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_label_clear_all");
  return call == prof_absent_ ? PROF_NOT_LOADED : ((int (*)(void))call)();
}

/* on not 0: threads that the calling thread creates from now on begin with the labels that it has then, and do the same themselves. */
PROF_CALL_ int prof_label_inherit(int on) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_label_inherit");
  return call == prof_absent_ ? PROF_NOT_LOADED : ((int (*)(int))call)(on);
}

/* A label for a while: what the key's value was before is kept in `former`, and comes back with prof_label_leave(), in the same thread (or in
 * a child of fork that came out of it). Other keys stay as they are. In C++ see prof::Label. */
PROF_CALL_ int prof_label_enter(const char* key, const char* value, struct prof_label_former* former) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_label_enter");
  if (call != prof_absent_)
    return ((int (*)(const char*, const char*, struct prof_label_former*))call)(key, value, former);
  former->label = former->before = 0;
  return PROF_NOT_LOADED;
}

PROF_CALL_ int prof_label_leave(const struct prof_label_former* former) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_label_leave");
  return call == prof_absent_ ? PROF_NOT_LOADED : ((int (*)(const struct prof_label_former*))call)(former);
}

/* libprof.so itself. --------------------------------------------------------------------------------------------------------------- */

/* libprof's version, such as "0.1"; null where it is not loaded. */
PROF_CALL_ const char* prof_version(void) {
  static prof_function_ kept;
  const prof_function_ call = prof_find_(&kept, "prof_version");
  return call == prof_absent_ ? (const char*)0 : ((const char* (*)(void))call)();
}

/* 1 where libprof.so is loaded, else 0. Looks up all the label calls, so that signal handlers may make them afterwards. */
PROF_CALL_ int prof_is_loaded(void) {
  struct prof_label_former none = {0, 0};
  prof_label_set((const char*)0, (const char*)0); /* refused */
  prof_label_clear((const char*)0);
  prof_label_enter((const char*)0, (const char*)0, &none);
  prof_label_leave(&none);
  return prof_version() != (const char*)0;
}

#endif /* PROF_LINKED */

#ifdef __cplusplus
#define PROF_TEXT_ inline
#else
#define PROF_TEXT_ static __inline__ __attribute__((__unused__))
#endif

/* What a call's answer means. */
PROF_TEXT_ const char* prof_error_text(int error) {
  switch (error) {
    case PROF_OK:
      return "no error";
    case PROF_NOT_LOADED:
      return "libprof.so is not loaded";
    case PROF_OFF:
      return "nothing of that kind is recorded";
    case PROF_BAD_ARGUMENT:
      return "an argument is null, negative or too long";
    case PROF_RESERVED_KEY:
      return "the label's key is reserved";
    case PROF_NO_ROOM:
      return "there is no room left";
    case PROF_UNKNOWN_KIND:
      return "there is no such kind of profile, or it has no rate";
    case PROF_BUSY:
      return "a profile goes on already";
    case PROF_NOT_PERMITTED:
      return "SIGPROF belongs to the program or another library";
    case PROF_NOT_WRITTEN:
      return "the profile cannot be written there";
    default:
      return "unknown error";
  }
}

#if defined(__cplusplus) && !defined(PROF_LINKED)
namespace prof {

/* A label of the calling thread in a scope: prof::Label label("route", "/data"); Its end brings back the key's former value. */
class Label {
 public:
  Label(const char* key, const char* value) { prof_label_enter(key, value, &former_); }
  ~Label() { prof_label_leave(&former_); }

 private:
  Label(const Label&);
  void operator=(const Label&);
  prof_label_former former_;
};

} /* namespace prof */
#endif

#endif /* PROF_H */
