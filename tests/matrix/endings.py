"""Every way in which a program ends."""

import signal

from case import Case

FIRST = ("work_first",)
BOTH = ("work_first", "work_second")
FAULTS = (signal.SIGSEGV, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP)
# Whose default is the end. 34 and 64: the real-time signals' first and last.
DEADLY = ("HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "USR1", "SEGV", "PIPE", "ALRM", "TERM", "STKFLT", "XCPU", "XFSZ",
          "VTALRM", "IO", "PWR", "SYS")
NUMBERS = {**{name: getattr(signal, "SIG" + name, 16) for name in DEADLY}, "RTMIN": 34, "RTMAX": 64}


def case(name, *words, expects=FIRST, **options):
    return Case(name, ("endings_ways", *map(str, words)), expects=expects, **options)


CASES = [
    case("return", "return"),
    *(case(way, way) for way in ("exit", "_exit", "_Exit", "quick_exit", "abort", "abort_handled", "abort_exits", "abort_ignored")),
    *(case(way, way, expects=BOTH) for way in ("thread_exit", "thread__exit", "thread_abort", "thread_segv", "threads_segv",
                                               "thread_last_TERM", "pthread_exit")),
    *(case(f"signal_{name}", "raise", int(number)) for name, number in NUMBERS.items()),
    *(case(f"fault_{number.name[3:]}", "fault", int(number)) for number in FAULTS),
    *(case(f"fault_{number.name[3:]}_handled", "fault_handled", int(number)) for number in FAULTS),
    case("fault_SEGV_once", "fault_once", int(signal.SIGSEGV)),
    case("signal_TERM_raised_again", "raise_again", int(signal.SIGTERM)),
    case("signal_TERM_once", "raise_once", int(signal.SIGTERM)),
    case("signals_seen", "views"),
    case("children", "children", expects=BOTH),
    case("daemon", "daemon", expects=BOTH),
    case("exec", "exec", expects=BOTH),
    case("exec_after_failures", "exec_fails", expects=BOTH),
    case("seccomp_strict", "strict", expects=(), profiles="any"),
]
