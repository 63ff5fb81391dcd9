"""Labels: what a thread sets is on its samples, and on no others.

Bounds of the shares. A tick comes every 10 ms (1 ms at 1000 Hz) of a thread's CPU time, and is seen at the kernel's next tick, up to 4 ms
(8 on a busy machine) later. Slices are of 1 to 5 ms, so that a tick falls into them as by chance: of n ticks a share p has a standard
deviation of sqrt(p (1 - p) / n). Eight threads of 0.5 s: at 1000 Hz there are 1000 signals of the kernel's own tick, each with about four
ticks, so n = 1000 and 1.6 points; 8 points are five of it: 6e-7.
"""

import signal
import subprocess
import time

import pprof

ROUTES = ("/data", "/login", "/")
ALL_KINDS = {f"PROF_{kind.upper()}": f"{{folder}}/{kind}.prof" for kind in ("heap", "block", "mutex", "wall", "stacks")}


def look(process, folder):
    """A snapshot while both threads sleep."""
    time.sleep(0.6)
    process.send_signal(signal.SIGUSR2)
    time.sleep(0.5)


RUNS = {
    "truth": (["labels", "truth", 8, .5], {"PROF_CPU_HZ": "1000", "PROF_LABELS": "env=test,route=none"}, {"cores": 2}),
    "unlabelled": (["split", 1, .3], {"PROF_LABELS": "env=test"}),
    "kinds": (["labels", "kinds", 1.5], ALL_KINDS | {"PROF_CPU": None, "PROF_HEAP_RATE": "1"}, {"during": look}),
    "inherit": (["labels", "inherit", .2],),
    "fork": (["labels", "fork", .2],),
    "exhaust": (["labels", "exhaust", .2],),
    "no library": (["labels", "fork", .05], {}, {"preload": False}),
    "nothing recorded": (["labels", "exhaust", .05], {"PROF_CPU": None}),
    "wrong": (["split", 1, .1], {"PROF_LABELS": "thread=x"}),
    "wrong too": (["split", 1, .1], {"PROF_LABELS": "env=test,other"}),
}


def labels_of(raw):
    return {key: values[0] for key, values in (raw["labels"] or {}).items()}


def by_label(path, key, value=0):
    """{label: sum of the values}; None: without it."""
    sums = {}
    for raw in pprof.document(path)["samples"] or []:
        label = labels_of(raw).get(key)
        sums[label] = sums.get(label, 0) + raw["values"][value]
    return sums


def shares(sums):
    return {label: value / sum(sums.values()) for label, value in sums.items()}


def test_the_routes_share_of_the_time_is_that_of_their_labels(runs):
    run = runs["truth"]
    truth = shares(run.result)
    assert run.profile().total > 2000
    found = by_label(run.folder / "cpu.prof", "route")
    # Threads begin and end outside of any scope: there the process's own label holds, for a tick or two of each.
    assert found.pop("none", 0) <= 0.02 * sum(found.values()), found
    for route in ROUTES:
        assert abs(shares(found)[route] - truth[route]) < 0.08, (route, found, truth)
    assert set(by_label(run.folder / "cpu.prof", "env")) == {"test"}


def test_go_tool_pprof_focuses_on_a_label(runs):
    run = runs["truth"]
    run.check_unharmed()
    found = by_label(run.folder / "cpu.prof", "route", 1)
    rows, _ = pprof.top(run.folder / "cpu.prof", "-tagfocus", "route=^/login$")
    assert rows["burn"][1] <= found["/login"] and rows["burn"][1] >= 0.95 * found["/login"], rows
    assert "/login" in pprof.client(run.folder / "cpu.prof", "-tags")


def test_prof_shows_labels(runs):
    run = runs["truth"]
    run.check_unharmed()
    text = subprocess.run([pprof.BUILD / "prof", "raw", run.folder / "cpu.prof"], capture_output=True, text=True).stdout
    assert "env:[test] route:[/data] thread:[labels]" in text


