"""Stacks: through everything that compilers, loaders and kernels put between a function and its caller.

Where a share is asserted it is of samples whose stack must hold by construction, not of a random split, so the
bound is only for what falls outside of the work: start, end and printing, a few milliseconds. One tick in a hundred
is left for it, and two more whatever the length.
"""

import pathlib
import re

import pytest

RUNS = {
    "vdso": (["vdso_clock", 1],),
    "plt": (["plt_calls", 1],),
    "bare_calls": (["bare_calls", 2], {"PROF_CPU_HZ": "1000"}),
    "noreturn": (["noreturn_calls", 40],),
    "handler": (["handler_burns", 2],),
    "odd_frames": (["odd_frames", .5],),
    **{f"vforks {how}": (["vforks", 3000], {"PROF_CPU_HZ": "1000", "PROF_UNWIND": how}) for how in ("tables", "libunwind")},
    "tail_calls": (["tail_calls", 1],),
    "cpp_names": (["cpp_names", .3],),
    "rust": (["rust_work", 300000000], {}, {"cores": 2}),
    "coroutines": (["coroutines", 40],),
    "unmapped": (["unmapped_code", .5],),
    "jit": (["jit_code"],),
    "jit_0x": (["jit_code", "0x"],),
    "jit_gone": (["jit_code", "", 1],),
    "hole": (["segment_hole", .5],),
    "hole_libunwind": (["segment_hole", .5], {"PROF_UNWIND": "libunwind"}),
    "deep": (["deep_stack", 1], {"PROF_CPU_HZ": "1000", "PROF_CPU_CLOCK": "timer"}),
    "deep_1024": (["deep_stack", 1], {"PROF_STACK_DEPTH": "1024"}),
    "deep_1": (["deep_stack", .5], {"PROF_STACK_DEPTH": "1"}),
}


def check_nearly_all(profile, *stack, of=None):
    """Whether samples (of those with the function `of`) have this stack, leaf first."""
    total = profile.count(of) if of else profile.total
    assert total > 10, profile.describe()
    assert profile.count(*stack) >= total - 2 - total // 100, f"{stack}\n{profile.describe()}"


def check_none_truncated(profile):
    """But for a tick in the loader's own start, which has no unwind information."""
    assert not [s.functions for s in profile.samples if s.truncated and "_dl_start_user" not in s.functions], profile.describe()


def test_through_libprofs_own_syscall(runs):
    """Whose frame grows push by push: a tick may come behind any of them."""
    profile = runs["bare_calls"].profile()
    check_nearly_all(profile, "calls_bare", "main")
    # The loader's own start, which has none either, may have a tick.
    lost = [sample for sample in profile.samples if "[" in sample.functions[-1] and "_dl_start_user" not in sample.functions]
    assert not lost, profile.describe()


def test_vdso(runs):
    profile = runs["vdso"].profile()
    assert runs["vdso"].result["all"] == 1
    check_nearly_all(profile, "ask_the_time", "main", "_start")
    check_none_truncated(profile)
    in_vdso = sum(s.count for s in profile.samples if s.leaf_file == "[vdso]")
    assert in_vdso > .3 * profile.total, profile.describe()
    leaves = {s.leaf for s in profile.samples if s.leaf_file == "[vdso]"}
    assert any("clock_gettime" in name for name in leaves), leaves


def test_plt(runs):
    profile = runs["plt"].profile()
    check_nearly_all(profile, "call_through_plt", "main", "_start")
    check_none_truncated(profile)
    assert profile.count("labs", "call_through_plt") > 0, profile.describe()


def test_calls_that_do_not_return(runs):
    run = runs["noreturn"]
    profile = run.profile()
    assert run.result == {"jumps": 80, "catches": 40}
    check_nearly_all(profile, "burn_before_jump", "jumps_out", "ends_in_jump", "main", "_start", of="burn_before_jump")
    check_nearly_all(profile, "burn_before_throw", "throws_out", "ends_in_throw", "_start", of="burn_before_throw")
    # abort() itself is libprof's, and so not shown: it raises the signal for the program's handler.
    check_nearly_all(profile, "burn_in_abort", "raise", "ends_in_abort", "_start", of="burn_in_abort")
    assert not {"after_the_jump", "after_the_throw", "after_the_abort"} & profile.functions, profile.describe()
    check_none_truncated(profile)


@pytest.mark.parametrize("name", ["hole", "hole_libunwind"])
def test_segments_that_leave_a_hole(runs, name):
    """glibc knows the segments of such a program one by one, and the one with the code is not that with the tables."""
    profile = runs[name].profile()
    check_nearly_all(profile, "work_beyond", "calls_beyond", "main", "_start", of="work_beyond")
    check_none_truncated(profile)


@pytest.mark.parametrize("name", ["jit", "jit_0x", "jit_gone"])
def test_code_made_at_run_time(runs, name):
    """Named by the map that JIT compilers write; Java puts 0x before its numbers, and lines that are none are passed over."""
    run = runs[name]
    pathlib.Path(f"/tmp/perf-{run.result['pid']}.map").unlink()
    check_nearly_all(run.profile(), "jit_work")


