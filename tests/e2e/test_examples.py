"""The example programs, from their building to what the tools show of their profiles."""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import urllib.request

import pytest

import pprof

EXAMPLES = pprof.ROOT / "tests" / "programs"
LIBRARY = pprof.BUILD / "libprof.so"


def build(name, folder):
    """As a user does, by the command in the source's head."""
    command = ["g++", "-O2", "-g", "-Wall", "-Wextra", "-pthread", f"-I{pprof.ROOT / 'preload'}",
               str(EXAMPLES / f"example_{name}.cc"), "-o", name]
    subprocess.run(command, cwd=folder, check=True)
    return folder / name


def shown_by_prof(profile, *options):
    return subprocess.run([pprof.BUILD / "prof", "top", *options, profile], capture_output=True, text=True, check=True).stdout


def check_graph(profile, function, *options):
    """The graph as graphviz draws it, where that is installed; else what it is drawn from."""
    assert function in pprof.client(profile, "-dot", *options)
    if shutil.which("dot"):
        picture = profile.with_suffix(".svg")
        pprof.client(profile, "-svg", f"-output={picture}", *options)
        assert function in picture.read_text()


def test_primes(tmp_path):
    program = build("primes", tmp_path)
    without = subprocess.run([program, "-cpu", "cpu.prof", "1000"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert without.stdout == "168 primes up to 1000\n" and "libprof.so is not loaded" in without.stderr
    done = subprocess.run([program, "-cpu", "cpu.prof", "-memory", "memory.prof", "3000000"], cwd=tmp_path,
                          capture_output=True, text=True, check=True, env=dict(os.environ, LD_PRELOAD=str(LIBRARY)))
    assert done.stdout == "216816 primes up to 3000000\n" and not done.stderr
    assert "is_prime" in shown_by_prof(tmp_path / "cpu.prof")
    assert pprof.read(tmp_path / "cpu.prof").share("is_prime") > .5
    # 216816 blocks of 8 bytes and their table of pointers, one sample in 512 KiB.
    assert "find_primes" in pprof.client(tmp_path / "memory.prof", "-top", "-sample_index=inuse_space")
    check_graph(tmp_path / "cpu.prof", "is_prime")
    check_graph(tmp_path / "memory.prof", "find_primes", "-sample_index=alloc_space")


class Server:
    """One of the servers, under libprof, until the block ends."""

    def __init__(self, program, arguments=(), **environment):
        self.folder = program.parent
        settings = dict(os.environ, LD_PRELOAD=str(LIBRARY), PROF_CPU="cpu.prof", PROF_CPU_HZ="1000", **environment)
        self.process = subprocess.Popen([program, *arguments], cwd=self.folder, env=settings, stdout=subprocess.PIPE, text=True)
        self.url = re.search(r"http://\S+", self.process.stdout.readline()).group()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0
        self.process.stdout.close()


def load(url, requests, clients=8):
    """Where ab is not there: the same from here."""
    host, port = re.match(r"http://([^:]+):(\d+)", url).groups()

    def client():
        with socket.create_connection((host, int(port))) as connection:
            stream = connection.makefile("rb")
            for _ in range(requests // clients):
                connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                length = 0
                while (line := stream.readline().strip()):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                assert len(stream.read(length)) == length

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_random_strings(tmp_path):
    with Server(build("random_strings", tmp_path), ["0"]) as server:
        assert len(urllib.request.urlopen(server.url).read()) == 2001
        if shutil.which("ab"):
            command = ["ab", "-q", "-k", "-c", "8", "-n", "20000", server.url + "/"]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            assert re.search(r"Failed requests: +0\n", text) and re.search(r"Keep-Alive requests: +20000\n", text), text
        else:
            load(server.url, 8000)
    profile = pprof.read(tmp_path / "cpu.prof")
    assert profile.share("random_string") > .2, profile.describe()
    assert "random_string" in shown_by_prof(tmp_path / "cpu.prof", "--cum")
    check_graph(tmp_path / "cpu.prof", "random_string")


def test_data_server(tmp_path):
    if not shutil.which("curl"):
        pytest.skip("no curl")
    with Server(build("data_server", tmp_path), PORT="0") as server:
        for route, times in (("/data", 300), ("/sum", 300), ("/nothing", 1)):
            script = f"for i in $(seq {times}); do echo url = {server.url}{route}; done | curl -s -K - -w '%{{http_code}}\\n' -o /dev/null"
            codes = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
            assert set(re.findall(r"\b\d{3}$", codes, re.MULTILINE)) == ({"404"} if route == "/nothing" else {"200"})
    tags = pprof.client(tmp_path / "cpu.prof", "-tags")
    assert "/data" in tags and "route" in tags
    rows, _ = pprof.top(tmp_path / "cpu.prof", "-tagfocus", "route=/data")
    assert any("data" in name for name in rows) and not any(name.startswith("sum") for name in rows)
    check_graph(tmp_path / "cpu.prof", "data", "-tagfocus", "route=/data")
