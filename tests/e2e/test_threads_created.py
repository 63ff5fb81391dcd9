"""threadcreate profiles: every thread by who created it, none that was not, and creation as it is without libprof."""

import errno

import pytest

import waits

SITES = 100000
ALIVE = 2000
SMALL = 200
FAILS = 100
LANGUAGES = 100
SETTINGS = waits.settings(PROF_BLOCK=None, PROF_MUTEX=None)
BESIDE = {
    "alone": {},
    "beside_cpu": {"PROF_CPU": "{folder}/cpu.prof"},
    "beside_all": {"PROF_CPU": "{folder}/cpu.prof", "PROF_BLOCK": "{folder}/block.prof",
                   "PROF_MUTEX": "{folder}/mutex.prof", "PROF_BLOCK_RATE": "1"},
}


def RUNS():
    runs = {"sites": (["creates_threads", "sites", SITES], SETTINGS)}
    for beside, more in BESIDE.items():
        runs["alive", beside] = (["creates_threads", "alive", ALIVE], SETTINGS | more)
        runs["small", beside] = (["creates_threads", "small", SMALL], SETTINGS | more)
    runs["fails"] = (["creates_threads", "fails", FAILS], SETTINGS)
    runs["languages"] = (["creates_threads", "languages", LANGUAGES], SETTINGS)
    for what, number in (("small", SMALL), ("fails", FAILS)):
        runs[what, "plain"] = (["creates_threads", what, number], {}, {"preload": False})
    return runs


def read(run):
    assert run.log == [], run.stderr
    return waits.read_threads(run.folder / "thread.prof")


def test_every_thread_by_its_site(runs):
    """Exactly: 30 % and 70 % of 100000, all long gone at the end. One sample each."""
    run = runs["sites"]
    result, profile = run.result, read(run)
    assert result["lived"] == SITES
    assert profile.of_leaf("creates_seldom")[0] == SITES * 3 // 10, profile.describe()
    assert profile.of_leaf("creates_often")[0] == SITES * 7 // 10, profile.describe()
    assert profile.count == SITES and len(profile.samples) == 2, profile.describe()
    for sample in profile.samples:
        assert sample.functions[-1] in ("_start", "__libc_start_main", "main") and sample.has("main"), sample.functions
    assert run.files() == ["thread.prof"]


@pytest.mark.parametrize("beside", BESIDE)
def test_many_alive(runs, beside):
    run = runs["alive", beside]
    result, profile = run.result, read(run)
    assert result["lived"] == ALIVE
    assert profile.of_leaf("creates_crowd")[0] == profile.count == ALIVE, profile.describe()


@pytest.mark.parametrize("beside", BESIDE)
def test_the_smallest_stack(runs, beside):
    """It is as small as without libprof, and large enough for it."""
    run = runs["small", beside]
    result, profile = run.result, read(run)
    assert result == runs["small", "plain"].result and result["lived"] == SMALL
    assert profile.of_leaf("creates_small")[0] == profile.count == SMALL, profile.describe()


def test_what_fails_is_not_counted(runs):
    """The error, and errno, are those that there are without libprof. Then there are the thread for which none may be
    created, and one more that is."""
    run = runs["fails"]
    result, profile = run.result, read(run)
    assert result == runs["fails", "plain"].result
    assert result["memory"][0] == errno.EAGAIN and result["memory"][2] == FAILS, result
    assert result["threads"][0] == errno.EAGAIN and result["threads"][2] == FAILS, result
    assert result["lived"] == 1
    assert not {"creates_none", "creates_none_either"} & profile.functions, profile.describe()
    assert profile.of_leaf("creates_seldom")[0] == 1 and profile.count == 2, profile.describe()


def test_std_thread_and_c11(runs):
    """However deep in a library pthread_create is called, who wanted the thread is in the stack. thrd_create is libc's
    own: its caller is the leaf."""
    run = runs["languages"]
    result, profile = run.result, read(run)
    assert result["lived"] == LANGUAGES + LANGUAGES // 2
    assert profile.of("creates_std", "main")[0] == LANGUAGES, profile.describe()
    assert profile.of("creates_c11", "main")[0] == LANGUAGES // 2, profile.describe()
    assert profile.of_leaf("creates_c11")[0] == LANGUAGES // 2, profile.describe()
    assert profile.count == result["lived"], profile.describe()
