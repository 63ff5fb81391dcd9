"""Programs of Debian on real work, with heap profiles: the same results, valid profiles, sensible names. Servers are started on a
private port or socket and are stopped by their pid; a redis server is asked for snapshots while it is under load."""

import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

import heap
import pprof
from servers import free_port, wait_for

LIBRARY = pprof.BUILD / "libprof.so"
RATE = 32768  # samples enough in a second of work
CPP = """
#include <map>
#include <regex>
#include <string>
int main(int argc, char** argv) {
  std::map<std::string, int> found;
  for (int i = 0; i < argc; ++i) found[argv[i]] += std::regex_match(argv[i], std::regex("a(b|c)*d"));
  return int(found.size());
}
"""
PYTHON = """
import collections, json, re
words = re.findall(r'[a-z]+', open('{corpus}').read())
table = {word: [word * (i % 5), i] for i, word in enumerate(words)}
text = json.dumps(table)
print(len(text), len(json.loads(text)), collections.Counter(words).most_common(3))
raise SystemExit(5)
"""
SQL = ("create table t(a integer, b text); with recursive n(i) as (select 1 union all select i + 1 from n "
       "where i < 150000) insert into t select i * 7919 % 100003, hex(i) from n; create index x on t(a, b); "
       "select count(*), sum(a), max(b) from t group by a % 10; select * from missing;")
NODE = """
const crypto = require('crypto'), zlib = require('zlib');
const packed = zlib.gzipSync(Buffer.alloc(3e6, 'abcdefg'));
const counts = {};
for (let i = 0; i < 300000; ++i) counts['k' + i % 977] = (counts['k' + i % 977] || 0) + i;
setTimeout(() => {
  console.log(crypto.createHash('sha256').update(zlib.gunzipSync(packed)).digest('hex'), JSON.stringify(counts).length);
  process.exitCode = 7;
}, 20);
"""
JAVA = """
import java.util.*;
public class Work {
  public static void main(String[] arguments) throws Exception {
    Map<String, Integer> counts = new TreeMap<>();
    for (int i = 0; i < 200000; i++) counts.merge("k" + i % 977, i, Integer::sum);
    long[] sums = new long[4];
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      int own = i;
      threads.add(new Thread(() -> { for (int j = 0; j < 1000000; j++) sums[own] += (long) j * own; }));
      threads.get(i).start();
    }
    for (Thread thread : threads) thread.join();
    System.gc();
    System.out.println(counts.hashCode() + " " + Arrays.toString(sums) + java.nio.ByteBuffer.allocateDirect(1 << 20).capacity());
    System.exit(6);
  }
}
"""
# One thread: what is packed is the same each time.
GIT = ("git -c pack.threads=1 gc -q --aggressive && git count-objects -v && git fsck --full --strict && ls .git/objects/pack && "
       "git log --format='%H %s' | tail -n 3")
QUERIES = """
create table t(id serial primary key, word text, n double precision);
insert into t(word, n) select md5(i::text), i * 1.5 from generate_series(1, 60000) i;
create index on t(word);
analyze t;
select count(*), sum(n), min(word), max(word) from t;
select substr(word, 1, 1) as first, count(*), string_agg(substr(word, 1, 3), ',' order by word) filter (where id % 3000 = 0)
  from t group by 1 order by 1 limit 5;
select a.id from t a join t b on a.word < b.word and b.id = 7 and a.id < 40 order by a.id;
do $$ begin for i in 1 .. 300 loop execute format('select %s', i); end loop; end $$;
select missing from t;
"""
REDIS_CALLS = """
set key value
append key more
get key
rpush list c a d b
sort list alpha
eval "return {redis.call('get', KEYS[1]), #ARGV}" 1 key x y
hset hash one 1 two 2
hgetall hash
zadd sorted 1 a 3 c 2 b
zrange sorted 0 -1 withscores
incrbyfloat number 1.25
get missing
lpop key
strlen large
"""

