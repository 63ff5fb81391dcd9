"""PROF_WALL beside the books that a program keeps: where each thread's time went, whether it ran or waited, and in
what."""

import math
import os
import re
import signal
import time

import pytest

import pprof
from test_stacks import PATIENCE, SLEEPS, STATES, STEADY, Line, wait_for_line, wait_until

WALL_KINDS = ["samples/count", "wall/nanoseconds"]
SETTINGS = {"PROF_CPU": None, "PROF_WALL": "{folder}/wall.prof"}
# {rate: seconds}: what the standard errors come to is said in check_shares.
RATES = {100: 14, 1000: 8}
EVERYWHERE_SECONDS = 4

# Threads that come and go: how many, milliseconds of their lives and between; the rate.
BURSTS = [((1, 5, 0), 100), ((1, 5, 5), 100), ((3, 20, 20), 100), ((100, 50, 50), 100), ((50, 3, 20), 1000), ((20, 20, 100), 1000)]

# What a thread does in each of the functions of `waits_everywhere shares`, main's own one too.
STATE_OF = {
    "sleeps_long": SLEEPS, "sleeps_short": SLEEPS, "stays_away": SLEEPS, "holds_here": SLEEPS, "lets_go": SLEEPS,
    "sleeps_between": SLEEPS, "polls_here": ("poll", "ppoll"), "locks_here": ("mutex",),
    "waits_for_condition": ("condition",), "runs_here": ("running",), "runs_always": ("running",),
}
MAIN = "waits_everywher"

BAD = {
    "PROF_WALL": ["", "%q.prof", "wall.%"],
    "PROF_WALL_HZ": ["0", "-1", "10001", "abc", "1.5", "", " 100", "100 ", "1e2", "99999999999999999999", "+100",
                     "0x10"],
}
BAD_CASES = [(name, value) for name, values in BAD.items() for value in values]
GOOD_RATES = ["1", "10000"]
MANY = 1000
MANY_LINE = Line()
LINES = {name: Line() for name in ("everywhere", "alone")}


def waits_a_while(line):
    def during(process, folder):
        wait_for_line(process, folder)
        time.sleep(EVERYWHERE_SECONDS)
        line.write()
    return during


def takes_two(process, folder):
    """A `during`: snapshots of a program that runs for long enough after."""
    wait_for_line(process, folder)
    for number in (1, 2):
        time.sleep(2)
        os.kill(process.pid, signal.SIGUSR2)
        wait_until((folder / f"wall.{number}.prof").exists, process, f"snapshot {number}")


def rate(hz):
    return SETTINGS | {"PROF_WALL_HZ": str(hz)}


def RUNS():
    runs = {hz: (["waits_everywhere", "shares", lasts], rate(hz), {"cores": 2}) for hz, lasts in RATES.items()}
    runs["default rate"] = (["waits_everywhere", "shares", 2], SETTINGS, {"cores": 2})
    runs["snapshots"] = (["waits_everywhere", "shares", 8], rate(500), {"cores": 2, "during": takes_two})
    for name, line in LINES.items():
        runs[name] = (["waits_everywhere"], rate(1000), {"cores": 2, "stdin": line.path, "during": waits_a_while(line),
                                                         "timeout": PATIENCE, "preload": name != "alone"})
    runs["many"] = (["many_threads", MANY], rate(100), {"cores": 2, "stdin": MANY_LINE.path, "during": waits_a_while(MANY_LINE),
                                                        "timeout": PATIENCE})
    for arguments, hz in BURSTS:
        runs[f"bursts {arguments} {hz}"] = (["waits_in_bursts", *arguments, 5], rate(hz), {"cores": 2})
    for name, value in BAD_CASES:
        runs[f"bad {name} {value}"] = (STEADY, {"PROF_CPU": None} | (SETTINGS if name != "PROF_WALL" else {})
                                       | {name: value})
    for value in GOOD_RATES:
        runs[f"good {value}"] = (STEADY, rate(value))
    return runs


class Sample(pprof.Stack):
    def __init__(self, document, raw):
        super().__init__(document, raw)
        self.count, self.wall = raw["values"]
        assert set(raw["labels"]) == {"thread", "state"} and set(raw.get("num_labels", {})) <= {"tid"}, raw
        (self.thread,), (self.state,) = raw["labels"]["thread"], raw["labels"]["state"]


