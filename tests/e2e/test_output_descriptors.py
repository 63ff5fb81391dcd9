"""Profiles that go to a descriptor of the program's, at every end; and descriptors that libprof has nothing to say to."""

import subprocess

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


@pytest.mark.parametrize("end", ["exit 3", "kill -TERM $$"])
def test_what_the_program_has_opened_as_descriptor_2_is_its_own(tmp_path, end):
    """The profile cannot be written, and there is nobody to tell."""
    command = ["env", "PROF_CPU=/nonexistent/cpu.prof", f"LD_PRELOAD={LIBRARY}", "bash", "-c", f"exec 2>data; echo data >&2; {end}"]
    ended = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=60)
    assert ended.returncode == ENDS[end] and (tmp_path / "data").read_text() == "data\n"
