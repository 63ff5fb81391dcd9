"""Two scrapers at once, as Parca and Alloy do it: what only grows never goes back, and every answer is one that they take."""

import concurrent.futures
import json


import pprof
import served

ROUNDS = 25
PARCA = ["allocs", "block", "goroutine", "mutex"]
ALLOY = ["allocs", "block", "goroutine", "mutex"]


def totals(document, values):
    """{(stack, labels): values that only grow}. Stacks that differ in addresses alone are one."""
    sums = {}
    for sample in document["samples"] or []:
        stack = tuple(name for index in sample["locations"] for name in document["locations"][index]["functions"] or ["?"])
        key = stack, str(sample["labels"]), str(sample.get("num_labels"))
        before = sums.get(key, (0,) * values)
        sums[key] = tuple(a + b for a, b in zip(before, sample["values"][:values]))
    return sums


def scrape(host, folder, kinds):
    """All rounds, one after the other. 4 profiles each."""
    last = {}
    folder.mkdir()
    for number in range(ROUNDS):
        for kind in kinds:
            answer = host.client.get(kind)
            assert answer.status == 200, answer.text
            assert answer.headers["Content-Type"] == "application/octet-stream"
            file = folder / f"{kind}.{number}"
            file.write_bytes(answer.body)
            document = pprof.document(file)
            if kind == "goroutine":
                assert document["samples"]
                continue
            now = totals(document, 2)
            for key, before in last.get(kind, {}).items():
                assert key in now and all(a >= b for a, b in zip(now[key], before)), (kind, number, key, before, now.get(key))
            last[kind] = now
    return last


def scrape_cpu(host, folder, seconds):
    folder.mkdir()
    profiles = []
    for number in range(4):
        answer = host.client.get(f"profile?seconds={seconds}")
        assert answer.status == 200 and answer.headers["Content-Disposition"] == 'attachment; filename="profile"'
        (folder / str(number)).write_bytes(answer.body)
        profiles.append(pprof.read(folder / str(number)))
    return profiles


def test_two_scrapers_under_load(tmp_path):
    with served.host(tmp_path, "balt") as host, concurrent.futures.ThreadPoolExecutor(4) as pool:
        cpu = [pool.submit(scrape_cpu, host, tmp_path / f"cpu{number}", number) for number in (1, 2)]
        others = [pool.submit(scrape, host, tmp_path / name, kinds) for name, kinds in (("parca", PARCA), ("alloy", ALLOY))]
        for job in others:
            last = job.result()
            assert any("wait_for_lock" in stack for stack, _, _ in last["block"])
            assert any("hold_lock" in stack for stack, _, _ in last["mutex"])
        for seconds, job in enumerate(cpu, 1):
            for profile in job.result():
                assert profile.count("alpha") > 0
                assert profile.document["duration_nanos"] >= seconds * 1e9
        losses = json.loads(host.client.get("status?format=json").text)["losses"]
        assert not [loss for loss in losses if loss["count"]]
        assert not host.ask("state")["interrupted"]
