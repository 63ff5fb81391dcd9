"""Block and mutex profiles beside the books that the victim keeps: who waited, how often and how long, and whose unlock
ended it.

All bounds are to hold on a machine that has no processor for a thread just when it needs one. What the victim says is
made for that (see there): it holds nobody off before he waits; it counts as a wait for sure what has slept; and whom an
unlock made wait it counts up to the unlock. So what it says and what libprof says are apart by what comes between two
readings of the clock in a row, some hundred instructions. That a processor is taken away just there is rare enough to be lost
in the 5 %, as waits last 8 ms and more."""

import math

import pytest

import pprof
import waits

WAITERS = (2, 4, 8)
EVERY_WAIT = 1
SECONDS = 1.5
# Whose unlocks are a mutex profile's: those of mutexes and rwlocks.
UNLOCKED = ("mutex", "mutexes", "rwlock_writers", "rwlock_readers", "mtx")
KINDS = UNLOCKED + ("cond", "sem", "join", "barrier")
# The same by another call, or of another type of mutex.
UNLOCKED_OTHERS = ("mutex_timedlock", "mutex_clocklock", "mutex_recursive", "mutex_errorcheck", "mutex_adaptive",
                   "mutex_robust", "mutex_inherit", "rwlock_timedrdlock", "rwlock_clockrdlock", "rwlock_timedwrlock",
                   "rwlock_clockwrlock", "mtx_timedlock")
OTHERS = UNLOCKED_OTHERS + ("cond_timedwait", "cond_clockwait", "cnd", "cnd_timedwait", "sem_timedwait",
                            "sem_clockwait", "join_timed", "join_clock", "thrd_join")
# A spinning waiter needs a core.
CASES = [(kind, n) for kind in KINDS for n in WAITERS] + [(kind, 2) for kind in OTHERS] + [("spin", 1)]
UNLOCKED_CASES = [(kind, n) for kind, n in CASES if kind in UNLOCKED + UNLOCKED_OTHERS]
BRIEF_SEEDS = 10
# Above a wait that a lock is handed over in: 3 us on one machine, 17 on another.
BRIEF_RATE = 60000
FRACTION = 4
# What only sleeps: many of them at the same time.
SLEEPS = {"cores": .25}


def RUNS():
    runs = {}
    for kind, waiters in CASES:
        seconds = SECONDS if kind in KINDS else .5
        options = {"cores": 2} if kind == "spin" else SLEEPS
        runs[kind, waiters] = (["contended", kind, waiters, seconds], waits.settings(EVERY_WAIT), options)
    for waiters in WAITERS:
        runs["relock", waiters] = (["contended", "relock", waiters, SECONDS], waits.settings(EVERY_WAIT), SLEEPS)
        runs["hammer", waiters] = (["contended", "hammer", waiters, 2], waits.settings(EVERY_WAIT), {"cores": 2})
    runs["default rate"] = (["contended", "mutexes", 4, SECONDS], waits.settings(), SLEEPS)
    runs["hammer fraction"] = (["contended", "hammer", 2, 4], waits.settings(EVERY_WAIT, FRACTION), {"cores": 2})
    runs["mutex fraction"] = (["contended", "mutex", 8, 4], waits.settings(EVERY_WAIT, FRACTION), SLEEPS)
    runs["brief exact"] = (["contended", "brief", 2, .5], waits.settings(EVERY_WAIT), {"cores": 2})
    for seed in range(BRIEF_SEEDS):
        runs["brief", seed] = (["contended", "brief", 2, .5], waits.settings(BRIEF_RATE), {"cores": 2})
    runs["uncontended"] = (["contended", "uncontended"], waits.settings(EVERY_WAIT))
    runs["mutex only"] = (["contended", "mutex", 2, .5], waits.settings(EVERY_WAIT, PROF_BLOCK=None, PROF_THREAD=None))
    runs["block only"] = (["contended", "mutex", 2, .5], waits.settings(EVERY_WAIT, PROF_MUTEX=None, PROF_THREAD=None))
    runs["beside cpu"] = (["contended", "mutex", 2, .5], waits.settings(EVERY_WAIT, PROF_CPU="{folder}/cpu.prof"))
    runs["free mutex"] = (["signals_free_mutex", 2000], waits.settings(EVERY_WAIT), SLEEPS)
    runs["frame pointers"] = (["fp_waits"], waits.settings(EVERY_WAIT, PROF_UNWIND="fp"))
    return runs


