"""Every allocator, and every place where one can be: behind libprof (seen), in front of it or inside the program (not seen, and
the profile says so); with profilers of their own switched on. The program does what it does without libprof."""

import concurrent.futures
import pathlib
import re
import subprocess

import pytest

import conftest
import heap
import pprof

LIBRARY = str(pprof.BUILD / "libprof.so")
PROGRAMS = pprof.BUILD / "programs"
SOURCES = pprof.ROOT / "tests" / "programs"
VARIANTS = pprof.BUILD / "allocator_programs"
ALLOCATORS = {"jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc.so.4",
              "tcmalloc_minimal": "libtcmalloc_minimal.so.4", "mimalloc": "libmimalloc.so.2"}
ARCHIVES = {"jemalloc": "libjemalloc_pic.a", "tcmalloc_minimal": "libtcmalloc_minimal.a", "mimalloc": "libmimalloc.a"}
RATES = {"exact": 1, "default": None}
# Plugins of a C program: with the C++ library as a shared one, inside, and with operators of its own.
PLUGINS = {"shared": ["shared"], "inside": ["inside"], "own": ["own"], "shared_inside": ["shared", "inside"],
           "inside_shared": ["inside", "shared"], "own_shared": ["own", "shared"], "shared_own": ["shared", "own"],
           "inside_own_shared": ["inside", "own", "shared"]}
ROUNDS = 3
TAKEN = "(anonymous namespace)::taken"
PYTHON = """
import ctypes
library = ctypes.CDLL('{plugin}')
kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int)
print(library.plugin_works(b'brt', kind(lambda function, argument: None)), flush=True)
"""


def installed(name):
    """The file of a library, or None."""
    found = sorted(pathlib.Path("/usr/lib").glob(f"*-linux-gnu/{name}"))
    return str(found[0]) if found else None


def present(table):
    return [name for name, file in table.items() if installed(file)]


def variant(name, source, *words):
    """A program of tests/programs, built another way; None where the compiler or the linker cannot."""
    VARIANTS.mkdir(exist_ok=True)
    program, source = VARIANTS / name, SOURCES / source
    headers = [SOURCES / "heap_books.h", SOURCES / "victim.h"]
    if program.exists() and program.stat().st_mtime > max(file.stat().st_mtime for file in [source, *headers]):
        return program
    flags = re.search(r"^// build: (.*)$", source.read_text(), re.MULTILINE).group(1).split()
    compiler = "g++" if source.suffix == ".cc" else "gcc"
    command = [compiler, "-O2", "-g", *flags, "-o", program, source, *words, "-lpthread", "-ldl"]
    answer = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    return program if answer.returncode == 0 else None


def linked(name, source, allocator):
    return variant(f"{name}.{allocator}", source, "-Wl,--no-as-needed", f"-l:{ALLOCATORS[allocator]}")


def with_archive(name, source, allocator):
    return variant(f"{name}.{allocator}.static", source, f"-l:{ARCHIVES[allocator]}", "-lstdc++", "-lm")


def plugin(kind):
    return {"shared": lambda: PROGRAMS / "heap_allocator_cpp_plugin",
            "inside": lambda: variant("plugin.inside", "heap_allocator_cpp_plugin.cc", "-static-libstdc++", "-static-libgcc"),
            "own": lambda: variant("plugin.own", "heap_allocator_cpp_plugin.cc", "-DOWN_NEW")}[kind]()


def asan_programs():
    flags = ["-fsanitize=address", "-fno-omit-frame-pointer"]
    return {"asan_shared": variant("calls.asan", "heap_allocator_calls.cc", *flags),
            "asan_inside": variant("calls.asan.static", "heap_allocator_calls.cc", *flags, "-static-libasan")}