# What is run, the program's file, how often each of these shows up among the functions and files of all its processes' profiles, and
# what libprof has to say.
PROGRAMS = {
    "python3": (["/usr/bin/python3", "-c", PYTHON], "python3", ["PyList_Append", "_json"], []),
    "sqlite3": (["/usr/bin/sqlite3", "-batch", ":memory:", SQL], "sqlite3", ["sqlite3_step", "libsqlite3"], []),
    "git": (["/usr/bin/sh", "-c", f"cd {{repository}} && {GIT}"], None, ["git", "deflateInit2_"], []),
    "g++": (["/usr/bin/g++", "-O1", "-c", "{source}", "-o", "out.o"], "x86_64-linux-gnu-g++", ["cc1plus", "xmalloc|cc1plus"], []),
    "node": (["node", "-e", NODE], "node", ["node::", "v8::"], []),
    # The virtual machine has a handler of its own for SIGUSR2.
    "java": (["java", "{java}"], "java", ["os::malloc", "libjvm.so"], []),
}


def has(name):
    return shutil.which(name) is not None


def make_repository(folder):
    """Some commits with files that grow and change."""
    environment = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null")
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "name", f"GIT_{who}_EMAIL": "mail", f"GIT_{who}_DATE": "2024-01-31T12:00:00Z"}

    def git(*words):
        subprocess.run(["git", *words], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)

    git("init", "-q")
    numbers = random.Random(7)
    for commit in range(12):
        for name in "abcdef":
            lines = [str(numbers.randrange(1000)) for _ in range(200 * (commit + 1))]
            (folder / name).write_text("\n".join(lines))
        git("add", "-A")
        git("commit", "-q", "-m", f"commit {commit}")


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("material")
    words = random.Random(20240131)
    with open(folder / "corpus", "w") as corpus:
        for _ in range(80000):
            corpus.write("".join(words.choices("abcdefghijklmnopqrstuvwxyz", k=words.randint(2, 11))) + " ")
    (folder / "source.cc").write_text(CPP)
    (folder / "Work.java").write_text(JAVA)
    if has("git"):
        (folder / "repository").mkdir()
        make_repository(folder / "repository")
        shutil.copytree(folder / "repository", folder / "repository.plain")
    return {"corpus": str(folder / "corpus"), "source": str(folder / "source.cc"), "java": str(folder / "Work.java"),
            "repository": str(folder / "repository")}


