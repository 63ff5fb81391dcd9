"""PROF_STACKS: every thread of a program, with its stack and what it does, each time that the signal comes; as a
profile and as a text. The program notices nothing."""

import os
import pathlib
import random
import re
import signal
import time

import pytest

import pprof
import waits

SETTINGS = {"PROF_CPU": None, "PROF_STACKS": "{folder}/stacks.prof"}
STEADY = ["steady", .02, 6]
MANY = 1000
PATIENCE = 100  # seconds until something is given up for lost
HURRY_SECONDS = 3
HURRY_PERIOD = .01

HEADER = re.compile(r'thread (\d+) "(.*)" \[([^\],]+)(?:, (\d+\.\d+) s)?\]:')
FRAME = re.compile(r"\t(.+?)(?:\+0x([0-9a-f]+))?(?:  (\S.*))?$")

SLEEPS = ("nanosleep", "clock_nanosleep")
# What each of the threads of waits_everywhere may be said to do. recv() is recvfrom by the kernel, and so on.
# "busy" computes beside two others that do: where the machine has other work too, it may not get a tick's time in 100 ms.
STATES = {
    "mutex": ("mutex",), "read_lock": ("read lock",), "write_lock": ("write lock",), "spin_lock": ("spin lock",),
    "condition": ("condition",), "semaphore": ("semaphore",), "barrier": ("barrier",), "join": ("join",),
    "futex": ("futex",), "nanosleep": SLEEPS, "poll": ("poll", "ppoll"), "epoll_wait": ("epoll_wait", "epoll_pwait"),
    "select": ("select", "pselect6"), "read": ("read",), "recv": ("recvfrom",), "accept": ("accept", "accept4"),
    "pause": ("pause", "ppoll"), "busy": ("running", "not reached"), "blocked_busy": ("not reached",),
    "blocked_poll": ("poll", "ppoll"), "main": ("read",),
}
TIMED = ("mutex", "read lock", "write lock", "spin lock", "condition", "semaphore", "barrier", "join")
MANY_STATES = {"mutex": ("mutex",), "condition": ("condition",), "semaphore": ("semaphore",), "futex": ("futex",),
               "nanosleep": SLEEPS, "poll": ("poll", "ppoll"), "epoll_wait": ("epoll_wait", "epoll_pwait"),
               "read": ("read",)}

BAD = [("PROF_STACKS", value) for value in ("", "%q.prof", "stacks.%")]

# Programs that compute, start threads, wait, load and unload. What they print is the same each time; the main thread,
# which the signal goes to, resumes what it interrupts.
PYTHON = r"""
import hashlib, queue, threading, time
jobs, found, lock = queue.Queue(), {}, threading.Lock()
def works():
    while (n := jobs.get()) is not None:
        digest = hashlib.sha256(str(n).encode() * 5000).hexdigest()
        time.sleep(.0003)
        with lock:
            found[n] = digest
threads = [threading.Thread(target=works) for _ in range(4)]
for thread in threads: thread.start()
for n in range(ROUNDS): jobs.put(n)
for thread in threads: jobs.put(None)
for thread in threads: thread.join()
print(hashlib.sha256("".join(found[n] for n in sorted(found)).encode()).hexdigest(), len(found))
""".replace("ROUNDS", "40000")


class Line:
    """A stdin that has nothing to read until it is written to."""

    def __init__(self):
        self._read, self._write = os.pipe()
        self.path = f"/proc/self/fd/{self._read}"

    def write(self):
        os.write(self._write, b"\n")


def wait_until(condition, process, what):
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None and time.monotonic() < ends, f"{what}: exit code {process.returncode}"
        time.sleep(.005)


def wait_for_line(process, folder, line="ready"):
    wait_until(lambda: line.encode() in (folder / "stdout").read_bytes().split(b"\n"), process, line)


def numbered(folder, number):
    return folder / f"stacks.{number}.prof", folder / f"stacks.{number}.txt"


