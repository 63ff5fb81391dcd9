"""Stacks and wall profiles end no call of the program, and make none last longer or shorter: threads that work and wait
in turn, for very short and for long, and count it."""

import os
import signal
import statistics
import time

import pytest

import pprof
from test_stacks import (HURRY_PERIOD, PATIENCE, Line, check_log_of_a_hurry, handles_signal, last_of, wait_for_line,
                         wait_until)

SECONDS = 4
STACKS = {"PROF_CPU": None, "PROF_STACKS": "{folder}/stacks.prof"}
WALL = {"PROF_CPU": None, "PROF_WALL": "{folder}/wall.prof", "PROF_WALL_HZ": "1000"}
PROFILED = {"stacks": STACKS, "wall": WALL, "both": STACKS | WALL}
LINES = {name: Line() for name in ("stacks", "wall", "both", "alone", "signals")}

# Calls that go on after a handler that says so (SA_RESTART); a signal ends all the others.
RESTARTED = {"read", "recv", "accept", "sem_wait"}
# The kernel counts these in its ticks, of which the first has begun before: 10 ms at most.
COARSE = {"recv_timeout", "semtimedop"}
TICK_NS = 10_000_000
LENGTHS = ("short", "long")


def counts(line, signals):
    """A `during`: signals 100 times a second, while the program measures."""
    def during(process, folder):
        wait_for_line(process, folder)
        output = folder / "stdout"
        while b"measured" not in output.read_bytes():
            assert process.poll() is None, "ended early"
            if signals:
                assert handles_signal(process), "no snapshot can be asked for"
                os.kill(process.pid, signal.SIGUSR2)
            time.sleep(HURRY_PERIOD)
        if signals:
            wait_until(lambda: last_of(folder) > 0, process, "a snapshot")
        line.write()
    return during


def RUNS():
    runs = {}
    for name, line in LINES.items():
        command = ["counts_eintr", SECONDS] + ([1] if name == "signals" else [])
        settings = PROFILED.get(name, {})
        runs[name] = (command, settings, {"cores": 2, "stdin": line.path, "preload": bool(settings),
                                          "during": counts(line, "PROF_STACKS" in settings), "timeout": PATIENCE})
    runs["calls"] = (["wait_conformance"], WALL)
    runs["calls alone"] = (["wait_conformance"], {}, {"preload": False})
    return runs


def calls_of(result):
    """{(call, length): its numbers}, of those that the kernel lets us make."""
    found = {(call, length): numbers for call, both in result["calls"].items() for length, numbers in both.items()}
    return {key: numbers for key, numbers in found.items() if key[0] != "io_uring_enter" or result["ring"]}


def check_profiled(run, name):
    """That there was somebody who looked: else the rest would say nothing."""
    check_log_of_a_hurry(run)
    if "PROF_STACKS" in PROFILED[name]:
        assert last_of(run.folder) >= 1, run.files()
    if "PROF_WALL" not in PROFILED[name]:
        return
    document = pprof.document(run.folder / "wall.prof")
    states = {raw["labels"]["state"][0] for raw in document["samples"]}
    assert document["sums"][0] >= .5 * 1000 * SECONDS, document["sums"]
    assert {"running", "poll", "epoll_wait", "semaphore", "read"} <= states, states


@pytest.mark.parametrize("name", PROFILED)
def test_no_call_is_ended(runs, name):
    """None, in a hundred thousand or so: what can be interrupted once in a while is."""
    run = runs[name]
    result = run.result
    check_profiled(run, name)
    for key, numbers in calls_of(result).items():
        assert numbers["waits"] >= 10, (key, numbers)
        assert (numbers["interrupted"], numbers["failed"]) == (0, 0), (key, numbers)
    assert result["partners_interrupted"] == 0


@pytest.mark.parametrize("name", ["alone", *PROFILED])
def test_no_wait_is_shorter(runs, name):
    """Than what was asked for."""
    for (call, length), numbers in calls_of(runs[name].result).items():
        assert numbers["least"] >= (-TICK_NS if call in COARSE else 0), (call, length, numbers)


@pytest.mark.parametrize("name", PROFILED)
def test_no_wait_is_longer(runs, name):
    """The median of the long waits of each kind is, to a twentieth, what it is without libprof. A short one is a matter
    of how soon a thread has a processor, and whoever writes 100 snapshots a second needs one of the two: the kinds
    together (the median of them) take no more than three times as long as alone."""
    alone, profiled = calls_of(runs["alone"].result), calls_of(runs[name].result)
    assert set(alone) == set(profiled)
    ratios = {length: {} for length in LENGTHS}
    for (call, length), numbers in profiled.items():
        lasts, lasts_alone = [each["asked"] + each["median"] for each in (numbers, alone[call, length])]
        ratios[length][call] = lasts / lasts_alone
    assert max(ratios["long"].values()) <= 1.05, ratios["long"]
    assert statistics.median(ratios["short"].values()) <= 3, ratios["short"]


def test_a_signal_would_be_seen(runs):
    """The counters count: without libprof, with 20 signals a second for each thread."""
    run = runs["signals"]
    calls = calls_of(run.result)
    assert len(calls) >= 2 * 20, sorted(calls)
    for (call, length), numbers in calls.items():
        if length == "long":
            assert (numbers["interrupted"] > 0) == (call not in RESTARTED), (call, numbers)
    assert any(numbers["interrupted"] > 0 for (_, length), numbers in calls.items() if length == "short")
    alone = calls_of(runs["alone"].result)
    assert all(numbers["interrupted"] == 0 and numbers["failed"] == 0 for numbers in alone.values()), alone


def test_every_call_answers_the_same(runs):
    """Of the calls that libprof knows: line by line, while it looks at them a thousand times a second."""
    run, alone = runs["calls"], runs["calls alone"]
    run.check_unharmed()
    alone.check_unharmed()
    assert run.log == [] and run.stdout == alone.stdout
    assert pprof.document(run.folder / "wall.prof")["sums"][0] > 0
