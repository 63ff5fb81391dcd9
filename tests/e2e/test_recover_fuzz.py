"""The fuzz target of recovery (tests/fuzz/recover), as long as a test may take; `make fuzz_recover` runs it for an hour."""

import subprocess

import pprof

SECONDS = 15


def test_recover_fuzz():
    """A finding says which file it was, which repeats it: build/recover_fuzz 0 FILE."""
    answer = subprocess.run([pprof.BUILD / "recover_fuzz", str(SECONDS), pprof.BUILD, "20261121"], capture_output=True,
                            timeout=SECONDS + 300)
    assert answer.returncode == 0 and b"no finding" in answer.stdout, (answer.stdout + answer.stderr).decode(errors="replace")
