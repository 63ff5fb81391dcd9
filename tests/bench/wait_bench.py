"""What the profiles of waits and threads cost: block, mutex, threadcreate, wall, and every thread's stack at a signal. Locks in loops,
beside mutrace where it is installed; and two servers. Medians of interleaved rounds of separate processes, with the quartiles.

    wait_bench.py BUILD_FOLDER          BENCH_ROUNDS sets the number of rounds (default 9)
"""

import contextlib
import glob
import multiprocessing
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from measure import BUILD, LIBRARY, ROUNDS, compare, environment, quartiles

PROGRAM = os.path.join(BUILD, "bench_waits")
LOOPS = [("an uncontended mutex, one thread: ns for lock and unlock", ["pair"]),
         ("the same beside a thread that sleeps", ["pair_threads"]),
         ("an uncontended read lock, one thread: ns for lock and unlock", ["rwlock"]),
         ("an uncontended write lock, likewise", ["rwlock_write"]),
         ("2 threads, 1 us of work in a mutex and 1 us outside: ns for one of these", ["contended", "2"]),
         ("8 threads, likewise", ["contended", "8"]),
         ("the turn goes to another thread, by a mutex and a condition, on one processor: ns", ["handover"]),
         ("a thread is made and joined, on one processor: us", ["create"])]
SLEEPERS = (10, 100, 1000)
# Of pgbench's own script, in all: it updates, so that backends wait for each other.
TRANSACTIONS = 4000
BACKENDS = 8
MEMCACHED_THREADS = 4
CLIENTS = 4
BATCHES = 1500
BATCH = 25  # keys that are set and got, and the common one as often


def ways_of(profiles):
    """Name, command prefix and settings of each way to run a program; what is written goes to the folder `profiles`."""
    def preloaded(**settings):
        return {"LD_PRELOAD": LIBRARY} | {name: value.format(profiles) for name, value in settings.items()}

    waits = {"PROF_BLOCK": "{}/block.prof", "PROF_MUTEX": "{}/mutex.prof", "PROF_THREAD": "{}/threads.prof"}
    return [("alone", [], {}), ("alone again", [], {}),
            ("an interposer of nothing", [], {"LD_PRELOAD": os.path.join(BUILD, "pass_through.so")}),
            ("libprof, nothing set", [], preloaded()),
            ("PROF_HTTP, nobody asks", [], preloaded(PROF_HTTP="unix:{}/%p.sock")),
            ("PROF_CPU", [], preloaded(PROF_CPU="{}/cpu.prof")),
            ("PROF_BLOCK, MUTEX, THREAD", [], preloaded(**waits)),
            ("same, PROF_BLOCK_RATE=1", [], preloaded(PROF_BLOCK_RATE="1", **waits)),
            ("PROF_DIR", [], preloaded(PROF_DIR="{}")),
            ("PROF_STACKS", [], preloaded(PROF_STACKS="{}/stacks.prof")),
            ("PROF_WALL", [], preloaded(PROF_WALL="{}/wall.prof"))]


def empty(folder):
    for path in glob.glob(os.path.join(folder, "*")):
        with contextlib.suppress(FileNotFoundError):  # a server removes its own
            os.remove(path)


def measured(arguments, prefix, settings, folder):
    answer = subprocess.run(prefix + [PROGRAM, *arguments], env=environment(folder, **settings), cwd=folder,
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return float(answer.stdout)


def loops(folder):
    ways = ways_of(folder)
    if shutil.which("mutrace"):
        ways.append(("mutrace --all", ["mutrace", "--all", "--"], {}))
    print(f"\nlocks and threads in loops ({ROUNDS} interleaved rounds, median [quartiles]), and what is added to the program alone")
    for title, arguments in LOOPS:
        values = [[] for _ in ways]
        for _ in range(ROUNDS):
            for of_way, (_, prefix, settings) in zip(values, ways):
                of_way.append(measured(arguments, prefix, settings, folder))
                empty(folder)
        print(f"  {title}")
        base = quartiles(values[0])[1]
        for of_way, (name, _, _) in zip(values, ways):
            low, middle, high = quartiles(of_way)
            print(f"    {name:26} {middle:9.2f} {middle - base:+9.2f}   [{low:.2f}, {high:.2f}]")
        sys.stdout.flush()


def stacks(folder):
    print(f"\nPROF_STACKS, threads asleep in five calls: ms from the signal to the text (median of {ROUNDS} [quartiles])")
    settings = {"LD_PRELOAD": LIBRARY, "PROF_STACKS": os.path.join(folder, "stacks.prof")}
    values = {count: [] for count in SLEEPERS}
    for _ in range(ROUNDS):
        for count, of_count in values.items():
            of_count.append(measured(["stacks", str(count)], [], settings, folder))
            empty(folder)
    for count, of_count in values.items():
        low, middle, high = quartiles(of_count)
        print(f"    {count:5} threads {middle:9.2f}   [{low:.2f}, {high:.2f}]")
    sys.stdout.flush()


@contextlib.contextmanager
def server(command, env, folder, ready, stop, **options):
    """A server that answers, and the CPU time of all its processes, start and exit included: a list, filled at the end."""
    cpu = []
    process = subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        deadline = time.monotonic() + 60
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not answer")
            time.sleep(.02)
        yield cpu
    finally:
        if process.returncode is None:
            process.send_signal(stop)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]}: exit code {process.returncode}")
    cpu.append(usage.ru_utime + usage.ru_stime)


