"""profrun changes nothing about a program but that libprof.so is in it, and says in one line what it cannot profile.

A library that does nothing stands in for libprof.so: what is tested is the way there.
"""

import os
import pathlib
import pty
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PROFRUN = REPOSITORY / "tools" / "profrun"
BUILT = pathlib.Path(os.environ.get("PROF_TEST_BUILD", REPOSITORY / "build")) / "libprof.so"
NOBODY = 65534


def compile_c(code, output, *flags):
    subprocess.run(["cc", "-x", "c", "-", "-o", str(output), *flags], input=code.encode(), check=True)
    return output


@pytest.fixture(scope="module")
def shelf():
    """A folder that every user can read, with the stand-in and some programs."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="profrun"))
    folder.chmod(0o755)
    # The stand-in shows that it was loaded by a variable that the program can print.
    compile_c(
        "#include <stdlib.h>\n__attribute__((constructor)) static void f(void) { setenv(\"LOADED\", \"1\", 1); }",
        folder / "libprof.so", "-shared", "-fPIC",
    )
    main = "#include <stdio.h>\n#include <stdlib.h>\nint main(void) { puts(getenv(\"LOADED\") ? \"loaded\" : \"-\"); }"
    compile_c(main, folder / "plain")
    compile_c(main, folder / "static", "-static")
    compile_c(main, folder / "static-pie", "-static-pie")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def profrun(shelf, tmp_path):
    def run(*arguments, flags=("--cpuprofile", "cpu.prof"), env=None, script=PROFRUN, **options):
        environment = {"LIBPROF": str(shelf / "libprof.so"), "PATH": os.environ["PATH"]}
        for name, value in (env or {}).items():
            environment[name] = value
        options.setdefault("stdin", subprocess.DEVNULL)
        if "input" in options:
            del options["stdin"]
        command = [str(word) for word in (script, *flags, *arguments)]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, timeout=60, **options)

    return run


def check_refused(result, code, *words):
    assert result.returncode == code, result
    assert result.stdout == b""
    line = result.stderr.decode()
    assert line.startswith("profrun: ") and line.count("\n") == 1, line
    for word in words:
        assert word in line, line


def environment_of(result):
    assert result.returncode == 0, result.stderr.decode()
    return dict(entry.split("=", 1) for entry in result.stdout.decode().split("\0") if entry)


# ---- what passes through ----


def test_arguments(profrun):
    odd = ["a b", "", "new\nline", "*", "$HOME", "`id`", "\\", "'", '"', "--", "--cpuprofile", "-n", "é", "tab\t"]
    shown = profrun("printf", "%s\\0", *odd).stdout.decode().split("\0")[:-1]
    assert shown == odd
    name = profrun("--", "sh", "-c", 'tr "\\0" "|" </proc/$$/cmdline').stdout
    assert name.startswith(b"sh|-c|"), "argument 0 is as it was typed"


def test_standard_streams(profrun):
    done = profrun("sh", "-c", "cat; echo error >&2", input=b"in\0put")
    assert (done.stdout, done.stderr) == (b"in\0put", b"error\n")


def test_exit_codes(profrun):
    for code in (0, 1, 2, 42, 126, 127, 128, 200, 255):
        assert profrun("sh", "-c", f"exit {code}").returncode == code


def test_death_by_signal(profrun):
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT, signal.SIGPIPE):
        assert profrun("sh", "-c", f"ulimit -c 0; kill -{int(number)} $$").returncode == -number


def test_signals_reach_the_program(shelf, tmp_path):
    program = 'trap "echo got; exit 3" TERM; echo ready; while :; do sleep 0.05; done'
    child = subprocess.Popen(
        [PROFRUN, "-cpuprofile=x", "sh", "-c", program],
        env=dict(os.environ, LIBPROF=str(shelf / "libprof.so")), stdout=subprocess.PIPE, cwd=tmp_path,
    )
    assert child.stdout.readline() == b"ready\n"
    child.terminate()
    assert child.stdout.read() == b"got\n"
    assert child.wait(10) == 3


def test_terminal(shelf, tmp_path):
    """The program has the terminal, and ^C typed there interrupts it."""
    try:
        pid, terminal = pty.fork()
    except OSError as error:
        pytest.skip(f"no terminal to be had here: {error}")
    if pid == 0:
        os.environ["LIBPROF"] = str(shelf / "libprof.so")
        os.chdir(tmp_path)
        program = 'test -t 0 && test -t 1 && test -t 2 && echo terminal; exec sleep 60'
        os.execv(PROFRUN, [str(PROFRUN), "--cpuprofile", "x", "sh", "-c", program])
    seen = b""
    while b"terminal" not in seen:
        seen += os.read(terminal, 1000)
    time.sleep(0.2)
    os.write(terminal, b"\x03")
    assert os.waitpid(pid, 0)[1] == signal.SIGINT
    os.close(terminal)


def test_ignored_signals_stay_ignored(profrun):
    script = "trap '' HUP; exec \"$0\" --cpuprofile x grep SigIgn /proc/self/status"
    done = subprocess.run(["sh", "-c", script, PROFRUN], capture_output=True,
                          env=dict(os.environ, LIBPROF=profrun("printenv", "LIBPROF").stdout.decode().strip()))
    assert int(done.stdout.split()[1], 16) & 1


# ---- the environment ----


def test_environment_is_kept(profrun, shelf):
    before = {"A": "x\ny", "EMPTY": "", "file": "f", "name": "n", "LC_ALL": "C"}
    after = environment_of(profrun("env", "-0", env=before))
    for name, value in before.items():
        assert after[name] == value
    added = set(after) - set(before) - {"PATH", "LIBPROF", "LOADED"}
    assert added <= {"PROF_CPU", "LD_PRELOAD", "PWD", "OLDPWD"}, added
    assert after["LD_PRELOAD"] == str(shelf / "libprof.so")


def test_preload_is_kept(profrun, shelf):
    after = environment_of(profrun("env", "-0", env={"LD_PRELOAD": "libm.so.6 libdl.so.2"}))
    assert after["LD_PRELOAD"] == f"{shelf / 'libprof.so'}:libm.so.6 libdl.so.2"


@pytest.mark.parametrize("form", ["--{}={}", "-{}={}", "--{} {}", "-{} {}"])
def test_flags_become_settings(profrun, form):
    settings = {
        "cpuprofile": ("PROF_CPU", "a=b.prof"), "cpuprofilerate": ("PROF_CPU_HZ", "250"),
        "cpuclock": ("PROF_CPU_CLOCK", "perf"), "cpudelay": ("PROF_CPU_DELAY", "1.5"),
        "cpuduration": ("PROF_CPU_DURATION", "3"), "cpusignal": ("PROF_CPU_SIGNAL", "USR1"),
        "stackdepth": ("PROF_STACK_DEPTH", "64"), "unwind": ("PROF_UNWIND", "libunwind"), "follow": ("PROF_FOLLOW", "make,cc"),
        "http": ("PROF_HTTP", "unix:app.%p.sock"), "httptokenfile": ("PROF_HTTP_TOKEN_FILE", "token"),
    }
    flags = [word for flag, (_, value) in settings.items() for word in form.format(flag, value).split(" ")]
    after = environment_of(profrun("env", "-0", flags=flags))
    for variable, value in settings.values():
        assert after[variable] == value


def test_output_folder(profrun):
    for folder, file, wanted in [
        ("out", "c", "out/c"), ("out/", "c", "out/c"), ("/", "c", "/c"), ("out", "/t/c", "/t/c"),
    ]:
        flags = ("--outputdir", folder, "--cpuprofile", file)
        assert environment_of(profrun("env", "-0", flags=flags))["PROF_CPU"] == wanted


def test_profile_named_by_the_environment(profrun):
    assert environment_of(profrun("env", "-0", flags=(), env={"PROF_CPU": "e.prof"}))["PROF_CPU"] == "e.prof"


def test_address_to_serve_at_is_enough(profrun):
    """No file need be named, and a socket's path is none of those that go below the folder for profiles."""
    after = environment_of(profrun("env", "-0", flags=("--http=unix:app.sock", "--outputdir", "out")))
    assert after["PROF_HTTP"] == "unix:app.sock"
    assert environment_of(profrun("env", "-0", flags=(), env={"PROF_HTTP": "0"}))["PROF_HTTP"] == "0"
    check_refused(profrun("true", flags=("--httptokenfile", "token")), 2, "--http")