def build_side_by_side():
    """Most of the variants; who asks for one afterwards finds it there."""
    calls = "heap_allocator_calls.cc"
    builds = [(linked, "calls", calls, name) for name in present(ALLOCATORS)]
    builds += [(with_archive, "calls", calls, name) for name in present(ARCHIVES)]
    builds += [(variant, "calls.libstdc++", calls, "-static-libstdc++", "-static-libgcc"), (asan_programs,)]
    builds += [(plugin, kind) for kind in ("inside", "own")]
    with concurrent.futures.ThreadPoolExecutor(conftest.CORES) as pool:
        for job in [pool.submit(*build) for build in builds]:
            job.result()


def RUNS():
    build_side_by_side()
    runs = {}

    def add(name, command, *preloads, **others):
        """Without libprof, and with it at each rate. preloads: what stands before libprof, and what after it."""
        before, after = [*preloads, None, None][:2]
        around = [file for file in (before, after) if file]
        runs[f"{name} plain"] = (command, {}, {"preload": False, "environment": {
            variable: value for variable, value in others.items()} | ({"LD_PRELOAD": ":".join(around)} if around else {})})
        order = ":".join(file for file in (before, LIBRARY, after) if file)
        for rate_name, rate in RATES.items():
            runs[f"{name} {rate_name}"] = (command, heap.settings(rate, LD_PRELOAD=order, **others))

    calls, jemalloc, mimalloc = "heap_allocator_calls", "heap_allocator_jemalloc", "heap_allocator_mimalloc"
    add("glibc", [calls])
    add("glibc fork", [calls, "fork"])
    add("static_libstdc++", [variant("calls.libstdc++", calls + ".cc", "-static-libstdc++", "-static-libgcc")])
    for name in present(ALLOCATORS):
        file = installed(ALLOCATORS[name])
        add(f"{name} after", [calls], None, file)
        add(f"{name} after fork", [calls, "fork"], None, file)
        add(f"{name} before", [calls], file)
        add(f"{name} before fork", [calls, "fork"], file)
        add(f"{name} linked", [linked("calls", calls + ".cc", name)])
        add(f"{name} linked fork", [linked("calls", calls + ".cc", name), "fork"])
        add(f"names {name}", [jemalloc], None, file)
        add(f"mi names {name}", [mimalloc], None, file)
    for name in present(ARCHIVES):
        add(f"{name} inside", [with_archive("calls", calls + ".cc", name)])
        add(f"{name} inside fork", [with_archive("calls", calls + ".cc", name), "fork"])
    if installed(ALLOCATORS["jemalloc"]):
        file = installed(ALLOCATORS["jemalloc"])
        add("mallocx linked", [linked("mallocx", jemalloc + ".c", "jemalloc")])
        add("mallocx before", [jemalloc], file)
        add("jemalloc's profiler", [calls], None, file,
            MALLOC_CONF="prof:true,lg_prof_sample:0,prof_final:true,prof_prefix:jemalloc")
    if installed(ARCHIVES["jemalloc"]):
        add("mallocx inside", [with_archive("mallocx", jemalloc + ".c", "jemalloc")])
    if installed(ALLOCATORS["mimalloc"]):
        add("mi_malloc linked", [linked("mi_malloc", mimalloc + ".c", "mimalloc")])
        add("mi_malloc before", [mimalloc], installed(ALLOCATORS["mimalloc"]))
    if installed(ALLOCATORS["tcmalloc"]):
        file = installed(ALLOCATORS["tcmalloc"])
        add("tcmalloc's profiler", [calls], None, file, HEAPPROFILE="./tcmalloc")
        add("tcmalloc's profiler before", [calls], file, HEAPPROFILE="./tcmalloc")
    add("names", [jemalloc])
    runs["names cpu"] = ([jemalloc],)
    runs["names nothing asked for"] = ([jemalloc], {"PROF_CPU": None})
    add("own_new", ["heap_allocator_own_new"])
    add("own_malloc", ["heap_allocator_own_malloc"])
    add("wrapper", [calls], str(PROGRAMS / "heap_allocator_wrapper"))
    add("deepbind deep", ["heap_allocator_deepbind", "deep"])
    add("deepbind plain", ["heap_allocator_deepbind", "plain"])
    for name, kinds in PLUGINS.items():
        add(f"plugins {name}", ["heap_allocator_c_host", "bret", ROUNDS, *map(plugin, kinds)])
        add(f"plugins peacefully {name}", ["heap_allocator_c_host", "b", ROUNDS, *map(plugin, kinds)])
    add("python", ["/usr/bin/python3", "-c", PYTHON.replace("{plugin}", str(plugin("shared")))])
    for name, program in asan_programs().items():
        if program:
            add(name, [program])
            add(f"{name} unordered", [program], ASAN_OPTIONS="verify_asan_link_order=0")
            add(f"{name} unordered fork", [program, "fork"], ASAN_OPTIONS="verify_asan_link_order=0")
    if installed("libasan.so.8"):
        add("asan_shared first", [asan_programs()["asan_shared"]], installed("libasan.so.8"))
    return runs


