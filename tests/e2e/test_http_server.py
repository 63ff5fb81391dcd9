"""The server itself: what each path answers, who is let in, and that the program is left alone."""

import concurrent.futures
import contextlib
import errno
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

import conftest
import pprof
import served
import servers
from servers import wait_for


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with served.host(tmp_path_factory.mktemp("served"), "ba") as running:
        yield running


@pytest.mark.parametrize("path, status, kind, starts", [
    ("/debug/pprof/", 200, "text/html; charset=utf-8", "<!doctype html>"),
    ("heap?debug=1", 200, "text/plain; charset=utf-8", "heap profile: "),
    ("allocs?debug=1", 200, "text/plain; charset=utf-8", "heap profile: "),
    ("block?debug=1", 200, "text/plain; charset=utf-8", "--- contention:\ncycles/second="),
    ("mutex?debug=1", 200, "text/plain; charset=utf-8", "--- mutex:\ncycles/second="),
    ("goroutine?debug=1", 200, "text/plain; charset=utf-8", "goroutine profile: total "),
    ("goroutine?debug=2", 200, "text/plain; charset=utf-8", "thread "),
    ("stacks?debug=2", 200, "text/plain; charset=utf-8", "thread "),
    ("threadcreate?debug=1", 200, "text/plain; charset=utf-8", "threadcreate profile: total "),
    ("symbol", 200, "text/plain; charset=utf-8", "num_symbols: 1\n"),
    ("status", 200, "text/plain; charset=utf-8", str(conftest.PROGRAMS / "served")),
    ("status?format=json", 200, "application/json", "{"),
    ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8", "# "),
    ("nothing", 404, "text/plain; charset=utf-8", "Unknown profile\n"),
    ("heap/", 404, "text/plain; charset=utf-8", "Unknown profile\n"),
    ("../../etc/passwd", 404, "text/plain; charset=utf-8", "Unknown profile\n"),
    ("heap?seconds=0", 400, "text/plain; charset=utf-8", 'invalid value for "seconds" - must be a positive integer\n'),
    ("heap?seconds=1.5", 400, "text/plain; charset=utf-8", 'invalid value for "seconds" - must be a positive integer\n'),
    ("heap?seconds=1&debug=1", 400, "text/plain; charset=utf-8", "seconds and debug params are incompatible\n"),
    ("block?rate=1", 405, "text/plain; charset=utf-8", "a rate is set by POST\n"),
    ("mutex?fraction=1", 405, "text/plain; charset=utf-8", "a fraction is set by POST\n"),
    ("/etc/passwd", 404, "text/plain; charset=utf-8", "404 page not found\n"),
])
def test_texts(host, path, status, kind, starts):
    answer = host.client.get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (status, kind), answer.text
    assert answer.text.lower().startswith(starts.lower()), answer.text[:500]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"] is None
    is_error = status >= 400 and "page not found" not in starts
    assert answer.headers["X-Go-Pprof"] == ("1" if is_error else None)


@pytest.mark.parametrize("path", ["heap", "allocs", "block", "mutex", "goroutine", "threadcreate", "stacks",
                                  "heap?gc=1", "heap?debug=0", "heap?debug=x"])
def test_binary(host, path):
    answer = host.client.get(path)
    assert answer.status == 200 and answer.body.startswith(b"\x1f\x8b")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{path.partition("?")[0]}"'


def test_command_line_and_redirects(host):
    assert host.client.get("cmdline").body == str(served.HOST).encode() + b"\0ba"
    for path in ("/", "/debug/pprof"):
        answer = host.client.get(path)
        assert (answer.status, answer.headers["Location"]) == (302, "/debug/pprof/")


def test_other_methods(host):
    answer = host.client.get("heap", "DELETE")
    assert answer.status == 405 and answer.headers["Allow"] == "GET, HEAD, POST"
    answer = host.client.get("heap", "HEAD")
    assert answer.status == 200 and answer.body == b"" and int(answer.headers["Content-Length"]) > 100
    assert host.client.get("http://elsewhere/debug/pprof/cmdline").status == 404  # a path of that name
    connection = host.client.connection()
    connection.putrequest("GET", "http://localhost/debug/pprof/cmdline", skip_host=True)
    connection.putheader("Host", "localhost")
    connection.endheaders()
    assert connection.getresponse().read().startswith(str(served.HOST).encode())


