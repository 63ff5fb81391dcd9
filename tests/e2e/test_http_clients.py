"""The real client, `go tool pprof`, in every form that its own documentation and ours show, with servers in C, C++ and Python; curl and
wget; and names by the server's /symbol.
"""

import concurrent.futures
import contextlib
import http.server
import os
import re
import shutil
import subprocess
import threading
import urllib.request

import pytest

import conftest
import pprof
import served
import servers
import test_trace
from servers import wait_for

PYTHON = """
import http.server, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        rows = b"".join(b"%d\\n" % (number * 7919 % 1000003) for number in range(3000)) * 20
        self.send_response(200)
        self.send_header("Content-Length", str(len(rows)))
        self.end_headers()
        self.wfile.write(rows)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
"""


class Tried:
    """A server under load: `file` is the program's, `function` a name of its CPU profile, `listed` one whose source the client finds."""

    def __init__(self, host, file, function, listed):
        self.host, self.file, self.function, self.listed = host, file, function, listed
        self.url = host.client.address + "/debug/pprof"


@contextlib.contextmanager
def load(url, path):
    """Requests on two connections that stay, until the block ends."""
    ends = threading.Event()

    def ask():
        connection = served.Client(url).connection()
        while not ends.is_set():
            connection.request("GET", path)
            assert connection.getresponse().read()
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(ask) for _ in range(2)]
        try:
            yield
        finally:
            ends.set()
        for job in jobs:
            job.result()


