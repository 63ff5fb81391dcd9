"""Forks while other threads allocate: nobody hangs, the parent's books stay exact, each child begins at zero."""

import os
import re

import pytest

import heap
import pprof
from test_heap_truth import check_exact, check_nothing_lost

FORKS = int(os.environ.get("HEAP_FORKS", "1000"))
SMALL = str(pprof.BUILD / "programs" / "heap_small")
SMALL_BLOCKS = 500


def forks(how, count, threads=1, forking=1, *words):
    return ["heap_forks", "{folder}", count, threads, forking, how, *words]


MANY = {"cores": 2, "timeout": 150 + FORKS // 20}
# Of these, every child has a profile.
FORKED = {
    "mixed": (forks("mixed", FORKS // 2), heap.settings(1), MANY),
    "exit": (forks("exit", FORKS // 5), heap.settings(1), MANY),
    "_exit": (forks("_exit", FORKS // 10), heap.settings(1), MANY),
    "forking_threads": (forks("mixed", FORKS // 4, 2, 4), heap.settings(1), MANY),
    "no_other_thread": (forks("exit", FORKS // 10, 0), heap.settings(1), MANY),
    "with_peak": (forks("exit", FORKS // 20), heap.settings(1, PROF_HEAP_PEAK="1"), MANY),
    "with_cpu": (forks("exit", FORKS // 10, 2),
                 heap.settings(1) | {"PROF_CPU": "{folder}/cpu.prof", "PROF_CPU_HZ": "1000"}, MANY),
    "asks": (forks("asks", FORKS // 4), heap.settings(1), MANY),
    "snapshot": (forks("snapshot", 20), heap.settings(1), MANY),
    "grandchild": (forks("grandchild", FORKS // 20), heap.settings(1), MANY),
}
# Children that are not libprof's business, or are another program's.
OTHERS = {
    "not_followed": (forks("mixed", FORKS // 10), heap.settings(1, PROF_FOLLOW="0"), MANY),
    "raw": (forks("raw", FORKS // 4, 0), heap.settings(1)),
    "raw_then_fork": (forks("raw_then_fork", FORKS // 20, 0), heap.settings(1)),
    "vfork_exits": (forks("vfork_exits", FORKS), heap.settings(1), MANY),
}
PROGRAMS = {how: (forks(how, FORKS // 20, 1, 1, SMALL, SMALL_BLOCKS), heap.settings(1), MANY)
            for how in ("exec", "vfork", "spawn")}
RUNS = FORKED | OTHERS | PROGRAMS | {
    "sampled": (forks("mixed", FORKS // 4, 2, 2), heap.settings(), MANY),
    "small": (["heap_small", SMALL_BLOCKS], {}, {"preload": False}),
}


def check_parent(run):
    """Also: no child hung, crashed, or found its inherited blocks changed."""
    result, profile = run.result, heap.read(run.folder / "heap.prof")
    check_exact(result["books"], profile)
    for function in ("child_allocates", "grandchild_allocates", "allocates_small"):
        assert function not in profile.functions, profile.describe()
    return result


def ends(result):
    return {end for _, _, _, end in result["children"]}


@pytest.mark.parametrize("name", FORKED)
def test_parent_is_exact(runs, name):
    run = runs[name]
    result = check_parent(run)
    assert ends(result) == {7}, "-1000: no fork; else a signal's number"
    if name == "asks":
        assert all("still being written" in line for line in run.log), run.stderr
    else:
        check_nothing_lost(run, heap.read(run.folder / "heap.prof"))


@pytest.mark.parametrize("name", FORKED)
def test_children_begin_at_zero(runs, name):
    """What a child allocated, and nothing of its parent's; half of its blocks it has freed again. It reallocates
    inherited blocks: in its profile they are allocations of its own."""
    run = runs[name]
    children = run.result["children"]
    profiles = heap.children(run)
    for index, (pid, blocks, size, _) in enumerate(children):
        profile = profiles.pop(pid)
        live = blocks - blocks // 2
        assert profile.of_leaf("child_allocates") == (blocks, blocks * size, live, live * size), profile.describe()
        for sample in profile.samples:
            assert sample.leaf == "child_allocates" or "child" in sample.functions, profile.describe()
        reallocated = profile.of_leaf("inherited") if "inherited" in profile.functions else profile.of_leaf("child")
        assert all(s.size in (size, 300) for s in profile.samples if "libc.so" not in s.leaf_file), profile.describe()
        # Every third of 200, once the parent has filled them all: after 4000 draws of a fixed sequence it has.
        assert reallocated[0] <= 67 and reallocated[0] == reallocated[2], profile.describe()
        assert reallocated[0] == 67 or index < 200 or name == "forking_threads", profile.describe()
    if name != "asks":
        assert not profiles, sorted(profiles)


def test_children_have_peaks_of_their_own(runs):
    run = runs["with_peak"]
    for pid, blocks, size, _ in run.result["children"]:
        peak = heap.read(run.folder / f"heap.{pid}.peak.prof")
        # All of its blocks, before the first is freed.
        assert peak.of_leaf("child_allocates")[2:] == (blocks, blocks * size), peak.describe()
    assert "heap.peak.prof" in run.files()


def test_snapshots_of_children(runs):
    """In the child's name, and only there."""
    run = runs["snapshot"]
    for pid, blocks, size, _ in run.result["children"]:
        snapshot, last = heap.read(run.folder / f"heap.{pid}.1.prof"), heap.read(run.folder / f"heap.{pid}.prof")
        assert snapshot.of_leaf("child_allocates") == last.of_leaf("child_allocates")
    assert len(run.files()) == 1 + 2 * len(run.result["children"])


def test_snapshots_of_a_parent_that_forks(runs):
    run = runs["asks"]
    pids = {pid for pid, *_ in run.result["children"]}
    numbers = sorted(number for number in heap.children(run) if number not in pids)
    assert numbers == list(range(1, len(numbers) + 1)) and numbers, run.files()
    before = 0
    for number in numbers:
        snapshot = heap.read(run.folder / f"heap.{number}.prof")
        assert "child_allocates" not in snapshot.functions
        assert snapshot.of_leaf("parent_allocates")[0] > before
        before = snapshot.of_leaf("parent_allocates")[0]


def test_grandchildren(runs):
    run = runs["grandchild"]
    below = [name for name in run.files() if re.fullmatch(r"heap\.\d+\.\d+\.prof", name)]
    assert {int(name.split(".")[1]) for name in below} == {pid for pid, *_ in run.result["children"]}
    for name in below:
        profile = heap.read(run.folder / name)
        assert profile.of_leaf("grandchild_allocates") == (3, 231, 2, 154), profile.describe()
        assert "child_allocates" not in profile.functions


@pytest.mark.parametrize("name", OTHERS)
def test_children_that_are_let_be(runs, name):
    """One that is not to be followed; one made by the bare system call, which shares libprof's memory with its
    parent and must not write there; one of vfork that ends at once."""
    run = runs[name]
    assert ends(check_parent(run)) == {7}
    check_nothing_lost(run, heap.read(run.folder / "heap.prof"))
    if name != "raw_then_fork":
        assert run.files() == ["heap.prof"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_are_started(runs, name):
    """By fork, vfork or posix_spawn, and exec: the new program's books, in a file of its own."""
    run = runs[name]
    result = check_parent(run)
    assert ends(result) == {0}
    books = runs["small"].result["books"]
    profiles = heap.children(run)
    assert set(profiles) == {pid for pid, *_ in result["children"]}
    for profile in profiles.values():
        check_exact(books, profile)
        assert "child_allocates" not in profile.functions


def test_forks_at_the_default_rate(runs):
    """Children that recorded nothing leave no file: most of them, as each allocates a kilobyte or twenty."""
    run = runs["sampled"]
    assert ends(run.result) == {7}
    for profile in heap.children(run).values():
        assert profile.samples and not profile.of("parent_allocates")[0] and not profile.of("other_allocates")[0]
    assert len(heap.children(run)) < len(run.result["children"]) / 4
