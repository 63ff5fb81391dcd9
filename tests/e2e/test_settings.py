"""Every setting: what is accepted is taken silently, what is not gets one line, and the program runs either way."""

import pytest

import pprof

BAD = {
    "PROF_CPU": ["", "%q.prof", "cpu.%"],
    "PROF_DIR": [""],
    "PROF_CPU_HZ": ["0", "-1", "10001", "abc", "1.5", "", " 100", "100 ", "1e2", "99999999999999999999", "+100",
                    "0x10"],
    "PROF_CPU_CLOCK": ["wall", "", "Timer"],
    "PROF_CPU_DELAY": ["-1", "soon", "", "nan", "inf", "1s", "1e99"],
    "PROF_CPU_DURATION": ["0", "-1", "long", "", "nan", "inf"],
    "PROF_CPU_SIGNAL": ["KILL", "9", "STOP", "0", "65", "-1", "FOO", "PROF", "27", "SEGV", "11", "32", "", "usr1 ",
                        "SIG", "RTMIN+31", "RTMIN-1", "RTMAX+1"],
    "PROF_STACK_DEPTH": ["0", "1025", "deep", "", "-1"],
    "PROF_UNWIND": ["dwarf", "", "FP"],
    "PROF_FOLLOW": ["", ",", "a,,b", "a,", "bin/a"],
}
GOOD = {
    "PROF_CPU_HZ": ["1", "10000"],
    "PROF_CPU_CLOCK": ["auto", "timer"],
    "PROF_CPU_DELAY": ["0", "0.0001"],
    "PROF_CPU_DURATION": ["0.5", "100000"],
    "PROF_CPU_SIGNAL": ["USR1", "SIGUSR2", "WINCH", "34", "64", "RTMIN+3", "SIGRTMAX-1"],
    "PROF_STACK_DEPTH": ["1", "1024"],
    "PROF_UNWIND": ["tables", "libunwind", "fp"],
    "PROF_FOLLOW": ["0", "1", "make", "2,yes"],
    "PROF_LOG": ["error", "warn"],
}
UNKNOWN = ["PROF_CPU_HERTZ", "PROF_", "PROF_CPU_HZ2", "PROF_cpu"]

BAD_CASES = [(name, value) for name, values in BAD.items() for value in values]
GOOD_CASES = [(name, value) for name, values in GOOD.items() for value in values]

STEADY = ["steady", .02, 6]


def RUNS():
    runs = {f"bad {name} {value}": (STEADY, {name: value}) for name, value in BAD_CASES}
    runs |= {f"good {name} {value}": (STEADY, {name: value}) for name, value in GOOD_CASES}
    runs |= {f"unknown {name}": (STEADY, {name: "1"}) for name in UNKNOWN}
    return runs | {
        "stacks without a signal": (STEADY, {"PROF_STACKS": "{folder}/stacks.prof", "PROF_SIGNAL": "0"}),
        "bad level": (STEADY, {"PROF_LOG": "loud"}),
        "two bad": (STEADY, {"PROF_CPU_HZ": "x", "PROF_STACK_DEPTH": "y"}),
        "nothing asked for": (STEADY, {"PROF_CPU": None}),
        "bad, but nothing asked for": (STEADY, {"PROF_CPU": None, "PROF_CPU_HZ": "x"}),
        "debug": (STEADY, {"PROF_LOG": "debug"}),
        "info": (STEADY, {"PROF_LOG": "info"}),
        "file and folder": (STEADY, {"PROF_DIR": "{folder}"}),
        "not utf-8": (STEADY, {"PROF_CPU_HZ": b"\xff\xfe".decode(errors="surrogateescape")}),
        "long": (STEADY, {"PROF_CPU_HZ": "9" * 20000}),
    }


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


@pytest.mark.parametrize("name,value", GOOD_CASES)
def test_usable(runs, name, value):
    run = runs[f"good {name} {value}"]
    check_program(run)
    assert run.stderr == b""
    if name != "PROF_CPU_SIGNAL":
        run.profile()


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown(runs, name):
    """One line; what else was asked for is done."""
    run = runs[f"unknown {name}"]
    check_program(run)
    assert len(run.log) == 1 and name in run.log[0] and run.stderr.count(b"\n") == 1, run.stderr
    run.profile()


def test_level_that_does_not_exist(runs):
    run = runs["bad level"]
    check_program(run)
    assert len(run.log) == 1 and "PROF_LOG" in run.log[0] and "'loud'" in run.log[0]
    run.profile()


def test_stacks_without_a_signal(runs):
    """They could never be written: one line at the start. The other kinds are."""
    run = runs["stacks without a signal"]
    check_program(run)
    assert len(run.log) == 1 and "PROF_STACKS" in run.log[0] and "PROF_SIGNAL=0" in run.log[0], run.stderr
    assert run.files() == ["cpu.prof"]


def test_a_line_for_each(runs):
    run = runs["two bad"]
    check_program(run)
    assert len(run.log) == 2 and run.files() == []


def test_nothing_asked_for(runs):
    run = runs["nothing asked for"]
    check_program(run)
    assert run.stderr == b"" and run.files() == []
    check_program(runs["bad, but nothing asked for"])
    assert runs["bad, but nothing asked for"].files() == []


@pytest.mark.parametrize("level", ["debug", "info"])
def test_more_to_read(runs, level):
    """Everything on stderr, each line with the prefix."""
    run = runs[level]
    check_program(run)
    assert all(line.startswith(b"libprof:") for line in run.stderr.splitlines()), run.stderr
    run.profile()


def test_file_and_folder(runs):
    """PROF_CPU says more than PROF_DIR: the profile is there, once. The folder has the other kinds."""
    run = runs["file and folder"]
    check_program(run)
    kinds = sorted(name.split(".", 2)[2] for name in run.files() if name != "cpu.prof")
    assert "cpu.prof" in run.files() and kinds == [kind for kind in pprof.FOLDER_KINDS if kind != "cpu.pb.gz"], run.files()


def test_values_nobody_would_write(runs):
    for name in ("not utf-8", "long"):
        run = runs[name]
        check_program(run)
        assert len(run.log) == 1 and run.log[0].startswith("libprof: PROF_CPU_HZ"), run.stderr[:300]
        assert run.files() == []
