"""The fuzz targets (tests/fuzz), a minute each and side by side; `make fuzz` and `make fuzz_recover` run them for an hour."""

import subprocess

import pytest

import pprof

SECONDS = 60
# The target and what follows the seconds. A finding says what repeats it: build/unwind_fuzz 0 SEED ROUND, build/recover_fuzz 0 FILE.
TARGETS = {"unwind": ["unwind_fuzz", 20240611], "recover": ["recover_fuzz", pprof.BUILD, 20261121]}


@pytest.fixture(scope="module")
def outputs():
    # The same addresses each time, where that is allowed: some rounds depend on them.
    fixed = ["setarch", "-R"]
    if subprocess.run(fixed + ["true"], capture_output=True).returncode != 0:
        fixed = []
    runs = {name: subprocess.Popen([*fixed, str(pprof.BUILD / target), str(SECONDS), *map(str, words)], stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT) for name, (target, *words) in TARGETS.items()}
    try:
        yield {name: (run.communicate(timeout=SECONDS + 300)[0], run.returncode) for name, run in runs.items()}
    finally:
        for run in runs.values():
            if run.poll() is None:
                run.kill()
                run.wait()


@pytest.mark.parametrize("name", TARGETS)
def test_no_finding(outputs, name):
    output, returncode = outputs[name]
    assert returncode == 0 and b"no finding" in output, output.decode(errors="replace")
