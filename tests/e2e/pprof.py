"""Profiles as the real clients see them: google/pprof's Go package (validity/) and `go tool pprof`."""

import functools
import json
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PROF_TEST_BUILD", ROOT / "build"))
# What PROF_DIR writes, as the files' names end.
FOLDER_KINDS = [f"{kind}.pb.gz" for kind in ("allocs", "block", "cpu", "heap", "mutex", "threadcreate")]
TICK_KINDS = ["samples/count", "cpu/nanoseconds"]


class Stack:
    """Leaf first: `functions` (inlined ones too) and `files`, the mapping each location is of."""

    def __init__(self, document, raw):
        locations = [document["locations"][index] for index in raw["locations"]]
        self.functions = [name for location in locations for name in location["functions"] or ["?"]]
        self.files = [document["mappings"][location["mapping"]]["file"] for location in locations]
        self.leaf_file = self.files[0]

    @property
    def leaf(self):
        return self.functions[0]

    @property
    def truncated(self):
        return self.functions[-1].startswith("[truncated")

    def has(self, *names):
        """Whether these functions are in the stack in this order, leaf first, others between them or not."""
        rest = iter(self.functions)
        return all(name in rest for name in names)


class Sample(Stack):
    """A stack of a CPU profile."""

    def __init__(self, document, raw):
        super().__init__(document, raw)
        self.count, self.ns = raw["values"]
        self.thread = (raw["labels"] or {}).get("thread", [None])[0]


class Profile:
    def __init__(self, document):
        self.document = document
        self.comments = document["comments"] or []
        self.period = document["period"]
        self.samples = [Sample(document, raw) for raw in document["samples"] or []]
        self.total = sum(sample.count for sample in self.samples)
        self.ns = sum(sample.ns for sample in self.samples)

    def count(self, *names, thread=None):
        """Samples of the stacks that have these functions, leaf first."""
        return sum(s.count for s in self.samples if s.has(*names) and (thread is None or s.thread == thread))

    def share(self, *names):
        return self.count(*names) / self.total if self.total else 0.0

    @property
    def functions(self):
        return {name for sample in self.samples for name in sample.functions}

    @property
    def threads(self):
        return {sample.thread for sample in self.samples}

    def comment(self, part):
        return [line for line in self.comments if part in line]

    def describe(self):
        """For a failed assertion: the heaviest stacks."""
        heaviest = sorted(self.samples, key=lambda s: -s.count)[:12]
        lines = [f"{s.count} {s.thread}: {' < '.join(s.functions[:14])}" for s in heaviest]
        return "\n".join([f"{self.total} samples"] + lines + self.comments)


@functools.lru_cache(maxsize=None)
def _validity_tool():
    tool = BUILD / "validity"
    source = pathlib.Path(__file__).parent / "validity" / "validity.go"
    if not tool.exists() or tool.stat().st_mtime < source.stat().st_mtime:
        BUILD.mkdir(exist_ok=True)
        environment = dict(os.environ, GO111MODULE="off", GOPATH="/usr/share/gocode", GOFLAGS="",
                           GOCACHE=str(BUILD / "validity.cache"))
        subprocess.run(["go", "build", "-o", tool, source], env=environment, check=True)
    return tool


def document(path):
    """What validity/ prints of a file, once it has found it in order."""
    read, faults = documents([path])
    assert not faults, faults
    return read[path]


def documents(paths):
    """({path: what validity/ prints of it}, [fault])"""
    answer = subprocess.run([_validity_tool(), *paths], capture_output=True, text=True)
    read = [json.loads(line) for line in answer.stdout.splitlines()]
    faults = answer.stderr.splitlines()
    assert len(read) == len(paths) and bool(faults) == (answer.returncode != 0), answer
    return {path: document for path, document in zip(paths, read) if document is not None}, faults


def check_stack(stack):
    """What holds for every stack of every kind of profile."""
    assert not any("libprof.so" in file for file in stack.files), f"libprof's own frames: {stack.functions}"
    assert not any(name.startswith("prof::") for name in stack.functions), stack.functions
    assert "[truncated" not in "".join(name[:10] for name in stack.functions[:-1])


def read(path):
    """The CPU profile of a file, after every check that holds for all of ours."""
    profile = Profile(document(path))
    assert profile.document["sample_types"] == TICK_KINDS
    assert profile.document["period_type"] == "cpu/nanoseconds" and profile.document["default_type"] == "cpu"
    assert all(s.ns == s.count * profile.period and s.count > 0 for s in profile.samples)
    assert profile.comment("cpu clock:"), profile.comments
    for sample in profile.samples:
        check_stack(sample)
        assert sample.thread, "no thread label"
    return profile


def client(path, *options):
    """What `go tool pprof` prints. It must need nothing but the file, and complain of nothing."""
    command = ["go", "tool", "pprof", "-symbolize=none", *options, str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, PPROF_TMPDIR="/nonexistent"))
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def top(path, *options):
    """{function: (flat ns, cumulative ns)} by `go tool pprof -top`, and the total."""
    text = client(path, "-top", "-unit=ns", "-nodecount=100000", "-nodefraction=0", *options)
    total = int(re.search(r"of (\d+)(?:ns)? total", text).group(1))
    rows = {}
    for line in text.split("cum%\n", 1)[1].splitlines():
        flat, _, _, cumulative, _, name = line.split(None, 5)
        rows[name.removesuffix(" (inline)")] = (int(flat.removesuffix("ns")), int(cumulative.removesuffix("ns")))
    return rows, total


def peek(path, function):
    """(callers, callees) of a function by `go tool pprof -peek`: {name: ns}."""
    text = client(path, "-unit=ns", f"-peek=^{re.escape(function)}$")
    callers, callees, found = {}, {}, False
    for line in text.split("cum%", 1)[1].splitlines():
        parts = line.split("|")
        if len(parts) != 2:
            continue
        cells, name = parts[0].split(), parts[1].strip()
        if len(cells) >= 4:
            found = True
        elif cells:
            (callees if found else callers)[name] = int(cells[0].removesuffix("ns"))
    return callers, callees


def raw_sum(path):
    """The sum of the counts by `go tool pprof -raw`."""
    samples = client(path, "-raw").split("\nLocations", 1)[0].split("samples/count", 1)[1]
    return sum(int(match) for match in re.findall(r"^ +(\d+) +\d+:", samples, re.MULTILINE))


def rewritten(path, destination):
    """The profile as `go tool pprof -proto` writes it again."""
    client(path, "-proto", f"-output={destination}")
    return read(destination)
