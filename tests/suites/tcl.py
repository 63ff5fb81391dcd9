"""Tcl's own tests, built from Debian's source package."""

import suite

FILES = ["exec.test", "ioCmd.test", "io.test", "chan.test", "chanio.test", "event.test", "timer.test", "socket.test", "async.test", "fCmd.test",
         "unixFCmd.test", "unixInit.test", "unixNotfy.test", "thread.test", "load.test", "unload.test", "clock.test", "string.test", "expr.test",
         "regexp.test", "namespace.test", "coroutine.test", "nre.test", "interp.test", "pid.test", "zlib.test"]
SOURCE = suite.Source("tcl8.6", "tcl8.6-*")


def prepare(place, root, brief):
    return "is built from its source" if brief else SOURCE.prepare(place, root, "./configure -q", "make -j2 tcltest", under="unix")


def tests(place, brief):
    source = SOURCE.folder(place)
    environment = {"LD_LIBRARY_PATH": str(source / "unix"), "TCL_LIBRARY": str(source / "library")}
    return [suite.Test(name, [str(source / "unix" / "tcltest"), str(source / "tests" / "all.tcl"), "-file", name, "-verbose", "pste", "-singleproc", "1"],
                       None, environment) for name in FILES]


def results(output):
    """Of each test that passed, failed or was left out."""
    found = {}
    for line in output.splitlines():
        words = line.split()
        if line.startswith("++++ ") and len(words) >= 3:
            found[words[1]] = words[2].rstrip(":")
        elif line.startswith("==== ") and line.endswith(" FAILED"):
            found[words[1]] = "FAILED"
    return found