def test_the_processs_labels_are_on_samples_of_programs_that_know_of_none(runs):
    run = runs["unlabelled"]
    run.check_unharmed()
    assert set(by_label(run.folder / "cpu.prof", "env")) == {"test"}


def test_heap_samples_have_the_labels_of_the_allocation(runs):
    run = runs["kinds"]
    run.check_unharmed()
    allocated = by_label(run.folder / "heap.prof", "route", 1)
    live = by_label(run.folder / "heap.prof", "route", 3)
    assert allocated["/big"] == 300000 and allocated["/small"] == 7000
    assert live["/big"] == 300000 and live["/small"] == 0


def test_a_wait_has_the_waiters_labels_and_its_end_the_unlockers(runs):
    run = runs["kinds"]
    run.check_unharmed()
    block = {raw["values"][1]: labels_of(raw) for raw in pprof.document(run.folder / "block.prof")["samples"]}
    assert {labels.get("route") for labels in block.values() if labels["state"] == "mutex"} == {"/waiter"}
    assert {labels.get("route") for labels in block.values() if labels["state"] == "join"} == {None}
    mutex = by_label(run.folder / "mutex.prof", "route", 1)
    assert mutex["/holder"] > 0.9 * sum(mutex.values())


def test_threads_that_sleep_show_their_labels(runs):
    run = runs["kinds"]
    run.check_unharmed()
    routes = sorted(labels_of(raw).get("route", "") for raw in pprof.document(run.folder / "stacks.1.prof")["samples"])
    assert routes == ["", "/holder", "/waiter"], run.log
    wall = by_label(run.folder / "wall.prof", "route")
    assert {"/holder", "/waiter"} <= set(wall), wall


def test_labels_are_inherited_where_asked(runs):
    run = runs["inherit"]
    run.check_unharmed()
    routes = shares(by_label(run.folder / "cpu.prof", "route"))
    # Four burners of the same length, and what little the main thread does.
    assert set(routes) <= {None, "/parent", "/changed"}
    assert .3 < routes[None] < .7 and .1 < routes["/parent"] < .4 and .1 < routes["/changed"] < .4, routes


def test_labels_go_on_in_a_child_of_fork(runs):
    run = runs["fork"]
    assert run.result["status"] == 0
    child = f"cpu.{run.result['child']}.prof"
    routes = shares(by_label(run.folder / child, "route"))
    assert set(routes) == {"/inner", "/outer", "/child"}, routes
    assert all(share > .15 for share in routes.values()), routes
    assert set(by_label(run.folder / child, "user")) == {"7"}
    assert set(by_label(run.folder / "cpu.prof", "route")) <= {"/inner", None}


def test_labels_without_room_are_missing_and_counted_but_never_wrong(runs):
    run = runs["exhaust"]
    assert run.result["error"] == -5 and run.result["fitted"] > 5000
    samples = pprof.document(run.folder / "cpu.prof")
    burning = [labels_of(raw) for raw in samples["samples"]
               if "burn" in pprof.Stack(samples, raw).functions]
    assert burning and all("request" not in labels and labels["user"] == "7" for labels in burning)
    assert any("labels not set for want of room (samples may lack them): 1" in line for line in samples["comments"])


def test_without_the_library_nothing_happens(runs):
    assert runs["no library"].result["status"] == 0
    run = runs["nothing recorded"]
    assert run.result["error"] in (-1, -2) or run.result["fitted"] > 5000
    assert not run.files()


def test_labels_that_cannot_be_used_are_said(runs):
    for name, value in (("wrong", "thread=x"), ("wrong too", "env=test,other")):
        run = runs[name]
        run.check_unharmed()
        assert len(run.log) == 1 and f"PROF_LABELS: '{value}' cannot be used" in run.log[0], run.log
        assert "env" not in labels_of(pprof.document(run.folder / "cpu.prof")["samples"][0])
