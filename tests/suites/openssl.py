"""The program openssl: its measurements, handshakes of its server and client, keys, signatures and ciphers (drivers/openssl.py)."""

import pathlib
import shutil

import suite

DRIVER = pathlib.Path(__file__).parent / "drivers" / "openssl.py"
NAMES = ["speed", "handshakes", "files"]


def prepare(place, root, brief):
    return None if shutil.which("openssl") else "openssl is not installed"


def tests(place, brief):
    return [suite.Test(name, ["/usr/bin/python3", str(DRIVER), name]) for name in (["files"] if brief else NAMES)]


results = suite.checks
