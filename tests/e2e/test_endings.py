"""What tests/matrix/endings.py cannot say of how programs end: what core dumps hold, what profiles say, and that nobody waits for long."""

import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

import pprof

SETTINGS = {"PROF_HEAP": "{folder}/heap.prof"}
ENDINGS = {
    "exit": (["endings_ways", "exit"], SETTINGS),
    "_exit": (["endings_ways", "_exit"], SETTINGS),
    "quick_exit": (["endings_ways", "quick_exit"], SETTINGS),
    "TERM": (["endings_ways", "raise", 15], SETTINGS),
    "SEGV": (["endings_ways", "fault", 11], SETTINGS),
    "exec": (["endings_ways", "exec"], SETTINGS),
}
AMID_EXEC = SETTINGS | {"LD_PRELOAD": f"{pprof.BUILD / 'libprof.so'}:{pprof.BUILD / 'programs' / 'exec_amid'}"}
NO_TIME = SETTINGS | {"PROF_EXIT_TIMEOUT": "0.000001"}
RUNS = ENDINGS | {
    "no time: " + way: (["endings_ways", *words], NO_TIME)
    for way, words in {"exit": ["exit"], "_exit": ["_exit"], "quick_exit": ["quick_exit"], "TERM": ["raise", 15]}.items()
} | {
    "no time at all": (["endings_ways", "exit"], SETTINGS | {"PROF_EXIT_TIMEOUT": "0"}),
}
STATUS = {"exit": 7, "_exit": 7, "quick_exit": 7, "TERM": -signal.SIGTERM, "SEGV": -signal.SIGSEGV, "exec": 0}
SAID = {"_exit": "ended by _exit", "quick_exit": "ended by quick_exit", "TERM": "ended by signal 15 (SIGTERM)",
        "SEGV": "ended by signal 11 (SIGSEGV)", "exec": "went on as another program (exec)"}
GIVEN_UP = "libprof: PROF_EXIT_TIMEOUT is over: what is not written by now of the profiles is given up"


def comments(path):
    shown = subprocess.run([pprof.BUILD / "prof", "top", path], capture_output=True, text=True, check=True).stdout
    return shown.splitlines()


@pytest.mark.parametrize("name", ENDINGS)
def test_profiles_say_how_it_ended(runs, name):
    run = runs[name]
    assert (run.returncode, run.log) == (STATUS[name], []), run.stderr
    for kind in ("cpu", "heap"):
        said = comments(run.folder / (kind + (".exec1.prof" if name == "exec" else ".prof")))
        assert [line for line in said if line in SAID.values()] == ([SAID[name]] if name in SAID else []), said


def test_exec_keeps_what_each_program_did(runs):
    run = runs["exec"]
    assert run.files() == ["cpu.exec1.prof", "cpu.prof", "heap.exec1.prof", "heap.prof"]
    assert "work_first" in run.profile("cpu.exec1.prof").functions and "work_second" in run.profile("cpu.prof").functions
    assert "work_second" not in run.profile("cpu.exec1.prof").functions


def await_files(run, wanted):
    """What a process writes that is not waited for; no more than that comes."""
    for _ in range(300):
        if run.files() == wanted:
            break
        time.sleep(0.01)
    time.sleep(0.1)
    assert run.files() == wanted, run.stderr


@pytest.mark.parametrize("way", ["undumpable", "reporter_killed", "reporter_stopped"])
def test_exec_that_failed_is_known(runner, way):
    """Also where nobody may look at the process any more, or who was to look does not: all is written once, at the end."""
    pids = []
    run = runner.run(["endings_ways", "exec"], AMID_EXEC | {"EXEC_AMID": way}, during=lambda process, _: pids.append(process.pid))
    assert (run.returncode, run.log) == (9, []), run.stderr
    await_files(run, ["cpu.prof", "heap.prof"])
    assert SAID["exec"] not in comments(run.folder / "heap.prof") and not any_reporter(pids[0])


def test_killed_amid_an_exec(runner):
    """No other program has taken its place: the files have their usual names, and say so."""
    # Reaped late: who looks finds it there.
    def during(process, folder):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        for _ in range(300):
            if (folder / "heap.prof").exists() and (folder / "cpu.prof").exists():
                break
            time.sleep(0.01)
    run = runner.run(["endings_ways", "exec"], AMID_EXEC | {"EXEC_AMID": "killed"}, during=during)
    assert (run.returncode, run.log) == (-signal.SIGKILL, []), run.stderr
    await_files(run, ["cpu.prof", "heap.prof"])
    assert "ended as it was about to go on as another program (exec)" in comments(run.folder / "cpu.prof")


@pytest.mark.parametrize("name", [name for name in RUNS if name.startswith("no time: ")])
def test_no_time(runs, name):
    """One line, nothing half-written, and the end that it would have had."""
    run = runs[name]
    assert run.returncode == STATUS[name.removeprefix("no time: ")]
    assert run.log == [GIVEN_UP] and run.files() == [], run.stderr


def test_timeout_that_cannot_be_used(runs):
    run = runs["no time at all"]
    assert run.log == ["libprof: PROF_EXIT_TIMEOUT: '0' cannot be used; accepted: seconds, such as 5 or 0.5, more than 0"]
    assert run.files() == ["cpu.prof", "heap.prof"]


