"""Programs that have little of something, or give it up while they run."""

import subprocess

from case import Case

# Not where the root is no mount point (chroot).
HAS_MOUNTS = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0

WORK = "{build}/programs/resources_work"
WRITTEN = ("cannot be written", "could not be written", "not written")


def limited(name, *limits, **options):
    return Case(name, ("prlimit", *limits, WORK, "own.txt"), needs=("prlimit",), **options)


# Where nothing of it can be written. The kinds go to a folder that is full, or may not be written.
INTO = {f"PROF_{kind}": "/mnt/" + name for kind, name in
        (("CPU", "cpu.prof"), ("WALL", "wall.prof"), ("HEAP", "heap.prof"), ("ALLOCS", "allocs.prof"), ("BLOCK", "block.prof"),
         ("MUTEX", "mutex.prof"), ("THREAD", "thread.prof"), ("STACKS", "stacks.prof"), ("TRACE", "trace.json.gz"))}


def elsewhere(name, script, **options):
    """In a mount namespace of its own."""
    return Case(name, ("unshare", "-m", "sh", "-c", f"{script} && exec {WORK} own.txt"),
                needs=("unshare",) if HAS_MOUNTS else ("a mount namespace",), **options)


CASES = [
    elsewhere("no_proc", "umount -l /proc", expects=("mains_work", "threads_work"), log=(".",)),
    elsewhere("full_disk", "mount -t tmpfs -o size=16k none /mnt && { head -c 1000000 /dev/zero >/mnt/all 2>own.error; true; }",
              prof=INTO, profiles="none", log=(".",)),
    elsewhere("read_only_disk", "mount -t tmpfs -o ro none /mnt", prof=INTO, profiles="none", log=(".",)),
    Case("closed_before_exec", ("sh", "-c", f"exec {WORK} own.txt <&- >&- 2>&-"), expects=("mains_work", "threads_work")),
    Case("plain", ("resources_work", "own.txt"), expects=("mains_work", "threads_work")),
    limited("as_300M", "--as=314572800"),
    # From too little for libprof's start to too little for a process that writes beside it.
    *[limited(f"as_{megabytes}M", f"--as={megabytes}000000", profiles="any", log=(".",)) for megabytes in (16, 18, 20, 27, 29, 31, 33, 40)],
    limited("nofile_8", "--nofile=8", profiles="any", log=(".",)),
    Case("nofile_3", ("sh", "-c", f"exec <&-; ulimit -n 3; exec {WORK} own.txt"), profiles="any", log=(".",)),
    limited("nofile_4", "--nofile=4", profiles="any", log=(".",)),
    limited("sigpending_0", "--sigpending=0"),
    limited("fsize_4096", "--fsize=4096", profiles="any", log=(".",)),
    limited("nproc_0", "--nproc=0"),
    limited("stack_unlimited", "--stack=unlimited"),
    limited("stack_200K", "--stack=204800"),
    limited("memlock_0", "--memlock=0"),
    *[limited(f"data_{megabytes}M", f"--data={megabytes}000000", profiles="any", log=(".",)) for megabytes in (8, 10, 12, 14, 16, 20, 23)],
    limited("core_0", "--core=0"),
    *[Case(f"closed_by_{how}{'_append' if appends else ''}{'_at_once' if brief else ''}",
           ("resources_descriptors", how, "append" if appends else "write", *(["brief"] if brief else [])), profiles="any")
      for how in ("close_range", "closefrom", "loop") for appends in (False, True) for brief in (False, True)],
    *[Case(f"then_{how}", ("resources_changes", how), expects=("first_work", "later_work"))
      for how in ("chdir", "sigpending", "nproc", "cpu", "unshare_files", "unshare_fs", "unshare_mount", "unshare_net", "unshare_pid", "seteuid",
                  "stack", "close")],
    # A limit that the program has set for itself alone.
    *[Case(f"then_{how}_{end}", ("resources_changes", how, end), prof={"PROF_WALL": None}, expects=("first_work", "later_work"))
      for how in ("soft_fsize", "soft_nofile") for end in ("_exit", "15")],
    # No process can be made any more, by one that could go back and by one that could not.
    *[Case(f"then_{how}_{end}", ("resources_changes", how, end), prof={"PROF_WALL": None}, expects=("first_work", "later_work"))
      for how in ("unshare_pid", "unshare_user_pid", "setuid_nproc") for end in ("_exit", "15")],
    *[Case(f"then_{how}_without_thread", ("resources_changes", how), prof={"PROF_WALL": None}, expects=("first_work", "later_work"))
      for how in ("unshare_user", "setns")],
    # With the wall clock's thread, of which they see nothing.
    *[Case(f"then_{how}", ("resources_changes", how), expects=("first_work", "later_work"), log=("wall-clock sampling in this namespace",))
      for how in ("unshare_user", "unshare_user_pid", "setns")],
    # With that of HTTP too.
    *[Case(f"then_{how}_served", ("resources_changes", how), prof={"PROF_HTTP": "unix:{profiles}/socket"}, expects=("first_work", "later_work"),
           log=("wall-clock sampling in this namespace", "no thread for it in this namespace"))
      for how in ("unshare_user", "unshare_user_pid", "setns")],
    *[Case(f"then_{how}", ("resources_changes", how), profiles="any", log=(".",))
      for how in ("chroot", "setuid", "fsize", "nofile", "as", "data", "umask")],
    *[Case(f"seccomp_{how}_by_{by}", ("resources_seccomp", how, by), log=("seccomp",), expects=("first_work",))
      for how in ("strict", "few", "few_returns", "no_usage", "no_poll", "executes") for by in ("prctl", "syscall")],
    *[Case(f"seccomp_most_by_{by}", ("resources_seccomp", "most", by), expects=("first_work", "later_work")) for by in ("prctl", "syscall")],
    Case("then_cpu_ends", ("resources_changes", "cpu_ends"), profiles="any"),
]
