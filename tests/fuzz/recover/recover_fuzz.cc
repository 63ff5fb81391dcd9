// The fuzz target of recovery, built with the address and undefined behaviour sanitizers: region files of real processes, with wrong
// bytes, through all of core/report but the writing of the files.
//
//   recover_fuzz SECONDS BUILD [SEED]    BUILD: the folder with libprof.so and programs/counts_work, which leave the files
//   recover_fuzz 0 FILE                  one that a finding has left, again
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/base/raw_log.h"
#include "core/base/region_layout.h"
#include "core/report/file_sink.h"
#include "core/report/recovery.h"

using namespace prof;

namespace {

constexpr time_t kHangs = 60;  // a round that takes so much CPU time does not end: they take a fraction of a second
constexpr char kName[] = "libprof.1.1.region";

std::string g_folder;
uint64_t g_written = 0;  // bytes of profiles

// SplitMix64.
uint64_t g_state;
uint64_t next() {
  uint64_t z = g_state += 0x9e37'79b9'7f4a'7c15;
  z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9;
  z = (z ^ z >> 27) * 0x94d0'49bb'1331'11eb;
  return z ^ z >> 31;
}
uint64_t below(uint64_t end) { return next() % end; }

struct Seed {
  std::string bytes;
  std::vector<uint32_t> words;  // offsets of 32 bits that are not 0
};

std::string contents(const std::string& path, size_t most) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes(most, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(most));
  bytes.resize(static_cast<size_t>(file.gcount()));
  return bytes;
}

// A process that records all kinds for a while, and is killed.
Seed seed_of(const std::string& build, unsigned microseconds, const char* work) {
  const std::string spool = g_folder + "/spool", books = g_folder + "/books";
  mkdir(spool.c_str(), 0700);
  const pid_t child = fork();
  if (child == 0) {
    const std::string settings[] = {"LD_PRELOAD=" + build + "/libprof.so",
                                    "PROF_SPOOL=" + spool,
                                    "PROF_DIR=" + g_folder,
                                    "PROF_WALL=" + g_folder + "/wall.prof",
                                    "PROF_TRACE=" + g_folder + "/trace.json.gz",
                                    "PROF_HEAP_RATE=100",
                                    "PROF_BLOCK_RATE=1",
                                    "PROF_CPU_HZ=1000",
                                    "PROF_HEAP_PEAK=1",
                                    "PROF_LABELS=zone=a,shard=7",
                                    "PROF_TRACE_BUFFER=4"};
    for (const std::string& setting : settings) putenv(const_cast<char*>(setting.c_str()));
    const std::string program = build + "/programs/counts_work";
    execl(program.c_str(), program.c_str(), books.c_str(), "cpu", "heap", "waits", work, nullptr);
    _exit(127);
  }
  usleep(microseconds);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  Seed seed;
  std::vector<std::string> names;
  region_files_in(spool, &names);
  if (names.empty()) return seed;
  const std::string header = contents(spool + "/" + names[0], sizeof(RegionHeader));
  const auto used = reinterpret_cast<const RegionHeader*>(header.data())->used.load();
  seed.bytes = contents(spool + "/" + names[0], std::min<uint64_t>(used, 8 << 20));
  for (const std::string& name : names) unlink((spool + "/" + name).c_str());
  for (uint32_t at = sizeof(uint64_t); at + 4 <= seed.bytes.size(); at += 4) {
    uint32_t word;
    memcpy(&word, seed.bytes.data() + at, 4);
    if (word != 0) seed.words.push_back(at);
  }
  return seed;
}

void put(std::string* bytes, size_t at, uint64_t value, size_t size) {
  if (at + size <= bytes->size()) memcpy(bytes->data() + at, &value, size);
}

uint32_t word_at(const std::string& bytes, size_t at) {
  uint32_t word = 0;
  if (at + 4 <= bytes.size()) memcpy(&word, bytes.data() + at, 4);
  return word;
}

void change_one(const Seed& seed, std::string* bytes) {
  const size_t at = seed.words[below(seed.words.size())];
  switch (below(10)) {
    case 0:
      return put(bytes, at, next(), 1);
    case 1:
      return put(bytes, at, word_at(*bytes, at) ^ 1u << below(32), 4);
    case 2:  // another one's: a chain runs into another
      return put(bytes, at, word_at(*bytes, seed.words[below(seed.words.size())]), 4);
    case 3:  // a ring
      return put(bytes, at, at >> kRefShift, 4);
    case 4: {
      constexpr uint64_t kOdd[] = {0,          1,        ~uint64_t{0}, INT64_MAX, uint64_t{1} << 63,
                                   UINT32_MAX, 1u << 31, 1u << 17,     4096};
      return put(bytes, at & ~size_t{7}, kOdd[below(std::size(kOdd))], below(2) == 0 ? 4 : 8);
    }
    case 5:
      return put(bytes, at & ~size_t{7}, next() >> below(64), 8);
    case 6:  // the end of what is there, or near it
      return put(bytes, at, (bytes->size() >> kRefShift) - below(8), 4);
    case 7:  // of the header
      return put(bytes, 8 + 4 * below(sizeof(RegionHeader) / 4 / 8), next() >> below(64), 4);
    case 8: {
      const size_t from = below(bytes->size()), length = below(200);
      if (from + length <= bytes->size() && at + length <= bytes->size()) {
        memmove(bytes->data() + at, bytes->data() + from, length);
      }
      return;
    }
    default:
      return put(bytes, at, below(5000), below(2) == 0 ? 2 : 4);
  }
}

