"""Normal mutexes, which libprof takes and gives free itself: the C library's calls and libprof's take turns on one, and whoever is to see
every lock still does."""

import re
import shutil

import pytest

import waits
from conftest import LIBRARY, PROGRAMS

SETTINGS = waits.settings(block_rate=1)
COUNTER = PROGRAMS / "normal_mutex_counter"


def RUNS():
    runs = {"under libprof": (["normal_mutex"], SETTINGS, {"cores": 2}),
            "asked for": (["normal_mutex", "asked"], SETTINGS, {"cores": 2}),
            "alone": (["normal_mutex"], {"PROF_CPU": None}, {"cores": 2, "preload": False}),
            "elision": (["normal_mutex"], SETTINGS | {"GLIBC_TUNABLES": "glibc.elision.enable=1"}, {"cores": 2}),
            "a counter behind": (["normal_mutex", "calls"], SETTINGS | {"LD_PRELOAD": f"{LIBRARY}:{COUNTER}"})}
    if shutil.which("valgrind"):
        runs["helgrind"] = (["/usr/bin/valgrind", "--tool=helgrind", "--error-exitcode=9", PROGRAMS / "normal_mutex", "calls"],
                            SETTINGS, {"timeout": 120})
    return runs


@pytest.mark.parametrize("name", ["alone", "under libprof", "asked for", "elision"])
def test_the_fields_stay_right(runs, name):
    result = runs[name].result
    assert result["wrong"] == 0 and result["clean_alone"] and result["clean"], result
    assert result["child"] == 0 and result["destroyed"] == 0, result
    assert result["refused"], "a destroyed mutex was locked"
    assert result["rounds"] > 100_000, "hardly ever taken"
    if name != "alone":
        profile = waits.read(runs[name].folder / "block.prof")
        assert profile.of("locks")[0] > 0


def test_a_library_behind_sees_every_lock(runs):
    run = runs["a counter behind"]
    calls = run.result["calls"]
    locks, unlocks = map(int, re.search(rb"(\d+) locks, (\d+) unlocks", run.stderr).groups())
    assert locks >= calls and unlocks >= calls


@pytest.mark.skipif(not shutil.which("valgrind"), reason="no valgrind")
def test_helgrind_sees_every_lock(runs):
    """It would complain of unlocks without a lock, or miss those that it does not see."""
    run = runs["helgrind"]
    assert run.returncode == 0, run.stderr.decode()
