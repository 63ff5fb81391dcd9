"""What a heap profile costs, beside other heap profilers on the same work in the same run: malloc and free in a loop, programs,
memory. Medians of interleaved rounds of separate processes, with the quartiles.

    heap_bench.py BUILD_FOLDER          BENCH_ROUNDS sets the number of rounds (default 9)
"""

import glob
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from measure import BUILD, LIBRARY, ROUNDS, compare, environment, library, quartiles, work_of

PROGRAM = os.path.join(BUILD, "bench_heap")
# Bytes, live blocks of the program's, threads.
CASES = [(16, 0, 1), (64, 0, 1), (1024, 0, 1), (64, 65536, 1), (16, 0, 2), (64, 0, 2), (1024, 0, 2), (64, 65536, 2)]
STACKS = 10000
CPP = """
#include <functional>
#include <map>
#include <regex>
#include <string>
#include <unordered_map>
#include <vector>
int main(int argc, char** argv) {
  std::regex pattern("a(b|c)*d");
  std::map<std::string, std::vector<int>> found;
  std::unordered_map<int, std::function<int(int)>> functions;
  for (int i = 0; i < argc; ++i) found[argv[i]].push_back(std::regex_match(argv[i], pattern));
  return int(found.size() + functions.size());
}
"""
SQL = ("create table t(a integer, b text); with recursive n(i) as (select 1 union all select i + 1 from n where i < 400000) "
       "insert into t select i * 7919 % 100003, hex(i) from n; create index x on t(b, a); "
       "select count(*), group_concat(substr(b, 1, 1), '') from t group by a % 10;")


def allocator_ways(folder):
    """Name and environment of each way to run the loops, and the way that it is an addition to."""
    heap = os.path.join(folder, "heap.prof")
    ways = [("glibc", {}, None),
            ("glibc again", {}, "glibc"),
            ("an interposer of nothing", {"LD_PRELOAD": os.path.join(BUILD, "pass_through.so")}, "glibc"),
            ("libprof, nothing set", {"LD_PRELOAD": LIBRARY}, "glibc"),
            ("libprof PROF_HEAP", {"LD_PRELOAD": LIBRARY, "PROF_HEAP": heap}, "glibc")]
    heaptrack, tcmalloc, jemalloc = map(library, ("libheaptrack_preload.so", "libtcmalloc.so.4", "libjemalloc.so.2"))
    if heaptrack:
        ways.append(("heaptrack", {"LD_PRELOAD": heaptrack, "DUMP_HEAPTRACK_OUTPUT": os.path.join(folder, "heaptrack")}, "glibc"))
    if tcmalloc:
        ways += [("tcmalloc", {"LD_PRELOAD": tcmalloc}, None),
                 ("its HEAPPROFILE", {"LD_PRELOAD": tcmalloc, "HEAPPROFILE": heap}, "tcmalloc"),
                 ("libprof PROF_HEAP", {"LD_PRELOAD": f"{LIBRARY} {tcmalloc}", "PROF_HEAP": heap}, "tcmalloc")]
    if jemalloc:
        profiling = "prof:true,lg_prof_sample:19,prof_prefix:" + os.path.join(folder, "jemalloc")
        ways += [("jemalloc", {"LD_PRELOAD": jemalloc}, None),
                 ("its prof:true", {"LD_PRELOAD": jemalloc, "MALLOC_CONF": profiling}, "jemalloc"),
                 ("libprof PROF_HEAP", {"LD_PRELOAD": f"{LIBRARY} {jemalloc}", "PROF_HEAP": heap}, "jemalloc")]
    return ways


