"""prof top and prof raw print what `go tool pprof` prints, line by line, and survive any input."""

import gzip
import importlib
import os
import pathlib
import random
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PROF_BUILD", REPOSITORY / "build"))
PROF = BUILD / "prof"


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, timeout=120, **options)


def prof(*arguments, **options):
    return run(PROF, *arguments, **options)


def printed(result):
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode().splitlines()


def go_pprof(*arguments):
    return printed(run("go", "tool", "pprof", "-symbolize=none", *arguments))


def comparable(lines):
    """Go cuts the raw duration to four characters; prof does not."""
    return [line for line in lines if not line.startswith("Duration:") or "Total samples" in line]


def check_same(path):
    """Every form of both reports. The profile needs a mapping: Go invents one where there is none."""
    assert printed(prof("top", path)) == go_pprof("-top", path)
    assert printed(prof("top", "--cum", path)) == go_pprof("-top", "-cum", path)
    assert printed(prof("top", "-n", "3", path)) == go_pprof("-top", "-nodecount=3", path)
    assert printed(prof("top", "--sample-index", "0", path)) == go_pprof("-top", "-sample_index=0", path)
    assert comparable(printed(prof("raw", path))) == comparable(go_pprof("-raw", path))


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schema")
    subprocess.run(
        ["protoc", f"--proto_path={REPOSITORY / 'proto'}", f"--python_out={folder}", "profile.proto"], check=True
    )
    sys.path.insert(0, str(folder))
    yield importlib.import_module("profile_pb2")
    sys.path.remove(str(folder))


class Builder:
    """A profile message with its strings."""

    def __init__(self, schema, types=(("samples", "count"), ("cpu", "nanoseconds"))):
        self.message = schema.Profile(string_table=[""])
        self.strings = {"": 0}
        for type_, unit in types:
            self.message.sample_type.add(type=self.text(type_), unit=self.text(unit))

    def text(self, value):
        if value not in self.strings:
            self.strings[value] = len(self.strings)
            self.message.string_table.append(value)
        return self.strings[value]

    def mapping(self, file="/bin/app", start=0x400000, build_id="", **flags):
        number = len(self.message.mapping) + 1
        self.message.mapping.add(
            id=number,
            memory_start=start,
            memory_limit=start + 0x10000,
            filename=self.text(file),
            build_id=self.text(build_id),
            **flags,
        )
        return number

    def function(self, name, file="a.c", start_line=0, system_name=None):
        number = len(self.message.function) + 1
        self.message.function.add(
            id=number,
            name=self.text(name),
            system_name=self.text(name if system_name is None else system_name),
            filename=self.text(file),
            start_line=start_line,
        )
        return number

    def location(self, *functions, mapping=0, address=None):
        number = len(self.message.location) + 1
        at = self.message.location.add(id=number, mapping_id=mapping, address=address or 0x400000 + number)
        for line, function in enumerate(functions, 1):
            at.line.add(function_id=function, line=line)
        return number

    def sample(self, locations, values, **labels):
        sample = self.message.sample.add(location_id=locations, value=values)
        for key, value in labels.items():
            if isinstance(value, str):
                sample.label.add(key=self.text(key), str=self.text(value))
            else:
                sample.label.add(key=self.text(key), num=value, num_unit=self.text("bytes"))

    def write(self, path, packed=True):
        data = self.message.SerializeToString()
        path.write_bytes(gzip.compress(data) if packed else data)
        return path


def small(schema):
    b = Builder(schema)
    app = b.mapping(build_id="abc123", has_functions=True)
    leaf, root = (b.location(b.function(name), mapping=app) for name in ("leaf", "main"))
    b.sample([leaf, root], [3, 30_000_000])
    b.sample([root], [1, 10_000_000])
    return b


def test_recursion_counts_once(schema, tmp_path):
    b = Builder(schema)
    b.mapping()
    f, g = b.location(b.function("f")), b.location(b.function("g"))
    b.sample([f, g, f, f], [1, 10_000_000])
    path = b.write(tmp_path / "p")
    check_same(path)
    assert "      10ms   100%   100%       10ms   100%  f" in printed(prof("top", path))


