"""Runs programs under the library that was built, two at a time on two cores, and keeps what they left behind."""

import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import threading

import pytest

import pprof

LIBRARY = pprof.BUILD / "libprof.so"
PROGRAMS = pprof.BUILD / "programs"
CORES = min(2, os.cpu_count())
# A shell ignores them for what it starts in the background, and the programs under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


class Run:
    """A program that has ended, in a folder of its own."""

    def __init__(self, folder, returncode, stdout, stderr, stuck):
        self.folder, self.returncode, self.stdout, self.stderr, self.stuck = folder, returncode, stdout, stderr, stuck

    @property
    def result(self):
        """The JSON line that a victim prints, after the checks that hold for every victim."""
        self.check_unharmed()
        return json.loads(self.stdout.decode().splitlines()[-1])

    def check_unharmed(self):
        assert not self.stuck, f"did not end: {self.stderr.decode()}"
        assert self.returncode == 0, f"exit code {self.returncode}: {self.stderr.decode()}"

    @property
    def log(self):
        """libprof's lines on stderr."""
        return [line for line in self.stderr.decode(errors="replace").splitlines() if line.startswith("libprof:")]

    def files(self):
        """Profiles, complete or not, by name."""
        return sorted(path.name for path in self.folder.iterdir() if ".prof" in path.name or ".pb.gz" in path.name)

    def profile(self, name="cpu.prof"):
        assert (self.folder / name).exists(), f"no {name} among {self.files()}: {self.stderr.decode()}"
        return pprof.read(self.folder / name)

    def children(self):
        """The profiles of child processes, {pid: profile}."""
        found = {}
        for name in self.files():
            parts = name.split(".")
            if len(parts) == 3 and parts[1].isdigit() and name.endswith(".prof"):
                found[int(parts[1])] = self.profile(name)
        return found


class Runner:
    """Starts runs as cores become free. `start` returns at once; the future's result() waits."""

    def __init__(self, factory):
        self._factory = factory
        self._free = CORES
        self._turn = threading.Condition()
        self._pool = concurrent.futures.ThreadPoolExecutor(64)

    def start(self, command, settings=None, **options):
        return self._pool.submit(self._run, command, settings or {}, **options)

    def run(self, command, settings=None, **options):
        return self.start(command, settings, **options).result()

    def _run(self, command, settings, cores=1, preload=True, stdin=None, limits=None, timeout=150, folder=None,
             environment=None, during=None):
        with self._turn:
            folder = folder or self._factory.mktemp("run")
            self._turn.wait_for(lambda: self._free >= cores)
            self._free -= cores
        try:
            return self._run_now(command, settings, preload, stdin, limits, timeout, folder, environment, during)
        finally:
            with self._turn:
                self._free += cores
                self._turn.notify_all()

    def _run_now(self, command, settings, preload, stdin, limits, timeout, folder, environment, during):
        first = PROGRAMS / command[0]
        words = [str(first if first.exists() else command[0])] + [str(word) for word in command[1:]]
        words = [word.replace("{folder}", str(folder)) for word in words]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PROF_", "LD_PRELOAD"))}
        clean.update(environment or {})
        if preload:
            clean["LD_PRELOAD"] = str(LIBRARY)
            clean["PROF_CPU"] = "{folder}/cpu.prof"
            clean.update(settings)
            clean = {name: value.replace("{folder}", str(folder)) for name, value in clean.items() if value is not None}
        # Output goes to files: a pipe would be held open by whatever outlives the program.
        with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
            process = subprocess.Popen(words, stdin=stdin and open(stdin, "rb") or subprocess.DEVNULL, stdout=out,
                                       stderr=err, env=clean, cwd=folder, preexec_fn=limits, start_new_session=True)
            stuck = False
            try:
                if during:
                    during(process, folder)
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                stuck = True
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        stdout, stderr = [(folder / name).read_bytes() for name in ("stdout", "stderr")]
        return Run(folder, process.returncode, stdout, stderr, stuck)


@pytest.fixture(scope="session")
def runner(tmp_path_factory):
    assert LIBRARY.exists() and PROGRAMS.is_dir(), "make all programs first"
    return Runner(tmp_path_factory)


@pytest.fixture(scope="module")
def runs(request, runner):
    """The module's RUNS, {name: (command, settings, options)}, all started; runs[name] waits for its own."""
    jobs = request.module.RUNS() if callable(request.module.RUNS) else request.module.RUNS
    futures = {}
    for name, (command, *rest) in jobs.items():
        settings = rest[0] if rest else {}
        options = rest[1] if len(rest) > 1 else {}
        futures[name] = runner.start(command, settings, **options)

    class Runs:
        def __getitem__(self, name):
            return futures[name].result()

    yield Runs()
    concurrent.futures.wait(futures.values())


@pytest.fixture(scope="session")
def perf_clock():
    """Skips where the kernel does not let us have the perf clock with kernel time counted."""
    paranoid = int(pathlib.Path("/proc/sys/kernel/perf_event_paranoid").read_text())
    if os.geteuid() != 0 and paranoid > 1:
        pytest.skip("perf events are not permitted here (kernel.perf_event_paranoid > 1)")
