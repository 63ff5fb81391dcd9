"""Trees of processes: which are followed, with the environments that programs hand on, and what each sees of it."""

import json
import os
import signal
import subprocess
import time

import pytest

import pprof

WAYS = ([f"{how}_exec{form}" for form in ("ve", "le", "vpe", "v", "vp", "l", "lp") for how in ("fork", "vfork")] +
        [f"{how}_{name}" for name in ("fexecve", "execveat", "execveat_folder", "execveat_either", "execveat_file") for how in ("fork", "vfork")] +
        ["clone", "posix_spawn", "posix_spawnp", "system", "popen"])
FAST = {"PROF_CPU_HZ": "1000"}

TRIED = [("empty", "1"), ("empty", "0"), ("empty", "trees_exec"), ("empty", "make,cc"), ("handed_on", "1"),
         ("handed_on", "0"), ("other_preload", "1")]
RUNS = {
    **{" ".join(tried): (["trees_exec", "all", tried[0]], FAST | {"PROF_FOLLOW": tried[1]}) for tried in TRIED},
    **{f"{environment} plain": (["trees_exec", "all", environment, 1], {}, {"preload": False})
       for environment in sorted({environment for environment, _ in TRIED})},
    "no_preload": (["trees_exec", "all", "no_preload", 1], FAST),
    "big": (["trees_exec", "all", "big"], FAST),
}


def check_ends(run):
    """The last to run is the program itself, executed again in the same process: it ends with 7."""
    assert not run.stuck and run.returncode == 7, run.stderr.decode()
    lines = run.stdout.decode().splitlines()
    assert sum(line.endswith(" 7") for line in lines) == len(WAYS), lines


def files_of_last(run):
    """Without those of programs that another took the place of."""
    return [name for name in run.files() if ".exec" not in name]


@pytest.mark.parametrize("environment, follow", [tried for tried in TRIED if tried[1] in ("1", "trees_exec")][:-1])
def test_every_way_is_followed(runs, environment, follow):
    run = runs[f"{environment} {follow}"]
    check_ends(run)
    assert run.log == []
    # One for each child, and that of the process, by its last program.
    children = run.children()
    assert len(children) == len(WAYS) and run.profile().count("child_work") > 0, run.files()
    for child in children.values():
        # 20 ms at 1000 Hz; at either end a tick of the kernel's, 4 ms of 250 Hz, may be more or less.
        assert abs(child.count("child_work") - 20) <= 8, child.describe()
        assert child.count("parent_work") == 0


@pytest.mark.parametrize("environment, follow", TRIED)
def test_nobody_sees_it(runs, environment, follow):
    """What the children print of their environments, and how they end."""
    seen, plain = [[line for line in runs[f"{environment} {mode}"].stdout.decode().splitlines() if "PYTEST" not in line]
                   for mode in (follow, "plain")]
    assert seen == plain


@pytest.mark.parametrize("environment, follow", [tried for tried in TRIED if tried[1] in ("0", "make,cc")])
def test_others_are_not_followed(runs, environment, follow):
    """The process itself is, by whatever program it goes on."""
    run = runs[f"{environment} {follow}"]
    check_ends(run)
    assert files_of_last(run) == ["cpu.prof"] and run.log == []
    assert run.profile().count("child_work") > 0


def test_a_program_that_takes_the_preload_out_is_heard(runs):
    for name in ("no_preload", "other_preload 1"):
        check_ends(runs[name])
        assert files_of_last(runs[name]) == [] and runs[name].log == []


def test_a_large_environment_is_handed_on_as_it_is(runs):
    check_ends(runs["big"])
    assert len(runs["big"].children()) == len(WAYS) and runs["big"].log == []


def environment_with(tmp_path, **settings):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PROF_", "LD_PRELOAD"))}
    return clean | {"LD_PRELOAD": str(pprof.BUILD / "libprof.so"), "PROF_CPU": str(tmp_path / "cpu.prof")} | settings


