"""Heap profiles beside the books that the victims keep: exact at rate 1, within what chance allows at other
rates."""

import math
import os

import pytest

import heap

SEEDS = int(os.environ.get("HEAP_SEEDS", "100"))
SMALL_BLOCKS = 200000
TRUTHS = {
    "exact": (["heap_truth", 1, 100000], 1),
    "exact_freed": (["heap_truth", 1, 50000, 1], 1),
    "exact_threads": (["heap_truth", 8, 20000], 1),
    "exact_threads_freed": (["heap_truth", 8, 20000, 1], 1),
    "exact_many_threads": (["heap_truth", 64, 2000], 1),
    "sampled": (["heap_truth", 1, 2000000], None),
    "sampled_freed": (["heap_truth", 1, 500000, 1], None),
    "sampled_threads": (["heap_truth", 8, 250000], None),
    "sampled_threads_freed": (["heap_truth", 8, 50000, 1], None),
    "rate_100": (["heap_truth", 2, 50000], 100),
    "rate_2": (["heap_truth", 1, 20000], 2),
    "rate_10000000": (["heap_truth", 1, 500000], 10000000),
}
PEAKS = {"peak": (1, 0), "peak_threads": (4, 0), "peak_freed_elsewhere": (4, 1)}


def RUNS():
    runs = {name: (command, heap.settings(rate), {"cores": 1 if command[1] == 1 else 2})
            for name, (command, rate) in TRUTHS.items()}
    for name, arguments in PEAKS.items():
        runs[name] = (["heap_peak", *arguments], heap.settings(1, PROF_HEAP_PEAK="1"), {"cores": min(2, arguments[0])})
    runs["no_peak"] = (["heap_peak"], heap.settings(1, PROF_HEAP_PEAK="0"))
    runs["sampled_peak"] = (["heap_peak", 4, 1], heap.settings(4096, PROF_HEAP_PEAK="1"), {"cores": 2})
    runs["realloc"] = (["heap_realloc", 1, 20000], heap.settings(1))
    runs["realloc_threads"] = (["heap_realloc", 8, 20000], heap.settings(1), {"cores": 2})
    runs["realloc_sampled"] = (["heap_realloc", 8, 50000], heap.settings(4096), {"cores": 2})
    for seed in range(SEEDS):
        runs[f"seed {seed}"] = (["heap_small", SMALL_BLOCKS], heap.settings(4096))
    return runs


def check_nothing_lost(run, profile):
    assert run.log == [], run.stderr
    assert not profile.comment("memory was full") and not profile.comment("not seen"), profile.comments
    assert not profile.comment("too many threads") and not profile.comment("want of memory"), profile.comments


def check_exact(books, profile):
    """Each function, each size of each function, and nothing under a size that was never asked for."""
    for function, rows in books.items():
        sizes = profile.sizes_of(function)
        for size, row in rows.items():
            truth = heap.expected({size: row})
            assert sizes.pop(int(size), heap.NOTHING) == truth, (function, size, profile.describe())
        assert not sizes, (function, sizes)
        assert profile.of_leaf(function) == heap.expected(rows), (function, profile.describe())


def deviation(variance, largest, odds):
    """How far a sum of independent terms gets from its mean with the odds given, at most: by Bernstein's inequality,
    P(|S| >= t) <= 2 exp(-t^2 / (2 (variance + largest t / 3))), where no term is further from its mean than
    `largest`."""
    log = math.log(2 / odds)
    linear = log * largest / 3
    return linear + math.sqrt(linear * linear + 2 * log * variance)


def check_sampled(books, profile):
    """Every value of every function lies as near to the truth as it must but for odds of one in a million, for all
    checks of a profile together (each of n has 1e-6 / n). For many samples that is 5.5 to 6 standard errors; for few
    it is more, as the distribution is lopsided then: Bernstein's bound holds for any number."""
    odds = 1e-6 / (4 * len(books))
    for function, rows in books.items():
        truth, errors = heap.expected(rows), heap.standard_errors(rows, profile.rate)
        measured = profile.of_leaf(function)
        for index, name in enumerate(heap.VALUES):
            in_bytes, which = index % 2, index // 2
            # A block of size s that is in counts as 1 / p, one that is not as 0, and the truth is 1.
            largest = 0.0
            rounding = 0.0
            for size, row in rows.items():
                if row[which]:
                    p = heap.probability(int(size), profile.rate)
                    largest = max(largest, (1 / p - 1 if p < .5 else 1) * (int(size) if in_bytes else 1))
                    rounding += .5
            bound = deviation(errors[index] ** 2, largest, odds) + rounding
            assert abs(measured[index] - truth[index]) <= bound, (
                f"{function} {name}: {measured[index]}, in truth {truth[index]}, standard error {errors[index]:.0f}, "
                f"bound {bound:.0f}\n{profile.describe()}")


@pytest.mark.parametrize("name", [name for name, (_, rate) in TRUTHS.items() if rate == 1])
def test_exact(runs, name):
    run = runs[name]
    books, profile = run.result["books"], heap.read(run.folder / "heap.prof")
    assert profile.rate == 1
    check_exact(books, profile)
    check_nothing_lost(run, profile)


@pytest.mark.parametrize("name", [name for name, (_, rate) in TRUTHS.items() if rate != 1])
def test_sampled(runs, name):
    run = runs[name]
    books, profile = run.result["books"], heap.read(run.folder / "heap.prof")
    assert profile.rate == (TRUTHS[name][1] or heap.DEFAULT_RATE)
    check_sampled(books, profile)
    check_nothing_lost(run, profile)


