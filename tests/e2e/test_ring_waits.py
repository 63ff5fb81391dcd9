"""io_uring_enter, whose wait the kernel ends for any signal: not for one of libprof's, and as ever for the program's own."""

import pytest

SECONDS = 3
THREADS = 2
TIMES = 50
CPU = {"PROF_CPU": "{folder}/cpu.prof", "PROF_CPU_HZ": "1000"}
LOOKED_AT = {
    "default": {"PROF_CPU": "{folder}/cpu.prof"},
    "timer": CPU | {"PROF_CPU_CLOCK": "timer"},
    "perf": CPU | {"PROF_CPU_CLOCK": "auto"},
    "wall": {"PROF_CPU": None, "PROF_WALL": "{folder}/wall.prof", "PROF_WALL_HZ": "1000"},
}
HANDLED = ("always", "once", "blocks", "once blocks", "resets blocks", "abort blocks")


def RUNS():
    runs = {name: (["ring_waits", "computes", SECONDS, THREADS], settings, {"cores": 2})
            for name, settings in LOOKED_AT.items()}
    for how in HANDLED:
        for name in ("timer", "perf"):
            runs[f"{how} {name}"] = (["ring_waits", "signalled", TIMES, how], LOOKED_AT[name], {"timeout": 60})
    return runs


def result_of(runs, name):
    result = runs[name].result
    if not result["ring"]:
        pytest.skip("no rings here")
    assert result["failed"] == 0, result
    return result


@pytest.mark.parametrize("name", LOOKED_AT)
def test_no_wait_is_ended(runs, name):
    """Where nothing was done about it, it was one of 10 000; these are tens of thousands."""
    result = result_of(runs, name)
    assert result["waits"] > 5000 * SECONDS, result
    assert result["interrupted"] == 0, result


@pytest.mark.parametrize("how", HANDLED)
@pytest.mark.parametrize("name", ["timer", "perf"])
def test_the_programs_own_signals_end_it(runs, how, name):
    """Each of them: with ticks that come just after its handler, too, when nothing tells that it was there; and where it is gone by then."""
    result = result_of(runs, f"{how} {name}")
    assert (result["waits"], result["interrupted"], result["handled"]) == (TIMES, TIMES, TIMES), result
    if "blocks" in how:
        ticks = runs[f"{how} {name}"].profile().total
        assert ticks >= TIMES, "none came meanwhile"
