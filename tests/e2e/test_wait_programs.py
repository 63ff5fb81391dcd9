"""Programs of Debian on real work, with block, mutex and threadcreate profiles: the same results, valid profiles, sensible names.
Servers are started on a private port or socket and are stopped by their pid."""

import dataclasses
import functools
import hashlib
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

import heap
import pprof
from servers import free_port, wait_for
import waits

LIBRARY = pprof.BUILD / "libprof.so"
WAITS = ("block", "mutex", "threadcreate")
VARIANTS = {
    "default": waits.settings(),
    "exact": waits.settings(1),
    "all": {"PROF_CPU": None, "PROF_DIR": "{folder}", "PROF_BLOCK_RATE": "1", "PROF_CPU_HZ": "250"},
}
# The variable's file, where there is one; and what reads it.
FILES = {"block": ("block", waits.read), "mutex": ("mutex", waits.read), "threadcreate": ("thread", waits.read_threads),
         "cpu": ("cpu", pprof.read), "heap": ("heap", heap.read),
         "allocs": ("allocs", functools.partial(heap.read, default="alloc_space"))}
# Past libprof: of redis, whose jemalloc makes its threads by a pthread_create that it has looked up behind us.
COMMENTS = ("program: ", "threads created: ", "waits of threads that were made past libprof",
            "waits still going on, not in the values", "ended by ")

PYTHON_THREADS = 4
PYTHON = """
import hashlib, queue, threading, time
jobs, done, lock, total = queue.Queue(4), queue.Queue(), threading.Lock(), [0]
gate = threading.Barrier({threads})
def work():
    gate.wait()
    while (job := jobs.get()) is not None:
        digest = hashlib.sha256(b'%d' % job * 20000).hexdigest()
        with lock:
            total[0] += job
            time.sleep(.0005)
        done.put((job, digest))
threads = [threading.Thread(target=work) for _ in range({threads})]
for thread in threads: thread.start()
for job in range(300): jobs.put(job)
for thread in threads: jobs.put(None)
for thread in threads: thread.join()
results = sorted(done.get() for _ in range(300))
print(total[0], hashlib.sha256(repr(results).encode()).hexdigest())
raise SystemExit(3)
""".replace("{threads}", str(PYTHON_THREADS))
JAVA_THREADS = 4
JAVA = """
import java.util.*;
import java.util.concurrent.*;
public class Work {
  static long total = 0;
  public static void main(String[] arguments) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool({threads});
    BlockingQueue<Integer> queue = new ArrayBlockingQueue<>(8);
    Object lock = new Object();
    List<Future<Long>> results = new ArrayList<>();
    for (int i = 0; i < {threads}; i++)
      results.add(pool.submit(() -> {
        long sum = 0;
        for (int value; (value = queue.take()) >= 0; ) {
          for (int j = 0; j < 2000; j++) sum += value * j % 7;
          synchronized (lock) {
            total += value;
            if (value % 50 == 0) lock.wait(1);
          }
        }
        return sum;
      }));
    for (int i = 0; i < 2000; i++) queue.put(i);
    for (int i = 0; i < {threads}; i++) queue.put(-1);
    long sum = 0;
    for (Future<Long> result : results) sum += result.get();
    pool.shutdown();
    System.gc();
    System.out.println(sum + " " + total + " " + pool.awaitTermination(10, TimeUnit.SECONDS));
    System.exit(6);
  }
}
""".replace("{threads}", str(JAVA_THREADS))
NODE_WORKERS = 3
NODE_POOL = 4
NODE = """
const crypto = require('crypto'), zlib = require('zlib'), { Worker } = require('worker_threads');
const source = `const { parentPort, workerData } = require('worker_threads');
let sum = 0;
for (let i = 0; i < 1e6; ++i) sum += i * workerData % 7;
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
parentPort.postMessage(sum);`;
const all = [], add = start => all.push(new Promise(start));
for (let i = 1; i <= {workers}; ++i) add(done => new Worker(source, {eval: true, workerData: i}).on('message', done));
for (let i = 0; i < 8; ++i)
  add(done => crypto.pbkdf2('word', 'salt' + i, 2000, 16, 'sha256', (_, key) => done(key.toString('hex'))));
for (let i = 0; i < 4; ++i) add(done => zlib.gzip(Buffer.alloc(3e5, 'abc' + i), (_, packed) => done(packed.length)));
Promise.all(all).then(values => { console.log(JSON.stringify(values)); process.exitCode = 7; });
""".replace("{workers}", str(NODE_WORKERS))
XZ_THREADS = 2
# The first part is less than a block: its encoder has to wait for the rest.
XZ = (f"{{ head -c 500000 {{corpus}}; sleep .2; tail -c +500001 {{corpus}}; }} | "
      f"xz -T{XZ_THREADS} -0 --block-size=1MiB -c >out.xz; echo $?; sha256sum <out.xz; xz -t out.xz; exit 9")
