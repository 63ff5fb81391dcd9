"""What libprof costs, beside other profilers on the same work in the same run.

Ratios and medians of interleaved runs; each with the spread between the quartiles. Run by `make bench`, which gives the
build folder. BENCH_ROUNDS sets the number of rounds (default 9).
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from measure import BUILD, LIBRARY, compare, environment, work_of

GPERFTOOLS = "/usr/lib/x86_64-linux-gnu/libprofiler.so"


def profilers(folder):
    """Name, command prefix and environment of each way to run a program."""
    cpu = os.path.join(folder, "out.prof")
    ways = [("alone", [], {}), ("alone again", [], {}),
            ("libprof 100 Hz", [], {"LD_PRELOAD": LIBRARY, "PROF_CPU": cpu}),
            ("libprof heap", [], {"LD_PRELOAD": LIBRARY, "PROF_HEAP": cpu}),
            ("libprof, every kind", [], {"LD_PRELOAD": LIBRARY, "PROF_CPU": cpu, "PROF_HEAP": cpu + ".heap", "PROF_ALLOCS": cpu + ".allocs",
                                         "PROF_BLOCK": cpu + ".block", "PROF_MUTEX": cpu + ".mutex", "PROF_THREAD": cpu + ".threads"}),
            ("libprof 1000 Hz", [], {"LD_PRELOAD": LIBRARY, "PROF_CPU": cpu, "PROF_CPU_HZ": "1000"})]
    if os.path.exists(GPERFTOOLS):
        for hz in ("100", "1000"):
            ways.append((f"gperftools {hz} Hz", [],
                         {"LD_PRELOAD": GPERFTOOLS, "CPUPROFILE": cpu, "CPUPROFILE_FREQUENCY": hz}))
    if shutil.which("perf") and subprocess.run(["perf", "record", "-q", "-o", os.path.join(folder, "try"), "true"],
                                               capture_output=True, check=False).returncode == 0:
        ways.append(("perf record -F 100 -g", ["perf", "record", "-q", "-F", "100", "-g", "-o", os.path.join(folder, "perf.data"), "--"], {}))
    return ways


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


def ticks(folder):
    print("\n1000 Hz within one process: stretches of sqlite3's work with ticks against stretches without (median [quartiles])")
    sys.stdout.flush()
    settings = {"LD_PRELOAD": LIBRARY, "PROF_CPU": os.path.join(folder, "out.prof"), "PROF_CPU_HZ": "1000", "PROF_CPU_CLOCK": "perf"}
    for name, arguments, env in (("libprof", [], settings), ("an event, empty handler", ["bare"], {})):
        done = subprocess.run([os.path.join(BUILD, "bench_tick"), str(40 * ROUNDS)] + arguments, env=environment(folder, **env),
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"  {name:24} not measured: libsqlite3 or perf events are not there")
            continue
        for row, what in zip(done.stdout.splitlines(), (name, "  without, again")):
            middle, low, high = row.split()
            print(f"  {what:24} {middle:>7} %   [{low}, {high}]")
    sys.stdout.flush()


def labels(folder):
    print("\nlabels set and cleared (best of 50 rounds, ns)")
    settings = {"LD_PRELOAD": LIBRARY, "PROF_CPU": os.path.join(folder, "out.prof")}
    done = subprocess.run([os.path.join(BUILD, "programs/labels"), "cost"], env=environment(folder, **settings),
                          capture_output=True, text=True, check=True)
    for name, ns in json.loads(done.stdout).items():
        print(f"  {name.replace('_', ' + '):24} {ns:7.1f} ns")


def main():
    with tempfile.TemporaryDirectory() as folder:
        print(f"library: {os.path.getsize(LIBRARY) / 1e6:.1f} MB with debug information, "
              f"{stripped_size(folder) / 1e6:.2f} MB without")
        sys.stdout.flush()
        subprocess.run([os.path.join(BUILD, "bench_unwind")], check=True)
        with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
            start_up(memory)
        ticks(folder)
        labels(folder)
        data = os.path.join(folder, "data")
        with open(data, "w", encoding="ascii") as file:
            for i in range(3_000_000):
                file.write(f"{i * 7919 % 1000003} the quick brown fox {i % 97}\n")
        python = "import json\nfor _ in range(35): json.loads(json.dumps([{'a': i, 'b': str(i)} for i in range(60000)]))"
        for title, command in (
                ("sqlite3, a query of joins and sums",
                 ["sqlite3", ":memory:", "with recursive c(x) as (select 1 union all select x+1 from c where x<9000000) "
                  "select count(*), sum(x*x%7) from c;"]),
                ("python3, json", ["/usr/bin/python3", "-c", python]), ("xz -1", ["xz", "-1", "-k", "-c", data])):
            compare(title, work_of(command), profilers(folder), folder)


def stripped_size(folder):
    target = os.path.join(folder, "stripped.so")
    subprocess.run(["strip", "-o", target, LIBRARY], check=True)
    return os.path.getsize(target)


main()
