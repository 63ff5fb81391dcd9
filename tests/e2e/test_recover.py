"""Processes that are killed: nothing is lost that they had recorded. What is in a region's file is believed of nobody."""

import gzip
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

# Not without root's rights, nor where the root is no mount point (chroot).
HAS_MOUNTS = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0

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


def test_nothing_is_left_of_one_that_ends(spooled):
    one = spooled("/usr/bin/python3", "-c", "import sys; sys.exit(7)")
    assert one.process.wait(60) == 7
    assert one.regions() == [] and one.log == ""
    assert recovered(one) == ""


def test_one_that_lives_is_left_alone(spooled):
    one = spooled().await_books()
    assert len(one.regions()) == 1
    assert one.regions()[0].stat().st_mode & 0o7777 == 0o600
    answer = recover(one.spool)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert len(one.regions()) == 1 and not (one.folder / "cpu.prof").exists()
    # Not even where it is stopped, or its main thread has gone.
    one.process.send_signal(signal.SIGSTOP)
    assert recover(one.spool).stdout == "" and len(one.regions()) == 1
    one.kill()
    assert "was killed" in recovered(one)


def test_names_are_those_that_the_process_would_have_given(spooled):
    one = spooled(settings={"PROF_CPU": "%e.%p.cpu.prof", "PROF_HEAP": None, "PROF_BLOCK": None, "PROF_DIR": "profiles",
                            "PROF_TRACE": "trace.json.gz", "PROF_LABELS": "zone=a"} | {"PROF_HEAP": "x.prof", "PROF_BLOCK": "y.prof"})
    (one.folder / "profiles").mkdir()
    one.await_books()
    time.sleep(0.3)
    one.kill()
    recovered(one)
    name = f"counts_work.{one.process.pid}"
    assert (one.folder / f"{name}.cpu.prof").exists() and (one.folder / "trace.json.gz").exists()
    assert {path.name for path in (one.folder / "profiles").iterdir()} == {
        f"{name}.{kind}.pb.gz" for kind in ("allocs", "mutex", "threadcreate")}
    document = pprof.document(one.folder / f"{name}.cpu.prof")
    assert all(sample["labels"]["zone"] == ["a"] for sample in document["samples"])
    assert all(path.stat().st_mode & 0o7777 == 0o600 for path in one.folder.glob("*.prof"))
    assert document["mappings"][0]["file"] == str(COUNTS) and document["mappings"][0]["build_id"]


def test_a_stretch_has_its_number(spooled):
    one = spooled(settings={"PROF_CPU_SIGNAL": "USR1"}).await_books()
    one.process.send_signal(signal.SIGUSR1)
    time.sleep(0.3)
    one.kill()
    recovered(one)
    assert cpu_of(one.folder / "cpu.1.prof") > 0 and not (one.folder / "cpu.prof").exists()


def test_a_tree(spooled):
    """A child of fork, and one by exec: each has a file of its own, and a profile."""
    one = spooled("/bin/sh", "-c", f"{COUNTS} books cpu & {COUNTS} books2 cpu & wait", start_new_session=True).await_books()
    both = [one.books, one.folder / "books2"]
    while not all(path.exists() and struct.unpack("<Q", path.read_bytes()[:8].ljust(8, b"\0"))[0] > 100e6 for path in both):
        assert one.process.poll() is None
        time.sleep(0.05)
    os.killpg(one.process.pid, signal.SIGKILL)
    one.process.wait(60)
    for _ in range(500):
        if recover(one.spool).returncode == 0 and not one.regions():
            break
        time.sleep(0.01)
    profiles = {path.name: cpu_of(path) for path in one.folder.glob("cpu.*prof")}
    assert sum(ns > 50e6 for ns in profiles.values()) == 2, profiles


def test_killed_while_it_forks(spooled):
    for number in range(4):
        one = spooled(COUNTS, "books", "forks", "cpu", settings={"PROF_CPU_HZ": "1000"}).await_books()
        time.sleep(0.05 + 0.037 * number)
        one.kill()
        for _ in range(500):  # a child may have been left behind, and live for a moment
            recover(one.spool)
            if not one.regions():
                break
            time.sleep(0.01)
        assert one.regions() == []
        assert abs(cpu_of(one.folder / "cpu.prof") - one.book(0)) <= 30e6 + 0.05 * one.book(0)