def block_of(run):
    return waits.read(run.folder / "block.prof")


def mutex_of(run):
    return waits.read(run.folder / "mutex.prof")


def check_near(measured, truth, tolerance, why, unsure=0):
    """unsure: what the victim cannot tell, and may be there or not."""
    assert truth * (1 - tolerance) <= measured <= (truth + unsure) * (1 + tolerance), (
        f"{measured}, in truth {truth} to {truth + unsure}\n{why}")


def check_shares(profile, kept, points=3):
    """Each function's part of the delay: of how long it kept others waiting. Nothing for anyone that kept none."""
    total = sum(kept.values())
    for function in set(kept) | {"hold_long", "hold_short", "leaves_early", "wait_here"}:
        truth = kept.get(function, 0) / total
        assert abs(profile.share(function) - truth) * 100 <= points, (function, kept, profile.describe())


def check_count(count, result):
    """Each wait is there once; of the calls that may have waited, some. (Only "mutex" has any: where the unlock comes
    between the victim's look at the lock and libprof's.)"""
    assert result["waits"] <= count <= result["waits"] + result["unsure"], (count, result)


def check_log(run):
    assert run.log == [], run.stderr


@pytest.mark.parametrize("kind, waiters", CASES)
def test_every_wait(runs, kind, waiters):
    """At rate 1 each wait is there once. The delay is the victim's own to 5 %."""
    run = runs[kind, waiters]
    result, profile = run.result, block_of(run)
    count, delay = profile.of_leaf("wait_here")
    assert result["waits"] >= 4 * waiters, result
    check_count(count, result)
    check_near(delay, result["wait_ns"], .05, profile.describe(), result["unsure_ns"])
    check_log(run)


@pytest.mark.parametrize("kind, waiters", CASES)
def test_names_of_who_waits(runs, kind, waiters):
    """wait_here() itself made the call, and a thread called it. Those who hold off others wait for nobody; main() joins
    the threads at last."""
    profile = block_of(runs[kind, waiters])
    for sample in profile.samples:
        if sample.leaf == "wait_here":
            assert sample.functions[1] == "waiter", sample.functions
        assert not sample.has("leaves_early"), sample.functions
    assert profile.of("wait_here") == profile.of_leaf("wait_here"), profile.describe()
    of_others = profile.delay - profile.of_leaf("wait_here")[1] - profile.of_leaf("main")[1]
    assert of_others < .01 * profile.delay, profile.describe()


# The beginning of a kind's name, and the label.
STATES = {"mutex": "mutex", "mtx": "mutex", "rwlock_writers": "read lock", "rwlock_timedrd": "read lock", "rwlock_clockrd": "read lock",
          "rwlock_readers": "write lock", "rwlock_timedwr": "write lock", "rwlock_clockwr": "write lock", "cond": "condition",
          "cnd": "condition", "sem": "semaphore", "barrier": "barrier", "join": "join", "thrd_join": "join",
          "spin": "spin lock"}


@pytest.mark.parametrize("kind, waiters", CASES)
def test_what_was_waited_for(runs, kind, waiters):
    """A label tells idle waits for a condition from waits for a lock. A condition's own mutex may be waited for as well."""
    wanted = {state for start, state in STATES.items() if kind.startswith(start)}
    states = block_of(runs[kind, waiters]).states_of("wait_here")
    assert wanted and wanted <= states <= wanted | {"mutex"}, (kind, states)