def take(process, folder, number, by=signal.SIGUSR2):
    """Asks for a snapshot, and waits until it is there. When it was asked for, and when it was there."""
    assert handles_signal(process, by), "no snapshot can be asked for"
    asked = time.monotonic()
    os.kill(process.pid, by)
    wait_until(lambda: all(path.exists() for path in numbered(folder, number)), process, f"snapshot {number}")
    return asked, time.monotonic()


def takes_two(line, by=signal.SIGUSR2, apart=.7):
    """A `during`: two snapshots of a program that waits; `line.times` has when."""
    def during(process, folder):
        wait_for_line(process, folder)
        line.ready = time.monotonic()
        line.times = []
        for number in (1, 2):
            time.sleep(apart)
            line.times.append(take(process, folder, number, by))
        line.write()
    return during


def takes_one(line):
    def during(process, folder):
        wait_for_line(process, folder)
        take(process, folder, 1)
        line.write()
    return during


def handles_signal(process, number=signal.SIGUSR2):
    """Whether a snapshot can be asked for: until libprof is there, the signal kills as ever."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    caught = re.search(r"SigCgt:\s*(\w+)", status)
    return caught is not None and int(caught[1], 16) >> (number - 1) & 1 == 1


def hurry(process):
    """Signals 100 times a second, whether or not the last snapshot is written yet."""
    ends = time.monotonic() + HURRY_SECONDS
    while time.monotonic() < ends and process.poll() is None:
        if handles_signal(process):
            os.kill(process.pid, signal.SIGUSR2)
        time.sleep(HURRY_PERIOD)


def hurries(line):
    """A `during`: in the end one more snapshot, which is waited for, as the program may go then."""
    def during(process, folder):
        wait_for_line(process, folder)
        hurry(process)
        had, ends = last_of(folder), time.monotonic() + PATIENCE
        while last_of(folder) == had:
            assert time.monotonic() < ends and process.poll() is None, "no snapshot any more"
            assert handles_signal(process), "no snapshot can be asked for"
            os.kill(process.pid, signal.SIGUSR2)
            time.sleep(.2)
        line.last = last_of(folder)
        line.write()
    return during


def last_of(folder):
    """The highest number of a snapshot of which both files are there."""
    found = [int(path.name.split(".")[1]) for path in folder.glob("stacks.*.txt") if path.with_suffix(".prof").exists()]
    return max(found, default=0)


def corpus(path):
    source = random.Random(4711)
    words = ["".join(source.choice("abcdefghij") for _ in range(source.randint(2, 9))) for _ in range(3000)]
    path.write_text(" ".join(source.choice(words) for _ in range(1000000)))


LINES = {name: Line() for name in ("two", "usr1", "many", "beside", "waits", "waits alone", "unasked")}


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "text"
    corpus(path)
    return path


def RUNS():
    waiting = {"cores": 2, "timeout": PATIENCE}
    with_line = {name: waiting | {"stdin": line.path} for name, line in LINES.items()}
    lonely = {"preload": False}
    everything = SETTINGS | {"PROF_CPU": "{folder}/cpu.prof", "PROF_HEAP": "{folder}/heap.prof",
                             "PROF_BLOCK": "{folder}/block.prof", "PROF_WALL": "{folder}/wall.prof"}
    runs = {
        "two": (["waits_everywhere"], SETTINGS, with_line["two"] | {"during": takes_two(LINES["two"])}),
        "usr1": (["waits_everywhere"], SETTINGS | {"PROF_SIGNAL": "USR1"},
                 with_line["usr1"] | {"during": takes_two(LINES["usr1"], signal.SIGUSR1, .1)}),
        "beside": (["waits_everywhere"], everything,
                   with_line["beside"] | {"during": takes_two(LINES["beside"], apart=.3)}),
        "many": (["many_threads", MANY], SETTINGS, with_line["many"] | {"during": takes_one(LINES["many"])}),
        "unasked": (["waits_everywhere"], SETTINGS,
                    with_line["unasked"] | {"during": lambda process, folder: (wait_for_line(process, folder),
                                                                               LINES["unasked"].write())}),
        "hurry waits": (["waits_everywhere"], SETTINGS, with_line["waits"] | {"during": hurries(LINES["waits"])}),
        "alone waits": (["waits_everywhere"], {},
                        with_line["waits alone"] | lonely
                        | {"during": lambda process, folder: (wait_for_line(process, folder),
                                                              LINES["waits alone"].write())}),
    }
    for name, value in BAD:
        runs[f"bad {name} {value}"] = (STEADY, {"PROF_CPU": None, name: value})
    return runs


class Thread:
    """A block of the text: `seconds` is None where it is not known how long."""

    def __init__(self, block):
        first, *frames = block.split("\n")
        header = HEADER.fullmatch(first)
        assert header, f"no header: {first!r}"
        self.tid, self.name, self.state = int(header[1]), header[2], header[3]
        self.seconds = header[4] and float(header[4])
        parts = [FRAME.fullmatch(line) for line in frames]
        assert parts and all(parts), f"no frames: {block!r}"
        # Code without a symbol has its file for a name, and an offset in that; the profile has none, which is read as "?".
        self.functions = ["?" if part[1].startswith("[") and part[2] else part[1] for part in parts]
        self.files = [part[3] for part in parts]
        # What is no frame of the program (and only that) has neither an offset nor a file.
        for part in parts:
            assert part[2] or part[1].startswith("["), f"no offset: {part[0]!r}"
            assert part[3] or part[1].startswith("["), f"no file: {part[0]!r}"

    def has(self, *names):
        rest = iter(self.functions)
        return all(name in rest for name in names)

    @property
    def truncated(self):
        return self.functions[-1].startswith("[truncated")

    def describe(self):
        return f"{self.tid} {self.name} [{self.state}] {' < '.join(self.functions)}"


def read_text(path):
    """{tid: thread} of a text."""
    text = path.read_text()
    assert text.endswith("\n") and not text.endswith("\n\n\n"), text[-200:]
    threads = [Thread(block) for block in text.strip("\n").split("\n\n")]
    found = {thread.tid: thread for thread in threads}
    assert len(found) == len(threads), "a thread twice"
    return found


class Sample(pprof.Stack):
    def __init__(self, document, raw):
        super().__init__(document, raw)
        assert raw["values"] == [1] and set(raw["labels"]) == {"thread", "state"}, raw
        assert set(raw["num_labels"]) == {"tid"}, raw
        (self.name,), (self.state,) = raw["labels"]["thread"], raw["labels"]["state"]
        (self.tid,) = raw["num_labels"]["tid"]


def read_profile(path):
    """{tid: sample} of a profile."""
    document = pprof.document(path)
    assert document["sample_types"] == ["goroutine/count"] and document["default_type"] == "goroutine"
    assert document["period_type"] == "goroutine/count" and document["period"] == 1
    samples = [Sample(document, raw) for raw in document["samples"]]
    for sample in samples:
        pprof.check_stack(sample)
    found = {sample.tid: sample for sample in samples}
    assert len(found) == len(samples), "a thread twice"
    return found


def read(folder, number):
    """{tid: thread} of a snapshot, whose two files say the same."""
    profile_path, text_path = numbered(folder, number)
    profile, threads = read_profile(profile_path), read_text(text_path)
    assert set(profile) == set(threads)
    for tid, thread in threads.items():
        sample = profile[tid]
        assert (thread.name, thread.state) == (sample.name, sample.state), thread.describe()
        assert thread.functions == sample.functions, f"{thread.functions}\n{sample.functions}"
        for in_text, in_profile in zip(thread.files, sample.files):
            assert in_text in (None, in_profile), thread.describe()
        assert (thread.state == "not reached") == (thread.functions == ["[no stack]"]), thread.describe()
        assert thread.seconds is None or thread.state in TIMED, thread.describe()
    return threads


def check_everyone(result, threads):
    """The threads of waits_everywhere: all of them and no other, each with its name, in its call, in its function; but
    for those that are None."""
    expected = dict(result["threads"], main=result["main"])
    assert set(threads) == set(expected.values()), sorted(threads)
    for name, tid in expected.items():
        thread = threads[tid]
        if thread is None:
            continue
        assert thread.name == ("waits_everywher" if name == "main" else name), thread.describe()
        assert thread.state in STATES[name], thread.describe()
        if thread.state == "not reached":
            continue
        # Compiled without frame pointers, and complete.
        assert not thread.truncated, thread.describe()
        if name == "main":
            assert thread.has("waits_in_main", "main", "_start"), thread.describe()
        else:
            assert thread.has(f"waits_in_{name}", f"calls_{name}", "thread_lives"), thread.describe()
        assert (thread.seconds is not None) == (thread.state in TIMED), thread.describe()


@pytest.mark.parametrize("name", ["two", "usr1", "beside"])
def test_every_thread(runs, name):
    run = runs[name]
    result = run.result
    assert result["early"] == 0 and result["main_interrupted"] == 0 and run.log == [], (result, run.stderr)
    for number in (1, 2):
        check_everyone(result, read(run.folder, number))


def test_how_long_it_waits(runs):
    """Longer than since the program said that all of them wait, until it was asked; and from one snapshot to the next
    by what passed between them. That is known to the time that it took until the files were there. A millisecond is
    how well it is printed."""
    run = runs["two"]
    result, times, ready = run.result, LINES["two"].times, LINES["two"].ready
    first, second = read(run.folder, 1), read(run.folder, 2)
    (asked, there), (asked_again, there_again) = times
    for name, tid in result["threads"].items():
        if first[tid].seconds is None:
            continue
        assert first[tid].seconds >= asked - ready - .002, (first[tid].describe(), asked - ready)
        between = second[tid].seconds - first[tid].seconds
        assert asked_again - there - .002 <= between <= there_again - asked + .002, (name, between, times)
    assert any(first[tid].seconds is not None for tid in result["threads"].values())


def test_files(runs):
    """The snapshots that were asked for, whole, their owner's only, and nothing else, at the exit neither."""
    run = runs["two"]
    run.check_unharmed()
    expected = [path.name for number in (1, 2) for path in numbered(run.folder, number)]
    assert sorted(path.name for path in run.folder.iterdir()) == sorted(expected + ["stdout", "stderr"])
    for name in expected:
        assert (run.folder / name).stat().st_mode & 0o77 == 0, name
    run = runs["unasked"]
    run.check_unharmed()
    assert sorted(path.name for path in run.folder.iterdir()) == ["stderr", "stdout"] and run.stderr == b""


