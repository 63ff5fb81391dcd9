"""Heap profiles as files: snapshots by a signal, numbered, of a program that notices nothing; the signal is the
program's if it wants it; settings; what the client shows."""

import os
import signal

import pytest

import heap
import pprof
from test_heap_truth import check_exact, check_nothing_lost, check_sampled

DUMPS = int(os.environ.get("HEAP_DUMPS", "100"))
USR1, USR2 = int(signal.SIGUSR1), int(signal.SIGUSR2)
LIBRARY = str(pprof.BUILD / "libprof.so")
EARLY = str(pprof.BUILD / "programs" / "heap_early")
# What a program started by another sees of its signals, without libprof in it.
SHOW = "LD_PRELOAD= grep -E 'SigIgn|SigBlk|SigCgt' /proc/self/status; LD_PRELOAD= exec grep SigIgn /proc/self/status"
TRAP = f"trap '' USR2; {SHOW}"
STEADY = ["steady", .02, 6]
SNAPSHOTS = 5

# Uses of the signal that are the program's own: the first snapshot is awaited before, or not.
OWN_WAYS = ("sigaction", "signal", "sigwait", "sigtimedwait", "signalfd")
OWN = [(how, when) for how in OWN_WAYS for when in ("first", "later")]
BAD = {
    "PROF_HEAP": ["", "%q.prof"],
    "PROF_ALLOCS": ["", "allocs.%"],
    "PROF_HEAP_RATE": ["0", "-1", "abc", "", "1.5", " 1", "1099511627777", "99999999999999999999", "512k", "0x10",
                       "+1"],
    "PROF_HEAP_PEAK": ["2", "yes", "", "-1"],
    "PROF_SIGNAL": ["KILL", "9", "STOP", "19", "-1", "65", "FOO", "PROF", "27", "SEGV", "32", "33", "", "usr2 ", "CHLD",
                    "00x", "RTMIN+40"],
}
GOOD = {
    "PROF_HEAP_RATE": ["1", "524288", "1099511627776"],
    "PROF_HEAP_PEAK": ["0", "1"],
    "PROF_SIGNAL": ["0", "USR1", "SIGUSR2", "12", "34", "64", "WINCH"],
}
BAD_CASES = [(name, value) for name, values in BAD.items() for value in values]
GOOD_CASES = [(name, value) for name, values in GOOD.items() for value in values]


def snapshots(how, number=USR2, count=SNAPSHOTS):
    return ["heap_snapshots", "{folder}", count, number, how]


