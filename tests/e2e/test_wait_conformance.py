"""Every call that waits or lets go answers what it answers without libprof, and does it in the same order: line by
line, whatever kinds of profile are asked for. What the lines say is checked of the program by itself."""

import collections
import re

import pytest

CPU = {"PROF_CPU_HZ": "1000"}
WAITS = {"PROF_CPU": None, "PROF_BLOCK": "{folder}/block.prof", "PROF_MUTEX": "{folder}/mutex.prof",
         "PROF_THREAD": "{folder}/thread.prof"}
EXACT = WAITS | {"PROF_BLOCK_RATE": "1"}
ALL = EXACT | CPU | {"PROF_CPU": "{folder}/cpu.prof", "PROF_HEAP": "{folder}/heap.prof"}
TRACE = CPU | {"PROF_CPU": None, "PROF_TRACE": "{folder}/trace.json.gz", "PROF_BLOCK_RATE": "1", "PROF_TRACE_BUFFER": "4"}
SETTINGS = {"nothing asked for": {"PROF_CPU": None}, "cpu": CPU, "waits": WAITS, "waits exact": EXACT, "all": ALL,
            "trace": TRACE}
# Some of the runs once more: what differs from run to run is a fault of the program here.
REPEATED = ["plain", "all", "waits exact"]
TIMES = 2

# Cases by the first word of their names: a table that lost some would pass.
CASES = {"mutex": 48 * 13 + 2, "rwlock": 6 * 7, "cond": 4 * 4 + 2, "old_cond": 2, "wait": 27 * 6, "spin": 2, "sem": 3,
         "barrier": 2, "join": 3, "cancel": 3, "handler": 1, "create": 4, "c11": 7, "std": 12, "thread_ends": 1}
STAGES = ["constructor", "thread-local destructor of a thread", "key destructor", "thread-local destructor of main",
          "exit handler", "static destructor", "destructor"]

# Calls of which kWaits says that a signal, or a cancellation, ends them.
ENDED_BY_SIGNAL = {"sem_wait", "sem_timedwait", "sem_clockwait"}
ENDED_BY_CANCEL = ENDED_BY_SIGNAL | {"pthread_cond_wait", "pthread_cond_timedwait", "pthread_cond_clockwait",
                                     "old pthread_cond_wait", "old pthread_cond_timedwait", "pthread_join",
                                     "pthread_timedjoin_np", "pthread_clockjoin_np", "cnd_wait", "cnd_timedwait",
                                     "thrd_join"}


def RUNS():
    runs = {}
    for time in range(TIMES):
        for name in ["plain", *SETTINGS]:
            if time == 0 or name in REPEATED:
                options = {"preload": name != "plain"}
                runs[f"{name} {time}"] = (["wait_conformance"], SETTINGS.get(name), options)
    return runs


def facts(run):
    """The lines. What libprof says on stderr is not looked at: it may not know a variable yet."""
    assert not run.stuck and run.returncode == 0, (run.returncode, run.stdout.decode().splitlines()[-1:], run.stderr)
    for word in (b"terminate called", b"Assertion", b"fatal", b"FATAL", b"Sanitizer", b"stack smashing"):
        assert word not in run.stderr, run.stderr
    return run.stdout.decode().splitlines()


@pytest.fixture(name="cases")
def cases_alone(runs):
    """{name: what it says}, of the program by itself."""
    return dict(line.split(":", 1) for line in facts(runs["plain 0"]))


def differences(lines, plain):
    """What each case says that it does not say by itself."""
    found = [(one, other) for one, other in zip(plain, lines) if one != other]
    return found or ([] if len(lines) == len(plain) else [("lines", len(plain), len(lines))])


@pytest.mark.parametrize("name", SETTINGS)
def test_same_answers(runs, name):
    assert differences(facts(runs[f"{name} 0"]), facts(runs["plain 0"])) == []


@pytest.mark.parametrize("name", REPEATED)
def test_same_answers_again(runs, name):
    for time in range(1, TIMES):
        assert differences(facts(runs[f"{name} {time}"]), facts(runs["plain 0"])) == [], time


def test_every_case_is_there(cases):
    stages = [name for name in cases if name in STAGES]
    assert stages == STAGES
    counts = collections.Counter(name.split("/")[0] for name in cases if name not in STAGES)
    assert counts == CASES


def test_nothing_is_wrong(cases):
    """Words that no case says unless something is amiss."""
    words = ("too early", "failed", "not held", "wrote beyond", "no pthread_", "another value", "sem_open")
    assert [(name, line) for name, line in cases.items() if any(word in line for word in words)] == []
    for name, line in cases.items():
        counts = re.findall(r"count=(\d+)", line)
        assert set(counts) <= {"1500", "2000"}, (name, line)
        assert "most inside=1 " in line or "most inside" not in line, (name, line)
        assert "early=0" in line or "early=" not in line, (name, line)


def test_errno_is_kept(cases):
    """By every call that returns its error: but glibc's own locking of a priority-protected mutex by a thread that is
    not in real time, and its pthread_create."""
    for name, line in cases.items():
        for call, returned, after in re.findall(r"(\S+)=(\w+),(\w+)", line):
            if after != "77":
                assert (name in ("mutex/ceiling", "create/refused")) and returned in ("EINVAL", "EAGAIN"), (name, call)
        for call, after in re.findall(r"(\S+)=-1,(\w+)", line):
            assert call.startswith("sem_") or "sem" in name or after == "77", (name, call, after)


def test_what_ends_a_wait(cases):
    for name, line in cases.items():
        if not name.startswith("wait/"):
            continue
        _, call, event = name.split("/")
        by_cancel = call in ENDED_BY_CANCEL and event in ("cancelled", "cancelled_before")
        by_signal = call in ENDED_BY_SIGNAL and (event == "interrupted" or
                                                 event == "interrupted_restarting" and call != "sem_wait")
        assert ("release" in line) == (not by_cancel and not by_signal), (name, line)
        assert ("EINTR" in line) == by_signal, (name, line)
        assert ("->CANCELED" in line) == event.startswith("cancel"), (name, line)
        assert ("clean-up" in line) == (by_cancel and ("cond_" in call or "cnd_" in call)), (name, line)


def test_robust_mutexes(cases):
    """Each call inherits the mutex of a dead owner, and refuses one that was not made consistent."""
    seen = 0
    for name, line in cases.items():
        if name.endswith(("/thread_dies", "/process_dies")) and "EOPNOTSUPP" not in line and line != " -":
            seen += 1
            assert line.count("=EOWNERDEAD,77") == 5 and line.count("=ENOTRECOVERABLE,77") == 4, (name, line)
    # Of four types, with and without inheritance: private and shared ones by threads, shared ones by processes.
    assert seen == 16 + 8


def test_serial_thread(cases):
    for name in ("barrier/private", "barrier/shared"):
        assert cases[name].count("[-1,77 0,77 0,77]") == 5, cases[name]
    assert "[-1,77|exit 3 0,77|exit 3 0,77|exit 3]" in cases["barrier/shared"]


def test_old_condition_variables(cases):
    """However it was bound, the call of the old version is answered for the old structure; and the new for the new."""
    assert cases["old_cond/linked"] == cases["old_cond/dlvsym"]
    assert cases["cond/dlsym"] == cases["cond/dlvsym"]
    assert cases["old_cond/linked"].count("kept to its size") == 2
