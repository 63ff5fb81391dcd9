"""prof.h: what a program gets from its calls, with libprof and without, in whatever way it was compiled."""

import pathlib
import subprocess

import pytest

import pprof
import waits

HEADER = pprof.ROOT / "preload"
API = {"PROF_CPU": None}  # nothing but the calls
CALLS = ["texts", "cpu", "heap", "others", "aliases", "fork"]
RUNS = {what: (["api_calls", what, "{folder}"], API) for what in CALLS} | {
    "without": (["api_calls", "texts", "{folder}"], {}, {"preload": False}),
    "no alias": (["api_calls", "aliases", "{folder}"], {}, {"preload": False}),
    "beside a setting": (["api_calls", "cpu", "{folder}"],),
    "forbidden": (["api_calls", "texts", "{folder}"], API | {"PROF_API": "0"}),
    "bad rate": (["api_calls", "cpu", "{folder}"], API | {"PROF_CPU_HZ": "0"}),
    "storm": (["api_calls", "storm", "{folder}"], API, {"cores": 2}),
} | {
    f"switched {clock}": (["clocks_switched", 300], API | {"PROF_CPU_CLOCK": clock}, {"cores": 2}) for clock in ("timer", "perf")
}
NOT_LOADED, OFF, BAD, RESERVED, UNKNOWN, BUSY, NOT_WRITTEN = -1, -2, -3, -4, -6, -7, -9


def functions(path):
    return pprof.read(path).functions & {"before", "during", "after"}


def test_without_libprof_every_call_says_so(runs):
    answers = runs["without"].result
    assert answers.pop("loaded") == 0 and answers.pop("version") == 0
    assert set(answers.values()) == {NOT_LOADED}
    assert runs["no alias"].result == {"present": 0}


def test_with_libprof_and_no_variable(runs):
    answers = runs["texts"].result
    assert answers["loaded"] == 1 and answers["version"] >= 3
    assert answers["label"] == 0 and answers["reserved"] == RESERVED and answers["no key"] == BAD
    assert answers["write"] == OFF and answers["start"] == answers["stop"] == answers["rate"] == 0
    assert "error without a text" not in answers
    assert not runs["texts"].log


def test_prof_api_0_forbids_it(runs):
    answers = runs["forbidden"].result
    assert answers["label"] == answers["start"] == answers["pause"] == OFF and answers["loaded"] == 1


@pytest.mark.parametrize("name", ["cpu", "beside a setting"])
def test_cpu_profiles_have_what_was_between_start_and_stop(runs, name):
    run = runs[name]
    answers = run.result
    assert answers["stop before"] == answers["stop again"] == answers["flush before"] == OFF
    assert answers["start again"] == answers["rate while on"] == BUSY
    assert answers["bad folder"] == NOT_WRITTEN and answers["null"] == answers["bad fd"] == BAD
    assert answers["start"] == answers["so far"] == answers["stop"] == answers["start fd"] == answers["stop fd"] == 0
    assert functions(run.folder / "first.prof") == {"during"}
    first = run.profile("first.prof")
    assert first.count("during", "burn_in_thread") > 10 and first.count("during", "main") > 10
    assert functions(run.folder / "sofar.prof") == {"during"}
    # To a descriptor; and one that the program's end has ended.
    assert functions(run.folder / "second.prof") == functions(run.folder / "unfinished.prof") == {"after"}
    if name == "cpu":
        assert answers["rate"] == 0 and run.profile("second.prof").period == 4_000_000
    else:
        # Their clocks are those of PROF_CPU, which has all of it.
        assert answers["rate"] == BUSY and functions(run.folder / "cpu.prof") == {"before", "during", "after"}


def test_a_cpu_profile_has_its_own_time(runs):
    runs["cpu"].check_unharmed()
    document = pprof.document(runs["cpu"].folder / "first.prof")
    assert .3e9 < document["duration_nanos"] < 60e9 and document["time_nanos"] > 0


def sums(path, name):
    document = pprof.document(path)
    chosen = [raw["values"] for raw in document["samples"] or [] if name in pprof.Stack(document, raw).functions]
    return [sum(values) for values in zip(*chosen)] if chosen else [0, 0, 0, 0]


def test_heap_recording_is_switched_on_paused_and_off(runs):
    run = runs["heap"]
    assert run.result["off"] == OFF and set(run.result.values()) == {OFF, 0}
    assert sums(run.folder / "heap1.prof", "allocate") == [100, 100_000, 100, 100_000]
    # What was allocated before, and in a pause, is not there; what was freed in the pause is gone.
    assert sums(run.folder / "heap2.prof", "allocate") == [100, 100_000, 60, 60_000]
    assert sums(run.folder / "heap2.prof", "allocate_unseen") == [0, 0, 0, 0]
    # 20 MB, one sample in 512 KiB: 38 blocks, of standard deviation 6; 5 of it are 81 % of them.
    allocated = sums(run.folder / "allocs.prof", "allocate")[1] - 100_000
    assert 3_800_000 < allocated < 36_200_000, allocated
    assert pprof.document(run.folder / "allocs.prof")["default_type"] == "alloc_space"
    # Sixty were never freed.
    assert sums(run.folder / "heap3.prof", "allocate")[2:] == [60, 60_000]
    assert sums(run.folder / "heap3.prof", "allocate_unseen") == [0, 0, 0, 0]


