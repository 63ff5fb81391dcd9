"""What PROF_HTTP costs a server: its throughput and its CPU time for a request, while nobody asks, while a CPU profile is being taken, while
every kind is recorded, and while a trace is. Medians of interleaved rounds of separate processes, with the quartiles.

    http_bench.py BUILD_FOLDER          BENCH_ROUNDS sets the number of rounds (default 9), BENCH_SECONDS how long each load is (1)

The load has a processor of its own where there are two.
"""

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from measure import BUILD, LIBRARY, ROUNDS, environment, quartiles

SECONDS = int(os.environ.get("BENCH_SECONDS", "1"))
PROCESSORS = sorted(os.sched_getaffinity(0))
LONGER = 1000  # than any load: who asked goes away
PAGE = "".join(f"{number * 7919 % 1000003} the quick brown fox\n" for number in range(1000))
NGINX = """daemon off; {user} worker_processes 1; pid nginx.pid; error_log error.log; events {{}}
http {{ access_log off; gzip on; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
  scgi_temp_path scgi; server {{ listen 127.0.0.1:{port}; root .; }} }}
"""
NODE = """
const zlib = require('zlib');
require('http').createServer((request, response) => {
  const rows = Array.from({length: 100}, (_, i) => ({id: i, name: String(i * 7919 % 1000003)}));
  response.end(zlib.gzipSync(JSON.stringify(rows)));
}).listen(process.argv[1], '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
"""
WRK = ["wrk", "-t1", "-c8", f"-d{SECONDS}", "-H", "Accept-Encoding: gzip", "http://127.0.0.1:{port}/"]
WRK_SAYS = r"^ +(\d+) requests in"
USER = ["-u", "root"] if os.geteuid() == 0 else []

# Name; command; what loads it, and how that says how many were answered; the signal that ends it; whether it serves by a child.
SERVERS = [
    ("nginx", ["nginx", "-p", "{folder}", "-c", "nginx.conf"], WRK, WRK_SAYS, signal.SIGQUIT, True),
    ("redis", ["{folder}/redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"],
     ["redis-benchmark", "-p", "{port}", "-c", "8", "-r", "3000", "-d", "300", "-n", str(15000 * SECONDS), "-t", "set,get,lpush", "--csv"],
     None, signal.SIGTERM, False),
    ("memcached", ["memcached", "-l", "127.0.0.1", "-p", "{port}", "-U", "0", "-t", "4", *USER],
     ["memcaslap", "-s", "127.0.0.1:{port}", "-T", "1", "-c", "8", "-t", f"{SECONDS}s"], r"Ops: (\d+)", signal.SIGTERM, False),
    ("python3 -m http.server", ["/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", "{port}"],
     ["ab", "-q", "-c", "8", "-n", str(1000 * SECONDS), "http://127.0.0.1:{port}/"], r"^Complete requests: +(\d+)", signal.SIGINT, False),
    ("node", ["node", "-e", NODE, "{port}"], WRK, WRK_SAYS, signal.SIGTERM, False),
]

# Name; whether libprof is there; what is asked for once; what is asked for as long as the load lasts.
CUMULATIVE = ["heap", "block", "mutex", "goroutine"]
WAYS = [
    ("alone", None, [], []),
    ("alone again", None, [], []),
    ("libprof, nothing set", {}, [], []),
    ("PROF_HTTP, nobody asks", {"PROF_HTTP": "unix:{folder}/%p.sock"}, [], []),
    ("a CPU profile", {"PROF_HTTP": "unix:{folder}/%p.sock"}, [], ["profile"]),
    ("heap, block and mutex", {"PROF_HTTP": "unix:{folder}/%p.sock"}, CUMULATIVE, []),
    ("these, and CPU and wall", {"PROF_HTTP": "unix:{folder}/%p.sock"}, CUMULATIVE, ["profile", "wall"]),
    ("a trace", {"PROF_HTTP": "unix:{folder}/%p.sock"}, [], ["trace"]),
]


class Client(http.client.HTTPConnection):
    """Of the server beside a process."""

    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)


def serves(port):
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        return True
    return False


def wait_for(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} does not answer")
        time.sleep(.01)


def cpu_ns(pid):
    """Of a process, with its threads that have ended: the clock that clock_getcpuclockid has for it."""
    return time.clock_gettime_ns(~pid << 3 | 2)


def on(processors):
    return lambda: os.sched_setaffinity(0, processors)


