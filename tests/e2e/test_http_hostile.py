"""Clients that mean harm, one kind after the other. The server answers the others as before, keeps nothing of them, and gives them nothing;
the program does not notice. HOSTILE_REQUESTS sets how many malformed requests there are (default 10 000)."""

import contextlib
import os
import pathlib
import random
import resource
import shutil
import socket
import struct
import tempfile
import threading
import time

import pytest

import hostile
import pprof
import served
from servers import wait_for

REQUESTS = int(os.environ.get("HOSTILE_REQUESTS", "10000"))
SLACK = 4 << 20  # bytes: what an allocator may keep more of after twice the same
LARGE_SLACK = 12 << 20  # where that is of bodies of a megabyte
REQUEST_SECONDS = 10  # a request has to be there by then


@pytest.fixture
def running(tmp_path):
    with served.host(tmp_path) as program:
        yield program


def secured(tmp_path, address):
    (tmp_path / "token").write_text("secret\n")
    (tmp_path / "token").chmod(0o600)
    return served.host(tmp_path, settings={"PROF_HTTP": address, "PROF_HTTP_TOKEN_FILE": "token"}, awaited=not address.startswith("unix:"))


def timers(pid):
    return [line for line in pathlib.Path(f"/proc/{pid}/timers").read_text().splitlines() if line.startswith("ID:")]


def at_rest(pid):
    """What libprof's own threads in a program have done, once they sleep."""
    def own():
        return {thread: did for thread, did in hostile.doings(pid).items() if thread != pid}

    def is_settled():
        states = [pathlib.Path(f"/proc/{pid}/task/{thread}/stat").read_text().rpartition(") ")[2][0] for thread in own()]
        before = own()
        time.sleep(.02)
        return set(states) == {"S"} and own() == before
    assert wait_for(is_settled)
    return own()


@contextlib.contextmanager
def unharmed(running, client=None, headers=None, is_asked_nothing=False):
    """What is done in it leaves server and program as they were. is_asked_nothing: the program's threads take no part in it."""
    client = client or running.client

    def is_served():
        answer = client.get("cmdline", headers=headers)
        return answer.status == 200 and answer.body.rstrip(b"\0") == str(served.HOST).encode()

    server = running.server()
    assert is_served() and client.get("heap", headers=headers).body.startswith(hostile.GZIP)
    # What these two had open is let go of a moment after they were answered.
    assert wait_for(lambda: not sockets(server))
    before, before_in_program, state, doings = hostile.Held(server), hostile.Held(running.pid), running.ask("state"), None
    if is_asked_nothing:
        doings = at_rest(running.pid)
    yield server
    if is_asked_nothing:
        now = hostile.doings(running.pid)
        assert {thread: now[thread] for thread in doings} == doings
    assert wait_for(is_served) and running.server() == server
    answer = client.get("heap", headers=headers)
    assert answer.status == 200 and answer.body.startswith(hostile.GZIP)
    (running.folder / "after.pb.gz").write_bytes(answer.body)
    pprof.document(running.folder / "after.pb.gz")
    assert wait_for(lambda: hostile.Held(server).descriptors <= before.descriptors), list(sockets(server))
    assert hostile.Held(server).threads == before.threads
    after_in_program = hostile.Held(running.pid)
    assert (after_in_program.threads, after_in_program.descriptors) == (before_in_program.threads, before_in_program.descriptors)
    assert not timers(running.pid)
    assert {name: value for name, value in running.ask("state").items() if name != "child"} == \
        {name: value for name, value in state.items() if name != "child"}
    assert len(running.log) <= 1, running.log


def sockets(pid):
    """The connections that a server has: its sockets but the one that it listens at and the one to its program."""
    found = []
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.readlink(entry))
    return sorted(name for name in found if name.startswith("socket:"))[2:]


def twice(server, work, slack=SLACK):
    """What a first round makes a process keep, a second one uses again."""
    work(0)
    first = hostile.Held(server).resident
    work(1)
    assert hostile.Held(server).resident <= first + slack


def feed(address, requests, check):
    conversation = hostile.Conversation(address)
    for request in requests:
        check(request, conversation.ask(request))
    conversation.close()