def test_the_samples_are_enough(runs):
    """Else the bounds of test_sampled would say nothing: in the largest run, every function's allocated bytes are
    known to a third, and those of most functions to a tenth."""
    books = runs["sampled"].result["books"]
    relative = [heap.standard_errors(rows, heap.DEFAULT_RATE)[1] / heap.expected(rows)[1] for rows in books.values()]
    assert max(relative) < .33 and sorted(relative)[len(relative) // 2] < .1, relative


@pytest.mark.parametrize("name", [name for name in TRUTHS if name.endswith("_freed")])
def test_nothing_in_use_after_all_is_freed(runs, name):
    """Exactly nothing, at every rate: a block's free takes away just what its allocation had added. That something
    was allocated is asked where it is certain but for odds of one in a million: none of a function's blocks is sampled
    with e to the power of minus its bytes by the rate."""
    run = runs[name]
    books, profile = run.result["books"], heap.read(run.folder / "heap.prof")
    assert all(live == 0 for rows in books.values() for _, live in rows.values())
    certain = [function for function, rows in books.items()
               if heap.expected(rows)[1] / profile.rate > math.log(len(books) / 1e-6)]
    assert len(certain) > len(books) // 2, certain
    for function in books:
        assert function not in certain or profile.of_leaf(function)[1] > 0, profile.describe()
        assert profile.of(function)[2:] == (0, 0), profile.describe()


def test_an_empty_block_has_its_label(runs):
    """Blocks of 0 bytes are under `bytes` 0. Readers drop a label that is 0 and has no unit."""
    profile = heap.read(runs["exact"].folder / "heap.prof")
    (empty,) = [s for s in profile.samples if s.leaf == "allocates_mixed" and s.alloc_space == 0]
    assert empty.has_label, profile.describe()


def test_a_hundred_seeds(runs):
    """Each process draws anew. 200000 blocks of 64 to 1000 bytes at rate 4096; the standard error of the mean of 100
    runs is computed below from the truth (0.08 % to 0.1 %): it must be below 0.15 %, and the mean may be 0.5 % off:
    5 of them, 6e-7. The runs' spread is what the theory says: the sum of the 100 squared errors, in standard errors,
    is chi-squared with 100 degrees of freedom: below 45 or above 190 are odds of 7e-7."""
    books = runs["seed 0"].result["books"]
    (rows,) = books.values()
    truth, errors = heap.expected(rows), heap.standard_errors(rows, 4096)
    profiles = (heap.read(runs[f"seed {seed}"].folder / "heap.prof") for seed in range(SEEDS))
    measured = [profile.of_leaf("allocates_small") for profile in profiles]
    for index, name in enumerate(heap.VALUES):
        mean = sum(values[index] for values in measured) / SEEDS
        if SEEDS >= 100:
            assert errors[index] / math.sqrt(SEEDS) < .0015 * truth[index], name
        assert abs(mean / truth[index] - 1) < .005 * math.sqrt(max(1, 100 / SEEDS)), (name, mean, truth[index])
        spread = sum(((values[index] - truth[index]) / errors[index]) ** 2 for values in measured)
        # Wilson and Hilferty: the cube root of chi-squared / n is nearly normal.
        normal = ((spread / SEEDS) ** (1 / 3) - (1 - 2 / (9 * SEEDS))) / math.sqrt(2 / (9 * SEEDS))
        assert abs(normal) < 5.1, (name, spread)
    assert len(set(measured)) > SEEDS * .99, "the runs were not drawn independently"


@pytest.mark.parametrize("name", ["realloc", "realloc_threads"])
def test_realloc(runs, name):
    """A free of the old block and an allocation of the new size; if it fails, neither."""
    run = runs[name]
    result, profile = run.result, heap.read(run.folder / "heap.prof")
    assert result["wrong"] == 0 and result["in_place"] > 0 and result["moved"] > 0
    check_exact(result["books"], profile)
    assert "fails_to_reallocate" not in profile.functions
    check_nothing_lost(run, profile)


def test_realloc_sampled(runs):
    run = runs["realloc_sampled"]
    result, profile = run.result, heap.read(run.folder / "heap.prof")
    assert result["wrong"] == 0
    check_sampled({name: rows for name, rows in result["books"].items() if rows}, profile)
    check_nothing_lost(run, profile)


@pytest.mark.parametrize("name", PEAKS)
def test_peak(runs, name):
    """The state of one moment: the highest; what came later, a lower hump too, is not in it."""
    run = runs[name]
    result = run.result
    profile, peak = heap.read(run.folder / "heap.prof"), heap.read(run.folder / "heap.peak.prof")
    check_exact(result["books"], profile)
    check_exact(result["peak"], peak)
    assert "climbs_late" not in peak.functions
    assert peak.sums[3] > profile.sums[3]
    assert sorted(run.files()) == ["heap.peak.prof", "heap.prof"]


def test_no_peak_unless_asked_for(runs):
    assert runs["no_peak"].result and runs["no_peak"].files() == ["heap.prof"]


def test_peak_sampled(runs):
    """The top is reached by blocks of half a megabyte and more, all of which are sampled at rate 4096 (one is missed
    with odds of e^-122): the highest estimate is of the very moment."""
    run = runs["sampled_peak"]
    result, peak = run.result, heap.read(run.folder / "heap.peak.prof")
    check_sampled(result["peak"], peak)
    assert peak.of_leaf("climbs_late") == heap.NOTHING, peak.describe()