def ask(path, asked, held):
    """Asks for what is asked for once; the connections that are held ask for the rest until they are closed."""
    wait_for(lambda: os.path.exists(path), path)
    for name in asked:
        client = Client(path)
        client.request("GET", "/debug/pprof/" + name)
        if client.getresponse().status != 200:
            raise RuntimeError(f"{name} is refused")
        client.close()
    connections = []
    for name in held:
        connections.append(Client(path))
        connections[-1].request("GET", f"/debug/pprof/{name}?seconds={LONGER}")
    time.sleep(.05)
    return connections


def child_of(pid):
    path = f"/proc/{pid}/task/{pid}/children"
    wait_for(lambda: open(path).read(), "a worker")
    return int(open(path).read().split()[0])


def measured(server, way, folder):
    """(requests a second, CPU ns a request) of a server that is started for it."""
    _, command, load, answered, ends_by, by_child = server
    _, settings, asked, held = way
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open(os.path.join(folder, "nginx.conf"), "w", encoding="ascii") as file:
        file.write(NGINX.format(port=port, user="user root;" if os.geteuid() == 0 else ""))

    def filled(words):
        return [word if word is NODE else word.format(folder=folder, port=port) for word in words]

    env = environment(folder)
    if settings is not None:
        env |= {"LD_PRELOAD": LIBRARY} | {name: value.format(folder=folder) for name, value in settings.items()}
    process = subprocess.Popen(filled(command), env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               preexec_fn=on(PROCESSORS[:-1] or PROCESSORS))
    try:
        wait_for(lambda: serves(port), command[0])
        pid = child_of(process.pid) if by_child else process.pid
        time.sleep(.3)  # a child's server starts a little later
        connections = ask(os.path.join(folder, f"{pid}.sock"), asked, held) if asked or held else []
        cpu, begin = cpu_ns(pid), time.monotonic()
        text = subprocess.run(filled(load), env=environment(folder), cwd=folder, capture_output=True, text=True, check=True,
                              preexec_fn=on(PROCESSORS[-1:])).stdout
        seconds, cpu = time.monotonic() - begin, cpu_ns(pid) - cpu
        for connection in connections:
            connection.close()
        # redis-benchmark does as many of each of three as it is told to.
        requests = int(re.search(answered, text, re.MULTILINE).group(1)) if answered else 3 * 15000 * SECONDS
        return requests / seconds, cpu / max(requests, 1)
    finally:
        # Python aborts where a thread of it still writes.
        wait_for(lambda: ends_by != signal.SIGINT or len(os.listdir(f"/proc/{process.pid}/task")) <= 3, command[0])
        process.send_signal(ends_by)
        if process.wait(60) != 0:
            raise RuntimeError(f"{command[0]}: exit code {process.returncode}")


def relative(values, base):
    low, middle, high = (100 * (value / base - 1) for value in quartiles(values))
    return f"{middle:+7.2f} % [{low:+.2f}, {high:+.2f}]"


def bench(server, folder):
    values = [([], []) for _ in WAYS]
    for _ in range(ROUNDS):
        for (rates, costs), way in zip(values, WAYS):
            rate, cost = measured(server, way, folder)
            rates.append(rate)
            costs.append(cost)
    rate, cost = quartiles(values[0][0])[1], quartiles(values[0][1])[1]
    print(f"\n{server[0]}: alone {rate:.0f} requests a second, {cost / 1000:.2f} us of CPU time each")
    print(f"  {'':26} {'requests a second':34} CPU time a request")
    for (rates, costs), (name, *_) in zip(values, WAYS):
        print(f"  {name:26} {relative(rates, rate):34} {relative(costs, cost)}")
    sys.stdout.flush()


def main():
    print(f"\nservers under load, with PROF_HTTP ({ROUNDS} interleaved rounds of {SECONDS} s, median [quartiles], relative to the server alone)")
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "index.html"), "w", encoding="ascii") as file:
            file.write(PAGE)
        if shutil.which("redis-check-rdb"):  # what it is called decides what it is
            os.symlink(shutil.which("redis-check-rdb"), os.path.join(folder, "redis-server"))
        for server in SERVERS:
            program = server[1][0].format(folder=folder)
            if shutil.which(program) and shutil.which(server[2][0]):
                bench(server, folder)
            else:
                print(f"\n{server[0]}: not measured: {program} or {server[2][0]} is not there")


if __name__ == "__main__":
    main()
