"""The fuzz target of core/unwind (tests/fuzz), as long as a test may take; `make fuzz` runs it for an hour."""

import subprocess

import pprof

SECONDS = 40
SEED = 20240611


def test_unwind_fuzz():
    """A finding says the seed and the round, which repeat it: build/unwind_fuzz 0 SEED ROUND."""
    command = [str(pprof.BUILD / "unwind_fuzz"), str(SECONDS), str(SEED)]
    # The same addresses each time, where that is allowed: some rounds depend on them.
    fixed = ["setarch", "-R"]
    if subprocess.run(fixed + ["true"], capture_output=True).returncode == 0:
        command = fixed + command
    run = subprocess.run(command, capture_output=True, timeout=SECONDS + 300)
    assert run.returncode == 0 and b"no finding" in run.stdout, (run.stdout + run.stderr).decode(errors="replace")
