"""Profiles over HTTP: by the real client, and by what the program that is served does."""

import concurrent.futures
import json
import os
import signal
import time

import pytest

import heap
import pprof
import served
import test_trace
from servers import wait_for


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with served.host(tmp_path_factory.mktemp("served"), "balt") as running:
        yield running


def test_cpu(host, tmp_path):
    profile = host.client.profile(tmp_path, "profile?seconds=2", pprof.read)
    assert profile.total >= 20, profile.describe()
    assert profile.functions >= {"alpha", "beta"} and profile.threads <= {"burner", "served", "allocator", "holder",
                                                                         "waiter", "creator"}
    # 75 %; of 20 samples or more, by 6 standard errors.
    share = profile.count("alpha", thread="burner") / profile.count(thread="burner")
    assert abs(share - .75) < 6 * (.75 * .25 / profile.total) ** .5, profile.describe()
    assert 2e9 <= profile.document["duration_nanos"] < 10e9


def test_overlapping_clients_each_have_their_own_time(host, tmp_path):
    def take(name, seconds, after):
        time.sleep(after)
        folder = tmp_path / name
        folder.mkdir()
        before = host_cpu(host)
        profile = host.client.profile(folder, f"profile?seconds={seconds}", pprof.read)
        return profile, host_cpu(host) - before

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(take, name, seconds, after) for name, seconds, after in
                [("long", 4, 0), ("late", 2, 1), ("inner", 1, 1.5)]]
        for job in jobs:
            profile, used = job.result()
            # What a client is given is what the program used in its time, whoever else asked meanwhile. 100 samples a second.
            wanted = used * 100
            assert abs(profile.total - wanted) <= 10 + .15 * wanted, (used, profile.describe())


