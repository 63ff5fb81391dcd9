#!/usr/bin/python3
"""A PostgreSQL cluster of its own, and what is done with it; what comes of it is printed, a line for each check.

    drivers/postgres.py BINARIES TEST [COMMAND…]

The cluster lies in $TMPDIR and listens on a Unix socket there. As root, it becomes the user nobody first, since PostgreSQL refuses root.
A line "process PID WHAT" names a process that ended by itself, or by a signal other than SIGKILL: it leaves a profile.
"""

import contextlib
import ctypes
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True

from driver import check, until  # noqa: E402

BINARIES = pathlib.Path(sys.argv[1])
FOLDER = pathlib.Path(os.environ["TMPDIR"], "cluster")
LIMIT = 120
OPTIONS = {"listen_addresses": "", "log_line_prefix": "%p|%b|", "log_connections": "on", "lc_messages": "C", "fsync": "off",
           "shared_buffers": "16MB", "deadlock_timeout": "1s", "log_checkpoints": "off", "max_wal_senders": "4"}


def become_unprivileged():
    """A new process image, of a user who may read libprof.so, and owns the folder."""
    FOLDER.mkdir()
    if os.environ.get("LD_PRELOAD"):
        shutil.copy(os.environ["LD_PRELOAD"], FOLDER / "libprof.so")
        os.environ["LD_PRELOAD"] = str(FOLDER / "libprof.so")
    user = pwd.getpwnam("nobody")
    os.chmod(FOLDER, 0o755)
    os.chown(FOLDER, user.pw_uid, user.pw_gid)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ["LC_ALL"] = "C"
    os.execv(sys.executable, [sys.executable, *sys.argv])