def test_symbols(host):
    text = host.client.get("goroutine?debug=1").text
    address = next(line.split()[1] for line in text.splitlines() if "\talpha" in line or "\tbeta" in line)
    assert f"{address} alpha\n" in host.client.get("symbol", "POST", f"{address}+0x1").text or \
        f"{address} beta\n" in host.client.get("symbol", "POST", f"{address}+0x1").text
    assert host.client.get("symbol", "POST", f"{address}+0x1").text == host.client.get(f"symbol?{address}+0x1").text
    # Where the client asks that has a profile from a path of another kind, such as /debug/fgprof.
    assert host.client.get("/symbolz", "POST", f"{address}+0x1").text == host.client.get("symbol", "POST", f"{address}+0x1").text


def test_rates(tmp_path):
    with served.host(tmp_path, "l") as running:
        client = running.client
        assert client.get("mutex?fraction=0", "POST").text == "fraction 0\n"
        client.get("block")
        time.sleep(.3)
        assert "hold_lock" not in client.get("mutex?debug=1").text
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert client.get("mutex", "POST", "fraction=1", form).text == "fraction 1\n"
        assert wait_for(lambda: "hold_lock" in client.get("mutex?debug=1").text)
        assert wait_for(lambda: "wait_for_lock" in client.get("block?debug=1").text)
        assert client.get("block?rate=0", "POST").text == "rate 0\n"
        before = json.loads(client.get("status?format=json").text)["profiles"]
        time.sleep(.3)
        after = json.loads(client.get("status?format=json").text)["profiles"]

        def events(profiles):
            return next(profile["samples"] for profile in profiles if profile["kind"] == "block")
        assert events(after) - events(before) <= 2  # that were going on
        for wrong in ("block?rate=-1", "block?rate=x", "mutex?fraction=99999999999999999999"):
            assert client.get(wrong, "POST").status == 400


@pytest.mark.parametrize("name, status", [
    ("localhost", 200), ("LOCALHOST:1", 200), ("127.0.0.1:80", 200), ("127.1.2.3", 200), ("[::1]:6060", 200),
    ("evil.example", 403), ("evil.example:6060", 403), ("localhost.evil.example", 403), ("10.0.0.1", 403), ("", 403),
    ("[::2]", 403), ("127.0.0.1.evil.example", 403)])
def test_host_names(host, name, status):
    answer = host.client.get("cmdline", headers={"Host": name})
    assert answer.status == status
    assert (status == 200) == (b"served" in answer.body)


def raw(host, text, timeout=30):
    """All that comes back."""
    name, _, port = host.address(host.pid).removeprefix("http://").partition(":")
    with socket.create_connection((name, int(port)), timeout) as connection:
        connection.sendall(text)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                received += chunk
        return received


def test_requests_that_are_none(host):
    assert raw(host, b"GET /debug/pprof/cmdline HTTP/1.1\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert raw(host, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 400")
    assert raw(host, b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + 9000 * b"a" + b"\r\n\r\n").startswith(b"HTTP/1.1 431")
    large = b"POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n"
    assert raw(host, large).startswith(b"HTTP/1.1 413")
    two = b"GET /debug/pprof/cmdline HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"
    assert raw(host, two).startswith(b"HTTP/1.1 400")


def test_web_pages_of_other_places(host):
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}):
        assert host.client.get("block?rate=1", "POST", headers=headers).status == 403
    assert host.client.get("cmdline", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status == 200


def test_too_many_clients(host):
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(contextlib.closing(host.client.connection())) for _ in range(64)]
        for connection in connections:
            connection.request("GET", "/debug/pprof/heap?seconds=100")
        assert wait_for(lambda: host.client.get("cmdline").status == 503)
    assert wait_for(lambda: host.client.get("cmdline").status == 200)
    # Those that only keep a connection open make room.
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(contextlib.closing(host.client.connection())).connect()
        assert wait_for(lambda: host.client.get("cmdline").status == 200)


