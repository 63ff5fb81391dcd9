"""nginx with its workers: reload, graceful end, exchange of its executable, workers that crash (drivers/nginx.py)."""

import pathlib

import suite

DRIVER = pathlib.Path(__file__).parent / "drivers" / "nginx.py"
# nginx has USR2 for itself, and keeps it; or PROF_SIGNAL is another.
TESTS = {"signals": {}, "upgrade": {}, "foreground": {}, "upgrade_moved": {"PROF_SIGNAL": "40"}}


def prepare(place, root, brief):
    return None if pathlib.Path("/usr/sbin/nginx").exists() else "nginx is not installed"


def tests(place, brief):
    return [suite.Test(name, ["/usr/bin/python3", str(DRIVER), name.removesuffix("_moved")], None, environment)
            for name, environment in TESTS.items() if not brief or name == "foreground"]


results = suite.checks
faults = suite.missing_profiles