@pytest.mark.parametrize("kind, waiters", UNLOCKED_CASES)
def test_whose_unlock_ended_it(runs, kind, waiters):
    """All of the waiting up to the unlocks, and to 3 points each function's part of it. Of the readers that hold off a
    writer, it is the last one's. What it took until the waiters ran is in nobody's; it is next to nothing unless the
    machine is busy."""
    run = runs[kind, waiters]
    result, profile = run.result, mutex_of(run)
    check_shares(profile, result["kept"])
    assert profile.share("hold_long") + profile.share("hold_short") > .97, profile.describe()
    check_near(profile.delay, result["to_unlock_ns"], .05, profile.describe(), result["unsure_ns"])
    # One unlock may end the waits of many readers. Of "mutex" one may end none, though somebody waits: whoever comes by takes
    # the lock before the one that is woken for it.
    least = result["rounds"] if "rdlock" in kind or kind == "rwlock_writers" else result["waits"] * .95
    most = result["turns"] if kind == "mutex" else result["waits"]
    assert least <= profile.count <= most, (result, profile.describe())
    check_log(run)


@pytest.mark.parametrize("kind, waiters", UNLOCKED_CASES)
def test_three_quarters(runs, kind, waiters):
    """What the victim is made for: hold_long() 75 %, hold_short() 25 %. Two points for how late a sleeper wakes on a
    busy machine, beside the three for the measurement."""
    result, profile = runs[kind, waiters].result, mutex_of(runs[kind, waiters])
    truth = result["kept"]["hold_long"] / sum(result["kept"].values())
    if abs(truth - .75) > .02:
        pytest.skip(f"the machine was too busy: the victim itself has {truth:.3f}")
    assert abs(profile.share("hold_long") - .75) <= .05, profile.describe()


@pytest.mark.parametrize("waiters", WAITERS)
def test_the_mutex_goes_from_one_to_the_next(runs, waiters):
    """The two ways to say who made one wait come to the same in this victim: who ended it, and who had the mutex for
    how much of it. Else the test of it would be of one of them only."""
    result = runs["mutex", waiters].result
    for function in ("hold_long", "hold_short"):
        shares = [result[way][function] / sum(result[way].values()) for way in ("ended", "kept")]
        assert abs(shares[0] - shares[1]) < .02, result


@pytest.mark.parametrize("kind, waiters", UNLOCKED_CASES)
def test_names_of_who_unlocks(runs, kind, waiters):
    """hold_long() or hold_short() itself made the call: of "mutex", a waiter called it, else the main thread."""
    profile = mutex_of(runs[kind, waiters])
    caller = "waiter" if kind == "mutex" else "main"
    for sample in profile.samples:
        if sample.leaf in ("hold_long", "hold_short"):
            assert sample.functions[1] == caller, sample.functions
    assert {"hold_long", "hold_short"} <= profile.leaves, profile.describe()


@pytest.mark.parametrize("kind, waiters", [(kind, n) for kind, n in CASES
                                           if kind.split("_")[0] in ("sem", "join", "thrd", "barrier", "spin")])
def test_what_has_no_unlock_is_in_no_mutex_profile(runs, kind, waiters):
    assert mutex_of(runs[kind, waiters]).samples == [], mutex_of(runs[kind, waiters]).describe()


@pytest.mark.parametrize("kind, waiters", [(kind, n) for kind, n in CASES if kind.startswith(("cond", "cnd"))])
def test_a_wait_for_a_condition_is_no_wait_for_its_mutex(runs, kind, waiters):
    """The signal comes once the mutex is free. What there is of waiting for it is next to nothing."""
    result, profile = runs[kind, waiters].result, mutex_of(runs[kind, waiters])
    assert profile.delay < .01 * result["wait_ns"], profile.describe()


@pytest.mark.parametrize("waiters", WAITERS)
def test_a_condition_whose_mutex_is_kept(runs, waiters):
    """The signal comes while the signaller has the mutex: from then on it is its unlock that is waited for. A block
    profile has all of the call; as one wait, or as two."""
    run = runs["relock", waiters]
    result, block, mutex = run.result, block_of(run), mutex_of(run)
    count, delay = block.of_leaf("wait_here")
    assert result["waits"] <= count <= 2 * result["waits"], (result, block.describe())
    check_near(delay, result["wait_ns"], .05, block.describe())
    check_shares(mutex, result["kept"])
    check_near(mutex.delay, sum(result["kept"].values()), .05, mutex.describe())


def test_long_waits_at_the_default_rate(runs):
    """Of at least the rate: all of them, and just as at rate 1."""
    run = runs["default rate"]
    result, block, mutex = run.result, block_of(run), mutex_of(run)
    count, delay = block.of_leaf("wait_here")
    check_count(count, result)
    check_near(delay, result["wait_ns"], .05, block.describe())
    check_shares(mutex, result["kept"])


