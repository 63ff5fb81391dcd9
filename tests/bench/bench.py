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
    ways = profilers(folder)[:5]
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


def main():
    with tempfile.TemporaryDirectory() as folder:
        print(f"library: {os.path.getsize(LIBRARY) / 1e6:.1f} MB with debug information, "
              f"{stripped_size(folder) / 1e6:.2f} MB without")
        sys.stdout.flush()
        subprocess.run([os.path.join(BUILD, "bench_unwind")], check=True)
        with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
            start_up(memory)
        data = os.path.join(folder, "data")
        with open(data, "w", encoding="ascii") as file:
            for i in range(2_000_000):
                file.write(f"{i * 7919 % 1000003} the quick brown fox {i % 97}\n")
        compare("sqlite3, a query of joins and sums",
                ["sqlite3", ":memory:", "with recursive c(x) as (select 1 union all select x+1 from c where x<4500000) "
                 "select count(*), sum(x*x%7) from c;"], folder)
        compare("python3, json", ["/usr/bin/python3", "-c",
                                  "import json\nfor _ in range(20): json.loads(json.dumps([{'a': i, 'b': str(i)} for i in range(60000)]))"], folder)
        compare("xz -1", ["xz", "-1", "-k", "-c", data], folder)


def stripped_size(folder):
    target = os.path.join(folder, "stripped.so")
    subprocess.run(["strip", "-o", target, LIBRARY], check=True)
    return os.path.getsize(target)


main()
