"""What differed in test suites that others wrote (tests/suites), each brought down to a program."""

from case import Case

CASES = [
    Case("large_writes", ("suites_pipes", "writes"), expects=("works_first",)),
    Case("exec_at_once", ("suites_pipes", "execs"), expects=("works_first",)),
]
