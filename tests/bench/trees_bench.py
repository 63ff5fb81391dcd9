#!/usr/bin/python3
"""What children cost: one that executes a program and ends at once, and forks of a process with much memory. Medians of interleaved
runs, without libprof and with it. Arguments: the build folder; megabytes that the forking process has touched (8192)."""

import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(sys.argv[1]).resolve()
MEGABYTES = sys.argv[2] if len(sys.argv) > 2 else "8192"
PROGRAM = BUILD / "programs" / "trees_forks"
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("PROF_", "LD_PRELOAD"))}
SHORT, SHORT_ALL, FORKS, ROUNDS = "300", "2000", "20", 5
MODES = {
    "without libprof": None,
    "CPU at 1000 Hz": {"PROF_CPU": "{}/cpu.prof"},
    "PROF_DIR": {"PROF_DIR": "{}"},
    "every kind": {"PROF_DIR": "{}", "PROF_WALL": "{}/wall.prof", "PROF_TRACE": "{}/trace.json.gz", "PROF_HEAP_RATE": "1"},
    "PROF_FOLLOW=0": {"PROF_CPU": "{}/cpu.prof", "PROF_FOLLOW": "0"},
}


def run(mode, *words):
    """Milliseconds, and what it said on stderr."""
    folder = tempfile.mkdtemp(dir="/dev/shm")
    environment = dict(CLEAN)
    if MODES[mode] is not None:
        environment |= {name: value.format(folder) for name, value in MODES[mode].items()}
        environment |= {"LD_PRELOAD": str(BUILD / "libprof.so"), "PROF_CPU_HZ": "1000"}
    start = time.perf_counter()
    answer = subprocess.run([PROGRAM, *words], env=environment, capture_output=True, text=True)
    taken = (time.perf_counter() - start) * 1000
    shutil.rmtree(folder)
    assert answer.returncode == 0, answer
    return taken, answer.stderr


def main():
    taken = {mode: [] for mode in MODES}
    for _ in range(ROUNDS):
        for mode in MODES:
            taken[mode].append(run(mode, "short", SHORT)[0] / int(SHORT))
    for mode, times in taken.items():
        ratio = statistics.median(a / b for a, b in zip(times, taken["without libprof"]))
        print(f"a child by exec, {mode:18} {statistics.median(times):8.3f} ms  {ratio:5.2f} x")
    print(f"{SHORT_ALL} children, every kind     {run('every kind', 'short', SHORT_ALL)[0] / 1000:8.1f} s")
    for pages in ("", "huge"):
        for mode in ("without libprof", "CPU at 1000 Hz"):
            each = [float(re.search(r"([\d.]+) ms each", run(mode, "loop", FORKS, MEGABYTES, pages)[1]).group(1)) for _ in range(2)]
            print(f"a fork of {MEGABYTES} MB {pages or 'small':5} pages, {mode:16} {min(each):8.1f} ms")


main()