@pytest.mark.skipif(not BUILT.exists(), reason="libprof.so is not built")
def test_server(profrun, tmp_path):
    """With the library itself: a program is served, to who has the token."""
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(0o600)
    program = """
import http.client, socket
for headers in {}, {"Authorization": "Bearer secret"}:
    client = http.client.HTTPConnection("localhost")
    client.sock = socket.socket(socket.AF_UNIX)
    while client.sock.connect_ex("app.sock") != 0: pass
    client.request("GET", "/debug/pprof/cmdline", headers=headers)
    answer = client.getresponse()
    print(answer.status, answer.read()[:16])
"""
    done = profrun("/usr/bin/python3", "-c", program, flags=("--http", "unix:app.sock", "--httptokenfile=token"),
                   env={"LIBPROF": str(BUILT)})
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("401 ") and lines[1] == "200 b'/usr/bin/python3'", lines


# ---- usage ----


@pytest.mark.parametrize("flags", [
    (), ("--cpuprofile",), ("--cpuprofile", "x"), ("--cpuprofile=", "true"), ("--cpuprofile", "--", "true"),
    ("--cpu", "x", "true"), ("--cpuprofile", "x", "--colour", "true"), ("--", "true"), ("-x",),
])
def test_wrong_usage(profrun, flags):
    """One line, which says where the flags are listed."""
    check_refused(profrun(flags=flags), 2, "(profrun --help lists the flags)")