def waits_still_going_on(path):
    return [comment for comment in waits.read(path).comments if comment.startswith("waits still going on")]


def test_beside_other_kinds(runs):
    """The signal is for all of them, and each has its own numbers and names."""
    run = runs["beside"]
    run.check_unharmed()
    for number in (1, 2):
        for kind in ("heap", "block", "wall"):
            assert (run.folder / f"{kind}.{number}.prof").exists(), run.files()
    # What waits at that moment is in no value of the block profile, but its comment counts it. None is left at the end.
    for name in ("block.1.prof", "block.2.prof"):
        (comment,) = waits_still_going_on(run.folder / name)
        count, longest = re.fullmatch(r"waits still going on, not in the values: (\d+), the longest for (\S+) s", comment).groups()
        assert int(count) >= len(TIMED) and float(longest) > .1, comment
    assert not waits_still_going_on(run.folder / "block.prof")
    assert not {"stacks.prof", "stacks.txt"} & {path.name for path in run.folder.iterdir()}


def test_go_tool_pprof(runs):
    run = runs["two"]
    threads = read(run.folder, 1)
    path = numbered(run.folder, 1)[0]
    rows = pprof.client(path, "-top", "-nodecount=100000", "-nodefraction=0")
    assert f"of {len(threads)} total" in rows, rows
    tags = pprof.client(path, "-tags")
    for thread in threads.values():
        assert thread.name in tags and thread.state in tags, tags


