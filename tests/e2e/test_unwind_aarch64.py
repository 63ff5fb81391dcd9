"""The unwinder on aarch64: core/unwind, cross-built, walks its own program's stacks under qemu's user emulation
(tests/aarch64/unwind.cc). Compared with the calls that are known to have been made and, address by address, with libgcc's unwinder.

qemu-user is no kernel of aarch64. What differs here: it has no process_vm_readv, so a signal's return is found by the other way
(code_bytes.cc), and walks of sleeping threads, which need the call, are not tried; a signal returns to a page that belongs to no
object, not to the vDSO; signals come between blocks of code only, so that single instructions are tried by functions that interrupt
themselves; and nothing is said about time. The probing of pages by rt_sigprocmask, pointer authentication and alternate stacks work.
"""

import concurrent.futures
import json
import subprocess

import pytest

import pprof

COMPLETE, NO_UNWIND_INFO, UNKNOWN_REGISTER = 0, 2, 6  # StackEnd, core/base/address.h
START = ["main", "libc", "libc", "_start"]
RAISED = ["libc", "libc", "raises"]
NESTED = RAISED + ["middle", "outer"]
SIGNAL_RETURN = "nothing"  # no object has it

# The walk that each case makes: frames, leaf first; why it ends.
WALKS = {
    "nested": (NESTED + START, COMPLETE),
    "leaf": (["leaf", "calls_leaf"] + START, COMPLETE),
    "each_instruction": (["each_instruction", "calls_each"] + START, COMPLETE),
    "each_instruction_signed": (["each_instruction_signed", "calls_each_signed"] + START, COMPLETE),
    "signed": (RAISED + ["signs_inner", "signs"] + START, COMPLETE),
    "signal": (["leaf", "calls_leaf", "on_other_signal", SIGNAL_RETURN, "libc", "libc", "is_interrupted"] + START, COMPLETE),
    "signal_aside": (["leaf", "calls_leaf", "on_other_signal", SIGNAL_RETURN, "libc", "libc", "is_interrupted_aside"] + START,
                     COMPLETE),
    "large_frame": (RAISED + ["has_large_frame"] + START, COMPLETE),
    "alloca": (RAISED + ["has_alloca"] + START, COMPLETE),
    "qsort": (RAISED + ["compare", "libc", "libc", "libc", "sorts"] + START, COMPLETE),
    "thread": (NESTED + ["in_thread", "libc", "libc"], COMPLETE),
    "own": (["walks_itself"] + START, COMPLETE),
    "linkage_stub": (["like_linkage_stub", "calls_by_stub"] + START, COMPLETE),
    "first_stub": (["like_first_stub", "calls_by_first_stub"] + START, COMPLETE),
    "without_information": (NESTED + ["without_information", "calls_without_information"] + START, COMPLETE),
    "link_forgotten": (NESTED + ["with_link_forgotten"], UNKNOWN_REGISTER),
    "other_base": (NESTED + ["with_other_base"], UNKNOWN_REGISTER),
}
TIMES = {"each_instruction": 5, "each_instruction_signed": 5}
# libgcc's goes no further than code without information, and is not asked where no signal came.
BACKTRACE_REACHES = {"own": 0, "linkage_stub": 1, "first_stub": 1, "without_information": len(NESTED) + 1}
# It goes on where ours ends, by what those two functions say of themselves.
BACKTRACE_GOES_ON = ("link_forgotten", "other_base")
PROGRAMS = ("unwind", "unwind_no_frame_pointer")


def run(program):
    command = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", pprof.BUILD / "aarch64" / program]
    done = subprocess.run(command, capture_output=True, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr.decode())
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


@pytest.fixture(scope="module")
def lines():
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return dict(zip(PROGRAMS, pool.map(run, PROGRAMS)))


def expected(program, case):
    frames, end = WALKS[case]
    if program == "unwind_no_frame_pointer" and case == "without_information":
        # Where that function's frame ends is not known, and x29 does not tell where its caller's is.
        return frames[:-len(START)], NO_UNWIND_INFO
    return frames, end


@pytest.mark.parametrize("case", WALKS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_walk(lines, program, case):
    walks = [line for line in lines[program] if line["case"] == case]
    assert len(walks) == TIMES.get(case, 1)
    frames, end = expected(program, case)
    for walk in walks:
        assert (walk["frames"], walk["end"]) == (frames, end)
        assert walk["is_same"], "a walk along the last one differs from one by rules"
        assert walk["agreed"] == BACKTRACE_REACHES.get(case, len(frames))
        assert walk["differs"] == (case in BACKTRACE_GOES_ON)


@pytest.mark.parametrize("program", PROGRAMS)
def test_walks_wherever_a_timer_interrupts(lines, program):
    (result,) = [line for line in lines[program] if line["case"] == "random"]
    assert result["walks"] >= 300
    assert result["differences"] == 0
