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
    for name, settings in LOOKED_AT.items():
        runs[f"{name} handles"] = (["ring_waits", "computes", SECONDS, THREADS, "handles"], settings, {"cores": 2})
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


@pytest.mark.parametrize("name", LOOKED_AT)
def test_a_wait_is_ended_once(runs, name):
    """Of each thread, where the program handles signals: it must not be done again, but no tick falls due in a call from then on."""
    result = result_of(runs, f"{name} handles")
    assert result["waits"] > 5000 * SECONDS, result
    assert result["interrupted"] <= THREADS, result


@pytest.mark.parametrize("name", ["default", "timer", "perf"])
def test_cpu_time_is_counted_all_the_same(runs, name):
    """More than half of it is the kernel's. What may be missing is what follows each thread's last tick of the kernel's that met it in user
    mode: four milliseconds of CPU time for each, of which every fifth or more does (35 in a row do not: one time in 2000)."""
    for kind in (name, f"{name} handles"):
        result, profile = result_of(runs, kind), runs[kind].profile()
        missing, slack = result["cpu_ns"] - profile.ns, .03 * result["cpu_ns"] + THREADS * profile.period
        assert -slack <= missing <= slack + THREADS * 35 * 4_000_000, (result, profile.describe())


@pytest.mark.parametrize("how", HANDLED)
@pytest.mark.parametrize("name", ["timer", "perf"])
def test_the_programs_own_signals_end_it(runs, how, name):
    """Each of them: with ticks that come just after its handler, too, when nothing tells that it was there; and where it is gone by then."""
    result = result_of(runs, f"{how} {name}")
    assert (result["waits"], result["interrupted"], result["handled"]) == (TIMES, TIMES, TIMES), result
    if "blocks" in how:
        ticks = runs[f"{how} {name}"].profile().total
        assert ticks >= TIMES, "none came meanwhile"
