"""What libprof costs, beside other profilers on the same work in the same run.

Ratios and medians of interleaved runs; each with the spread between the quartiles. Run by `make bench`, which gives the
build folder. BENCH_ROUNDS sets the number of rounds (default 9).
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(sys.argv[1])
LIBRARY = os.path.join(BUILD, "libprof.so")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "9"))
GPERFTOOLS = "/usr/lib/x86_64-linux-gnu/libprofiler.so"


def environment(folder, **settings):
    env = {"PATH": os.environ["PATH"], "HOME": folder, "LC_ALL": "C.UTF-8"}
    env.update(settings)
    return env


def cpu_seconds(command, env, folder):
    """CPU time of a command and its children, seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def quartiles(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 4], statistics.median(ordered), ordered[(3 * len(ordered)) // 4]


def profilers(folder):
    """Name, command prefix and environment of each way to run a program."""
    cpu = os.path.join(folder, "out.prof")
    ways = [("alone", [], {}), ("alone again", [], {}),
            ("libprof 100 Hz", [], {"LD_PRELOAD": LIBRARY, "PROF_CPU": cpu}),
            ("libprof heap", [], {"LD_PRELOAD": LIBRARY, "PROF_HEAP": cpu}),
            ("libprof, every kind", [], {"LD_PRELOAD": LIBRARY, "PROF_CPU": cpu, "PROF_HEAP": cpu + ".heap", "PROF_ALLOCS": cpu + ".allocs"}),
            ("libprof 1000 Hz", [], {"LD_PRELOAD": LIBRARY, "PROF_CPU": cpu, "PROF_CPU_HZ": "1000"})]
    if os.path.exists(GPERFTOOLS):
        for hz in ("100", "1000"):
            ways.append((f"gperftools {hz} Hz", [],
                         {"LD_PRELOAD": GPERFTOOLS, "CPUPROFILE": cpu, "CPUPROFILE_FREQUENCY": hz}))
    if shutil.which("perf") and subprocess.run(["perf", "record", "-q", "-o", os.path.join(folder, "try"), "true"],
                                               capture_output=True, check=False).returncode == 0:
        ways.append(("perf record -F 100 -g", ["perf", "record", "-q", "-F", "100", "-g", "-o", os.path.join(folder, "perf.data"), "--"], {}))
    return ways


def compare(title, command, folder):
    print(f"\n{title}: CPU time, relative to the program alone ({ROUNDS} interleaved rounds, median [quartiles])")
    ways = profilers(folder)
    times = {name: [] for name, _, _ in ways}
    for _ in range(ROUNDS):
        for name, prefix, settings in ways:
            times[name].append(cpu_seconds(prefix + command, environment(folder, **settings), folder))
    base = statistics.median(times["alone"])
    for name, _, _ in ways:
        low, middle, high = (value / base for value in quartiles(times[name]))
        print(f"  {name:24} {100 * (middle - 1):+7.2f} %   [{100 * (low - 1):+.2f}, {100 * (high - 1):+.2f}]")


def start_up(folder):
    print("\nstart-up and exit of `true`, profile on a memory file system: wall time (medians of 200 interleaved runs)")
    ways = profilers(folder)[:7]
    times = {name: [] for name, _, _ in ways}
    for _ in range(200):
        for name, prefix, settings in ways:
            env = environment(folder, **settings)
            begin = time.perf_counter()
            subprocess.run(prefix + ["/bin/true"], env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            times[name].append(time.perf_counter() - begin)
    base = statistics.median(times["alone"])
    for name in times:
        print(f"  {name:24} {1000 * (statistics.median(times[name]) - base):+7.3f} ms")


def pairs(folder):
    """malloc and free in a loop: what interposing costs where nothing else is done."""
    heap = os.path.join(folder, "heap.prof")
    ways = [("glibc", {}), ("libprof, no heap profile", {"LD_PRELOAD": LIBRARY, "PROF_CPU": heap}),
            ("libprof heap", {"LD_PRELOAD": LIBRARY, "PROF_HEAP": heap})]
    for name, library, extra in (("tcmalloc", "libtcmalloc.so.4", {}), ("its heap profiler", "libtcmalloc.so.4", {"HEAPPROFILE": heap}),
                                 ("jemalloc", "libjemalloc.so.2", {})):
        if os.path.exists(f"/usr/lib/x86_64-linux-gnu/{library}"):
            ways.append((name, {"LD_PRELOAD": f"/usr/lib/x86_64-linux-gnu/{library}", **extra}))
    jemalloc = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
    if os.path.exists(jemalloc):
        ways.append(("jemalloc under libprof heap", {"LD_PRELOAD": f"{LIBRARY} {jemalloc}", "PROF_HEAP": heap}))
    cases = [(16, 0, 1), (1024, 0, 1), (64, 65536, 1), (64, 65536, 2)]
    print("\nns for a malloc and a free (medians of 5 interleaved runs): " +
          ", ".join(f"{size} B{' with 64 K live blocks' if live else ''}{' in 2 threads' if threads == 2 else ''}"
                    for size, live, threads in cases))
    times = {(name, case): [] for name, _ in ways for case in cases}
    for _ in range(5):
        for case in cases:
            for name, settings in ways:
                if name == "its heap profiler" and len(times[name, case]) == 1:
                    continue  # some thousand ns a pair: once
                answer = subprocess.run([os.path.join(BUILD, "bench_pairs"), *map(str, case)], env=environment(folder, **settings),
                                        cwd=folder, capture_output=True, text=True, check=True)
                times[name, case].append(float(answer.stdout))
    for name, _ in ways:
        print(f"  {name:28} " + "  ".join(f"{statistics.median(times[name, case]):9.2f}" for case in cases))


def snapshot(folder):
    """A snapshot of 100 000 live samples while the program allocates as fast as it can."""
    heap = os.path.join(folder, "heap.prof")
    rows = []
    for _ in range(5):
        answer = subprocess.run([os.path.join(BUILD, "bench_snapshot"), os.path.join(folder, "heap.1.prof")], check=True,
                                env=environment(folder, LD_PRELOAD=LIBRARY, PROF_HEAP=heap, PROF_HEAP_RATE="1"), capture_output=True, text=True)
        rows.append([float(value) for value in answer.stdout.split()])
        os.remove(os.path.join(folder, "heap.1.prof"))
    before, during, taken = (statistics.median(column) for column in zip(*rows))
    print(f"\na snapshot with 100 000 live samples: {taken:.0f} ms from the signal to the file; the longest stall of a thread that "
          f"allocates: {during:.0f} us, {before:.0f} us in the 200 ms before (medians of 5)")


def main():
    with tempfile.TemporaryDirectory() as folder:
        print(f"library: {os.path.getsize(LIBRARY) / 1e6:.1f} MB with debug information, "
              f"{stripped_size(folder) / 1e6:.2f} MB without")
        sys.stdout.flush()
        subprocess.run([os.path.join(BUILD, "bench_unwind")], check=True)
        with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
            start_up(memory)
            pairs(memory)
            snapshot(memory)
        data = os.path.join(folder, "data")
        with open(data, "w", encoding="ascii") as file:
            for i in range(3_000_000):
                file.write(f"{i * 7919 % 1000003} the quick brown fox {i % 97}\n")
        compare("sqlite3, a query of joins and sums",
                ["sqlite3", ":memory:", "with recursive c(x) as (select 1 union all select x+1 from c where x<9000000) "
                 "select count(*), sum(x*x%7) from c;"], folder)
        compare("python3, json", ["/usr/bin/python3", "-c",
                                  "import json\nfor _ in range(35): json.loads(json.dumps([{'a': i, 'b': str(i)} for i in range(60000)]))"], folder)
        compare("xz -1", ["xz", "-1", "-k", "-c", data], folder)


def stripped_size(folder):
    target = os.path.join(folder, "stripped.so")
    subprocess.run(["strip", "-o", target, LIBRARY], check=True)
    return os.path.getsize(target)


main()
