"""PROF_SIGNAL's disposition is what the program and its children would have without libprof."""

import os
import subprocess

import pytest

from conftest import LIBRARY


def ignored_signals(folder, before, preload):
    """SigIgn of a program that is executed by one with or without libprof, after the shell's `before`."""
    settings = f"PROF_HEAP={folder}/heap.prof LD_PRELOAD={LIBRARY}" if preload else ""
    script = f"{before} {settings} exec env -u LD_PRELOAD grep SigIgn /proc/self/status"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROF_")}
    answer = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert answer.stderr == ""
    return int(answer.stdout.split()[1], 16)


@pytest.mark.parametrize("before", ["", "trap '' USR2;"])
def test_what_is_executed_inherits_it(tmp_path, before):
    plain = ignored_signals(tmp_path, before, False)
    assert ignored_signals(tmp_path, before, True) == plain
    assert bool(plain & 1 << 11) == bool(before)
