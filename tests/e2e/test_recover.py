"""Processes that are killed: nothing is lost that they had recorded. What is in a region's file is believed of nobody."""

import os
import pathlib
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import time

import pytest

import heap
import pprof
import waits

PROF = pprof.BUILD / "prof"
LIBRARY = pprof.BUILD / "libprof.so"
COUNTS = pprof.BUILD / "programs" / "counts_work"
KILLS = int(os.environ.get("KILLS", "14"))
NOBODY = 65534


class Spooled:
    """A program that runs with a spool folder, and may be killed."""

    def __init__(self, folder, *command, settings=None, **options):
        self.folder, self.spool, self.books = folder, folder / "spool", folder / "books"
        self.spool.mkdir(mode=0o700, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PROF_", "LD_"))}
        environment |= {"PROF_SPOOL": str(self.spool), "PROF_CPU": str(folder / "cpu.prof"),
                        "PROF_HEAP": str(folder / "heap.prof"), "PROF_BLOCK": str(folder / "block.prof"),
                        "LD_PRELOAD": str(LIBRARY)} | (settings or {})
        words = [str(word) for word in command or (COUNTS, self.books, "cpu")]
        with open(folder / "stderr", "wb") as err:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
                                            env=environment, cwd=folder, **options)

    def await_books(self):
        for _ in range(3000):
            if self.books.exists() and self.books.stat().st_size and self.book(7):
                return self
            assert self.process.poll() is None, self.log
            time.sleep(0.01)
        raise AssertionError("it does not begin")

    def book(self, index):
        return struct.unpack_from("<Q", self.books.read_bytes(), 8 * index)[0]

    def kill(self, *signals):
        for number in signals or (signal.SIGKILL,):
            self.process.send_signal(number)
        self.process.wait(60)

    @property
    def log(self):
        return (self.folder / "stderr").read_text()

    def regions(self):
        return sorted(self.spool.glob("libprof.*.region"))


def recover(folder, *options, **others):
    return subprocess.run([PROF, "recover", *options, str(folder)], capture_output=True, text=True, timeout=120, **others)


@pytest.fixture
def spooled(tmp_path):
    started = []

    def start(*command, **options):
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Spooled(folder, *command, **options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()


def cpu_of(path):
    profile = pprof.read(path)
    return sum(s.ns for s in profile.samples if s.has("burn_booked"))


def recovered(one, *options):
    """`prof recover`'s line, after what holds for each recovery."""
    answer = recover(one.spool, *options)
    assert answer.returncode == 0, answer
    assert one.regions() == [], answer
    return answer.stdout


# ---- what was recorded ----


def check_books(one):
    """The profiles beside what the program itself has counted. Differences: of CPU ms, blocks, waits, waited ms."""
    cpu, blocks, freed, ended, waited = (one.book(index) for index in range(5))
    profile = pprof.read(one.folder / "cpu.prof")
    assert profile.comment("was killed"), profile.comments
    burnt = sum(s.ns for s in profile.samples if s.has("burn_booked"))
    # A tick is on the thread's own clock; the kernel looks at it at each of its own ticks (4 ms), and begins at a random place.
    assert abs(burnt - cpu) <= 20e6 + 0.02 * cpu, (burnt, cpu)
    profile = heap.Profile(pprof.document(one.folder / "heap.prof"))
    assert [line for line in profile.comments if "was killed" in line]
    allocated, _, live, _ = profile.of("allocate_booked")
    # The one that it was at when it was killed is in one of the two and not in the other, or in both.
    assert blocks <= allocated <= blocks + 1, (allocated, blocks)
    assert blocks - freed - 1 <= live <= blocks - freed + 1, (live, blocks, freed)
    profile = waits.Profile(pprof.document(one.folder / "block.prof"))
    found, delay = profile.of("wait_booked")
    assert ended <= found <= ended + 1, (found, ended)
    assert abs(delay - waited) <= 20e6 + 0.1 * waited, (delay, waited)
    return abs(burnt - cpu) / 1e6, allocated - blocks, found - ended, abs(delay - waited) / 1e6


def test_kill_at_random(spooled):
    """KILLS=1000 for the whole of it: `make kill_at_random`."""
    draw = random.Random(20261121)
    most = (0, 0, 0, 0)
    for number in range(KILLS):
        one = spooled(COUNTS, "books", "cpu", "heap", "waits",
                      settings={"PROF_CPU_HZ": "1000", "PROF_HEAP_RATE": "1", "PROF_BLOCK_RATE": "1"})
        moment = draw.uniform(0, 0.4)
        one.await_books()
        time.sleep(moment)
        one.kill()
        text = recovered(one)
        assert f"process {one.process.pid} ({COUNTS}) was killed" in text, (number, text)
        most = tuple(map(max, most, check_books(one)))
        shutil.rmtree(one.folder)
    print(f"{KILLS} kills; at most {most[0]:.1f} ms of CPU time, {most[1]} blocks, {most[2]} waits and "
          f"{most[3]:.1f} ms of waiting from the program's own count")