def test_brief_waits_exactly(runs):
    """As many as there were, and no longer than the victim says: its books have the cost of the call itself too. Of that
    it has most where it is kept from running for some milliseconds in such a call: these do not count for the least."""
    run = runs["brief exact"]
    result, profile = run.result, block_of(run)
    count, delay = profile.of_leaf("wait_here")
    assert count == result["waits"], (result, profile.describe())
    assert .5 * result["under_1ms_ns"] < delay < 1.01 * result["wait_ns"], (result, profile.describe())
    check_log(run)


def test_brief_waits_sampled(runs):
    """A wait of w below the rate R is drawn with w / R and counts as R / w: that is w ns and 1 in the mean, with the
    variances w (R - w) and R / w - 1. The number of waits is known exactly. Their estimate is within 3 standard errors
    in the mean of all runs, and within 5 in each (6e-7 each); the errors are taken a tenth larger, as the victim's
    waits, of which they are computed, are longer than libprof's by the cost of a call. A single test at 3 standard
    errors fails by chance once in 370 runs, which is too often: hence a mean of 10 runs, which are 3.2 times as
    precise, with an allowance of 5 of its own errors: 1.6 of a single run's.

    The delay has no truth as exact: libprof's waits are somewhat shorter than the victim's. But both come of the same
    draw: were the odds not w / R, the number would be wrong."""
    estimates, truths, variances = [], [], []
    for seed in range(BRIEF_SEEDS):
        run = runs["brief", seed]
        result, profile = run.result, block_of(run)
        count, delay = profile.of_leaf("wait_here")
        error = 1.1 * math.sqrt(result["count_variance"])
        assert abs(count - result["waits"]) <= 5 * error, (result, error, profile.describe())
        delay_error = 1.1 * math.sqrt(result["delay_variance"])
        assert delay <= result["wait_ns"] + 5 * delay_error, (result, delay_error, profile.describe())
        assert delay >= .5 * result["under_1ms_ns"] - 5 * delay_error, (result, delay_error, profile.describe())
        estimates.append(count)
        truths.append(result["waits"])
        variances.append(error ** 2)
        check_log(run)
    assert abs(sum(estimates) - sum(truths)) <= 5 * math.sqrt(sum(variances)), (estimates, truths)
    assert len(set(estimates)) > BRIEF_SEEDS / 2, "the runs were not drawn independently"


def test_the_brief_waits_are_brief(runs):
    """Else test_brief_waits_sampled would say nothing: most of them are below the rate, and their number is known to
    2 % for all that."""
    result = runs["brief", 0].result
    assert result["count_variance"] > .2 * result["waits"], result
    assert math.sqrt(result["count_variance"]) < .02 * result["waits"], result


@pytest.mark.parametrize("waiters", WAITERS)
def test_what_slips_through(runs, waiters):
    """Between libprof's look at the lock and the real call the lock may be taken: a wait that nobody measures. Of the
    calls that went to sleep all are there, and 95 % of their time but for a microsecond each; and no more than there were
    calls. (How long a call lasts does not say that it waited: a thread may be kept from running just there, by the one
    that it woke.)"""
    run = runs["hammer", waiters]
    result, profile = run.result, block_of(run)
    count, delay = profile.of_leaf("wait_here")
    assert result["slept"] >= 1000, result
    assert result["slept"] <= count <= result["waits"], (result, profile.describe())
    assert .95 * result["slept_ns"] - 1000 * result["slept"] <= delay < 1.01 * result["wait_ns"], (
        result, profile.describe())
    check_log(run)


@pytest.mark.parametrize("waiters", WAITERS)
def test_nothing_is_ended_that_nobody_waited_for(runs, waiters):
    """The two profiles of one run are of the same waits, but for what passes from the unlock until the woken thread runs: that
    is in the waiter's only. Some of a short wait is over before libprof has seen it: a tenth."""
    run = runs["hammer", waiters]
    result, block, mutex = run.result, block_of(run), mutex_of(run)
    waited, ended = block.of_leaf("wait_here")[1], mutex.of_leaf("wait_here")[1]
    assert .9 * result["slept_to_unlock_ns"] <= ended <= 1.02 * waited, (result, block.describe(), mutex.describe())


