"""Programs that have a use of their own for the signals that libprof uses, and calls that a signal could interrupt."""

from case import Case

TAKEN = ("handles SIGPROF itself", "reads SIGPROF itself")
WAITS = ("sigwait", "sigwaitinfo", "sigtimedwait", "sigwait_all", "signalfd", "signalfd_all", "sigsuspend", "ppoll", "pselect", "epoll_pwait",
         "pause")
NEVER = ("sigtimedwait", "signalfd", "signalfd_all", "ppoll", "pselect", "epoll_pwait")
SNAPSHOTS = ("PROF_SIGNAL: the program (handles|waits for) signal",)


def waits():
    for call in WAITS:
        for when in ("before", "during"):
            # Of the process, which is about to be given it. Blocked in every thread, as a rule: those that libprof unblocks keep it.
            yield Case(f"sigprof_{call}_{when}", ("signals_waits", "27", call, when), log=TAKEN + SNAPSHOTS, profiles="any")
            also = TAKEN if call == "signalfd_all" else ()
            yield Case(f"usr2_{call}_{when}", ("signals_waits", "12", call, when), log=SNAPSHOTS + also, expects=("workers_work",))
    # Its end, though the mask that the call puts back keeps it out.
    for call in ("sigsuspend", "ppoll", "pselect", "epoll_pwait"):
        for when in ("before", "during"):
            yield Case(f"term_{call}_{when}_default", ("signals_waits", "15", call, when, "default"), expects=("workers_work",))
    for call in NEVER:
        yield Case(f"sigprof_{call}_never", ("signals_waits", "27", call, "never"), log=TAKEN + SNAPSHOTS, profiles="any")
    for call in ("sigwait", "sigsuspend"):
        yield Case(f"sigprof_{call}_itimer", ("signals_waits", "27", call, "itimer"), log=TAKEN, profiles="any")


CASES = [
    Case("sigprof_unused", ("signals_own_sigprof",), expects=("works_before", "works_meanwhile")),
    Case("sigprof_blocked", ("signals_own_sigprof", "blocks"), expects=("works_before",)),
    Case("sigprof_ignored", ("signals_own_sigprof", "ignores"), expects=("works_before", "works_meanwhile")),
    Case("sigprof_handled", ("signals_own_sigprof", "handles"), expects=("works_before",), log=TAKEN),
    Case("sigprof_ignored_then_exec", ("signals_own_sigprof", "ignores_then_exec"), expects=("works_before",)),
    Case("by_profrun", ("signals_own_sigprof",), profrun=True, expects=("works_before",)),
    Case("sigprof_inherited_all", ("signals_inherited", "all"), log=TAKEN, profiles="any", expects=("beside_work",)),
    Case("sigprof_inherited_named", ("signals_inherited", "named"), log=TAKEN, profiles="any",
         expects=("[lost: threads that blocked SIGPROF by name to the end (nobody knows where they were)]",)),
    *[Case(f"sigprof_inherited_{how}_changes", ("signals_inherited", how, "changes"), profiles="any") for how in ("named", "all")],
    *[Case(f"sigprof_named_{how}", ("signals_named", how), expects=("works", "work_after")) for how in ("blocks", "inherits", "executes")],
    *[Case(f"sigprof_named_blocks_{clock}", ("signals_named", "blocks"), expects=("works", "work_after"), prof={"PROF_CPU_CLOCK": clock})
      for clock in ("timer", "user")],
    *[Case(f"simple_{number}", ("signals_simple", number), profiles="any", log=TAKEN + SNAPSHOTS) for number in ("27", "12", "10", "15", "17")],
    *[Case(f"simple_{number}_handled", ("signals_simple", number, "handles"), profiles="any", log=TAKEN + SNAPSHOTS) for number in ("27", "12")],
    Case("sigprof_taken", ("signals_taken",), expects=("beside_work",)),
    *waits(),
    *[Case(f"timer_{how}", ("signals_timers", how), expects=("timed_work",), log=TAKEN if "prof" in how else ())
      for how in ("prof", "virtual", "real", "signal", "thread", "cpu", "sigprof", "ignored", "reset")],
    *[Case(f"timer_{how}", ("signals_timers", how), profiles="any") for how in ("limit", "killed")],
    *[Case(f"timer_{how}", ("signals_timers", how), profiles="any", prof={"PROF_CPU_CLOCK": clock} if clock else {})
      for how in ("exec", "exec_in_child") for clock in (None,)],
    Case("timer_exec_posix", ("signals_timers", "exec"), prof={"PROF_CPU_CLOCK": "timer"}),
    *[Case(f"handlers_{how}", ("signals_handlers", how), expects=("plain_work",))
      for how in ("jump", "allocate", "storm", "queue", "stacks_change", "contexts")],
    Case("handlers_nest", ("signals_handlers", "nest"), expects=("handlers_work",)),
    Case("handlers_once", ("signals_handlers", "once"), profiles="any"),
    Case("handlers_sigprof_once", ("signals_handlers", "sigprof_once"), profiles="any", log=TAKEN),
    Case("handlers_queue_none", ("signals_handlers", "queue", "none"), expects=("plain_work",)),
    Case("handlers_queue_none_posix", ("signals_handlers", "queue", "none"), expects=("plain_work",), prof={"PROF_CPU_CLOCK": "timer"}),
    *[Case(f"stack_{bytes}", ("signals_handlers", "stack", str(bytes)), expects=("plain_work",)) for bytes in (2048, 3072, 4096)],
    *[Case(f"stack_{bytes}_used", ("signals_handlers", "stack", str(bytes), "used"), expects=("plain_work",)) for bytes in (8192, 16384)],
    # A tick in a handler that needs its whole stack would be the end of it.
    *[Case(f"small_stack_{how}", ("signals_small_stack", how), expects=("plain_work", "work_after"))
      for how in ("plain", "before", "looks", "blocks_all", "unblocks", "once", "jumps", "threads", "spawns", "forks", "vforks")],
    *[Case(f"small_stack_{how}", ("signals_small_stack", how), profiles="any") for how in ("executes", "jump_executes", "jump_spawns")],
    Case("small_stack_posix", ("signals_small_stack", "plain"), expects=("plain_work", "work_after"), prof={"PROF_CPU_CLOCK": "timer"}),
    Case("small_stack_names", ("signals_small_stack", "names"), profiles="any"),
    Case("small_stack_own", ("signals_small_stack", "own"), profiles="any", log=TAKEN),
]
