"""The real client reads what we write: -raw, -top, -peek, -proto, and their numbers are ours."""

import pprof

STEADY = str(pprof.BUILD / "programs" / "steady")
RUNS = {
    "split": (["split", 1, 2], {"PROF_CPU_HZ": "250"}),
    "empty": (["true"],),
    "spawns": (["spawns", STEADY, .1],),
    "deep": (["deep_stack", .3],),
}


def test_raw(runs):
    for name in ("split", "empty", "spawns", "deep"):
        run = runs[name]
        assert pprof.raw_sum(run.folder / "cpu.prof") == run.profile().total


def test_top(runs):
    for name in ("split", "deep"):
        profile = runs[name].profile()
        rows, total = pprof.top(runs[name].folder / "cpu.prof")
        assert total == profile.ns
        for function, (flat, cumulative) in rows.items():
            if function.startswith("["):  # what has no name is shown by its file
                continue
            assert cumulative == profile.count(function) * profile.period, function
            assert flat == sum(s.ns for s in profile.samples if s.leaf == function), function


def test_top_by_sample_type(runs):
    text = pprof.client(runs["split"].folder / "cpu.prof", "-top", "-sample_index=samples")
    assert "Type: samples" in text


def test_top_by_thread(runs):
    text = pprof.client(runs["split"].folder / "cpu.prof", "-tags")
    assert "thread" in text and "split" in text


def test_peek(runs):
    profile = runs["split"].profile()
    callers, callees = pprof.peek(runs["split"].folder / "cpu.prof", "run_others")
    assert callers == {"run_slices": profile.count("run_others") * profile.period}
    assert callees["beta"] == profile.count("beta", "run_others") * profile.period
    assert callees["gamma_"] == profile.count("gamma_", "run_others") * profile.period
    callers, _ = pprof.peek(runs["split"].folder / "cpu.prof", "alpha")
    assert set(callers) == {"run_alpha"}


def test_proto(runs, tmp_path):
    """Written again by the client it is the same profile."""
    for name in ("split", "empty", "spawns", "deep"):
        before = runs[name].profile()
        after = pprof.rewritten(runs[name].folder / "cpu.prof", tmp_path / f"{name}.pb.gz")
        assert (after.total, after.ns, after.functions) == (before.total, before.ns, before.functions)
        assert after.comments == before.comments and after.period == before.period


def test_profiles_merge(runs, tmp_path):
    """Several files in one call: the client adds them up."""
    paths = [str(runs["spawns"].folder / name) for name in runs["spawns"].files()]
    assert len(paths) > 2
    merged = pprof.client(paths[0], "-proto", f"-output={tmp_path}/all.pb.gz", *paths[1:])
    assert merged is not None
    assert pprof.read(tmp_path / "all.pb.gz").total == sum(pprof.read(path).total for path in paths)


def test_empty_profile(runs):
    run = runs["empty"]
    run.check_unharmed()
    assert run.profile().total <= 1
    assert (run.folder / "cpu.prof").stat().st_mode & 0o777 == 0o600
    assert (run.folder / "cpu.prof").read_bytes()[:2] == b"\x1f\x8b"