def measured(arguments, settings, folder):
    answer = subprocess.run([PROGRAM, *map(str, arguments)], env=environment(folder, **settings), cwd=folder,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return float(answer.stdout)


def pairs(folder):
    ways = allocator_ways(folder)
    print(f"\na malloc and a free: ns ({ROUNDS} interleaved rounds, median [quartiles]), and what is added to the allocator alone")
    for case in CASES:
        size, live, threads = case
        times = [[] for _ in ways]
        for _ in range(ROUNDS):
            for way, (_, settings, _) in enumerate(ways):
                times[way].append(measured(["pairs", *case], settings, folder))
                for path in glob.glob(os.path.join(folder, "*")):
                    os.remove(path)
        medians = {name: statistics.median(values) for (name, _, base), values in zip(ways, times) if base is None}
        print(f"  {size} B, {threads} thread{'s' * (threads > 1)}{', 64 K live blocks' if live else ''}")
        for (name, _, base), values in zip(ways, times):
            low, middle, high = quartiles(values)
            added = f"{middle - medians[base]:+9.2f}" if base else " " * 9
            label = f"+ {name}" if base else name
            print(f"    {label:26} {middle:9.2f} {added}   [{low:.2f}, {high:.2f}]")
        sys.stdout.flush()


def memory(folder):
    print(f"\nresident after allocations from {STACKS} distinct stacks, all recorded: KiB (median of {ROUNDS})")
    heap = os.path.join(folder, "heap.prof")
    ways = [("alone", {}), ("libprof, nothing set", {"LD_PRELOAD": LIBRARY}),
            ("libprof PROF_HEAP", {"LD_PRELOAD": LIBRARY, "PROF_HEAP": heap, "PROF_HEAP_RATE": "1"})]
    base = None
    for name, settings in ways:
        middle = statistics.median(measured(["stacks", STACKS], settings, folder) for _ in range(ROUNDS))
        base = middle if base is None else base
        print(f"  {name:28} {middle:9.0f} {middle - base:+9.0f}")
    sys.stdout.flush()


def cpu_of_redis(_, env, folder):
    """CPU time of a redis server that has served a benchmark, start and exit included."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    # The same program by two names: what it is called decides what it does, and only this one is sure to be installed.
    server = subprocess.Popen(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"],
                              executable=shutil.which("redis-check-rdb"), env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while subprocess.run(["redis-cli", "-p", port, "ping"], capture_output=True, check=False).returncode != 0:
            time.sleep(.02)
        subprocess.run(["redis-benchmark", "-p", port, "-q", "-n", "200000", "-r", "100000", "-t", "set,get"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finally:
        server.terminate()
        _, _, usage = os.wait4(server.pid, 0)
        server.returncode = 0
    return usage.ru_utime + usage.ru_stime


def snapshot(folder):
    """A snapshot of 100 000 live samples while the program allocates as fast as it can."""
    heap = os.path.join(folder, "heap.prof")
    rows = []
    for _ in range(ROUNDS):
        answer = subprocess.run([os.path.join(BUILD, "bench_snapshot"), os.path.join(folder, "heap.1.prof")], check=True,
                                env=environment(folder, LD_PRELOAD=LIBRARY, PROF_HEAP=heap, PROF_HEAP_RATE="1"), capture_output=True, text=True)
        rows.append([float(value) for value in answer.stdout.split()])
        os.remove(os.path.join(folder, "heap.1.prof"))
    before, during, taken = (statistics.median(column) for column in zip(*rows))
    print(f"\na snapshot with 100 000 live samples: {taken:.0f} ms from the signal to the file; the longest stall of a thread that "
          f"allocates: {during:.0f} us, {before:.0f} us in the 200 ms before (medians of {ROUNDS})")


def compare_heap(title, work, folder):
    heap = os.path.join(folder, "heap.prof")
    ways = [("alone", [], {}), ("alone again", [], {}), ("libprof PROF_HEAP", [], {"LD_PRELOAD": LIBRARY, "PROF_HEAP": heap})]
    heaptrack = library("libheaptrack_preload.so")
    if heaptrack:
        ways.append(("heaptrack", [], {"LD_PRELOAD": heaptrack, "DUMP_HEAPTRACK_OUTPUT": os.path.join(folder, "heaptrack")}))
    compare(title, work, ways, folder)


def main():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        pairs(folder)
        memory(folder)
        snapshot(folder)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "source.cc"), "w", encoding="ascii") as source:
            source.write(CPP)
        if shutil.which("redis-benchmark"):
            compare_heap("redis-server, 200 000 SET and GET each", cpu_of_redis, folder)
        for title, command in (("sqlite3, an index over 400 000 rows", ["sqlite3", ":memory:", SQL]),
                               ("g++, a file of the standard library's templates", ["g++", "-O1", "-c", "source.cc"])):
            compare_heap(title, work_of(command), folder)


if __name__ == "__main__":
    main()
