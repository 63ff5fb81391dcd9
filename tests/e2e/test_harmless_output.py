"""Output that cannot be written: one line on stderr, nothing left behind, the program's result unchanged."""

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
    "relative": (["perl", "-e", "chdir '/'; $i += $_ for 1 .. 3e6; exit 6"], {"PROF_CPU": "cpu.prof"}),
    "umask": (STEADY, {}, {"limits": lambda: os.umask(0o777)}),
}
BAD = ["missing", "missing_directory", "below_a_file", "is_a_directory", "name_too_long", "path_too_long", "proc"]


def check_refused(run):
    assert run.returncode == 6 and not run.stuck, run.stderr
    assert run.stdout.startswith(b'{"steady_work"')
    assert len(run.log) == 1 and run.stderr.count(b"\n") == 1, run.stderr
    assert run.files() == []


@pytest.mark.parametrize("name", BAD)
def test_cannot_be_written(runs, name):
    check_refused(runs[name])


def test_cannot_be_written_while_the_program_runs(runs):
    """A line for a stretch at most."""
    run = runs["missing_switched"]
    run.check_unharmed()
    assert 1 <= len(run.log) <= 2, run.stderr
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
    check_refused(runner.run(STEADY, {"PROF_CPU": f"{tmpfs('read_only', 'ro')}/cpu.prof"}))


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
    check_refused(runner.run(STEADY, {"PROF_CPU": "/usr/cpu.prof"}, limits=become_nobody))


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
