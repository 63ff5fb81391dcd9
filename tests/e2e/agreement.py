"""Programs under tests/agreement: their stacks as capture() and as libunwind take them at the same instants, counted."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess

import pprof
import servers

LIBRARY = pprof.BUILD / "unwind_agreement.so"
ENDS = ["complete", "too_deep", "no_unwind_info", "unreadable", "no_progress"]  # core/base/address.h


class Agreement:
    """What the processes of a run counted, in all."""

    def __init__(self, processes):
        self.processes = [p for p in processes if p["samples"]]

    def __add__(self, other):
        return Agreement(self.processes + other.processes)

    def sum(self, name, *path):
        return sum(_at(p, name, *path) for p in self.processes)

    @property
    def samples(self):
        return self.sum("samples")

    def share(self, kind, of="kinds"):
        return self.sum(of, kind) / max(1, self.samples)

    def examples(self, name):
        return [example for p in self.processes for example in p[name]]

    def ends(self, whose="our_ends"):
        return {end: self.sum(whose, i) for i, end in enumerate(ENDS) if self.sum(whose, i)}

    def describe(self):
        examples = self.examples("stack_examples") + self.examples("rule_examples")
        return "\n".join([f"{p['program']}: {p['samples']} samples, {p['kinds']}, by memo {p['by_memo']}, by libgcc {p['by_libgcc']}" for p in self.processes] +
                         [json.dumps(example) for example in examples[:20]])


def _at(value, *path):
    for step in path:
        value = value[step]
    return value


def environment(folder, by, libgcc=True):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PROF_", "LD_PRELOAD"))}
    return clean | {"LD_PRELOAD": str(LIBRARY), "UNWIND_AGREEMENT": str(folder / "counts"), "UNWIND_AGREEMENT_BY": by,
                    "UNWIND_AGREEMENT_LIBGCC": str(int(libgcc))}


def collect(folder):
    return Agreement([json.loads(path.read_text()) for path in sorted(folder.glob("counts.*"))])


def run(folder, command, by, libgcc=True):
    subprocess.run([str(word) for word in command], env=environment(folder, by, libgcc), cwd=folder, check=True, timeout=600,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return collect(folder)


def run_redis(folder, seconds, by):
    """redis-server, kept busy for so long by redis-benchmark, which is not looked at."""
    port = str(servers.free_port())
    # redis-tools brings the server too: what the program is called decides what it is.
    program = pathlib.Path(folder) / "redis-server"
    if not program.exists():
        program.symlink_to(shutil.which("redis-check-rdb"))
    server = subprocess.Popen([str(program), "--port", port, "--save", "", "--appendonly", "no"], cwd=folder,
                              env=environment(folder, by), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ask = ["redis-cli", "-p", port]
        assert servers.wait_for(lambda: b"PONG" in subprocess.run(ask + ["ping"], capture_output=True, check=False).stdout)
        script = "local s = 0 for i = 1, 2000 do s = s + i * i % 7 end return s"
        for work in (["-t", "set,get,lpush,lrange_100,zadd,mset,sadd", "-l"], ["eval", script, "0"]):
            # It ends by count only: more than can be done, and the time is the end.
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(["redis-benchmark", "-p", port, "-q", "-c", "20", "-P", "16", "-n", "20000000"] + work,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=seconds / 2)
        subprocess.run(ask + ["shutdown", "nosave"], capture_output=True, check=False)
        server.wait(20)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
    return collect(folder)
