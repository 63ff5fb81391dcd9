"""Firefox Profiler's own importer, npm's profiler-cli: opens a file as profiler.firefox.com would, and says what it shows of it."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pprof

PROGRAM = pprof.BUILD / "third_party/profiler-cli/node_modules/@firefox-devtools/profiler-cli/dist/profiler-cli.js"
PATIENCE = 60


def why_not():
    """Why it cannot be run here; None where it can."""
    if shutil.which("node") is None:
        return "there is no node"
    if not PROGRAM.exists():
        return "profiler-cli is not installed (tools/deps; npm)"
    if subprocess.run(["node", PROGRAM, "--version"], capture_output=True).returncode != 0:
        return "profiler-cli does not run here"
    return None


class FirefoxProfiler:
    """A session with a file in it. A context manager."""

    def __init__(self, path):
        self._path = pathlib.Path(path)

    def __enter__(self):
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="profiler-cli-"))
        self._environment = dict(os.environ, PROFILER_CLI_SESSION_DIR=str(self._folder), HOME=str(self._folder),
                                 PROFILER_CLI_NO_SYMBOLICATE="1")
        self._output = open(self._folder / "output", "wb")
        self._session = subprocess.Popen(["node", PROGRAM, "--daemon", self._path, "--session", "test"], stdout=self._output,
                                         stderr=self._output, env=self._environment)
        until = time.monotonic() + PATIENCE
        # Who asks before it listens takes the session for a dead one, and clears it away.
        while not self._listens() or self._run("status").returncode != 0:
            if self._session.poll() is not None or time.monotonic() > until:
                said = (self._folder / "output").read_text(errors="replace")
                self.__exit__()
                raise TimeoutError("profiler-cli did not open the file: " + said)
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        self._session.terminate()
        try:
            self._session.wait(20)
        except subprocess.TimeoutExpired:
            self._session.kill()
            self._session.wait()
        self._output.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listens(self):
        return all((self._folder / f"test.{end}").exists() for end in ("json", "sock", "log"))

    def _run(self, *arguments):
        return subprocess.run(["node", PROGRAM, *arguments, "--session", "test"], capture_output=True, text=True,
                              env=self._environment, timeout=PATIENCE)

    def _ask(self, *arguments):
        answer = self._run(*arguments, "--json")
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    def threads(self):
        """By their numbers: the name, and the handle to ask with."""
        return {int(thread["tid"].split(":")[1]): (thread["name"], thread["threadHandle"])
                for thread in self._ask("thread", "list")["threads"]}

    def markers(self, handle):
        """A thread's intervals: their names, with what it shows beside each."""
        return {kind["markerName"]: [marker["label"] for marker in kind["topMarkers"]]
                for kind in self._ask("thread", "markers", "--thread", handle)["byType"]}