def serves(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False


def ask_memcached(port, number):
    """Keys of its own, and one that all set to the same. Questions and answers are made before: the clients' time is not the server's."""
    common = b"common" * 20
    questions, expected = b"", b""
    for key in range(BATCH):
        name, value = b"key-%d-%d" % (number, key), b"%03d" % key * 50
        for name, value in ((name, value), (b"common", common)):
            questions += b"set %b 0 0 %d\r\n%b\r\nget %b\r\n" % (name, len(value), value, name)
            expected += b"STORED\r\nVALUE %b 0 %d\r\n%b\r\nEND\r\n" % (name, len(value), value)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection, connection.makefile("rb") as answers:
        for _ in range(BATCHES):
            connection.sendall(questions)
            if answers.read(len(expected)) != expected:
                raise RuntimeError("memcached's answer is wrong")


def cpu_of_memcached(profiles):
    def work(_, env, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = ["memcached", "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", str(MEMCACHED_THREADS),
                   "-u", pwd.getpwuid(os.geteuid()).pw_name]
        with server(command, env, folder, lambda: serves(port), signal.SIGTERM) as cpu:
            clients = [multiprocessing.Process(target=ask_memcached, args=(port, number)) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            for client in clients:
                client.join()
            if any(client.exitcode != 0 for client in clients):
                raise RuntimeError("a client of memcached failed")
        empty(profiles)
        return cpu[0]

    return work


def memcached():
    with tempfile.TemporaryDirectory() as folder:
        profiles = os.path.join(folder, "profiles")
        os.mkdir(profiles)
        title = f"memcached with {MEMCACHED_THREADS} threads, {CLIENTS * BATCHES * BATCH * 2} set and get each by {CLIENTS} clients"
        compare(title, cpu_of_memcached(profiles), ways_of(profiles), folder)


def unprivileged():
    """Who runs PostgreSQL, which refuses to be root: options of subprocess; None where there is nobody."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    return None


class Postgres:
    """A cluster in the folder `data` of another, with a private socket there."""

    def __init__(self, binaries, folder, user):
        self._binaries, self._folder, self._user = binaries, folder, user
        self._run("initdb", "-D", "data", "-A", "trust", "-U", "tester", "--no-sync", "--locale=C", "-E", "UTF8")

    def _command(self, name, *words):
        return [os.path.join(self._binaries, name), *words]

    def _run(self, name, *words, check=True):
        return subprocess.run(self._command(name, *words), env=environment(self._folder), cwd=self._folder, check=check,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._user)

    def pgbench(self, *words):
        self._run("pgbench", "-h", self._folder, "-U", "tester", *words, "postgres")

    def _answers(self):
        return self._run("pg_isready", "-h", self._folder, "-U", "tester", check=False).returncode == 0

    def server(self, env):
        # No process of its own accord but those that there have to be.
        command = self._command("postgres", "-D", "data", "-c", "listen_addresses=", "-c", f"unix_socket_directories={self._folder}",
                                "-c", "fsync=off", "-c", "autovacuum=off")
        return server(command, env, self._folder, self._answers, signal.SIGINT, **self._user)


def postgres(binaries):
    user = unprivileged()
    if user is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        profiles = os.path.join(folder, "profiles")
        os.mkdir(profiles)
        for path in (folder, profiles) if user else ():
            os.chown(path, user["user"], user["group"])
        library = shutil.copy(LIBRARY, folder)  # the build's folder may be closed to others
        cluster = Postgres(binaries, folder, user)
        with cluster.server(environment(folder)):
            cluster.pgbench("-i", "-q", "-s", "4")

        def work(_, env, _folder):
            with cluster.server(env) as cpu:
                cluster.pgbench("-c", str(BACKENDS), "-j", "2", "-t", str(TRANSACTIONS // BACKENDS))
            empty(profiles)
            return cpu[0]

        ways = [(name, prefix, settings | ({"LD_PRELOAD": library} if settings else {})) for name, prefix, settings in ways_of(profiles)]
        compare(f"PostgreSQL, {TRANSACTIONS} transactions of pgbench by {BACKENDS} backends", work, ways, folder)


def main():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        loops(folder)
        stacks(folder)
    if shutil.which("memcached"):
        memcached()
    binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin/pgbench"), key=lambda path: int(path.split("/")[-3]))
    if binaries:
        postgres(os.path.dirname(binaries[-1]))


if __name__ == "__main__":
    main()
