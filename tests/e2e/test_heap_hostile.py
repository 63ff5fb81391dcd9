"""Programs that a heap profiler can break, or that can break it: signal handlers in the middle of an allocation, calls
that jump out or throw, mappings that change, many threads, workers, rights given up."""

import os
import pathlib
import signal
import subprocess
import tempfile
import time

import pytest

import heap
import pprof
from test_heap_truth import check_exact, check_nothing_lost, check_sampled

SOURCES = pprof.ROOT / "tests" / "programs"
LIBRARY = pprof.BUILD / "libprof.so"
CHILDREN = 20
BOTH = {"PROF_CPU": "{folder}/cpu.prof", "PROF_CPU_HZ": "1000"}
# Where stacks begin: of the program, of a thread.
ROOTS = ("_start", "clone3", "__clone3", "clone", "__clone")
# What is interrupted: signals, threads beside main, bytes of the handler's locals, smallest stacks or not.
ALLOCATES = {
    "main": (2000, 0, 48 * 1024, 0),
    "threads": (1200, 4, 48 * 1024, 0),
    "small stacks": (1200, 4, 256, 1),
    "large handler": (1000, 1, 300 * 1024, 0),
}
COLLECTS = {"collects": (8000, 1, 0, 0), "collects, small stacks": (8000, 1, 0, 1)}
BURNS = {"burns": (8000, 1, 48 * 1024, 0)}
# Rate, threads, and whether all is unmapped at last.
MAPPED = {"mapped": (None, 1, 0), "mapped_unmapped": (None, 1, 1), "mapped_threads": (None, 4, 0),
          "mapped_exact": (1, 2, 0)}
ODDLY = {"oddly": 0, "oddly_unmapped": 1}
THROWS = {"throws": None, "throws_exact": 1, "throws_rate_4096": 4096}
GIVES_UP = {"gives up rights": 0, "gives up rights, reaps": 1}
# A snapshot's process in /proc, and whom the program becomes.
REPORTER, NOBODY = "libprof.so", "65534"


def RUNS():
    runs = {}
    two = {"cores": 2}
    for name, arguments in ALLOCATES.items():
        runs[name] = (["heap_in_handlers", "allocates", *arguments], heap.settings(1), two)
        runs[f"{name}, cpu"] = (["heap_in_handlers", "allocates", *arguments], heap.settings(1) | BOTH, two)
    for name, arguments in COLLECTS.items():
        runs[name] = (["heap_in_handlers", "collects", *arguments], heap.settings(1), two)
    for name, arguments in BURNS.items():
        runs[name] = (["heap_in_handlers", "burns", *arguments], BOTH, two)
    runs["jumps"] = (["heap_in_handlers", "jumps", 20000, 0, 256, 0], heap.settings(1, PROF_HEAP_MMAP="1"), two)
    runs["nulls"] = (["heap_odd_calls", "nulls", 1000000], heap.settings(1))
    for name, (rate, threads, unmaps) in MAPPED.items():
        runs[name] = (["heap_mapped", 500, threads, unmaps], heap.settings(rate, PROF_HEAP_MMAP="1"))
    for name, unmaps in ODDLY.items():
        runs[name] = (["heap_mapped", 500, 1, unmaps, 1], heap.settings(PROF_HEAP_MMAP="1"))
    runs["many_threads"] = (["heap_odd_calls", "threads", 200, 20000], heap.settings(1), two)
    runs["children"] = (["heap_odd_calls", "children", CHILDREN], heap.settings())
    return runs


def check_code(profile):
    """Every frame is code of a file, and every stack begins where its thread did. The loader's need not: the function
    that it begins in has no unwind information."""
    for sample in profile.samples:
        if sample.has("_dl_start_user"):
            continue
        assert all(file.startswith("/") or file == "[vdso]" for file in sample.files), (sample.functions, sample.files)
        assert sample.functions[-1] in ROOTS, sample.functions


