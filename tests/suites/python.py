"""CPython's own tests of threads, processes, signals and the operating system's interface, from Debian's libpython3.11-testsuite."""

import pathlib
import re

import suite

PYTHON = "/usr/bin/python3"
MODULES = ["test_threading", "test_subprocess", "test_signal", "test_os", "test_posix", "test_faulthandler", "test_multiprocessing_fork",
           "test_multiprocessing_spawn", "test_multiprocessing_forkserver", "test_fork1", "test_wait4", "test_thread", "test_select", "test_poll",
           "test_popen", "test_pty", "test_mmap", "test_socket", "test_eintr", "test_ctypes"]
BRIEF = ["test_posix", "test_thread", "test_poll", "test_fork1", "test_wait4"]


def prepare(place, root, brief):
    if not list(pathlib.Path("/usr/lib").glob("python3.*/test/test_threading.py")):
        return "libpython3.11-testsuite is not installed"
    return None


def tests(place, brief):
    # Sockets of virtual machines: where there is a host that does not answer they wait for ever.
    return [suite.Test(name, [PYTHON, "-m", "test", "-v", "-i", "*VSOCK*", name]) for name in (BRIEF if brief else MODULES)]


def results(output):
    """Of each test, by its name in parentheses. What else is printed may stand between name and result."""
    found = {}
    name = None
    for line in output.splitlines():
        begins = re.match(r"\w+ \(((?:ctypes\.)?test\.[\w.]+)\)", line)
        name = begins[1] if begins else name
        ends = re.search(r"(?:\.\.\. |^)(ok|FAIL|ERROR|skipped|expected failure|unexpected success)\b", line)
        if name and ends:
            found[name] = ends[1]
            name = None
    return found