def need(name, table=ALLOCATORS):
    if name in table and not installed(table[name]):
        pytest.skip(f"{table[name]} is not installed")


def check_same(runs, name):
    """What it prints, its exit code, and nothing from libprof on stderr, at both rates."""
    plain = runs[f"{name} plain"]
    plain.check_unharmed()
    assert plain.stdout
    for rate in RATES:
        run = runs[f"{name} {rate}"]
        run.check_unharmed()
        assert run.stdout == plain.stdout, rate
        assert run.log == [], run.stderr
    return runs[f"{name} exact"]


def check_books(books, profile, own_leaf=True):
    """Each function, each size of each function, and no size that was never asked for; in the function's own frame, but for what
    libc allocates for it."""
    for function, rows in books.items():
        sizes = profile.sizes_of(function)
        for size, row in rows.items():
            truth = heap.expected({size: row})
            assert sizes.pop(int(size), heap.NOTHING) == truth, (function, size, profile.describe())
        assert not sizes, (function, sizes)
        if own_leaf and function not in ("duplicates", "makes_string"):
            assert profile.of_leaf(function) == heap.expected(rows), (function, profile.describe())


def check_not_seen(run, profile, where):
    """The profile names the allocator that was called instead, and claims nothing of it."""
    assert len(profile.comment("is not seen by libprof")) == 1 and profile.comment(where), profile.comments
    for function in run.result["books"]:
        assert profile.of(function) == heap.NOTHING, profile.describe()


def check_nothing_lost(profile):
    assert not profile.comment("not seen") and not profile.comment("memory was full"), profile.comments


SEEN = ["glibc", "static_libstdc++"] + [f"{name} {place}" for name in ALLOCATORS for place in ("after", "linked")]


@pytest.mark.parametrize("name", SEEN)
def test_seen(runs, name):
    """Whatever allocator is behind libprof: each call once, with the size that was asked for."""
    need(name.split()[0])
    run = check_same(runs, name)
    result, profile = run.result, heap.read(run.folder / "heap.prof")
    assert result["wrong"] == 0 and result["looked_at"] > 5000
    check_books(result["books"], profile)
    check_nothing_lost(profile)


@pytest.mark.parametrize("name", ["glibc"] + [name for name in SEEN if " " in name])
def test_seen_in_a_child(runs, name):
    """The child does the same work as its parent does afterwards, and each has its own books."""
    need(name.split()[0])
    run = check_same(runs, f"{name} fork")
    first, second = run.stdout.decode().splitlines()
    assert first == second
    ((_, child),) = heap.children(run).items()
    for profile in (child, heap.read(run.folder / "heap.prof")):
        check_books(run.result["books"], profile)
        check_nothing_lost(profile)


@pytest.mark.parametrize("name", ALLOCATORS)
def test_all_allocators_do_the_same(runs, name):
    """Or the comparisons above would compare different work."""
    need(name)
    assert runs[f"{name} after plain"].stdout == runs["glibc plain"].stdout