class Profile:
    def __init__(self, document):
        self.document = document
        self.comments = document["comments"] or []
        self.seconds = document["duration_nanos"] / 1e9
        self.samples = [Sample(document, raw) for raw in document["samples"] or []]
        self.count, self.wall = document["sums"]

    def of(self, *names, thread=None, states=None):
        """(count, wall) of the stacks that have these functions, leaf first."""
        chosen = [s for s in self.samples
                  if s.has(*names) and thread in (None, s.thread) and (states is None or s.state in states)]
        return sum(s.count for s in chosen), sum(s.wall for s in chosen)

    @property
    def threads(self):
        return {sample.thread for sample in self.samples}

    def describe(self):
        """For a failed assertion: the heaviest stacks."""
        heaviest = sorted(self.samples, key=lambda s: -s.wall)[:30]
        lines = [f"{s.count} {s.wall} {s.thread} [{s.state}]: {' < '.join(s.functions[:8])}" for s in heaviest]
        return "\n".join([f"{self.count} {self.wall} in {self.seconds} s"] + lines + self.comments)


def read(path, hz):
    """The wall profile of a file, after every check that holds for all of ours."""
    profile = Profile(pprof.document(path))
    document = profile.document
    assert document["sample_types"] == WALL_KINDS and document["default_type"] == "wall"
    assert document["period_type"] == "wall/nanoseconds" and document["period"] == 1000000000 // hz
    assert profile.seconds > 0
    for sample in profile.samples:
        pprof.check_stack(sample)
        assert sample.count > 0 and sample.wall > 0, profile.describe()
        assert (sample.state == "not reached") == (sample.functions == ["[no stack]"]), sample.functions
    return profile


def check_sums(profile, elapsed, threads, hz, under_way=0):
    """Each thread has all of the time in it, and so have all together. They have their turns one after the other: a
    turn more or less at either end, and 5 % for when threads start and end, which is while others do. A snapshot may
    lack the seconds `under_way` of a thread that was looked at and had no processor yet to answer; or any may, where it is who looks that
    has none (others_delay)."""
    turn = 1e9 * elapsed / max(1, profile.count) * len(threads)
    assert abs(profile.seconds - elapsed) <= .05 * elapsed, (profile.seconds, elapsed)
    assert profile.threads == set(threads), profile.describe()
    for thread in threads:
        _, wall = profile.of(thread=thread)
        assert abs(wall - elapsed * 1e9) <= .05 * elapsed * 1e9 + 2 * turn + under_way * 1e9, (
            thread, wall, elapsed, profile.describe())
    truth = len(threads) * elapsed * 1e9
    assert abs(profile.wall - truth) <= .05 * truth + 2 * turn + 2 * under_way * 1e9, (truth, profile.describe())
    # No more than were asked for; fewer, where the machine has no time for them. What there is stands for all.
    assert .5 * hz * (elapsed - under_way) <= profile.count <= 1.02 * hz * elapsed + len(threads), profile.describe()


def missing(profile, elapsed, hz):
    """The part of the looks that the machine had no time for."""
    return max(0, 1 - profile.count / (hz * elapsed))


def check_shares(profile, result, hz):
    """A thread has its turn every D seconds. Of a slice of length d, that is d / D samples in the mean, rounded up or
    down by chance (slices have random lengths, so their beginnings are in step with nothing): with f the fraction that
    is rounded, the variance of the time that they stand for is f (1 - f) D^2. It is at most D^2 / 4; and at most d D,
    as f (1 - f) <= f <= d / D. Of N slices that last T in all: the lesser of N D^2 / 4 and T D. At 1000 Hz with 7
    threads D is 7 ms, the standard error of 400 slices is 0.9 points of 8 s; at 100 Hz, of 10 s in 14 s, 6 points. 5
    of them are allowed (6e-7 each), and 3 points more for what is no chance: a processor that is not free just when a
    thread is to be looked at. And for the part of the time in which who
    looks waited for a processor himself, as the kernel has it: nothing is known of that, and the looks that were due are made good
    after it, or are missing. It is next to nothing where no other program wants the processors."""
    elapsed = result["elapsed"]
    no_chance = .03 + max(result["others_delay"] / elapsed, missing(profile, elapsed / 1e9, hz))
    for thread, books in result["threads"].items():
        samples, wall = profile.of(thread=thread)
        turn = elapsed / samples
        for function, (ns, slices) in books.items():
            error = math.sqrt(min(slices * turn ** 2 / 4, ns * turn)) / elapsed
            _, measured = profile.of(function, thread=thread)
            assert abs(measured / wall - ns / elapsed) <= 5 * error + no_chance, (
                thread, function, measured / wall, ns / elapsed, error, profile.describe())