def output(tmp_path, command, **settings):
    answer = subprocess.run(command, capture_output=True, text=True, env=environment_with(tmp_path, **settings), cwd=tmp_path)
    assert answer.returncode == 0 and answer.stderr == "", answer.stderr
    return answer.stdout


def test_an_empty_environment_is_empty(tmp_path):
    """As the program sees it: by environ, by main's third argument, and as the loader's neighbours find it."""
    assert output(tmp_path, ["env", "-i", "env"]) == ""
    assert output(tmp_path, ["env", "-i", "A=1", "env", "-u", "A", "B=2", "env"]) == "B=2\n"
    assert output(tmp_path, ["env", "-i", "/usr/bin/perl", "-e", "print join ',', %ENV; system 'true'"]) == ""
    code = "import os, subprocess, sys; print(dict(os.environ) | dict(os.environb))"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {code!r}], env={{}}, check=True)"
    # Python itself sets LC_CTYPE where there is no locale.
    assert output(tmp_path, ["/usr/bin/python3", "-S", "-c", outer]).replace("'LC_CTYPE': 'C.UTF-8'", "") in \
        ("{}\n", "{, b'LC_CTYPE': b'C.UTF-8'}\n")


def test_grandchildren_of_a_cleaned_environment(tmp_path):
    """Shells, by whatever they start programs, each with an environment made anew."""
    steady = pprof.BUILD / "programs" / "steady"
    answer = subprocess.run(
        ["env", "-i", "/bin/bash", "-c",
         f"/usr/bin/env -i /bin/sh -c '{steady} .1; :'; /usr/bin/perl -e 'system \"{steady} .1; :\"'; :"],
        capture_output=True, env=environment_with(tmp_path, **FAST), cwd=tmp_path)
    assert answer.returncode == 0 and answer.stderr == b"", answer
    steady_work = [pprof.read(path).count("steady_work") for path in tmp_path.glob("*.prof")]
    assert sum(count > 50 for count in steady_work) == 2, steady_work


def test_names_of_scripts(tmp_path):
    script = tmp_path / "tool"
    script.write_text("#!/usr/bin/python3 -S\nsum(i * i for i in range(150000))\n")
    script.chmod(0o755)
    for name, expected in (("tool", 1), ("python3", 0), (os.path.basename(os.path.realpath("/usr/bin/python3")), 1)):
        folder = tmp_path / f"of {name}"
        folder.mkdir()
        output(folder, ["/bin/bash", "-c", f"{script}; {script}; :"], PROF_FOLLOW=name, **FAST)
        found = [path for path in folder.glob("cpu.*.prof") if ".exec" not in path.name]
        assert len(found) == 2 * expected, (name, found)


def test_programs_that_nothing_can_be_preloaded_into(tmp_path):
    """Nothing is put into their environments."""
    source = tmp_path / "prints.c"
    source.write_text("#include <stdio.h>\nint main(int c, char **v, char **e) { (void)c, (void)v; while (*e) puts(*e++); }\n")
    static = tmp_path / "static"
    subprocess.run(["gcc", "-static", "-o", static, source], check=True)
    assert output(tmp_path, ["env", "-i", static]) == ""
    # And what has rights of its own.
    setuid = tmp_path / "setuid"
    subprocess.run(["gcc", "-o", setuid, source], check=True)
    setuid.chmod(0o4755)
    assert output(tmp_path, ["env", "-i", setuid]) == ""


def test_not_followed_is_not_to_be_seen(tmp_path):
    """PROF_FOLLOW=0: what is executed has the environment of a program without libprof; other libraries stay."""
    seen = output(tmp_path, ["/bin/bash", "-c", "env; :"], PROF_FOLLOW="0")
    assert "PROF_" not in seen and "LD_PRELOAD" not in seen
    library = pprof.BUILD / "libprof.so"
    empty = tmp_path / "empty.c"
    empty.write_text("")
    other = tmp_path / "other.so"
    subprocess.run(["gcc", "-shared", "-o", other, empty], check=True)
    for order in ([library, other], [other, library], [other, library, other]):
        preload = ":".join(str(path) for path in order)
        seen = output(tmp_path, ["/bin/bash", "-c", "env; :"], PROF_FOLLOW="0", LD_PRELOAD=preload)
        wanted = ":".join(str(path) for path in order if path != library)
        assert "PROF_" not in seen and f"LD_PRELOAD={wanted}\n" in seen