@pytest.mark.parametrize("fork", ["", " fork"])
@pytest.mark.parametrize("name", ALLOCATORS)
def test_preloaded_before_libprof(runs, name, fork):
    """What the program calls is the allocator's own; the one that is before us has nothing for us to see."""
    need(name)
    run = check_same(runs, f"{name} before{fork}")
    check_not_seen(run, heap.read(run.folder / "heap.prof"), ALLOCATORS[name])


@pytest.mark.parametrize("fork", ["", " fork"])
@pytest.mark.parametrize("name", ARCHIVES)
def test_inside_the_program(runs, name, fork):
    """Linked statically, the allocator is the program's; that libprof's operator new is never reached either is the
    linker's doing, as these archives have one."""
    need(name, ARCHIVES)
    run = check_same(runs, f"{name} inside{fork}")
    check_not_seen(run, heap.read(run.folder / "heap.prof"), f"{name}.static")


def test_own_malloc_inside_the_program(runs):
    """Without operators of its own: the C++ library's operator new, which goes through libprof, is served by it too, and what
    it gives out the program may free by its own free."""
    run = check_same(runs, "own_malloc")
    assert run.result["reached"] == 1 and run.result["wrong"] == 0
    profile = heap.read(run.folder / "heap.prof")
    assert len(profile.comment("is not seen by libprof")) == 1 and profile.comment("heap_allocator_own_malloc and")
    assert profile.of("mallocs") == profile.of("duplicates") == heap.NOTHING, profile.describe()


def jemalloc_live(run):
    """(objects, bytes) that jemalloc's own profile has as live at the end, of the program's functions or not."""
    (file,) = run.folder.glob("jemalloc.*.f.heap")
    first = re.search(r"^ +t\*: (\d+): (\d+) ", file.read_text(), re.MULTILINE)
    return int(first[1]), int(first[2])


def test_jemallocs_own_profiler(runs):
    """Both profile the same blocks. What jemalloc counts at the end is the program's, with or without libprof: a few blocks of the
    loader's, for one more library, are all that there may be in addition."""
    need("jemalloc")
    plain = runs["jemalloc's profiler plain"]
    if not list(plain.folder.glob("jemalloc*")):
        pytest.skip("this jemalloc has no profiler")
    run = check_same(runs, "jemalloc's profiler")
    profile = heap.read(run.folder / "heap.prof")
    check_books(run.result["books"], profile)
    check_nothing_lost(profile)
    objects, size = jemalloc_live(run)
    plain_objects, plain_size = jemalloc_live(plain)
    assert plain_objects > 100
    assert plain_objects <= objects <= plain_objects + 16 and plain_size <= size <= plain_size + 16384


@pytest.mark.parametrize("place", ["", " before"])
def test_tcmallocs_own_profiler(runs, place):
    need("tcmalloc")
    run = check_same(runs, "tcmalloc's profiler" + place)
    for one in (run, runs[f"tcmalloc's profiler{place} plain"]):
        assert [path for path in one.folder.glob("tcmalloc.*.heap") if path.read_text().startswith("heap profile:")]
    profile = heap.read(run.folder / "heap.prof")
    if place:
        check_not_seen(run, profile, ALLOCATORS["tcmalloc"])
    else:
        check_books(run.result["books"], profile)
        check_nothing_lost(profile)


def test_own_operator_new(runs):
    """The program's operators are called as often as without libprof, and a block is counted once: by malloc, beneath them."""
    run = check_same(runs, "own_new")
    assert run.result["news"] > 5000 and run.result["refused"] == 2
    profile = heap.read(run.folder / "heap.prof")
    check_books(run.result["books"], profile, own_leaf=False)
    check_nothing_lost(profile)


def test_wrapper_before_libprof(runs):
    """A library in front that hands on: what it hands on is counted, and the profile does not say that it is not seen."""
    run = check_same(runs, "wrapper")
    profile = heap.Profile(pprof.document(run.folder / "heap.prof"))  # a wrapper's malloc is a caller like another
    check_books(run.result["books"], profile, own_leaf=False)
    check_nothing_lost(profile)


