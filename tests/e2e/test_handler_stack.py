"""What a tick takes of the interrupted stack, beyond the kernel's own frame: the rest of its work is done on libprof's memory."""

import pytest

MOST = 2048
FAST = {"PROF_CPU_HZ": "1000"}
WAYS = {"tables": FAST,
        "libunwind": FAST | {"PROF_UNWIND": "libunwind"},
        "deep": FAST | {"PROF_STACK_DEPTH": "1024"},
        "timer": FAST | {"PROF_CPU_CLOCK": "timer"},
        "looked at": FAST | {"PROF_WALL": "{folder}/wall.prof", "PROF_WALL_HZ": "1000"}}
RUNS = {name: (["handler_stack"], settings) for name, settings in WAYS.items()}


@pytest.mark.parametrize("name", WAYS)
def test_a_tick_takes_little_stack(runs, name):
    result = runs[name].result
    assert 0 < result["ticks"] - result["empty"] <= MOST, result