def test_inlined_functions(schema, tmp_path):
    b = Builder(schema)
    b.mapping()
    inner, middle, outer = (b.function(name) for name in ("inner", "middle", "outer"))
    both, alone, root = b.location(inner, middle, outer), b.location(inner), b.location(outer)
    b.sample([both], [1, 10])
    b.sample([alone, root], [2, 20])
    path = b.write(tmp_path / "p")
    check_same(path)
    assert any(line.endswith(" inner (partial-inline)") for line in printed(prof("top", path)))


def test_no_functions(schema, tmp_path):
    b = Builder(schema)
    app, nameless = b.mapping("/usr/lib/libodd.so.1"), b.mapping("", start=0x900000)
    for mapping in (app, nameless, 0):
        b.sample([b.location(mapping=mapping)], [1, 1000])
    b.sample([b.location(b.function("", start_line=7), mapping=app)], [1, 1000])
    path = b.write(tmp_path / "p")
    check_same(path)
    assert {"[libodd.so.1]", "<unknown>"} <= {line.split()[-1] for line in printed(prof("top", path))}


def test_header_and_comments(schema, tmp_path, monkeypatch):
    b = small(schema)
    b.message.time_nanos, b.message.duration_nanos = 1_700_000_000_120_000_000, 2_500_000_000
    b.message.comment.extend([b.text("lost: 3 samples"), b.text("# not for the header"), b.text("lost: 3 samples")])
    b.message.period_type.type, b.message.period_type.unit = b.text("cpu"), b.text("nanoseconds")
    b.message.period = 10_000_000
    b.message.default_sample_type = b.text("samples")
    path = b.write(tmp_path / "p")
    for zone in ("UTC", "Europe/Berlin", "America/New_York"):
        monkeypatch.setenv("TZ", zone)
        check_same(path)
    lines = printed(prof("top", path))
    assert "lost: 3 samples" in lines and "Type: samples" in lines


def test_differences(schema, tmp_path):
    b = small(schema)
    b.sample([1], [-2, -20_000_000])
    b.sample([1, 2], [-3, -30_000_000])  # cancels a sample of small()
    b.sample([2], [5, 50_000_000], **{"pprof::base": "true"})
    check_same(b.write(tmp_path / "p"))


def test_nothing_sampled(schema, tmp_path):
    b = Builder(schema)
    b.mapping()
    check_same(b.write(tmp_path / "p"))


def test_samples_without_a_stack_count_in_the_total(schema, tmp_path):
    """Go's raw report leaves them out; prof's has all that is there."""
    b = small(schema)
    b.sample([], [1, 10_000_000])
    path = b.write(tmp_path / "p")
    assert printed(prof("top", path)) == go_pprof("-top", path)
    assert "          1   10000000: " in printed(prof("raw", path))


def test_many_functions_are_cut_off(schema, tmp_path):
    b = Builder(schema)
    b.mapping()
    root = b.location(b.function("main"))
    for i in range(300):
        b.sample([b.location(b.function(f"f{i}")), root], [1, 1_000_000 * (1 + i * i)])
    path = b.write(tmp_path / "p")
    check_same(path)
    assert any(line.startswith("Dropped ") for line in printed(prof("top", path)))


def random_profile(schema, seed):
    chance = random.Random(seed)
    units = [("cpu", "nanoseconds"), ("space", "bytes"), ("odd", "things"), ("time", "milliseconds")]
    b = Builder(schema, [("samples", "count"), units[seed % len(units)]])
    mappings = [0] + [b.mapping(f"/lib/lib{i}.so", 0x10000 * (i + 1)) for i in range(3)]
    names = [f"f{i}" for i in range(chance.choice([5, 40]))] + ["", "ns::T<int>::call(char const*)", "été"]
    functions = [b.function(name, chance.choice(["a.c", "b.c"]), chance.randrange(2)) for name in names * 2]
    locations = [
        b.location(*chance.choices(functions, k=chance.choice([0, 1, 1, 1, 2, 3])), mapping=chance.choice(mappings))
        for _ in range(60)
    ]
    smallest = -50 if seed % 3 == 0 else 0
    for _ in range(chance.choice([10, 300])):
        stack = chance.choices(locations, k=chance.randrange(1, 8))
        value = int(chance.randint(smallest, 1000) * 10 ** chance.uniform(0, 6))
        labels = chance.choice([{}, {}, {"thread": "worker"}, {"bytes": 64}])
        b.sample(stack, [chance.randint(0, 3), value], **labels)
    return b


