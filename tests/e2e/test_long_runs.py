"""The programs that are most likely to deadlock or crash, for as long as HARMLESS_SECONDS says, on 8 threads at 1000 Hz:

    HARMLESS_SECONDS=60 /usr/bin/python3 -m pytest tests/e2e/test_long_runs.py
"""

import os

import pytest

from conftest import CORES

SECONDS = float(os.environ.get("HARMLESS_SECONDS", 0))
THREADS = 8
CLOCKS = {"perf": {}, "timer": {"PROF_CPU_CLOCK": "timer"}}
pytestmark = pytest.mark.skipif(SECONDS == 0, reason="HARMLESS_SECONDS is not set")

# Of CPU time, for each thread.
EACH = SECONDS * CORES / THREADS
# The coroutines of a thread have 40 ms together in a round; a round of the busy handlers has 20 ms of work and 20 ms of handler.
ROUNDS = int(EACH / .04)
PROGRAMS = {
    "throws_and_loads": ["throws_and_loads", SECONDS, THREADS - 1],
    "deep_stack": ["deep_stack", EACH, THREADS],
    "small_sigaltstack": ["small_sigaltstack", "busy", ROUNDS, THREADS],
    "coroutines": ["coroutines", ROUNDS, THREADS],
}
RIGHT = {
    "throws_and_loads": {"all_caught": 1, "some_loads": 1, "wrong": 0},
    "deep_stack": {"reached": 1},
    "small_sigaltstack": {"usr1": ROUNDS * THREADS, "segv": ROUNDS * THREADS, "off_stack": 0},
    "coroutines": {"turns": ROUNDS * THREADS * 8},
}


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_unharmed_for_long(runner, program, clock):
    """Ten times as long is taken for a deadlock."""
    run = runner.run(PROGRAMS[program], {"PROF_CPU_HZ": "1000"} | CLOCKS[clock],
                     cores=CORES, timeout=10 * SECONDS + 60)
    result, profile = run.result, run.profile()
    assert {name: result[name] for name in RIGHT[program]} == RIGHT[program], run.stderr
    print(f"{program} by {clock}: {profile.total} samples")
    assert profile.total > 0
