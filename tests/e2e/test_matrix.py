"""The matrix of programs that check themselves (tests/matrix), each with and without libprof.so: a test a case."""

import os
import pathlib
import subprocess

import pytest

import pprof
from conftest import CORES

RUN = pathlib.Path(__file__).parents[1] / "matrix" / "run"
NAMES = subprocess.run([RUN, "--list"], capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture(scope="module")
def lines():
    """{case: the runner's line}"""
    pprof.documents([])
    answer = subprocess.run([RUN, f"-j{CORES}"], capture_output=True, text=True, env=dict(os.environ, PROF_TEST_BUILD=str(pprof.BUILD)))
    words = [(line, line.removeprefix("left out").split()) for line in answer.stdout.splitlines()]
    return {name: line for line, parts in words for name in parts[:2] if name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_program_does_the_same_and_is_profiled(lines, name):
    if lines[name].startswith("left out"):
        pytest.skip(lines[name])
    assert lines[name].startswith("ok "), lines[name]