@pytest.fixture(scope="module", params=["c", "c++", "python"])
def tried(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tried")
    with contextlib.ExitStack() as stack:
        if request.param == "c":
            server = Tried(stack.enter_context(served.host(folder, "balt")), "served", "alpha", "alpha")
        else:
            command, path = ([str(conftest.PROGRAMS / "example_data_server")], "/data") if request.param == "c++" else \
                (["/usr/bin/python3", "-c", PYTHON], "/")
            host = stack.enter_context(served.host(folder, command=command, environment={"PORT": "0"}))
            url = re.search(r"http://[^/\s]+", host.process.stdout.readline()).group()
            stack.enter_context(load(url, path))
            server = Tried(host, "example_data_server", "data", "serve_connection") if request.param == "c++" else \
                Tried(host, os.path.basename(os.path.realpath("/usr/bin/python3")), "_PyEval_EvalFrameDefault", None)
        # These are recorded from the first request on.
        for kind in ("heap", "block", "mutex"):
            assert server.host.client.get(kind).status == 200
        yield server


def environment(folder, **others):
    return dict(served.CLEAN, PPROF_TMPDIR=str(folder), TMPDIR=str(folder), HOME=str(folder), **others)


def go_pprof(folder, *words, said_on_stdin="", **others):
    """What it prints, where it has nothing to complain of."""
    done = subprocess.run(["go", "tool", "pprof", *words], capture_output=True, cwd=folder, timeout=120, env=environment(folder, **others),
                          input=said_on_stdin.encode())
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert not re.search(r"error|fail|not available|could not|unrecognized", said, re.IGNORECASE), said
    return done.stdout


def text_of(*words):
    return lambda output, tried: all(word.format(tried) in output.decode() for word in words)


# How a CPU profile is shown: what is asked for, and what is to be seen.
FORMS = {
    "-top": text_of("File: {0.file}", "Type: cpu", "flat%", "{0.function}"),
    "-top -cum": text_of("{0.function}"),
    "-text": text_of("{0.function}"),
    "-tree": text_of("calls calls%", "{0.function}"),
    "-traces": text_of("-----------+", "{0.function}"),
    "-raw": text_of("PeriodType: cpu nanoseconds", "Samples:", "Locations", "Mappings", "{0.function}"),
    "-tags": text_of(" thread: Total "),
    "-comments": text_of("cpu clock: "),
    "-dot": text_of("digraph", "{0.function}"),
    "-callgrind": text_of("events: cpu(", "{0.function}"),
    "-peek={0.function}": text_of("{0.function}", "calls%"),
    "-list=^{0.listed}": text_of("ROUTINE =", "{0.listed}"),
    "-top -sample_index=samples": text_of("Type: samples", "{0.function}"),
    "-top -focus={0.function} -unit=ms -nodecount=5 -nodefraction=0": text_of("focus={0.function}", "{0.function}"),
    "-top -files": text_of("Type: cpu"),
    "-top -tagroot=thread -call_tree": text_of("{0.function}"),
    "-svg": lambda output, tried: b"<svg" in output and tried.function.encode() in output,
    "-png": lambda output, tried: output.startswith(b"\x89PNG"),
    "-pdf": lambda output, tried: output.startswith(b"%PDF"),
    "-proto": lambda output, tried: output.startswith(b"\x1f\x8b"),
    "-topproto": lambda output, tried: output.startswith(b"\x1f\x8b"),
}


def test_forms_of_a_cpu_profile(tried, tmp_path):
    """All at once: each has a profile of its own."""
    def show(number, form):
        folder = tmp_path / str(number)
        folder.mkdir()
        words = [word.format(tried) for word in form.split()]
        go_pprof(folder, *words, f"-output={folder}/shown", "-seconds=1", f"{tried.url}/profile")
        return (folder / "shown").read_bytes()

    forms = [form for form in FORMS if tried.listed or "listed" not in form]
    if not shutil.which("dot"):
        forms = [form for form in forms if form not in ("-svg", "-png", "-pdf")]
    with concurrent.futures.ThreadPoolExecutor(len(forms)) as pool:
        for form, output in zip(forms, pool.map(show, range(len(forms)), forms)):
            assert FORMS[form](output, tried), (form, output[:3000])


# Which profile; the client's options; what it calls the values.
KINDS = [
    ("profile?seconds=1", [], "cpu"), ("profile", ["-seconds=1"], "cpu"), ("heap", [], "inuse_space"), ("heap", ["-seconds=1"], "inuse_space"),
    ("heap?gc=1", [], "inuse_space"), ("heap", ["-inuse_objects"], "inuse_objects"), ("heap", ["-sample_index=alloc_space"], "alloc_space"),
    ("heap", ["-alloc_space"], "alloc_space"), ("heap", ["-alloc_objects"], "alloc_objects"), ("allocs", [], "alloc_space"),
    ("allocs", ["-seconds=1"], "alloc_space"), ("allocs", ["-sample_index=inuse_space"], "inuse_space"), ("block", [], "delay"),
    ("block", ["-seconds=1"], "delay"), ("block", ["-contentions"], "contentions"), ("mutex", [], "delay"), ("mutex", ["-seconds=1"], "delay"),
    ("mutex", ["-mean_delay"], ""), ("mutex", ["-total_delay"], "delay"), ("threadcreate", [], "threadcreate"),
    ("threadcreate", ["-seconds=1"], "threadcreate"), ("goroutine", [], "goroutine"), ("goroutine", ["-seconds=1"], "goroutine"),
    ("stacks", [], "goroutine"), ("wall", ["-seconds=1"], "wall"), ("../fgprof?seconds=1", [], "wall"), ("heap?debug=1", [], "inuse_space"),
    ("allocs?debug=1", [], "inuse_space"), ("block?debug=1", [], "delay"), ("mutex?debug=1", [], "delay"),
    ("goroutine?debug=1", [], "goroutine"), ("threadcreate?debug=1", [], "threadcreate"),
]


def test_kinds(tried, tmp_path):
    def show(kind):
        path, options, _ = kind
        url = f"{tried.url}/{path}".replace("/pprof/..", "")
        return go_pprof(tmp_path, "-top", *options, url).decode()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for (path, options, kind), text in zip(KINDS, pool.map(show, KINDS)):
            assert f"File: {tried.file}\n" in text and (not kind or f"Type: {kind}\n" in text), (path, options, text)


def test_addresses(tried, tmp_path):
    """Ways to name a server: the host alone is its CPU profile."""
    address = tried.host.client.address
    urls = (address, address.removeprefix("http://"), f"{address}/")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for text in pool.map(lambda url: go_pprof(tmp_path, "-top", "-seconds=1", "-timeout=30", url), urls):
            assert "Type: cpu" in text.decode()


def test_bases(tried, tmp_path):
    file = tmp_path / "before.pb.gz"
    file.write_bytes(tried.host.client.get("allocs").body)
    for options in (["-base", f"{tried.url}/allocs"], ["-diff_base", f"{tried.url}/allocs"], ["-base", str(file)], ["-diff_base", str(file)],
                    ["-normalize", "-base", str(file)]):
        text = go_pprof(tmp_path, "-top", "-sample_index=alloc_space", *options, f"{tried.url}/allocs").decode()
        assert "Type: alloc_space" in text, (options, text)
        # What it was before is in it no more.
        assert not re.search(r"^ +-[0-9.]+[kMG]?B .*100%$", text, re.MULTILINE) or "-diff_base" in options, (options, text)


def test_interactive(tried, tmp_path):
    said = f"top10\ntop5 -cum\npeek {tried.function}\ntags\ntraces\no\nsample_index=samples\ntop\nquit\n"
    text = go_pprof(tmp_path, f"{tried.url}/profile?seconds=1", said_on_stdin=said).decode()
    assert text.count("Showing nodes accounting for") >= 3 and tried.function in text, text


def browser(folder):
    """Stands for one: keeps what it is given."""
    script = folder / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" >>{folder}/opened\ncase $1 in http*) ;; *) cp "${{1#file://}}" {folder}/shown ;; esac\n')
    script.chmod(0o755)
    return str(script)


@pytest.mark.skipif(not shutil.which("dot"), reason="graphviz is not installed")
def test_web(tried, tmp_path):
    go_pprof(tmp_path, "-web", f"{tried.url}/profile?seconds=1", BROWSER=browser(tmp_path))
    shown = tmp_path / "shown"
    assert wait_for(lambda: shown.exists() and "</svg>" in shown.read_text())
    assert tried.function in shown.read_text()


@contextlib.contextmanager
def web_interface(folder, *words, **others):
    """`go tool pprof -http`, as the tool itself: `go` would be its parent. Its address."""
    tool = subprocess.run(["go", "tool", "-n", "pprof"], capture_output=True, text=True, check=True).stdout.strip()
    with open(folder / "said", "wb") as said:
        process = subprocess.Popen([tool, *words], cwd=folder, stdout=said, stderr=said, stdin=subprocess.DEVNULL,
                                   env=environment(folder, **others))
    try:
        def address():
            return re.search(r"Serving web UI on (http://\S+)", (folder / "said").read_text())
        assert wait_for(lambda: address() or process.poll() is not None) and address(), (folder / "said").read_text()
        yield address().group(1)
    finally:
        process.kill()
        process.wait()


def test_web_interface(tried, tmp_path):
    paths = ["/ui/flamegraph", "/ui/top", f"/ui/peek?f={tried.listed or tried.function}", "/ui/download"]
    if shutil.which("dot"):
        paths.append("/ui/")
    if tried.listed:
        paths.append(f"/ui/source?f={tried.listed}")
    with web_interface(tmp_path, "-no_browser", f"-http=localhost:{servers.free_port()}", f"{tried.url}/profile?seconds=1") as address:
        for path in paths:
            answer = subprocess.run(["curl", "-sS", "--fail", "-g", address + path], capture_output=True, env=served.CLEAN)
            assert answer.returncode == 0, (path, answer.stderr)
            if path == "/ui/download":
                assert answer.stdout.startswith(b"\x1f\x8b")
            elif not path.startswith("/ui/source"):  # which needs the machine code, and finds it in Go's programs only
                assert (tried.listed or tried.function if "?f=" in path else tried.function) in answer.stdout.decode(), path


def test_web_interface_opens_a_browser(tmp_path):
    """The command that the index page offers."""
    with served.host(tmp_path, "b") as host:
        url = f"{host.client.address}/debug/pprof/profile?seconds=1"
        with web_interface(tmp_path, "-http=:", url, BROWSER=browser(tmp_path)) as address:
            opened = tmp_path / "opened"
            assert wait_for(lambda: opened.exists() and opened.read_text() == address + "\n")
            assert "alpha" in urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address + "/ui/top").read().decode()


@pytest.mark.parametrize("command, file", [
    ("curl -sS --fail -o trace.out {0}/trace?seconds=1", "trace.out"), ("curl -sS --fail -OJ {0}/trace?seconds=0.5", "trace.json.gz"),
    ("wget -q {0}/trace?seconds=1", "trace?seconds=1"), ("wget -q --content-disposition {0}/trace?seconds=0.5", "trace.json.gz")])
def test_trace_by_other_clients(tried, tmp_path, command, file):
    if not shutil.which(command.split()[0]):
        pytest.skip(f"{command.split()[0]} is not installed")
    subprocess.run(command.format(tried.url).split(), cwd=tmp_path, check=True, env=served.CLEAN)
    trace = test_trace.Trace(tmp_path / file)
    assert tried.host.pid in trace.names and trace.about["program"].endswith(tried.file)


class Proxy(http.server.ThreadingHTTPServer):
    """Stands before a server, and counts: `asked` has each request's method and path, `questions` what was posted."""

    daemon_threads = True

    def __init__(self, client):
        super().__init__(("127.0.0.1", 0), Relay)
        self.client, self.asked, self.questions = client, [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/debug/pprof"


class Relay(http.server.BaseHTTPRequestHandler):
    def relay(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path))
        if body:
            self.server.questions.append(body.decode())
        answer = self.server.client.get(self.path, self.command, body or None)
        self.send_response(answer.status)
        for name in ("Content-Type", "X-Go-Pprof"):
            if answer.headers[name]:
                self.send_header(name, answer.headers[name])
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = relay

    def log_message(self, *_):
        pass


def own_symbols(file, *options):
    lines = subprocess.run(["nm", *options, "--defined-only", str(file)], capture_output=True, text=True).stdout.splitlines()
    return {line.split()[-1].partition("@")[0] for line in lines if line}


OWN = {"allocates_kept", "allocates_brief", "allocate", "wait_for_lock", "wait_long", "hold_lock", "hold", "creates_threads", "create"}


@pytest.mark.parametrize("how", ["whole", "stripped", "stripped, exported"])
def test_names_by_symbol(tmp_path, how):
    """A profile that comes without names, as text: the client posts its addresses, and has the names that the profile with names has.
    Of a stripped program these are those of .dynsym, and of the libraries; nothing takes the place of the others."""
    program = tmp_path / "served"
    flags = ["-rdynamic"] if how == "stripped, exported" else []
    subprocess.run(["gcc", "-O2", "-g", "-fomit-frame-pointer", *flags, str(pprof.ROOT / "tests/programs/served.c"), "-o", str(program),
                    "-lpthread"], check=True)
    if how != "whole":
        subprocess.run(["strip", str(program)], check=True)
    own = OWN & own_symbols(program, *([] if how == "whole" else ["-D"]))
    assert bool(own) == (how != "stripped") and (own == OWN) == (how == "whole")
    found = set()
    with served.host(tmp_path, command=[str(program), "alt"], settings={"PROF_HEAP_RATE": "1"}) as host:
        host.process.stdout.readline()
        for kind in ("heap", "block", "mutex"):
            host.client.get(kind)
        proxy = Proxy(host.client)
        assert wait_for(lambda: host.ask("state")["locked"] > 20)
        for kind in ("heap", "block", "mutex", "goroutine", "threadcreate"):
            before = len(proxy.questions)
            text = go_pprof(tmp_path, "-raw", "-symbolize=remote", f"{proxy.url}/{kind}?debug=1").decode()
            assert proxy.asked[-1] == ("POST", "/debug/pprof/symbol") and len(proxy.questions) > before, proxy.asked
            by_client = names_in(text)
            (tmp_path / "kept").write_bytes(host.client.get(kind).body)
            by_server = names_in(pprof.client(tmp_path / "kept", "-raw"))
            both = set(by_client) & set(by_server)
            assert len(both) >= 2 and all(by_client[address] == by_server[address] for address in both), (kind, by_client, by_server)
            found |= set(by_client.values())
        if how == "whole":  # With names there is nothing to be asked.
            before = len(proxy.questions)
            assert "clock_nanosleep" in go_pprof(tmp_path, "-top", "-symbolize=remote", f"{proxy.url}/goroutine").decode()
            assert len(proxy.questions) == before, proxy.questions[before:]
        proxy.shutdown()
        proxy.server_close()
    assert found & OWN == own and {"start_thread", "clone3"} <= found, found


def names_in(text):
    """{address: innermost name} of the locations that have one, of what `-raw` prints."""
    section = text.split("\nLocations\n", 1)[1].split("\nMappings", 1)[0]
    return {int(address, 16): name for address, name in re.findall(r"^ +\d+: (0x[0-9a-f]+) M=\d+ (\S+)", section, re.MULTILINE)}
