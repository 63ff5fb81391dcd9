"""CPU time is charged to the functions and threads that used it.

Bounds. A tick comes every T = 10 ms of a thread's CPU time, and is seen at the kernel's next tick, up to 4 ms later
(8 on a busy machine). A function that runs in n slices, each longer than T, is charged a number of ticks whose
error is the sum of 2n boundary errors, uniform over a period and independent (slices are of random length):
variance 1/12 + (8/10)^2/12 = 0.137 each. Five seconds: alpha has about 25 slices, so a standard deviation of
sqrt(50 x 0.137) = 2.6 of 500 ticks: 0.52 points, and 3 points are 5.8 of it: 1e-8. Three seconds a thread: 15
slices, 2.0 of 300: 0.68 points; 3.3 points are 4.9 of it: 1e-6.

A tick is seen only while its thread has a processor. Where threads have less than three quarters of the processors that
they ask for, it may come twice as late again: the variance is 0.3, the standard deviation 1.5 times as large.
"""

import subprocess

import pytest

import conftest
import pprof

SOURCE = pprof.ROOT / "tests" / "programs" / "split.cc"
VARIANTS = {
    "O0": ["g++", "-O0"],
    "O3": ["g++", "-O3", "-fomit-frame-pointer", "-march=x86-64-v2"],
    "Os": ["g++", "-Os", "-fomit-frame-pointer"],
    "frame_pointers": ["g++", "-O2", "-fno-omit-frame-pointer"],
    "no_pie": ["g++", "-O2", "-no-pie"],
    "stripped": ["g++", "-O2", "-s", "-rdynamic"],
    "no_async_tables": ["g++", "-O2", "-fno-asynchronous-unwind-tables"],
    "clang": ["clang++", "-O2"],
    "clang_lld_relr": ["clang++", "-O2", "-fno-plt", "-Wl,-z,now"],
}

RUNS = {
    "one": (["split", 1, 5],),
    "four": (["split", 4, 3], {}, {"cores": 2}),
    "two_kinds": (["two_threads", 1.5], {}, {"cores": 2}),
}


def truth_of(result):
    spent = {name: sum(thread[name] for thread in result["threads"]) for name in ("alpha", "beta", "gamma_")}
    return {name: ns / sum(spent.values()) for name, ns in spent.items()}


def lateness(profile, result):
    """1, or 1.5 where the threads had to wait for processors."""
    threads = result["threads"]
    least = sum(sum(spent.values()) for spent in threads) / min(len(threads), conftest.CORES)
    return 1 if .75 * profile.document["duration_nanos"] <= least else 1.5


def check_split(profile, result, points=3.0):
    points *= lateness(profile, result)
    for name, true_share in truth_of(result).items():
        assert abs(profile.share(name) - true_share) * 100 < points, f"{name}: true {true_share}\n{profile.describe()}"


def test_one_thread(runs):
    run = runs["one"]
    check_split(run.profile(), run.result)


def test_one_thread_stacks_are_whole(runs):
    run = runs["one"]
    run.check_unharmed()
    profile = run.profile()
    whole = profile.count("alpha", "run_alpha", "run_slices", "main", "_start")
    whole += profile.count("beta", "run_others", "run_slices", "main", "_start")
    whole += profile.count("gamma_", "run_others", "run_slices", "main", "_start")
    # All but what falls between the functions, which is less than a thousandth of the time.
    assert whole >= profile.total - 3, profile.describe()
    assert profile.threads == {"split"}
    # The burners spend all but the clock's reading in themselves.
    assert sum(s.count for s in profile.samples if s.leaf in ("alpha", "beta", "gamma_")) > .95 * profile.total


def test_one_thread_by_pprof(runs):
    """The same numbers by the client that people use."""
    rows, total = pprof.top(runs["one"].folder / "cpu.prof")
    for name, true_share in truth_of(runs["one"].result).items():
        assert abs(rows[name][1] / total - true_share) * 100 < 3


def test_four_threads(runs):
    run = runs["four"]
    check_split(run.profile(), run.result)


def test_four_threads_each(runs):
    run = runs["four"]
    result, profile = run.result, run.profile()
    points = 3.3 * lateness(profile, result)
    for number, spent in enumerate(result["threads"]):
        thread = f"worker-{number}"
        total = profile.count(thread=thread)
        # A thread's ticks are its CPU time over the period, to within one at each end, and what happens around the
        # slices.
        assert abs(total - sum(spent.values()) / profile.period) <= 4, profile.describe()
        for name, ns in spent.items():
            assert abs(profile.count(name, thread=thread) / total - ns / sum(spent.values())) * 100 < points


def test_threads_that_do_different_work(runs):
    run = runs["two_kinds"]
    result, profile = run.result, run.profile()
    # One slice a thread: only its two ends can be wrong.
    for thread, function in (("painter", "paint"), ("baker", "bake")):
        assert abs(profile.count(function, thread=thread) - result[function] / profile.period) <= 3, profile.describe()
        assert profile.count(function) == profile.count(function, thread=thread)


@pytest.fixture(scope="module")
def variants(runner, tmp_path_factory):
    folder = tmp_path_factory.mktemp("variants")
    started = {}
    for name, (compiler, *flags) in VARIANTS.items():
        try:
            subprocess.run([compiler, "-std=c++20", "-pthread", *flags, SOURCE, "-o", folder / name], check=True)
        except FileNotFoundError:
            continue
        started[name] = runner.start([folder / name, 1, 1])
    return started


@pytest.mark.parametrize("name", VARIANTS)
def test_however_it_was_compiled(variants, name):
    """Shorter runs: each function once a stack, under main; the split itself only roughly (5 slices of alpha: a
    standard deviation of 1.2 of 100 ticks, so 8 points are 6.8 of it)."""
    if name not in variants:
        pytest.skip(f"{VARIANTS[name][0]} is not installed")
    run = variants[name].result()
    result, profile = run.result, run.profile()
    check_split(profile, result, 8)
    # Without a symbol for static functions main is still there: -rdynamic exports it.
    assert profile.count("run_slices", "main") >= .98 * profile.total, profile.describe()