def test_no_profile_is_asked_for(profrun):
    """Every kind is named that there is."""
    kinds = set(re.findall(r"^  (--[a-z]+profile) FILE", profrun(flags=("--help",)).stderr.decode(), re.M))
    assert len(kinds) == 8, kinds
    check_refused(profrun("true", flags=()), 2, *kinds)


def test_help(profrun):
    for flag in ("--help", "-help", "-h", "--version"):
        done = profrun(flags=(flag,))
        assert done.returncode == 0 and done.stdout == b"" and b"profrun" in done.stderr


# ---- finding libprof.so ----


def test_library_is_found(profrun, shelf, tmp_path):
    for script, library in [("a/profrun", "a/libprof.so"), ("b/tools/profrun", "b/build/libprof.so"),
                            ("c/bin/profrun", "c/lib/libprof.so"), ("d/bin/profrun", "d/lib/libprof/libprof.so")]:
        for source, place in [(PROFRUN, script), (shelf / "libprof.so", library)]:
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, tmp_path / place)
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(script)
        for way in (script, "link"):
            done = profrun("printenv", "LD_PRELOAD", env={"LIBPROF": ""}, script=tmp_path / way)
            assert done.stdout.decode().strip() == str(tmp_path / library)


def test_library_that_cannot_be_preloaded(profrun, shelf, tmp_path):
    for name in ("with space", "with:colon", "with$dollar"):
        (tmp_path / name).mkdir()
        shutil.copy(shelf / "libprof.so", tmp_path / name)
        check_refused(profrun("true", env={"LIBPROF": str(tmp_path / name / "libprof.so")}), 126, "a space, a colon or a dollar")
    check_refused(profrun("true", env={"LIBPROF": "/none.so"}), 126, "/none.so")
    (tmp_path / "alone").mkdir()
    shutil.copy(PROFRUN, tmp_path / "alone")
    check_refused(profrun("true", env={"LIBPROF": ""}, script=tmp_path / "alone/profrun"), 126, "LIBPROF")