bool write_region(const std::string& bytes) {
  const std::string path = g_folder + "/" + kName;
  unlink(path.c_str());
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
  const bool done = fd >= 0 && write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  close(fd);
  return done;
}

// At each finding's end: its file stays.
void say_where(int) { dprintf(STDERR_FILENO, "recover_fuzz: the file is %s/%s\n", g_folder.c_str(), kName); }
void on_hang(int) {
  dprintf(STDERR_FILENO, "recover_fuzz: a round of %ld s does not end\n", static_cast<long>(kHangs));
  abort();
}

Recovered round(const std::string& bytes) {
  if (!write_region(bytes)) abort();
  const struct itimerval limit = {{0, 0}, {kHangs, 0}};
  setitimer(ITIMER_PROF, &limit, nullptr);
  RecoveryOptions options;
  options.is_gone = true;
  options.just_ended = below(2) == 0;
  options.is_own_folder = below(2) == 0;
  if (below(4) == 0) options.to = g_folder;
  return recover_region(g_folder, kName, options).result;
}

}  // namespace

extern "C" const char* __asan_default_options() { return "abort_on_error=1:hard_rss_limit_mb=6000:detect_leaks=0"; }
extern "C" const char* __ubsan_default_options() { return "abort_on_error=1:print_stacktrace=1"; }

// In place of core/report/file_sink.cc: the names that a wrong region has are not written to.
WriteResult prof::write_file_whole(const std::string& path, std::string_view bytes, WriteMode, int64_t) {
  if (path.empty() || path.front() != '/') abort();
  g_written += bytes.size();
  return {true, false, "", 0};
}
bool prof::is_link_of_system(const std::string&) { return false; }
std::string prof::error_text_of(int) { return {}; }
std::string prof::temporary_name(const std::string& path) { return path; }

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s SECONDS BUILD [SEED], or %s 0 FILE\n", argv[0], argv[0]);
    return 2;
  }
  char folder[] = "/tmp/recover_fuzz.XXXXXX";
  g_folder = mkdtemp(folder);
  signal(SIGABRT, say_where);
  signal(SIGPROF, on_hang);
  log_start(LogLevel::error);
  const long seconds = atol(argv[1]);
  if (seconds == 0) {
    printf("result %d\n", static_cast<int>(round(contents(argv[2], kMaxSegments * kSegmentBytes))));
    return std::system(("rm -rf " + g_folder).c_str());
  }
  g_state = argc > 3 ? strtoull(argv[3], nullptr, 0) : static_cast<uint64_t>(time(nullptr));
  printf("seed %llu\n", static_cast<unsigned long long>(g_state));
  fflush(stdout);
  std::vector<Seed> seeds;
  for (const char* work : {"none", "forks", "none"}) {
    // On a machine that has much else to do it may have recorded nothing by then.
    constexpr int kTries = 5;
    Seed seed;
    for (int i = 0; i < kTries && (seed.bytes.empty() || round(seed.bytes) != Recovered::written); ++i)
      seed = seed_of(argv[2], (seeds.size() == 2 ? 60'000u : 700'000u) << i, work);
    if (!seed.bytes.empty()) seeds.push_back(std::move(seed));
  }
  if (seeds.empty() || round(seeds[0].bytes) != Recovered::written) {
    fprintf(stderr, "recover_fuzz: %s leaves no region\n", argv[2]);
    return 1;
  }
  uint64_t rounds = 0, recovered = 0;
  for (const time_t end = time(nullptr) + seconds; time(nullptr) < end; ++rounds) {
    const Seed& seed = seeds[below(seeds.size())];
    std::string bytes = seed.bytes;
    for (uint64_t count = 1 + below(uint64_t{1} << below(12)); count > 0; --count) change_one(seed, &bytes);
    if (below(16) == 0) bytes.resize(below(bytes.size()));
    recovered += round(bytes) == Recovered::written ? 1 : 0;
  }
  printf("%llu rounds, %llu with profiles (%llu MB), no finding\n", static_cast<unsigned long long>(rounds),
         static_cast<unsigned long long>(recovered), static_cast<unsigned long long>(g_written >> 20));
  return std::system(("rm -rf " + g_folder).c_str());
}
