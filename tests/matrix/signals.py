"""Programs that have a use of their own for the signals that libprof uses, and calls that a signal could interrupt."""

from case import Case

CASES = [
    Case("sigprof_unused", ("signals_own_sigprof",), expects=("works_before", "works_meanwhile")),
    Case("sigprof_blocked", ("signals_own_sigprof", "blocks"), expects=("works_before",)),
    Case("sigprof_ignored", ("signals_own_sigprof", "ignores"), expects=("works_before",)),
    Case("by_profrun", ("signals_own_sigprof",), profrun=True, expects=("works_before",)),
]