@pytest.mark.parametrize("seed", range(12))
def test_random_profiles(schema, tmp_path, seed):
    check_same(random_profile(schema, seed).write(tmp_path / "p"))


@pytest.mark.parametrize("seed", range(3))
def test_merged_files_are_what_go_makes_of_them(schema, tmp_path, seed):
    """As many as are more than one batch, from a folder; byte for byte as Go's reader shows both."""
    sources = tmp_path / "sources"
    sources.mkdir()
    paths = [random_profile(schema, seed + 4 * i).write(sources / f"{i:03}", packed=i % 2 == 0) for i in range(66)]
    (sources / "070.tmp.1").write_bytes(b"half")
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    assert printed(prof("merge", "-o", mine, sources)) == []
    run("go", "tool", "pprof", "-symbolize=none", "-proto", f"-output={theirs}", *paths)
    assert go_pprof("-raw", mine) == go_pprof("-raw", theirs) and mine.read_bytes()[:2] == b"\x1f\x8b"
    assert mine.stat().st_mode & 0o777 == 0o600 and not list(tmp_path.glob("mine.*"))


def test_merging_is_refused_as_adding_is(schema, tmp_path):
    one, other = small(schema).write(tmp_path / "one"), Builder(schema, [("space", "bytes")]).write(tmp_path / "other")
    out = tmp_path / "out"
    check_refused(prof("merge", "-o", out, one, other), "cannot be added")
    check_refused(prof("merge", "-o", out, one, tmp_path / "missing"), "missing")
    (tmp_path / "empty").mkdir()
    check_refused(prof("merge", "-o", out, tmp_path / "empty"), "no profile")
    assert not out.exists()
    check_refused(prof("merge", "-o", tmp_path / "no" / "out", one), "No such file")
    check_refused(prof("merge", one), "output", code=2)


def test_labels_of_processes(schema, tmp_path):
    paths = []
    for pid, program in ((17, "/bin/a"), (18, "/bin/b, pid 3"), (19, "/bin/a")):
        b = small(schema)
        for line in (f"program: {program}, pid {pid}", "clock: timer", "stacks cut: 2"):
            b.message.comment.append(b.text(line))
        paths.append(b.write(tmp_path / str(pid)))
    out = tmp_path / "out"
    assert printed(prof("merge", "--processes", "-o", out, *paths)) == []
    text = printed(prof("raw", out))
    assert "Comment: 3 profiles of processes: a (2), b, pid 3" in text
    assert "Comment: stacks cut: 6" in text and text.count("Comment: clock: timer") == 1
    assert sum("pid:[17]" in line for line in text) == sum("command:[b, pid 3]" in line for line in text) > 0
    totals = [[sample[0] for sample in values_of(path)] for path in paths]
    assert sorted(sum(totals, [])) == sorted(sample[0] for sample in values_of(out))


def values_of(path):
    """The numbers of each sample, by Go's reader."""
    text = "\n".join(go_pprof("-raw", path)).split("Samples:\n")[1].split("\nLocations")[0]
    numbers = [line.split(":")[0].split() for line in text.splitlines()[1:]]
    return [[int(word) for word in words] for words in numbers if words and all(word.isdigit() for word in words)]


def test_profiles_are_added(schema, tmp_path):
    one, two = small(schema), small(schema)
    two.message.mapping[0].memory_start += 0x1000  # loaded elsewhere in the second run
    two.message.mapping[0].memory_limit += 0x1000
    for location in two.message.location:
        location.address += 0x1000
    paths = [one.write(tmp_path / "one"), two.write(tmp_path / "two", packed=False)]
    assert printed(prof("top", *paths)) == go_pprof("-top", *paths)
    assert comparable(printed(prof("raw", *paths))) == comparable(go_pprof("-raw", *paths))
    other = Builder(schema, [("space", "bytes")]).write(tmp_path / "other")
    check_refused(prof("top", paths[0], other), "cannot be added")