def dumped(runner, way, preload):
    """What a debugger sees in the core dump."""
    def limits():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    run = runner.run(["endings_ways", *way], preload=preload, limits=limits)
    core = [path for path in run.folder.iterdir() if path.name.startswith("core")]
    assert core, "no core dump"
    asked = ["bt 4", "p $_siginfo.si_signo", "p $_siginfo.si_code", "p $_siginfo._sifields._sigfault.si_addr", "x/i $rip"]
    words = ["gdb", "-q", "-batch", "-nx", "-iex", "set debuginfod enabled off"]
    for command in asked:
        words += ["-ex", command]
    shown = subprocess.run([*words, pprof.BUILD / "programs" / "endings_ways", core[0]], capture_output=True, text=True)
    # Addresses differ from run to run.
    lines = [line for line in shown.stdout.splitlines() if line.startswith(("#", "$", "=>"))]
    return run.returncode, [re.sub("0x[0-9a-f]+", "…", line) for line in lines]


@pytest.mark.skipif(shutil.which("gdb") is None or pathlib.Path("/proc/sys/kernel/core_pattern").read_text()[0] in "|/",
                    reason="core dumps go elsewhere here, or gdb is missing")
@pytest.mark.parametrize("way", [["fault", 11], ["raise", 3]], ids=str)
def test_core_dump_is_the_same(runner, way):
    """The faulting instruction, its stack and the signal's facts."""
    without, profiled = dumped(runner, way, False), dumped(runner, way, True)
    assert without[1] and without == profiled


@pytest.fixture(scope="module")
def stuck_disk(tmp_path_factory):
    """A folder that lets nobody write, and lets who tries to not be killed. Yields a function that ends that."""
    folder = tmp_path_factory.mktemp("stuck")
    image, mount = folder / "image", folder / "mount"
    mount.mkdir()
    image.write_bytes(b"\0" * (8 << 20))
    made = ["mkfs.ext4", "-q", image], ["mount", "-o", "loop", image, mount], ["fsfreeze", "-f", mount]
    try:
        for words in made:
            subprocess.run(words, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        subprocess.run(["umount", mount], capture_output=True)
        pytest.skip(f"no disk can be stopped here: {error}")
    yield mount
    subprocess.run(["fsfreeze", "-u", mount], check=True)
    for _ in range(100):
        if subprocess.run(["umount", mount], capture_output=True).returncode == 0:
            break
        time.sleep(0.1)
    assert not [path for path in mount.iterdir()]


def any_reporter(pid):
    """Whether a process writes for this one."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(f"libprof-reporter\0{pid}\0".encode()):
                return True
        except OSError:
            pass  # it has ended
    return False


@pytest.mark.parametrize("way", ["exit", "_exit", "TERM"])
def test_stuck_disk(runner, stuck_disk, way):
    """The program ends when its time is over, though the process that writes cannot be killed; what reads its output sees that."""
    words = ENDINGS[way][0]
    run = runner.run(words, {"PROF_CPU": f"{stuck_disk}/cpu.prof", "PROF_EXIT_TIMEOUT": "0.3"})
    assert not run.stuck and run.returncode == STATUS[way]
    assert len(run.log) == 1 and "PROF_EXIT_TIMEOUT is over" in run.log[0], run.stderr


def test_second_signal_ends_at_once(runner, stuck_disk):
    """The first waits for the profiles, for a minute here, and so does one that was sent with it; a later one does not."""
    def during(process, folder):
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        for _ in range(1000):
            if any_reporter(process.pid):
                break
            time.sleep(0.01)
        time.sleep(0.8)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
    run = runner.run(["sleep", "1000"], {"PROF_CPU": f"{stuck_disk}/cpu.prof", "PROF_EXIT_TIMEOUT": "100000"}, during=during)
    assert not run.stuck and run.returncode == -signal.SIGTERM and run.log == []


@pytest.fixture
def folder_for_all():
    """pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o711)
        yield pathlib.Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives root up")
@pytest.mark.parametrize("end", ["0", "_exit", "15"])
def test_owners_where_root_is_given_up(runner, folder_for_all, end):
    """What is written before is root's, what is written after belongs to who it is then. Where that one may not write, one line says so."""
    for name, mode, owners in (("open", 0o1777, {"cpu.prof": 0, "heap.prof": 65534}), ("closed", 0o700, {"cpu.prof": 0})):
        folder = folder_for_all / name
        folder.mkdir()
        folder.chmod(mode)
        settings = {"PROF_CPU": f"{folder}/cpu.prof", "PROF_CPU_DURATION": "0.03", "PROF_HEAP": f"{folder}/heap.prof"}
        run = runner.run(["resources_changes", "setuid", end], settings)
        assert run.returncode == {"0": 0, "_exit": 7, "15": -15}[end]
        assert {path.name: path.stat().st_uid for path in folder.iterdir()} == owners
        missing = f"libprof: the heap profile is not written: cannot create '{folder}/heap.prof': Permission denied"
        assert run.log == ([missing] if name == "closed" else []), run.stderr
