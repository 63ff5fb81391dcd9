"""Servers as Debian has them, asked for their profiles while they are loaded: what the profiles say is what such a server does, every
request of the load is answered, and the server ends in its own way with its own status.
"""

import concurrent.futures
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import pytest

import conftest
import heap
import pprof
import served
import servers
import test_trace
import waits
from servers import wait_for

PAGE = "".join(f"{number * 7919 % 1000003} the quick brown fox\n" for number in range(1000))


class Load:
    """Rounds of a load program, until the block ends: each must end well and say so."""

    def __init__(self, command, is_right):
        self.command, self.is_right = command, is_right
        self.rounds, self.failure, self.ends = 0, None, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ends.is_set() and self.failure is None:
            done = subprocess.run(self.command, capture_output=True, text=True, env=served.CLEAN, timeout=60)
            self.rounds += 1
            if done.returncode != 0 or not self.is_right(done.stdout + done.stderr):
                self.failure = f"{done.args}: {done.returncode}\n{done.stdout}\n{done.stderr}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()
        assert self.failure is None, self.failure
        assert self.rounds > 0


def wrk(url, *options):
    def is_right(said):
        return re.search(r"^ +[1-9]\d* requests in", said, re.MULTILINE) and "Non-2xx" not in said and "Socket errors" not in said

    return Load(["wrk", "-t1", "-c8", "-d1", *options, url], is_right)


def apache_bench(url):
    def is_right(said):
        return all(re.search(line, said, re.MULTILINE)
                   for line in (r"^Failed requests: +0$", r"^Complete requests: +300$")) and "Non-2xx" not in said

    return Load(["ab", "-q", "-c", "8", "-n", "300", url], is_right)


def redis_benchmark(port):
    command = ["redis-benchmark", "-p", str(port), "--csv", "-r", "3000", "-d", "300", "-c", "8", "-n", "5000",
               "-t", "set,get,lpush,lpop,hset,sadd,zadd"]
    return Load(command, lambda said: said.count("\n") == 8 and "error" not in said.lower())


def memcached_slap(port):
    def is_right(said):
        counts = {name: int(number) for name, number in re.findall(r"^(\w+): (\d+)$", said, re.MULTILINE)}
        return counts.get("cmd_set", 0) > 0 and counts.get("cmd_get", 0) > 0 and "error" not in said.lower()

    return Load(["memcaslap", "-s", f"127.0.0.1:{port}", "-T", "1", "-c", "8", "-t", "1s", "-v", "0.2"], is_right)


class Taken:
    """All kinds of profile of one process, taken while it is under load."""

    def __init__(self, folder, client):
        self.folder, self.client = folder, client
        folder.mkdir()
        first = {kind: self.read(kind) for kind in ("heap", "block", "mutex")}
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            cpu = pool.submit(self.take_cpu)
            trace = pool.submit(self.fetch, "trace?seconds=2")
            self.threads = client.get("goroutine?debug=2").text
            self.trace = test_trace.Trace(trace.result())
            self.cpu = cpu.result()
        self.created = waits.read_threads(self.fetch("threadcreate"))
        self.heap, self.block, self.mutex = (self.read(kind) for kind in ("heap", "block", "mutex"))
        assert self.heap.sums[1] >= first["heap"].sums[1]
        assert self.block.delay >= first["block"].delay and self.mutex.delay >= first["mutex"].delay

    def fetch(self, path):
        answer = self.client.get(path)
        assert answer.status == 200, answer.text
        file = self.folder / re.sub(r"\W+", "_", path)
        file.write_bytes(answer.body)
        return file

    def read(self, kind):
        return heap.read(self.fetch(kind)) if kind == "heap" else waits.read(self.fetch(kind))

    def take_cpu(self):
        """By the real client; again where the machine had no time for the server."""
        file = self.folder / "cpu.pb.gz"
        for _ in range(5):
            served.go_pprof(self.folder, "-proto", f"-output={file}", "-symbolize=none", "-seconds=2",
                            self.client.address + "/debug/pprof/profile")
            profile = pprof.read(file)
            if profile.total >= 30:
                break
        return profile


