"""What a program's own clients notice of hostile ones at its PROF_HTTP. These cost processor time of their own, and so does the server's
process that answers them, wherever they go: so they have a processor beside the program's, and the same ones go to the endpoint of another
program, which has nothing else to do, too. Medians of interleaved rounds, with the quartiles.

    http_hostile_bench.py BUILD_FOLDER          BENCH_ROUNDS sets the number of rounds (default 9)
"""

import contextlib
import multiprocessing
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time

from measure import BUILD, LIBRARY, ROUNDS, environment, quartiles

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))

import hostile  # noqa: E402

PROGRAM = os.path.join(BUILD, "bench_latency")
QUESTIONS = 20000
REQUESTS = 2000  # malformed ones, over and over
CONNECTIONS = 40


class Served:
    """The program, its port, and where its profiles are served."""

    def __init__(self, folder, name):
        log = os.path.join(folder, name)
        with open(log, "wb") as stderr:
            self.process = subprocess.Popen([PROGRAM, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, stderr=stderr,
                                            env=environment(folder, LD_PRELOAD=LIBRARY, PROF_HTTP="localhost:0"), cwd=folder)
        self.port = self.process.stdout.readline().strip()
        deadline = time.monotonic() + 60
        while not (found := re.search(r"served at (http://\S+?)/debug", pathlib.Path(log).read_text())):
            if time.monotonic() > deadline:
                raise RuntimeError("nothing is served")
            time.sleep(.02)
        self.address = hostile.Address(found.group(1))

    def spread(self, own, beside):
        """The program on some processors, its server on others."""
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(thread), own)
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
                if words[:2] == [b"libprof-server", str(self.process.pid).encode()]:
                    os.sched_setaffinity(int(name), beside)

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def malformed(address, requests):
    conversation = hostile.Conversation(address)
    while True:
        for request in requests:
            conversation.ask(request)


def connections(address):
    """Many at once, some of which say something."""
    while True:
        with contextlib.ExitStack() as stack:
            for number in range(CONNECTIONS):
                connection = stack.enter_context(address.connect())
                with contextlib.suppress(ConnectionError):
                    connection.sendall(hostile.head()[:number])


@contextlib.contextmanager
def clients(work, *arguments):
    process = multiprocessing.Process(target=work, args=arguments, daemon=True)
    process.start()
    time.sleep(.1)
    try:
        yield
        if not process.is_alive():
            raise RuntimeError("the hostile clients have ended")
    finally:
        process.kill()
        process.join()


def waits_of(program, own):
    answer = subprocess.run([PROGRAM, "ask", program.port, str(QUESTIONS)], stdout=subprocess.PIPE, text=True, check=True,
                            preexec_fn=lambda: os.sched_setaffinity(0, own))
    return [float(word) for word in answer.stdout.split()]


def main():
    fuzzer = hostile.Fuzzer(random.Random(1))
    requests = [fuzzer.request() for _ in range(REQUESTS)]
    processors = sorted(os.sched_getaffinity(0))
    own, beside = set(processors[:1]), set(processors[1:] or processors)
    os.sched_setaffinity(0, beside)
    with tempfile.TemporaryDirectory() as folder:
        measured, other = Served(folder, "measured"), Served(folder, "other")
        measured.spread(own, beside)
        other.spread(beside, beside)
        loads = [("malformed requests", malformed, [requests]), (f"{CONNECTIONS} connections at once", connections, [])]
        ways = [(f"{name}, {whose}", work, program, rest)
                for name, work, rest in loads for whose, program in (("another program's", other), ("another's again", other), ("its own", measured))]
        waited = {name: [] for name, *_ in ways} | {"no hostile clients": []}
        for turn in range(ROUNDS):
            waited["no hostile clients"].append(waits_of(measured, own))
            for name, work, program, rest in ways if turn % 2 == 0 else ways[::-1]:
                with clients(work, program.address, *rest):
                    waited[name].append(waits_of(measured, own))
        measured.end()
        other.end()
    print(f"\nwhat {QUESTIONS} questions to a program wait while hostile clients go to PROF_HTTP, another program's or its own "
          f"({ROUNDS} interleaved rounds, us, median [quartiles])")
    base = None
    for name, rounds in [("no hostile clients", waited.pop("no hostile clients")), *waited.items()]:
        middle = quartiles([half for half, _ in rounds])[1]
        low, most, high = quartiles([last for _, last in rounds])
        if "another program's" in name:
            base = most
        relative = f"   p99 {100 * (most / base - 1):+.1f} %" if base else ""
        print(f"  {name:44} p50 {middle:8.1f}   p99 {most:8.1f} [{low:.1f}, {high:.1f}]{relative}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