def test_1000_threads(runs):
    """All of them, none more; each with its state and its stack."""
    run = runs["many"]
    result, threads = run.result, read(run.folder, 1)
    assert result["early"] == 0 and run.log == [], run.stderr
    expected = {tid: kind for kind, tids in result["threads"].items() for tid in tids}
    assert len(expected) == MANY and set(threads) == set(expected) | {result["main"]}
    for tid, kind in expected.items():
        thread = threads[tid]
        assert thread.name == kind and thread.state in MANY_STATES[kind], thread.describe()
        assert thread.has(f"sleeps_in_{kind}", f"thread_of_{kind}") and not thread.truncated, thread.describe()
        assert (thread.seconds is not None) == (thread.state in TIMED), thread.describe()
    assert threads[result["main"]].state == "read" and threads[result["main"]].has("main", "_start")


def check_log_of_a_hurry(run):
    assert all("still being written" in line for line in run.log), run.stderr


def snapshots_of_a_hurry(run, complete=None):
    """Whole files, numbered from 1 on without a gap. The last may lack one of its two: the program was gone. complete: until this
    one all threads were there; one more may have been under way as they went."""
    last = last_of(run.folder)
    expected = {path.name for number in range(1, last + 2) for path in numbered(run.folder, number)}
    assert {path.name for path in run.folder.iterdir()} <= expected | {"stdout", "stderr"}
    return [read(run.folder, number) for number in range(1, last + 1)][:complete]


