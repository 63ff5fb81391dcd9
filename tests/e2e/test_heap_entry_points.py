"""Every call that allocates or frees: it answers what it answers without libprof, and is counted once. Allocations
at every time of a process's life, before libprof's and after it."""

import json
import subprocess

import pytest

import heap
import pprof

PROGRAMS = pprof.BUILD / "programs"
SOURCES = pprof.ROOT / "tests" / "programs"
LIBRARY = str(pprof.BUILD / "libprof.so")
EARLY = str(PROGRAMS / "heap_early")

CALLS = ["heap_calls", "heap_news"]
RATES = {"exact": 1, "default": None, "rate_100": 100}
ENDS = ["return", "exit", "quick", "thread"]
# The constructors of preloaded libraries run from the last to the first, their destructors the other way.
PRELOADS = {"before": f"{LIBRARY}:{EARLY}", "after": f"{EARLY}:{LIBRARY}", "alone": LIBRARY}
# Blocks that each stage of heap_lifecycle allocates, of 100 bytes.
STAGES = {"constructor": 10, "static_constructor": 10, "in_main": 10, "in_thread": 30, "key_destructor": 90,
          "exit_handler": 10, "static_destructor": 10, "destructor": 10}
# At exit the main thread's thread-local objects go, too, unless another thread ends the process.
LOCALS = {"return": 40, "exit": 40, "thread": 30}


def linked_program():
    """heap_lifecycle, linked to the library that it otherwise meets only when that is preloaded."""
    program, source = pprof.BUILD / "heap_lifecycle.linked", SOURCES / "heap_lifecycle.cc"
    newest = max(path.stat().st_mtime for path in (source, PROGRAMS / "heap_early"))
    if not program.exists() or program.stat().st_mtime < newest:
        command = ["g++", "-O2", "-g", "-pthread", "-Wl,--no-as-needed", "-o", program, source, EARLY, "-ldl"]
        subprocess.run([str(word) for word in command], check=True)
    return program


def RUNS():
    runs = {}
    for name in CALLS:
        runs[f"{name} plain"] = ([name], {}, {"preload": False})
        for rate_name, rate in RATES.items():
            runs[f"{name} {rate_name}"] = ([name], heap.settings(rate))
        runs[f"{name} nothing asked for"] = ([name], {"PROF_CPU": None})
        runs[f"{name} cpu only"] = ([name], {})
        runs[f"{name} peak and allocs"] = ([name], heap.settings(1, PROF_HEAP_PEAK="1", PROF_ALLOCS="{folder}/a.prof"))
    linked = linked_program()
    for end in ENDS:
        runs[f"life plain {end}"] = (["heap_lifecycle", end], {}, {"preload": False})
        runs[f"life plain early {end}"] = (["heap_lifecycle", end], {},
                                           {"preload": False, "environment": {"LD_PRELOAD": EARLY}})
        runs[f"life plain linked {end}"] = ([linked, end], {}, {"preload": False})
        runs[f"life linked {end}"] = ([linked, end], heap.settings(1))
        for place, preload in PRELOADS.items():
            runs[f"life {place} {end}"] = (["heap_lifecycle", end], heap.settings(1, LD_PRELOAD=preload))
            runs[f"life {place} {end} default"] = (["heap_lifecycle", end], heap.settings(LD_PRELOAD=preload))
    return runs


def facts(run):
    run.check_unharmed()
    return run.stdout.decode().splitlines()


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("how", [*RATES, "nothing asked for", "cpu only", "peak and allocs"])
def test_same_answers(runs, name, how):
    run = runs[f"{name} {how}"]
    plain = facts(runs[f"{name} plain"])
    assert len(plain) > 300
    assert facts(run) == plain
    assert run.log == [], run.stderr


@pytest.mark.parametrize("name", CALLS)
def test_every_answer_is_right(runs, name):
    """Of the victim by itself; with libprof it is the same, by the test above."""
    lines = facts(runs[f"{name} plain"])
    wrong = ("misaligned", "too little", "oddly", "not zero", "same block", "lost byte", "changed", "errno set")
    assert [line for line in lines if any(word in line for word in wrong)] == []
    refused = [line for line in lines if line.startswith("fails_")]
    assert len(refused) >= 16 and all("null" in line or "throws std::bad_alloc" in line for line in refused)
    if name == "heap_calls":
        assert all("errno Cannot allocate memory" in line or "Invalid argument" in line for line in refused), refused


def test_names_that_the_platform_lacks(runs):
    """A program that asks whether a function exists is told what it is told without libprof."""
    plain = runs["heap_calls plain"].stderr
    assert runs["heap_calls exact"].stderr == plain
    assert runs["heap_calls nothing asked for"].stderr == plain


# Tests of their own.
ELSEWHERE = ("news_rounded", "news_empty", "calls_after_failures")


def books_and_profile(runs, name):
    run = runs[f"{name} exact"]
    return run.result["books"], heap.read(run.folder / "heap.prof")


def test_counted_after_failures(runs):
    """A size that no allocator can serve is not on the thread's account."""
    books, profile = books_and_profile(runs, "heap_calls")
    assert profile.of_leaf("calls_after_failures") == heap.expected(books["calls_after_failures"]), profile.describe()


