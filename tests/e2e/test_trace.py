"""PROF_TRACE: a timeline of a program whose times are known, and what speedscope shows of it."""

import gzip
import json
import pathlib
import signal
import statistics
import time

import pytest

import firefox_profiler
import speedscope

SETTINGS = {"PROF_CPU": None, "PROF_TRACE": "{folder}/trace.json.gz"}
STACKS_TRACK = 1 << 23
# The program reads the clock before and after each call, and ours lies between; how closely, is asked of the median, since any thread may be
# kept from its processor in between. Both are of the same clock; a microsecond for the rounding.
ROUNDING = 1
KINDS = ["mutex", "read lock", "write lock", "condition", "semaphore", "barrier", "join", "spin lock"]


def wait_for(condition, patience=60):
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)


def at_signal(process, folder):
    """A snapshot while it runs."""
    wait_for(lambda: any(task.joinpath("comm").read_text() == "stuck\n"
                         for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir()))
    time.sleep(0.2)
    process.send_signal(signal.SIGUSR2)
    wait_for(lambda: (folder / "trace.1.json.gz").exists())


def RUNS():
    return {
        "all": (["timeline", "all"], SETTINGS),
        "both": (["timeline", "all"], SETTINGS | {"PROF_CPU": "{folder}/cpu.prof", "PROF_BLOCK": "{folder}/block.prof"}),
        "forks": (["timeline", "forks"], SETTINGS),
        "waits": (["timeline", "waits", "3000"], SETTINGS | {"PROF_TRACE_BUFFER": "16"}),
        "threads": (["timeline", "threads", "400"], SETTINGS | {"PROF_TRACE_BUFFER": "512"}),
        "ends_waiting": (["timeline", "ends_waiting"], SETTINGS),
        "cpu later": (["timeline", "all"], SETTINGS | {"PROF_CPU": "{folder}/cpu.prof", "PROF_CPU_SIGNAL": "USR1"}),
        "labels": (["labels", "truth", 2, .1], SETTINGS | {"PROF_LABELS": "env=test"}),
        "signal": (["timeline", "waits", "20000"], SETTINGS, {"during": at_signal}),
        "bad": (["timeline", "ends_waiting"], SETTINGS | {"PROF_TRACE_BUFFER": "3"}),
        "folder": (["timeline", "ends_waiting"], {"PROF_CPU": None, "PROF_DIR": "{folder}/all"}),
    }


class Slice:
    def __init__(self, event):
        self.name, self.begin, self.arguments = event["name"], event["ts"], event.get("args", {})
        self.end, self.inner = None, []

    def __repr__(self):
        return f"{self.name} {self.begin}..{self.end} {self.arguments}"


class Trace:
    """A file, after every check that holds for all of ours."""

    def __init__(self, path):
        self.document = json.loads(gzip.decompress(path.read_bytes()).decode("utf-8"))
        self.about = self.document["metadata"]
        self.names, self.tracks, self.notes, self.arrows = {}, {}, [], {}
        open_slices, last, at_once = {}, {}, 0
        for event in self.document["traceEvents"]:
            assert {"ph", "ts", "pid", "tid", "name"} <= set(event), event
            assert event["pid"] == int(self.about["pid"]) and event["ts"] >= 0, event
            tid, phase = event["tid"], event["ph"]
            if phase == "M":
                if event["name"] == "thread_name":
                    assert tid not in self.names, "two threads with one number"
                    self.names[tid] = event["args"]["name"]
                continue
            assert event["ts"] >= last.get(tid, 0), event
            last[tid] = event["ts"]
            stack = open_slices.setdefault(tid, [])
            if phase == "B":
                slice_ = Slice(event)
                self.tracks.setdefault(tid, []).append(slice_)
                if stack:
                    stack[-1].inner.append(slice_)
                stack.append(slice_)
            elif phase == "E":
                slice_ = stack.pop()
                assert slice_.name == event["name"] and event["ts"] > slice_.begin, event
                slice_.end = event["ts"]
            elif phase == "i":
                self.notes.append(event)
            else:
                # An arrow binds to the slice that has just begun; its end comes after its beginning for who sorts by time, too,
                # unless another slice begins there.
                assert phase in "sf" and stack, event
                assert stack[-1].begin == event["ts"] if phase == "s" else 0 <= event["ts"] - stack[-1].begin < 0.002, event
                at_once += phase == "f" and event["ts"] == stack[-1].begin
                assert phase == "s" or event["bp"] == "e"
                self.arrows.setdefault(event["id"], {})[phase] = (tid, stack[-1])
        assert not any(open_slices.values())
        assert set(self.tracks) <= set(self.names)
        assert at_once <= .01 * len(self.arrows) + 1
        for ends in self.arrows.values():
            assert set(ends) == {"s", "f"} and ends["s"][1].begin == ends["f"][1].begin
            assert ends["f"][1].name == "wake-up"

    def of(self, tid, name=None):
        return [slice_ for slice_ in self.tracks.get(tid, []) if name in (None, slice_.name)]

    def stacks(self, tid):
        return self.of(tid + STACKS_TRACK)


