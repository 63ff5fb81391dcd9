"""Clients that mean harm: requests that are none, by a seeded fuzzer, and what a process holds while they come."""

import contextlib
import pathlib
import socket

GZIP = b"\x1f\x8b"
KINDS = ["heap", "allocs", "block", "mutex", "goroutine", "threadcreate", "stacks", "profile", "wall", "trace", "cmdline", "symbol",
         "status", ""]


class Address:
    """Where to connect to: "http://host:port" or a unix socket's path."""

    def __init__(self, text):
        self.path = text if text.startswith("/") else None
        if self.path is None:
            name, _, port = text.removeprefix("http://").rpartition(":")
            self.place = ("127.0.0.1" if name in ("localhost", "0.0.0.0") else name, int(port))

    def connect(self, timeout=60, receive_buffer=None):
        connection = socket.socket(socket.AF_UNIX if self.path else socket.AF_INET)
        connection.settimeout(timeout)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.connect(self.path or self.place)
        if self.path is None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def rest_of(connection):
    """All that comes until the end."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


class Conversation:
    """Requests one after the other, over one connection as long as the server keeps it."""

    def __init__(self, address):
        self.address, self.connection, self.connections, self.received = address, None, 0, b""

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection, self.received = None, b""

    def ask(self, request):
        """What comes back of a request: all of it, once the server has said or done all that it will."""
        if self.connection is None:
            self.connection = self.address.connect()
            self.connections += 1
        with contextlib.suppress(ConnectionError):
            for piece in request.pieces:
                self.connection.sendall(piece)
        if request.is_whole and not request.is_pipelined:
            answer = self.answer()
            if answer is not None:
                return answer
        # No more will come of this one: whatever the server waits for, it waits in vain.
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
        answer = self.received + rest_of(self.connection)
        self.close()
        return answer

    def answer(self):
        """One answer on a connection that goes on; None: it has no length, or the connection ends."""
        while b"\r\n\r\n" not in self.received:
            if not self.receive():
                return None
        head, _, _ = self.received.partition(b"\r\n\r\n")
        lower = head.lower()
        if b"connection: close" in lower or b"\r\ncontent-length: " not in lower:
            return None
        length = len(head) + 4 + int(lower.split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
        while len(self.received) < length:
            if not self.receive():
                return None
        answer, self.received = self.received[:length], self.received[length:]
        return answer

    def receive(self):
        try:
            chunk = self.connection.recv(65536)
        except ConnectionError:
            chunk = b""
        self.received += chunk
        return bool(chunk)


class Request:
    """is_whole: its end is known to both sides, so that the connection may go on behind it."""

    def __init__(self, what, text, is_whole=False, is_pipelined=False):
        self.what, self.text, self.is_whole, self.is_pipelined = what, text, is_whole, is_pipelined
        self.pieces = [text]

    def in_pieces(self, chance):
        """As it may come."""
        places = sorted(chance.randint(0, min(len(self.text), 300)) for _ in range(chance.randint(1, 4)))
        self.pieces = [self.text[start:end] for start, end in zip([0, *places], [*places, len(self.text)]) if start != end]
        return self

    def __repr__(self):
        return f"{self.what}: {self.text[:300]!r} ({len(self.text)} bytes)"


def head(method=b"GET", target=b"/debug/pprof/heap", version=b"HTTP/1.1", headers=(b"Host: localhost",), end=b"\r\n"):
    return end.join([method + b" " + target + b" " + version, *headers, b"", b""])


def chunked(*parts, headers=()):
    return head(b"POST", b"/debug/pprof/symbol", headers=(b"Host: localhost", b"Transfer-Encoding: chunked", *headers)) + b"".join(parts)


class Fuzzer:
    """Requests of which none may be answered by 2xx, the same for the same seed."""

    def __init__(self, chance):
        self.chance = chance
        self.ways = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("of_")]

    def request(self):
        request = self.chance.choice(self.ways)()
        return request.in_pieces(self.chance) if self.chance.random() < .25 else request

    def some_bytes(self, most):
        return self.chance.randbytes(self.chance.randint(1, most))

    def some_digits(self, most):
        return b"".join(b"%d" % self.chance.randint(0, 9) for _ in range(self.chance.randint(1, most)))

    def target(self):
        return b"/debug/pprof/" + self.chance.choice(KINDS).encode() + self.chance.choice([b"", b"?debug=1", b"?seconds=1", b"?gc=1"])

    def of_random_bytes(self):
        return Request("random bytes", b"\x00" + self.some_bytes(2000) + self.chance.choice([b"", b"\r\n\r\n"]))

    def of_truncation(self):
        text = head(target=self.target())
        return Request("truncated", text[:self.chance.randint(1, len(text) - 1)])

    def of_nul(self):
        text = head(target=self.target())
        at = self.chance.randint(0, len(text) - 5)
        return Request("NUL", text[:at] + b"\0" + text[at:], is_whole=True)

    def of_version(self):
        version = self.chance.choice([b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1", b"HTTP/11.1", b"HTTP/1.1.1", b"http/1.1", b"ICY/1.1",
                                      b"HTTP/-1.1", b"HTTP/1.", b"", b"HTTP/1.1 x", b"HTTP/" + self.some_digits(30)])
        return Request("version", head(target=self.target(), version=version), is_whole=True)

    def of_line_ends(self):
        end = self.chance.choice([b"\n", b"\r", b"\n\r", b"\r\r\n", b"\x0b\x0c", b"\r\n "])
        return Request("line ends", head(target=self.target(), end=end))

    def of_large_header(self):
        name = self.chance.choice([b"A: ", b"Cookie: ", b"Authorization: Bearer ", b"Host: "])
        return Request("large header", head(headers=(b"Host: localhost", name + b"a" * self.chance.randint(8200, 60000))), is_whole=True)

    def of_many_headers(self):
        headers = [b"%c%d: %d" % (self.chance.randint(65, 90), i, i) for i in range(self.chance.randint(900, 3000))]
        return Request("many headers", head(headers=(b"Host: localhost", *headers)), is_whole=True)

    def of_large_target(self):
        target = b"/debug/pprof/heap?" + self.chance.choice([b"a", b"%", b"&", b"=", b"seconds=1&"]) * self.chance.randint(8200, 60000)
        return Request("large target", head(target=target), is_whole=True)

    def of_odd_header(self):
        line = self.chance.choice([b"no colon", b": no name", b" Host: folded", b"Na me: x", b"Name : x", b"N\x00me: x", b"N\xc3\xa4me: x",
                                   b"Name: \x00", b"Name: \x07", b"Name: a\rb", b"Name: \x7f", b"(Name): x", b"{}: x"])
        return Request("odd header", head(target=self.target(), headers=(b"Host: localhost", line)), is_whole=True)

    def of_content_length(self):
        length = self.chance.choice([b"-1", b"+1", b"1e3", b"0x10", b"1 1", b"1,2", b"18446744073709551616", b"9" * 100, b"99999999", b"", b" ",
                                     b"9223372036854775808", b"-0", b"\xb2", b"1;2", b"2000000", b"1" + self.some_digits(25)])
        text = head(b"POST", b"/debug/pprof/symbol", headers=(b"Host: localhost", b"Content-Length: " + length)) + b"0x1"
        return Request("Content-Length", text)

    def of_two_lengths(self):
        first = self.chance.randint(0, 9)
        lines = [b"Content-Length: %d" % first, b"Content-Length: %d" % (first + self.chance.randint(1, 3))]
        self.chance.shuffle(lines)
        return Request("two lengths", head(b"POST", b"/debug/pprof/symbol", headers=(b"Host: localhost", *lines)) + b"0x1" * 4)

    def of_length_and_chunks(self):
        lines = [b"Content-Length: %d" % self.chance.randint(0, 40), b"Transfer-Encoding: chunked"]
        self.chance.shuffle(lines)
        text = head(b"POST", b"/debug/pprof/symbol", headers=(b"Host: localhost", *lines)) + b"0\r\n\r\n" + head(target=self.target())
        return Request("length and chunks", text)

    def of_chunk_size(self):
        size = self.chance.choice([b"-1", b"g", b"", b" ", b"0x1", b"ffffffffffffffff", b"10000000000000000", b"f" * 100, b"1 0", b"\x00",
                                   b"1\n", b"fffffff0", b"7fffffffffffffff", b"+1", b";", b"%x" % self.chance.randint(2 << 20, 2 << 60)])
        return Request("chunk size", chunked(size + b"\r\n0x1\r\n0\r\n\r\n"))

    def of_chunks_that_are_none(self):
        parts = [b"3\r\n0x1\r\n", b"2\r\n0x1\r\n", b"4\r\n0x1\r\n", b"3\n0x1\n", self.some_bytes(30), b"3;" + b"a" * 100 + b"\r\n0x1\r\n"]
        # Without their last one: no body ends here.
        return Request("chunks", chunked(*(self.chance.choice(parts) for _ in range(self.chance.randint(1, 50)))))

    def of_large_chunks(self):
        size = self.chance.randint(300 << 10, 600 << 10)
        return Request("large chunks", chunked(*[b"%x\r\n" % size + b"+" * size + b"\r\n"] * 4, b"0\r\n\r\n"))

    def of_trailers(self):
        return Request("trailers", chunked(b"0\r\n", *(b"T%d: %s\r\n" % (i, b"x" * 100) for i in range(self.chance.randint(1000, 3000)))))

    def of_transfer_encoding(self):
        coding = self.chance.choice([b"xchunked", b"chunked, identity", b"gzip", b"identity", b"chunked, chunked", b"\x0bchunked", b"chunke"])
        text = head(b"POST", b"/debug/pprof/symbol", headers=(b"Host: localhost", b"Transfer-Encoding: " + coding))
        return Request("Transfer-Encoding", text + b"3\r\n0x1\r\n")

    def of_path(self):
        path = self.chance.choice([
            b"//debug/pprof/heap", b"/debug//pprof/heap", b"/debug/pprof//heap", b"/debug/pprof/../pprof/heap", b"/debug/pprof/./heap",
            b"/debug/pprof/%68eap", b"/debug/pprof/heap%00", b"/debug%2fpprof%2fheap", b"/DEBUG/PPROF/HEAP", b"/debug/pprof/heap/",
            b"/debug/pprof/heap/..", b"/debug/pprof/%2e%2e/pprof/heap", b"/debug/pprof/..%2f..%2f..%2fetc/passwd", b"/debug/pprof/heap;a=b",
            b"/debug/pprof\\heap", b"/../../../../etc/passwd", b"/debug/pprof/heap%20", b"/debug/pprof/heap.", b"/debug/pprof/%", b"/%",
            b"/debug/pprof/heap%3fdebug=1", b"/.%2e/debug/pprof/heap", b"/debug/pprof/../../../proc/self/mem", b"/metrics/", b"//metrics",
            b"/debug/fgprof/", b"/debug/pprof/\xc0\xae\xc0\xae/heap", b"/debug/pprof/" + b"../" * self.chance.randint(1, 2000) + b"heap"])
        return Request("path", head(target=path), is_whole=True)

    def of_target(self):
        target = self.chance.choice([b"*", b"localhost:6060", b"debug/pprof/heap", b"?debug=1", b"#", b"http:/debug/pprof/heap",
                                     b"http://", b"ftp://localhost/debug/pprof/heap", b"//localhost/debug/pprof/heap", b"http",
                                     b"http://evil.example/debug/pprof/heap", b"https://evil.example:6060/debug/pprof/heap?debug=1",
                                     b"http://localhost@evil.example/debug/pprof/heap", b"javascript:alert(1)", b"/debug/pprof/heap debug",
                                     b"/\x7f", b"/debug/pprof/h\teap", b"\x00"])
        return Request("target", head(target=target), is_whole=True)

    def of_method(self):
        method = self.chance.choice([b"CONNECT", b"OPTIONS", b"TRACE", b"PUT", b"DELETE", b"PATCH", b"get", b"GETT", b"G\x00T", b"", b"PRI",
                                     b"HEAD\x0b", b"X" * self.chance.randint(1, 9000), b"\xff\xfe", b"(GET)"])
        return Request("method", head(method, self.target()), is_whole=True)

    def of_number(self):
        number = self.chance.choice([b"-1", b"0", b"nan", b"NaN", b"inf", b"-inf", b"1e9", b"1.5", b"0x10", b"9223372036854775808", b"9" * 400,
                                     b"-9223372036854775808", b"%00", b"1%00", b"%", b"%zz", b"1;1", b"\xd9\xa1", b"--1", b"+-1", b"1_000",
                                     b"18446744073709551617", b"%2b%2d1", b"1%20"])
        target = self.chance.choice([b"heap?seconds=", b"allocs?gc=1&seconds=", b"goroutine?seconds=", b"mutex?fraction=", b"block?rate=",
                                     b"heap?debug=1&seconds="])
        method = b"GET" if b"seconds" in target else self.chance.choice([b"GET", b"POST"])
        # A fraction of 0 is one, and so is a rate.
        if number == b"0" and b"seconds" not in target:
            number = b"-0.0"
        if number == b"1e9" and method == b"POST":
            number = b"1e99"
        return Request("number", head(method, b"/debug/pprof/" + target + number), is_whole=True)

    def of_host(self):
        host = self.chance.choice([b"evil.example", b"localhost.evil.example", b"localhost evil.example", b"127.0.0.1.evil.example", b"10.0.0.1",
                                   b"", b"[::2]", b"[", b"]", b"[::1", b"localhost\\@evil", b"evil.example:localhost", b"localhost@evil",
                                   b"0.0.0.0", b"0", b"127.1", b"2130706433", b"%6cocalhost", b":", b"::1", b"localhost..", b"\xe2\x93\x81ocalhost",
                                   b"x" * self.chance.randint(100, 5000)])
        return Request("host", head(target=self.target(), headers=(b"Host: " + host,)), is_whole=True)

    def of_hosts(self):
        lines = self.chance.choice([(), (b"Host: localhost", b"Host: localhost"), (b"Host: localhost", b"Host: evil.example"),
                                    (b"Hostt: localhost",), (b"X-Forwarded-Host: localhost",)])
        return Request("hosts", head(target=self.target(), headers=lines), is_whole=True)

    def of_origin(self):
        line = self.chance.choice([b"Origin: http://evil.example", b"Origin: null", b"Sec-Fetch-Site: cross-site", b"Origin: localhost",
                                   b"Origin: http://localhost.evil.example"])
        return Request("origin", head(b"POST", self.target(), headers=(b"Host: localhost", line, b"Content-Length: 0")), is_whole=True)

    def of_pipeline(self):
        first = head(target=self.chance.choice([b"/debug/pprof/nothing", b"/nowhere", b"/debug/pprof/heap?seconds=x"]))
        return Request("pipeline", first * self.chance.randint(2, 40) + b"\x00\r\n\r\n", is_pipelined=True)


class Mutator:
    """Requests that were right, changed at random: where a token is asked for none may be let in, elsewhere any answer will do."""

    def __init__(self, chance, targets=None):
        self.chance = chance
        self.target = Fuzzer(chance).target if targets is None else lambda: chance.choice(targets)

    def request(self):
        chance = self.chance
        text = bytearray(chance.choice([
            head(target=self.target()), head(b"POST", b"/debug/pprof/symbol", headers=(b"Host: localhost", b"Content-Length: 3")) + b"0x1",
            chunked(b"3\r\n0x1\r\n", b"0\r\n\r\n"), head(target=self.target(), version=b"HTTP/1.0"),
            head(target=self.target(), headers=(b"Host: localhost", b"Authorization: Bearer wrong", b"Accept: */*")),
            head(target=self.target(), headers=(b"Host: localhost", b"Authorization: Basic eDp3cm9uZw==", b"Connection: close"))]))
        for _ in range(chance.randint(0, 6)):
            at = chance.randrange(len(text))
            way = chance.randrange(6)
            if way == 0:
                text[at] = chance.randrange(256)
            elif way == 1:
                text[at] ^= 1 << chance.randrange(8)
            elif way == 2:
                del text[at:at + chance.randint(1, 8)]
            elif way == 3:
                text[at:at] = chance.choice([b"\0", b"\r\n", b"\n", b" ", b":", b"%00", b"\xff", b"HTTP/1.1", b"a" * 9000, chance.randbytes(20)])
            elif way == 4:
                text[at:at] = text[max(at - chance.randint(1, 40), 0):at]
            else:
                other = chance.randrange(len(text))
                text[at], text[other] = text[other], text[at]
            if not text:
                text = bytearray(b"\r")
        request = Request("mutated", bytes(text))
        return request.in_pieces(chance) if chance.random() < .25 else request


def describe(answer):
    return f"{answer[:400]!r} ({len(answer)} bytes)"


def statuses(answer):
    """Of the answers in what came back."""
    return [int(part.split(b" ", 1)[0]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def check_refused(request, answer):
    """Nothing, or refusals only, and not a byte of what they might have been after."""
    assert all(status >= 400 for status in statuses(answer)), f"{request}\nwas answered {describe(answer)}"
    assert GZIP not in answer and b"profile" not in answer.replace(b"Unknown profile", b"").replace(b'realm="profiles"', b""), \
        f"{request}\nwas answered {describe(answer)}"


class Held:
    """What a process holds at a moment."""

    def __init__(self, pid):
        folder = pathlib.Path(f"/proc/{pid}")
        self.descriptors = len(list((folder / "fd").iterdir()))
        self.threads = sorted(int(entry.name) for entry in (folder / "task").iterdir())
        self.resident = int((folder / "status").read_text().split("VmRSS:")[1].split()[0]) << 10


def doings(pid):
    """{thread: (how often it has slept, its CPU time in ticks)} of a process."""
    found = {}
    for folder in pathlib.Path(f"/proc/{pid}/task").iterdir():
        fields = (folder / "stat").read_text().rpartition(") ")[2].split()
        sleeps = (folder / "status").read_text().split("\nvoluntary_ctxt_switches:")[1].split()[0]
        found[int(folder.name)] = int(sleeps), int(fields[11]) + int(fields[12])
    return found
