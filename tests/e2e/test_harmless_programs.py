"""Programs that do odd things: they do the same with libprof, and have a valid profile."""

import os
import resource
import subprocess

import pytest

import pprof

FAST = {"PROF_CPU_HZ": "1000"}
FAST_TIMER = {"PROF_CPU_HZ": "1000", "PROF_CPU_CLOCK": "timer"}


def limit(which, value):
    return lambda: resource.setrlimit(which, (value, value))


RUNS = {
    "throws": (["throws_and_loads", 10], FAST, {"cores": 2}),
    "throws_timer": (["throws_and_loads", 6], FAST_TIMER, {"cores": 2}),
    "throws_1000_deep": (["throws_and_loads", 2], FAST | {"PROF_STACK_DEPTH": "1024"}, {"cores": 2}),
    "altstack": (["small_sigaltstack", "brief"], FAST),
    "altstack_timer": (["small_sigaltstack", "brief"], FAST_TIMER),
    "altstack_busy": (["small_sigaltstack", "busy"], FAST),
    # With each handler some of what the POSIX clock has not counted yet (half a kernel tick of plain_work) goes to the call.
    "altstack_busy_deep": (["small_sigaltstack", "busy", 5, 0, 200], FAST_TIMER | {"PROF_STACK_DEPTH": "1024"}),
    "coroutines": (["coroutines", 40], FAST),
    "closes_fds": (["closes_fds"],),
    "closes_fds_perf": (["closes_fds"], FAST),
    "idle": (["idle_calls", 100, 4000], FAST, {"cores": 2}),
    "idle_timer": (["idle_calls", 100, 4000], FAST_TIMER, {"cores": 2}),
    "idle_alone": (["idle_calls", 100], {}, {"cores": 2, "preload": False}),
    "sigwait": (["waits_for_signals"],),
    "sigwait_perf": (["waits_for_signals"], FAST),
    "own_sigprof": (["own_sigprof"],),
    "no_timers": (["two_threads", .2], {"PROF_CPU_CLOCK": "timer"},
                  {"cores": 2, "limits": limit(resource.RLIMIT_SIGPENDING, 0)}),
    "few_files": (["two_threads", .2], FAST, {"cores": 2, "limits": limit(resource.RLIMIT_NOFILE, 8)}),
    "little_memory": (["two_threads", .2], {}, {"cores": 2, "limits": limit(resource.RLIMIT_AS, 40 << 20)}),
    "no_locked_memory": (["two_threads", .2], FAST, {"cores": 2, "limits": limit(resource.RLIMIT_MEMLOCK, 0)}),
    "namespace": (["unshare", "--user", "--", "true"],),
    "namespace_alone": (["unshare", "--user", "--", "true"], {}, {"preload": False}),
    "environment": (["env"],),
    "killed": (["bash", "-c", "kill -TERM $$; sleep 5"],),
    "aborts": (["perl", "-e", "kill 'ABRT', $$; sleep 5"],),
    "exits_at_once": (["perl", "-MPOSIX", "-e", "POSIX::_exit(9)"],),
}


@pytest.mark.parametrize("name", ["throws", "throws_timer", "throws_1000_deep"])
def test_exceptions_and_unloading(runs, name):
    run = runs[name]
    result, profile = run.result, run.profile()
    assert (result["all_caught"], result["some_loads"], result["wrong"]) == (1, 1, 0), run.stderr
    expected = result["cpu"] / profile.period
    assert abs(profile.total - expected) <= .03 * expected, profile.describe()
    # The library has been unmapped long since, many times, and its functions have their names.
    assert profile.count("plugin_work", "plugin_entry") > .02 * profile.total, profile.describe()
    assert profile.count("throw_from") > .2 * profile.total


@pytest.mark.parametrize("name", ["altstack", "altstack_timer"])
def test_small_sigaltstack(runs, name):
    """Ticks are taken on the program's 8 KB, too."""
    run = runs[name]
    result, profile = run.result, run.profile()
    assert result == {"usr1": 50, "segv": 50, "off_stack": 0}
    assert profile.count("plain_work", "main", "_start") >= .95 * 1000, profile.describe()


@pytest.mark.parametrize("name", ["altstack_busy", "altstack_busy_deep"])
def test_small_sigaltstack_in_use(runs, name):
    """Handlers that work on 8 KB, where the kernel's two frames would take 7 KB of them: their ticks come when they return."""
    run = runs[name]
    result, profile = run.result, run.profile()
    rounds = 50 if name == "altstack_busy" else 5
    assert result == {"usr1": rounds, "segv": rounds, "off_stack": 0}
    # A second in each.
    assert profile.count("plain_work") >= .95 * 1000 and profile.total >= .95 * 2000, profile.describe()
    assert profile.count("handler_work") == 0 and profile.count("raise", "run_rounds") >= .95 * 1000, profile.describe()


def test_coroutines_at_1000_hz(runs):
    assert runs["coroutines"].result == {"turns": 320}
    assert runs["coroutines"].profile().count("coroutine_body") > 1000