@pytest.mark.parametrize("name", [name + cpu for name in ALLOCATES for cpu in ("", ", cpu")])
def test_handlers_are_on_the_threads_stack(runs, name):
    """Those of the program that come in the middle of a sampled malloc; the stacks of both are right, and exact."""
    run = runs[name]
    result, profile = run.result, heap.read(run.folder / "heap.prof")
    assert result["off_stack"] == 0 and result["changed"] == 0, result
    check_code(profile)
    check_exact({"allocates_here": result["books"]["allocates_here"]}, profile)
    check_nothing_lost(run, profile)
    if name.endswith("cpu"):
        check_code(run.profile())


@pytest.mark.parametrize("name", BURNS)
def test_handlers_in_a_tick_are_on_the_threads_stack(runs, name):
    run = runs[name]
    assert run.result["off_stack"] == 0 and run.result["changed"] == 0, run.stdout
    assert run.profile().count("burns_here") > 0
    check_code(run.profile())


@pytest.mark.parametrize("name", COLLECTS)
def test_a_collector_finds_what_a_stack_holds(runs, name):
    run = runs[name]
    result, profile = run.result, heap.read(run.folder / "heap.prof")
    assert result["lost"] == 0 and result["off_stack"] == 0, result
    check_code(profile)
    check_exact({"allocates_here": result["books"]["allocates_here"]}, profile)
    check_nothing_lost(run, profile)


def test_handlers_that_jump_out_of_a_call(runs):
    """Of an mmap, which leaves no lock of glibc's held. Nothing of libprof's is held either: what comes later is
    recorded, each."""
    run = runs["jumps"]
    result, profile = run.result, heap.read(run.folder / "heap.prof")
    assert result["off_stack"] == 0 and result["jumps"] > 10000, result
    check_exact({"maps_late": result["books"]["maps_late"]}, profile)
    check_code(profile)
    assert run.log == [] and not profile.comment("memory was full"), (run.stderr, profile.comments)


def test_null_is_freed(runs):
    """It is nobody's block."""
    run = runs["nulls"]
    profile = heap.read(run.folder / "heap.prof")
    books = {function: rows for function, rows in run.result["books"].items() if next(iter(rows.values()))[0]}
    assert len(books) == 3
    check_exact(books, profile)
    check_nothing_lost(run, profile)


class Mapped(heap.Profile):
    """A profile with samples that stand for themselves at any rate, which heap.read does not know of."""

    def __init__(self, path):
        super().__init__(pprof.document(path))
        for sample in self.samples:
            pprof.check_stack(sample)
            assert 0 <= sample.inuse_objects <= sample.alloc_objects and sample.has_label, sample.functions


@pytest.mark.parametrize("name", MAPPED)
def test_mappings_are_exact(runs, name):
    """At any rate: grown, shrunk, unmapped from their beginning on, mapped over; not files or reservations."""
    run = runs[name]
    result, profile = run.result, Mapped(run.folder / "heap.prof")
    assert result["wrong"] == 0 and profile.rate == (MAPPED[name][0] or heap.DEFAULT_RATE)
    books = {function: {size: row for size, row in rows.items() if row[0]}
             for function, rows in result["books"].items()}
    assert len(books) == 12 and not books["maps_no_memory"]
    assert any(row[1] for rows in books.values() for row in rows.values()) == (not MAPPED[name][2])
    check_exact(books, profile)
    check_nothing_lost(run, profile)


@pytest.mark.parametrize("name,function", [
    ("oddly", "maps_for_back"), ("oddly", "maps_for_middle"), ("oddly_unmapped", "maps_for_middle"),
    ("oddly_unmapped", "maps_for_back")])
def test_mappings_that_lose_another_part(runs, name, function):
    """Their back, or their middle: they count as they were made as long as their beginning is there, and no longer."""
    run = runs[name]
    rows = run.result["oddly"][function]
    assert [live for _, live in rows.values()] == [0 if ODDLY[name] else 500]
    check_exact({function: rows}, Mapped(run.folder / "heap.prof"))


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """heap_throws's allocator, as a library."""
    library = tmp_path_factory.mktemp("stand_in") / "libstand_in.so"
    command = ["g++", "-O2", "-DSTAND_IN", "-shared", "-fPIC", "-o", library, SOURCES / "heap_throws.cc"]
    subprocess.run([str(word) for word in command], check=True)
    return library


