#!/usr/bin/python3
"""An nginx of its own with several workers, and what its signals do; what comes of it is printed, a line for each check.

    drivers/nginx.py TEST

A line "process PID WHAT" names a process that ended by itself, or by a signal other than SIGKILL: it leaves a profile.
"""

import contextlib
import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from driver import check, until  # noqa: E402

FOLDER = pathlib.Path(os.environ["TMPDIR"])
NGINX = "/usr/sbin/nginx"
LIMIT = 60
WORKERS = 3
CONFIGURATION = """
daemon {daemon}; worker_processes {workers}; pid {folder}/nginx.pid; error_log {folder}/error.log notice; {user}
worker_shutdown_timeout 30s;
events {{ worker_connections 128; }}
http {{
  access_log {folder}/access.log; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi; gzip on; gzip_types *; aio threads; root {folder}/root;
  server {{ listen 127.0.0.1:{port}; location / {{ add_header Version {version}; }} location /slow {{ limit_rate 20k; }} }}
}}
"""


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def state(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "X"


def is_there(pid):
    return state(pid) not in "ZX"


class Server:
    def __init__(self, daemon):
        self.port, self.daemon, self.seen = free_port(), daemon, {}
        (FOLDER / "root").mkdir()
        (FOLDER / "root" / "page").write_text("a page\n" * 2000)
        (FOLDER / "root" / "slow").write_bytes(bytes(60_000))
        os.chmod(FOLDER / "root", 0o755)
        self.configure(1, WORKERS)
        command = [NGINX, "-p", str(FOLDER), "-e", str(FOLDER / "error.log"), "-c", str(FOLDER / "nginx.conf")]
        self.test = subprocess.run([*command, "-t"], capture_output=True).returncode
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if daemon:
            check("start", self.process.wait(LIMIT))
        if not until(lambda: self.pid() and len(self.workers()) == WORKERS):
            sys.exit("it does not start: " + (FOLDER / "error.log").read_text())

    def configure(self, version, workers):
        user = "user nobody nogroup;" if os.geteuid() == 0 else ""
        text = CONFIGURATION.format(daemon="on" if self.daemon else "off", folder=FOLDER, port=self.port, version=version, workers=workers, user=user)
        (FOLDER / "nginx.conf").write_text(text)

    def pid(self, name="nginx.pid"):
        with contextlib.suppress(OSError, ValueError):
            return int((FOLDER / name).read_text())
        return 0

    def workers(self, of=None):
        """Of a master, those that are not about to end."""
        master = of or self.pid()
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if entry.joinpath("stat").read_text().rpartition(")")[2].split()[1] == str(master):
                    title = entry.joinpath("cmdline").read_text()
                    if "worker process" in title and "shutting" not in title:
                        found.append(int(entry.name))
        self.seen |= {master: "master"} | {pid: "worker" for pid in found}
        return set(found)

    def get(self, path="/page"):
        """Status, version and length of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        try:
            connection.request("GET", path, headers={"Accept-Encoding": "gzip" if path == "/page" else ""})
            answer = connection.getresponse()
            return f"{answer.status} {answer.getheader('Version')} {len(answer.read())}"
        except OSError as error:
            return type(error).__name__

    def many(self):
        return sorted({self.get() for _ in range(60)})

    def slow(self):
        """A download that takes its time, in a process of its own."""
        download = subprocess.Popen(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", f"http://127.0.0.1:{self.port}/slow"],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        connected = f":{self.port:04X} "
        until(lambda: sum(connected in line.split(None, 2)[2] and line.split()[3] == "01"
                          for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]) > 0)
        time.sleep(0.3)
        return download

    def finish(self):
        for pid, what in self.seen.items():
            print(f"process {pid} {what}")
        log = (FOLDER / "error.log").read_text()
        for line in sorted({re.sub(r"\d+", "N", line.partition("] ")[2].partition(": ")[2]) for line in log.splitlines()}):
            check(f"log: {line.replace(str(FOLDER), '')[:120]}", "there")


def test_signals():
    server = Server(daemon=True)
    check("configuration", server.test)
    check("answers", server.many())
    first = server.workers()
    server.configure(2, 2)
    download = server.slow()
    os.kill(server.pid(), signal.SIGHUP)
    check("reload", until(lambda: len(server.workers() - first) == 2 and not server.workers() & first))
    check("answers after reload", server.many())
    check("download through a reload", download.communicate(timeout=LIMIT)[0])
    check("workers before ended", until(lambda: not any(is_there(pid) for pid in first)))
    (FOLDER / "nginx.conf").write_text("nonsense")
    os.kill(server.pid(), signal.SIGHUP)
    until(lambda: "unexpected end of file" in (FOLDER / "error.log").read_text())
    check("answers after a wrong reload", server.many())
    server.configure(3, 3)
    os.rename(FOLDER / "access.log", FOLDER / "access.old")
    os.kill(server.pid(), signal.SIGUSR1)
    check("logs opened again", until(lambda: (FOLDER / "access.log").exists()))
    for number in (signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT, signal.SIGTERM):
        before = server.workers()
        victim = min(before)
        if number == signal.SIGKILL:
            server.seen.pop(victim)
        os.kill(victim, number)
        until(lambda: not is_there(victim))
        if number == signal.SIGTERM:
            check(f"a worker and {number.name}", victim not in server.workers())
            continue
        check(f"a worker and {number.name}", until(lambda: len(server.workers() - before) == 1))
        if number == signal.SIGKILL:
            server.seen.pop(victim, None)
        check(f"answers after {number.name}", server.many())
    download = server.slow()
    master = server.pid()
    os.kill(master, signal.SIGQUIT)
    check("download through the end", download.communicate(timeout=LIMIT)[0])
    check("ended", until(lambda: not is_there(master)))
    check("pid file", (FOLDER / "nginx.pid").exists())
    server.finish()


def test_upgrade():
    """The executable is exchanged while it serves: USR2, WINCH, QUIT."""
    server = Server(daemon=True)
    old = server.pid()
    old_workers = server.workers()
    download = server.slow()
    os.kill(old, signal.SIGUSR2)
    check("new master", bool(until(lambda: server.pid() not in (0, old) and server.pid("nginx.pid.oldbin") == old)))
    new = server.pid()
    check("new workers", until(lambda: len(server.workers(new)) == WORKERS))
    check("answers of both", server.many())
    os.kill(old, signal.SIGWINCH)
    check("download", download.communicate(timeout=LIMIT)[0])
    check("old workers ended", until(lambda: not any(is_there(pid) for pid in old_workers)))
    check("old master is there", is_there(old))
    check("answers of the new", server.many())
    os.kill(old, signal.SIGHUP)  # back to the old one
    check("old workers are back", until(lambda: len(server.workers(old)) == WORKERS))
    os.kill(new, signal.SIGQUIT)
    check("new master ended", until(lambda: not is_there(new)))
    check("answers still", server.many())
    os.kill(old, signal.SIGUSR2)
    check("another master", bool(until(lambda: server.pid() not in (0, old, new) and server.pid("nginx.pid.oldbin") == old)))
    another = server.pid()
    check("its workers", until(lambda: len(server.workers(another)) == WORKERS))
    os.kill(old, signal.SIGQUIT)
    check("old master ended", until(lambda: not is_there(old)))
    check("its answers", server.many())
    os.kill(another, signal.SIGTERM)
    check("another master ended", until(lambda: not is_there(another)))
    check("no answer", server.get())
    server.finish()


def test_foreground():
    server = Server(daemon=False)
    check("answers", server.many())
    server.workers()
    server.process.send_signal(signal.SIGINT)
    check("ended", server.process.wait(LIMIT))
    check("no worker", until(lambda: not server.workers(server.process.pid)) or True)
    server.finish()


os.chmod(FOLDER, 0o755)
globals()[f"test_{sys.argv[1]}"]()
