"""Output that cannot be written: one line on stderr at the end, and one at the start where a folder is to blame; nothing left behind, the program's result unchanged."""

import os
import pathlib
import resource
import stat
import subprocess

import pytest

STEADY = ["steady", .05, 6]

RUNS = {
    "missing": (STEADY, {"PROF_CPU": "{folder}/none/cpu.prof"}),
    "missing_directory": (STEADY, {"PROF_CPU": None, "PROF_DIR": "{folder}/none"}),
    "below_a_file": (STEADY, {"PROF_CPU": "{folder}/stdout/cpu.prof"}),
    "is_a_directory": (STEADY, {"PROF_CPU": "{folder}"}),
    "name_too_long": (STEADY, {"PROF_CPU": "{folder}/" + "n" * 300}),
    "path_too_long": (STEADY, {"PROF_CPU": "{folder}/" + "n/" * 3000 + "cpu.prof"}),
    "proc": (STEADY, {"PROF_CPU": "/proc/cpu.prof"}),
    "missing_switched": (["switches", "{folder}"], {"PROF_CPU": "{folder}/none/cpu.prof", "PROF_CPU_SIGNAL": "USR1"}),
    "many": (STEADY, {"PROF_CPU": "{folder}/none/cpu.prof", "PROF_HEAP": "{folder}/none/heap.prof",
                      "PROF_BLOCK": "{folder}/nowhere/block.prof", "PROF_MUTEX": "{folder}/mutex.prof"}),
    "comes_later": (["/usr/bin/python3", "-c", "import os; os.mkdir('later'); sum(range(3000000))"],
                    {"PROF_CPU": "{folder}/later/cpu.prof"}),
    "with_children": (["/usr/bin/python3", "-c", "import subprocess\nfor _ in range(3): subprocess.run(['/bin/true'])"],
                      {"PROF_CPU": "{folder}/none/cpu.prof"}),
    "null": (STEADY, {"PROF_CPU": "/dev/null"}),
    "relative": (["perl", "-e", "chdir '/'; $i += $_ for 1 .. 3e6; exit 6"], {"PROF_CPU": "cpu.prof"}),
    "umask": (STEADY, {}, {"limits": lambda: os.umask(0o777)}),
}
BAD = ["name_too_long", "path_too_long", "proc"]
BAD_FOLDER = ["missing", "missing_directory", "below_a_file"]
AS_IT_IS_NOW = "as it is now: "


def check_refused(run, lines=1):
    assert run.returncode == 6 and not run.stuck, run.stderr
    assert run.stdout.startswith(b'{"steady_work"')
    assert len(run.log) == lines and run.stderr.count(b"\n") == lines, run.stderr
    assert run.files() == []


def check_folder_refused(run):
    """A line at the start, and one at the end."""
    check_refused(run, lines=2)
    assert AS_IT_IS_NOW in run.log[0] and "not written: cannot create" in run.log[1], run.stderr


@pytest.mark.parametrize("name", BAD)
def test_cannot_be_written(runs, name):
    check_refused(runs[name])


@pytest.mark.parametrize("name", BAD_FOLDER)
def test_folder_cannot_be_written(runs, name):
    run = runs[name]
    check_folder_refused(run)
    variable = "PROF_DIR" if name == "missing_directory" else "PROF_CPU"
    folder = run.folder / ("stdout" if name == "below_a_file" else "none")
    assert run.log[0].startswith(f"libprof: {variable}: nothing can be written to '{folder}' {AS_IT_IS_NOW}"), run.log


def test_name_of_a_folder(runs):
    run = runs["is_a_directory"]
    check_refused(run, lines=2)
    assert run.log[0] == (f"libprof: PROF_CPU: nothing can be written to '{run.folder}' {AS_IT_IS_NOW}it is a folder "
                          "(a file's name is needed)")


def test_every_kind_that_is_not_written_is_named(runs):
    """At the start by its variable, a line a folder; at the end in one line. What can be written is."""
    run = runs["many"]
    assert run.returncode == 6 and run.files() == ["mutex.prof"], run.files()
    none, nowhere = run.folder / "none", run.folder / "nowhere"
    why = "No such file or directory"
    assert run.log[:2] == [f"libprof: PROF_CPU, PROF_HEAP: nothing can be written to '{none}' {AS_IT_IS_NOW}{why}",
                           f"libprof: PROF_BLOCK: nothing can be written to '{nowhere}' {AS_IT_IS_NOW}{why}"]
    assert run.log[2:] == [f"libprof: the CPU, block and heap profiles are not written: cannot create "
                           f"'{none}/cpu.prof': {why}; cannot create '{nowhere}/block.prof': {why}"]
    assert runs["missing_directory"].log[1].startswith(
        "libprof: the CPU, block, mutex, threadcreate, heap and allocs profiles are not written: cannot create ")