@pytest.mark.parametrize("name", ["hammer fraction", "mutex fraction"])
def test_a_fraction_of_the_unlocks(runs, name):
    """One of N contended unlocks counts as N. Of delays d, that sums up to their sum, with the variance (N - 1) times
    the sum of their squares. 5 standard errors: 6e-7."""
    run = runs[name]
    result, block, mutex = run.result, block_of(run), mutex_of(run)
    truth, waited = result["to_unlock_ns"], block.of_leaf("wait_here")[1]
    error = math.sqrt((FRACTION - 1) * result["squares"])
    assert 5 * error < .7 * truth, "the fraction could as well be left out of account"
    least = .9 if name == "hammer fraction" else .95
    assert least * truth - 5 * error <= mutex.delay <= 1.05 * waited + 5 * error, (truth, error, mutex.describe())
    assert all(sample.count % FRACTION == 0 for sample in mutex.samples), mutex.describe()


def test_uncontended(runs):
    """Files there are, and nothing in them; go tool pprof reads them too."""
    run = runs["uncontended"]
    assert run.result["waits"] == 0
    assert sorted(run.files()) == ["block.prof", "mutex.prof", "thread.prof"]
    assert block_of(run).samples == [] and mutex_of(run).samples == []
    assert waits.read_threads(run.folder / "thread.prof").samples == []
    for name in run.files():
        pprof.client(run.folder / name, "-raw")
    check_log(run)


def test_a_wake_up_is_nobody_s_unlock(runs):
    """A condition that is signalled while its mutex is free: its waiter waits for the condition, and then for a processor, and for
    no unlock. What is left are unlocks that the waiter met by chance, of a mutex that its own thread alone locks: none."""
    run = runs["free mutex"]
    check_log(run)
    block, mutex = block_of(run), mutex_of(run)
    assert block.of_leaf("consumer")[0] >= .9 * 2000, block.describe()
    assert mutex.delay == 0 and mutex.count == 0, mutex.describe()


def test_one_without_the_other(runs):
    """Each is as good alone, and beside a CPU profile."""
    assert runs["mutex only"].files() == ["mutex.prof"]
    assert runs["block only"].files() == ["block.prof"]
    assert sorted(runs["beside cpu"].files()) == ["block.prof", "cpu.prof", "mutex.prof", "thread.prof"]
    for name in ("mutex only", "beside cpu"):
        check_shares(mutex_of(runs[name]), runs[name].result["kept"])
    for name in ("block only", "beside cpu"):
        result, profile = runs[name].result, block_of(runs[name])
        check_count(profile.of_leaf("wait_here")[0], result)
    runs["beside cpu"].profile()


def test_go_tool_pprof_agrees(runs):
    """go tool pprof -top takes the delay unless told otherwise, and has the same sums."""
    run = runs["mutex", 4]
    for name, profile in (("block.prof", block_of(run)), ("mutex.prof", mutex_of(run))):
        rows, total = pprof.top(run.folder / name)
        assert total == profile.delay, profile.describe()
        for leaf in profile.leaves:
            assert rows.get(leaf, (0, 0))[0] == profile.of_leaf(leaf)[1], (leaf, rows)


def test_frame_pointers(runs):
    """PROF_UNWIND=fp: the waiting call's own caller is the leaf, though libprof keeps no frame pointers. The C library's start keeps
    none either, which the end of the stack and a comment say."""
    run = runs["frame pointers"]
    assert run.result["done"] == 1
    block = block_of(run)
    (wait,) = [sample for sample in block.samples if sample.state == "mutex"]
    assert wait.functions[:3] == ["waits_here", "calls_it", "main"], wait.functions
    assert wait.functions[3:] == ["__libc_start_call_main", "[truncated: code without a frame pointer]"], wait.functions
    assert any("without a frame pointer (PROF_UNWIND=fp)" in comment for comment in block.comments), block.comments
    assert not any("unwind information" in comment for comment in block.comments), block.comments
