"""PostgreSQL: clusters of the installed one, under load, signals and crashes (drivers/postgres.py), and the source package's own
regression and isolation tests."""

import pathlib
import re
import shutil

import suite

DRIVER = pathlib.Path(__file__).parent / "drivers" / "postgres.py"
NAMES = ["pgbench", "signals", "crashes", "postmaster_killed", "parallel", "standby"]
BRIEF = ["postmaster_killed"]
SOURCE = suite.Source("postgresql-15", "postgresql-15-*")


def prepare(place, root, brief):
    if not installed():
        return "postgresql is not installed"
    if not brief:
        print("suites: postgres: of its source:", prepare_source(place, root) or "ready", flush=True)
    return None


def prepare_source(place, root):
    """What is missing for its own tests, which build a server that is installed in the suite's folder."""
    missing = [name for name in ("bison", "flex") if not shutil.which(name)]
    if missing:
        return f"{' and '.join(missing)} not installed"
    return SOURCE.prepare(place, root, f"./configure -q --prefix={place}/install --without-readline --without-zlib CFLAGS=-O1", "make -s -j2",
                          "make -s install", "make -s -j2 -C src/test/regress", "make -s -j2 -C src/test/isolation")


def installed():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def tests(place, brief):
    found = [driven(installed(), name) for name in (BRIEF if brief else NAMES)]
    source = SOURCE.folder(place)
    if brief or source is None or not (source / "suite.stamp").exists():
        return found
    for name, program in (("regress", "pg_regress"), ("isolation", "pg_isolation_regress")):
        folder = source / "src" / "test" / name
        schedule = folder / ("parallel_schedule" if name == "regress" else "isolation_schedule")
        found.append(driven(place / "install" / "bin", "regress", str(folder / program), "--temp-instance=@/instance", f"--inputdir={folder}",
                            "--outputdir=@/results", f"--bindir={place}/install/bin", f"--dlpath={source}/src/test/regress", "--encoding=UTF8",
                            "--no-locale", "--max-connections=8", f"--schedule={schedule}", label=name))
    return found


def driven(binaries, name, *words, label=None):
    return suite.Test(label or name, ["/usr/bin/python3", str(DRIVER), str(binaries), name, *words])


def results(output):
    own = re.findall(r"^(?:test)? +(\S+) +\.\.\. (ok|FAILED|failed)", output, re.MULTILINE)
    return suite.checks(output) | dict(own)


faults = suite.missing_profiles