def test_plugin_in_the_usual_scope(runs):
    run = check_same(runs, "deepbind plain")
    profile = heap.read(run.folder / "heap.prof")
    check_books(run.result["books"], profile)
    check_nothing_lost(profile)


def test_deepbind(runs):
    """The plugin's calls go past libprof. What the program allocates is counted, whoever frees it; a block that the plugin frees
    counts as live at most until its address is given out again."""
    run = check_same(runs, "deepbind deep")
    assert run.result["wrong"] == 0
    profile = heap.read(run.folder / "heap.prof")
    books = run.result["books"]
    check_books({name: books[name] for name in ("for_itself", "grows_plugins")}, profile)
    given = profile.sizes_of("for_plugin")
    for size, row in books["for_plugin"].items():
        assert given[int(size)][:2] == heap.expected({size: row})[:2], profile.describe()
    assert profile.of("plugin_takes") == profile.of("plugin_grows") == heap.NOTHING


def test_deepbind_blocks_are_found_to_be_gone(runs):
    """Each address that is given out again is known to be free. All 1200 blocks leave by the plugin, and two thirds of the addresses
    go to the next block of their size at once: those cannot be live any more, nor can most others."""
    run = runs["deepbind deep exact"]
    profile = heap.read(run.folder / "heap.prof")
    assert profile.comment("free was not seen"), profile.comments
    assert profile.of("for_plugin")[2] <= 1200 / 2, profile.describe()


@pytest.mark.parametrize("how", ["mallocx linked", "names jemalloc"])
def test_jemallocs_own_calls(runs, how):
    need("jemalloc")
    run = check_same(runs, how)
    assert run.result["wrong"] == 0 and "mallocx: there" in run.stdout.decode()
    assert {len(rows) > 0 for rows in run.result["books"].values()} == {True}
    profile = heap.read(run.folder / "heap.prof")
    check_books(run.result["books"], profile)
    check_nothing_lost(profile)


@pytest.mark.parametrize("how", ["mallocx before", "mallocx inside"])
def test_jemallocs_own_calls_unharmed(runs, how):
    """Where the allocator is before us or inside. Its calls may be seen all the same, or not: but not by halves."""
    need("jemalloc", ARCHIVES if how.endswith("inside") else ALLOCATORS)
    run = check_same(runs, how)
    assert run.result["wrong"] == 0
    profile = heap.read(run.folder / "heap.prof")
    assert len(profile.comment("is not seen by libprof")) == 1, profile.comments
    for function, rows in run.result["books"].items():
        assert profile.of(function) in (heap.NOTHING, heap.expected(rows)), (function, profile.describe())


@pytest.mark.parametrize("how", ["mi_malloc linked", "mi names mimalloc"])
def test_mimallocs_own_calls(runs, how):
    need("mimalloc")
    run = check_same(runs, how)
    assert run.result["wrong"] == 0 and run.result["absent"] == 0
    check_books(run.result["books"], heap.read(run.folder / "heap.prof"))


def test_mimallocs_own_calls_unharmed(runs):
    need("mimalloc")
    run = check_same(runs, "mi_malloc before")
    assert run.result["wrong"] == 0 and run.result["absent"] == 0
    profile = heap.read(run.folder / "heap.prof")
    assert len(profile.comment("is not seen by libprof")) == 1, profile.comments
    for function, rows in run.result["books"].items():
        assert profile.of(function) in (heap.NOTHING, heap.expected(rows)), (function, profile.describe())


def test_nothing_is_there_that_was_not(runs):
    """A program that asks whether jemalloc is there, or what else there might be, has the answers that it has without libprof;
    and no error of dlsym's is left for it to find."""
    lines = check_same(runs, "names").stdout.decode().splitlines()
    assert lines[0] == "left behind in dlerror: nothing"
    assert lines[1] == "mallocx: absent, by dlsym absent"
    for how in ("cpu", "nothing asked for"):
        run = runs[f"names {how}"]
        run.check_unharmed()
        assert run.stdout.decode().splitlines() == lines, how