@pytest.mark.parametrize("name,fewest", [("heap_calls", 12), ("heap_news", 14)])
def test_counted_once(runs, name, fewest):
    """Each function's blocks and each of its sizes, as asked for: malloc(0) is one of 0 bytes."""
    books, profile = books_and_profile(runs, name)
    counted = {function: rows for function, rows in books.items() if function not in ELSEWHERE}
    assert len(counted) >= fewest
    for function, rows in counted.items():
        sizes = profile.sizes_of(function)
        expected = {int(size): heap.expected({size: row}) for size, row in rows.items()}
        assert sizes == expected, (function, profile.describe())
        if function not in ("calls_strdup", "calls_strndup"):
            assert profile.of_leaf(function) == heap.expected(rows), (function, profile.describe())


@pytest.mark.parametrize("name", CALLS)
def test_what_fails_is_not_counted(runs, name):
    """But an exception is an allocation, of the C++ library's."""
    _, profile = books_and_profile(runs, name)
    for sample in profile.samples:
        assert not sample.leaf.startswith("fails_"), profile.describe()
        if any(function.startswith("fails_") for function in sample.functions):
            assert "libstdc++" in sample.leaf_file and sample.size < 1000, sample.functions


def test_libc_allocates_for_its_caller(runs):
    """libc's frame is the leaf."""
    _, profile = books_and_profile(runs, "heap_calls")
    for function in ("calls_strdup", "calls_strndup"):
        samples = [s for s in profile.samples if s.has(function)]
        assert samples and all("libc.so" in s.leaf_file and s.functions[1] == function for s in samples)


def test_aligned_new_is_counted_as_its_library_asks(runs):
    """The C++ library rounds the size up to the alignment on its way to aligned_alloc: that is what is allocated,
    and what a sample's probability goes by."""
    books, profile = books_and_profile(runs, "heap_news")
    rounded = {}
    for size, row in books["news_rounded"].items():
        asked = -(-int(size) // 64) * 64
        objects, _, live, _ = heap.expected({size: row})
        before = rounded.get(asked, (0, 0, 0, 0))
        rounded[asked] = tuple(a + b for a, b in zip(before, (objects, objects * asked, live, live * asked)))
    assert profile.sizes_of("news_rounded") == rounded


def test_empty_new_is_counted_as_its_library_asks(runs):
    """The C++ library makes a byte of it on its way to malloc."""
    _, profile = books_and_profile(runs, "heap_news")
    assert profile.of_leaf("news_empty") == (5, 5, 5, 5)


def test_class_specific_operator(runs):
    """It is the program's function, and the leaf."""
    _, profile = books_and_profile(runs, "heap_news")
    assert profile.of("Special::operator new", "news_special") == (10, 800, 5, 400), profile.describe()
    assert profile.of_leaf("news_special") == heap.NOTHING


def test_blocks_that_leave_by_another_name(runs):
    """malloc's, freed by __libc_free, which nobody sees: as soon as the address is given out again, the block is
    known to be gone. All 1000 have one address or a few."""
    _, profile = books_and_profile(runs, "heap_calls")
    values = profile.of_leaf("is_freed_elsewhere")
    assert values[:2] == (1000, 100000) and values[2] <= 10, profile.describe()
    assert profile.comment("free was not seen"), profile.comments


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("place", ["alone", "before", "after", "linked"])
def test_whole_life_unharmed(runs, place, end):
    plain = {"alone": "plain", "before": "plain early", "after": "plain early", "linked": "plain linked"}[place]
    run, lines = runs[f"life {place} {end}"], facts(runs[f"life {plain} {end}"])
    assert facts(run) == lines and not any("BROKEN" in line for line in lines)
    assert run.stderr == b""
    if place != "linked":
        assert facts(runs[f"life {place} {end} default"]) == lines


@pytest.mark.parametrize("end", [end for end in ENDS if end != "quick"])
@pytest.mark.parametrize("place", ["alone", "before", "after", "linked"])
def test_whole_life_counted(runs, place, end):
    """All stages of the program lie between libprof's constructor and its destructor: exact."""
    run = runs[f"life {place} {end}"]
    profile = heap.read(run.folder / "heap.prof")
    for stage, blocks in (STAGES | {"thread_local_destructor": LOCALS[end]}).items():
        values = profile.of_leaf(f"{stage}_allocates")
        assert values[:2] == (blocks, 100 * blocks), (stage, profile.describe())
    total = [profile.of_leaf(f"{stage}_allocates") for stage in [*STAGES, "thread_local_destructor"]]
    # Of every 10 allocated, 5 older ones were freed.
    assert sum(values[2] for values in total) * 2 == sum(values[0] for values in total), profile.describe()


def test_the_library_is_there_before_libprof_and_after_it(runs):
    """Or test_whole_life_unharmed would show less than it says: its constructor's blocks are not counted in one
    order, and are in the other."""
    constructed = {}
    for place in ("before", "after"):
        profile = heap.read(runs[f"life {place} return"].folder / "heap.prof")
        constructed[place] = profile.of("early_construct")[0]
    # 200 blocks, one reallocated, and 7 of the 50 that it lets go of.
    assert constructed == {"before": 0, "after": 200 + 1 + 7}, constructed