# ---- programs ----


def test_dynamic_program(profrun, shelf):
    assert profrun(shelf / "plain").stdout == b"loaded\n"
    assert profrun("/lib64/ld-linux-x86-64.so.2", shelf / "plain").stdout == b"loaded\n"


def test_path_is_searched_as_exec_does(profrun, tmp_path, shelf):
    assert profrun("echo", "-n", "x").stdout == b"x"
    (tmp_path / "first").mkdir()
    (tmp_path / "first/tool").write_text("not executable")
    (tmp_path / "first/plain").mkdir()
    check_refused(profrun("tool", env={"PATH": f"{tmp_path}/first:/usr/bin:/bin"}), 126, "not executable")
    assert profrun("plain", env={"PATH": f"{tmp_path}/first:{shelf}:/usr/bin:/bin"}).stdout == b"loaded\n"
    shutil.copy(shelf / "plain", tmp_path / "here")
    assert profrun("here", env={"PATH": "/usr/bin:/bin:"}).stdout == b"loaded\n"
    check_refused(profrun("cd"), 127, "not found")
    check_refused(profrun("no-such-program"), 127, "not found")
    check_refused(profrun(""), 127, "not found")


def test_scripts(profrun, tmp_path, shelf):
    script = tmp_path / "script"

    def write(text):
        script.write_text(text)
        script.chmod(0o755)

    write('#! /bin/sh -e\necho "$LOADED" "$1"\n')
    assert profrun("./script", "a").stdout == b"1 a\n"
    write('echo "$LOADED" "$0" "$1"\n')
    assert profrun("./script", "a").stdout == b"1 ./script a\n", "without #! it is the shell's"
    write(f"#!{shelf / 'static'}\n")
    check_refused(profrun("./script"), 126, "static")
    write("#!/no/interpreter\n")
    check_refused(profrun("./script"), 126, "/no/interpreter")


def test_what_cannot_be_run(profrun, tmp_path):
    check_refused(profrun("./none"), 127, "./none")
    check_refused(profrun("/tmp"), 126, "directory")
    check_refused(profrun("/dev/null"), 126, "not a regular file")
    (tmp_path / "data").write_text("x")
    check_refused(profrun("./data"), 126, "not executable")


def test_static_programs(profrun, shelf):
    for name in ("static", "static-pie"):
        check_refused(profrun(shelf / name), 126, "static")


def test_other_machines(profrun, shelf, tmp_path):
    data = bytearray((shelf / "plain").read_bytes())
    for offset, value in [(4, 1), (18, 183)]:  # 32-bit; aarch64
        odd = data.copy()
        odd[offset] = value
        (tmp_path / "odd").write_bytes(odd)
        (tmp_path / "odd").chmod(0o755)
        check_refused(profrun("./odd"), 126, "machine")


def test_cut_short_program(profrun, shelf, tmp_path):
    for length in (0, 1, 4, 20, 63, 64, 100):
        (tmp_path / "odd").write_bytes((shelf / "plain").read_bytes()[:length])
        (tmp_path / "odd").chmod(0o755)
        done = profrun("./odd")
        assert done.stdout == b"" and done.returncode in ((126, 127) if length else (0,))
        assert done.stderr.count(b"\n") == (0 if length == 0 else 1)


def as_nobody():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes setuid programs")