def host_cpu(host):
    """CPU seconds that a process has used."""
    fields = open(f"/proc/{host.pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_cpu_goes_off_when_nobody_asks(host, tmp_path):
    host.client.get("profile?seconds=1")
    assert not timers(host.pid)


def timers(pid):
    return [line for line in open(f"/proc/{pid}/timers").read().splitlines() if line.startswith("ID:")]


def test_client_that_goes_away_ends_its_profile(host):
    connection = host.client.connection()
    connection.request("GET", "/debug/pprof/profile?seconds=1000")
    assert served.wait_for(lambda: timers(host.pid))
    connection.close()
    assert served.wait_for(lambda: not timers(host.pid))


def test_host_that_is_stopped_switches_off_when_it_goes_on(host):
    connection = host.client.connection()
    connection.request("GET", "/debug/pprof/profile?seconds=1000")
    assert served.wait_for(lambda: timers(host.pid))
    host.process.send_signal(signal.SIGSTOP)
    try:
        refused = host.client.get("trace?seconds=1")
        assert refused.status == 500 and "does not answer" in refused.text, refused.text
        connection.close()
        time.sleep(0.5)
    finally:
        host.process.send_signal(signal.SIGCONT)
    # The trace's question comes to it, too, but nobody is there for it any more.
    assert served.wait_for(lambda: not timers(host.pid))


@pytest.mark.parametrize("path", ["heap", "allocs"])
def test_heap(host, tmp_path, path):
    default = "inuse_space" if path == "heap" else "alloc_space"
    profile = host.client.profile(tmp_path, path, lambda file: heap.read(file, default))
    assert profile.comment("when it was first asked for"), profile.comments
    later = host.client.profile(tmp_path, path, lambda file: heap.read(file, default))
    assert later.sums[0] >= profile.sums[0]


def test_events(host, tmp_path):
    for kind in ("block", "mutex"):
        host.client.get(kind)
    time.sleep(1)
    block = pprof.document(keep(host, tmp_path, "block"))
    mutex = pprof.document(keep(host, tmp_path, "mutex"))
    threads = pprof.document(keep(host, tmp_path, "threadcreate"))
    assert {"wait_for_lock", "creates_threads"} <= functions(block), functions(block)
    assert "hold_lock" in functions(mutex), functions(mutex)
    # Those made before the first request too.
    assert {"creates_threads", "main"} <= functions(threads), functions(threads)


def keep(host, folder, path):
    answer = host.client.get(path)
    assert answer.status == 200, answer.text
    file = folder / f"{path.partition('?')[0]}.pb.gz"
    file.write_bytes(answer.body)
    return file


def functions(document):
    return {name for location in document["locations"] for name in location["functions"] or []}


@pytest.mark.parametrize("path", ["goroutine", "stacks"])
def test_threads(host, tmp_path, path):
    document = pprof.document(keep(host, tmp_path, path))
    assert document["sample_types"] == ["goroutine/count"]
    names = {sample["labels"]["thread"][0] for sample in document["samples"]}
    assert {"burner", "allocator", "holder", "waiter"} <= names
    text = host.client.get(f"{path}?debug=2").text
    assert f'thread {host.pid} "served" [read' in text, text
    counts = host.client.get(f"{path}?debug=1").text
    assert counts.startswith("goroutine profile: total "), counts


@pytest.mark.parametrize("path", ["wall?seconds=2", "/debug/fgprof?seconds=2"])
def test_wall(host, tmp_path, path):
    answer = host.client.get(path)
    assert answer.status == 200, answer.text
    (tmp_path / "wall").write_bytes(answer.body)
    document = pprof.document(tmp_path / "wall")
    assert document["sample_types"] == ["samples/count", "wall/nanoseconds"]
    names = {sample["labels"]["thread"][0] for sample in document["samples"]}
    assert {"burner", "waiter", "holder"} <= names
    assert 1.9e9 < document["duration_nanos"] < 10e9


def test_overlapping_wall_clients_each_have_their_own_time(tmp_path):
    with served.host(tmp_path, "bal") as running:
        before = len(os.listdir(f"/proc/{running.pid}/task"))

        def take(path, after):
            time.sleep(after)
            answer = running.client.get(path)
            assert answer.status == 200, answer.text
            file = tmp_path / str(after)
            file.write_bytes(answer.body)
            return pprof.document(file)

        for round_ in range(3):
            asked = [("wall?seconds=3", 0), ("/debug/fgprof?seconds=1", .5), ("wall?seconds=1", 1)]
            with concurrent.futures.ThreadPoolExecutor(3) as pool:
                for document in pool.map(take, *zip(*asked[round_:])):
                    # Each of 5 threads all the time; the looks may be late by 0.2 s on a machine with much to do.
                    sums = sum(sample["values"][1] for sample in document["samples"])
                    wanted = 5 * document["duration_nanos"]
                    assert abs(sums - wanted) < .1 * wanted + 1e9, (sums, wanted)
            assert wait_for(lambda: len(os.listdir(f"/proc/{running.pid}/task")) == before)
        assert len(running.log) == 1, running.log


def take_trace(host, folder, seconds):
    answer = host.client.get(f"trace?seconds={seconds}")
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="trace.json.gz"'
    folder.mkdir(exist_ok=True)
    (folder / "trace.json.gz").write_bytes(answer.body)
    return test_trace.Trace(folder / "trace.json.gz")


def check_trace(trace, seconds):
    tids = {name: tid for tid, name in trace.names.items()}
    (life,) = trace.of(tids["waiter"], "thread waiter")
    assert seconds * 1e6 <= life.end - life.begin
    # At the trace's very beginning what ended one may not have been recorded yet.
    waits = [wait for wait in trace.of(tids["waiter"], "mutex wait") if any(inner.name == "wake-up" for inner in wait.inner)]
    assert len(waits) >= .9 * len(trace.of(tids["waiter"], "mutex wait")) > 0
    assert all(f"holder (tid {tids['holder']}) in " in wait.arguments["detail"] for wait in waits)
    names = {slice_.name for slice_ in trace.stacks(tids["burner"])}
    assert names & {"alpha", "beta"}, names


def test_trace_of_a_time(host, tmp_path):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [(seconds, pool.submit(take_trace, host, tmp_path / str(seconds), seconds)) for seconds in (1.5, .7)]
        for seconds, job in jobs:
            check_trace(job.result(), seconds)
    # It has gone off, and comes again.
    assert not timers(host.pid)
    check_trace(take_trace(host, tmp_path / "again", ""), 1)


def test_deltas(host, tmp_path):
    kinds = ["heap", "allocs", "block", "mutex", "goroutine", "threadcreate"]
    with concurrent.futures.ThreadPoolExecutor(len(kinds)) as pool:
        for kind, answer in zip(kinds, pool.map(lambda kind: host.client.get(f"{kind}?seconds=1"), kinds)):
            assert answer.status == 200, answer.text
            assert answer.headers["Content-Disposition"] == f'attachment; filename="{kind}-delta"'
            file = tmp_path / f"{kind}-delta"
            file.write_bytes(answer.body)
            document = pprof.document(file)
            assert .9e9 < document["duration_nanos"] < 10e9
            if kind in ("block", "threadcreate"):
                assert document["samples"]


def test_go_tool_pprof(host, tmp_path):
    address = f"{host.address(host.pid)}/debug/pprof"
    for words in (["-seconds=1", f"{address}/profile"], [f"{address}/heap"], ["-seconds=1", f"{address}/allocs"],
                  [f"{address}/block"], [f"{address}/mutex"], [f"{address}/goroutine"], [f"{address}/threadcreate"]):
        text = served.go_pprof(tmp_path, "-top", *words)
        assert "File: served" in text, text
    text = served.go_pprof(tmp_path, "-top", "-seconds=1", host.address(host.pid))
    assert "Type: cpu" in text and "alpha" in text, text


def test_profile_files_are_right_beside_clients(tmp_path):
    with served.host(tmp_path, "b", {"PROF_CPU": "{folder}/cpu.prof"}) as running:
        running.client.get("profile?seconds=1")
        time.sleep(.5)
        running.client.get("profile?seconds=1")
        running.process.stdin.write("exit\n")
        running.process.stdin.flush()
        running.process.wait(20)
        used = json.loads(running.process.stdout.readline())["total"]
    profile = pprof.read(tmp_path / "cpu.prof")
    assert abs(profile.ns - used) <= .1 * used + 5e7, (used, profile.describe())
