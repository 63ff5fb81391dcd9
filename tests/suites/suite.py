"""What a suite is made of. A module of a suite (perl.py …) has

    prepare(place, root, brief) -> str or None   fetches and builds what it needs in the folder `place`; what is missing, if it cannot
    tests(place, brief) -> [Test]                brief: some seconds of it, of what is installed
    results(output) -> {check: result}           of a test's output, both streams
"""

import collections
import re
import subprocess

Test = collections.namedtuple("Test", "name command folder environment", defaults=(None, {}))


def fetch(place, root, package, pattern):
    """The folder of a source package, fetched once; None where it cannot be had."""
    found = sorted(place.glob(f"source/{pattern}"))
    if not found:
        for form in (package, f"{package}/stable"):  # what is newest may have gone from the mirror
            if subprocess.run([root / "tools" / "fetch_sources", place, form]).returncode == 0:
                break
        found = sorted(place.glob(f"source/{pattern}"))
    return found[0] if found else None


def make(folder, stamp, *commands):
    """Runs the commands there, once. False, and the end of the output in the log beside it, where one fails."""
    done = folder / stamp
    if done.exists():
        return True
    with open(folder / "suite.log", "wb") as log:
        for command in commands:
            if subprocess.run(command, shell=True, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode != 0:
                return False
    done.touch()
    return True


def tap(output):
    """Results of a test that speaks TAP."""
    found = {}
    for line in output.splitlines():
        match = re.match(r"(not )?ok (\d+)(?: *-? *(.*))?", line)
        if match:
            what = re.sub(r"0x[0-9a-f]+", "0x", match[3] or "")
            todo = re.search(r"# *(TODO|SKIP|skip)\b", what)
            found[match[2]] = ("not ok" if match[1] else "ok") + (f" {todo[1].lower()}" if todo else "")
    return found
