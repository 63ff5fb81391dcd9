"""What a suite is made of. A module of a suite (perl.py …) has

    prepare(place, root, brief) -> str or None   fetches and builds what it needs in the folder `place`; what is missing, if it cannot
    tests(place, brief) -> [Test]                brief: some seconds of it, of what is installed
    results(output) -> {check: result}           of a test's output, both streams
    faults(output, profiles) -> [text]           if it is there: of what a run with libprof.so left in that folder
"""

import collections
import platform
import re
import subprocess

Test = collections.namedtuple("Test", "name command folder environment", defaults=(None, {}))


class Source:
    """A Debian source package, in the folder of its suite."""

    def __init__(self, package, pattern):
        self.package, self.pattern = package, pattern

    def folder(self, place):
        """None: it is not there yet."""
        return next(iter(sorted(path for path in place.glob(f"source/{self.pattern}") if path.is_dir())), None)

    def fetch(self, place, root):
        """Once. None where it cannot be had."""
        # What is newest may have gone from the mirror.
        for form in ("", "/stable", f"/{codename()}"):
            if self.folder(place) or subprocess.run([root / "tools" / "fetch_sources", place, self.package + form]).returncode == 0:
                break
        return self.folder(place)

    def prepare(self, place, root, *commands, under="."):
        """Fetches it and runs the commands in that folder of it, once. What is missing, or None."""
        source = self.fetch(place, root)
        if source is None:
            return "no source package"
        work = source / under
        done = work / "suite.stamp"
        if done.exists():
            return None
        with open(work / "suite.log", "wb") as log:
            for command in commands:
                if subprocess.run(command, shell=True, cwd=work, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode != 0:
                    return f"cannot be built: {work}/suite.log"
        done.touch()
        return None


def codename():
    """Of this release of Debian."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")


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


def checks(output):
    """Results of a driver's "check NAME: RESULT"."""
    return dict(re.findall(r"^check (.+?): (.*)$", output, re.MULTILINE))


def missing_profiles(output, profiles):
    """Of the processes that a driver's "process PID WHAT" names."""
    left = {part for path in profiles.iterdir() for part in path.name.split(".")}
    return [f"no profile of {pid} {what}" for pid, what in re.findall(r"^process (\d+) (.*)$", output, re.MULTILINE) if pid not in left]
