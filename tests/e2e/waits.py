"""Block, mutex and threadcreate profiles as the real clients see them."""

import pprof

WAIT_KINDS = ["contentions/count", "delay/nanoseconds"]
THREAD_KINDS = ["threadcreate/count"]
# What waits, locks, unlocks and creates: the caller is to be the leaf.
CALLS = ("pthread_", "__pthread_", "___pthread_", "sem_", "__sem_", "__new_sem_", "mtx_", "cnd_", "thrd_", "__thrd_",
         "__lll_", "futex_", "__futex_", "clock_gettime", "__GI_")


def settings(block_rate=None, fraction=None, **others):
    """Of a run that has a block, a mutex and a threadcreate profile and nothing else."""
    wanted = {"PROF_CPU": None, "PROF_BLOCK": "{folder}/block.prof", "PROF_MUTEX": "{folder}/mutex.prof",
              "PROF_THREAD": "{folder}/thread.prof"}
    if block_rate is not None:
        wanted["PROF_BLOCK_RATE"] = str(block_rate)
    if fraction is not None:
        wanted["PROF_MUTEX_FRACTION"] = str(fraction)
    return wanted | others


class Sample(pprof.Stack):
    """The waits of one stack, or ended by it; or the threads that it created, without a delay."""

    def __init__(self, document, raw):
        super().__init__(document, raw)
        self.count, self.delay = (*raw["values"], 0)[:2]
        self.state = ((raw["labels"] or {}).get("state") or [None])[0]


class Profile:
    def __init__(self, document):
        self.document = document
        self.comments = document["comments"] or []
        self.samples = [Sample(document, raw) for raw in document["samples"] or []]
        self.count = sum(sample.count for sample in self.samples)
        self.delay = sum(sample.delay for sample in self.samples)
        self.is_block = any(sample.state for sample in self.samples)

    def of(self, *names):
        """(count, delay) of the stacks that have these functions, leaf first."""
        chosen = [s for s in self.samples if s.has(*names)]
        return sum(s.count for s in chosen), sum(s.delay for s in chosen)

    def of_leaf(self, name):
        """(count, delay) of what this function called itself."""
        chosen = [s for s in self.samples if s.leaf == name]
        return sum(s.count for s in chosen), sum(s.delay for s in chosen)

    def states_of(self, *names):
        """What the waits with these functions were for."""
        return {s.state for s in self.samples if s.has(*names)}

    def share(self, name):
        """The part of the delay that has this function at the leaf."""
        return self.of_leaf(name)[1] / self.delay if self.delay else 0.0

    @property
    def functions(self):
        return {name for sample in self.samples for name in sample.functions}

    @property
    def leaves(self):
        return {sample.leaf for sample in self.samples}

    def describe(self):
        """For a failed assertion: the heaviest stacks."""
        heaviest = sorted(self.samples, key=lambda s: (-s.delay, -s.count))[:16]
        lines = [f"{s.count} {s.delay}: {' < '.join(s.functions[:8])}" for s in heaviest]
        return "\n".join([f"{self.count} {self.delay} in {len(self.samples)} samples"] + lines + self.comments)


def _read(path, kinds, defaults):
    profile = Profile(pprof.document(path))
    document = profile.document
    assert document["sample_types"] == kinds and document["period_type"] == kinds[0] and document["period"] == 1
    assert document["default_type"] in defaults
    for raw, sample in zip(document["samples"] or [], profile.samples):
        pprof.check_stack(sample)
        # A thread's start routine, or what a wait of the block profile was for; nothing else.
        labels = set(raw["labels"] or {})
        wanted = {"start"} if kinds == THREAD_KINDS else {"state"} if profile.is_block else set()
        assert labels == wanted and not raw.get("num_labels"), raw
        assert sample.count > 0 and sample.delay >= 0, profile.describe()
    stacks = [(tuple(raw["locations"]), str(raw["labels"])) for raw in document["samples"] or []]
    assert len(stacks) == len(set(stacks)), "a stack twice"
    return profile


def read(path):
    """The block or mutex profile of a file, after every check that holds for all of ours."""
    profile = _read(path, WAIT_KINDS, ("delay",))
    assert not any(leaf.startswith(CALLS) for leaf in profile.leaves), profile.describe()
    return profile


def read_threads(path):
    """The threadcreate profile of a file. A leaf may be anything: what calls pthread_create may well be a library's."""
    profile = _read(path, THREAD_KINDS, ("", "threadcreate"))
    assert not any(leaf.startswith(CALLS) for leaf in profile.leaves), profile.describe()
    return profile