RG_THREADS = 3
RG = ["rg", f"-j{RG_THREADS}", "-c", "(ab|cd).*[e-g]h", "{tree}", "{tree}/missing"]
REDIS_IO_THREADS = 4  # the main thread is one of them
MEMCACHED_WORKERS = 5
MEMCACHED_CLIENTS = 8
PGBENCH_THREADS = 4  # likewise
POSTGRES = f"""
set -e
initdb -D {{folder}}/data -A trust -U tester --no-sync --locale=C -E UTF8 >initdb.log
pg_ctl -D {{folder}}/data -l server.log -w -o "-c listen_addresses='' -c unix_socket_directories={{folder}} -c fsync=off" start \\
  >/dev/null
pgbench -h {{folder}} -U tester -i -q -s 1 postgres 2>/dev/null
pgbench -h {{folder}} -U tester -c 8 -j {PGBENCH_THREADS} -t 100 -n postgres
psql -X -h {{folder}} -U tester -d postgres -At -c "select count(*), sum(delta) = (select sum(abalance) from pgbench_accounts),
  sum(delta) = (select sum(bbalance) from pgbench_branches) from pgbench_history" -c "select missing" 2>&1 || true
pg_ctl -D {{folder}}/data -m fast -w stop >/dev/null
exit 4
"""


@dataclasses.dataclass
class Program:
    command: list
    returncode: int
    needs: str  # a command
    log: list = dataclasses.field(default_factory=list)  # what libprof has to say on stderr
    cores: int = 1
    drive: object = None  # a server's: called with its port, process and folder
    is_compiled_at_run_time: bool = False
    ordered: bool = True  # its lines of output


def answers_at(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    except OSError:
        return False


def drive_redis(port, process, folder):
    """Load by 30 clients, which wakes the threads that read and write; then answers, that are kept."""
    def client(*words):
        return subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True, timeout=30).stdout

    assert wait_for(lambda: client("ping") == "PONG\n"), "the server does not answer"
    with open(folder / "load", "wb") as out:
        # A server with more threads that spin than there are processors is a slow one.
        load = subprocess.run(["redis-benchmark", "-p", str(port), "-q", "-c", "30", "-P", "4", "-n", "1000",
                               "-t", "set,get,lpush"], stdout=out, stderr=out, timeout=100)
    answers = [load.returncode, client("strlen", "key:__rand_int__"), client("llen", "mylist"), client("incr", "counter"),
               client("set", "one", "two"), client("mget", "one", "none"), client("config", "get", "io-threads"),
               re.findall("io_threads_active:.*", client("info", "server"))]
    (folder / "answers").write_text(repr(answers))
    process.send_signal(signal.SIGTERM)