def test_standard_input(schema, tmp_path):
    path = small(schema).write(tmp_path / "p")
    assert prof("top", "-", input=path.read_bytes()).stdout == prof("top", path).stdout


GO_PROGRAM = """
package main

import (
	"os"
	"runtime/pprof"
	"strings"
	"time"
)

var kept []string

func work(until time.Time) int {
	n := 0
	for time.Now().Before(until) {
		n += len(strings.Repeat("ab", 1000))
		kept = append(kept[:0], strings.ToUpper(strings.Repeat("x", 9000)))
	}
	return n
}

func main() {
	file, _ := os.Create("cpu")
	pprof.StartCPUProfile(file)
	work(time.Now().Add(700 * time.Millisecond))
	pprof.StopCPUProfile()
	file.Close()
	file, _ = os.Create("heap")
	pprof.WriteHeapProfile(file)
	file.Close()
}
"""


def test_profiles_of_go(tmp_path):
    (tmp_path / "main.go").write_text(GO_PROGRAM)
    environment = dict(os.environ, GO111MODULE="off", GOFLAGS="", GOCACHE=str(tmp_path / "cache"))
    environment["HOME"] = str(tmp_path)
    done = run("go", "run", "main.go", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    check_same(tmp_path / "cpu")
    check_same(tmp_path / "heap")


def check_refused(result, words, code=1):
    assert result.returncode == code
    assert result.stdout == b""
    line = result.stderr.decode()
    assert line.startswith("prof: ") and line.count("\n") == 1 and words in line, line


def test_bad_files(schema, tmp_path):
    check_refused(prof("top", tmp_path / "none"), "No such file")
    check_refused(prof("top", tmp_path), "directory")
    good = small(schema).write(tmp_path / "good").read_bytes()
    for name, data, words in [
        ("empty", b"", "empty"),
        ("text", b"hello, world\n", "not a profile"),
        ("cut", good[:-12], "ends too early"),
        ("damaged", good[:30] + b"\0\0\0\0" + good[34:], "damaged"),
        ("huge", gzip.compress(bytes(300 << 20), 1), "MiB"),
    ]:
        (tmp_path / name).write_bytes(data)
        check_refused(prof("top", tmp_path / name), words)


def test_bad_references(schema, tmp_path):
    for spoil, words in [
        (lambda m: m.sample[0].location_id.append(99), "location 99"),
        (lambda m: m.sample[0].value.append(1), "3 values for 2"),
        (lambda m: m.location[0].line.add(function_id=77), "function 77"),
        (lambda m: setattr(m.location[0], "id", 2), "two locations"),
        (lambda m: setattr(m.function[0], "name", 1000), "string 1000"),
        (lambda m: setattr(m.mapping[0], "id", 0), "id 0"),
        (lambda m: m.string_table.__setitem__(0, "x"), "string table"),
        (lambda m: m.comment.append(-1), "string -1"),
    ]:
        b = small(schema)
        spoil(b.message)
        for command in ("top", "raw"):
            check_refused(prof(command, b.write(tmp_path / "p")), words)


def test_damaged_bytes_never_crash(schema, tmp_path):
    good = small(schema).message.SerializeToString()
    chance = random.Random(1)
    for _ in range(150):
        data = bytearray(good[: chance.randint(1, len(good))])
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        for command in ("top", "raw"):
            result = prof(command, "-", input=bytes(data))
            assert result.returncode in (0, 1), bytes(data)
            assert result.stderr.count(b"\n") == result.returncode


def test_usage(schema, tmp_path):
    path = small(schema).write(tmp_path / "p")
    for wrong in [(), ("top",), ("flat", path), ("top", "-n", "0", path), ("top", "--colour", path)]:
        check_refused(prof(*wrong), "", code=2)
    check_refused(prof("top", "--sample-index", "wall", path), "there are: samples cpu")
    assert prof("--help").returncode == 0


def test_output_that_cannot_be_written(schema, tmp_path):
    path = small(schema).write(tmp_path / "p")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([PROF, "top", path], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1 and b"No space left" in done.stderr