@pytest.fixture
def token(tmp_path):
    file = tmp_path / "token"
    file.write_text("secret\n")
    file.chmod(0o600)
    return file


def test_token(tmp_path, token):
    with served.host(tmp_path, settings={"PROF_HTTP": "0.0.0.0:0", "PROF_HTTP_TOKEN_FILE": "token"}) as running:
        client = running.client
        for wrong in ({}, {"Authorization": "Bearer secre"}, {"Authorization": "Bearer secretsecret"},
                      {"Authorization": "Bearer"}, {"Authorization": "Basic bm86bm8="}):
            answer = client.get("cmdline", headers=wrong)
            assert answer.status == 401 and answer.headers["WWW-Authenticate"] and b"served" not in answer.body
        for right in ({"Authorization": "Bearer secret"}, {"Authorization": "basic eDpzZWNyZXQ="}):
            assert client.get("cmdline", headers=right).status == 200
        assert client.get("cmdline", headers={"Authorization": "Bearer secret", "Host": "evil.example"}).status == 403
        address = client.address.replace("http://", "http://x:secret@").replace("0.0.0.0", "127.0.0.1")
        assert "Type: inuse_space" in served.go_pprof(tmp_path, "-top", f"{address}/debug/pprof/heap")


@pytest.mark.parametrize("settings, says", [
    ({"PROF_HTTP": "0.0.0.0:0"}, "PROF_HTTP_TOKEN_FILE is needed"),
    ({"PROF_HTTP": "[::]:0"}, "PROF_HTTP_TOKEN_FILE is needed"),
    ({"PROF_HTTP": "localhost:99999"}, "accepted: host:port"),
    ({"PROF_HTTP": "localhost"}, "accepted: host:port"),
    ({"PROF_HTTP": "unix:"}, "accepted: host:port"),
    ({"PROF_HTTP": "unix:/nowhere/at/all"}, "No such file or directory"),
    ({"PROF_HTTP": "no-such-name.invalid:0"}, "there is no address of"),
    ({"PROF_HTTP": "0", "PROF_HTTP_TOKEN_FILE": "nowhere"}, "No such file or directory"),
    ({"PROF_HTTP": "0", "PROF_HTTP_TOKEN_FILE": ""}, "accepted: a file name"),
    ({"PROF_HTTP": "0", "PROF_HTTP_TOKEN_FILE": "open"}, "chmod 600"),
    ({"PROF_HTTP": "0", "PROF_HTTP_TOKEN_FILE": "empty"}, "there is no token in it"),
])
def test_what_cannot_be_served_is_said_in_a_line(tmp_path, settings, says):
    for name, mode in (("open", 0o644), ("empty", 0o600)):
        (tmp_path / name).write_text("secret" if name == "open" else "\n")
        (tmp_path / name).chmod(mode)
    with served.host(tmp_path, settings=settings, awaited=False) as running:
        assert wait_for(lambda: running.log)
        assert wait_for(lambda: running.server() is None)
        assert running.ask("state")["pid"] == running.pid
    variable = "PROF_HTTP_TOKEN_FILE" if "PROF_HTTP_TOKEN_FILE" in settings else "PROF_HTTP"
    assert len(running.log) == 1 and says in running.log[0] and variable in running.log[0], running.log


