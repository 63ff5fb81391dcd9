"""As many samples as there is CPU time, at every rate and by each clock.

Bounds. A thread's ticks are its CPU time over the period, to within one; the program's start and end, where libprof
does not sample yet or no more, are about 2 ms. The issue asks for 3 %; over 4 s the error should be below 0.3 % at
100 Hz.
"""

import pytest

CASES = [(hz, clock) for clock in ("timer", "perf") for hz in (100, 250, 1000)] + [(100, "user")]

RUNS = {f"{hz}-{clock}": (["steady", 3], {"PROF_CPU_HZ": str(hz), "PROF_CPU_CLOCK": clock}) for hz, clock in CASES}
RUNS["10000-timer"] = (["steady", 1], {"PROF_CPU_HZ": "10000", "PROF_CPU_CLOCK": "timer"})
RUNS["1-timer"] = (["steady", 5.2], {"PROF_CPU_HZ": "1", "PROF_CPU_CLOCK": "timer"})
RUNS["1000-auto"] = (["steady", 1], {"PROF_CPU_HZ": "1000"})
RUNS["100-auto"] = (["steady", 1], {})


def check_total(run, hz):
    result, profile = run.result, run.profile()
    assert profile.period == 1_000_000_000 // hz
    expected = result["total"] * hz / 1e9
    assert abs(profile.total - expected) <= .03 * expected, f"{profile.total} of {expected}\n{profile.describe()}"
    assert profile.share("steady_work") > .98
    # What the profile says of itself agrees.
    assert profile.ns == profile.total * profile.period
    return profile


@pytest.mark.parametrize("hz,clock", CASES)
def test_total(runs, request, hz, clock):
    if clock == "perf":
        request.getfixturevalue("perf_clock")
    profile = check_total(runs[f"{hz}-{clock}"], hz)
    assert profile.comment(f"cpu clock: {clock}"), profile.comments


def test_highest_rate(runs):
    check_total(runs["10000-timer"], 10000)


def test_lowest_rate(runs):
    """One a second: 5.2 s have 5 or 6, as the first comes after a random part of a second."""
    run = runs["1-timer"]
    run.check_unharmed()
    assert run.profile().total in (5, 6)


def test_auto_takes_perf_above_the_ticks_of_the_kernel(runs, perf_clock):
    profile = check_total(runs["1000-auto"], 1000)
    assert profile.comment("cpu clock: perf"), profile.comments


def test_auto_takes_the_timer_below(runs):
    assert runs["100-auto"].profile().comment("cpu clock: timer")
