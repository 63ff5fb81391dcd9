"""What the benchmarks share: the build, the number of rounds, clean environments, CPU time, quartiles."""

import glob
import os
import resource
import statistics
import subprocess
import sys

BUILD = os.path.abspath(sys.argv[1])
LIBRARY = os.path.join(BUILD, "libprof.so")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "9"))


def environment(folder, **settings):
    return {"PATH": os.environ["PATH"], "HOME": folder, "LC_ALL": "C.UTF-8"} | settings


def library(name):
    """The file of an installed library, or None."""
    found = sorted(glob.glob(f"/usr/lib/*-linux-gnu/{name}") + glob.glob(f"/usr/lib/heaptrack/{name}"))
    return found[0] if found else None


def quartiles(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 4], statistics.median(ordered), ordered[(3 * len(ordered)) // 4]


def cpu_seconds(command, env, folder):
    """CPU time of a command and its children, seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def work_of(command):
    return lambda prefix, env, folder: cpu_seconds(prefix + command, env, folder)


def compare(title, work, ways, folder):
    """work(prefix, env, folder): a cost in seconds; ways: name, command prefix and settings of each way to do it, the first of them
    alone. Prints a table."""
    print(f"\n{title}: CPU time, relative to the program alone ({ROUNDS} interleaved rounds, median [quartiles])")
    times = {name: [] for name, _, _ in ways}
    for _ in range(ROUNDS):
        for name, prefix, settings in ways:
            times[name].append(work(prefix, environment(folder, **settings), folder))
    base = statistics.median(times[ways[0][0]])
    for name, _, _ in ways:
        low, middle, high = (value / base for value in quartiles(times[name]))
        print(f"  {name:24} {100 * (middle - 1):+7.2f} %   [{100 * (low - 1):+.2f}, {100 * (high - 1):+.2f}]   of {base:.2f} s")
    sys.stdout.flush()