def test_100_a_second_of_threads_that_wait(runs):
    """No call ended, and everyone is in each of the snapshots. How many of 400 there are is a matter of how long one
    takes (see bench); that there are some, the last signals see to. A thread that runs may have to wait for a processor
    for longer than anybody waits for it: now and then it is not reached."""
    run, alone = runs["hurry waits"], runs["alone waits"]
    for result in (run.result, alone.result):
        assert set(result["threads"]) == set(STATES) - {"main"}
        assert (result["early"], result["main_interrupted"]) == (0, 0), (result, run.stderr)
    check_log_of_a_hurry(run)
    snapshots = snapshots_of_a_hurry(run, LINES["waits"].last)
    assert len(snapshots) >= 2, run.files()
    threads, missed = run.result["threads"], 0
    for snapshot in snapshots:
        for name in ("busy", "spin_lock"):
            if snapshot[threads[name]].state == "not reached":
                missed += 1
                snapshot[threads[name]] = None
        check_everyone(run.result, snapshot)
    assert missed <= .1 * 2 * len(snapshots) + 1, (missed, len(snapshots))


COMMANDS = {
    "python": ["/usr/bin/python3", "-c", PYTHON],
    "xz": ["xz", "-T2", "-6", "--block-size=1MiB", "-c", "{text}"],
    "throws": ["throws_and_loads", HURRY_SECONDS + 2],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_100_a_second_of_programs_that_work(runner, text_file, name):
    """The same output, byte for byte, while libraries come and go, and threads start, wait and end."""
    command = [str(word).replace("{text}", str(text_file)) for word in COMMANDS[name]]
    jobs = [runner.start(command, SETTINGS, cores=2, during=lambda process, folder: hurry(process)),
            runner.start(command, {}, cores=2, preload=False)]
    run, alone = [job.result() for job in jobs]
    run.check_unharmed()
    alone.check_unharmed()
    if name == "throws":
        assert [run.result[key] for key in ("all_caught", "some_loads", "wrong")] == [1, 1, 0], run.result
    else:
        assert run.stdout == alone.stdout and len(run.stdout) > 0
    check_log_of_a_hurry(run)
    assert len(snapshots_of_a_hurry(run)) >= 1, run.files()


@pytest.mark.parametrize("name,value", BAD)
def test_unusable(runs, name, value):
    run = runs[f"bad {name} {value}"]
    assert run.returncode == 6 and not run.stuck, run.stderr
    assert run.stdout.count(b"\n") == 1 and run.stdout.startswith(b'{"steady_work"'), run.stdout
    assert len(run.log) == 1 and run.stderr.count(b"\n") == 1, run.stderr
    (line,) = run.log
    assert name in line and f"'{value}'" in line and "accept" in line, line
    assert run.files() == []
