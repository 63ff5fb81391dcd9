"""Every way in which a program ends."""

import signal

from case import Case

FIRST = ("work_first",)
BOTH = ("work_first", "work_second")
FAULTS = (signal.SIGSEGV, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP)
# One by one; every_signal has the others too.
NUMBERS = {"HUP": 1, "INT": 2, "PIPE": 13, "TERM": 15, "RTMIN": 34}


def case(name, *words, expects=FIRST, **options):
    return Case(name, ("endings_ways", *map(str, words)), expects=expects, **options)


NO_KIND = {name: None for name in ("PROF_CPU", "PROF_WALL", "PROF_HEAP", "PROF_ALLOCS", "PROF_BLOCK", "PROF_MUTEX", "PROF_THREAD",
                                   "PROF_STACKS", "PROF_TRACE")}


def begun(name, *words, **options):
    """No setting asks for anything: the program itself has begun a CPU profile."""
    return case(f"begun_{name}", *words, env={"ENDINGS_PROFILE": "{profiles}/cpu.prof"}, prof=NO_KIND | {"PROF_API": "1"}, **options)


CASES = [
    case("return", "return"),
    *(case(way, way) for way in ("exit", "_exit", "_Exit", "quick_exit", "abort", "abort_handled", "abort_exits", "abort_ignored")),
    *(case(way, way, expects=BOTH) for way in ("thread_exit", "thread__exit", "thread_abort", "thread_segv", "threads_segv",
                                               "thread_last_TERM", "pthread_exit", "threads_exit", "thread_cancelled", "threads_exec")),
    *(case(f"signal_{name}", "raise", int(number)) for name, number in NUMBERS.items()),
    *(case(f"fault_{number.name[3:]}", "fault", int(number)) for number in FAULTS),
    *(case(f"fault_{number.name[3:]}_handled", "fault_handled", int(number)) for number in FAULTS),
    case("fault_SEGV_once", "fault_once", int(signal.SIGSEGV)),
    case("signal_PROF", "raise", int(signal.SIGPROF)),
    case("signal_PROF_unused", "raise", int(signal.SIGPROF), expects=(), prof={name: None for name in ("PROF_CPU", "PROF_WALL", "PROF_TRACE", "PROF_STACKS")}),
    case("signal_USR2_given_back", "raise_reset", int(signal.SIGUSR2), log=("PROF_SIGNAL: the program handles",)),
    case("signal_TERM_raised_again", "raise_again", int(signal.SIGTERM)),
    case("signal_TERM_once", "raise_once", int(signal.SIGTERM)),
    case("exit_after__exit", "_exit_then_exit"),
    case("signal_TERM_small_stack", "raise_on_small_stack"),
    case("every_signal", "every_signal", expects=BOTH),
    case("signals_in_pairs", "pairs", expects=BOTH),
    case("signals_seen", "views"),
    case("children", "children", expects=BOTH),
    case("exit_of_vfork_child", "vfork_exits", expects=BOTH),
    case("daemon", "daemon", expects=BOTH),
    case("exec", "exec", expects=BOTH),
    case("exec_after_failures", "exec_fails", expects=BOTH),
    case("exec_unreadable", "exec_unreadable", expects=BOTH),
    *(begun(way, way) for way in ("return", "_exit", "quick_exit", "abort", "abort_handled", "exec", "daemon")),
    *(begun(way, way, expects=BOTH) for way in ("thread__exit", "threads_segv", "thread_last_TERM")),
    *(begun(f"signal_{name}", "raise", int(NUMBERS[name])) for name in ("TERM", "RTMIN")),
    begun("fault_SEGV", "fault", int(signal.SIGSEGV)),
    begun("signal_TERM_small_stack", "raise_on_small_stack"),
    begun("signals_seen", "views"),
    *(Case(f"small_stack_{what}", ("endings_small_stacks", what), expects=FIRST, log=("PROF_FOLLOW",))
      for what in ("overflow", "fork", "fork_exec", "spawn", "exit", "quick_exit", "raise")),
    *(Case(f"small_thread_{what}", ("endings_small_stacks", what, "thread"), expects=FIRST) for what in ("fork", "fork_exec", "spawn")),
    # As a kernel before 5.8 or 5.9 does, or the filter of a container: faccessat2, close_range.
    *(Case(f"{name}_refused_{how}", ("sh", "-c", f"LD_PRELOAD= exec {{build}}/programs/refuses {number} 38 env LD_PRELOAD=\"$LD_PRELOAD\" "
                                     f"{{build}}/programs/endings_ways {how}"), expects=BOTH)
      for name, number in (("faccessat2", 439), ("close_range", 436)) for how in ("exec", "daemon")),
    *(Case(f"amid_calls_{what}", ("endings_amid_calls", what), profiles="any") for what in ("forks", "executes", "both_execute", "both_fail")),
    case("seccomp_probed", "seccomp_probed"),
    case("seccomp_strict", "strict", log=("seccomp",)),
]
