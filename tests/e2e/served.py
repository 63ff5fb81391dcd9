"""Programs that are served over HTTP, and clients of theirs."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess

import conftest
import pprof
from servers import wait_for

HOST = conftest.PROGRAMS / "served"
# No proxy stands between the clients and loopback.
CLEAN = {name: value for name, value in os.environ.items()
         if not name.startswith(("PROF_", "LD_PRELOAD")) and not name.lower().endswith("_proxy")}


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Client:
    """Of a server at "http://host:port" or a unix socket's path."""

    def __init__(self, address):
        self.address = address

    def connection(self, timeout=60):
        if self.address.startswith("/"):
            return UnixConnection(self.address, timeout)
        return http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=timeout)

    def get(self, path, method="GET", body=None, headers=None, timeout=60):
        if not path.startswith("/"):
            path = "/debug/pprof/" + path
        connection = self.connection(timeout)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def profile(self, folder, path, read):
        """A profile, kept as a file, as `read` of a file has it."""
        answer = self.get(path)
        assert answer.status == 200, answer.text
        assert answer.headers["Content-Type"] == "application/octet-stream"
        name = re.sub(r"\W+", "_", path) + ".pb.gz"
        (folder / name).write_bytes(answer.body)
        return read(folder / name)


class Host:
    """The program `served` (or another one), under the library, with PROF_HTTP."""

    def __init__(self, folder, command, settings, awaited=True, environment=None):
        self.folder = folder
        self.log_file = folder / "stderr"
        variables = dict(CLEAN, LD_PRELOAD=str(conftest.LIBRARY), PROF_HTTP="localhost:0", **(environment or {}))
        variables.update({name: value.replace("{folder}", str(folder)) for name, value in settings.items()})
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=open(self.log_file, "wb"), env=variables, cwd=folder)
        self.pid = self.process.pid
        if awaited:
            assert wait_for(lambda: self.address(self.pid)), self.log

    @property
    def log(self):
        return [line for line in self.log_file.read_text().splitlines() if line.startswith("libprof:")]

    def address(self, pid):
        """Where a process says that it is served."""
        found = re.findall(rf"process {pid} is served at (?:unix:)?(\S+?)(?:/debug/pprof/)?$", self.log_file.read_text(),
                           re.MULTILINE)
        return found[-1] if found else None

    @property
    def client(self):
        return Client(self.address(self.pid))

    def server(self, pid=None):
        """The server process of a process, by its arguments."""
        for folder in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdigit() else []
                if words[:2] == [b"libprof-server", str(pid or self.pid).encode()]:
                    return int(folder.name)
        return None

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def end(self):
        if self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGKILL)
                self.process.wait()
                raise
        return self.process.returncode


@contextlib.contextmanager
def host(folder, work="", settings=None, command=None, **options):
    running = Host(folder, [str(HOST), work] if command is None else command, settings or {}, **options)
    try:
        if command is None:
            running.answer()
        yield running
        if command is None:
            assert running.end() == 0, running.log
    finally:
        running.process.stdout.close()
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()


def is_gone(pid):
    """Whether a process has ended; one that nobody reaps has, too."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"
    except OSError:
        return True


def go_pprof(folder, *words):
    """What `go tool pprof` prints of a server's profile, fetched by itself."""
    answer = subprocess.run(["go", "tool", "pprof", *words], capture_output=True, text=True, timeout=120,
                            env=dict(CLEAN, PPROF_TMPDIR=str(folder)))
    assert answer.returncode == 0, answer.stderr
    return answer.stdout