@pytest.fixture(scope="module")
def pairs(runner, material):
    """{name: (with libprof, without)}."""
    started = {}
    for name, (command, *_) in PROGRAMS.items():
        if not has(name):
            continue
        both = []
        for preload in (True, False):
            words = [re.sub(r"\{(corpus|source|java|repository)\}", lambda match: material[match[1]], word) for word in command]
            if not preload:
                words = [word.replace(material["repository"], material["repository"] + ".plain") for word in words]
            cores = 2 if name in ("java", "node") else 1
            both.append(runner.start(words, heap.settings(RATE), preload=preload, cores=cores,
                                     environment={"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}))
        started[name] = both
    return started


def pair(pairs, name):
    if name not in pairs:
        pytest.skip(f"{name} is not installed")
    return [future.result() for future in pairs[name]]


def program_of(profile):
    return profile.document["mappings"][0]["file"].rsplit("/", 1)[-1]


def profiles_of(run):
    """Of the program and its children; the programs that they are of may be several."""
    own = [heap.read(run.folder / "heap.prof")] if (run.folder / "heap.prof").exists() else []
    return own + list(heap.children(run).values())


def check_names(profiles, expected):
    """Each of these is part of a function's name or of a file's, where bytes were allocated."""
    places = set()
    for profile in profiles:
        places |= profile.functions | {file for sample in profile.samples for file in sample.files}
    for wanted in expected:
        assert any(part in place for part in wanted.split("|") for place in places), (wanted, sorted(places)[:200])


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_result(pairs, name):
    profiled, plain = pair(pairs, name)
    assert not profiled.stuck and not plain.stuck
    assert profiled.returncode == plain.returncode
    assert profiled.stdout == plain.stdout
    said = [line for line in profiled.stderr.decode().splitlines() if not line.startswith("libprof:")]
    assert said == plain.stderr.decode().splitlines()
    if name == "g++":
        assert (profiled.folder / "out.o").read_bytes() == (plain.folder / "out.o").read_bytes()
    else:
        assert plain.stdout
    expected = PROGRAMS[name][3]
    assert len(profiled.log) == len(expected), profiled.log
    assert all(part in line for part, line in zip(expected, profiled.log)), profiled.log


@pytest.mark.parametrize("name", PROGRAMS)
def test_profile_makes_sense(pairs, name):
    """Names, and bytes: each does at least a megabyte's worth of allocations, of which a sample is taken every 32 KiB. That none
    is taken in a million has odds of exp(-32). None of these programs has an allocator of its own for its malloc."""
    profiled, _ = pair(pairs, name)
    _, file, expected, _ = PROGRAMS[name]
    profiles = profiles_of(profiled)
    if file:
        assert program_of(heap.read(profiled.folder / "heap.prof")).startswith(file)
    check_names(profiles, expected)
    assert sum(profile.sums[1] for profile in profiles) > 1 << 20
    for profile in profiles:
        assert profile.rate == RATE and not profile.comment("not seen"), profile.comments


def test_compiler_proper(pairs):
    """g++ runs cc1plus and as: each writes a profile of its own. The compiler frees next to nothing."""
    profiled, _ = pair(pairs, "g++")
    by_program = {program_of(child): child for child in heap.children(profiled).values()}
    assert "cc1plus" in by_program, list(by_program)
    assert by_program["cc1plus"].sums[1] > 4 << 20, by_program["cc1plus"].describe()


def drive_redis(port, signals):
    """Load, snapshots meanwhile, then calls whose answers are kept; stopped by SIGTERM."""
    def drive(process, folder):
        def client(*words, **options):
            return subprocess.run(["redis-cli", "-p", str(port), *words], capture_output=True, text=True, timeout=30, **options)

        assert wait_for(lambda: client("ping").stdout == "PONG\n"), "the server does not answer"
        load = ["redis-benchmark", "-p", str(port), "-q", "-r", "3000", "-d", "300", "-c", "20", "-n"]
        with open(folder / "load", "wb") as out:
            warm = subprocess.run(load + ["4000", "-t", "set,lpush,hset"], stdout=out, stderr=out)
            benchmark = subprocess.Popen(load + ["20000", "-t", "set,get,lpush,lpop,hset,mset"], stdout=out, stderr=out)
            snapshots = 0
            while signals and benchmark.poll() is None and snapshots < 3:
                snapshots += 1
                process.send_signal(signal.SIGUSR2)
                assert wait_for(lambda: (folder / f"heap.{snapshots}.prof").exists()), "no snapshot"
            codes = [warm.returncode, benchmark.wait()]
        client("flushall")
        answers = [client(input=REDIS_CALLS).stdout]
        # A child by fork saves what there is; the server goes on.
        client("debug", "populate", "5000", "key", "100")
        client("bgsave")
        saved = wait_for(lambda: "rdb_bgsave_in_progress:0" in client("info", "persistence").stdout)
        answers.append(f"{codes} {saved} {(folder / 'dump.rdb').exists()} {client('dbsize').stdout}")
        answers.append(subprocess.run(["redis-check-rdb", "dump.rdb"], cwd=folder, capture_output=True).returncode)
        (folder / "answers").write_text(repr(answers))
        (folder / "snapshots").write_text(str(snapshots))
        process.send_signal(signal.SIGTERM)

    return drive


@pytest.fixture(scope="module")
def redis(runner, tmp_path_factory):
    """(with libprof, without). redis-tools brings the server too: what the program is called decides what it is."""
    if not shutil.which("redis-check-rdb") or not shutil.which("redis-benchmark"):
        pytest.skip("redis-tools is not installed")
    server = tmp_path_factory.mktemp("redis") / "redis-server"
    server.symlink_to(shutil.which("redis-check-rdb"))
    started = []
    for preload in (True, False):
        port = free_port()
        command = [str(server), "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no",
                   "--dir", "{folder}", "--enable-debug-command", "yes"]
        started.append(runner.start(command, heap.settings(RATE), preload=preload, cores=2,
                                    during=drive_redis(port, preload)))
    return [future.result() for future in started]


def test_redis_same_answers(redis):
    """Also from the child that saves; and it ends as it is asked to."""
    profiled, plain = redis
    for run in redis:
        run.check_unharmed()
    answers = (plain.folder / "answers").read_text()
    assert (profiled.folder / "answers").read_text() == answers
    assert "valuemore" in answers and "[0, 0] True True 50" in answers, answers
    assert profiled.log == [], profiled.log


def test_redis_snapshots_under_load(redis):
    """Each is whole, and none takes back what an earlier one has: allocated objects of a stack and size only grow. (A child that
    saves leaves a profile of its own, by its pid.)"""
    profiled, _ = redis
    taken = int((profiled.folder / "snapshots").read_text())
    snapshots = {number: profile for number, profile in heap.snapshots(profiled).items() if not profile.comment("ended by _exit")}
    assert taken == len(snapshots) >= 1
    final = heap.read(profiled.folder / "heap.prof")
    before = {}
    for profile in [*snapshots.values(), final]:
        assert profile.sums[3] > 0 and not profile.comment("not seen"), profile.comments
        check_names([profile], ["redis-server|redis-check-rdb", "main"])
        now = {}
        for sample in profile.samples:
            key = (tuple(sample.functions), tuple(sample.files), sample.size)
            now[key] = now.get(key, 0) + sample.alloc_objects
        for key, count in before.items():
            assert now.get(key, 0) >= count, key
        before = now


def test_redis_profile_is_redis_own_account(redis):
    """At the end there is next to nothing but the 5000 keys of 100 bytes and more that were made last: the load's 3000 lists,
    hashes and strings are gone. 5000 x 100 = 0.5 MB at least, 5 MB at most, buffers and tables included; the standard error at a
    rate of 32 KiB is sqrt(500000 x 32768) = 128 KB: the lower bound is 2.7 of them away, and the upper one 10."""
    profiled, _ = redis
    final = heap.read(profiled.folder / "heap.prof")
    assert 150000 < final.sums[3] < 6e6, final.describe()
    assert final.sums[1] > 20 * final.sums[3], final.describe()


def unprivileged():
    """Drops root's rights, which PostgreSQL refuses to have."""
    if os.geteuid() != 0:
        return None, None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue

        def drop():
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)

        return entry, drop
    pytest.skip("no unprivileged user")


POSTGRES = """
set -e
initdb -D {folder}/data -A trust -U tester --no-sync --locale=C -E UTF8 >initdb.log
pg_ctl -D {folder}/data -l server.log -w -o "-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off" start >/dev/null
psql -X -h {folder} -U tester -d postgres -f queries.sql 2>&1 || true
pg_ctl -D {folder}/data -m fast -w stop >/dev/null
"""


@pytest.fixture(scope="module")
def postgres(runner):
    """(with libprof, without). In folders of their own: the tests' are root's."""
    binaries = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not binaries:
        pytest.skip("postgresql is not installed")
    user, drop = unprivileged()
    folders, started = [], []
    for preload in (True, False):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="heap_programs."))
        folders.append(folder)
        shutil.copy(LIBRARY, folder / "libprof.so")  # the build's folder may be closed to others
        (folder / "queries.sql").write_text(QUERIES)
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
            os.chmod(folder, 0o755)
        started.append(runner.start(["/bin/sh", "-c", POSTGRES], heap.settings(RATE, LD_PRELOAD="{folder}/libprof.so"),
                                    preload=preload, folder=folder, limits=drop, cores=2,
                                    environment={"PATH": f"{binaries[-1]}:/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C"}))
    yield [future.result() for future in started]
    for folder in folders:
        shutil.rmtree(folder)


