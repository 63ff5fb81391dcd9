"""When sampling happens: after a delay, for a while, between signals. No time is asserted, only what was seen in which
phase; a profile's file is waited for by the program itself while it runs."""

import pytest

RUNS = {
    "delay": (["phases", .5, 4], {"PROF_CPU_DELAY": "2"}),
    "duration": (["phases", .3, 30, "{folder}/cpu.prof"], {"PROF_CPU_DURATION": "1"}),
    "both": (["phases", .2, 30, "{folder}/cpu.prof"], {"PROF_CPU_DELAY": "1", "PROF_CPU_DURATION": ".5"}),
    "longer_than_the_program": (["steady", .3], {"PROF_CPU_DURATION": "1000"}),
    "asleep": (["works_then_sleeps", .2, 1, "return"], {"PROF_CPU_DURATION": ".5"}),
    "asleep_then_exec": (["works_then_sleeps", .2, 1, "exec"], {"PROF_CPU_DURATION": ".5"}),
    "signal": (["switches", "{folder}"], {"PROF_CPU_SIGNAL": "USR1"}),
    "signal_by_number": (["switches", "{folder}"], {"PROF_CPU_SIGNAL": "10"}),
    "signal_open": (["switches", "{folder}", "open"], {"PROF_CPU_SIGNAL": "SIGUSR1"}),
    "signal_exec": (["switches", "{folder}", "exec"], {"PROF_CPU_SIGNAL": "USR1"}),
    "signal_never": (["steady", .3], {"PROF_CPU_SIGNAL": "USR1"}),
    "signal_taken": (["handler_blocks_all"], {"PROF_CPU_SIGNAL": "USR1"}),
    "signal_perf": (["switches", "{folder}"], {"PROF_CPU_SIGNAL": "USR1", "PROF_CPU_HZ": "1000"}),
}


def test_delay(runs):
    run = runs["delay"]
    result, profile = run.result, run.profile()
    if result["early_over"] < 2e9:  # or else the machine was so busy that the phase went on into the sampling
        assert profile.count("early_work") == 0, profile.describe()
    assert profile.count("middle_work") > 0 and abs(profile.count("late_work") - 50) <= 3, profile.describe()


def test_duration(runs):
    run = runs["duration"]
    result, profile = run.result, run.profile()
    assert result["file_seen"] == 1, "the file did not appear while the program ran"
    # 30, unless the machine was so busy that sampling ended in the middle of the phase.
    assert profile.count("early_work") > (20 if result["early_over"] < 1e9 else 0), profile.describe()
    assert profile.count("late_work") == 0, profile.describe()
    # Single-threaded: no more CPU time than wall time, and it says how long.
    seconds = profile.document["duration_nanos"] / 1e9
    assert seconds >= 1 and profile.total <= 100 * seconds + 2, (seconds, profile.describe())


def test_delay_and_duration(runs):
    run = runs["both"]
    result, profile = run.result, run.profile()
    assert result["file_seen"] == 1
    assert profile.count("middle_work") > 0 and profile.count("late_work") == 0, profile.describe()
    if result["early_over"] < 1e9:
        assert profile.count("early_work") == 0, profile.describe()


def test_duration_that_is_never_reached(runs):
    assert runs["longer_than_the_program"].result
    assert abs(runs["longer_than_the_program"].profile().count("steady_work") - 30) <= 3


@pytest.mark.parametrize("name, file", [("asleep", "cpu.prof"), ("asleep_then_exec", "cpu.exec1.prof")])
def test_duration_that_ends_in_a_sleep(runs, name, file):
    """The file is written later, and its duration is what was asked for."""
    assert runs[name].result == {}
    profile = runs[name].profile(file)
    assert profile.document["duration_nanos"] == 5e8 and profile.count("work_first") > 0, profile.describe()


def check_stretches(run, hz=100):
    ticks = .4 * hz
    for number, inside in ((1, "inside_one"), (2, "inside_two")):
        profile = run.profile(f"cpu.{number}.prof")
        assert abs(profile.count(inside) - ticks) <= 3 + ticks / 20, profile.describe()
        outside = {"outside_one", "inside_one", "outside_two", "inside_two", "outside_three"} - {inside}
        # The one tick that a timer owes when it is stopped may fall into what follows.
        assert sum(profile.count(name) for name in outside) <= 1 + hz / 250, profile.describe()


def test_signal(runs):
    run = runs["signal"]
    assert run.result["while_running"] == 1, "no file appeared while the program ran"
    check_stretches(run)
    assert run.files() == ["cpu.1.prof", "cpu.2.prof"]


def test_signal_by_number(runs):
    check_stretches(runs["signal_by_number"])


def test_signal_at_1000_hz(runs):
    check_stretches(runs["signal_perf"], 1000)


def test_signal_and_still_on_at_exit(runs):
    run = runs["signal_open"]
    assert run.result
    check_stretches(run)
    assert run.files() == ["cpu.1.prof", "cpu.2.prof", "cpu.3.prof"]
    last = run.profile("cpu.3.prof")
    assert abs(last.count("inside_last") - 40) <= 4, last.describe()


def test_signal_and_then_exec(runs):
    """Each stretch is there, and once, though the last has hardly been read when the program goes on as another."""
    run = runs["signal_exec"]
    assert run.returncode == 0
    check_stretches(run)
    assert run.files() == ["cpu.1.prof", "cpu.2.prof"]


def test_signal_that_never_comes(runs):
    """Off all the time: the program is unharmed, and what is written, if anything, has no samples."""
    run = runs["signal_never"]
    assert run.result
    for name in run.files():
        assert run.profile(name).total == 0


def test_signal_that_the_program_handles(runs):
    """It has it, and one line says so."""
    (line,) = runs["signal_taken"].log
    assert line.startswith("libprof: PROF_CPU_SIGNAL: the program handles signal 10 itself: "), line
    assert runs["signal_taken"].stdout.endswith(b" us\n")
