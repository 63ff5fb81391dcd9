"""Trees of processes: everything that makes a child, and what executes a program, with environments of all kinds."""

from case import Case

# Children that are killed, or end past every handler.
ANY = {"profiles": "any"}
NO_THREAD = {"PROF_WALL": None}  # of ours: the limit counts threads

CASES = [
    *[Case(f"exec_{environment}", ("trees_exec", "all", environment), expects=("child_work",), **ANY)
      for environment in ("empty", "own", "handed_on")],
    Case("exec_preload_taken_out", ("trees_exec", "all", "no_preload"), **ANY),
    Case("exec_preload_changed", ("trees_exec", "all", "other_preload"), **ANY),
    Case("exec_large_environment", ("trees_exec", "all", "big"), **ANY),
    Case("exec_not_followed", ("trees_exec", "all", "handed_on"), prof={"PROF_FOLLOW": "0"}, **ANY),
    Case("exec_some_followed", ("trees_exec", "all", "empty"), prof={"PROF_FOLLOW": "make,cc"}, **ANY),
    Case("fork_in_handler", ("trees_forks", "handler", "60"), **ANY),
    Case("fork_beside_threads", ("trees_forks", "threads", "60"), **ANY),
    Case("fork_up_to_the_limit", ("trees_forks", "bomb", "60"), prof=NO_THREAD, log=("not written",), **ANY),
    Case("bare_clone", ("trees_forks", "bare", "30"), expects=("parent_work",), **ANY),
    Case("bare_clone_shares_memory", ("trees_forks", "bare_vm", "30"), expects=("parent_work",), **ANY),
    Case("same_pid_in_namespace", ("unshare", "-fp", "{build}/programs/trees_forks", "same_pid"), needs=("unshare",), **ANY),
    Case("short_children", ("trees_forks", "short", "300"), **ANY),
    Case("fork_of_256_MB", ("bash", "-c", "{build}/programs/trees_forks loop 20 256 2>/dev/null"), **ANY),
    Case("fork_of_256_MB_huge_pages", ("bash", "-c", "{build}/programs/trees_forks loop 20 256 huge 2>/dev/null"), **ANY),
    Case("shell_pipes", ("bash", "-c", "for i in 1 2 3; do echo $i | tr 1-3 a-c | sort -r; done; (exit 3); echo $?"),
         log=("handles SIGPROF itself",), **ANY),
    Case("cleaned_by_env", ("env", "-i", "A=1", "sh", "-c", "env | grep -v -e ^PWD= -e ^_= -e ^SHLVL=; env -i env"), **ANY),
    Case("make_jobs", ("bash", "-c", "printf 'all: a b c d e f g h\\na b c d e f g h:\\n\\t@echo 1 | cat >$@\\n' "
                       "| make -s -j4 -C {folder} -f - && cat {folder}/[a-h]"), needs=("make",), **ANY),
    Case("compiler_driver", ("bash", "-c", "echo 'int main() { return 0; }' | gcc -x c -O1 -o {folder}/a.out - && {folder}/a.out; rm {folder}/a.out"),
         needs=("gcc",), **ANY),
    Case("git", ("bash", "-c", "cd {folder} && git init -q r && cd r && git -c user.name=a -c user.email=b commit -q --allow-empty -m x "
                 "&& git log --oneline | wc -l && git gc -q && cd .. && rm -rf r"), needs=("git",), **ANY),
    Case("perl", ("perl", "-e", "$| = 1; print `echo a`; system 'echo b'; open my $p, '-|', 'echo c'; print <$p>; "
                  "my $k = fork; if (!$k) { print qq(d\\n); exit 4 } waitpid $k, 0; print $? >> 8, qq(\\n); "
                  "%ENV = (); print `/usr/bin/env`"), needs=("perl",), **ANY),
    *[Case(f"multiprocessing_{method}", ("/usr/bin/python3", "-c",
                                         "import multiprocessing as m, math\n"
                                         "if __name__ == '__main__':\n"
                                         f" m.set_start_method('{method}')\n"
                                         " with m.Pool(3) as p: print(p.map(math.factorial, range(12)))\n"), **ANY)
      for method in ("fork", "spawn", "forkserver")],
    Case("python_empty_environment", ("/usr/bin/python3", "-c",
                                      "import subprocess; print(subprocess.run(['/usr/bin/env'], env={}, capture_output=True))"),
         **ANY),
    *[Case(f"spawn_signals{name}", ("trees_spawn_signals",), prof=settings, log=("handles SIGPROF itself", "PROF_SIGNAL: the program handles"), **ANY)
      for name, settings in (("", {}), ("_not_followed", {"PROF_FOLLOW": "0"}))],
    # Whose loaders would end it, or say something, for a library that they cannot link.
    Case("exec_with_wild_pointers", ("trees_wild",), **ANY),
    Case("exec_of_another_libc", ("bash", "-c", "{build}/programs/loader_work.musl; echo $?; sh -c '{build}/programs/loader_work.musl && echo a' || echo b"),
         needs=("musl-gcc",), **ANY),
    Case("exec_of_32_bit", ("bash", "-c", "/lib32/libc.so.6 | wc -l; LD_PRELOAD=$LD_PRELOAD:libeatmydata.so.1 sh -c 'exec env /lib32/libc.so.6 2>&1' "
                            "| grep -o 'object.*ignored'"), needs=("/lib32/libc.so.6",), **ANY),
    Case("setsid", ("bash", "-c", "setsid -w bash -c 'echo a; exit 3'; echo $?"), **ANY),
]
