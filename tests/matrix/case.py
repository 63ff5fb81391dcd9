"""A case of the matrix: a program that checks itself, run without libprof.so and with it. Cases are data; see `run` for what is compared."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Case:
    # In words, arguments and settings {folder} is the working folder, {profiles} that of the profiles, {build} the build folder, {library}
    # libprof.so. The first word is a program of build/programs, or a command.
    name: str
    command: tuple
    env: dict = dataclasses.field(default_factory=dict)  # of both runs
    prof: dict = dataclasses.field(default_factory=dict)  # on top of every kind at 1000 Hz; None: not this one
    expects: tuple = ()  # functions that the CPU profiles have
    # "written": one of each kind that is set, but for stacks, which are for a signal; "none": no file at all; "any": as it comes.
    profiles: str = "written"
    needs: tuple = ()  # commands without which the case is left out
    log: tuple = ()  # patterns of libprof's own lines that may be there; no other may
    profrun: bool = False  # started by profrun, not by LD_PRELOAD
