"""The fuzz target of core/unwind (tests/fuzz), as long as a test may take; `make fuzz` runs it for an hour."""

import subprocess

import pprof

SECONDS = 20
SEEDS = (20240611, 20240612)  # at the same time


def test_unwind_fuzz():
    """A finding says the seed and the round, which repeat it: build/unwind_fuzz 0 SEED ROUND."""
    # The same addresses each time, where that is allowed: some rounds depend on them.
    fixed = ["setarch", "-R"]
    if subprocess.run(fixed + ["true"], capture_output=True).returncode != 0:
        fixed = []
    runs = [subprocess.Popen([*fixed, str(pprof.BUILD / "unwind_fuzz"), str(SECONDS), str(seed)], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT) for seed in SEEDS]
    try:
        outputs = [run.communicate(timeout=SECONDS + 300)[0] for run in runs]
    finally:
        for run in runs:
            if run.poll() is None:
                run.kill()
                run.wait()
    for run, output in zip(runs, outputs):
        assert run.returncode == 0 and b"no finding" in output, output.decode(errors="replace")
