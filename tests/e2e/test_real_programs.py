"""Programs of Debian on real work: same output and exit code as without libprof, a valid profile, sensible names."""

import random
import re

import pytest

CPP = r"""
#include <map>
#include <regex>
#include <string>
#include <vector>
int main(int argc, char** argv) {
  std::regex pattern("a(b|c)*d");
  std::map<std::string, std::vector<int>> found;
  for (int i = 0; i < argc; ++i) found[argv[i]].push_back(std::regex_match(argv[i], pattern));
  return int(found.size());
}
"""
PYTHON = """
import collections, json, re
words = re.findall(r'[a-z]+', open('{corpus}').read())
counts = collections.Counter(words)
total = 0
for i in range(1500000):
    total += i * i % 7
print(json.dumps(counts.most_common(5)), total)
raise SystemExit(5)
"""
PERL = ("my %n; for (1 .. 4) { open F, '{corpus}'; while (<F>) { $n{$_}++ for split } } "
        "print join(' ', map { qq($_ $n{$_}) } (sort keys %n)[0 .. 9]), qq(\\n); exit 4")
SQL = ("create table t(a integer, b text); with recursive n(i) as (select 1 union all select i + 1 from n "
       "where i < 300000) insert into t select i * 7919 % 100003, hex(i) from n; create index x on t(a, b); "
       "select count(*), sum(a), max(b) from t group by a % 10; select * from missing;")
BASH = ("s=0; for ((i = 0; i < 150000; ++i)); do s=$(((s + i * i) % 1000003)); a[i % 100]=${s:0:3}; done; "
        "echo $s ${a[*]}; exit 9")
RG = r"(?i)\b[a-z]*([aeiou])[a-z]{2,9}\s+[a-z]*x[a-z]*\b.*q"

# What is run, the program's file, what must be among the functions or files, and how much of the samples have a name at
# all: Debian's programs are stripped, so only what they export has one.
PROGRAMS = {
    "python3": (["/usr/bin/python3", "-c", PYTHON], "python3", ["_PyEval_EvalFrameDefault"], .15),
    "sqlite3": (["/usr/bin/sqlite3", "-batch", ":memory:", SQL], "sqlite3", ["sqlite3_step"], .1),
    "xz": (["/usr/bin/xz", "-T2", "-3", "-k", "-c", "{corpus}"], "xz", ["lzma_", "liblzma"], 0),
    "gzip": (["/usr/bin/gzip", "-9", "-c", "{corpus}"], "gzip", ["gzip"], 0),
    "perl": (["/usr/bin/perl", "-e", PERL], "perl", ["Perl_runops_standard"], .4),
    "bash": (["/usr/bin/bash", "-c", BASH], "bash", ["execute_command"], .3),
    "rg": (["/usr/bin/rg", "-c", "--no-filename", RG] + ["{corpus}"] * 40, "rg", ["rg"], 0),
    "g++": (["/usr/bin/g++", "-O1", "-c", "{source}", "-o", "out.o"], "x86_64-linux-gnu-g++-12", [], 0),
}


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    folder = tmp_path_factory.mktemp("material")
    random.seed(20240131)
    words = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=random.randint(2, 11))) for _ in range(5000)]
    with open(folder / "corpus", "w") as corpus:
        for _ in range(60000):
            corpus.write(" ".join(random.choices(words, k=12)) + "\n")
    (folder / "source.cc").write_text(CPP)
    return {"corpus": str(folder / "corpus"), "source": str(folder / "source.cc")}


@pytest.fixture(scope="module")
def pairs(runner, material):
    """{name: (with libprof, without)}."""
    started = {}
    for name, (command, *_) in PROGRAMS.items():
        words = [re.sub(r"\{(corpus|source)\}", lambda match: material[match[1]], word) for word in command]
        cores = 2 if name in ("xz", "rg") else 1
        started[name] = (runner.start(words, {"PROF_CPU_HZ": "250"}, cores=cores),
                         runner.start(words, cores=cores, preload=False))
    return started


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_result(pairs, name):
    profiled, plain = [future.result() for future in pairs[name]]
    assert not profiled.stuck
    assert profiled.returncode == plain.returncode
    assert profiled.stdout == plain.stdout
    assert profiled.stderr == plain.stderr
    if name == "g++":
        assert (profiled.folder / "out.o").read_bytes() == (plain.folder / "out.o").read_bytes()
    else:
        assert plain.stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_profile_makes_sense(pairs, name):
    _, file, expected, named = PROGRAMS[name]
    profile = pairs[name][0].result().profile()
    main_file = profile.document["mappings"][0]["file"].rsplit("/", 1)[-1]
    assert main_file.startswith(file), main_file
    if name == "g++":
        return  # the driver only waits
    assert profile.total > 20, profile.describe()
    places = profile.functions | {path for sample in profile.samples for path in sample.files}
    assert any(wanted in place for wanted in expected for place in places), profile.describe()
    with_name = sum(s.count for s in profile.samples if not s.leaf.startswith(("?", "[")))
    assert with_name >= named * profile.total, profile.describe()
    # Truncated stacks are the exception: Debian's programs have unwind tables.
    assert sum(s.count for s in profile.samples if s.truncated) <= .02 * profile.total + 2, profile.describe()


def test_compiler_proper_and_assembler(pairs):
    """g++ runs cc1plus and as: each writes a profile of its own."""
    children = pairs["g++"][0].result().children()
    by_program = {child.document["mappings"][0]["file"].rsplit("/", 1)[-1]: child for child in children.values()}
    assert "cc1plus" in by_program, by_program.keys()
    assert any(name.endswith("as") for name in by_program), by_program.keys()
    compiler = by_program["cc1plus"]
    assert compiler.total > 50
    assert compiler.count("main") > .5 * compiler.total or compiler.count("__libc_start_main") > .5 * compiler.total
    assert len([name for name in compiler.functions if name != "?"]) > 20


def test_threads_of_xz(pairs):
    """liblzma's workers are started with every signal blocked."""
    profile = pairs["xz"][0].result().profile()
    assert sum(s.count for s in profile.samples if any("liblzma" in path for path in s.files)) > .8 * profile.total
    # The main thread's stacks go through the program itself; start_thread has a name only where libc's debug package is.
    in_threads = sum(s.count for s in profile.samples if not any(path.endswith("/xz") for path in s.files))
    assert in_threads > .5 * profile.total, profile.describe()