def test_waits_and_threads_are_recorded_once_they_are_asked_for(runs):
    run = runs["others"]
    answers = run.result
    assert answers["block off"] == OFF and answers["unknown kind"] == answers["no rate"] == UNKNOWN
    assert answers["negative"] == answers["read only"] == BAD and answers["broken pipe"] == NOT_WRITTEN
    block = waits.Profile(pprof.document(run.folder / "block.prof"))
    assert block.of("wait_for_lock")[0] == 2, "of three, the first was before"
    mutex = waits.Profile(pprof.document(run.folder / "mutex.prof"))
    assert mutex.of("contend")[0] == 2
    created = pprof.document(run.folder / "threadcreate.prof")
    assert sum(raw["values"][0] for raw in created["samples"]) == 4
    stacks = pprof.document(run.folder / "stacks.prof")
    found = [pprof.Stack(stacks, raw) for raw in stacks["samples"]]
    assert len(found) == 2 and any(stack.has("sleep_long") for stack in found)
    assert any(stack.has("main") for stack in found), "the caller itself"
    wall = pprof.document(run.folder / "wall.prof")
    assert any(pprof.Stack(wall, raw).has("sleep_long") for raw in wall["samples"])


def test_gperftools_names_serve_where_it_is_not_there(runs):
    run = runs["aliases"]
    assert run.result == {"present": 1, "start": 1, "flushed": 0}
    assert functions(run.folder / "first.prof") == {"during", "after"}


def test_gperftools_own_calls_stay_its_own(runner):
    library = "/usr/lib/x86_64-linux-gnu/libprofiler.so"
    if not pathlib.Path(library).exists():
        pytest.skip("no gperftools here")
    run = runner.run(["api_calls", "aliases", "{folder}"], API | {"LD_PRELOAD": f"{pprof.BUILD / 'libprof.so'}:{library}"})
    run.check_unharmed()
    # Its format begins with a header of words, and not with gzip's.
    assert (run.folder / "first.prof").read_bytes()[:8] == bytes(8)


def test_a_child_of_fork_has_none_of_its_parents_profiles(runs):
    run = runs["fork"]
    assert run.result == {"start": 0, "child": 0, "stop": 0}
    assert functions(run.folder / "parent.prof") == {"during"}
    assert functions(run.folder / "child.prof") == {"after"}


def test_all_calls_at_once_and_an_end_in_the_middle(runs):
    run = runs["storm"]
    assert run.result == {} and not run.log
    for number in range(4):
        pprof.document(run.folder / f"storm{number}.prof")


@pytest.mark.parametrize("clock", ["timer", "perf"])
def test_no_clock_is_left_where_threads_begin_and_end_meanwhile(runs, clock, request):
    if clock == "perf":
        request.getfixturevalue("perf_clock")
    assert runs[f"switched {clock}"].result == {"failures": 0, "timers": 0, "perf events": 0}


def test_a_setting_that_cannot_be_used_forbids_its_kind(runs):
    answers = runs["bad rate"].result
    assert answers["start"] == answers["start fd"] == answers["stop"] == OFF
    assert len(runs["bad rate"].log) == 1


USER_C = """
#include <prof.h>
#include <prof.h>
int helper(void);
int main(void) {
  struct prof_label_former former;
  if (prof_label_enter("route", "/data", &former) != 0 && prof_is_loaded()) return 2;
  prof_label_leave(&former);
  return prof_start_cpu("out.prof") + prof_stop_cpu() + helper();
}
"""
USER_CPP = """
#include <dlfcn.h>
#include <prof.h>
int helper();
int main() {
  prof::Label label("route", "/data");
  return prof_start_cpu("out.prof") + prof_stop_cpu() + helper();
}
"""
HELPER = {"c": "#include <prof.h>\nint helper(void) { return prof_label_set(\"a\", \"b\"); }\n",
          "cc": "#include <prof.h>\nint helper() { return prof_label_set(\"a\", \"b\"); }\n"}
WAYS = [(compiler, "c", standard, link)
        for compiler in ("gcc", "clang") for standard, link in
        (("c89", "-pie"), ("gnu89", "-no-pie"), ("c99", "-no-pie"), ("c11", "-shared"), ("c17", "-static"))]
WAYS += [(compiler, "cc", standard, link)
         for compiler in ("g++", "clang++") for standard, link in
         (("c++11", "-pie"), ("c++14", "-no-pie"), ("c++17", "-shared"), ("c++20", "-static"))]


@pytest.mark.parametrize("compiler,language,standard,link", WAYS)
def test_any_compiler_takes_the_header(tmp_path, compiler, language, standard, link):
    (tmp_path / f"user.{language}").write_text(USER_C if language == "c" else USER_CPP)
    (tmp_path / f"helper.{language}").write_text(HELPER[language])
    command = [compiler, f"-std={standard}", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{HEADER}"]
    if link != "-shared":
        words = command + (["-fPIE"] if link == "-pie" else ["-fno-pie"]) + [link]
        subprocess.run(words + [f"user.{language}", f"helper.{language}", "-o", "user"], cwd=tmp_path, check=True)
    else:
        subprocess.run(command + ["-fPIC", "-shared", f"helper.{language}", "-o", "libhelper.so"], cwd=tmp_path, check=True)
        subprocess.run(command + [f"user.{language}", "-L.", "-lhelper", "-Wl,-rpath,$ORIGIN", "-o", "user"], cwd=tmp_path, check=True)
    without = subprocess.run(["./user"], cwd=tmp_path)
    assert without.returncode == 256 - 3 and not (tmp_path / "out.prof").exists()
    with_it = subprocess.run(["./user"], cwd=tmp_path, env={"LD_PRELOAD": str(pprof.BUILD / "libprof.so")}, capture_output=True)
    assert not with_it.stderr
    assert with_it.returncode == (256 - 3 if link == "-static" else 0)
    assert (tmp_path / "out.prof").exists() == (link != "-static")