@needs_root
@pytest.mark.parametrize("mode,word", [(0o4755, "setuid"), (0o2755, "setgid")])
def test_setuid(profrun, shelf, mode, word):
    program = shelf / f"mode{mode:o}"
    shutil.copy(shelf / "plain", program)
    program.chmod(mode)
    script = shelf / "profrun"
    shutil.copy(PROFRUN, script)
    run = lambda **options: profrun(program, script=script, **options)  # noqa: E731
    assert run().stdout == b"loaded\n", "root gains nothing, so the loader preloads"
    options = {"preexec_fn": as_nobody}
    done = subprocess.run([script, "--cpuprofile", "x", program], capture_output=True, cwd="/", **options)
    check_refused(done, 126, word)
    os.chown(program, NOBODY, NOBODY)
    program.chmod(mode)
    check_refused(run(), 126, word)
    done = subprocess.run([script, "--cpuprofile", "x", program], capture_output=True, cwd="/", **options)
    assert done.stdout == b"loaded\n", "nobody is its owner: nothing changes"


@needs_root
@pytest.mark.skipif(not shutil.which("setcap", path="/usr/sbin:/sbin"), reason="needs setcap")
def test_capabilities(profrun, shelf):
    program, script = shelf / "capable", shelf / "profrun"
    shutil.copy(shelf / "plain", program)
    shutil.copy(PROFRUN, script)
    if subprocess.run(["/sbin/setcap", "cap_net_raw+ep", program], capture_output=True).returncode:
        pytest.skip("the file system has no capabilities")
    done = subprocess.run([script, "--cpuprofile", "x", program], capture_output=True, cwd="/", preexec_fn=as_nobody)
    check_refused(done, 126, "capabilities")
    assert profrun(program).stdout == b"loaded\n"