def run(*words, limit=LIMIT):
    """(exit code, output of both streams without libprof's lines)"""
    done = subprocess.run([str(BINARIES / words[0]), *words[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=limit)
    return done.returncode, "\n".join(line for line in done.stdout.splitlines() if not line.startswith("libprof:"))


def is_there(pid):
    """False once it has ended; orphans are ours to wait for."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Cluster:
    def __init__(self, name, **options):
        self.name, self.options = name, OPTIONS | options
        self.data, self.log = FOLDER / name, FOLDER / f"{name}.log"
        self.killed = set()

    def create(self):
        check(f"{self.name} initdb", run("initdb", "-D", str(self.data), "-A", "trust", "-U", "tester", "--no-sync", "--locale=C",
                                         "-E", "UTF8", "--no-instructions")[0])
        return self

    def start(self):
        options = " ".join(f"-c {name}='{value}'" for name, value in self.options.items())
        code, output = run("pg_ctl", "-D", str(self.data), "-l", str(self.log), "-w", "-t", "100",
                           "-o", f"-k {FOLDER} -p {self.port} {options}", "start")
        check(f"{self.name} start", code if code == 0 else f"{code} {output}")
        self.postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        print(f"process {self.postmaster} postmaster")
        return self

    port = 5432

    def of(self, command, *words):
        return (command, "-h", str(FOLDER), "-p", str(self.port), "-U", "tester", *words)

    def sql(self, *statements, database="postgres"):
        commands = [word for statement in statements for word in ("-c", statement)]
        return run(*self.of("psql", "-X", "-At", "-d", database, *commands))[1]

    def session(self, *statements):
        """A psql that runs the statements, as a process of ours."""
        commands = [word for statement in statements for word in ("-c", statement)]
        return subprocess.Popen([str(BINARIES / "psql"), *self.of("psql", "-X", "-At", "-d", "postgres", *commands)[1:]],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def backend(self, of_query):
        """The process that runs this statement now."""
        query = f"select pid from pg_stat_activity where state = 'active' and query like '%{of_query}%' and pid <> pg_backend_pid()"
        return int(until(lambda: self.sql(query)).split()[0])

    def bench(self, *words):
        code, output = run(*self.of("pgbench", "-n", *words, "postgres"))
        kept = re.findall(r"^(?:number of (?:clients|transactions actually|failed).*|.*(?:ERROR|FATAL|aborted).*)$", output, re.MULTILINE)
        return f"{code} {' | '.join(kept)}"

    def balances(self):
        """TPC-B's own rule of consistency."""
        return self.sql("select sum(delta) = (select sum(abalance) from pgbench_accounts), sum(delta) = (select sum(bbalance) from "
                        "pgbench_branches), sum(delta) = (select sum(tbalance) from pgbench_tellers) from pgbench_history")

    def stop(self, mode):
        code, _ = run("pg_ctl", "-D", str(self.data), "-m", mode, "-w", "-t", "100", "stop")
        check(f"{self.name} stop {mode}", code)
        check(f"{self.name} {mode}: postmaster gone", not until(lambda: not is_there(self.postmaster)) or "yes")

    def finish(self):
        """What the server logged, once each; and whose profiles there are to be."""
        lines = [line.split("|", 2) for line in self.log.read_text(errors="replace").splitlines()]
        # Who was turned away at once may have recorded nothing, and leaves no profile then.
        self.killed |= {int(line[0]) for line in lines if len(line) == 3 and "FATAL:  the database system is" in line[2]}
        for pid, kind in {line[0]: line[1] for line in lines if len(line) == 3 and line[0].isdigit()}.items():
            if int(pid) not in self.killed:
                print(f"process {pid} {kind}")
        text = {": ".join(re.sub(r"[0-9A-F]+/[0-9A-F]+|\d+(\.\d+)?", "N", part) for part in line[1:]).replace(os.environ["TMPDIR"], "…")
                for line in lines if len(line) == 3}
        for line in sorted(line for line in text if "unexpected postmaster exit" not in line):
            check(f"{self.name} log: {line.strip()[:150]}", "there")
        return self

    def kill(self, pid, number):
        if number == signal.SIGKILL:
            self.killed.add(pid)
        os.kill(pid, number)


def outcome(session):
    output = session.communicate(timeout=LIMIT)[0]
    lines = [re.sub(r"\d+", "N", line) for line in output.splitlines() if not line.startswith("libprof:")]
    return f"{session.returncode} {' / '.join(lines)}"


def up_again(cluster):
    """After a restart of all backends."""
    check("up again", until(lambda: cluster.sql("select 1") == "1"))


def test_pgbench():
    cluster = Cluster("bench").create().start()
    check("fill", run(*cluster.of("pgbench", "-i", "-q", "-s", "2", "postgres"))[0])
    check("select only", cluster.bench("-S", "-c", "8", "-j", "2", "-t", "400"))
    check("tpcb-like", cluster.bench("-c", "8", "-j", "2", "-t", "100"))
    check("prepared", cluster.bench("-c", "4", "-M", "prepared", "-t", "100"))
    check("a connection for each", cluster.bench("-C", "-c", "4", "-t", "10"))
    check("balances", cluster.balances())
    check("history", cluster.sql("select count(*) from pgbench_history"))
    cluster.stop("fast")
    cluster.start()
    check("balances after restart", cluster.balances())
    cluster.stop("smart")
    cluster.finish()


def test_signals():
    cluster = Cluster("signals", log_min_messages="warning").create().start()
    cluster.sql("create table t(i int primary key, n int)", "insert into t values (1, 0), (2, 0)")
    for name, statement in (("sleep", "select pg_sleep(50)"), ("loop", "select count(*) from generate_series(1, 10000000000)")):
        for what in ("pg_terminate_backend", "pg_cancel_backend"):
            session = cluster.session(statement)
            pid = cluster.backend(statement[:20])
            check(f"{what} {name} says", cluster.sql(f"select {what}({pid})"))
            check(f"{what} {name}", outcome(session))
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"):
        first = ["begin"] if "transaction" in setting else []
        session = cluster.session(f"set {setting} = 300", *first, "select pg_sleep(2)", r"\! sleep 1", "select 1")
        check(setting, outcome(session))
    check("lock_timeout", outcome(cluster.session("begin", "update t set n = 1", rf"\! {BINARIES}/psql -X -At -h {FOLDER} -p {cluster.port} "
                                                  "-U tester postgres -c 'set lock_timeout = 200' -c 'update t set n = 2' 2>&1")))
    holder = cluster.session("select pg_advisory_lock(7), pg_sleep(100)")
    pid = cluster.backend("pg_sleep(100)")
    pair = [cluster.session("begin", f"update t set n = n + 1 where i = {one}", "select pg_advisory_xact_lock_shared(7)",
                            f"update t set n = n + 1 where i = {two}", "commit") for one, two in ((1, 2), (2, 1))]
    until(lambda: cluster.sql("select count(*) from pg_stat_activity where wait_event = 'advisory'") == "2")
    cluster.sql(f"select pg_terminate_backend({pid})")
    outcome(holder)
    outcomes = [outcome(session) for session in pair]
    check("deadlock", sum("deadlock detected" in one for one in outcomes))
    check("after deadlock", cluster.sql("select * from t order by i"))
    session = cluster.session("listen c", "select pg_sleep(2)", "select 1")
    cluster.backend("pg_sleep(2)")
    cluster.sql("notify c, 'word'")
    check("notify", outcome(session))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        session = cluster.session("select pg_sleep(3), 1")
        cluster.kill(cluster.backend("pg_sleep(3)"), number)
        check(f"backend and {number.name}", outcome(session))
    cluster.sql("alter system set work_mem = '5MB'", "select pg_reload_conf()")
    check("reload", until(lambda: cluster.sql("show work_mem") == "5MB"))
    cluster.stop("fast")
    cluster.finish()


def test_crashes():
    """A backend's end by a signal makes the postmaster end them all by SIGQUIT, and begin anew."""
    cluster = Cluster("crashes").create().start()
    run(*cluster.of("pgbench", "-i", "-q", "-s", "2", "postgres"))
    for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT):
        load = subprocess.Popen([str(BINARIES / "pgbench"), *cluster.of("pgbench", "-n", "-c", "6", "-j", "2", "-T", "60", "postgres")[1:]],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        until(lambda: cluster.sql("select count(*) > 300 from pgbench_history") == "t")
        session = cluster.session("select pg_sleep(50)")
        cluster.kill(cluster.backend("pg_sleep(50)"), number)
        check(f"{number.name} session", outcome(session))
        load.communicate(timeout=LIMIT)
        check(f"{number.name} load", load.returncode)
        up_again(cluster)
        check(f"{number.name} balances", cluster.balances())
        cluster.sql("truncate pgbench_history", "update pgbench_accounts set abalance = 0 where abalance <> 0",
                    "update pgbench_branches set bbalance = 0", "update pgbench_tellers set tbalance = 0")
    cluster.stop("immediate")
    cluster.start()
    check("balances after immediate", cluster.balances())
    cluster.stop("fast")
    cluster.finish()


def processes_of(folder):
    """Those that have this folder as theirs."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(entry / "cwd") == str(folder) and is_there(int(entry.name)):
                found.append(int(entry.name))
    return found


def test_postmaster_killed():
    """Its children notice by a pipe; the next server waits for none of them: what it shares with them shall be nobody's."""
    cluster = Cluster("orphans").create().start()
    run(*cluster.of("pgbench", "-i", "-q", "-s", "1", "postgres"))
    sessions = [cluster.session("select pg_sleep(50)") for _ in range(3)]
    cluster.backend("pg_sleep(50)")
    cluster.kill(cluster.postmaster, signal.SIGKILL)
    # Whether a session is told why before it is cut off is a matter of chance.
    check("sessions", " ".join(outcome(session).split()[0] for session in sessions))
    until(lambda: not is_there(cluster.postmaster))
    check("all gone", "yes" if until(lambda: not processes_of(cluster.data), 60) else processes_of(cluster.data))
    cluster.start()
    check("accounts", cluster.sql("select count(*) from pgbench_accounts"))
    cluster.stop("immediate")
    # At once: a process that still held the shared memory would forbid it.
    cluster.start()
    cluster.stop("fast")
    cluster.finish()


def test_parallel():
    """Workers that share memory, a compiler at run time, temporary files, and the clients that work in several processes."""
    cluster = Cluster("parallel", max_parallel_workers_per_gather="3", parallel_setup_cost="0", parallel_tuple_cost="0",
                      min_parallel_table_scan_size="0", work_mem="1MB", logging_collector="on", log_directory="collected",
                      log_filename="all.log", log_rotation_age="0", log_rotation_size="0").create().start()
    cluster.sql("create table t as select i, i % 97 as k, md5(i::text) as m from generate_series(1, 120000) i", "analyze t")
    for jit in ("off", "on"):
        with_jit = f"set jit = {jit}; set jit_above_cost = 0; set jit_optimize_above_cost = 0"
        check(f"join, jit {jit}", cluster.sql(with_jit, "select count(*), sum(a.k) from t a join t b on a.i = b.i where b.k < 50"))
        check(f"sort, jit {jit}", cluster.sql(with_jit, "select md5(string_agg(m, '' order by m)) from t"))
    check("index", cluster.sql("set max_parallel_maintenance_workers = 2", "create index on t (m)", "create index on t using hash (k)"))
    check("vacuum", run(*cluster.of("vacuumdb", "-j", "2", "-z", "-d", "postgres"))[0])
    check("dump", run(*cluster.of("pg_dump", "-Fd", "-j", "3", "-f", str(FOLDER / "dump"), "postgres"))[0])
    check("create", run(*cluster.of("createdb", "copy"))[0])
    check("restore", run(*cluster.of("pg_restore", "-j", "3", "-d", "copy", str(FOLDER / "dump"))))
    check("copied", cluster.sql("select count(*), sum(hashtext(m)) from t", database="copy") == cluster.sql("select count(*), sum(hashtext(m)) from t"))
    check("copy to a program", cluster.sql(f"copy t to program 'cat >{FOLDER}/rows'", f"copy (select 1) to program 'exit 3'"))
    check("rows", len((FOLDER / "rows").read_text().splitlines()))
    check("rotate", run("pg_ctl", "-D", str(cluster.data), "logrotate")[0])
    cluster.stop("fast")
    check("collected", until(lambda: "system is shut down" in (cluster.data / "collected" / "all.log").read_text()))
    cluster.log = cluster.data / "collected" / "all.log"
    cluster.finish()


def test_standby():
    cluster = Cluster("primary").create().start()
    run(*cluster.of("pgbench", "-i", "-q", "-s", "1", "postgres"))
    check("base backup", run(*cluster.of("pg_basebackup", "-D", str(FOLDER / "standby"), "-R", "-X", "stream", "-c", "fast"))[0])
    check("verify", run("pg_verifybackup", str(FOLDER / "standby")))
    standby = Cluster("standby")
    standby.port = 5433
    standby.start()
    check("load", cluster.bench("-c", "4", "-t", "50"))
    position = cluster.sql("select pg_current_wal_lsn()")
    check("caught up", until(lambda: standby.sql(f"select pg_last_wal_replay_lsn() >= '{position}'") == "t"))
    check("balances", standby.balances())
    cluster.kill(cluster.postmaster, signal.SIGTERM)  # smart
    cluster.stop("fast")
    check("promote", run("pg_ctl", "-D", str(standby.data), "-w", "promote")[0])
    check("load on it", standby.bench("-c", "4", "-t", "50"))
    check("its balances", standby.balances())
    standby.stop("fast")
    cluster.finish()
    standby.finish()


def test_regress():
    """pg_regress, or its like, which starts a server of its own; its lines are the results."""
    (FOLDER / "results").mkdir()
    os.environ["TMPDIR"] = str(FOLDER)
    os.execv(sys.argv[3], [word.replace("@", str(FOLDER)) for word in sys.argv[3:]])


def main():
    if os.geteuid() == 0:
        become_unprivileged()
    FOLDER.mkdir(exist_ok=True)
    os.chdir(FOLDER)
    # A postmaster that is killed shall not stay a zombie, whatever process 1 is here.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    globals()[f"test_{sys.argv[2]}"]()


main()