@pytest.mark.parametrize("name", ["closes_fds", "closes_fds_perf"])
def test_closes_every_file(runs, name):
    run = runs[name]
    assert run.returncode == 7, "it found a descriptor that was not its own" if run.returncode == 8 else run.returncode
    profile = run.profile()
    assert profile.share("closed_work") > .9, profile.describe()


@pytest.mark.parametrize("name", ["idle", "idle_timer"])
def test_waiting_calls_are_not_interrupted(runs, name):
    alone, run = runs["idle_alone"].result, runs[name]
    result = run.result
    # A tick on the way into a wait is a tick of the program's own CPU time. The POSIX timer's never ends the wait; a perf
    # event ticks in user mode only.
    assert (result["waits"], result["interrupted"], result["brief_interrupted"]) == (18, 0, 0)
    # Nobody woke the sleeper: as many sleeps as without. A few more come from locks, if two threads happen to meet.
    assert result["switches"] <= alone["switches"] + 6
    assert run.profile().count("background_work") > 100


@pytest.mark.parametrize("name", ["sigwait", "sigwait_perf"])
def test_program_that_takes_signals_by_sigwait(runs, name):
    assert runs[name].result == {"pending": 0, "usr2": 1}


def test_program_with_its_own_sigprof(runs):
    run = runs["own_sigprof"]
    assert run.result == {"some": 1, "not_more": 1, "still_mine": 1}
    run.profile()


def test_timers_refused(runs):
    run = runs["no_timers"]
    assert run.result["paint"] > 0
    profile = run.profile()
    (line,) = profile.comment("timers refused")
    assert "3" in line, line  # main and the two threads
    assert profile.count("paint") + profile.count("bake") == 0


def test_few_files(runs):
    """Perf events need file descriptors: without them the timer takes over, and the profile says so."""
    run = runs["few_files"]
    result, profile = run.result, run.profile()
    assert profile.total >= .9 * result["total"] / profile.period, profile.describe()


def test_little_memory(runs):
    run = runs["little_memory"]
    assert run.result["paint"] > 0
    assert len(run.log) <= 1, run.stderr
    if not run.log:
        run.profile()


def test_no_locked_memory(runs):
    run = runs["no_locked_memory"]
    result, profile = run.result, run.profile()
    assert profile.total >= .9 * result["total"] / profile.period, profile.describe()


def test_new_user_namespace(runs):
    """Refused by the kernel in a process with a second thread."""
    assert runs["namespace"].returncode == runs["namespace_alone"].returncode
    assert runs["namespace"].stderr == runs["namespace_alone"].stderr


def test_environment_is_what_was_given(runs):
    lines = runs["environment"].stdout.decode().splitlines()
    ours = [line for line in lines if line.startswith(("PROF_", "LD_", "LIBPROF"))]
    assert sorted(line.split("=")[0] for line in ours) == ["LD_PRELOAD", "PROF_CPU"], ours


def test_ends_are_the_same(runs):
    assert runs["killed"].returncode == -15
    assert runs["aborts"].returncode == -6
    assert runs["exits_at_once"].returncode == 9
    for name in ("killed", "aborts", "exits_at_once"):
        assert runs[name].log == [], runs[name].stderr


def test_static_program(runner, tmp_path):
    """It cannot be preloaded: nothing happens to it, and there is no profile."""
    source = pprof.ROOT / "tests" / "programs" / "steady.c"
    built = subprocess.run(["gcc", "-O2", "-static-pie", source, "-o", tmp_path / "static"], capture_output=True)
    if built.returncode != 0:
        pytest.skip("no static C library here")
    run = runner.run([tmp_path / "static", .05, 6])
    assert run.returncode == 6 and run.stderr == b"" and run.files() == []


def test_program_that_drops_its_rights(runner):
    """The profile is opened by who the program has become; where that fails, one line."""
    if os.geteuid() != 0:
        pytest.skip("needs the right to become another user")
    code = "$) = '65534 65534'; $> = 65534; $i += $_ for 1 .. 3e6; print 'done'; exit 6"
    run = runner.run(["perl", "-e", code])
    assert run.returncode == 6 and run.stdout == b"done"
    assert len(run.log) <= 1 and (run.log or run.files() == ["cpu.prof"]), run.stderr


@pytest.mark.parametrize("settings", [{"PROF_CPU_HZ": "10000"}, {"PROF_CPU_HZ": "1000", "PROF_CPU_CLOCK": "timer"}])
def test_no_late_tick_kills_what_is_executed(runner, settings):
    run = runner.run(["exec_chain", 300], settings)
    assert run.returncode == 0 and run.result == {"pending": 0}


def test_no_late_tick_kills_the_commands_of_a_shell(runner):
    script = "for i in {1..300}; do /bin/true || echo died $?; done"
    run = runner.run(["bash", "-c", script], {"PROF_CPU_HZ": "1000"})
    assert run.returncode == 0 and run.stdout == b""
