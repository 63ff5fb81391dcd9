"""Profiles that go to a descriptor of the program's, at every end; and descriptors that libprof has nothing to say to."""

import contextlib
import os
import pty
import socket
import subprocess
import termios

import pytest

import pprof

LIBRARY = pprof.BUILD / "libprof.so"
ENDS = {"exit 3": 3, "kill -TERM $$": -15, "kill -ABRT $$": -6}


@pytest.mark.parametrize("end", ENDS)
def test_a_profile_to_stdout_comes_whole(tmp_path, end):
    command = ["env", "PROF_HEAP=/dev/stdout", "PROF_HEAP_RATE=1", f"LD_PRELOAD={LIBRARY}", "bash", "-c", f"for i in {{1..100}}; do a+=$i; done; {end}"]
    ended = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=60)
    assert (ended.returncode, ended.stderr) == (ENDS[end], b"")
    (tmp_path / "heap.prof").write_bytes(ended.stdout)
    assert pprof.document(tmp_path / "heap.prof")["samples"]


@pytest.mark.parametrize("end", ENDS)
def test_stdout_that_is_a_file(tmp_path, end):
    """It has what the program prints, and no more, and /dev/stdout, which root may replace, is the link that it was."""
    command = ["env", "PROF_HEAP=/dev/stdout", f"LD_PRELOAD={LIBRARY}", "bash", "-c", f"echo said; {end}"]
    with open(tmp_path / "said", "wb") as file:
        ended = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, cwd=tmp_path, timeout=60)
    assert ended.returncode == ENDS[end] and os.path.islink("/dev/stdout") and (tmp_path / "said").read_text() == "said\n"
    lines = ended.stderr.decode().splitlines()
    assert len(lines) == 2 and all(line.endswith("it is a file, by a link of the system's: name the file") for line in lines), lines


@pytest.mark.parametrize("end", ["exit 3", "kill -TERM $$"])
def test_what_the_program_has_opened_as_descriptor_2_is_its_own(tmp_path, end):
    """The profile cannot be written, and there is nobody to tell."""
    command = ["env", "PROF_CPU=/nonexistent/cpu.prof", f"LD_PRELOAD={LIBRARY}", "bash", "-c", f"exec 2>data; echo data >&2; {end}"]
    ended = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=60)
    assert ended.returncode == ENDS[end] and (tmp_path / "data").read_text() == "data\n"


def says(**more):
    """A profile that cannot be written: a line at the start, and one at the end."""
    return dict(os.environ, PROF_CPU="/nonexistent/cpu.prof", LD_PRELOAD=str(LIBRARY)) | more


def a_pipe():
    return os.pipe()


def a_socket():
    return [end.detach() for end in socket.socketpair()]


@pytest.mark.parametrize("make", [a_pipe, a_socket])
@pytest.mark.parametrize("end", ENDS)
def test_stderr_that_nobody_reads_any_more(make, end):
    """SIGPIPE would be its end at the first line."""
    theirs, ours = make()
    running = subprocess.Popen(["bash", "-c", end], env=says(), stderr=ours)
    os.close(ours)
    os.close(theirs)
    assert running.wait(60) == ENDS[end]


@pytest.mark.parametrize("make", [a_pipe, a_socket])
@pytest.mark.parametrize("end", ENDS)
def test_stderr_without_room(make, end):
    """It would wait at its start, and in the signal's handler, for somebody to read."""
    theirs, ours = make()
    os.set_blocking(ours, False)
    for some in (b"x" * 4096, b"x"):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(ours, some)
    os.set_blocking(ours, True)
    running = subprocess.Popen(["bash", "-c", end], env=says(), stderr=ours)
    os.close(ours)
    try:
        assert running.wait(60) == ENDS[end]
    finally:
        running.kill()
        os.close(theirs)


@pytest.mark.parametrize("end", ENDS)
def test_stderr_is_a_terminal_that_stops_the_background(end):
    """`stty tostop`: a job in the background that writes is stopped. Its lines are libprof's alone, and come."""
    try:
        pid, terminal = pty.fork()
    except OSError as error:
        pytest.skip(f"no terminal to be had here: {error}")
    if pid == 0:
        # The session's leader, in the foreground.
        modes = termios.tcgetattr(0)
        modes[3] |= termios.TOSTOP
        termios.tcsetattr(0, termios.TCSANOW, modes)
        job = subprocess.Popen(["bash", "-c", end], env=says(), process_group=0)
        _, status = os.waitpid(job.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            job.kill()
            os._exit(99)
        os._exit(abs(os.waitstatus_to_exitcode(status)))
    said = b""
    with contextlib.suppress(OSError):  # EIO: it has ended
        while some := os.read(terminal, 4096):
            said += some
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == abs(ENDS[end]), said
    assert said.count(b"libprof: ") == 2, said
