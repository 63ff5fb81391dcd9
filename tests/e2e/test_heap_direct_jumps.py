"""malloc and free lead straight to the real ones where nobody could mind (preload/direct_jumps.h), by a pointer where somebody might;
the books are right in either way."""

import pathlib
import re

import pytest

import heap
import pprof

# In a container there is a filter already.
IS_WATCHED = (re.search(r"^Seccomp:\s+0$", pathlib.Path("/proc/self/status").read_text(), re.MULTILINE) is None
              or pathlib.Path("/sys/fs/selinux/enforce").exists())
STRAIGHT = "indirect" if IS_WATCHED else "direct"
LIBRARY = str(pprof.BUILD / "libprof.so")
WAYS = {
    "alone": ([], heap.settings(1), STRAIGHT),
    "jemalloc_behind": ([], heap.settings(1, LD_PRELOAD=f"{LIBRARY} libjemalloc.so.2"), STRAIGHT),
    "filter": (["filter"], heap.settings(1), "indirect"),
    "later": (["later"], {"PROF_CPU": None, "PROF_SIGNAL": "USR2"}, "indirect"),
    "threads": (["threads"], {"PROF_CPU": None, "PROF_SIGNAL": "USR2"}, "indirect"),
    "valgrind": ([], heap.settings(1), "indirect"),
    "no_heap_profile": ([], {}, "indirect"),
}
PROGRAM = "heap_direct_jumps"
COMMANDS = {"valgrind": ["valgrind", "--tool=none", "-q", pprof.BUILD / "programs" / PROGRAM]}


def RUNS():
    return {name: ([*COMMANDS.get(name, [PROGRAM]), *arguments], settings) for name, (arguments, settings, _) in WAYS.items()}


@pytest.mark.parametrize("name", WAYS)
def test_where_they_lead(runs, name):
    result = runs[name].result
    real = "libjemalloc.so.2" if name == "jemalloc_behind" else "libc.so.6"
    for call in ("malloc", "free"):
        assert result[call] == WAYS[name][2], result
        assert result[f"{call}_code"] == ["libprof.so", "r-xp"], result
        assert result[f"{call}_target"][0] == (real if WAYS[name][2] == "direct" else "libprof.so"), result
    assert runs[name].log == [], runs[name].stderr


@pytest.mark.parametrize("name", [name for name in WAYS if "PROF_HEAP" in WAYS[name][1]])
def test_books(runs, name):
    profile = heap.read(runs[name].folder / "heap.prof")
    wanted = heap.expected(runs[name].result["books"]["allocates_small"])
    assert profile.of_leaf("allocates_small") == wanted, profile.describe()