def check_states(profile, function, thread, states):
    """What is waking, or on its way into the call, runs, and so does what would if it had a processor. It is the lesser
    part; nothing is said to be in another call."""
    samples, _ = profile.of(function, thread=thread)
    right, _ = profile.of(function, thread=thread, states=states)
    allowed, _ = profile.of(function, thread=thread, states=(*states, "running"))
    assert samples >= 10 and allowed == samples, (function, profile.describe())
    assert right >= .85 * samples - 3, (function, right, samples, profile.describe())


def undisturbed(runs, runner, hz):
    """Looks that a machine that is stopped from outside had no time for come together when it goes on: no chance of the draw any more,
    which the shares' bounds are made of. Such a run is made again, once."""
    run = runs[hz]
    if read(run.folder / "wall.prof", hz).count >= .9 * hz * run.result["elapsed"] / 1e9:
        return run
    command, settings, options = RUNS()[hz]
    return runner.run(command, settings, **options)


@pytest.mark.parametrize("hz", RATES)
def test_where_the_time_goes(runs, runner, hz):
    run = undisturbed(runs, runner, hz)
    result, profile = run.result, read(run.folder / "wall.prof", hz)
    assert run.log == [], run.stderr
    check_shares(profile, result, hz)
    # Nobody is in a function of another thread's.
    for thread, books in result["threads"].items():
        for function in books:
            assert profile.of(function) == profile.of(function, thread=thread), profile.describe()


@pytest.mark.parametrize("hz", RATES)
def test_what_it_does_there(runs, hz):
    run = runs[hz]
    profile = read(run.folder / "wall.prof", hz)
    for thread, books in run.result["threads"].items():
        for function, (ns, _) in books.items():
            # Of the others there are too few samples at 100 Hz.
            if ns * hz / 1e9 / 7 > 40:
                check_states(profile, function, thread, STATE_OF[function])
    check_states(profile, "joins_here", MAIN, ("join",))


@pytest.mark.parametrize("hz", RATES)
def test_all_of_the_time(runs, hz):
    run = runs[hz]
    result = run.result
    check_sums(read(run.folder / "wall.prof", hz), result["elapsed"] / 1e9, [*result["threads"], MAIN], hz,
               under_way=result["others_delay"] / 1e9)


def test_stacks_are_complete(runs):
    """All is compiled with -O2 -fomit-frame-pointer: what is of the program ends where its thread began."""
    profile = read(runs[1000].folder / "wall.prof", 1000)
    for sample in profile.samples:
        if sample.thread == MAIN or sample.state == "not reached" or not sample.has("works"):
            continue
        assert not sample.truncated, sample.functions
    not_complete = sum(s.count for s in profile.samples if s.truncated)
    assert not_complete <= .01 * profile.count, profile.describe()


def test_every_kind_of_call(runs):
    """Threads that do one thing each, at 1000 Hz: their states and functions are these and no other; nobody's call is
    ended by it. A thread that only runs may have to wait for a processor for longer than anybody waits for it."""
    run = runs["everywhere"]
    result, profile = run.result, read(run.folder / "wall.prof", 1000)
    assert (result["early"], result["main_interrupted"]) == (0, 0) and run.log == [], run.stderr
    alone = runs["alone"].result
    assert set(alone["threads"]) == set(result["threads"]) and alone["early"] == 0
    for name in result["threads"]:
        # While they start and end, threads do other things as well. One look may stand for many turns.
        count, wall = profile.of(thread=name)
        function = f"waits_in_{name}" if name != "blocked_busy" else "[no stack]"
        _, there = profile.of(function, thread=name, states=STATES[name])
        least = .5 if name in ("busy", "spin_lock") else .8
        assert count >= 5 and there >= least * wall, (name, profile.describe())
    _, wall = profile.of(thread=MAIN)
    assert profile.of("waits_in_main", thread=MAIN, states=("read",))[1] >= .6 * wall, profile.describe()


def test_more_threads_than_looks(runs):
    """Of 1000 threads that begin one after the other, and are looked at for half a turn: their number stands for all of their
    time, and the profile says how seldom each was looked at."""
    run = runs["many"]
    run.check_unharmed()
    profile = read(run.folder / "wall.prof", 100)
    # Half a second is for when they begin and end.
    assert .8 * MANY * (profile.seconds - .5) <= profile.wall / 1e9 <= 1.05 * (MANY + 1) * profile.seconds, (
        profile.seconds, profile.wall)
    (comment,) = [comment for comment in profile.comments if "was looked at every" in comment]
    # They are listed at the beginning of a turn, when the last may not have begun.
    assert re.match(f"each thread was looked at every 10 s, when there were ({MANY}|{MANY + 1}) ", comment), comment
    assert comment.endswith("the profile ends before all were"), comment
    assert not [comment for comment in read(runs[100].folder / "wall.prof", 100).comments if "looked at" in comment]


