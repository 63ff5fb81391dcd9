"""How good stacks are: of every program that tests/e2e/unwind_programs.py runs, and for each place that rules may come from, the share
of samples whose stack reaches the start of the program or thread, and the share whose stack is frame by frame that of libunwind's own
stepping at the same instant; beside it how much of `perf record --call-graph dwarf` reaches the start, where perf is permitted.

Run by `make bench`, which gives the build folder. UNWIND_SECONDS: about how long each (default 3).
"""

import collections
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

os.environ["PROF_TEST_BUILD"] = os.path.abspath(sys.argv[1])
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "e2e"))

import agreement  # noqa: E402
import unwind_programs  # noqa: E402

SECONDS = float(os.environ.get("UNWIND_SECONDS", "3"))
WAYS = ("tables", "libunwind", "frame_pointers")
# What the outer frames of a stack are that was followed to its end.
STARTS = {"_start", "__libc_start_main", "__libc_start_main@@GLIBC_2.34", "__libc_start_call_main", "main", "start_thread",
          "clone3", "__clone3", "clone"}


def perf_command(name, folder):
    """The program alone, as perf is to run it. None: it is not run by perf here."""
    if name == "python3":
        return ["/usr/bin/python3", "-c", unwind_programs.PYTHON.format(seconds=SECONDS)]
    if name == "sqlite3":
        return ["/usr/bin/sqlite3", "-batch", ":memory:", unwind_programs.SQL.format(rows=int(200000 * SECONDS))]
    if name == "g++":
        (folder / "in.cc").write_text(unwind_programs.CPP)
        return ["/usr/bin/g++", "-O1", "-c", "in.cc", "-o", "out.o"]
    return None


def perf_share(name, folder):
    """Of a hundred samples a second (each copies 8 KB of stack)."""
    command = perf_command(name, folder)
    if command is None or not shutil.which("perf"):
        return None
    record = ["perf", "record", "-q", "-F", "100", "-e", "cpu-clock:u", "--call-graph", "dwarf", "-o", "perf.data", "--"]
    if subprocess.run(record + command, cwd=folder, capture_output=True, check=False).returncode != 0:
        return None
    text = subprocess.run(["perf", "script", "--no-inline", "-i", "perf.data", "-F", "comm,ip,sym,dso"], cwd=folder, capture_output=True,
                          text=True, check=False).stdout
    ends = collections.Counter()
    for stack in text.strip().split("\n\n"):
        # Anywhere: the program's own _start has no name where it is stripped.
        names = {words[1].split("+")[0] for words in map(str.split, stack.splitlines()) if len(words) > 1}
        ends[bool(names & STARTS)] += 1
    return ends[True] / max(1, sum(ends.values()))


def main():
    print(f"stacks that reach the start, and that are libunwind's, by where rules come from ({SECONDS:g} s each, 1000 Hz)")
    print(f"  {'':14}" + "".join(f"{way:>28}" for way in WAYS) + f"{'perf --call-graph dwarf':>28}")
    for name, run in unwind_programs.PROGRAMS.items():
        columns = []
        ends = {}
        for way in WAYS:
            with tempfile.TemporaryDirectory() as folder:
                counted = run(pathlib.Path(folder), SECONDS, way)
            complete = counted.ends().get("complete", 0) / max(1, counted.samples)
            columns.append(f"{100 * complete:8.2f} % {100 * counted.share('agree'):8.2f} % /{counted.samples:5}")
            ends[way] = counted.ends()
        with tempfile.TemporaryDirectory() as folder:
            share = perf_share(name, pathlib.Path(folder))
        columns.append("-" if share is None else f"{100 * share:.2f} %")
        print(f"  {name:14}" + "".join(f"{column:>28}" for column in columns))
        marked = {end: count for end, count in ends["frame_pointers"].items() if end != "complete"}
        if marked:
            print(f"  {'':14}by frame pointers the others end in {marked}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