def drive_memcached(port, process, folder):
    """Clients that write and read keys of their own and count on common ones; then what the counters came to."""
    batches, keys = 60, 20
    digests = [None] * MEMCACHED_CLIENTS

    def connect():
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        return connection, connection.makefile("rb")

    def ask(number):
        connection, answers = connect()
        digest = hashlib.sha256()
        with connection, answers:
            for batch in range(batches):
                for key in range(keys):
                    value = b"%d" % (batch * key) * (key + 1)
                    name = b"key%d-%d" % (number, key)
                    put = b"set %b 0 0 %d\r\n%b\r\n" % (name, len(value), value)
                    connection.sendall(put + b"get %b\r\nincr common%d 1\r\n" % (name, key))
                lines = [answers.readline() for _ in range(5 * keys)]
                assert all(lines[5 * key + 4].strip().isdigit() for key in range(keys)), lines
                for key in range(keys):
                    digest.update(b"".join(lines[5 * key:5 * key + 4]))
        digests[number] = digest.hexdigest()

    assert wait_for(lambda: answers_at(port)), "the server does not answer"
    connection, answers = connect()
    with connection, answers:
        for key in range(keys):
            connection.sendall(b"set common%d 0 0 1\r\n0\r\n" % key)
        assert [answers.readline() for _ in range(keys)] == [b"STORED\r\n"] * keys
        clients = [threading.Thread(target=ask, args=(number,)) for number in range(MEMCACHED_CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        connection.sendall(b"".join(b"get common%d\r\n" % key for key in range(keys)))
        counters = set()
        for _ in range(keys):
            answers.readline()
            counters.add(answers.readline().strip())
            answers.readline()
    (folder / "answers").write_text(repr((digests, counters)))
    assert counters == {b"%d" % (MEMCACHED_CLIENTS * batches)}, counters
    process.send_signal(signal.SIGTERM)


def user_name():
    return pwd.getpwuid(os.geteuid()).pw_name


PROGRAMS = {
    "xz": Program(["/bin/sh", "-c", XZ], 9, "xz"),
    "python3": Program(["/usr/bin/python3", "-c", PYTHON], 3, "/usr/bin/python3"),
    "rg": Program(RG, 2, "rg", ordered=False),
    # The virtual machine has a handler of its own for SIGUSR2.
    "java": Program(["java", "{java}"], 6, "java", [], cores=2, is_compiled_at_run_time=True),
    "node": Program(["node", "-e", NODE], 7, "node", cores=2, is_compiled_at_run_time=True),
    "redis": Program(["{redis}", "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--dir", "{folder}", "--io-threads",
                      str(REDIS_IO_THREADS), "--io-threads-do-reads", "yes"], 0, "redis-benchmark", cores=2, drive=drive_redis),
    "memcached": Program(["memcached", "-l", "127.0.0.1", "-p", "{port}", "-U", "0", "-t", str(MEMCACHED_WORKERS), "-u", "{user}"],
                         0, "memcached", cores=2, drive=drive_memcached),
    "postgres": Program(["/bin/sh", "-c", POSTGRES], 4, "postgres", cores=2),
}


def postgres_binaries():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def is_there(name):
    return postgres_binaries() is not None if name == "postgres" else shutil.which(PROGRAMS[name].needs) is not None


def unprivileged():
    """The user that PostgreSQL, which refuses to be root, is to run as. None: this one will do; or there is none."""
    for name in ("postgres", "nobody") if os.geteuid() == 0 else ():
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("material")
    letters = random.Random(20240131)
    words = ["".join(letters.choices("abcdefghijklmnop", k=letters.randint(2, 11))) for _ in range(50000)]
    text = " ".join(letters.choices(words, k=1_000_000))
    (folder / "corpus").write_text(text)
    for number in range(240):
        place = folder / "tree" / str(number % 12)
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.txt").write_text(text[number * 20000:][:20000].replace(" x", "\n").replace("pa", "\n"))
    (folder / "Work.java").write_text(JAVA)
    # redis-tools brings the server too: what the program is called decides what it is.
    if shutil.which("redis-check-rdb"):
        (folder / "redis-server").symlink_to(shutil.which("redis-check-rdb"))
    return {"corpus": str(folder / "corpus"), "tree": str(folder / "tree"), "java": str(folder / "Work.java"),
            "redis": str(folder / "redis-server"), "user": user_name()}


def start(runner, material, name, variant, folders):
    """One run. Its folder gets `lived`: a number of seconds that it did not outlive."""
    program = PROGRAMS[name]
    port = free_port() if program.drive else 0
    names = dict(material, port=str(port))
    command = [re.sub(r"\{(%s)\}" % "|".join(names), lambda match: names[match[1]], word) for word in program.command]
    options = {"preload": variant != "plain", "cores": program.cores}
    settings = dict(VARIANTS.get(variant, {}))
    user = None
    if name == "postgres":
        user = unprivileged()
        folder = pathlib.Path(tempfile.mkdtemp(prefix="wait_programs."))  # the tests' are root's
        folders.append(folder)
        shutil.copy(LIBRARY, folder / "libprof.so")  # the build's folder may be closed to others
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
            os.chmod(folder, 0o755)
        settings["LD_PRELOAD"] = "{folder}/libprof.so"
        environment = {"PATH": f"{postgres_binaries()}:/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C"}
        options |= {"folder": folder, "environment": environment}

    def before():
        pathlib.Path("began").write_text(str(time.monotonic()))
        if user:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)

    def during(process, folder):
        if program.drive:
            program.drive(port, process, folder)
        process.wait(100)
        (folder / "lived").write_text(str(time.monotonic() - float((folder / "began").read_text())))

    return runner.start(command, settings, during=during, limits=before, **options)


@pytest.fixture(scope="module")
def all_runs(runner, material):
    """{name: {variant: future}}; "plain" is without libprof."""
    folders = []
    started = {name: {variant: start(runner, material, name, variant, folders) for variant in ["plain", *VARIANTS]}
               for name in PROGRAMS if is_there(name)}
    yield started
    for futures in started.values():
        for future in futures.values():
            future.exception()
    for folder in folders:
        shutil.rmtree(folder)


def get(all_runs, name, variant):
    if name not in all_runs:
        pytest.skip(f"{name} is not installed")
    return all_runs[name][variant].result()


def results(name, run):
    """What the program answered, without what differs from run to run."""
    if PROGRAMS[name].drive:
        return (run.folder / "answers").read_text()
    lines = run.stdout.decode().splitlines()
    if name == "postgres":
        lines = [line for line in lines if not re.match("latency|tps|initial connection time", line)]
    if name == "rg":
        lines = [line.rsplit("/tree/", 1)[1] for line in lines]
    return lines if PROGRAMS[name].ordered else sorted(lines)


@functools.lru_cache(maxsize=None)
def read(path, kind):
    """(the program's name, its profile)."""
    profile = FILES[kind][1](path)
    (program,) = [comment for comment in profile.comments if comment.startswith("program: ")]
    return re.fullmatch(r"program: .*/([^/]+), pid \d+", program)[1], profile


def profiles(run, kind, program):
    """Of one kind, of all processes of a program; what a tick met before an exec is a file of its own."""
    names = re.compile(rf"{FILES[kind][0]}(\.\d+)*\.prof|.+\.\d+\.{kind}(\.\d+)*(\.exec\d+)?\.pb\.gz")
    found = [read(run.folder / name, kind) for name in run.files() if names.fullmatch(name)]
    return [profile for whose, profile in found if whose.startswith(program)]


def only(run, kind, program):
    (profile,) = profiles(run, kind, program)
    return profile


def total(samples):
    """(count, delay)"""
    return sum(sample.count for sample in samples), sum(sample.delay for sample in samples)


def starts(profile):
    """{start routine: how many threads}"""
    found = {}
    for raw in profile.document["samples"] or []:
        (start_routine,) = raw["labels"]["start"]
        found[start_routine] = found.get(start_routine, 0) + raw["values"][0]
    return found


def describe(found):
    return "\n".join(profile.describe() for profile in found)


each_program = pytest.mark.parametrize("name", PROGRAMS)
each_variant = pytest.mark.parametrize("variant", VARIANTS)


@each_program
@each_variant
def test_same_result(all_runs, name, variant):
    profiled, plain = get(all_runs, name, variant), get(all_runs, name, "plain")
    program = PROGRAMS[name]
    assert not profiled.stuck and not plain.stuck
    assert profiled.returncode == plain.returncode == program.returncode, (profiled.stderr, plain.stderr)
    assert results(name, profiled) == results(name, plain) != []
    said = [line for line in profiled.stderr.decode().splitlines() if not line.startswith("libprof:")]
    assert said == plain.stderr.decode().splitlines()
    assert len(profiled.log) == len(program.log), profiled.log
    assert all(part in line for part, line in zip(program.log, profiled.log)), profiled.log


@each_program
@each_variant
def test_profiles_are_valid(all_runs, name, variant):
    """Every file that there is, of every process. Nothing is missing from them, but for frames under code that was compiled at run
    time, and a stack that was too deep there. Beside CPU profiles the comments are about those too."""
    run = get(all_runs, name, variant)
    kinds = FILES if variant == "all" else WAITS
    seen = 0
    for kind in kinds:
        found = profiles(run, kind, "")
        seen += len(found)
        # A child's file is there only where it recorded something: none of PostgreSQL's processes keeps another waiting for a lock.
        assert found or (name == "postgres" and kind == "mutex"), (kind, run.files())
        for profile in found if variant != "all" and not PROGRAMS[name].is_compiled_at_run_time else []:
            assert all(comment.startswith(COMMENTS) for comment in profile.comments), profile.comments
    assert seen == len(run.files()), run.files()


@each_program
def test_no_thread_waits_longer_than_it_lives(all_runs, name):
    """A process's first thread waits for one thing at a time. At rate 1 the delays are not estimates."""
    run = get(all_runs, name, "exact")
    lived = float((run.folder / "lived").read_text()) * 1e9
    for profile in profiles(run, "block", ""):
        own = [sample for sample in profile.samples if "__libc_start_main" in sample.functions]
        assert total(own)[1] <= lived, profile.describe()


@each_variant
def test_xz(all_runs, variant):
    """Each encoder waits for input, in liblzma and under nothing but a thread's start. What main gives it then is given under its
    mutex."""
    run = get(all_runs, "xz", variant)
    (block,) = [profile for profile in profiles(run, "block", "xz") if profile.samples]
    own = [sample for sample in block.samples if "liblzma" in sample.leaf_file]
    workers = [sample for sample in own if sample.has("start_thread")]
    main = [sample for sample in own if sample.has("lzma_code", "__libc_start_main")]
    assert total(workers)[0] >= 1 and total(main)[0] >= 1 and len(own) == len(block.samples), block.describe()
    (mutex,) = [profile for profile in profiles(run, "mutex", "xz") if profile.samples]
    assert all("liblzma" in sample.leaf_file for sample in mutex.samples), mutex.describe()
    assert mutex.of("lzma_code", "__libc_start_main")[0] >= 1, mutex.describe()
    (threads,) = [profile for profile in profiles(run, "threadcreate", "xz") if profile.samples]
    assert threads.of("lzma_code", "__libc_start_main")[0] == threads.count == XZ_THREADS, threads.describe()
    (routine,) = starts(threads)
    assert routine.startswith("liblzma"), routine


@each_variant
def test_python(all_runs, variant):
    """A lock is a semaphore there, and the interpreter's own a mutex and a condition. Somebody holds the lock for 150 ms in all,
    and has the other workers wait for it or for jobs, and main for them."""
    run = get(all_runs, "python3", variant)
    block = only(run, "block", "python3")
    count, delay = block.of_leaf("PyThread_acquire_lock_timed")
    assert count >= 100 and delay > 300 * 500_000, block.describe()
    assert block.of("PyThread_acquire_lock_timed", "_PyEval_EvalFrameDefault", "start_thread")[0] > 0, block.describe()
    assert block.of("PyThread_acquire_lock_timed", "_PyEval_EvalFrameDefault", "__libc_start_main")[0] > 0, block.describe()
    mutex = only(run, "mutex", "python3")
    assert all("python3" in sample.leaf_file for sample in mutex.samples + block.samples), mutex.describe() + block.describe()
    assert "PyThread_acquire_lock_timed" not in mutex.leaves, mutex.describe()
    threads = only(run, "threadcreate", "python3")
    assert threads.of_leaf("PyThread_start_new_thread")[0] == threads.count == PYTHON_THREADS, threads.describe()
    assert [routine.startswith("python3") for routine in starts(threads)] == [True], starts(threads)


@each_variant
def test_ripgrep(all_runs, variant):
    """Rust's locks are futexes, which nobody sees; its threads are made and joined as others' are."""
    run = get(all_runs, "rg", variant)
    threads, block = only(run, "threadcreate", "rg"), only(run, "block", "rg")
    assert threads.count == RG_THREADS, threads.describe()
    assert f"threads created: {RG_THREADS}, of which alive: 0" in threads.comments, threads.comments
    assert [routine.startswith("rg+") or "thread_start" in routine for routine in starts(threads)] == [True], starts(threads)
    assert 1 <= block.count <= RG_THREADS, block.describe()
    assert all(sample.leaf_file.endswith("/rg") for sample in block.samples), block.describe()
    assert only(run, "mutex", "rg").count == 0


@each_variant
def test_java(all_runs, variant):
    run = get(all_runs, "java", variant)
    block, mutex, threads = (only(run, kind, "java") for kind in WAITS)
    for wanted in ("Parker::park", "ObjectMonitor::wait", "Monitor::wait", "JavaThread::thread_main_inner"):
        assert block.of(wanted)[0] > 0, (wanted, block.describe())
    # Every 50th of 2000 numbers waits for a millisecond, if nobody calls; nobody does.
    count, delay = block.of("ObjectMonitor::wait", "JVM_MonitorWait")
    assert count >= 40 and delay > 40 * 1_000_000, block.describe()
    assert mutex.count > 0 and any("libjvm" in sample.leaf_file for sample in mutex.samples), mutex.describe()
    assert threads.of("JVM_StartThread")[0] >= JAVA_THREADS, threads.describe()
    others = threads.count - 1
    assert starts(threads) == {"ThreadJavaMain": 1, "thread_native_entry": others}, starts(threads)


@each_variant
def test_node(all_runs, variant):
    run = get(all_runs, "node", variant)
    block, mutex, threads = (only(run, kind, "node") for kind in WAITS)
    for wanted in ("uv_cond_wait", "start_thread"):
        assert block.of(wanted)[0] > 0, (wanted, block.describe())
    assert any(name.startswith("v8::") for name in block.functions), block.describe()  # Atomics.wait
    assert mutex.count > 0, mutex.describe()
    assert threads.of("uv_thread_create_ex", "node::worker::Worker::StartThread")[0] == NODE_WORKERS, threads.describe()
    assert threads.of("uv_thread_create_ex", "uv_queue_work")[0] == NODE_POOL, threads.describe()
    # Debian's libuv is a library of its own, and stripped.
    pool = sum(count for name, count in starts(threads).items() if name == "worker" or name.startswith("libuv.so"))
    assert pool == NODE_POOL, starts(threads)


@each_variant
def test_redis(all_runs, variant):
    """Each thread for reading and writing stands at a mutex that the main one holds until there is enough to do; who lets it go is
    charged with that."""
    run = get(all_runs, "redis", variant)
    block, mutex, threads = (only(run, kind, "redis") for kind in WAITS)
    answers = (run.folder / "answers").read_text()
    assert f"io-threads\\n{REDIS_IO_THREADS}\\n" in answers and answers.startswith("[0, "), answers
    helpers = REDIS_IO_THREADS - 1
    assert block.of("IOThreadMain", "start_thread")[0] >= helpers, block.describe()
    assert all("redis" in sample.leaf_file or "libjemalloc" in sample.leaf_file for sample in block.samples), block.describe()
    assert mutex.of("beforeSleep", "aeMain", "main")[0] >= helpers, mutex.describe()
    if variant != "default":  # where short waits are estimated; a wait ends after the unlock
        assert 0 < mutex.delay <= block.delay, mutex.describe() + block.describe()
    assert starts(threads) == {"IOThreadMain": helpers, "bioProcessBackgroundJobs": 3}, starts(threads)
    assert threads.of("initThreadedIO", "InitServerLast", "main")[0] == helpers, threads.describe()


@each_variant
def test_memcached(all_runs, variant):
    """Its own names are not in the file. The workers, as many as were asked for, share a start routine, and each of the others
    has one of its own. Main waits until the crawler has begun."""
    run = get(all_runs, "memcached", variant)
    block, mutex, threads = (only(run, kind, "memcached") for kind in WAITS)
    found = starts(threads)
    assert sorted(found.values()) == [1] * (len(found) - 1) + [MEMCACHED_WORKERS] and len(found) > 1, found
    assert all(routine.startswith("memcached") for routine in found), found
    assert threads.of("__libc_start_main")[0] == threads.count, threads.describe()
    assert all(sample.leaf_file.endswith("/memcached") for sample in block.samples + mutex.samples + threads.samples)
    if variant != "default":  # it may take no longer than 10 us
        assert block.of("__libc_start_main")[0] >= 1, block.describe()


@each_variant
def test_postgres(all_runs, variant):
    """Backends wait for each other at semaphores that they share; pgbench's threads at a barrier, and main for them."""
    run = get(all_runs, "postgres", variant)
    log = (run.folder / "server.log").read_text()
    assert "database system is shut down" in log and "PANIC" not in log and "terminated by signal" not in log, log
    # The server's processes send each other SIGUSR2.
    for line in log.splitlines() + (run.folder / "initdb.log").read_text().splitlines():
        assert "libprof" not in line or "PROF_SIGNAL" in line, line
    assert {"800|t|t", 'ERROR:  column "missing" does not exist'} <= set(results("postgres", run))

    backends = profiles(run, "block", "postgres")
    waited = [sample for profile in backends for sample in profile.samples if sample.has("LWLockAcquire", "PostgresMain")]
    assert total(waited)[0] >= 1 and {sample.leaf for sample in waited} == {"PGSemaphoreLock"}, describe(backends)
    assert sum(profile.count for profile in profiles(run, "mutex", "postgres")) == 0
    assert sum(profile.count for profile in profiles(run, "threadcreate", "postgres")) == 0

    helpers = PGBENCH_THREADS - 1
    (threads,) = [profile for profile in profiles(run, "threadcreate", "pgbench") if profile.samples]
    assert list(starts(threads).values()) == [helpers] and threads.of("__libc_start_main")[0] == helpers, threads.describe()
    assert f"threads created: {helpers}, of which alive: 0" in threads.comments, threads.comments
    (block,) = [profile for profile in profiles(run, "block", "pgbench") if profile.samples]
    # Two that connect at once may meet at a lock of libpq's.
    own = [sample for sample in block.samples if "/libpq.so" not in sample.leaf_file]
    assert own and all(sample.leaf_file.endswith("/pgbench") for sample in own), block.describe()
    # All but the last one that comes to the barrier.
    assert block.count >= helpers or variant == "default" and block.count > 0, block.describe()