def test_killed_while_it_grows(spooled):
    for number in range(2):
        one = spooled(COUNTS, "books", "grows", settings={"PROF_HEAP_RATE": "1"}).await_books()
        time.sleep(0.05 + 0.1 * number)
        one.kill()
        recovered(one)
        profile = heap.Profile(pprof.document(one.folder / "heap.prof"))
        assert profile.of("grow_here")[0] > 1000
        assert not [line for line in profile.comments if "was full" in line]


def test_killed_while_a_snapshot_is_written(spooled):
    for number in range(3):
        one = spooled(COUNTS, "books", "cpu", "heap", settings={"PROF_HEAP_RATE": "1"}).await_books()
        time.sleep(0.2)
        one.process.send_signal(signal.SIGUSR2)
        time.sleep(0.004 * number)
        one.kill()
        assert "heap.prof" in recovered(one)
        blocks = one.book(1)
        assert blocks <= heap.Profile(pprof.document(one.folder / "heap.prof")).of("allocate_booked")[0] <= blocks + 1


def test_two_at_once_write_it_once(spooled):
    """Who comes when the others are done says that there is nothing, as ever."""
    one = spooled().await_books()
    time.sleep(0.2)
    one.kill()
    both = [subprocess.Popen([PROF, "recover", one.spool], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    said = [process.communicate(timeout=60) for process in both]
    assert all(process.returncode == 0 for process in both), said
    late = f"prof: nothing to recover in '{one.spool}'\n".encode()
    assert all(err == b"" or (err == late and out == b"") for out, err in said), said
    assert sum(b"was killed" in out for out, _ in said) == 1, said
    assert sorted(path.name for path in one.folder.glob("cpu*")) == ["cpu.prof"]


def test_exec_replaces_the_owner(spooled):
    """What the first program had recorded is not lost, though the process lives on."""
    one = spooled("/bin/bash", "-c", f"i=0; while ((++i < 100000)); do :; done; PROF_SPOOL=0 exec {COUNTS} books cpu").await_books()
    for _ in range(100):  # none where its profiles are written at the exec: who does it may still be at it
        if one.regions() == []:
            break
        said = recover(one.spool).stdout
        assert said == "" or "went on as another program" in said
        time.sleep(0.05)
    assert one.regions() == []
    one.kill()


def test_written_later_where_there_was_no_folder(spooled):
    one = spooled("/bin/true", settings={"PROF_CPU": None, "PROF_BLOCK": None, "PROF_HEAP": "missing/heap.prof"} |
                  {"PROF_CPU": "missing/cpu.prof", "PROF_BLOCK": "missing/block.prof"})
    assert one.process.wait(60) == 0
    assert "missing" in one.log and len(one.regions()) == 1
    failed = recover(one.spool)
    assert failed.returncode == 1 and len(one.regions()) == 1
    # Why, its process has said.
    assert failed.stderr == (f"prof: {one.regions()[0]}: kept, for another try when you have made {one.folder}/missing: "
                             f"prof recover {one.spool}\n")
    (one.folder / "missing").mkdir()
    assert "could not write its profiles" in recovered(one)
    assert (one.folder / "missing" / "heap.prof").exists()


def test_killed_where_there_was_no_folder(spooled):
    """Nobody has said yet that it cannot be written."""
    one = spooled(settings={f"PROF_{kind.upper()}": f"missing/{kind}.prof" for kind in ("cpu", "heap", "block")}).await_books()
    one.kill()
    failed = recover(one.spool)
    assert failed.returncode == 1 and "not written: cannot create" in failed.stderr, failed
    assert f"when you have made {one.folder}/missing: prof recover" in failed.stderr, failed


def test_nothing_to_recover(tmp_path):
    nothing = recover(tmp_path)
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert nothing.stderr == f"prof: nothing to recover in '{tmp_path}'\n"


# ---- no harm ----


def check_unharmed(one, *words):
    """One line, the program runs on, and its profile is written at its end."""
    assert one.process.wait(60) == 0, one.log
    assert one.log.count("PROF_SPOOL") == 1 and all(word in one.log for word in words), one.log
    assert one.log.count("\n") == 1, one.log
    assert one.regions() == [] and (one.folder / "cpu.prof").exists()


BRIEF = ("/usr/bin/python3", "-c", "sum(range(3000000))")


def test_no_file_may_be_so_long(spooled):
    limit = 512 * 1024
    check_unharmed(spooled(*BRIEF, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))), "ulimit -f")