@pytest.mark.parametrize("name", THROWS)
def test_calls_that_throw(runner, stand_in, name):
    """What they asked for is not on the thread's account: sampling goes on as if they had not been made."""
    run = runner.run(["heap_throws", 10, 100], heap.settings(THROWS[name], LD_PRELOAD=f"{LIBRARY}:{stand_in}"))
    result, profile = run.result, heap.read(run.folder / "heap.prof")
    assert result["thrown"] == 20
    if profile.rate == 1:
        check_exact(result["books"], profile)
    else:
        check_sampled(result["books"], profile)
    check_nothing_lost(run, profile)


def test_many_threads_lose_nothing(runs):
    """200 that allocate at one time."""
    run = runs["many_threads"]
    profile = heap.read(run.folder / "heap.prof")
    check_exact({"thread_allocates": run.result["books"]["thread_allocates"]}, profile)
    check_nothing_lost(run, profile)


def test_workers_draw_their_own_samples(runs):
    """Each of 20 has 200 blocks of 50000 bytes, of which 18 or so are sampled, 4 more or less: no number of them is met
    with odds above 0.1. That all 20 workers have one of only two numbers has odds of 201 * 200 / 2 * 0.2^20 at most:
    2e-10. And each profile is as near to the truth as it must be."""
    run = runs["children"]
    books = {"child_allocates": run.result["books"]["child_allocates"]}
    profiles = heap.children(run)
    assert len(profiles) == CHILDREN and run.log == [], run.stderr
    for profile in profiles.values():
        check_sampled(books, profile)
    assert len({profile.of_leaf("child_allocates") for profile in profiles.values()}) > 2


def wait_for(condition):
    """For what comes soon, or never."""
    for _ in range(3000):
        if condition():
            return True
        time.sleep(.01)
    return False


def reporters_of_nobody():
    """The pids of the processes of libprof's that run, of a program that gave up its rights; ended ones are not among
    them. By the status: what has ended keeps its name and its user until it is reaped, but no command line."""
    pids = []
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        except OSError:
            continue  # reaped amid the look
        if fields["Name"] == REPORTER and fields["Uid"].split()[0] == NOBODY and fields["State"][0] not in "ZX":
            pids.append(status.parent.name)
    return pids


def signals_twice(process, folder):
    """Each once the one before has been answered, and its process is gone (it says its line before it ends); then the
    program is to end."""
    assert wait_for(lambda: b"ready" in (folder / "stdout").read_bytes())
    for number in (1, 2):
        process.send_signal(signal.SIGUSR2)
        wait_for(lambda: (folder / "stderr").read_bytes().count(b"libprof:") >= number)
        assert wait_for(lambda: not reporters_of_nobody())
    process.send_signal(signal.SIGUSR1)


@pytest.mark.parametrize("name", GIVES_UP)
def test_a_program_that_gave_up_its_rights(runner, name):
    """It may not be read by its own snapshot's process: that is said, once for each signal, and nothing waits for it.
    At the end there is a profile."""
    if os.geteuid() != 0:
        pytest.skip("only root has rights to give up")
    with tempfile.TemporaryDirectory(dir="/tmp") as shared:
        os.chmod(shared, 0o1777)
        settings = heap.settings(1, PROF_HEAP=f"{shared}/heap.prof")
        run = runner.run(["heap_odd_calls", "gives_up_rights", GIVES_UP[name]], settings, during=signals_twice)
        books = {"allocates_kept": run.result["books"]["allocates_kept"]}
        assert "still being written" not in run.stderr.decode(), run.stderr
        assert len(run.log) == 2 and all("gave up its rights" in line for line in run.log), run.stderr
        assert os.listdir(shared) == ["heap.prof"]
        check_exact(books, heap.read(f"{shared}/heap.prof"))