def answers(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True


@contextlib.contextmanager
def server(folder, command, port, ends_by=signal.SIGTERM, status=0, **options):
    """It answers at its port and is served; it ends by the signal, with this status, and so does what is beside it."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    with served.host(folder, command=[str(word) for word in command], **options) as host:
        assert wait_for(lambda: answers(port)), host.log_file.read_text()
        beside = host.server()
        host.is_ready_to_end = lambda: True
        yield host
        assert wait_for(host.is_ready_to_end)
        host.process.send_signal(ends_by)
        host.said = host.process.stdout.read()
        assert host.process.wait(20) == status, host.log_file.read_text()
    assert beside is None or wait_for(lambda: served.is_gone(beside))
    assert not [line for line in host.log if "is served at" not in line], host.log


def check_program(profile, program):
    assert profile.document["mappings"][0]["file"] == program, profile.document["mappings"]
    assert [line for line in profile.comments if line.startswith(f"program: {program}, pid ")], profile.comments


def check(taken, program, cpu=(), heap_by=(), block=(), threads=()):
    """Each profile is of this program, and has functions of each of these names; so has the list of threads."""
    for profile, names in ((taken.cpu, cpu), (taken.heap, heap_by), (taken.block, block), (taken.mutex, ()), (taken.created, ())):
        check_program(profile, os.path.realpath(shutil.which(program)))
        for name in names:
            assert any(re.search(name, function) for function in profile.functions), (name, profile.describe())
    assert taken.cpu.total >= 10, taken.cpu.describe()
    for name in threads:
        assert re.search(name, taken.threads, re.MULTILINE), (name, taken.threads)
    assert "not reached" not in taken.threads, taken.threads
    assert taken.trace.about["program"] == os.path.realpath(shutil.which(program))
    assert any(tid >= test_trace.STACKS_TRACK for tid in taken.trace.tracks), taken.trace.names


NGINX = """
daemon {daemon};
{user}
worker_processes 2;
pid nginx.pid;
error_log {log} error;
events {{ worker_connections 256; }}
http {{
  access_log access.log;
  gzip on;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {{ listen 127.0.0.1:{port}; root pages; }}
}}
"""
NGINX_CPU = ["^ngx_process_events_and_timers$", "^ngx_http_core_run_phases$", "^deflate$|libz"]


@pytest.fixture
def shelf():
    """A folder that the workers may enter and put their sockets in, whoever they are."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="nginx"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


def nginx(folder, address, **values):
    """Its command and libprof's settings. The workers must be able to read the library; what it was built in may be closed to them."""
    (folder / "pages").mkdir()
    (folder / "pages" / "index.html").write_text(PAGE)
    user = "user www-data;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(user=user, **values))
    library = shutil.copy(conftest.LIBRARY, folder)
    return ["nginx", "-p", str(folder), "-c", "nginx.conf"], {"PROF_HTTP": address, "LD_PRELOAD": str(library)}


def children(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def one_that_works(pids):
    """Of several processes that a load may go to: one that it goes to."""
    before = {pid: cpu_of(pid) for pid in pids}
    assert wait_for(lambda: max(cpu_of(pid) - before[pid] for pid in pids) >= 20)
    return max(pids, key=lambda pid: cpu_of(pid) - before[pid])


def test_nginx(shelf):
    """The master has the port, its workers say where they are; so do those that a reload brings. None is root any more."""
    port, profiles = servers.free_port(), servers.free_port()
    command, settings = nginx(shelf, f"localhost:{profiles}", daemon="off", log="stderr", port=port)
    with server(shelf, command, port, ends_by=signal.SIGQUIT, settings=settings, awaited=False) as host:
        assert wait_for(lambda: len(children(host.pid)) == 2)
        workers = children(host.pid)
        assert wait_for(lambda: all(host.address(pid) for pid in workers)), host.log
        master = served.Client(f"http://localhost:{profiles}")
        assert f'thread {host.pid} "nginx" [rt_sigsuspend]' in master.get("goroutine?debug=2").text
        # The stack of one that sleeps, too.
        for worker in workers:
            text = served.Client(host.address(worker)).get("goroutine?debug=2").text
            assert text.startswith(f'thread {worker} "nginx" [epoll_wait]') and "ngx_process_events_and_timers" in text, text
        page = f"http://127.0.0.1:{port}/"
        with wrk(page, "-H", "Accept-Encoding: gzip"):
            worker = one_that_works(workers)
            taken = Taken(shelf / "taken", served.Client(host.address(worker)))
        check(taken, "nginx", NGINX_CPU, ["^ngx_"], threads=[f'^thread {worker} "nginx"'])
        assert not taken.block.samples and not taken.created.samples  # one thread each
        with apache_bench(page):
            host.process.send_signal(signal.SIGHUP)
            assert wait_for(lambda: all(map(served.is_gone, workers)) and len(children(host.pid)) == 2)
            workers = children(host.pid)
            assert wait_for(lambda: all(host.address(pid) for pid in workers)), host.log
            worker = one_that_works(workers)
            profile = served.Client(host.address(worker)).profile(shelf, "profile?seconds=1", pprof.read)
            check_program(profile, shutil.which("nginx"))
            assert profile.count("ngx_process_events_and_timers") > 0, profile.describe()


def test_nginx_as_a_daemon(shelf):
    """As an init script starts it: no process of it is who was started, none has a stderr of ours. Each has a socket of its own name."""
    port = servers.free_port()
    command, settings = nginx(shelf, "unix:prof.%p", daemon="on", log="error.log", port=port)
    with served.host(shelf, command=command, settings=settings, awaited=False) as host:
        assert host.process.wait(20) == 0
    file = shelf / "nginx.pid"
    assert wait_for(lambda: file.exists() and file.read_text().endswith("\n") and len(children(int(file.read_text()))) == 2)
    master = int(file.read_text())
    try:
        workers = children(master)
        sockets = {pid: shelf / f"prof.{pid}" for pid in (master, *workers)}
        assert wait_for(lambda: all(path.exists() for path in sockets.values())), list(shelf.iterdir())
        with wrk(f"http://127.0.0.1:{port}/", "-H", "Accept-Encoding: gzip"):
            worker = one_that_works(workers)
            profile = served.Client(str(sockets[worker])).profile(shelf, "profile?seconds=1", pprof.read)
        check_program(profile, shutil.which("nginx"))
        for name in NGINX_CPU:
            assert any(re.search(name, function) for function in profile.functions), (name, profile.describe())
    finally:
        os.kill(master, signal.SIGQUIT)
        assert wait_for(lambda: served.is_gone(master))
    assert wait_for(lambda: not any(path.exists() for path in sockets.values()))
    assert "libprof" not in (shelf / "error.log").read_text() and not host.log


def test_redis(tmp_path):
    program = tmp_path / "redis-server"
    program.symlink_to(shutil.which("redis-check-rdb") or "nowhere")
    port = servers.free_port()
    command = [program, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--daemonize", "no", "--dir", tmp_path]
    with server(tmp_path, command, port) as host, redis_benchmark(port):
        taken = Taken(tmp_path / "taken", host.client)
    check(taken, program, ["^readQueryFromClient$", "^aeMain$"], ["^processCommand$"],
          threads=['^thread .* "redis-server"', '"bio_aof_fsync" .futex|condition', "bioProcessBackgroundJobs", "aeMain"])
    # Whatever the load, each second something is handed to it.
    assert taken.block.of("bioProcessBackgroundJobs")[0] > 0 or taken.block.comment("waits still going on"), taken.block.describe()
    assert taken.created.of("bioInit")[0] == 3, taken.created.describe()


def test_memcached(tmp_path):
    port = servers.free_port()
    command = ["memcached", "-l", "127.0.0.1", "-p", port, "-U", "0", "-t", "4"]
    if os.geteuid() == 0:
        command += ["-u", "root"]
    with server(tmp_path, command, port) as host, memcached_slap(port):
        taken = Taken(tmp_path / "taken", host.client)
    # It is stripped, without names of its own; those of its libraries are there.
    check(taken, "memcached", ["^event_base_loop$", "^(__)?(libc_)?(sendmsg|read|epoll_wait)$"], block=["^start_thread$"],
          threads=['"mc-worker" ', '"mc-lrumaint" ', "event_base_loop"])
    assert {"mc-worker"} <= taken.cpu.threads, taken.cpu.describe()
    assert taken.created.count >= 8 and taken.block.count > 0, taken.created.describe()


def test_python(tmp_path):
    port = servers.free_port()
    (tmp_path / "index.html").write_text(PAGE)
    command = ["/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", tmp_path, port]
    with server(tmp_path, command, port, ends_by=signal.SIGINT) as host, apache_bench(f"http://127.0.0.1:{port}/"):
        taken = Taken(tmp_path / "taken", host.client)
        host.is_ready_to_end = lambda: len(os.listdir(f"/proc/{host.pid}/task")) <= 2  # it aborts where its threads still write
    check(taken, "/usr/bin/python3", ["^_PyEval_EvalFrameDefault$"], ["^_PyEval_EvalFrameDefault$"],
          ["^PyEval_RestoreThread$|^PyThread_acquire_lock_timed$"], [f'^thread {host.pid} "python3"'])
    # A thread a request; nearly all have ended.
    assert taken.created.of("PyThread_start_new_thread")[0] > 100, taken.created.describe()
    assert "Keyboard interrupt received, exiting." in host.said


NODE = """
const http = require('http');
const zlib = require('zlib');
function answer_request(request, response) {
  const rows = Array.from({length: 300}, (_, i) => ({id: i, name: String(i * 7919 % 1000003)}));
  rows.sort((a, b) => a.name < b.name ? -1 : 1);
  response.end(zlib.gzipSync(JSON.stringify(rows)));
}
const server = http.createServer(answer_request).listen(process.argv[1], '127.0.0.1');
process.on('SIGTERM', () => { server.close(() => process.exit(3)); });
"""


def test_node(tmp_path):
    """The names of what is compiled at run time come from the compiler's own list."""
    port = servers.free_port()
    command = ["node", "--perf-basic-prof", "-e", NODE, port]
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(server(tmp_path, command, port, status=3))
        stack.callback(pathlib.Path(f"/tmp/perf-{host.pid}.map").unlink, missing_ok=True)
        with wrk(f"http://127.0.0.1:{port}/"):
            taken = Taken(tmp_path / "taken", host.client)
    check(taken, "node", [r"\banswer_request\b", "^deflate", "^uv_run$"], [r"\banswer_request\b"], ["^uv_cond_wait$"],
          [f'^thread {host.pid} "node"', "uv_cond_wait|PlatformWorkerThread"])