def can_unshare():
    return subprocess.run(["unshare", "-fp", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="no pid namespaces here")
def test_the_same_pids_in_one_folder(tmp_path):
    """Containers that share a folder, at the same time and one after the other: nothing is replaced by what has another's pid."""
    steady = pprof.BUILD / "programs" / "steady"
    script = f"{steady} .1 & {steady} .1 & wait; {steady} .1; :"
    environment = environment_with(tmp_path, PROF_CPU=str(tmp_path / "cpu.%p.prof"), **FAST)
    for _ in range(2):
        containers = [subprocess.Popen(["unshare", "-fp", "/bin/bash", "-c", script], env=environment,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
        for container in containers:
            assert container.communicate()[1] == b"" and container.returncode == 0
    burned = [pprof.read(path).count("steady_work") for path in tmp_path.glob("*.prof")]
    assert sum(count > 50 for count in burned) == 12, sorted(path.name for path in tmp_path.glob("*"))
    assert not list(tmp_path.glob("*.tmp.*"))


BOOKS = {"PROF_HEAP": "{folder}/heap.prof", "PROF_HEAP_RATE": "1"} | FAST


def books_of(text):
    return {book["pid"]: book for book in map(json.loads, text.splitlines())}


def labelled(path):
    """{pid: [Σ values of the samples that have this function]} of a merged profile, and the commands."""
    document = pprof.document(path)
    of_pid, commands = {}, set()
    for raw in document["samples"]:
        (pid,), (command,) = raw["num_labels"]["pid"], raw["labels"]["command"]
        commands.add(command)
        functions = pprof.Stack(document, raw).functions
        sums = of_pid.setdefault(pid, {})
        for name in ("books_allocate", "books_compute"):
            if name in functions:
                sums[name] = [a + b for a, b in zip(sums.get(name, [0] * 4), raw["values"])]
    return of_pid, commands


def test_each_process_has_its_own_profile(runner):
    """A fork's child begins at zero: what is in a profile is in its process's books."""
    run = runner.run(["trees_books", 2, 4], BOOKS)
    assert run.returncode == 0 and run.log == [], run.stderr.decode()
    books = books_of(run.stdout)
    assert len(books) == 1 + 4 + 16 and {book["how"] for book in books.values()} == {"main", "fork", "vfork", "spawn", "daemon"}
    for kind in ("cpu", "heap"):
        found = {}
        for path in run.folder.glob(f"{kind}*.prof"):
            document = pprof.document(path)
            (pid,) = [int(line.rsplit("pid ", 1)[1]) for line in document["comments"] if line.startswith("program: ")]
            assert pid not in found, f"two of {pid}: {run.files()}"
            found[pid] = document
        # The daemons' first parents end by _exit, having done nothing.
        assert set(books) <= set(found)
        for pid, document in found.items():
            stacks = [(pprof.Stack(document, raw), raw["values"]) for raw in document["samples"] or []]
            if kind == "cpu":
                ticks = sum(values[0] for stack, values in stacks if stack.has("books_compute"))
                assert abs(ticks - books.get(pid, {"ns": 0})["ns"] / 1e6) <= 4, pid
            elif pid in books:
                of_books = [values for stack, values in stacks if stack.has("books_allocate")]
                assert sum(values[0] for values in of_books) == books[pid]["blocks"]
                assert sum(values[1] for values in of_books) == books[pid]["bytes"]


def test_short_processes_keep_what_no_signal_showed(runner):
    """20 ms each, beside others that want the processors: the kernel is met at switching threads, where a perf event shows nothing. Each
    process rounds to whole ticks, by a variance of 1/4 at most: four deviations for all of them."""
    others = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(4)]
    try:
        run = runner.run(["trees_books", 2, 4], BOOKS)
    finally:
        for other in others:
            other.kill()
            other.wait()
    books = books_of(run.stdout)
    documents = [pprof.document(path) for path in run.folder.glob("cpu*.prof")]
    if not all("cpu clock: perf" in document["comments"] for document in documents):
        pytest.skip("no perf events here")
    ticks = sum(raw["values"][0] for document in documents for raw in document["samples"] or []
                if pprof.Stack(document, raw).has("books_compute"))
    assert ticks >= sum(book["ns"] for book in books.values()) / 1e6 - 4 * (len(books) / 4) ** 0.5


def profrun(folder, *words, environment=None, **options):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PROF_", "LD_PRELOAD"))}
    command = [str(word) for word in (pprof.BUILD / "profrun", "--merge", *words)]
    return subprocess.run(command, capture_output=True, cwd=folder, timeout=120,
                          env=clean | {"TMPDIR": str(folder)} | (environment or {}), **options)


def test_merged_profiles_hold_the_whole_tree(tmp_path):
    answer = profrun(tmp_path, "--cpuprofile", "cpu.prof", "--memprofile=heap.prof", "--memprofilerate", 1, "--cpuprofilerate",
                     1000, "--", pprof.BUILD / "programs" / "trees_books", 2, 4)
    assert answer.returncode == 0 and answer.stderr == b"", answer.stderr
    books = books_of(answer.stdout.decode())
    assert len(books) == 21 and sorted(path.name for path in tmp_path.iterdir()) == ["cpu.prof", "heap.prof"]
    heap, commands = labelled(tmp_path / "heap.prof")
    assert commands == {"trees_books"}
    assert {pid: heap[pid]["books_allocate"][:2] for pid in books} == \
        {pid: [book["blocks"], book["bytes"]] for pid, book in books.items()}
    ticks, _ = labelled(tmp_path / "cpu.prof")
    assert all(abs(ticks[pid]["books_compute"][0] - book["ns"] / 1e6) <= 4 for pid, book in books.items())
    # As the client shows it.
    text = pprof.client(tmp_path / "heap.prof", "-tags", "-sample_index=alloc_space", "-unit=B")
    assert " command: Total" in text and " pid: Total" in text


def test_merge_ends_as_the_program(tmp_path):
    file = ("--cpuprofile", "c.prof", "--cpuprofilerate", 1000, "--")
    assert profrun(tmp_path, *file, "bash", "-c", "exit 7").returncode == 7
    script = tmp_path / "no_interpreter_line"
    script.write_text("exit $1\n")
    script.chmod(0o755)
    assert profrun(tmp_path, *file, script, 9).returncode == 9
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
        assert profrun(tmp_path, *file, "bash", "-c", f"kill -{int(number)} $$").returncode == -number
    # What is sent to profrun comes to the program; its standard streams and arguments are the program's own.
    # (It sleeps by turns: a signal just before one long sleep would be seen after it.)
    code = "import os, signal, sys, time; signal.signal(signal.SIGUSR1, lambda *_: sys.exit(sys.argv[1] == 'a b' and len(input())));" \
           "os.kill(os.getppid(), signal.SIGUSR1)\nwhile True: time.sleep(.01)"
    assert profrun(tmp_path, *file, "/usr/bin/python3", "-c", code, "a b", input=b"xxx\n").returncode == 3
    assert not list(tmp_path.glob("profrun.*"))


def test_merge_says_what_it_cannot(tmp_path):
    for words in (["--stacksprofile", "s"], ["--memprofile", "h", "--mempeak", "1"], ["--memprofile", "h.%p"],
                  ["--memprofile", "h", "--snapshotsignal", "USR1"], ["--trace", "t.json.gz"]):
        answer = profrun(tmp_path, *words, "--", "true")
        assert answer.returncode == 2 and answer.stderr.startswith(b"profrun: --merge: "), answer
    assert list(tmp_path.iterdir()) == []


def test_merge_without_a_temporary_folder(tmp_path):
    answer = profrun(tmp_path, "--cpuprofile", "c.prof", "--", "true", environment={"TMPDIR": str(tmp_path / "none")})
    assert answer.returncode == 1 and answer.stderr == (
        f"profrun: cannot make a folder for profiles in '{tmp_path}/none': No such file or directory "
        "(TMPDIR names another place)\n").encode()


def test_merge_of_a_folder(tmp_path):
    answer = profrun(tmp_path, "--", "bash", "-c", f"{pprof.BUILD}/programs/trees_books 1 2 5 >/dev/null; :",
                     environment={"PROF_DIR": str(tmp_path), "PROF_HEAP_RATE": "1"} | FAST)
    assert answer.returncode == 0, answer
    kinds = {path.name: path for path in tmp_path.iterdir()}
    assert sorted(kinds) == [f"bash.{kind}" for kind in sorted(pprof.FOLDER_KINDS)]
    assert labelled(kinds["bash.heap.pb.gz"])[1] == {"bash", "trees_books"}


def test_merge_leaves_who_goes_on(tmp_path):
    """A daemon's profile is not lost: it is said where it will be, beside none that are merged."""
    os.mkfifo(tmp_path / "answered")
    answer = profrun(tmp_path, "--cpuprofile", "c.prof", "--", "bash", "-c",
                     f"setsid bash -c 'cat answered; {pprof.BUILD}/programs/steady .3; :' >/dev/null 2>&1 & echo $!")
    (folder,) = tmp_path.glob("profrun.*")
    assert (tmp_path / "c.prof").exists() and [path for path in folder.rglob("*") if path.suffix != ".region"
                                               and not path.is_dir()] == []
    (tmp_path / "answered").write_text("")  # as soon as somebody reads it
    assert answer.returncode == 0 and b"go on: their profiles" in answer.stderr, answer
    waits_for_end(int(answer.stdout))
    assert any(pprof.read(path).count("steady_work") > 20 for path in folder.glob("PROF_CPU/*"))


def test_merge_leaves_who_writes_over_its_environment(tmp_path):
    """As servers do that show a title of their own (redis-server): the environment says no longer whose process it is."""
    program = tmp_path / "titled.py"
    program.write_text("""
import ctypes, os, time
if os.fork(): os._exit(0)
os.setsid()
at = int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[47])
ctypes.memset(at, 0, len(open("/proc/self/environ", "rb").read()))
end = time.time() + 2.7
while time.time() < end: sum(range(10000))
""")
    answer = profrun(tmp_path, "--cpuprofile", "c.prof", "--", "/usr/bin/python3", program)
    assert answer.returncode == 0 and b"1 process goes on: its profiles will" in answer.stderr, answer
    (folder,) = tmp_path.glob("profrun.*")
    deadline = time.monotonic() + 60
    while not list(folder.glob("PROF_CPU/p.*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sum(pprof.read(path).total for path in folder.glob("PROF_CPU/p.*")) > 20


def waits_for_end(pid):
    deadline = time.monotonic() + 60
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < deadline:
        time.sleep(0.05)


EVERY_KIND = BOOKS | {"PROF_DIR": "{folder}", "PROF_WALL": "{folder}/wall.prof", "PROF_TRACE": "{folder}/trace.json.gz",
                      "PROF_BLOCK_RATE": "1"}


@pytest.mark.parametrize("what", ["bare", "same_pid"])
def test_what_a_bare_clone_does_is_not_its_parents(runner, what):
    """It shares the parent's region: what it allocates and computes is in no profile, and its exit writes none."""
    if what == "same_pid" and not can_unshare():
        pytest.skip("no pid namespaces here")
    command = ["unshare", "-fp", str(pprof.BUILD / "programs" / "trees_forks"), what] if what == "same_pid" else \
        ["trees_forks", what, 30]
    run = runner.run(command, BOOKS | {"PROF_CPU": "{folder}/%e.cpu.prof", "PROF_HEAP": "{folder}/%e.heap.prof"})
    assert run.returncode == 0 and run.log == [], run.stderr.decode()
    (cpu,) = [name for name in run.files() if name.startswith("trees_forks") and "cpu" in name]
    (heap,) = [name for name in run.files() if name.startswith("trees_forks") and "heap" in name]
    profile = run.profile(cpu)
    assert profile.count("parent_work") > 80 and profile.count("child_work") == 0, profile.describe()
    assert f"children made past fork, by a bare clone or _Fork (what they did is in no profile): {30 if what == 'bare' else 1}" in \
        pprof.document(run.folder / cpu)["comments"]
    document = pprof.document(run.folder / heap)
    blocks = [raw["values"][0] for raw in document["samples"] if "trees_allocate" in pprof.Stack(document, raw).functions]
    assert sum(blocks) == (300 if what == "bare" else 0)


@pytest.mark.parametrize("what, count", [("handler", 40), ("threads", 12), ("short", 100)])
def test_forks_do_no_harm(runner, what, count):
    """Under every kind. The program checks its signal masks, its children's ends, and says what it found."""
    run = runner.run(["trees_forks", what, count], EVERY_KIND, cores=2)
    assert run.returncode == 0 and run.stdout == f"{what}: 0\n".encode() and run.log == [], (run.stdout, run.stderr)
    for path in list(run.folder.glob("*.pb.gz"))[:40]:
        pprof.document(path)


def test_shells_pipelines(runner):
    """sort handles SIGPROF, after it has been sampled: no tick comes to it then."""
    script = "for i in 1 2 3 4 5 6; do echo $i | tr 1-6 a-f | sort -r; done"
    run = runner.run(["bash", "-c", script], EVERY_KIND | {"PROF_WALL": None})
    assert run.returncode == 0 and run.stdout == b"a\nb\nc\nd\ne\nf\n"
    assert all("handles SIGPROF itself" in line for line in run.stderr.decode().splitlines()), run.stderr


def test_a_fork_loop_comes_to_its_end(runner):
    """make trees has it with 8 GB."""
    for pages in ("small", "huge"):
        run = runner.run(["trees_forks", "loop", 10, 256, pages], {"PROF_CPU_HZ": "1000"})
        assert run.returncode == 0 and run.stdout == b"loop: 0\n", run.stderr


@pytest.mark.parametrize("child", ["/bin/true", "loader_work.musl"])
def test_an_environment_that_grows_meanwhile(tmp_path, child):
    """Between the count and the copy; the other loader refuses libprof.so, which is taken out. Without the bound the first of 300 spawns that
    meets it ends the program: it grows every 40 us."""
    if "/" not in child and not (pprof.BUILD / "programs" / child).exists():
        pytest.skip("no musl here")
    command = [pprof.BUILD / "programs" / "environ_grows", pprof.BUILD / "programs" / child]
    environment = dict(os.environ, LD_PRELOAD=str(pprof.BUILD / "libprof.so"), PROF_CPU=str(tmp_path / "cpu.prof"))
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=120)
    assert ended.returncode == 7, (ended.returncode, ended.stderr[-1000:])


def test_threads_that_spawn_at_once_where_a_signal_is_ignored(tmp_path):
    """Each of 800 children ignores it. (One that does not is seen in about every fourth run where the threads do not wait for each other.)"""
    environment = dict(os.environ, LD_PRELOAD=str(pprof.BUILD / "libprof.so"), PROF_CPU=str(tmp_path / "cpu.prof"), PROF_FOLLOW="0")
    ended = subprocess.run([pprof.BUILD / "programs" / "spawns_ignoring"], env=environment, capture_output=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, b"0 do not\n", b"")