@pytest.mark.parametrize("arguments,hz", BURSTS)
def test_threads_that_come_and_go(runs, arguments, hz):
    """A look stands for a period of all threads that are there, P n, and is at any one of them: what it stands for of one thread has the variance
    P^2 n^2 (1/n) (1 - 1/n), less than P^2 n, and of all the others no more. Of a main thread that waits for its n - 1 others for T of its time
    T / P looks: a standard error of sqrt(T P n). Of 3 s at 100 Hz with 101 threads that is 1.7 s, of which at 1000 Hz with 51 0.4 s. 5 of them are
    allowed, and 5 % for what is no chance: threads that are made, and not there yet, or gone already."""
    run = runs[f"bursts {arguments} {hz}"]
    books = run.result
    profile = read(run.folder / "wall.prof", hz)
    assert run.log == [], run.stderr
    period, threads = 1e9 / hz, arguments[0] + 1
    error = math.sqrt(books["waits_for_all"] * period * threads) + 2 * period * threads
    # A thread that wakes, and has ended before it could answer, is one that was not reached.
    _, not_reached = profile.of(states=("not reached",))
    for function in ("waits_for_all", "sleeps_briefly"):
        _, wall = profile.of(function)
        allowed = 5 * error + .05 * books[function]
        assert books[function] - not_reached - allowed <= wall <= books[function] + allowed, (
            function, wall, books, error, profile.describe())
    assert not_reached <= .2 * profile.wall, profile.describe()
    _, main = profile.of("main")
    assert abs(main - books["elapsed"]) <= 5 * error + .05 * books["elapsed"], (main, books, error, profile.describe())


def test_default_rate(runs):
    run = runs["default rate"]
    profile = read(run.folder / "wall.prof", 100)
    assert set(run.result["threads"]) | {MAIN} == profile.threads, profile.describe()


def test_snapshots(runs):
    """Each has what there is up to then, of a process that runs on."""
    run = runs["snapshots"]
    elapsed = run.result["elapsed"] / 1e9
    names = ["wall.1.prof", "wall.2.prof", "wall.prof"]
    assert run.files() == names and run.log == [], run.stderr
    profiles = [read(run.folder / name, 500) for name in names]
    for earlier, later in zip(profiles, profiles[1:]):
        assert 1 <= earlier.seconds < later.seconds and 0 < earlier.wall < later.wall, later.describe()
        assert earlier.count < later.count
    for profile in profiles:
        under_way = max(.25, missing(profile, profile.seconds, 500) * profile.seconds, run.result["others_delay"] / 1e9)
        check_sums(profile, profile.seconds, [*run.result["threads"], MAIN], 500, under_way=under_way)
    assert abs(profiles[-1].seconds - elapsed) <= .05 * elapsed


def test_go_tool_pprof(runs):
    """go tool pprof -top shows the wall time unless told otherwise, and has the same sums."""
    run = runs[1000]
    profile = read(run.folder / "wall.prof", 1000)
    rows, total = pprof.top(run.folder / "wall.prof")
    assert total == profile.wall, profile.describe()
    for function in ("sleeps_long", "locks_here", "runs_always"):
        assert rows[function][1] == profile.of(function)[1], (function, rows[function])


def check_program(run):
    assert run.returncode == 6 and not run.stuck, run.stderr
    assert run.stdout.count(b"\n") == 1 and run.stdout.startswith(b'{"steady_work"'), run.stdout


@pytest.mark.parametrize("name,value", BAD_CASES)
def test_unusable(runs, name, value):
    run = runs[f"bad {name} {value}"]
    check_program(run)
    assert len(run.log) == 1 and run.stderr.count(b"\n") == 1, run.stderr
    (line,) = run.log
    assert name in line and f"'{value}'" in line and "accept" in line, line
    assert run.files() == []


@pytest.mark.parametrize("value", GOOD_RATES)
def test_usable(runs, value):
    run = runs[f"good {value}"]
    check_program(run)
    assert run.stderr == b"" and run.files() == ["wall.prof"]
    read(run.folder / "wall.prof", int(value))