def test_port_that_is_taken(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        value = f"localhost:{other.getsockname()[1]}"
        with served.host(tmp_path, settings={"PROF_HTTP": value}, awaited=False) as running:
            assert wait_for(lambda: running.log)
    assert len(running.log) == 1 and f"'{value}'" in running.log[0] and "taken" in running.log[0], running.log


def test_port_that_is_taken_of_a_program_that_ends_soon(tmp_path):
    """It need not have been there for as long as the server waits for the port. One that executes another leaves that to it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        for seconds, is_said in (("0.8", True), ("0", False)):
            with open(tmp_path / "stderr", "wb") as log:
                subprocess.run(["/usr/bin/env", "sleep", seconds], stderr=log, check=True,
                               env=served.CLEAN | {"LD_PRELOAD": str(conftest.LIBRARY),
                                                   "PROF_HTTP": f"localhost:{other.getsockname()[1]}"})
            assert wait_for(lambda: (tmp_path / "stderr").read_text(), seconds=20 if is_said else 0.5) == is_said
            assert (tmp_path / "stderr").read_text().count("the port is taken") == is_said


def test_port_alone_is_of_loopback_and_no_news(tmp_path):
    port = servers.free_port()
    with served.host(tmp_path, settings={"PROF_HTTP": str(port)}, awaited=False) as running:
        client = served.Client(f"http://127.0.0.1:{port}")

        def answers():
            with contextlib.suppress(OSError):
                return client.get("cmdline").status == 200
        assert wait_for(answers)
        listening = [line.split()[1] for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
                     if line.split()[3] == "0A"]
        assert f"0100007F:{port:04X}" in listening
    assert not running.log


def test_unix_socket(tmp_path):
    with served.host(tmp_path, "b", {"PROF_HTTP": "unix:app.%p.sock"}, awaited=False) as running:
        path = tmp_path / f"app.{running.pid}.sock"
        assert wait_for(path.exists)
        assert path.stat().st_mode & 0o777 == 0o600
        client = served.Client(str(path))
        # Nobody but a program on this machine names it: any host will do.
        assert client.get("cmdline", headers={"Host": "anything"}).status == 200
        text = client.get("/debug/pprof/").text
        assert "--unix-socket" in text
    assert wait_for(lambda: not path.exists())


def test_unix_socket_left_behind(tmp_path):
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with served.host(tmp_path, "b", {"PROF_HTTP": f"unix:{path}"}, awaited=False):
        client = served.Client(str(path))

        def answers():
            with contextlib.suppress(OSError):
                return client.get("cmdline").status == 200
        assert wait_for(answers)


def test_host_is_left_alone(tmp_path):
    """No descriptor, no child, no call that was interrupted, no signal."""
    with served.host(tmp_path, "balt") as running:
        before = running.ask("state")
        for path in ("heap", "block", "mutex", "goroutine?debug=2", "profile?seconds=1", "wall?seconds=1", "status"):
            assert running.client.get(path).status == 200
        after = running.ask("state")
        assert after["descriptors"] == before["descriptors"] == 5  # 0 to 2 and the pipe's ends
        assert not after["interrupted"] and not after["children"]


def test_server_has_nothing_of_the_host(tmp_path):
    with open(tmp_path / "other", "w") as other:
        os.set_inheritable(other.fileno(), True)
        with served.host(tmp_path) as running:
            server = running.server()
            assert os.readlink(f"/proc/{server}/cwd") == "/"
            assert pathlib.Path(f"/proc/{server}/comm").read_text() == "libprof-server\n"
            open_files = {os.readlink(entry) for entry in pathlib.Path(f"/proc/{server}/fd").iterdir()}
            assert not any(str(tmp_path) in name for name in open_files), open_files
            assert pathlib.Path(f"/proc/{server}/environ").read_bytes() == b""
            os.kill(server, signal.SIGINT)
            os.kill(server, signal.SIGHUP)
            assert running.client.get("cmdline").status == 200


def test_server_that_is_killed_leaves_the_host_alone(tmp_path):
    with served.host(tmp_path, "b") as running:
        client = running.client
        with concurrent.futures.ThreadPoolExecutor() as pool:
            answer = pool.submit(client.get, "profile?seconds=100")
            assert wait_for(lambda: timers(running.pid))
            os.kill(running.server(), signal.SIGKILL)
            with pytest.raises((http.client.HTTPException, OSError)):
                answer.result()
        assert wait_for(lambda: not timers(running.pid))
        assert wait_for(lambda: "nothing is served any more" in running.log[-1])
        assert running.ask("state")["interrupted"] == 0
    assert len(running.log) == 2


def timers(pid):
    return [line for line in pathlib.Path(f"/proc/{pid}/timers").read_text().splitlines() if line.startswith("ID:")]


@pytest.mark.parametrize("how", ["quit", "exit", "kill"])
def test_server_ends_with_its_host(tmp_path, how):
    with served.host(tmp_path, "b") as running:
        server = running.server()
        connection = running.client.connection()
        connection.request("GET", "/debug/pprof/profile?seconds=100")
        time.sleep(.2)
        if how == "kill":
            running.process.kill()
            running.process.wait()
            running.process.returncode = 0
        else:
            running.process.stdin.write(how + "\n")
            running.process.stdin.flush()
            running.process.wait(20)
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("X-Go-Pprof"), answer.getheader("Connection")) == (503, "1", "close")
        assert answer.read() == b"the process has ended, or executes another program, before that time was over\n"
        assert wait_for(lambda: served.is_gone(server))


def test_clients_that_ask_for_nothing_do_not_keep_the_server(tmp_path):
    with served.host(tmp_path, "b") as running:
        server = running.server()
        connection = running.client.connection()
        connection.request("GET", "/debug/pprof/cmdline")
        assert connection.getresponse().read()
        silent = running.client.connection()
        silent.connect()
        waiting = running.client.connection()  # who does not take what it is answered, nor close its end
        waiting.request("GET", "/debug/pprof/wall?seconds=100")
        time.sleep(.2)
        running.end()
        assert wait_for(lambda: served.is_gone(server))
        for left in (connection, silent):
            assert left.sock.recv(1) == b""
        assert waiting.getresponse().status == 503


def test_exec_answers_who_waits(tmp_path):
    settings = {"PROF_HTTP": "unix:" + str(tmp_path / "socket")}
    with served.host(tmp_path, "b", settings, awaited=False) as running:
        client = served.Client(str(tmp_path / "socket"))
        assert wait_for(lambda: (tmp_path / "socket").exists())
        first = running.server()
        connection = client.connection()
        connection.request("GET", "/debug/pprof/trace?seconds=100")
        time.sleep(.2)
        running.ask("exec")
        assert connection.getresponse().status == 503
        assert wait_for(lambda: running.server() not in (None, first) and (tmp_path / "socket").exists())
        assert client.get("cmdline").status == 200
        assert wait_for(lambda: served.is_gone(first))
        assert (tmp_path / "socket").exists()
    assert wait_for(lambda: not (tmp_path / "socket").exists())


def test_exec_has_the_port_again(tmp_path):
    port = servers.free_port()
    settings = {"PROF_HTTP": f"localhost:{port}", "PROF_LOG": "info"}
    with served.host(tmp_path, "b", settings) as running:
        first = running.server()
        running.ask("exec")
        assert wait_for(lambda: running.server() not in (None, first))
        assert wait_for(lambda: len(running.log) == 2)
        assert running.client.get("cmdline").status == 200
    assert all(f"localhost:{port}" in line for line in running.log), running.log


def test_children_say_where_they_are(tmp_path):
    port = servers.free_port()
    with served.host(tmp_path, "b", {"PROF_HTTP": f"localhost:{port}", "PROF_LOG": "info"}) as running:
        children = [running.ask("fork")["child"] for _ in range(3)]
        assert wait_for(lambda: all(running.address(child) for child in children)), running.log
        addresses = {running.address(child) for child in children}
        assert len(addresses) == 3 and running.address(running.pid) not in addresses
        for child in children:
            text = served.Client(running.address(child)).get("goroutine?debug=2").text
            assert text.startswith(f"thread {child} "), text
            assert served.Client(running.address(child)).get("profile?seconds=1").status == 200
        children_servers = [running.server(child) for child in children]
    assert all(wait_for(lambda: served.is_gone(server)) for server in children_servers)
    assert len(running.log) == 4


def test_commands_of_a_script_start_no_server(tmp_path):
    with served.host(tmp_path, command=["/bin/bash", "-c", "read line; for i in {1..30}; do /bin/true; done; read line"],
                     settings={"PROF_LOG": "info"}) as running:
        before = time.monotonic()
        running.process.stdin.write("go\n")
        running.process.stdin.flush()
        time.sleep(.5)
        running.process.stdin.write("end\n")
        running.process.stdin.flush()
        assert running.process.wait(20) == 0
    assert len(running.log) == 1, running.log


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its rights up")
def test_rights_that_are_given_up(tmp_path):
    """The server and the helper thread follow, and read what they could not be asked for any more."""
    script = ("import os, sys, threading; sys.stdin.readline(); os.setgroups([]); os.setgid(65534); os.setuid(65534);"
              "threading.Thread(target=lambda: [sum(range(1000)) for _ in iter(int, 1)]).start();"
              "print(flush=True); sys.stdin.readline()")
    with served.host(tmp_path, command=["/usr/bin/python3", "-c", script]) as running:
        server = running.server()
        running.process.stdin.write("go\n")
        running.process.stdin.flush()
        running.process.stdout.readline()

        def users(pid):
            return re.findall(r"(?:Uid|Gid|Groups):.*", pathlib.Path(f"/proc/{pid}/status").read_text())
        assert wait_for(lambda: users(server) == users(running.pid)), (users(server), users(running.pid))
        profile = running.client.profile(tmp_path, "profile?seconds=1", pprof.read)
        assert any("python3" in file for sample in profile.samples for file in sample.files), profile.describe()
        assert running.client.get("heap").status == 200
        # Of those that sleep the main thread's stack is still to be had.
        assert wait_for(lambda: re.match(rf'thread {running.pid} "python3" \[(read|futex|condition)',
                                         running.client.get("goroutine?debug=2").text))
        threads = pathlib.Path(f"/proc/{running.pid}/task").iterdir()
        assert all(users(f"{running.pid}/task/{thread.name}") == users(server) for thread in threads)
        running.process.kill()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its rights up")
def test_child_of_what_gave_up_its_rights(tmp_path):
    """As daemons do that fork after setuid. It may not open its own memory, and copies for the server what is recorded."""
    script = ("import os, sys, threading, time\n"
              "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
              "child = os.fork()\n"
              "if child: os.wait(); os._exit(0)\n"
              "print(os.getpid(), flush=True)\n"
              "def compute():\n"
              "    while True: sum(range(10000)); bytearray(100000); time.sleep(.0001)\n"
              "threading.Thread(target=compute, daemon=True).start()\n"
              "sys.stdin.readline()\n"
              "os._exit(0)\n")
    settings = {"PROF_LOG": "info", "PROF_HEAP_RATE": "1000"}
    with served.host(tmp_path, command=["/usr/bin/python3", "-c", script], settings=settings) as running:
        child = int(running.process.stdout.readline())
        assert wait_for(lambda: running.address(child)), running.log
        client = served.Client(running.address(child))
        assert str(child) in client.get("status").text
        profile = client.profile(tmp_path, "profile?seconds=1", pprof.read)
        assert any("python3" in file for sample in profile.samples for file in sample.files), profile.describe()
        assert wait_for(lambda: re.match(r"heap profile: \d+: \d+ \[[1-9]", client.get("allocs?debug=1").text))
        for path in ("wall?seconds=1", "trace?seconds=1", "heap", "block", "mutex", "threadcreate", "stacks", "/metrics"):
            answer = client.get(path)
            assert answer.status == 200, answer.text
        # A thread that runs is seen; none that sleeps is asked, not even the main one.
        assert wait_for(lambda: " [running]:\n" in client.get("goroutine?debug=2").text)
        # Nothing is left of the copy.
        files = pathlib.Path(f"/proc/{running.server(child)}/fd").iterdir()
        copies = [file.stat() for file in files if os.readlink(file).startswith("/memfd:libprof")]
        assert [copy.st_blocks for copy in copies] == [0]
        assert served.Client(running.address(running.pid)).get("status").status == 200
        assert running.end() == 0
        assert all(" is served at " in line for line in running.log), running.log


def test_main_thread_that_has_ended(tmp_path):
    with served.host(tmp_path, "b") as running:
        running.process.stdin.write("leave\n")
        running.process.stdin.flush()
        assert wait_for(lambda: served.is_gone(running.pid))
        profile = running.client.profile(tmp_path, "profile?seconds=1", pprof.read)
        assert profile.count("alpha") > 0, profile.describe()
        running.process.kill()
        running.process.wait()
        running.process.returncode = 0


def test_child_whose_environment_was_written_over(tmp_path):
    """As programs do that show their state in ps: nginx, postgres. And one that has changed its folder."""
    port = servers.free_port()
    with served.host(tmp_path, "b", {"PROF_HTTP": f"localhost:{port}", "PROF_LOG": "info"}) as running:
        running.ask("title")
        child = running.ask("fork")["child"]
        assert wait_for(lambda: running.address(child)), running.log
        assert served.Client(running.address(child)).get("heap").status == 200
    other = tmp_path / "other"
    other.mkdir()
    with served.host(other, "b", {"PROF_HTTP": "unix:app.%p"}, awaited=False) as running:
        running.ask("title")
        child = running.ask("fork")["child"]
        assert wait_for((other / f"app.{child}").exists), running.log


def test_host_that_is_given_orphans_waits_for_its_own_children_only(tmp_path):
    """As process 1 of a container is: a wait for all children would go on as long as a server that is one of them."""
    program = ("import os, signal, sys\n"
               "child = os.fork()\n"
               "if child == 0: os._exit(3)\n"
               "signal.alarm(20)\n"
               "input()\n"
               "reaped = []\n"
               "try:\n"
               "    while True: reaped.append(os.wait()[0])\n"
               "except ChildProcessError: print(reaped == [child], flush=True)\n"
               "sys.stdin.read()\n")
    launcher = ("import ctypes, os, sys\n"
                "PR_SET_CHILD_SUBREAPER = 36\n"
                "assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0\n"
                "os.environ['LD_PRELOAD'] = sys.argv[1]\n"
                "os.execv('/usr/bin/python3', ['/usr/bin/python3', '-c', sys.argv[2]])\n")
    command = ["/usr/bin/python3", "-c", launcher, str(conftest.LIBRARY), program]
    with served.host(tmp_path, "", {"LD_PRELOAD": ""}, command) as running:
        assert running.client.get("heap").status == 200
        running.process.stdin.write("\n")
        running.process.stdin.flush()
        assert running.process.stdout.readline() == "True\n"
        assert running.client.get("heap").status == 200
        server = running.server()
        # The child between the two has gone with a server that ends, and nothing is left to reap.
        keeper = int(pathlib.Path(f"/proc/{server}/stat").read_text().rpartition(") ")[2].split()[1])
        assert pathlib.Path(f"/proc/{keeper}/comm").read_text() == "libprof-keeper\n"
        os.kill(server, signal.SIGKILL)
        assert wait_for(lambda: not pathlib.Path(f"/proc/{keeper}").exists()), "it is not reaped"
        assert running.end() == 0


@pytest.mark.skipif(subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode != 0,
                    reason="no user namespaces here")
@pytest.mark.parametrize("call", ["errno_of(libc.unshare, NEWUSER)", "errno_of(libc.setns, in_another(), 0)"])
@pytest.mark.parametrize("is_given_orphans", [False, True])
def test_program_goes_into_a_user_namespace(tmp_path, call, is_given_orphans):
    """The kernel lets nobody who has a second thread, or shares memory: as it was without one, and it is served again afterwards."""
    program = ("import ctypes, os, sys, time\n"
               "NEWUSER, SUBREAPER = 0x10000000, 36\n"
               "libc = ctypes.CDLL(None, use_errno=True)\n"
               "def errno_of(call, *arguments):\n"
               "    ctypes.set_errno(0)\n"
               "    return (call(*arguments), ctypes.get_errno())\n"
               "def in_another():\n"
               "    ends = os.pipe()\n"
               "    child = os.fork()\n"
               "    if child == 0:\n"
               "        libc.unshare(NEWUSER)\n"
               "        os.write(ends[1], b'!')\n"
               "        time.sleep(60)\n"
               "    os.read(ends[0], 1)\n"
               "    return os.open(f'/proc/{child}/ns/user', os.O_RDONLY)\n"
               "if sys.argv[1] == 'True': libc.prctl(SUBREAPER, 1, 0, 0, 0)\n"
               "for line in sys.stdin: print(eval(line), flush=True)\n")
    settings = {"PROF_HTTP": "unix:{folder}/socket", "PROF_LOG": "info", "PROF_FOLLOW": "0",
                "PROF_WALL": "{folder}/wall.prof", "PROF_CPU": "{folder}/cpu.prof"}
    with served.host(tmp_path, command=["/usr/bin/python3", "-c", program, str(is_given_orphans)], settings=settings) as running:
        def ask(text):
            running.process.stdin.write(text + "\n")
            running.process.stdin.flush()
            return eval(running.process.stdout.readline())

        server = running.server()
        assert running.client.get("profile?seconds=1").status == 200
        # What is refused stays refused, and nothing becomes of the server.
        assert ask("errno_of(libc.unshare, 1)") == (-1, errno.EINVAL)
        assert ask("errno_of(libc.setns, -1, 0)") == (-1, errno.EBADF)
        for refused in ("libc.unshare, NEWUSER | 1", "libc.setns, os.open('/proc/self/ns/user', 0), 0",
                        "libc.setns, os.open('/proc/self/ns/net', 0), NEWUSER", "libc.setns, os.open('/dev/null', 0), 0"):
            assert ask(f"errno_of({refused})") == (-1, errno.EINVAL), refused
        # Nor by a signal that the program itself sends, to its whole group maybe.
        assert ask(f"os.kill({server}, 64)") is None
        assert running.server() == server
        assert ask(call) == (0, 0), running.log
        assert wait_for(lambda: served.is_gone(server))
        line = f"libprof: PROF_HTTP: process {running.pid} is served at unix:{tmp_path}/socket"
        assert wait_for(lambda: running.log == [line] * 2), running.log
        for path in ("profile?seconds=1", "heap", "goroutine"):
            assert running.client.get(path).status == 200, running.log
        assert running.end() == 0


def test_program_forbids_system_calls_to_all_its_threads(tmp_path):
    """The one of PROF_HTTP has gone by then: what it would do for a client would end the program."""
    command = [conftest.PROGRAMS / "resources_seccomp", "few_for_all", "syscall"]
    with served.host(tmp_path, command=command, settings={"PROF_HTTP": "unix:{folder}/socket", "PROF_LOG": "info"}) as running:
        assert running.client.get("heap").status == 200
        running.process.stdin.write("\n")
        running.process.stdin.flush()
        assert running.process.stdout.readline() == "forbidden\n"
        with pytest.raises(OSError):
            running.client.get("profile?seconds=1", timeout=1)
        assert running.end() == 7, running.log


def test_status_knows_what_the_program_itself_has_changed(tmp_path):
    program = "import ctypes, sys\nprof = ctypes.CDLL(None)\nfor line in sys.stdin: print(eval(line), flush=True)\n"
    with served.host(tmp_path, command=["/usr/bin/python3", "-c", program]) as running:
        def status():
            answer = json.loads(running.client.get("status?format=json").text)
            return answer["settings"], {profile["kind"]: profile for profile in answer["profiles"]}

        assert status()[1]["heap"]["recording"] != "on"
        assert running.ask("prof.prof_set_rate(b'heap', 1)") == running.ask("prof.prof_set_rate(b'block', 777)") == 0
        settings, profiles = status()
        assert profiles["heap"]["recording"] == profiles["block"]["recording"] == "on"
        assert settings["heap_rate_bytes"] == 1 and settings["block_rate_ns"] == 777 and not settings["paused"]
        assert running.ask("prof.prof_set_rate(b'heap', 0)") == running.ask("prof.prof_pause()") == 0
        assert status()[0]["paused"]
        text = running.client.get("status").text
        assert "has paused recording" in text and "Its rate is 0" in text
        assert running.end() == 0