@pytest.mark.parametrize("name", [name for name in ALLOCATORS if name != "jemalloc"])
def test_nothing_is_there_that_was_not_beside_others(runs, name):
    need(name)
    check_same(runs, f"names {name}")
    check_same(runs, f"mi names {name}")


@pytest.mark.parametrize("name", PLUGINS)
def test_cpp_plugins_of_a_c_program(runs, name):
    """Operator new, bad_alloc, the new_handler and exceptions are those of the plugin's own C++ library, or of the plugin, though
    libprof's operator new stands in front of all."""
    check_same(runs, f"plugins {name}")


@pytest.mark.parametrize("name", PLUGINS)
def test_cpp_plugins_without_a_failure(runs, name):
    """The same without exceptions: blocks of every operator, by each plugin's own."""
    check_same(runs, f"plugins peacefully {name}")


@pytest.mark.parametrize("name", ["shared", "inside", "shared_inside"])
def test_cpp_plugins_are_counted(runs, name):
    """What `taken` asks operator new for, each time a plugin works: 1, 4, 13, … bytes, freed again."""
    profile = heap.read(runs[f"plugins peacefully {name} exact"].folder / "heap.prof")
    sizes, calls = [1], ROUNDS * len(PLUGINS[name])
    while sizes[-1] * 3 + 1 < 100000:
        sizes.append(sizes[-1] * 3 + 1)
    assert profile.sizes_of(TAKEN) == {size: (calls, calls * size, 0, 0) for size in sizes}, profile.describe()


def test_python_extension(runs):
    """An interpreter in C loads a C++ library into a scope of its own."""
    run = check_same(runs, "python")
    assert run.stdout.decode().splitlines()[-1] == "0"
    assert heap.read(run.folder / "heap.prof").of(TAKEN)[0] > 0


def asan_variant(name):
    if not asan_programs()[name]:
        pytest.skip("this compiler has no AddressSanitizer")


def test_asan_inside(runs):
    """The sanitizer's malloc is the program's own."""
    asan_variant("asan_inside")
    run = check_same(runs, "asan_inside")
    check_not_seen(run, heap.read(run.folder / "heap.prof"), "calls.asan.static")


def test_asan_shared(runs):
    """The sanitizer refuses to start behind any preloaded library, and says so in one line; it is not libprof's to change. If it
    starts, it does the same."""
    asan_variant("asan_shared")
    plain = runs["asan_shared plain"]
    plain.check_unharmed()
    for rate in RATES:
        run = runs[f"asan_shared {rate}"]
        assert not run.stuck
        if run.returncode == 0:
            assert run.stdout == plain.stdout
        else:
            (line,) = [line for line in run.stderr.decode().splitlines() if line.strip()]
            assert "ASan runtime does not come first in initial library list" in line and run.stdout == b""


def test_asan_shared_first(runs):
    """As its line says: the runtime is preloaded in front."""
    asan_variant("asan_shared")
    if not installed("libasan.so.8"):
        pytest.skip("another version of the sanitizer")
    run = check_same(runs, "asan_shared first")
    check_not_seen(run, heap.read(run.folder / "heap.prof"), "libasan.so.8")


@pytest.mark.parametrize("fork", ["", " fork"])
def test_asan_behind_libprof(runs, fork):
    """Where the sanitizer has been told not to look, its allocator is one like another; but strdup is the sanitizer's, which calls
    no malloc that anybody could see."""
    asan_variant("asan_shared")
    run = check_same(runs, "asan_shared unordered" + fork)
    profile = heap.read(run.folder / "heap.prof")
    check_books({name: rows for name, rows in run.result["books"].items() if name != "duplicates"}, profile)
    check_nothing_lost(profile)