def trace_of(run, name="trace.json.gz"):
    run.check_unharmed()
    assert not run.log, run.stderr
    return Trace(run.folder / name)


class Log:
    """What the program says, in the trace's microseconds."""

    def __init__(self, run, trace):
        self.lines = run.result["log"]
        self._zero = int(trace.about["time 0"].split()[0])

    def waits(self, name):
        return [line for line in self.lines if line["what"] == "wait" and line["name"] == name]

    def of(self, what):
        return [line for line in self.lines if line["what"] == what]

    def us(self, ns):
        return (ns - self._zero) / 1000


@pytest.fixture(scope="module")
def known(runs):
    trace = trace_of(runs["all"])
    return trace, Log(runs["all"], trace)


def names_within(slice_, path=()):
    """Every path of names from this slice to one that has none within."""
    path = path + (slice_.name,)
    if not slice_.inner:
        yield path
    for inner in slice_.inner:
        yield from names_within(inner, path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wait_is_where_the_program_says(known, kind):
    trace, log = known
    line = log.waits(kind)[0]
    (wait,) = trace.of(line["tid"], f"{kind} wait")
    begin, end = log.us(line["begin"]), log.us(line["end"])
    assert begin - ROUNDING <= wait.begin and wait.end <= end + ROUNDING
    # It went on when the main thread was about to end it.
    (let_go,) = [log.us(end["begin"]) for end in log.of("end") if end["name"] == kind]
    assert wait.begin <= let_go + ROUNDING and let_go - ROUNDING <= wait.end


def test_its_times_are_close(known):
    trace, log = known
    early, late, lengths = [], [], []
    for kind in KINDS:
        line = log.waits(kind)[0]
        (wait,) = trace.of(line["tid"], f"{kind} wait")
        early.append(wait.begin - log.us(line["begin"]))
        late.append(log.us(line["end"]) - wait.end)
        lengths.append(log.us(line["end"]) - log.us(line["begin"]))
    assert statistics.median(early) < 0.05 * statistics.median(lengths)
    assert statistics.median(late) < 0.05 * statistics.median(lengths)


@pytest.mark.parametrize("kind", ["mutex", "read lock", "write lock", "condition", "barrier", "join"])
def test_it_says_who_ended_it(known, kind):
    trace, log = known
    line = log.waits(kind)[0]
    (wait,) = trace.of(line["tid"], f"{kind} wait")
    ended, by = wait.arguments["detail"].split("ended by ")
    assert not ended
    assert f"(tid {line['by']})" in by
    (wake_up,) = [inner for inner in wait.inner if inner.name == "wake-up"]
    assert wake_up.end == wait.end
    (let_go,) = [end for end in log.of("end") if end["name"] == kind]
    if kind == "join":
        assert by.startswith("joined ")
        return
    # The call that ended it began after the program's reading.
    assert "in let_go" in by
    assert log.us(let_go["begin"]) - ROUNDING <= wake_up.begin <= wait.end
    (arrow,) = [ends for ends in trace.arrows.values() if ends["f"][1] is wake_up]
    assert arrow["s"][0] == line["by"]
    assert arrow["s"][1].name == {"condition": "signal", "barrier": "last at barrier"}.get(kind, "unlock")


def test_a_timeout_is_nobody_s_doing(known):
    trace, log = known
    line = log.waits("condition")[1]
    (wait,) = trace.of(line["tid"], "condition wait")
    assert wait.arguments["detail"] == "ended by timeout" and not wait.inner
    assert wait.end - log.us(line["begin"]) > 29_000  # it was to be 30 ms


def test_what_is_not_known_is_not_said(known):
    trace, log = known
    for kind in ("semaphore", "spin lock"):
        (wait,) = trace.of(log.waits(kind)[0]["tid"], f"{kind} wait")
        assert "detail" not in wait.arguments and not wait.inner


def test_threads_have_their_names_and_lives(known):
    trace, log = known
    for line in log.of("thread"):
        first = trace.of(line["tid"])[0]
        assert first.name == "thread " + trace.names[line["tid"]]
        assert first.begin <= log.us(line["begin"]) + ROUNDING and log.us(line["end"]) - ROUNDING <= first.end
    assert {f"w {kind}" for kind in KINDS} | {"burner", "idle", "timeline", "joined"} <= set(trace.names.values())
    # One that did nothing is there from its beginning to the end.
    idle = trace.of(log.of("idle")[0]["tid"])
    assert len(idle) == 1 and trace.names[log.of("idle")[0]["tid"]] == "idle"
    assert idle[0].end == max(slice_.end for track in trace.tracks.values() for slice_ in track)


def test_cpu_samples_are_where_the_cpu_was_used(known):
    trace, log = known
    burn = log.of("burn")[0]
    samples = [s for s in trace.stacks(burn["tid"]) if s.name == "burn_here"]
    covered = sum(s.end - s.begin for s in samples)
    begin, end = log.us(burn["begin"]), log.us(burn["end"])
    life = trace.of(burn["tid"])[0]
    assert all(life.begin <= s.begin and s.end <= end + ROUNDING for s in samples)
    # 200 ms of CPU time: a sample for each 10 ms, and each drawn for as long or half as long again.
    assert 0.7 * 200_000 <= covered <= min(end - begin, 1.6 * 200_000) + 10_000
    assert trace.names[burn["tid"] + STACKS_TRACK] == "burner stacks"
    paths = {path for s in trace.stacks(burn["tid"]) if s not in [i for o in trace.stacks(burn["tid"]) for i in o.inner]
             for path in names_within(s)}
    # It looks at the clock: a tick may find it there.
    assert any(("run_burner", "burn_here") in zip(path, path[1:]) for path in paths), paths


def test_a_wait_has_its_stack_beside_it(known):
    trace, log = known
    line = log.waits("mutex")[0]
    (wait,) = trace.of(line["tid"], "mutex wait")
    stacks = trace.stacks(line["tid"])
    (leaf,) = [s for s in stacks if s.name == "[mutex wait]"]
    assert (leaf.begin, leaf.end) == (wait.begin, wait.end)
    assert any("wait_here" in path and path[-1] == "[mutex wait]" for path in names_within(stacks[0]))


def test_it_says_what_it_is_of(known):
    trace, _ = known
    assert trace.about["program"].endswith("/timeline") and "CLOCK_MONOTONIC" in trace.about["clock"]
    assert "10 us" in trace.about["waits"]
    assert trace.about["losses"] == {} or set(trace.about["losses"]) <= {"stacks that end in unreadable memory"}


@pytest.mark.parametrize("name", ["all", "waits", "labels"])
def test_who_takes_all_tracks_by_time_finds_every_slice_and_arrow(runs, name):
    """As ui.perfetto.dev does: by the time, and by the place in the file where that is the same. An end closes the innermost slice, which has
    to be of its name; an arrow is of the slice that is innermost then, and its beginning comes first."""
    open_slices, begun, arrived = {}, set(), set()
    events = trace_of(runs[name]).document["traceEvents"]
    for event in sorted((event for event in events if event["ph"] != "M"), key=lambda event: event["ts"]):
        stack = open_slices.setdefault(event["tid"], [])
        if event["ph"] == "B":
            stack.append(event["name"])
            assert len(stack) <= 512
        elif event["ph"] == "E":
            assert stack.pop() == event["name"], event
        elif event["ph"] == "s":
            assert stack[-1] in ("unlock", "signal", "last at barrier"), event
            begun.add(event["id"])
        elif event["ph"] == "f":
            assert stack[-1] == "wake-up" and event["id"] in begun, event
            arrived.add(event["id"])
    assert begun == arrived and not any(open_slices.values())


def test_no_other_file_is_written(runs):
    assert sorted(p.name for p in runs["all"].folder.iterdir()) == ["stderr", "stdout", "trace.json.gz"]


def test_it_goes_with_other_profiles(runs):
    trace = trace_of(runs["both"])
    run = runs["both"]
    assert "burn_here" in str(run.profile().document)
    assert (run.folder / "block.prof").exists()
    log = Log(run, trace)
    assert trace.of(log.waits("mutex")[0]["tid"], "mutex wait")


def test_it_has_samples_whatever_the_cpu_profile_waits_for(runs):
    trace = trace_of(runs["cpu later"])
    log = Log(runs["cpu later"], trace)
    assert not (runs["cpu later"].folder / "cpu.prof").exists()
    assert trace.stacks(log.of("burn")[0]["tid"])
    assert trace.of(log.waits("mutex")[0]["tid"], "mutex wait")


def test_labels_are_slices(runs):
    trace = trace_of(runs["labels"])
    names = set()
    for tid in [tid for tid in trace.tracks if tid < STACKS_TRACK]:
        labels = [slice_ for slice_ in trace.of(tid) if "=" in slice_.name]
        names |= {slice_.name for slice_ in labels}
        assert all(one.end <= other.begin for one, other in zip(labels, labels[1:]))
    assert names == {"route=/data", "route=/login", "route=/"}


def test_what_was_written_over_is_counted(runs):
    trace = trace_of(runs["waits"])
    (note,) = trace.notes
    waits = trace.of(note["tid"], "condition wait")
    lost = int(note["args"]["events"])
    (counted,) = [int(n) for text, n in trace.about["losses"].items() if "PROF_TRACE_BUFFER" in text]
    # Waits of the program are 3000; ticks may be among the lost.
    assert 100 < len(waits) <= 16 * 1024 / 48
    # Now and then the time is over before the wait begins, and that is too short.
    assert lost == counted and 0.7 * 3000 <= lost + len(waits) <= 3000 + 200
    assert all(note["ts"] <= wait.end for wait in waits)


def test_a_wait_that_goes_on_is_there(runs):
    for name in ("ends_waiting", "waits"):
        trace = trace_of(runs[name])
        (tid,) = [tid for tid, thread in trace.names.items() if thread == "stuck"]
        (wait,) = trace.of(tid, "mutex wait")
        assert wait.arguments["detail"] == "goes on"
        assert wait.end == trace.of(tid)[0].end


def test_more_threads_than_there_is_room_for(runs):
    trace = trace_of(runs["threads"])
    # 64 MB of 512 KB; the main thread's is one of them.
    ended = [tid for tid in trace.names if tid < STACKS_TRACK and tid != int(trace.about["pid"])]
    assert 120 <= len(ended) <= 127
    # Now and then the time is over before the wait begins.
    assert sum(bool(trace.of(tid, "condition wait")) for tid in ended) > 0.7 * len(ended)
    (dropped,) = [int(n) for text, n in trace.about["losses"].items() if "ended threads" in text]
    assert dropped == 400 - len(ended)


def test_a_child_has_a_trace_of_its_own(runs):
    run = runs["forks"]
    parent = trace_of(run)
    child_pid = json.loads(run.stdout.decode().splitlines()[-1])["child"]
    child = Trace(run.folder / f"trace.{child_pid}.json.gz")
    assert int(child.about["pid"]) == child_pid != int(parent.about["pid"])
    waits = lambda trace: {s.name for track in trace.tracks.values() for s in track if s.name.endswith(" wait")}
    assert "mutex wait" in waits(parent) and "condition wait" not in waits(parent)
    assert "condition wait" in waits(child) and "mutex wait" not in waits(child)


def test_a_signal_writes_one_now(runs):
    first, last = trace_of(runs["signal"], "trace.1.json.gz"), trace_of(runs["signal"])
    end = lambda trace: max(s.end for track in trace.tracks.values() for s in track)
    assert end(first) < end(last)
    (tid,) = [tid for tid, name in first.names.items() if name == "stuck"]
    assert first.of(tid, "mutex wait")[0].arguments["detail"] == "goes on"
    assert set(first.names.values()) >= {"timeline", "stuck"}


def test_a_bad_buffer_is_said_and_costs_the_trace(runs):
    run = runs["bad"]
    run.check_unharmed()
    (line,) = run.log
    assert "PROF_TRACE_BUFFER" in line and "4 to 512" in line and "no trace" in line
    assert not list(run.folder.glob("*.json*"))


def test_it_is_not_among_a_folder_s_profiles(runs):
    run = runs["folder"]
    run.check_unharmed()
    assert not [name for name in run.folder.rglob("*") if "trace" in name.name]


def test_speedscope_shows_threads_and_waits(runs, known, tmp_path_factory):
    if reason := speedscope.why_not():
        pytest.skip(reason)
    trace, log = known
    with speedscope.Speedscope(runs["all"].folder / "trace.json.gz") as page:
        shown = page.profiles(len(trace.names))
    for tid, name in trace.names.items():
        assert any(f", {name} (tid {tid})" in title for title in shown), sorted(shown)
    frames_of = lambda tid: next(frames for title, frames in shown.items() if f"(tid {tid})" in title)
    for kind in KINDS:
        line = log.waits(kind)[0]
        frames = frames_of(line["tid"])
        assert any(frame.startswith(f"{kind} wait") for frame in frames), frames
        assert f"[{kind} wait]" in frames_of(line["tid"] + STACKS_TRACK)
    assert "burn_here" in frames_of(log.of("burn")[0]["tid"] + STACKS_TRACK)


def test_firefox_profiler_shows_threads_and_waits(runs, known):
    if reason := firefox_profiler.why_not():
        pytest.skip(reason)
    trace, log = known
    with firefox_profiler.FirefoxProfiler(runs["all"].folder / "trace.json.gz") as shown:
        threads = shown.threads()
        assert {tid: name for tid, (name, _) in threads.items()} == trace.names
        for kind in ("mutex", "condition"):
            line = log.waits(kind)[0]
            (label,) = shown.markers(threads[line["tid"]][1])[f"{kind} wait"]
            assert label == trace.of(line["tid"], f"{kind} wait")[0].arguments["detail"]
        assert "burn_here" in shown.markers(threads[log.of("burn")[0]["tid"] + STACKS_TRACK][1])
