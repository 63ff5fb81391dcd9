"""RLIMIT_AS and RLIMIT_DATA from just enough to load libprof.so upwards: the program does the same, and its profiles are there, or a line says
that they are not."""

import subprocess

import pytest

import pprof

WORK = pprof.BUILD / "programs" / "resources_work"
KINDS = {kind: f"{kind.lower()}.prof" for kind in ("CPU", "HEAP", "BLOCK", "MUTEX", "THREAD", "WALL")}
LIMITS = [("as", megabytes) for megabytes in range(16, 42, 2)] + [("data", megabytes) for megabytes in range(8, 28, 2)]


def run(folder, limit, megabytes, environment):
    command = ["prlimit", f"--{limit}={megabytes}000000", "env", *environment, WORK, "own.txt"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("limit, megabytes", LIMITS)
def test_a_profile_is_there_or_a_line_says_why(tmp_path, limit, megabytes):
    plain = run(tmp_path, limit, megabytes, [])
    assert plain.returncode == 0
    settings = [f"PROF_{kind}={tmp_path / name}" for kind, name in KINDS.items()]
    profiled = run(tmp_path, limit, megabytes, [*settings, f"LD_PRELOAD={pprof.BUILD / 'libprof.so'}"])
    assert (profiled.returncode, profiled.stdout) == (0, plain.stdout), profiled.stderr
    lines = profiled.stderr.splitlines()
    assert all(line.startswith("libprof: ") for line in lines), profiled.stderr
    written = {name for name in KINDS.values() if (tmp_path / name).exists()}
    if written == set(KINDS.values()):
        assert not lines
        for name in written:
            pprof.document(tmp_path / name)
    else:
        assert len(lines) == 1, (written, profiled.stderr)