def test_malformed_requests(running):
    with unharmed(running, is_asked_nothing=True) as server:
        fuzzer, address = hostile.Fuzzer(random.Random(1)), hostile.Address(running.address(running.pid))
        twice(server, lambda _: feed(address, (fuzzer.request() for _ in range(REQUESTS // 4)), hostile.check_refused))


@pytest.mark.parametrize("where", ["localhost:0", "unix:{folder}/app.sock"])
def test_malformed_requests_without_the_token(tmp_path, where):
    with secured(tmp_path, where) as running:
        path = tmp_path / "app.sock"
        if where.startswith("unix:"):
            assert wait_for(path.exists)
        client = served.Client(str(path)) if where.startswith("unix:") else running.client
        with unharmed(running, client, {"Authorization": "Bearer secret"}, is_asked_nothing=True) as server:
            chance = random.Random(2)
            makers = [hostile.Fuzzer(chance), hostile.Mutator(chance), hostile.Mutator(chance)]
            address = hostile.Address(client.address)
            twice(server, lambda _: feed(address, (chance.choice(makers).request() for _ in range(REQUESTS // 8)), hostile.check_refused))


def test_requests_that_were_right_once(running):
    """Some still are. Each is answered, or its connection ends."""
    targets = [f"/debug/pprof/{name}?debug={number}".encode()
               for name in ("heap", "block", "goroutine", "symbol", "cmdline", "status") for number in (0, 1, 2)]
    targets += [b"/debug/pprof/", b"/metrics", b"/debug/pprof/mutex?fraction=1", b"/debug/pprof/symbol?0x1+0x2"]
    with unharmed(running) as server:
        mutator, address = hostile.Mutator(random.Random(3), targets), hostile.Address(running.address(running.pid))

        def check(request, answer):
            assert answer == b"" or answer.startswith(b"HTTP/1.1 "), f"{request}\n{hostile.describe(answer)}"
            assert not any(status >= 500 and status != 501 for status in hostile.statuses(answer)), f"{request}\n{hostile.describe(answer)}"
        twice(server, lambda _: feed(address, (mutator.request() for _ in range(REQUESTS // 20)), check))


@pytest.mark.parametrize("text", [
    hostile.head(target=b"/debug/pprof/symbol?0x1"), hostile.head(b"POST", b"/debug/pprof/symbol", headers=(b"Host: localhost", b"Content-Length: 3")) + b"0x1",
    hostile.chunked(b"0\r\n\r\n"), hostile.chunked(b"0\r\nTrailer: x\r\n\r\n"), hostile.chunked(b"1;a=b\r\n0\r\n", b"2\r\nx1\r\n", b"000;c\r\nT: x\r\n\r\n")])
def test_requests_that_come_byte_by_byte(running, text):
    """Are right all the same, and each stage of reading one begins anew at each byte."""
    with unharmed(running), hostile.Address(running.address(running.pid)).connect() as connection:
        for byte in text:
            connection.sendall(bytes([byte]))
            time.sleep(.001)
        connection.shutdown(socket.SHUT_WR)
        answer = hostile.rest_of(connection)
        assert hostile.statuses(answer) == [200] and answer.endswith(b"num_symbols: 1\n"), hostile.describe(answer)


@pytest.mark.parametrize("beginning", [hostile.head(headers=(b"Host: localhost",))[:-2], hostile.chunked(b"0\r\n")])
def test_headers_without_end(running, beginning):
    """Line by line: each is short, and all there is to be read so far."""
    with unharmed(running, is_asked_nothing=True), hostile.Address(running.address(running.pid)).connect() as connection:
        with contextlib.suppress(ConnectionError):
            for piece in (beginning, *[b"Name: value\r\n" * 80] * 30, b"\r\n"):
                connection.sendall(piece)
                time.sleep(.003)
        answer = hostile.rest_of(connection)
        assert hostile.statuses(answer) == [431], hostile.describe(answer)


WRONG = [[], ["Bearer secre"], ["Bearer secretsecret"], ["Bearer Secret"], ["Bearer"], ["Bearer "], ["Bearer \xff"], ["secret"], ["Bearer 'secret'"],
         ["Basic"], ["Basic secret"], ["Basic c2VjcmV0"], ["Basic c2VjcmV0Og=="], ["Basic eDpzZWNyZQ=="], ["Basic ===="], ["Basic :"],
         ["Digest secret"], ["Bearer " + "secret" * 1000], ["Bearer wrong", "Bearer secret"], ["Bearer secret, Bearer wrong"]]


@pytest.mark.parametrize("where", ["0.0.0.0:0", "localhost:0", "unix:{folder}/app.sock"])
def test_wrong_tokens(tmp_path, where):
    with secured(tmp_path, where) as running:
        path = tmp_path / "app.sock"
        if where.startswith("unix:"):
            assert wait_for(path.exists)
        client = served.Client(str(path)) if where.startswith("unix:") else running.client
        with unharmed(running, client, {"Authorization": "Bearer secret"}, is_asked_nothing=True):
            for wrong in WRONG:
                lines = [f"Authorization: {value}".encode("latin-1") for value in wrong]
                for kind in hostile.KINDS + ["../../metrics"]:
                    target = b"/metrics" if kind.startswith("..") else f"/debug/pprof/{kind}".encode()
                    request = hostile.Request("token", hostile.head(target=target, headers=[b"Host: localhost", *lines]), is_whole=True)
                    conversation = hostile.Conversation(hostile.Address(client.address))
                    answer = conversation.ask(request)
                    conversation.close()
                    hostile.check_refused(request, answer)
                    assert hostile.statuses(answer) == [401], f"{request}\n{hostile.describe(answer)}"
            # The right one does not help who came by another name; a unix socket has none.
            if not where.startswith("unix:"):
                answer = client.get("heap", headers={"Authorization": "Bearer secret", "Host": "evil.example"})
                assert answer.status == 403 and hostile.GZIP not in answer.body


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_at_a_unix_socket():
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        with served.host(folder, settings={"PROF_HTTP": "unix:app.sock"}, awaited=False) as running:
            path = folder / "app.sock"
            assert wait_for(path.exists)

            def reads_something():
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(str(path))
                    with contextlib.suppress(ConnectionError):
                        connection.sendall(hostile.head())
                        return connection.recv(1000) != b""
                    return False

            def of_another_user():
                child = os.fork()
                if child == 0:
                    code = 3
                    with contextlib.suppress(BaseException):
                        os.setgid(65534)
                        os.setuid(65534)
                        try:
                            code = 1 if reads_something() else 0
                        except PermissionError:
                            code = 2
                    os._exit(code)
                return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            with unharmed(running, served.Client(str(path)), is_asked_nothing=True):
                assert of_another_user() == 2, "its mode keeps others out"
                path.chmod(0o666)
                assert of_another_user() == 0
                assert reads_something()
    finally:
        shutil.rmtree(folder)


def loris(number):
    """A request that is never complete: where it begins, and what it goes on with, for ever."""
    return [(b"", b"G"), (b"", b""), (b"GET /debug/pprof/heap HTTP/1.1\r\nHost: localhost\r\nA: ", b"a"),
            (b"POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n", b"+"),
            (b"POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n+\r\n"),
            (b"POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
            (b"POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"T: x\r\n")][number % 7]


class Slow:
    """Some at once, each of which sends a byte when it is told to go on."""

    def __init__(self, address, count):
        self.all = []
        for number in range(count):
            connection = address.connect()
            beginning, more = loris(number)
            with contextlib.suppress(OSError):
                connection.sendall(beginning)
            connection.setblocking(False)
            self.all.append([connection, more, 0])

    def go_on(self):
        for entry in self.all:
            connection, more, sent = entry
            with contextlib.suppress(OSError):
                if more:
                    connection.send(more[sent % len(more):][:1])
                    entry[2] += 1

    def ended(self):
        """How many the server has ended."""
        count = 0
        for connection, _, _ in self.all:
            try:
                count += connection.recv(65536) == b""
            except BlockingIOError:
                pass
            except ConnectionError:
                count += 1
        return count

    def close(self):
        for connection, _, _ in self.all:
            connection.close()


@pytest.fixture(scope="module", autouse=True)
def patience(tmp_path_factory):
    """Slow clients of a server that has no others, all the while: what becomes of them is looked at in the end."""
    with served.host(tmp_path_factory.mktemp("patience")) as program, \
            contextlib.closing(Slow(hostile.Address(program.address(program.pid)), 42)) as slow:
        over = threading.Event()

        def go_on():
            while not over.wait(.1):
                slow.go_on()
        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield program, slow, time.monotonic()
        finally:
            over.set()
            thread.join()


def test_slow_clients(running):
    with unharmed(running) as server:
        def a_round(_):
            with contextlib.closing(Slow(hostile.Address(running.address(running.pid)), 200)) as slow:
                for _ in range(15):
                    slow.go_on()
                    # Not one of these is refused: the slow ones make room.
                    assert running.client.get("cmdline").status == 200
                    assert running.client.get("symbol", "POST", b"0x1+" * 10000).status == 200
            assert wait_for(lambda: not sockets(server))
        twice(server, a_round)


@pytest.fixture
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("not so many descriptors here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_connections(running, many_descriptors):
    address = hostile.Address(running.address(running.pid))
    whole = hostile.head(target=b"/debug/pprof/cmdline", headers=(b"Host: localhost", b"Connection: close"))
    # Nothing, something, a whole one, and one whose answer is not read.
    sent = [b"", whole[:20], whole, whole.replace(b"/cmdline", b"/heap")]
    with unharmed(running) as server:
        def a_round(_):
            with contextlib.ExitStack() as stack:
                connections = []
                for number in range(1000):
                    connection = stack.enter_context(address.connect())
                    with contextlib.suppress(ConnectionError):
                        connection.sendall(sent[number % 4])
                    connections.append(connection)
                    if number % 50 == 0:
                        assert running.client.get("cmdline").status == 200
                # One of them may be about to be closed for another.
                assert len(sockets(server)) <= 65
                for connection in connections[2::4]:
                    answer = hostile.rest_of(connection)
                    assert hostile.statuses(answer) in ([200], [503], []), hostile.describe(answer)
                    assert hostile.statuses(answer) != [200] or answer.endswith(b"\r\n\r\n" + str(served.HOST).encode() + b"\0")
            assert wait_for(lambda: not sockets(server))
        twice(server, a_round)


def test_few_descriptors(running):
    """Those that only keep a connection make room here, too."""
    with unharmed(running) as server:
        resource.prlimit(server, resource.RLIMIT_NOFILE, (hostile.Held(server).descriptors + 4, 100))
        with contextlib.closing(Slow(hostile.Address(running.address(running.pid)), 40)):
            assert running.client.get("cmdline").status == 200
        resource.prlimit(server, resource.RLIMIT_NOFILE, (100, 100))


def test_clients_that_close_their_half(running):
    address = hostile.Address(running.address(running.pid))
    with unharmed(running) as server:
        for target, starts in ((b"cmdline", str(served.HOST).encode()), (b"heap", hostile.GZIP), (b"goroutine?debug=2", b"thread ")):
            with address.connect() as connection:
                connection.sendall(hostile.head(target=b"/debug/pprof/" + target))
                connection.shutdown(socket.SHUT_WR)
                head, _, body = hostile.rest_of(connection).partition(b"\r\n\r\n")
            assert hostile.statuses(head) == [200] and body.startswith(starts)
        with address.connect() as connection:
            connection.shutdown(socket.SHUT_WR)
            assert hostile.rest_of(connection) == b""
        with address.connect() as connection:
            connection.sendall(hostile.head(b"POST", b"/debug/pprof/symbol", headers=(b"Host: localhost", b"Content-Length: 10")) + b"0x1")
            connection.shutdown(socket.SHUT_WR)
            assert 200 not in hostile.statuses(hostile.rest_of(connection))
        assert wait_for(lambda: not sockets(server))


@pytest.mark.parametrize("how", ["half", "whole", "reset"])
@pytest.mark.parametrize("next_one", [b"", b"GET", hostile.head()])
def test_clients_that_go_end_their_wait(running, how, next_one):
    """Whether or not they have sent already what comes next."""
    address = hostile.Address(running.address(running.pid))
    with unharmed(running) as server, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(address.connect()) for _ in range(20)]
        for number, connection in enumerate(connections):
            kind = [b"profile", b"wall", b"trace", b"heap"][number % 4]
            connection.sendall(hostile.head(target=b"/debug/pprof/" + kind + b"?seconds=1000000000") + next_one)
        assert wait_for(lambda: timers(running.pid))
        for connection in connections:
            if how == "half":
                connection.shutdown(socket.SHUT_WR)
            elif how == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if how != "half":
                connection.close()
        assert wait_for(lambda: not timers(running.pid))
        if how == "half":
            assert not [answer for connection in connections if (answer := hostile.rest_of(connection))]
        assert wait_for(lambda: not sockets(server))


def large_question(running, size=1 << 20):
    """Of which each address has a name in the answer."""
    text = running.client.get("goroutine?debug=1").text
    address = next(line for line in text.splitlines() if " main+0x" in line or "\tmain+0x" in line).split()[1]
    return f"{address}+".encode() * (size // (len(address) + 1))


def test_answers_that_nobody_reads(running):
    """More than is held between the two ends."""
    address = hostile.Address(running.address(running.pid))
    question = large_question(running, 1 << 17)
    text = hostile.head(b"POST", b"/debug/pprof/symbol", headers=(b"Host: localhost", b"Content-Length: %d" % len(question))) + question
    with unharmed(running) as server:
        def a_round(_):
            with contextlib.ExitStack() as stack:
                for _ in range(80):
                    connection = stack.enter_context(address.connect(receive_buffer=4096))
                    with contextlib.suppress(ConnectionError):
                        connection.sendall(text)
                assert wait_for(lambda: len(sockets(server)) == 64)
                # They are in the way for a second at most.
                assert wait_for(lambda: running.client.get("cmdline").status == 200)
            assert wait_for(lambda: not sockets(server))
        # An answer and what it was made of: half a megabyte of each of them.
        twice(server, a_round, LARGE_SLACK)


def test_huge_bodies(running):
    address = hostile.Address(running.address(running.pid))
    question = large_question(running)

    def status_of(headers, body, repeated=1):
        """Of what is answered to a body that goes on whether or not there is an answer."""
        with address.connect() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(hostile.head(b"POST", b"/debug/pprof/symbol", headers=(b"Host: localhost", *headers)))
                for _ in range(repeated):
                    connection.sendall(body)
                connection.shutdown(socket.SHUT_WR)
            return hostile.statuses(hostile.rest_of(connection))
    with unharmed(running) as server:
        def a_round(_):
            megabyte = b"+" * (1 << 20)
            chunk = b"%x\r\n" % len(megabyte) + megabyte + b"\r\n"
            # The answer may be lost where the client is still sending: it was told to go at once.
            assert status_of([b"Content-Length: %d" % (1 << 40)], megabyte, 20) in ([413], [])
            assert status_of([b"Content-Length: %d" % (1 << 40), b"Expect: 100-continue"], b"") == [413]
            assert status_of([b"Transfer-Encoding: chunked"], chunk, 20) in ([413], [])
            assert status_of([b"Transfer-Encoding: chunked"], b"1\r\n+\r\n" * 10000, 200) in ([413], [])
            assert status_of([b"Transfer-Encoding: chunked"], b"1;" + b"a" * 4000 + b"\r\n+\r\n") == []
            assert status_of([b"Transfer-Encoding: chunked"], b"1;" + b"a" * (1 << 20), 4) in ([400], [413], [])
            assert status_of([b"Transfer-Encoding: chunked"], b"0\r\n" + b"A: b\r\n" * 100000, 10) in ([400], [431], [])
            # As large as is taken, from many at once.
            with contextlib.ExitStack() as stack:
                connections = [stack.enter_context(address.connect()) for _ in range(16)]
                lines = (b"Host: localhost", b"Content-Length: %d" % len(question), b"Connection: close")
                for connection in connections:
                    connection.sendall(hostile.head(b"POST", b"/debug/pprof/symbol", headers=lines) + question[:-1000])
                for connection in connections:
                    connection.sendall(question[-1000:])
                for connection in connections:
                    assert hostile.statuses(hostile.rest_of(connection)) == [200]
            assert wait_for(lambda: not sockets(server))
        # Its last part alone has 16 MiB of questions, and 21 of answers.
        twice(server, a_round, LARGE_SLACK)


def test_patience_with_slow_clients_has_an_end(patience):
    program, slow, began = patience
    server = program.server()
    if time.monotonic() - began < REQUEST_SECONDS / 2:
        assert wait_for(lambda: len(sockets(server)) == len(slow.all))
    assert wait_for(lambda: not sockets(server), 3 * REQUEST_SECONDS)
    assert slow.ended() == len(slow.all)
    assert program.client.get("cmdline").status == 200