def test_unreadable_program_runs(shelf):
    program = shelf / "unreadable"
    shutil.copy(shelf / "plain", program)
    program.chmod(stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    shutil.copy(PROFRUN, shelf / "profrun")
    done = subprocess.run([shelf / "profrun", "--cpuprofile", "x", program], capture_output=True, cwd="/",
                          preexec_fn=as_nobody if os.geteuid() == 0 else None)
    assert done.stdout == b"loaded\n"


def test_helpers_are_not_profiled(profrun, tmp_path, shelf):
    """Under another profrun, the programs that profrun uses leave no trace."""
    compile_c(
        "#include <stdio.h>\n#include <errno.h>\n__attribute__((constructor)) static void f(void) {"
        'FILE* log = fopen("LOG", "a"); fprintf(log, "%s\\n", program_invocation_short_name); fclose(log); }'
        .replace("LOG", str(tmp_path / "log")),
        tmp_path / "spy.so", "-shared", "-fPIC", "-D_GNU_SOURCE",
    )
    profrun(shelf / "plain", env={"LD_PRELOAD": str(tmp_path / "spy.so")})
    assert set((tmp_path / "log").read_text().split()) == {"sh", "plain"}


# ---- a program that is killed ----


def built_profrun(tmp_path, *arguments, **options):
    """With the real library, beside the prof that was built with it."""
    environment = {"PATH": os.environ["PATH"], "LIBPROF": str(BUILT), "TMPDIR": str(tmp_path)}
    return subprocess.Popen([PROFRUN, *map(str, arguments)], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def awaited(path, seconds=60):
    """It comes a moment after the program's end."""
    for _ in range(seconds * 100):
        if path.exists():
            return path
        time.sleep(0.01)
    raise AssertionError(f"{path} does not come")


@pytest.mark.skipif(not BUILT.exists(), reason="needs libprof.so")
def test_a_program_that_is_killed(tmp_path):
    program = "import time\nx = [bytearray(10**6) for _ in range(8)]\nprint('up', flush=True)\nwhile True: sum(range(1000))"
    process = built_profrun(tmp_path, "--cpuprofile", "cpu.prof", "--memprofile", "heap.prof", "--", "/usr/bin/python3", "-c", program)
    assert process.stdout.readline() == b"up\n"
    time.sleep(0.3)
    spool = [entry for entry in pathlib.Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
             if entry.startswith(b"PROF_SPOOL=")]
    folder = pathlib.Path(spool[0].decode().split("=", 1)[1])
    assert folder.stat().st_mode & 0o7777 == 0o700
    # The watcher is nobody's child here.
    assert pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split() == []
    process.kill()
    out, err = process.communicate(timeout=60)  # stderr is held until it is said
    assert process.returncode == -signal.SIGKILL and out == b""
    assert err.count(b"\n") == 1 and b"was killed" in err and b"cpu.prof" in err, err
    for name in ("cpu.prof", "heap.prof"):
        assert b"was killed" in subprocess.run([BUILT.parent / "prof", "raw", tmp_path / name], capture_output=True).stdout
    for _ in range(1000):
        if not folder.exists():
            break
        time.sleep(0.01)
    assert not folder.exists()


@pytest.mark.skipif(not BUILT.exists(), reason="needs libprof.so")
def test_a_folder_that_is_missing(tmp_path):
    """What is not written is said by the program, where it is kept by profrun: each once."""
    process = built_profrun(tmp_path, "--cpuprofile", "none/cpu.prof", "--", "/usr/bin/perl", "-e", "1 for 1..3e6")
    out, err = process.communicate(timeout=60)
    start, end, kept = err.decode().splitlines()
    spool = kept.rsplit(" ", 1)[1]
    assert "as it is now" in start and "is not written" in end
    assert f"kept, for another try when you have made {tmp_path}/none: prof recover {spool}" in kept
    (tmp_path / "none").mkdir()
    subprocess.run([BUILT.parent / "prof", "recover", spool], check=True, capture_output=True)
    assert (tmp_path / "none" / "cpu.prof").exists()
    pathlib.Path(spool).rmdir()


@pytest.mark.skipif(not BUILT.exists(), reason="needs libprof.so")
def test_what_it_leaves_behind_is_watched_too(tmp_path):
    """A daemon goes on when profrun's process has ended, and is killed then."""
    program = "import os, sys, time\nif os.fork(): os._exit(0)\nos.setsid()\nopen('pid', 'w').write(str(os.getpid()))\n" \
              "for n in range(3): os.close(n)\nwhile True: sum(range(1000))"
    process = built_profrun(tmp_path, "--cpuprofile", "cpu.prof", "--", "/usr/bin/python3", "-c", program)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    for _ in range(1000):
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            break
        time.sleep(0.01)
    pid = int((tmp_path / "pid").read_text())
    time.sleep(0.3)
    os.kill(pid, signal.SIGKILL)
    awaited(tmp_path / f"cpu.{pid}.prof")


@pytest.mark.skipif(not BUILT.exists(), reason="needs libprof.so")
def test_no_spool_where_none_is_wanted(tmp_path):
    process = built_profrun(tmp_path, "--cpuprofile", "cpu.prof", "--spool", "0", "--", "/usr/bin/env")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and err == b""
    assert [line for line in out.splitlines() if line.startswith(b"PROF_SPOOL")] == [b"PROF_SPOOL=0"]


def limit_memory(folder):
    """A control group with 200 MB, or nothing."""
    group = pathlib.Path("/sys/fs/cgroup/memory") / folder.name
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text("200M")
        return group
    except OSError:
        return None


@pytest.mark.skipif(not BUILT.exists(), reason="needs libprof.so")
def test_out_of_memory(tmp_path):
    group = limit_memory(tmp_path)
    if group is None:
        pytest.skip("no control group for memory is to be had")
    program = "import ctypes\nx = []\nwhile True: x.append(bytearray(10**6))"
    try:
        process = built_profrun(tmp_path, "--memprofile", "heap.prof", "--", "/usr/bin/python3", "-c", program,
                                preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())))
        out, err = process.communicate(timeout=100)
        assert process.returncode == -signal.SIGKILL, (process.returncode, err)
        assert b"was killed" in err, err
        text = subprocess.run([BUILT.parent / "prof", "top", tmp_path / "heap.prof"], capture_output=True, text=True).stdout
        total = re.search(r"of ([\d.]+)MB total", text)
        assert total and 80 < float(total.group(1)) < 220, text
    finally:
        for _ in range(500):
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.02)