def test_through_a_signal_handler(runs):
    run = runs["handler"]
    result, profile = run.result, run.profile()
    check_nearly_all(profile, "handler_work", "interrupted_work", "main", "_start", of="handler_work")
    # About 70 runs of 10 ms, a period each, at random distances: errors of two boundaries each, variance 0.137 at
    # either, make a standard deviation of 4.4 ticks; 25 are 5.7 of it.
    assert abs(profile.count("handler_work") - result["handler_work"] / profile.period) <= 25, profile.describe()
    check_none_truncated(profile)


def test_frames_of_unknown_size_and_realigned_ones(runs):
    profile = runs["odd_frames"].profile()
    check_nearly_all(profile, "below_variable", "variable_frame", "main", "_start", of="below_variable")
    check_nearly_all(profile, "below_aligned", "aligned_frame", "main", "_start", of="below_aligned")
    check_nearly_all(profile, "below_both", "aligned_variable_frame", "main", "_start", of="below_both")
    check_none_truncated(profile)


@pytest.mark.parametrize("how", ["tables", "libunwind"])
def test_return_address_in_a_register(runs, how):
    profile = runs[f"vforks {how}"].profile()
    check_nearly_all(profile, "makes_children", "main", "_start")
    check_none_truncated(profile)


def test_tail_calls(runs):
    profile = runs["tail_calls"].profile()
    check_nearly_all(profile, "tail_work", "call_the_chain", "main", "_start")
    # Who jumped is not on the stack, and must not be made up.
    assert not {"first_hop", "second_hop"} & profile.functions, profile.describe()


def test_cpp_names(runs):
    profile = runs["cpp_names"].profile()
    short = {re.sub(r"\(.*|.*\(anonymous namespace\)::", "", name) for name in profile.functions}
    assert any("kitchen::Stove<kitchen::Soup>::cook" in name for name in profile.functions), profile.functions
    assert any(name.startswith("kitchen::Knife::operator()") for name in profile.functions), profile.functions
    assert any("kitchen::(anonymous namespace)::wash" in name for name in profile.functions), profile.functions
    assert not any(name.startswith("_Z") for name in short)


def test_rust(runs):
    run = runs["rust"]
    profile = run.profile()
    run.check_unharmed()
    weeding = [s for s in profile.samples if "Weeding" in s.leaf]
    watering = [s for s in profile.samples if "garden::water" in s.leaf]
    assert sum(s.count for s in weeding + watering) > .9 * profile.total, profile.describe()
    assert {s.thread for s in weeding} == {"weeder"} and {s.thread for s in watering} == {"rust_work"}
    # Demangled, without the hash.
    assert not any(re.search(r"::h[0-9a-f]{16}$|^_ZN|^_R", name) for name in profile.functions), profile.functions
    assert sum(s.count for s in watering if "main" in s.functions) >= .98 * sum(s.count for s in watering)
    check_none_truncated(profile)


def test_coroutines(runs):
    run = runs["coroutines"]
    profile = run.profile()
    assert run.result == {"turns": 320}
    check_nearly_all(profile, "coroutine_work", "coroutine_body")
    # main is on another stack: a coroutine's ends at its start, and does not run into whatever lies above.
    assert profile.count("coroutine_body", "main") == 0, profile.describe()


def test_code_of_no_file(runs):
    run = runs["unmapped"]
    run.check_unharmed()
    profile = run.profile()
    main_file = profile.document["mappings"][0]["file"]
    assert main_file.endswith("unmapped_code")
    nowhere = [s for s in profile.samples if s.leaf_file != main_file and "/lib" not in s.leaf_file]
    assert sum(s.count for s in nowhere) > .9 * profile.total, profile.describe()


@pytest.mark.parametrize("name,frames", [("deep", 128), ("deep_1024", 1024), ("deep_1", 1)])
def test_100000_frames(runs, name, frames):
    run = runs[name]
    profile = run.profile()
    assert run.result["reached"] == 1
    # At its end bottom_work asks for the time: where one frame is all that is kept, the vdso's is it. The descent is over in some
    # milliseconds: two ticks.
    in_vdso = sum(s.count for s in profile.samples if s.leaf_file == "[vdso]" and not s.has("bottom_work"))
    assert profile.count("bottom_work") + in_vdso >= profile.total - 2 - profile.total // 100, profile.describe()
    assert in_vdso <= .1 * profile.total and (in_vdso == 0 or frames == 1), profile.describe()
    deep = [s for s in profile.samples if s.leaf == "bottom_work"]
    assert deep and all(s.truncated for s in deep), profile.describe()
    assert all(len(s.functions) == frames + 1 for s in deep), {len(s.functions) for s in deep}
    assert all(set(s.functions[1:-1]) <= {"descend"} for s in deep)
    assert profile.comment("deeper than PROF_STACK_DEPTH"), profile.comments
