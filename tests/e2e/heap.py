"""Heap profiles as the real clients see them, and what a victim's own books say that they hold."""

import math
import re

import pprof

HEAP_KINDS = ["alloc_objects/count", "alloc_space/bytes", "inuse_objects/count", "inuse_space/bytes"]
VALUES = ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"]
DEFAULT_RATE = 524288
NOTHING = (0, 0, 0, 0)


def settings(rate=None, **others):
    """Of a run that has a heap profile and nothing else."""
    wanted = {"PROF_CPU": None, "PROF_HEAP": "{folder}/heap.prof"}
    if rate is not None:
        wanted["PROF_HEAP_RATE"] = str(rate)
    return wanted | others


class Sample(pprof.Stack):
    """The blocks of one size that one stack allocated: `values` in the order of VALUES."""

    def __init__(self, document, raw):
        super().__init__(document, raw)
        self.values = tuple(raw["values"])
        self.alloc_objects, self.alloc_space, self.inuse_objects, self.inuse_space = self.values
        labels = raw.get("num_labels", {})
        self.has_label = "bytes" in labels
        (self.size,) = labels.get("bytes", [0])  # a reader drops a 0 that has no unit


class Profile:
    def __init__(self, document):
        self.document = document
        self.comments = document["comments"] or []
        self.rate = document["period"]
        self.samples = [Sample(document, raw) for raw in document["samples"] or []]
        self.sums = tuple(document["sums"])

    def of(self, *names, size=None):
        """The sum of the samples whose stacks have these functions, leaf first."""
        chosen = [s.values for s in self.samples if s.has(*names) and size in (None, s.size)]
        return tuple(map(sum, zip(*chosen))) or NOTHING

    def of_leaf(self, name, size=None):
        """The sum of what this function allocated itself."""
        chosen = [s.values for s in self.samples if s.leaf == name and size in (None, s.size)]
        return tuple(map(sum, zip(*chosen))) or NOTHING

    def sizes_of(self, *names):
        """{size: sum of the four values} of the stacks that have these functions."""
        return {size: self.of(*names, size=size) for size in {s.size for s in self.samples if s.has(*names)}}

    @property
    def functions(self):
        return {name for sample in self.samples for name in sample.functions}

    def comment(self, part):
        return [line for line in self.comments if part in line]

    def describe(self):
        """For a failed assertion: the heaviest stacks."""
        heaviest = sorted(self.samples, key=lambda s: -s.alloc_space)[:20]
        lines = [f"{s.values} of {s.size}: {' < '.join(s.functions[:8])}" for s in heaviest]
        return "\n".join([f"{self.sums} in {len(self.samples)} samples at {self.rate}"] + lines + self.comments)


def read(path, default="inuse_space"):
    """The heap profile of a file, after every check that holds for all of ours."""
    profile = Profile(pprof.document(path))
    document = profile.document
    assert document["sample_types"] == HEAP_KINDS and document["period_type"] == "space/bytes"
    assert document["default_type"] == default and profile.rate >= 1
    for sample in profile.samples:
        pprof.check_stack(sample)
        assert sample.has_label or sample.alloc_space == 0, sample.functions
        assert not sample.leaf.startswith("operator new"), sample.functions
        assert sample.leaf not in ("malloc", "calloc", "realloc", "memalign", "posix_memalign"), sample.functions
        check_values(sample, profile.rate)
    keys = [(tuple(raw["locations"]), sample.size) for raw, sample in zip(document["samples"] or [], profile.samples)]
    assert len(keys) == len(set(keys)), "a stack and size twice"
    return profile


def check_values(sample, rate):
    """More allocated than in use, and both whole numbers of sampled blocks, scaled and rounded."""
    assert 0 <= sample.inuse_objects <= sample.alloc_objects and 0 <= sample.inuse_space <= sample.alloc_space
    assert sample.alloc_objects > 0, sample.functions
    for objects, space in ((sample.alloc_objects, sample.alloc_space), (sample.inuse_objects, sample.inuse_space)):
        blocks = 1 / probability(sample.size, rate)
        samples = round(objects / blocks)
        assert abs(objects - samples * blocks) <= .5 + 1e-9 * objects, (sample.values, sample.size, rate)
        assert abs(space - samples * blocks * sample.size) <= .5 + 1e-9 * space, (sample.values, sample.size, rate)


def probability(size, rate):
    """That a block is sampled. At rate 1 every one is."""
    return 1.0 if rate == 1 else -math.expm1(-max(size, 1) / rate)


def expected(books):
    """The four values that a victim's books come to: {size: [allocated, live]}, the numbers of blocks."""
    return tuple(sum(row[which] * (int(size) if in_bytes else 1) for size, row in books.items())
                 for which in (0, 1) for in_bytes in (False, True))


def standard_errors(books, rate):
    """Of the four values, as estimated at a rate. A block of size s is in with p = 1 - exp(-s / rate) and then counts
    as 1 / p, so its variance is (1 - p) / p objects, and s^2 times that in bytes. Blocks are drawn independently: the
    distance to the next point has no memory."""
    def error(which, in_bytes):
        variance = 0.0
        for size, row in books.items():
            p = probability(int(size), rate)
            variance += row[which] * (1 - p) / p * (int(size) ** 2 if in_bytes else 1)
        return math.sqrt(variance)

    return tuple(error(which, in_bytes) for which in (0, 1) for in_bytes in (False, True))


def children(run, kind="heap"):
    """The profiles of child processes, {pid: profile}."""
    found = {}
    for name in run.files():
        match = re.fullmatch(kind + r"\.(\d+)\.prof", name)
        if match:
            found[int(match.group(1))] = read(run.folder / name)
    return found


def snapshots(run, kind="heap", default="inuse_space"):
    """The numbered profiles, {number: profile}, in order."""
    numbers = [re.fullmatch(kind + r"\.(\d+)\.prof", name) for name in run.files()]
    ordered = sorted(int(match.group(1)) for match in numbers if match)
    return {number: read(run.folder / f"{kind}.{number}.prof", default) for number in ordered}


def top(path, index):
    """{function: flat} by `go tool pprof -top -sample_index=…`, and the total: in bytes or objects."""
    text = pprof.client(path, "-top", "-unit=B", "-nodecount=100000", "-nodefraction=0", f"-sample_index={index}")
    total = int(re.search(r"of (\d+)B? total", text).group(1))
    rows = {}
    for line in text.split("cum%\n", 1)[1].splitlines():
        flat, _, _, _, _, name = line.split(None, 5)
        rows[name.removesuffix(" (inline)")] = int(flat.removesuffix("B"))
    return rows, total
