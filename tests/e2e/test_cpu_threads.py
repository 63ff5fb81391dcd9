"""Threads: those that live less than a period, every way to end, those that no library knows of."""

import pytest

RUNS = {
    "brief": (["brief_threads", 8000, 3], {"PROF_CPU_CLOCK": "timer"}, {"cores": 2}),
    "brief_perf": (["brief_threads", 3000, 3], {"PROF_CPU_CLOCK": "perf"}, {"cores": 2}),
    "ends": (["thread_ends", .5], {}, {"cores": 2}),
    "renames": (["renames", 60],),
    "renames_perf": (["renames", 30], {"PROF_CPU_CLOCK": "perf", "PROF_CPU_HZ": "1000"}),
    "main_exits": (["main_exits", .5],),
    "raw": (["raw_clone", 1], {}, {"cores": 2}),
    "raw_stays": (["raw_clone", .2, 1], {}, {"cores": 2}),
    "raw_signal": (["raw_clone", 1], {"PROF_CPU_SIGNAL": "USR1"}, {"cores": 2}),
}


def check_brief(run, points, by_tick=False):
    """by_tick: the kernel looks at the clock only at its tick. A thread is seen with the right probability if its life is
    anywhere between two ticks. One that is preempted at a tick has been seen for sure (1 for 0.75), and in two parts it may
    be seen in both and counts once (at least as the longer part does, 0.375 for 0.75). So half of the lives of such threads is
    allowed for: next to nothing where there is no other load."""
    result, profile = run.result, run.profile()
    expected, measured = result["lives"] / profile.period, profile.count("brief_life")
    preempted = 50 * result["preempted"] / result["lives"] if by_tick else 0
    assert abs(measured / expected - 1) * 100 < points + preempted, (
        f"{measured} of {expected}, {preempted} % for preempted ones\n{profile.describe()}")
    odd, even = profile.count("brief_odd"), profile.count("brief_even")
    true_share = result["brief_odd"] / (result["brief_odd"] + result["brief_even"])
    # 5 standard errors; as good as always, half of the points.
    error = (true_share * (1 - true_share) / (odd + even)) ** .5
    assert abs(odd / (odd + even) - true_share) * 100 < max(points / 2, 500 * error), profile.describe()
    # What is taken on the way out of a thread, if anything, is the lesser part: the stacks say what it did.
    assert odd + even > .5 * measured, profile.describe()
    # Nothing but these threads' work is worth mentioning, and nothing is counted twice.
    assert profile.total < (1.1 + preempted / 100) * result["total"] / profile.period


def test_8000_brief_threads(runs):
    """Each thread lives 3 ms and should be seen with probability 0.3: 2400 samples, standard deviation sqrt(8000 x
    0.3 x 0.7) = 41, 1.7 %. 9 % are 5.3 of it: 1e-7. The odd ones' share, a third, has 1 point; 5 are 5 of it:
    6e-7."""
    check_brief(runs["brief"], 9, by_tick=True)


def test_brief_threads_perf(runs, perf_clock):
    """3000 threads: 900 samples, standard deviation 25, 2.8 %; the share has 1.6 points. 15 % and 7.5 points: 5.4
    and 4.7."""
    check_brief(runs["brief_perf"], 15)


def test_every_way_to_end(runs):
    run = runs["ends"]
    result, profile = run.result, run.profile()
    assert result == {"returned": 11, "exited": 22, "cancelled": 1, "cleaned": 1, "joined_destroyed": 1}
    for thread, function in (("returns", "returning_work"), ("exits", "exiting_work"), ("detached", "detached_work")):
        # Half a second each: 50 ticks, one more or less at either end.
        assert abs(profile.count(function, thread=thread) - 50) <= 3, profile.describe()
        assert profile.count(function) == profile.count(function, thread=thread)
    assert profile.count("cancelled_work", thread="is_cancelled") > 0


@pytest.mark.parametrize("name", ["renames", "renames_perf"])
def test_a_sample_has_the_name_that_its_thread_has_then(name, runs, request):
    """Every tick in a function is under the function's name, though names are asked for every 100 ms only."""
    if name == "renames_perf":
        request.getfixturevalue("perf_clock")
    profile = runs[name].profile()
    for role in ("cook", "waiter", "guest"):
        assert profile.count(f"work_as_{role}") > 50, profile.describe()
        assert profile.count(f"work_as_{role}", thread=role) == profile.count(f"work_as_{role}"), profile.describe()


def test_main_thread_leaves_first(runs):
    run = runs["main_exits"]
    result, profile = run.result, run.profile()
    assert abs(profile.count("survivor_work") - result["survivor_work"] / profile.period) <= 3, profile.describe()


def test_raw_thread_is_left_in_peace(runs):
    run = runs["raw"]
    result, profile = run.result, run.profile()
    assert abs(profile.count("main_work") - result["main_work"] / profile.period) <= 3, profile.describe()


def test_raw_thread_that_is_there_at_the_end_is_mentioned(runs):
    profile = runs["raw_stays"].profile()
    assert profile.comment("threads that were not sampled (made past libprof): 1"), profile.comments
    assert not runs["raw"].profile().comment("threads that were not sampled")


def test_raw_thread_is_found_when_sampling_is_switched_on(runs):
    """The signal comes after half of the work of both threads; the raw one is then found by a scan. How much of its
    second half is left depends on the machine's other load: at least a tick, at most all of it."""
    run = runs["raw_signal"]
    run.check_unharmed()
    profile = run.profile("cpu.1.prof")
    assert profile.count("main_work") >= 40, profile.describe()
    assert 1 <= profile.count("untracked_work") <= 100, profile.describe()
