"""Scrapers at once, as Parca, Alloy and Prometheus do it, with their defaults but for the intervals: a loop for each path, its own connection
that is kept, Go's headers. Every answer is one that they take, and what only grows never goes back.
"""

import concurrent.futures
import json
import re
import time

import pprof
import served

# Path, how often, how long one is to take. 10 and 15 s are 1 and 1.5 here, of which Alloy leaves 1 s free for the answer, and the
# cumulative ones come more often.
PARCA = [("/debug/pprof/allocs", 22, .4), ("/debug/pprof/block", 22, .4), ("/debug/pprof/goroutine", 22, .4),
         ("/debug/pprof/mutex", 22, .4), ("/debug/pprof/profile?seconds=1", 8, 1)]
ALLOY = [("/debug/pprof/allocs", 20, .45), ("/debug/pprof/block", 20, .45), ("/debug/pprof/goroutine", 20, .45),
         ("/debug/pprof/mutex", 20, .45), ("/debug/pprof/profile?seconds=1", 6, 1.5), ("/debug/fgprof?seconds=1", 6, 1.5)]
# Neither does by default, others do.
OTHERS = [("/debug/pprof/heap", 12, .7), ("/debug/pprof/threadcreate", 12, .7), ("/debug/pprof/fgprof?seconds=2", 3, 2.5)]
AGENTS = {"conprof/0.22": PARCA, "Alloy/v1.5": ALLOY, "curl": OTHERS}
GROW = {"allocs": 2, "heap": 2, "block": 2, "mutex": 2, "threadcreate": 1}


def totals(document, values):
    """{(stack, labels): values that only grow}. Stacks that differ in addresses alone are one."""
    sums = {}
    for sample in document["samples"] or []:
        stack = tuple(name for index in sample["locations"] for name in document["locations"][index]["functions"] or ["?"])
        key = stack, str(sample["labels"]), str(sample.get("num_labels"))
        before = sums.get(key, (0,) * values)
        sums[key] = tuple(a + b for a, b in zip(before, sample["values"][:values]))
    return sums


def rounds(host, path, agent, times, interval):
    """The bodies of one loop's answers, at the ticks of its clock."""
    connection = host.client.connection()
    start = time.monotonic()
    for number in range(times):
        time.sleep(max(0, start + number * interval - time.monotonic()))
        connection.request("GET", path, headers={"User-Agent": agent, "Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200 and body, (path, answer.status, body)
        assert not answer.getheader("Content-Encoding"), "a profile is compressed in itself"
        yield answer, body
    connection.close()


def scrape(host, folder, agent, path, times, interval):
    """All that one loop gets: documents, in order."""
    kind = re.search(r"(\w+)(\?|$)", path).group(1)
    documents, last, file = [], {}, folder / f"{agent.partition('/')[0]}.{kind}"
    for answer, body in rounds(host, path, agent, times, interval):
        assert answer.getheader("Content-Type") == "application/octet-stream"
        assert answer.getheader("Content-Disposition") == f'attachment; filename="{kind}"'
        file.write_bytes(body)
        document = pprof.document(file)
        documents.append(document)
        if kind not in GROW:
            assert document["samples"], (agent, path)
            continue
        now = totals(document, GROW[kind])
        for key, before in last.items():
            assert key in now and all(a >= b for a, b in zip(now[key], before)), (agent, kind, key, before, now.get(key))
        last = now
    return documents


def counters(text):
    """{name and labels: value} of those that the page calls counters."""
    names = set(re.findall(r"^# TYPE (\w+) counter$", text, re.MULTILINE))
    assert names
    values = {}
    for name, labels, value in re.findall(r"^(\w+)(\{.*\})? ([0-9.]+)$", text, re.MULTILINE):
        if name in names:
            values[name + labels] = float(value)
    return values


def scrape_metrics(host):
    last = {}
    for answer, body in rounds(host, "/metrics", "Prometheus/2.42.0", 40, .2):
        assert answer.getheader("Content-Type").startswith("text/plain; version=0.0.4")
        now = counters(body.decode())
        assert set(now) >= set(last) and all(now[name] >= last[name] for name in last), {name: (last[name], now[name]) for name in last}
        last = now
    return last


def functions(documents):
    return {name for location in documents[-1]["locations"] for name in location["functions"] or []}


def test_scrapers_under_load(tmp_path):
    loops = [(agent, *loop) for agent, loops in AGENTS.items() for loop in loops]
    assert sum(times for _, _, times, _ in loops) >= 200
    with served.host(tmp_path, "balt") as host, concurrent.futures.ThreadPoolExecutor(len(loops) + 1) as pool:
        metrics = pool.submit(scrape_metrics, host)
        jobs = {(agent, path): pool.submit(scrape, host, tmp_path, agent, path, times, interval) for agent, path, times, interval in loops}
        taken = {loop: job.result() for loop, job in jobs.items()}
        for (agent, path), documents in taken.items():
            found = functions(documents)
            wanted = {"block": "wait_for_lock", "mutex": "hold_lock", "goroutine": "burn", "threadcreate": "creates_threads", "profile": "alpha"}
            for kind, name in wanted.items():
                assert not path.startswith(f"/debug/pprof/{kind}") or name in found, (agent, path, found)
            if "seconds=" in path:
                seconds = int(path.rpartition("=")[2])
                assert all(document["duration_nanos"] >= seconds * 1e9 for document in documents)
        # None was given another's time: each second has at most that of one processor for the one thread that computes.
        for agent in ("conprof/0.22", "Alloy/v1.5"):
            for document in taken[agent, "/debug/pprof/profile?seconds=1"]:
                sums = sum(sample["values"][1] for sample in document["samples"] if "burner" in str(sample["labels"]))
                assert 0 < sums <= 1.1 * document["duration_nanos"] + 5e7, (agent, sums, document["duration_nanos"])
        last = metrics.result()
        assert last['libprof_samples_total{kind="block"}'] > 0 and last["libprof_program_cpu_seconds_total"] > 0
        losses = json.loads(host.client.get("status?format=json").text)["losses"]
        assert not [loss for loss in losses if loss["count"]], losses
        assert not host.ask("state")["interrupted"]
        assert len(host.log) == 1, host.log