def ignore_usr2():
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def RUNS():
    both = heap.settings(1, PROF_ALLOCS="{folder}/allocs.prof", PROF_HEAP_PEAK="1")
    runs = {
        "plain": (snapshots("plain"), both),
        "allocs_only": (["heap_small", 20000], {"PROF_CPU": None, "PROF_ALLOCS": "{folder}/allocs.prof"}),
        "blocked": (snapshots("blocked"), heap.settings(1)),
        "blocked_sampled": (snapshots("blocked"), heap.settings(2000)),
        "ignored": (snapshots("ignored"), heap.settings(1)),
        "hurried": (snapshots("hurried"), heap.settings(1)),
        "default_rate": (snapshots("plain"), heap.settings()),
        "with_cpu": (snapshots("plain"), heap.settings(1) | {"PROF_CPU": "{folder}/cpu.prof"}),
        "directory": (["heap_small", 20000], {"PROF_CPU": None, "PROF_DIR": "{folder}", "PROF_HEAP_RATE": "1"}),
        "usr1": (snapshots("plain", USR1), heap.settings(1, PROF_SIGNAL="USR1")),
        "realtime": (snapshots("plain", 40), heap.settings(1, PROF_SIGNAL="40")),
        "storm": (["heap_storm", "{folder}", 8, DUMPS], heap.settings(1000),
                  {"cores": 2, "timeout": 150 + DUMPS}),
        "storm_exact": (["heap_storm", "{folder}", 4, max(5, DUMPS // 10)], heap.settings(1),
                        {"cores": 2, "timeout": 150 + DUMPS}),
        "none": (["bash", "-c", "kill -USR2 $$; sleep 10"], heap.settings(PROF_SIGNAL="0")),
        "another": (["bash", "-c", "kill -USR2 $$; sleep 10"], heap.settings(PROF_SIGNAL="USR1")),
        "nothing asked for": (["bash", "-c", "kill -USR2 $$; sleep 10"], {"PROF_CPU": None}),
        "cpu only": (["bash", "-c", "kill -USR2 $$; sleep 10"],),
        "unshare": (["unshare", "--user", "--", "true"], heap.settings(1)),
        "unshare_alone": (["unshare", "--user", "--", "true"], {}, {"preload": False}),
        "two_signals": (STEADY, heap.settings(PROF_CPU="{folder}/cpu.prof", PROF_CPU_SIGNAL="USR2")),
        "exhausted": (["heap_exhausts", 30, 0], heap.settings(4096)),
        "exhausted_cpu": (["heap_exhausts", 30, 0], {"PROF_CPU_HZ": "10000"}),
        "exhausted_exact": (["heap_exhausts", 30, 0], heap.settings(1)),
        "exhausted_freed": (["heap_exhausts", 30, 1], heap.settings(4096)),
        "exhausted_alone": (["heap_exhausts", 30, 0], {}, {"preload": False}),
        "trap": (["bash", "-c", TRAP], heap.settings()),
        "trap_alone": (["bash", "-c", TRAP], {}, {"preload": False}),
        "trap_before": (["bash", "-c", SHOW], heap.settings(), {"limits": ignore_usr2}),
        "trap_before_alone": (["bash", "-c", SHOW], {}, {"preload": False, "limits": ignore_usr2}),
        "no_folder": (["heap_small", 100], heap.settings(PROF_HEAP="{folder}/none/heap.prof")),
    }
    for how, when in OWN:
        command = ["heap_own_signal", "{folder}" if when == "later" else "-", USR2, how]
        runs[f"own {how} {when}"] = (command, heap.settings(1, PROF_SIGNAL="USR2"))
        runs[f"own {how} {when} by default"] = (command, heap.settings(1))
        runs[f"own {how} alone"] = (["heap_own_signal", "-", USR2, how], {}, {"preload": False})
    early = {"EARLY_SIGNAL": str(USR2)}
    runs["own early"] = (["heap_own_signal", "-", USR2, "early"],
                         heap.settings(1, LD_PRELOAD=f"{LIBRARY}:{EARLY}", PROF_SIGNAL="USR2"), {"environment": early})
    runs["own early, but after"] = (["heap_own_signal", "-", USR2, "early"],
                                    heap.settings(1, LD_PRELOAD=f"{EARLY}:{LIBRARY}", PROF_SIGNAL="USR2"), {"environment": early})
    for name, value in BAD_CASES:
        # A file's own variable stands alone: another file may be written without it.
        others = {"PROF_CPU": None} if name in ("PROF_HEAP", "PROF_ALLOCS") else heap.settings()
        runs[f"bad {name} {value}"] = (STEADY, others | {name: value})
    for name, value in GOOD_CASES:
        runs[f"good {name} {value}"] = (STEADY, heap.settings() | {name: value})
    return runs


def check_inside(result):
    """What the process could have noticed."""
    assert result["threads"][0] == result["threads"][1] and result["files"][0] == result["files"][1], result
    assert result["no_child"] == 1 and result["child_signals"] == 0, result


@pytest.mark.parametrize("name", ["plain", "ignored", "with_cpu", "usr1", "realtime"])
def test_snapshots_are_exact(runs, name):
    """Each is what the books said at the signal: the program allocates nothing until the file is there."""
    run = runs[name]
    result = run.result
    assert result["seen"] == SNAPSHOTS and run.log == [], run.stderr
    taken = heap.snapshots(run)
    assert list(taken) == list(range(1, SNAPSHOTS + 1)), run.files()
    for state, snapshot in zip(result["states"], taken.values()):
        check_exact(state["books"], snapshot)
        check_nothing_lost(run, snapshot)
    check_exact(result["books"], heap.read(run.folder / "heap.prof"))
    check_inside(result)
    assert result["default_action"] == (name != "ignored"), "the program sees libprof's handler"


def test_snapshots_come_later_if_the_signal_is_blocked(runs):
    """A pending signal is seen at a sampled allocation: at rate 1 the first of those that follow, or one of the next
    where a snapshot was under way."""
    run = runs["blocked"]
    result = run.result
    assert result["seen"] == SNAPSHOTS and result["blocked"] == 1, run.stderr
    taken = heap.snapshots(run)
    assert list(taken) == list(range(1, SNAPSHOTS + 1)), run.files()
    for state, snapshot in zip(result["states"], taken.values()):
        books = dict(state["books"])
        before = heap.expected(books.pop("allocates_prodded"))[0]
        check_exact(books, snapshot)
        assert snapshot.of_leaf("allocates_prodded")[0] > before, snapshot.describe()
    check_exact(result["books"], heap.read(run.folder / "heap.prof"))
    check_inside(result)
    assert runs["blocked_sampled"].result["seen"] == SNAPSHOTS
    assert list(heap.snapshots(runs["blocked_sampled"])) == list(range(1, SNAPSHOTS + 1))


def test_signals_in_a_hurry(runs):
    """One snapshot at a time: a signal that is too many has a warning, and takes no number. The program may be gone
    before the last is written; what is there is whole."""
    run = runs["hurried"]
    result = run.result
    check_exact(result["books"], heap.read(run.folder / "heap.prof"))
    taken = heap.snapshots(run)
    assert all("still being written" in line for line in run.log)
    assert list(taken) == list(range(1, len(taken) + 1)) and 1 <= len(taken) <= SNAPSHOTS
    assert len(taken) + len(run.log) <= SNAPSHOTS, run.stderr
    assert sorted(run.files()) == sorted(["heap.prof"] + [f"heap.{number}.prof" for number in taken])
    check_inside(result)


def test_single_threaded_program_stays_so(runs):
    for name in ("plain", "default_rate", "with_cpu"):
        result = runs[name].result
        assert result["threads"] == [1, 1] and result["seen"] == SNAPSHOTS


def test_user_namespace_after_snapshots(runs):
    """unshare(CLONE_NEWUSER) is refused in a process with threads."""
    alone = runs["unshare_alone"].returncode
    assert runs["unshare"].returncode == alone
    if alone == 0:
        for name in ("plain", "default_rate", "with_cpu"):
            assert runs[name].result["unshare"] == 0


def test_later_snapshots_have_more(runs):
    """What was allocated only grows, for every stack and size; and the last file has all that the last snapshot
    has."""
    run = runs["storm"]
    check_grows([*heap.snapshots(run).values(), heap.read(run.folder / "heap.prof")])
    run = runs["plain"]
    check_grows([*heap.snapshots(run).values(), heap.read(run.folder / "heap.prof")])


def check_grows(profiles):
    earlier = {}
    for profile in profiles:
        now = {}
        for sample in profile.samples:
            key = (tuple(sample.functions), sample.size)
            objects, space = now.get(key, (0, 0))
            now[key] = objects + sample.alloc_objects, space + sample.alloc_space
        for key, values in earlier.items():
            assert key in now and now[key][0] >= values[0] and now[key][1] >= values[1], (key, values, now.get(key))
        earlier = now


@pytest.mark.parametrize("name", ["storm", "storm_exact"])
def test_snapshots_while_threads_allocate(runs, name):
    """Each is sound (heap.read), the program's memory too, no thread stands still; and after all that nothing is in
    use, and what was allocated is what the threads say. A signal that met the end of an earlier snapshot is sent
    again."""
    run = runs[name]
    result = run.result
    assert result["broken"] == 0 and result["all_there"] == 1, run.stderr
    assert result["slowest"] > 0 and all("still being written" in line for line in run.log), run.stderr
    taken = heap.snapshots(run)
    wanted = DUMPS if name == "storm" else max(5, DUMPS // 10)
    assert list(taken) == list(range(1, len(taken) + 1)) and len(taken) >= wanted
    last = heap.read(run.folder / "heap.prof")
    assert not last.comment("not seen") and not last.comment("too many threads"), last.comments
    assert last.of("thread")[2:] == (0, 0), last.describe()
    if name == "storm":
        check_sampled_stacks(result["books"]["thread"], last)
    else:
        check_exact({"thread": result["books"]["thread"]}, NoLeaf(last))


class NoLeaf:
    """A profile in which what a function had others allocate is its own."""

    def __init__(self, profile):
        self.rate, self.of, self.sizes_of, self.describe = profile.rate, profile.of, profile.sizes_of, profile.describe
        self.of_leaf = profile.of


def check_sampled_stacks(rows, profile):
    check_sampled({"thread": rows}, NoLeaf(profile))


@pytest.mark.parametrize("how,when", OWN)
def test_the_programs_own_signal(runs, how, when):
    run, alone = runs[f"own {how} {when}"], runs[f"own {how} alone"]
    assert run.result == alone.result and run.result["taken"] == 3
    assert len(run.log) == 1 and "PROF_SIGNAL" in run.log[0] and "choose another" in run.log[0], run.stderr
    assert run.files() == (["heap.1.prof", "heap.prof"] if when == "later" else ["heap.prof"])
    for name in run.files():
        assert heap.read(run.folder / name).of_leaf("allocates_here")[0] >= 100


@pytest.mark.parametrize("how,when", OWN)
def test_a_signal_that_nobody_asked_for_is_given_up_quietly(runs, how, when):
    run, asked = runs[f"own {how} {when} by default"], runs[f"own {how} {when}"]
    assert run.result == asked.result and run.files() == asked.files() and run.log == []


@pytest.mark.parametrize("name", ["own early", "own early, but after"])
def test_a_signal_that_a_library_handles(runs, name):
    """Before libprof's constructor, and after it."""
    run = runs[name]
    result = run.result
    assert result["early"] == 3 and result["taken"] == 0 and result["before"] == "handler"
    assert len(run.log) == 1 and "PROF_SIGNAL" in run.log[0] and run.files() == ["heap.prof"], run.stderr


@pytest.mark.parametrize("name", ["none", "another", "nothing asked for", "cpu only"])
def test_a_signal_that_is_not_libprofs(runs, name):
    """It does what it does without libprof."""
    run = runs[name]
    assert run.returncode == -USR2 and run.log == [], run.stderr


@pytest.mark.parametrize("name", ["trap", "trap_before"])
def test_an_ignored_signal_stays_ignored_in_other_programs(runs, name):
    """Who ignores the signal has the programs that it starts ignore it, too: set by the program or inherited by
    it."""
    run, alone = runs[name], runs[f"{name}_alone"]
    assert run.returncode == 0 and alone.stdout.count(b"SigIgn") == 2
    assert run.stdout == alone.stdout


@pytest.mark.parametrize("name", ["exhausted", "exhausted_cpu", "exhausted_exact", "exhausted_freed"])
def test_no_address_space_left(runs, name):
    """The program has used it all up and ends in good order: so it does with libprof. There is a line or a
    profile."""
    run, alone = runs[name], runs["exhausted_alone"]
    assert run.result["error"] == alone.result["error"] == "Cannot allocate memory"
    assert len(run.log) == 1 or run.files(), run.stderr
    if run.files() == ["heap.prof"] and not run.log:
        profile = heap.read(run.folder / "heap.prof")
        check_sampled(run.result["books"], profile)


@pytest.mark.parametrize("name,value", BAD_CASES)
def test_unusable(runs, name, value):
    """One line: the variable, the value, what is accepted; the program runs, without heap profiles, or without snapshots."""
    run = runs[f"bad {name} {value}"]
    assert run.returncode == 6 and not run.stuck and run.stdout.startswith(b'{"steady_work"'), run.stderr
    assert len(run.log) == 1 and run.stderr.count(b"\n") == 1, run.stderr
    (line,) = run.log
    assert name in line and f"'{value}'" in line and "accept" in line, line
    assert run.files() == (["heap.prof"] if name == "PROF_SIGNAL" else [])


@pytest.mark.parametrize("name,value", GOOD_CASES)
def test_usable(runs, name, value):
    run = runs[f"good {name} {value}"]
    assert run.returncode == 6 and run.stderr == b"", run.stderr
    files = ["heap.peak.prof", "heap.prof"] if (name, value) == ("PROF_HEAP_PEAK", "1") else ["heap.prof"]
    assert run.files() == files
    profile = heap.read(run.folder / "heap.prof")
    assert name != "PROF_HEAP_RATE" or profile.rate == int(value)


def test_one_signal_for_two_things(runs):
    run = runs["two_signals"]
    assert run.returncode == 6 and len(run.log) == 1, run.stderr
    assert "PROF_CPU_SIGNAL" in run.log[0] and "PROF_SIGNAL" in run.log[0]


def test_a_folder_that_is_not_there(runs):
    run = runs["no_folder"]
    at_start, at_end = run.log
    assert run.result and "PROF_HEAP" in at_start and "none'" in at_start and "none/heap.prof" in at_end, run.stderr


def values_of(profile):
    return sorted((sample.functions, sample.size, sample.values) for sample in profile.samples)


def test_allocs_has_the_same_data(runs):
    """Of the same moments, with another value shown first."""
    run = runs["plain"]
    names = [name for name in run.files() if not name.startswith("heap.peak")]
    assert sorted(names) == sorted([f"{kind}{part}.prof" for kind in ("heap", "allocs")
                                    for part in ["", *(f".{i}" for i in range(1, SNAPSHOTS + 1))]])
    for part in ["", ".1", f".{SNAPSHOTS}"]:
        shown = heap.read(run.folder / f"heap{part}.prof")
        allocated = heap.read(run.folder / f"allocs{part}.prof", default="alloc_space")
        assert values_of(shown) == values_of(allocated)
    assert "heap.peak.prof" in run.files() and "allocs.peak.prof" not in run.files()


def test_allocs_alone(runs):
    run = runs["allocs_only"]
    assert run.result and run.files() == ["allocs.prof"] and run.log == []
    profile = heap.read(run.folder / "allocs.prof", default="alloc_space")
    assert profile.rate == heap.DEFAULT_RATE
    check_sampled(run.result["books"], profile)


def test_directory(runs):
    run = runs["directory"]
    assert run.result
    files = {name.split(".", 2)[2]: name for name in run.files()}
    assert sorted(files) == pprof.FOLDER_KINDS, run.files()
    assert all(name.startswith("heap_small.") for name in run.files())
    check_exact(run.result["books"], heap.read(run.folder / files["heap.pb.gz"]))
    check_exact(run.result["books"], heap.read(run.folder / files["allocs.pb.gz"], default="alloc_space"))


def test_files_are_the_owners_only(runs):
    for name in runs["plain"].files():
        assert (runs["plain"].folder / name).stat().st_mode & 0o777 == 0o600, name


def flat_of(profile, index):
    rows = {}
    for sample in profile.samples:
        rows[sample.leaf] = rows.get(sample.leaf, 0) + sample.values[index]
    return rows


@pytest.mark.parametrize("name", ["plain", "storm"])
def test_client_agrees(runs, name):
    """`go tool pprof` shows the same numbers, for each of the four values, of the last file and of a snapshot."""
    run = runs[name]
    for file in ("heap.prof", "heap.2.prof"):
        profile = heap.read(run.folder / file)
        for index, kind in enumerate(heap.VALUES):
            rows, total = heap.top(run.folder / file, kind)
            assert total == profile.sums[index]
            ours = flat_of(profile, index)
            assert {leaf: value for leaf, value in rows.items() if value} == {
                leaf: value for leaf, value in ours.items() if value}


def test_client_shows_what_is_in_use_unless_asked(runs):
    text = pprof.client(runs["plain"].folder / "heap.prof", "-top")
    assert "Type: inuse_space" in text
    assert "Type: alloc_space" in pprof.client(runs["plain"].folder / "allocs.prof", "-top")


def test_client_subtracts_snapshots(runs):
    """The difference of two snapshots: no negative value in what was allocated."""
    run = runs["plain"]
    first, third = (run.folder / f"heap.{number}.prof" for number in (1, 3))
    text = pprof.client(third, "-top", "-unit=B", "-nodefraction=0", "-sample_index=alloc_space", f"-diff_base={first}")
    rows = {line.split(None, 5)[5]: line.split()[0] for line in text.split("cum%\n", 1)[1].splitlines()}
    before, after = heap.read(first), heap.read(third)
    for function in ("allocates_kept", "allocates_brief", "allocates_once"):
        difference = after.of_leaf(function)[1] - before.of_leaf(function)[1]
        assert difference > 0 and rows[function] == f"{difference}B", text
