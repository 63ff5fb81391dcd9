"""Clients over HTTP, USR2, calls of prof.h and the end, all at once, again and again: a program's end is its own, and what is left behind is
whole. ENDS_AMID_ALL sets how many ends there are (default 60)."""

import concurrent.futures
import contextlib
import gzip
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time

import conftest
import hostile
import pprof
import served
from servers import wait_for

ENDS = int(os.environ.get("ENDS_AMID_ALL", "60"))
WAYS = ["return", "exit", "other", "last", "fork"]
SCRAPES = ["heap", "allocs", "block", "mutex", "goroutine", "goroutine?debug=2", "stacks", "threadcreate", "profile?seconds=1", "wall?seconds=1",
           "trace?seconds=0.01", "trace?seconds=1", "heap?seconds=1", "status", "/metrics", "", "block?rate=100"]
# What libprof may say of an end in the middle of things.
MAY_SAY = ["an earlier snapshot is still being written", "may not be read", "ended before its profiles could be read"]


def ours(pids):
    """Server and reporter processes of these processes, as far as there are any."""
    found = []
    for folder in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdigit() else []
            if words and words[0] in (b"libprof-server", b"libprof-reporter") and words[1] in pids:
                found.append((folder.name, words[0]))
    return found


class Scrapes:
    """Requests that are under way, each over a connection of its own."""

    def __init__(self, path, chance):
        self.connections = []
        for _ in range(chance.randint(1, 5)):
            target = chance.choice(SCRAPES)
            method = b"POST" if "rate" in target else b"GET"
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(60)
            if connection.connect_ex(path) != 0:
                connection.close()
                continue
            self.connections.append((target, connection))
            with contextlib.suppress(ConnectionError):
                target = target if target.startswith("/") else "/debug/pprof/" + target
                connection.sendall(hostile.head(method, target.encode(), headers=(b"Host: localhost", b"Connection: close")))

    def take(self):
        """Nothing, or part of an answer, or all of it: then it is right. How many of these there are."""
        whole = 0
        for target, connection in self.connections:
            answer = hostile.rest_of(connection)
            connection.close()
            head, _, body = answer.partition(b"\r\n\r\n")
            if b"Content-Length: %d\r\n" % len(body) not in head + b"\r\n":
                continue
            assert hostile.statuses(head)[0] in (200, 500, 503), hostile.describe(answer)
            if body.startswith(hostile.GZIP):
                assert gzip.decompress(body), target
            whole += hostile.statuses(head) == [200]
        return whole


def one_end(folder, number):
    """Whether something was found amiss: None, or what. And how many answers were whole, how many files there are, how many lines were said."""
    chance = random.Random(number)
    folder = folder / str(number)
    folder.mkdir()
    path = folder / "app.sock"
    settings = {"PROF_HTTP": f"unix:{path}", "PROF_SIGNAL": "USR2"}
    for name in chance.sample(["CPU", "HEAP", "BLOCK", "MUTEX", "THREAD", "STACKS", "WALL", "TRACE"], chance.randint(1, 8)):
        settings[f"PROF_{name}"] = f"{name.lower()}.prof"
    command = [str(conftest.PROGRAMS / "ends_amid_all"), str(number), WAYS[number % len(WAYS)]]
    with open(folder / "stderr", "wb") as stderr:
        process = subprocess.Popen(command, env=dict(served.CLEAN, LD_PRELOAD=str(conftest.LIBRARY), **settings), cwd=folder,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)
    try:
        assert process.stdout.readline() == b"ready\n"
        # Now and then the server is not there yet either.
        if chance.random() < .9:
            assert wait_for(path.exists)
        scrapes = Scrapes(str(path), chance)
        actions = [lambda: process.send_signal(signal.SIGUSR2)] * (chance.randint(0, 2) if may_be_signalled(settings) else 0)
        actions += [lambda: (process.stdin.write(b"end\n"), process.stdin.flush())]
        for action in chance.sample(actions, len(actions)):
            time.sleep(chance.random() * .02)
            action()
        assert process.wait(60) == number % 100 + 1, f"{command}: exit code {process.returncode}"
        assert process.stdout.read() == b""
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdin.close()
        process.stdout.close()
    whole = scrapes.take()
    children = {part.encode() for file in folder.iterdir() for part in file.name.split(".") if part.isdigit()}
    assert wait_for(lambda: not ours(children | {str(process.pid).encode()})), ours(children | {str(process.pid).encode()})
    left = sorted(file.name for file in folder.iterdir())
    assert not [name for name in left if ".tmp" in name or ".sock" in name], left
    said = (folder / "stderr").read_text().splitlines()
    assert all(any(part in line for part in MAY_SAY) for line in said), said
    profiles = [folder / name for name in left if name.endswith(".prof")]
    for file in profiles:
        if "trace" in file.name:
            assert file.read_bytes().rstrip().endswith((b"}", b"]")) or gzip.decompress(file.read_bytes())
        else:
            pprof.document(file)
    shutil.rmtree(folder)
    return whole, len(profiles), len(said)


def may_be_signalled(settings):
    """Where nothing but the CPU profile is asked for the signal is nobody's."""
    return set(settings) - {"PROF_HTTP", "PROF_SIGNAL", "PROF_CPU"}


def test_ends_amid_all(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(conftest.CORES) as pool:
        jobs = {number: pool.submit(one_end, tmp_path, number) for number in range(ENDS)}
        failed = {number: job.exception() for number, job in jobs.items() if job.exception() is not None}
    whole, profiles, said = (sum(job.result()[i] for number, job in jobs.items() if number not in failed) for i in range(3))
    print(f"{ENDS} ends: {len(failed)} amiss; {whole} whole answers, {profiles} profiles, {said} lines")
    assert not failed, "\n".join(f"{number}: {error!r}"[:3000] for number, error in list(failed.items())[:20])
    assert whole > ENDS / 2 and profiles > ENDS


def test_an_end_while_a_file_is_written(runner):
    """By a call that does not come back: it is waited for a while, and then there is no part of a file."""
    run = runner.run(["ends_amid_all", "6", "stuck"], {"PROF_CPU": None})
    assert not run.stuck and run.returncode == 7 and run.stdout == b"not written\n" and not run.log, run.log
    assert sorted(path.name for path in run.folder.iterdir()) == ["stderr", "stdout"]