def test_a_folder_that_everybody_may_write_to(spooled, tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    check_unharmed(spooled(*BRIEF, settings={"PROF_SPOOL": str(tmp_path / "open")}), "everybody")
    (tmp_path / "open").chmod(0o1777)
    one = spooled(*BRIEF, settings={"PROF_SPOOL": str(tmp_path / "open")})
    assert one.process.wait(60) == 0 and one.log == ""
    assert list((tmp_path / "open").iterdir()) == []


def test_no_such_folder(spooled):
    check_unharmed(spooled(*BRIEF, settings={"PROF_SPOOL": "/nonexistent"}), "/nonexistent")


@pytest.mark.skipif(not HAS_MOUNTS, reason="mounts a file system")
@pytest.mark.parametrize("size", ["64k", "2m"])
def test_full_file_system(spooled, tmp_path, size):
    """From the start, or while it grows: it records on in memory of its own."""
    small = tmp_path / "small"
    small.mkdir()
    script = (f"mount -t tmpfs -o size={size},mode=700 none {small} && PROF_SPOOL={small} PROF_HEAP_RATE=1 timeout -s INT 2 {COUNTS} books grows; "
              f"echo $? >status; ls {small} >left; {PROF} recover {small}")
    one = spooled("unshare", "-m", "sh", "-c", script, settings={"PROF_SPOOL": "0", "PROF_LOG": "info"})
    one.process.wait(60)
    assert (one.folder / "status").read_text().strip() == "124", one.log
    assert 1 <= one.log.count("PROF_SPOOL: ") <= 3, one.log  # timeout's own, and those of its child


def test_descriptors_and_root_are_not_needed_to_grow(spooled):
    program = "import os, resource\nos.closerange(0, 1000)\nos.chdir('/proc')\n" \
              "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))\nx = []\nf = open\n" \
              "def grow(n, k):\n    return bytearray(k % 5000 + 600) if n == 0 else grow(n - 1, k)\n" \
              "i = 0\nwhile True:\n    i += 1\n    x.append(grow(i % 200, i * 7919))\n    if len(x) > 9: x.clear()\n"
    one = spooled("/usr/bin/python3", "-c", program, settings={"PROF_HEAP_RATE": "1"})
    for _ in range(1000):
        if one.regions() and one.regions()[0].stat().st_blocks * 512 >= 4 << 20:
            break
        time.sleep(0.01)
    else:
        raise AssertionError("it does not grow")
    one.kill()
    assert "was killed" in recovered(one)
    heap.Profile(pprof.document(one.folder / "heap.prof"))


@pytest.mark.skipif(not HAS_MOUNTS, reason="makes namespaces")
def test_another_pid_namespace(spooled):
    one = spooled("unshare", "-p", "-f", "--mount-proc", "--kill-child", str(COUNTS), "books", "cpu").await_books()
    time.sleep(0.2)
    inside = subprocess.run(["unshare", "-p", "-f", "--mount-proc", PROF, "recover", one.spool], capture_output=True, text=True)
    assert inside.returncode == 1 and "another pid namespace" in inside.stderr, inside
    assert len(one.regions()) >= 1
    one.kill()
    for _ in range(500):
        answer = recover(one.spool, "--gone")
        if not one.regions():
            break
        time.sleep(0.01)
    assert one.regions() == [], answer
    # unshare's own is where it would be; the program's is where it can be relied on to be.
    assert any(cpu_of(path) for path in one.spool.glob("cpu*.prof")), answer
    assert not any(cpu_of(path) for path in one.folder.glob("cpu*.prof")), answer


# ---- what is found there may be anything ----


def region_of(spooled):
    one = spooled(COUNTS, "books", "cpu", "heap", "waits",
                  settings={"PROF_CPU_HZ": "1000", "PROF_HEAP_RATE": "1", "PROF_TRACE": "trace.json.gz"}).await_books()
    time.sleep(0.2)
    one.kill()
    return one, one.regions()[0]


def test_hostile_files(spooled, tmp_path):
    one, region = region_of(spooled)
    hostile = tmp_path / "hostile"
    hostile.mkdir(mode=0o700)
    name = lambda n: hostile / f"libprof.{n}.1.region"
    secret = tmp_path / "secret"
    secret.write_bytes(region.read_bytes())
    name(1).symlink_to(secret)
    os.mkfifo(name(2))
    name(3).mkdir()
    shutil.copy(region, name(4)), name(4).chmod(0o620)
    os.link(secret, name(5))
    name(6).write_bytes(b"\0LPROF01" + b"\xff" * 5000)
    name(7).write_bytes(os.urandom(100_000))
    with open(name(8), "wb") as huge:
        huge.truncate(1 << 43)
    with open(name(9), "wb") as cut:
        cut.write(region.read_bytes()[:70_000])
    left = set(range(1, 10)) - {8}
    if os.geteuid() == 0:
        shutil.copy(region, name(10))
        name(10).chmod(0o600)
        os.chown(name(10), NOBODY, NOBODY)
        left.add(10)
    for path in hostile.iterdir():
        if path.is_file() and not path.is_symlink():
            os.utime(path, (1, 1))
    before = time.monotonic()
    answer = recover(hostile)
    assert answer.returncode == 1 and answer.stdout == "", answer
    assert time.monotonic() - before < 60
    assert {int(path.name.split(".")[1]) for path in hostile.iterdir()} == left, answer
    assert len(answer.stderr.splitlines()) == len(left), answer
    assert not (one.folder / "cpu.prof").exists() and secret.exists()


def test_wrong_bytes(spooled, tmp_path):
    """A few of the fuzz target's kind (make fuzz_recover), by the real command."""
    one, region = region_of(spooled)
    good = bytearray(region.read_bytes()[:2 << 20])
    draw = random.Random(1)
    for number in range(12):
        bad = bytearray(good)
        for _ in range(draw.choice([3, 300, 30000])):
            bad[draw.randrange(8, len(bad))] = draw.randrange(256)
        region.write_bytes(bad)
        answer = recover(one.spool)
        assert answer.returncode in (0, 1), (number, answer)
        assert "could not be read" not in answer.stderr, (number, answer)
        if answer.returncode == 0:
            region.touch(0o600)


# Where each number of the owner's record is, from boot_id (core/record/owner_record.h), and how long.
OWNER = {"has_pid": (-20, "<I"), "pid_namespace": (-8, "<Q"), "started_unix_ns": (40, "<q")}
AHEAD = 4_000_000_000_000_000_000


def forge(region, paths=None, **numbers):
    """Of a region that a process has left: other names for its profiles, no longer than before, and other facts."""
    content = bytearray(region.read_bytes())
    for old, new in (paths or {}).items():
        old, new = os.fsencode(old), os.fsencode(new)
        text = struct.pack("<I", len(old)) + old
        assert len(new) <= len(old) and text in content
        content = content.replace(text, text[:4] + new.ljust(len(old), b"\0"))
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    at = content.index(boot + bytes(40 - len(boot)))
    for name, value in numbers.items():
        offset, how = OWNER[name]
        struct.pack_into(how, content, at + offset, value)
    region.write_bytes(content)


ELSEWHERE = {"pid_namespace": 77}
OLD = gzip.compress(b"of an earlier run")


def an_old_file(path, content):
    path.write_bytes(content)
    os.utime(path, (1e9, 1e9))
    return path


def is_profile(path):
    return path.read_bytes() != OLD and pprof.document(path)["samples"] is not None


def test_an_older_profile_is_replaced(spooled):
    """As its process would have."""
    one, _ = region_of(spooled)
    for name in ("cpu.prof", "heap.prof"):
        an_old_file(one.folder / name, OLD)
    recovered(one)
    assert {path.name for path in one.folder.glob("*.prof")} == {"cpu.prof", "heap.prof", "block.prof"}
    assert all(is_profile(path) for path in one.folder.glob("*.prof"))


def test_no_other_file_is_replaced(spooled):
    """A text, a link, a pipe that somebody reads; also where the names are said to have a pid, for which a file is always made anew."""
    for has_pid in (0, 0xffff):
        one, region = region_of(spooled)
        pid = region.name.split(".")[1]
        forge(region, has_pid=has_pid)
        text = an_old_file(one.folder / "cpu.prof", b"the user's own")
        target = an_old_file(one.folder / "target", OLD)
        (one.folder / "heap.prof").symlink_to(target)
        os.mkfifo(one.folder / "block.prof")
        reader = os.open(one.folder / "block.prof", os.O_RDONLY | os.O_NONBLOCK)
        recovered(one)
        assert text.read_bytes() == b"the user's own" and target.read_bytes() == OLD and (one.folder / "heap.prof").is_symlink()
        assert os.read(reader, 10) == b""
        os.close(reader)
        assert all(is_profile(one.folder / f"{kind}{'-2' if has_pid else '.' + pid}.prof") for kind in ("cpu", "heap", "block"))


def test_no_peak_replaces_another_file(spooled):
    one = spooled(COUNTS, "books", "heap", settings={"PROF_HEAP_RATE": "1", "PROF_HEAP_PEAK": "1"}).await_books()
    one.kill()
    text = an_old_file(one.folder / "heap.peak.prof", b"the user's own")
    assert f"heap.peak.{one.process.pid}.prof" in recovered(one)
    assert text.read_bytes() == b"the user's own"


@pytest.mark.parametrize("started", [AHEAD, -AHEAD])
def test_no_start_ahead_makes_an_older_file(spooled, started):
    one, region = region_of(spooled)
    pid = region.name.split(".")[1]
    forge(region, started_unix_ns=started)
    old = an_old_file(one.folder / "cpu.prof", OLD)
    recovered(one)
    assert old.read_bytes() == OLD and is_profile(one.folder / f"cpu.{pid}.prof")


def test_no_start_after_the_region(spooled):
    one, region = region_of(spooled)
    os.utime(region, (1e9, 1e9))
    old = an_old_file(one.folder / "cpu.prof", OLD)
    recovered(one)
    assert old.read_bytes() == OLD


def test_names_of_another_container(spooled):
    """Its file system is not ours: what it left goes beside its region, and replaces nothing there."""
    one, region = region_of(spooled)
    pid = region.name.split(".")[1]
    old = an_old_file(one.spool / "cpu.prof", OLD)
    forge(region, {one.folder / "heap.prof": "/dev/null"}, **ELSEWHERE)
    text = recovered(one, "--gone")
    assert {path.name for path in one.spool.iterdir()} == {"cpu.prof", f"cpu.{pid}.prof", "block.prof", "trace.json.gz"}, text
    assert old.read_bytes() == OLD and is_profile(one.spool / f"cpu.{pid}.prof")
    assert f"{one.spool}/block.prof" in text and "of another container" in text
    assert not list(one.folder.glob("*.prof"))


@pytest.mark.parametrize("name", ["", ".", "..", "libprof.1.2.region"])
def test_a_name_that_is_none(spooled, name):
    one, region = region_of(spooled)
    forge(region, {one.folder / "block.prof": f"/{name}"}, **ELSEWHERE)
    answer = recover(one.spool, "--gone")
    assert answer.returncode == 1 and "left alone" in answer.stderr, answer
    assert one.regions() == [region] == list(one.spool.iterdir())


def test_to_a_folder(spooled, tmp_path):
    """Whatever the region says; of two that have one name, of two kinds or two regions, each is there."""
    to = tmp_path / "to"
    to.mkdir()
    written = set()
    for facts in ({}, ELSEWHERE, {"has_pid": 0xffff}):
        one, region = region_of(spooled)
        forge(region, {one.folder / "heap.prof": "/etc/cpu.prof", one.folder / "block.prof": "/no/cpu.prof"}, **facts)
        text = recovered(one, "--gone", "--to", to)
        files = set(to.iterdir()) - written
        assert len(files) == 4 and all(str(path) in text for path in files), (text, files)
        assert not list(one.folder.glob("*.prof")) and list(one.spool.iterdir()) == [] and not os.path.exists("/etc/cpu.prof")
        written |= files
    assert "cpu.prof" in {path.name for path in written}
    missing = recover(one.spool, "--to", to / "missing")
    assert missing.returncode != 0 and "missing" in missing.stderr


def test_what_is_said_is_no_terminals_command(spooled):
    one, region = region_of(spooled)
    forge(region, {COUNTS: "/\x1b[2J"})
    assert "process" in (text := recovered(one)) and "\x1b" not in text


def test_ended_amid_its_exit(spooled):
    """A handler calls _exit while exit() writes the profiles, as PostgreSQL's does: they are there when it has ended, and once."""
    run = spooled(pprof.BUILD / "programs" / "ends_amid_exit", "20", settings={"PROF_CPU_HZ": "1000"})
    assert run.process.wait(120) == 0, run.log
    written = sorted(run.folder.glob("cpu.*.prof"))
    assert len(written) == 20 and not run.regions(), (run.log, written, run.regions())
    assert recover(run.spool).stdout == "" and sorted(run.folder.glob("cpu.*.prof")) == written and run.log == ""


def test_a_script_that_a_shell_runs_itself(spooled, tmp_path):
    """The exec of a file that names no interpreter fails, and the shell's child goes on with it: what it does then is not lost by a kill."""
    script = tmp_path / "script"
    script.write_text("for ((i = 0; i < 200000; i++)); do :; done\nkill -9 $$\n")
    script.chmod(0o755)
    run = spooled("bash", "-c", f"{script}; exit 5")
    assert run.process.wait(120) == 5, run.log
    (left,) = run.regions()
    pid = left.name.split(".")[1]
    assert f"process {pid} " in recovered(run)
    assert pprof.read(run.folder / f"cpu.{pid}.prof").ns > 1e8


@pytest.mark.parametrize("why, how, ticks", [("large", [], 30), ("interpreter", [], 30), ("interpreter", ["unreadable"], 35)])
def test_killed_after_an_exec_that_failed(spooled, tmp_path, why, how, ticks):
    """For whatever reason: what a child does then is not lost, though it had recorded nothing before, or its profiles were written already."""
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    run = spooled(pprof.BUILD / "programs" / "exec_fails_then_killed", script if why == "interpreter" else why, *how)
    assert run.process.wait(120) == 7, run.log
    (left,) = run.regions()
    pid = left.name.split(".")[1]
    assert f"process {pid} " in recovered(run)
    assert sorted(path.name for path in run.folder.glob("cpu*")) == [f"cpu.{pid}.prof", "cpu.prof"]
    profile = pprof.read(run.folder / f"cpu.{pid}.prof")
    assert abs(profile.count("child_work") - ticks) <= 3, profile.describe()


def test_killed_right_after_an_exec_that_failed(spooled, tmp_path):
    """Who read it for the exec does not take the end for one: nothing is written but what is recovered."""
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    for _ in range(3):
        run = spooled(pprof.BUILD / "programs" / "exec_fails_then_killed", script, "at_once")
        assert run.process.wait(120) == 7, run.log
        (left,) = run.regions()
        pid = left.name.split(".")[1]
        assert "was killed" in recovered(run)
        assert abs(pprof.read(run.folder / f"cpu.{pid}.prof").count("child_work") - 30) <= 3
        assert not list(run.folder.glob("*.exec*")), run.log


def test_killed_amid_its_exit(spooled):
    """The process that writes goes on after a kill; recovery and it do not both write."""
    run = spooled(pprof.BUILD / "programs" / "ends_amid_exit", "20", "kill", settings={"PROF_CPU_HZ": "1000"})
    assert run.process.wait(120) == 0, run.log
    recover(run.spool)
    for _ in range(1000):
        written = sorted(run.folder.glob("cpu.*.prof"))
        if len(written) >= 20 and not run.regions():
            break
        time.sleep(0.01)
    assert len(written) == 20 and not run.regions(), (run.log, written, run.regions())
    assert recover(run.spool).stdout == "" and sorted(run.folder.glob("cpu.*.prof")) == written
