"""Programs that wait, and are looked at, in ways that a profiler can break or be misled by: short-lived locks, lost
signals, other processes, handlers that fork, jump out or end their thread in the middle of a wait, bare exits, closed
descriptors."""

import os
import pathlib
import shutil
import signal
import tempfile
import time

import pytest

import pprof
import waits
from test_stacks import Line, numbered, read as read_stacks, take, wait_for_line, wait_until
from test_trace import Trace
from test_wall import read as read_wall

MUTEX = {"PROF_CPU": None, "PROF_MUTEX": "{folder}/mutex.prof"}
BLOCK = {"PROF_CPU": None, "PROF_BLOCK": "{folder}/block.prof"}
WALL = {"PROF_CPU": None, "PROF_WALL": "{folder}/wall.prof", "PROF_WALL_HZ": "1000"}
STACKS = {"PROF_STACKS": "{folder}/stacks.prof"}
# Of so many, 25 and more were left with a waiter that nobody was. That none is now rests on no chance.
PAIRS = 5000
LOST = 5
FORKED_IN = ("sem", "cond")
TRACE = {"PROF_CPU": None, "PROF_TRACE": "{folder}/trace.json.gz", "PROF_TRACE_BUFFER": "4"}
FORKS_UNDER = {"block": BLOCK, "wall": WALL, "trace": TRACE}
# So many that the thread which forks is none of those that a child has room for at first.
FORK_THREADS = 2500
CHILD_CODE = 7  # kChildCode
ENDS = ("exits", "cancels")
ENDED_IN = ("lock", "timedlock", "rdlock", "timedrdlock", "barrier", "spin")
# Seconds that each of three things is done for. There were dozens of misses of each in that time.
DESCRIPTOR_SECONDS = .7
ALONE = ("recursive", "robust", "pi", "rwlock")
# Burners, and those that begin late; and how many snapshots there are of them.
BURNERS = {"burns": (4, 0, 8), "begins": (2, 4, 1)}
NOBODY = 65534
LINES = {name: Line() for name in ("jumps", "burns", "begins")}


def looks_after_the_jump(process, folder):
    """While it computes, and while it sleeps."""
    for number, line in ((1, "ready"), (2, "sleeps")):
        wait_for_line(process, folder, line)
        time.sleep(.3)
        take(process, folder, number)
        LINES["jumps"].write()


def timers_of(process):
    lines = pathlib.Path(f"/proc/{process.pid}/timers").read_text().splitlines()
    return sum(line.startswith("ID:") for line in lines)


def take_at_once(process, folder, number):
    """As take(), and again where the signal is refused: the last snapshot's process may be at work after its files are there."""
    def is_there():
        return all(path.exists() for path in numbered(folder, number))

    def refusals():
        return (folder / "stderr").read_bytes().count(b"try again")

    while not is_there():
        before = refusals()
        os.kill(process.pid, signal.SIGUSR2)
        wait_until(lambda: is_there() or refusals() > before, process, f"snapshot {number}")


def counts_timers(line, snapshots):
    """A `during`: those that are left some time after everybody who was looked at has gone to sleep."""
    def during(process, folder):
        wait_for_line(process, folder)
        for number in range(1, snapshots + 1):
            take_at_once(process, folder, number)
        line.write()
        wait_for_line(process, folder, "asleep")
        ends = time.monotonic() + 5
        while timers_of(process) != 0 and time.monotonic() < ends:
            time.sleep(.01)
        (folder / "timers").write_text(str(timers_of(process)))
        line.write()
    return during


def on_one_processor():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def RUNS():
    soon = {"timeout": 20}
    runs = {
        "pairs": (["wait_hostile", "pairs", PAIRS], MUTEX, {"cores": 2}),
        "lost": (["wait_hostile", "lost", LOST], MUTEX, soon),
        "shared": (["wait_hostile", "shared"], MUTEX, soon),
        "descriptors": (["wait_hostile", "descriptors", DESCRIPTOR_SECONDS], WALL, {"cores": 2}),
        "bare exit": (["wait_hostile", "bare_exit"], WALL, {"timeout": 5}),
        "jumps": (["wait_hostile", "jumps"], WALL | STACKS,
                  {"stdin": LINES["jumps"].path, "during": looks_after_the_jump}),
    }
    if pathlib.Path("/proc/self/timers").exists():
        for name, (threads, late, snapshots) in BURNERS.items():
            line = LINES[name]
            runs[name] = (["wait_hostile", "burns", threads, late], WALL | STACKS,
                          {"cores": 2, "stdin": line.path, "during": counts_timers(line, snapshots),
                           "limits": on_one_processor if late else None})
    for call in FORKED_IN:
        for name, settings in FORKS_UNDER.items():
            for follow in "01":
                runs[f"forks in {call} {name} {follow}"] = (["wait_hostile", "forks", call, FORK_THREADS],
                                                            settings | {"PROF_FOLLOW": follow}, soon)
    for how in ENDS:
        for call in ENDED_IN:
            runs[f"{how} {call}"] = (["wait_hostile", how, call], waits.settings(1), soon)
            runs[f"{how} {call} alone"] = (["wait_hostile", how, call], {}, soon | {"preload": False})
    for kind in ALONE:
        runs[f"alone {kind}"] = (["wait_hostile", "alone", kind], waits.settings(1), soon)
    return runs


