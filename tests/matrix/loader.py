"""How a program and libprof.so come together: other libraries that are preloaded, every layout of a program, loading at run time."""

import dataclasses
import pathlib

from case import Case

WORKS = ("loader_works",)
LIBRARIES = {
    "jemalloc": "libjemalloc.so.2", "mimalloc": "libmimalloc.so.2", "tcmalloc": "libtcmalloc.so.4", "tcmalloc_minimal": "libtcmalloc_minimal.so.4",
    "tcmalloc_and_profiler": "libtcmalloc_and_profiler.so.4", "profiler": "libprofiler.so.0", "eatmydata": "libeatmydata.so",
    "faketime": "faketime/libfaketime.so.1", "asan": "libasan.so.8", "ubsan": "libubsan.so.1", "tsan": "libtsan.so.2",
}
SANITIZERS = ("asan", "tsan")  # these insist on being the first
SETTINGS = {"faketime": {"FAKETIME": "+3d"}, "tsan": {"TSAN_OPTIONS": "report_bugs=0"}, "asan": {"ASAN_OPTIONS": "detect_leaks=0"}}
# How loader_work is linked (tests/rules.mk).
LAYOUTS = ["lld", "mold", "now", "lazy", "sysv", "separate", "noseparate", "noid", "relr", "nopie", "execstack", "stripped", "noplt", "runpath", "ubsan"]


def file_of(library):
    found = sorted(pathlib.Path("/usr/lib").glob(f"*-linux-gnu/{LIBRARIES[library]}"))
    return str(found[0]) if found else None


# They take SIGPROF for themselves, in both orders.
OWN_PROFILERS = ("profiler", "tcmalloc_and_profiler")
SECOND = (r"this process has a second libprof\.so, before this one",)
TAKEN = (r"another library handles SIGPROF already", r"the program handles SIGPROF itself")


def beside(name, others, command=("loader_work",), first=False, **more):
    """first: the others stand before libprof."""
    files = [file_of(other) for other in others]
    if None in files:
        return []
    env = {"LD_PRELOAD": ":".join(files)}
    for other in others:
        env |= SETTINGS.get(other, {})
    prof = {"LD_PRELOAD": f"{env['LD_PRELOAD']}:{{library}}"} if first else {}
    if set(others) & set(OWN_PROFILERS):
        return [Case(name, command, env, prof, profiles="any", log=TAKEN, **more)]
    return [Case(name, command, env, prof, expects=WORKS, **more)]


CASES = [Case(f"layout_{layout}", (f"loader_work.{layout}",), expects=() if layout == "stripped" else WORKS) for layout in LAYOUTS]
CASES += [Case(f"static_{kind}", (f"loader_work.{kind}",), profiles="none") for kind in ("static", "staticpie")]
for library in LIBRARIES:
    if library not in SANITIZERS:
        CASES += beside(f"before_{library}", [library])
    CASES += beside(f"behind_{library}", [library], first=True)
CASES += beside("before_three", ["eatmydata", "tcmalloc_minimal", "faketime"])
CASES += beside("behind_three", ["faketime", "tcmalloc_minimal", "eatmydata"], first=True)
CASES += beside("asan_program", ["asan"], ("loader_work.asan",), first=True)
# As a child it goes without libprof; executed in the place of a profiled program too.
ASAN_CHILD = "{build}/programs/loader_work.asan; echo ended $?; env -i {build}/programs/loader_work.asan; exec {build}/programs/loader_work.asan"
CASES += [Case("asan_child", ("/bin/bash", "-c", ASAN_CHILD), SETTINGS["asan"], profiles="any")]
CASES += beside("tsan_program", ["tsan"], ("loader_work.tsan",), first=True)
for how, speed in {"back": "+0 x-3", "hurries": "+0 x50", "stands": "2026-01-02 03:04:05"}.items():
    CASES += [dataclasses.replace(case, env=case.env | {"FAKETIME": speed}) for case in beside(f"time_{how}", ["faketime"])]
CASES += [
    # Linked, and not preloaded; and both.
    Case("linked", ("loader_work.linked",), prof={"LD_PRELOAD": None}, expects=WORKS),
    Case("linked_and_preloaded", ("loader_work.linked",), expects=WORKS),
    # Two of them: the first that the loader finds is the one that works.
    Case("before_second", ("loader_work",), prof={"LD_PRELOAD": "{library}:{build}/programs/second_libprof.so"}, expects=WORKS, log=SECOND),
    Case("behind_second", ("loader_work",), prof={"LD_PRELOAD": "{build}/programs/second_libprof.so:{library}"}, expects=WORKS, log=SECOND),
    # The loader as the program.
    Case("by_loader", ("/lib64/ld-linux-x86-64.so.2", "{build}/programs/loader_work"), expects=WORKS),
    Case("by_loader_that_preloads", ("/lib64/ld-linux-x86-64.so.2", "--preload", "{library}", "{build}/programs/loader_work"),
         prof={"LD_PRELOAD": None}, expects=WORKS),
    Case("bind_now", ("loader_work",), {"LD_BIND_NOW": "1"}, expects=WORKS),
    Case("bind_not", ("loader_work.lazy",), {"LD_BIND_NOT": "1"}, expects=WORKS),
    Case("audit", ("loader_work",), {"LD_AUDIT": "{build}/programs/loader_audit"}, expects=WORKS),
    Case("audit_lazy", ("loader_work.lazy",), {"LD_AUDIT": "{build}/programs/loader_audit"}, expects=WORKS),
    Case("setuid", ("loader_setuid",), profiles="any"),
    # Plugins while libprof is preloaded.
    Case("plugin", ("loader_dlopen", "l", "{build}/programs/loader_plugin"), expects=("main_works", "plugin_works")),
    Case("plugin_bound_deep", ("loader_dlopen", "d", "{build}/programs/loader_plugin"), expects=("main_works", "plugin_works")),
    Case("plugin_in_namespace", ("loader_dlopen", "n", "{build}/programs/loader_plugin"), expects=("main_works", "plugin_works")),
    Case("plugin_again_and_again", ("loader_dlopen", "lcr", "{build}/programs/loader_plugin"), expects=("main_works", "plugin_works")),
]
# libprof itself by dlopen (the program does the same without settings): it stays, whoever closes it.
BY_DLOPEN = (r"loaded by dlopen: allocations, waits and threads",)
for name, flags in {"local": "l", "global": "g", "bound_deep": "d", "closed": "lc", "closed_twice": "gc2"}.items():
    CASES.append(Case(f"dlopened_{name}", ("loader_dlopen", flags, "{library}", "{build}/programs/loader_plugin"), prof={"LD_PRELOAD": None},
                      expects=("main_works",), log=BY_DLOPEN))
CASES.append(Case("dlopened_in_namespace", ("loader_dlopen", "n", "{library}", "{build}/programs/loader_plugin"), prof={"LD_PRELOAD": None},
                  profiles="none", log=(r"loaded into a namespace of its own",)))
