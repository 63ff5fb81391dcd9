"""Trees of processes: which are followed, with the environments that programs hand on, and what each sees of it."""

import os
import subprocess

import pytest

import pprof

WAYS = ([f"{how}_exec{form}" for form in ("ve", "le", "vpe", "v", "vp", "l", "lp") for how in ("fork", "vfork")] +
        [f"{how}_{name}" for name in ("fexecve", "execveat") for how in ("fork", "vfork")] +
        ["clone", "posix_spawn", "posix_spawnp", "system", "popen"])
FAST = {"PROF_CPU_HZ": "1000"}

TRIED = [("empty", "1"), ("empty", "0"), ("empty", "trees_exec"), ("empty", "make,cc"), ("own", "1"), ("handed_on", "1"),
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


@pytest.mark.parametrize("environment, follow", [tried for tried in TRIED if tried[1] in ("1", "trees_exec")][:-1])
def test_every_way_is_followed(runs, environment, follow):
    run = runs[f"{environment} {follow}"]
    check_ends(run)
    assert run.log == []
    # One for each child, and that of the process, by its last program.
    children = run.children()
    assert len(children) == len(WAYS) and run.profile().count("child_work") > 0, run.files()
    for child in children.values():
        # 20 ms at 1000 Hz, and what is at either end.
        assert abs(child.count("child_work") - 20) <= 4, child.describe()
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
    assert run.files() == ["cpu.prof"] and run.log == []
    assert run.profile().count("child_work") > 0


def test_a_program_that_takes_the_preload_out_is_heard(runs):
    for name in ("no_preload", "other_preload 1"):
        check_ends(runs[name])
        assert runs[name].files() == [] and runs[name].log == []


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
    script.write_text("#!/usr/bin/python3 -S\nsum(i * i for i in range(400000))\n")
    script.chmod(0o755)
    for name, expected in (("tool", 1), ("python3", 0), (os.path.basename(os.path.realpath("/usr/bin/python3")), 1)):
        folder = tmp_path / f"of {name}"
        folder.mkdir()
        output(folder, ["/bin/bash", "-c", f"{script}; {script}; :"], PROF_FOLLOW=name, **FAST)
        found = [path for path in folder.glob("cpu.*.prof")]
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