def check_charged(run, function):
    """No more than was waited, and nothing to this function, which nobody waited for."""
    result, profile = run.result, waits.read(run.folder / "mutex.prof")
    assert profile.of(function) == (0, 0), profile.describe()
    assert profile.delay <= result["waited_ns"], (result, profile.describe())
    assert run.log == [], run.stderr
    return result, profile


def test_short_lived_locks(runs):
    """Each is new when one thread signals and another wants it. Afterwards nobody is left in any of them."""
    _, profile = check_charged(runs["pairs"], "locks_alone")
    assert profile.count > 0, profile.describe()


def test_lost_signals(runs):
    """They come when libprof knows of the waiter and the C library does not yet: it sleeps on, and wants no mutex."""
    result, _ = check_charged(runs["lost"], "unlocks_meanwhile")
    assert result["lost"] == LOST, "none came just then"


def test_signals_to_another_process(runs):
    """A condition that two processes share: the one who sleeps on wants no mutex."""
    result, _ = check_charged(runs["shared"], "locks_shared")
    assert result["taken_by"] == 1


@pytest.mark.parametrize("call", FORKED_IN)
@pytest.mark.parametrize("name", FORKS_UNDER)
def test_fork_in_the_middle_of_a_wait(runs, call, name):
    """The child comes back from a wait that is its parent's, and exits as it would; followed or not."""
    for follow in "01":
        run = runs[f"forks in {call} {name} {follow}"]
        assert run.result == {"exited": 1, "code": CHILD_CODE}, (follow, run.stderr)
        assert run.log == [], run.stderr
        if name == "wall":
            read_wall(run.folder / "wall.prof", 1000)
        elif name == "trace":
            Trace(run.folder / "trace.json.gz")
        else:
            assert waits.read(run.folder / "block.prof").of("forks_in_wait")[0] <= 1


def test_descriptors(runs):
    """The lowest free number is the program's, and so is what it opened there; a child has no others."""
    result = runs["descriptors"].result
    assert min(result["opens"], result["writes"], result["forks"]) > 0, result
    assert (result["not_lowest"], result["failed"], result["strays"]) == (0, 0, 0), result


def test_bare_exit(runs):
    """A process ends with the last of its own threads, and with that one's exit code."""
    run = runs["bare exit"]
    assert not run.stuck and run.returncode == 7, (run.stuck, run.returncode, run.stderr)


@pytest.mark.parametrize("call", ENDED_IN)
@pytest.mark.parametrize("how", ENDS)
def test_threads_that_end_in_a_wait(runs, how, call):
    run, alone = runs[f"{how} {call}"], runs[f"{how} {call} alone"]
    alone.check_unharmed()
    run.check_unharmed()
    assert (run.stdout, run.stderr) == (alone.stdout, alone.stderr)
    waits.read(run.folder / "block.prof")


def test_jump_out_of_a_wait(runs):
    """What the thread does then is what it is shown to do."""
    run = runs["jumps"]
    result, profile = run.result, read_wall(run.folder / "wall.prof", 1000)
    for number, function in ((1, "computes_after"), (2, "sleeps_after")):
        (thread,) = read_stacks(run.folder, number).values()
        assert thread.state == "not reached" or thread.has(function), thread.describe()
        assert thread.state != "semaphore", thread.describe()
        assert profile.of(function)[0] > 0, profile.describe()
    # One look stands for all the time since the last one, which may be some of it on a machine that has none.
    semaphore = sum(sample.wall for sample in profile.samples if sample.state == "semaphore")
    assert semaphore <= result["waited_ns"] + result["after_ns"] / 2, (result, profile.describe())
    assert profile.of("waits_before")[1] <= result["waited_ns"] + result["after_ns"] / 2, (result, profile.describe())


@pytest.mark.parametrize("kind", [kind for kind in ALONE if kind != "recursive"])
def test_one_thread_alone(runs, kind):
    """Nobody waits, at a rate at which each wait is recorded. What a common recursive mutex has is all of it."""
    for run in (runs[f"alone {kind}"], runs["alone recursive"]):
        assert run.result["refused"] == 0
        for name in ("block", "mutex"):
            profile = waits.read(run.folder / f"{name}.prof")
            assert (profile.count, profile.delay) == (0, 0), profile.describe()


def gives_up_root():
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def test_wall_clock_of_what_is_not_dumpable(runner):
    """Its files of /proc are root's, and it is not root: what it does is not known from outside; but it answers."""
    with tempfile.TemporaryDirectory(dir="/tmp") as shared:
        os.chmod(shared, 0o1777)
        program = shutil.copy(pprof.BUILD / "programs" / "wait_hostile", shared)
        library = shutil.copy(pprof.BUILD / "libprof.so", shared)
        os.chmod(library, 0o755)
        settings = WALL | {"LD_PRELOAD": library, "PROF_WALL": f"{shared}/wall.prof"}
        run = runner.run([program, "not_dumpable", .5], settings, limits=gives_up_root)
        run.check_unharmed()
        profile = read_wall(f"{shared}/wall.prof", 1000)
        assert profile.of("burns_here")[0] > 0, profile.describe()


@pytest.mark.parametrize("name", BURNERS)
def test_timers_do_not_pile_up(runs, name):
    """Two look at the same threads, which run: what each asked for is given back; also where threads are seen, and asked, before
    they have begun, and again then."""
    if not pathlib.Path("/proc/self/timers").exists():
        pytest.skip("the kernel does not list timers")
    run = runs[name]
    run.check_unharmed()
    assert (run.folder / "timers").read_text() == "0"
