"""Children: profiles of their own, nothing twice, nothing of libprof's in their lives."""

import pytest

import pprof

STEADY = str(pprof.BUILD / "programs" / "steady")

RUNS = {
    "fork": (["fork_with_threads", 1], {}, {"cores": 2}),
    "fork_not_followed": (["fork_with_threads", .3], {"PROF_FOLLOW": "0"}, {"cores": 2}),
    "spawns": (["spawns", STEADY, .3],),
    "spawns_not_followed": (["spawns", STEADY, .1], {"PROF_FOLLOW": "0"}),
    "exec": (["bash", "-c", f"for ((i = 0; i < 200000; ++i)); do :; done; exec {STEADY} .5 3"],),
    "pattern": (["steady", .1], {"PROF_CPU": "{folder}/%e-%p-%h-%%.prof"}),
    "namespace": (["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", STEADY, ".2"],),
    "directory": (["spawns", STEADY, .2], {"PROF_CPU": None, "PROF_DIR": "{folder}"}),
}


def test_fork_while_threads_run(runs):
    run = runs["fork"]
    result, parent = run.result, run.profile()
    assert result["status"] == 5 and result["exited"] == 200
    children = run.children()
    assert result["child"] in children, run.files()
    child = children[result["child"]]
    # One second each: 100 ticks; what is at either end may add or take some.
    assert abs(child.count("child_work") - 100) <= 4, child.describe()
    assert child.count("parent_work") + child.count("other_work") == 0, child.describe()
    assert parent.count("child_work") == 0, parent.describe()
    assert abs(parent.count("parent_work") - result["parent_work"] / parent.period) <= 4, parent.describe()
    assert abs(parent.count("other_work") - result["other_work"] / parent.period) <= 4, parent.describe()


def test_children_that_did_nothing_leave_no_file(runs):
    """200 children that only exit, each within a millisecond: some may meet a tick, most may not."""
    assert len(runs["fork"].files()) < 60, runs["fork"].files()


def test_children_are_left_alone_if_asked(runs):
    run = runs["fork_not_followed"]
    assert run.result["status"] == 5
    assert run.files() == ["cpu.prof"]
    profile = run.profile()
    assert profile.count("child_work") == 0 and profile.count("parent_work") > 10
    assert runs["spawns_not_followed"].files() == ["cpu.prof"]


def test_spawned_programs(runs):
    run = runs["spawns"]
    result, parent = run.result, run.profile()
    assert result["status"] == [4, 4, 4, 4] and result["answered"] == 1
    assert abs(parent.count("spawner_work") - result["spawner_work"] / parent.period) <= 4, parent.describe()
    assert parent.count("steady_work") == 0
    steady = {pid: child for pid, child in run.children().items() if child.count("steady_work")}
    assert result["vforked"] in steady and result["spawned"] in steady and len(steady) == 4, run.files()
    assert all(abs(child.count("steady_work") - 30) <= 3 for child in steady.values())


def test_exec_in_the_same_process(runs):
    """The last program writes the plain name."""
    run = runs["exec"]
    assert run.returncode == 3, run.stderr
    profile = run.profile()
    assert abs(profile.count("steady_work") - 50) <= 3, profile.describe()
    assert profile.document["mappings"][0]["file"].endswith("/steady")


def test_program_that_is_in_proc_no_more(runs):
    """What /proc shows is the namespace of its child."""
    run = runs["namespace"]
    if b"steady_work" not in run.stdout:
        pytest.skip("makes namespaces")
    assert run.profile().document["comments"][0].startswith("program: /usr/bin/unshare, pid "), run.stderr


def test_file_name_pattern(runs):
    run = runs["pattern"]
    run.check_unharmed()
    (name,) = run.files()
    program, pid, rest = name.split("-", 2)
    assert program == "steady" and pid.isdigit() and rest.endswith("-%.prof")
    assert run.profile(name).count("steady_work") > 5


def test_directory(runs):
    run = runs["directory"]
    assert run.result["status"] == [4, 4, 4, 4]
    names = [name for name in run.files() if name.endswith(".cpu.pb.gz")]
    # The other kinds are there too, for whoever recorded something.
    rest = [name for name in run.files() if name not in names]
    assert all(name.endswith(tuple(pprof.FOLDER_KINDS)) for name in rest), rest
    assert sum(name.startswith("spawns.") for name in rest) == len(pprof.FOLDER_KINDS) - 1
    assert sum(name.startswith("steady.") for name in names) == 4
    assert sum(name.startswith("spawns.") for name in names) == 1
    for name in names:
        run.profile(name)