def test_postgres_same_results(postgres):
    """A server of many processes, which send each other SIGUSR2 and SIGUSR1: all that libprof may say is that the signal is
    taken."""
    profiled, plain = postgres
    for run in postgres:
        run.check_unharmed()
    # The place of the error in the file is named by the client.
    assert profiled.stdout == plain.stdout
    assert b"60000 |" in plain.stdout and b'column "missing" does not exist' in plain.stdout
    server = (profiled.folder / "server.log").read_text()
    assert "database system is shut down" in server and "PANIC" not in server and "terminated by signal" not in server
    said = [line for line in server.splitlines() if "libprof" in line] + profiled.log
    assert all("PROF_SIGNAL" in line for line in said), said


def test_postgres_profiles(postgres):
    """Each process has one. A backend's is that of the server's program, and names its contexts' functions."""
    profiled, _ = postgres
    profiles = profiles_of(profiled)
    by_program = {}
    for profile in profiles:
        assert not profile.comment("not seen"), profile.comments
        by_program.setdefault(program_of(profile), []).append(profile)
    # Not psql for sure: it allocates some 100 KB, and at one sample in 32 KB has none in one run of twenty or more; then it leaves no file.
    assert {"initdb", "postgres"} <= set(by_program), list(by_program)
    check_names(by_program["postgres"], ["AllocSet", "PostgresMain", "ExecutorRun", "pg_plan_query"])
    backends = [profile for profile in by_program["postgres"] if "PostgresMain" in profile.functions]
    assert max(profile.sums[1] for profile in backends) > 1 << 20