def test_folder_that_comes_later(runs):
    run = runs["comes_later"]
    assert run.returncode == 0 and len(run.log) == 1 and AS_IT_IS_NOW in run.log[0], run.stderr
    assert run.profile("later/cpu.prof").total > 0


def test_folder_is_mentioned_once_for_all_children(runs):
    run = runs["with_children"]
    run.check_unharmed()
    assert len([line for line in run.log if AS_IT_IS_NOW in line]) == 1, run.stderr


def test_a_device_needs_no_folder(runs):
    assert runs["null"].returncode == 6 and runs["null"].stderr == b""


def test_cannot_be_written_while_the_program_runs(runs):
    """A line at the start, and one for a stretch at most."""
    run = runs["missing_switched"]
    run.check_unharmed()
    assert 2 <= len(run.log) <= 3, run.stderr
    assert run.stderr.count(b"\n") == len(run.log)


def test_relative_to_where_the_program_started(runs):
    run = runs["relative"]
    assert run.returncode == 6 and run.stderr == b""
    assert run.profile().total > 0


def test_file_mode_does_not_depend_on_umask(runs):
    run = runs["umask"]
    assert run.returncode == 6
    assert stat.S_IMODE((run.folder / "cpu.prof").stat().st_mode) in (0, 0o600)


@pytest.fixture
def tmpfs(tmp_path):
    """Mounts a file system of its own; with a size in KB, or read-only."""
    mounted = []

    def mount(name, options):
        folder = tmp_path / name
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "none", folder]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("needs the right to mount a file system")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def fill(folder):
    with pytest.raises(OSError):
        with open(folder / "filler", "wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))


def test_full(runner, tmpfs):
    folder = tmpfs("full", "size=64k")
    fill(folder)
    check_refused(runner.run(STEADY, {"PROF_CPU": f"{folder}/cpu.prof"}))
    assert os.listdir(folder) == ["filler"], "something was left behind"


def test_full_keeps_what_was_there(runner, tmpfs):
    """The file of an earlier run is replaced by a whole one or not at all."""
    folder = tmpfs("full", "size=64k")
    (folder / "cpu.prof").write_bytes(b"before")
    fill(folder)
    check_refused(runner.run(STEADY, {"PROF_CPU": f"{folder}/cpu.prof"}))
    assert (folder / "cpu.prof").read_bytes() == b"before"
    assert sorted(os.listdir(folder)) == ["cpu.prof", "filler"]


def test_read_only(runner, tmpfs):
    check_folder_refused(runner.run(STEADY, {"PROF_CPU": f"{tmpfs('read_only', 'ro')}/cpu.prof"}))


def test_not_permitted(runner, tmp_path):
    """As another user, to whom the folder says no."""
    if os.geteuid() != 0:
        pytest.skip("needs the right to become another user")

    def become_nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    import conftest
    reachable = subprocess.run(["cat", conftest.LIBRARY], preexec_fn=become_nobody, capture_output=True).returncode == 0
    if not reachable:
        pytest.skip("the library lies where another user cannot read it")
    check_folder_refused(runner.run(STEADY, {"PROF_CPU": "/usr/cpu.prof"}, limits=become_nobody))
    null = runner.run(STEADY, {"PROF_CPU": "/dev/null"}, limits=become_nobody)
    assert null.returncode == 6 and null.stderr == b"", null.stderr


def test_device_is_not_replaced(runner, tmp_path):
    """A rename would turn /dev/null into a file, for everybody."""
    if os.geteuid() != 0:
        pytest.skip("needs the right to make a device")
    device = tmp_path / "null"
    os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    run = runner.run(STEADY, {"PROF_CPU": str(device)})
    assert run.returncode == 6
    assert stat.S_ISCHR(device.stat().st_mode), "the device is gone"


def test_no_file_may_grow(runner):
    """RLIMIT_FSIZE: who writes too much is sent a signal that kills."""
    run = runner.run(["closes_fds"], limits=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
    assert run.returncode == 7, run.stderr


def test_existing_file_is_replaced(runner, tmp_path):
    (tmp_path / "cpu.prof").write_bytes(b"before")
    run = runner.run(STEADY, {"PROF_CPU": f"{tmp_path}/cpu.prof"})
    assert run.returncode == 6 and run.stderr == b""
    assert (tmp_path / "cpu.prof").read_bytes()[:2] == b"\x1f\x8b"
    assert os.listdir(tmp_path) == ["cpu.prof"]
    assert stat.S_IMODE(pathlib.Path(tmp_path / "cpu.prof").stat().st_mode) == 0o600


def test_the_program_gets_the_same_descriptor_numbers(runner):
    """Nothing of ours stays open in the program: its first file has the number that it has without us."""
    command = ["/usr/bin/python3", "-c", "import os; print(os.open('/dev/null', os.O_RDONLY))"]
    for settings in ({}, {"PROF_CPU_HZ": "1000"}, {"PROF_CPU_SIGNAL": "USR1"}):
        assert runner.run(command, settings).stdout == runner.run(command, preload=False).stdout
