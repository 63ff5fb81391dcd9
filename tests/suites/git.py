"""git's own test scripts, built from Debian's source package."""

import re

import suite

# The basics, and what works with many processes, pipes, locks and signals.
SCRIPTS = re.compile(r"t(0000|0005|0006|0007|0008|0013|0020|0021|0040|0050|006\d|0070|0090|0300|0301|1000|1006|1050|1300|1400|1404|1410|1450|1500|2000|2200|3200|3400|3404|"
                     r"4000|4013|5300|5304|5500|5510|5516|5601|6000|6300|7400|7500|7600|7810|9300)-.*\.sh")
FLAGS = "CFLAGS=-O1 NO_OPENSSL=1 NO_CURL=1 NO_EXPAT=1 NO_GETTEXT=1 NO_PYTHON=1 NO_TCLTK=1"
SOURCE = suite.Source("git", "git-*.*")


def prepare(place, root, brief):
    return "is built from its source" if brief else SOURCE.prepare(place, root, f"make -j2 {FLAGS}")


def tests(place, brief):
    scripts = SOURCE.folder(place) / "t"
    # Each run has a folder of its own: the runner's.
    return [suite.Test(path.name, ["/bin/sh", "-c", f'exec /bin/sh ./{path.name} --root="$TMPDIR"'], scripts)
            for path in sorted(scripts.glob("t*.sh")) if SCRIPTS.fullmatch(path.name)]


results = suite.tap
