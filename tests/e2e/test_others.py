"""Briefly, what `make soak` and `make suites` do at length: stressors that check themselves, and tests that others wrote, under every kind."""

import os
import pathlib
import re
import subprocess

import pytest

import pprof

TESTS = pathlib.Path(__file__).parents[1]
SECONDS = 60
STRESSORS = ["fork", "vfork", "clone", "exec", "sigq", "sigfd", "sigrt", "sigsegv", "kill", "timer", "itimer", "mutex", "pthread", "malloc", "mmap",
             "mremap", "dynlib"]


def output_of(command):
    answer = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, PROF_TEST_BUILD=str(pprof.BUILD)))
    return answer.stdout + answer.stderr


def test_soak():
    output = output_of([TESTS / "soak" / "run", str(SECONDS), *STRESSORS])
    verdicts = dict(re.findall(r"^soak: (\S+) +(ok|FAILED|skipped)", output, re.MULTILINE))
    assert verdicts.keys() == set(STRESSORS) and "FAILED" not in verdicts.values(), output


@pytest.mark.parametrize("suite", ["python"])
def test_suites(suite):
    output = output_of([TESTS / "suites" / "run", "--brief", suite])
    if "skipped:" in output:
        pytest.skip(output)
    assert "suites: 1 the same, 0 not" in output, output
