"""The rules that core/unwind works out from unwind tables, for every row of the tables of Debian's own programs and
libraries: the same as libdw says (build/table_rules, tests/oracle) and, of a few files, as readelf prints. None may differ.

A rule may be "complex", which costs a walk by libunwind, only where one word cannot hold what the table says. What occurs
is in COMPLEX; table_rules finds the reason itself, from libdw's reading.

UNWIND_ORACLE_ALL=1: every ELF file under /usr, every row (minutes)."""

import collections
import glob
import json
import os
import pathlib
import random
import re
import subprocess

import pytest

import pprof
import random_tables

TOOL = pprof.BUILD / "table_rules"
ALL = os.environ.get("UNWIND_ORACLE_ALL") == "1"
LEAST_FILES = 50
ENTRIES = 15000  # of one file, spread evenly, so that the largest do not take most of the time

# {why: where it is seen}
COMPLEX = {
    "cfa of another register": "r10, rax and their like: while a stack is being realigned (main(), vectors); OpenSSL",
    "bp by an expression": "of another register than itself: libgcrypt",
    "bp in another register": "libgcrypt",
    "return address elsewhere": "the byte before a signal's return (glibc); clone(), _start of ld.so and setjmp's like",
}

# Rows that libdw calls invalid, by the file's name: they are compared with readelf's reading only.
REFUSED = {"libgcrypt.so": "a CFA by an expression becomes one by a register, which DWARF 5, 6.4.2.2 calls invalid"}

# What is looked for, by where the tables come from. Some of it is in every Debian, enough of the rest comes by tools/deps.
CANDIDATES = {
    "C library, with assembler": "libc.so.6 ld-linux-x86-64.so.2 libm.so.6 libmvec.so.1 libresolv.so.2 "
    "libnss_files.so.2 libthread_db.so.1 libgcc_s.so.1 libcrypt.so.1",
    "assembler": "libcrypto.so.3 libssl.so.3 libgmp.so.10 libmpfr.so.6 libmpc.so.3 libjpeg.so.62 libnettle.so.8 "
    "libhogweed.so.6 libgcrypt.so.20 libgnutls.so.30 libitm.so.1 libunwind.so.8 libzstd.so.1 liblzma.so.5 libz.so.1",
    "C": "libreadline.so.8 libtinfo.so.6 libsqlite3.so.0 libxml2.so.2 libpcre2-8.so.0 libselinux.so.1 libsystemd.so.0 "
    "libglib-2.0.so.0 libX11.so.6 libcurl.so.4 libcurl-gnutls.so.4 libkrb5.so.3 libpq.so.5 libevent-2.1.so.7 "
    "libelf.so.1 libdw.so.1 libexpat.so.1 libbfd-*.so libopcodes-*.so libisl.so.23 libjemalloc.so.2 libmimalloc.so.2.0 "
    "libperl.so.5.* libdb-5.3.so libgssapi_krb5.so.2 libldap-2.5.so.0 libfreetype.so.6 libpng16.so.16 "
    "bash dash perl git sqlite3 openssl gawk mawk tar gzip xz make grep sed find dpkg ls sort cp sha256sum gpgv "
    "memcached redis-check-rdb psql pgbench /usr/lib/postgresql/*/bin/postgres as ld.bfd readelf objdump gdb cc1",
    "C++": "libstdc++.so.6 libprotobuf.so.32 libprotoc.so.32 libtcmalloc.so.4 libprofiler.so.0 libicuuc.so.72 "
    "libicui18n.so.72 libapt-pkg.so.6.0 libboost_regex.so.* protoc apt ld.gold clang-format cc1plus lto1 node cmake "
    "libLLVM-14.so.1",
    "Fortran": "libgfortran.so.5 libquadmath.so.0 libblas.so.3 liblapack.so.3",
    "Rust": "rg rustc libstd-*.so librustc_driver-*.so",
    "other": "python3 /usr/bin/python3.? /usr/bin/python3.?? shellcheck libffi.so.8 liblua5.1.so.0",
}
FOLDERS = ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/bin", "/bin", "/usr/sbin",
           "/usr/lib/gcc/x86_64-linux-gnu/*"]

READELF = "libc.so.6 ld-linux-x86-64.so.2 libgmp.so.10 libgfortran.so.5 libjpeg.so.62 libgcrypt.so.20".split()

# A row as readelf prints it, below a header that names the columns.
ENTRY = re.compile(r"[0-9a-f]+ [0-9a-f]+ [0-9a-f]+ FDE cie=([0-9a-f]+) pc=([0-9a-f]+)\.\.([0-9a-f]+)")
COMMON = re.compile(r"([0-9a-f]+) [0-9a-f]+ [0-9a-f]+ CIE ")
PLAIN = re.compile(r"(u|s|exp|c[+-]\d+)$")  # what bp can be in a rule
SUM = re.compile(r"(rsp|rbp)[+-]\d+$")


def is_elf(path):
    if os.path.islink(path) or not os.path.isfile(path) or not os.access(path, os.R_OK):
        return False
    with open(path, "rb") as file:
        head = file.read(20)
    return head[:6] == b"\x7fELF\x02\x01" and head[16] in (2, 3) and head[18] == 62


def find(name):
    patterns = [name] if name.startswith("/") else [f"{folder}/{name}" for folder in FOLDERS]
    return [os.path.realpath(path) for pattern in patterns for path in sorted(glob.glob(pattern))]


def found_files():
    if ALL:
        walked = (os.path.join(folder, name) for folder, _, names in os.walk("/usr") for name in names)
        # Debug files have tables without contents; in /usr/share are test data of others, some broken on purpose.
        left_out = "/usr/lib/debug/", "/usr/share/"
        return sorted(path for path in walked if not path.startswith(left_out) and is_elf(path))
    names = [name for names in CANDIDATES.values() for name in names.split()]
    return sorted({path for name in names for path in find(name) if is_elf(path)})


@pytest.fixture(scope="module")
def compared(runner):
    """{path: figures}, of the files that have unwind tables (Go's programs have none)."""
    limit = [] if ALL else ["--entries", ENTRIES]
    started = {path: runner.start([TOOL, *limit, path], preload=False) for path in found_files()}
    runs = {path: future.result() for path, future in started.items()}
    odd = {path: run.stderr.decode() for path, run in runs.items()
           if run.returncode != 0 and b"no unwind tables" not in run.stderr}
    assert not odd
    figures = {path: json.loads(run.stdout) for path, run in runs.items() if run.returncode == 0}
    return {path: found for path, found in figures.items() if found["rows"]}


def test_rules_are_libdws(compared):
    assert len(compared) >= LEAST_FILES, sorted(compared)
    differing = {path: (figures["disagreements"], figures["shown"][:5]) for path, figures in compared.items()
                 if figures["disagreements"]}
    assert not differing
    refused = {path for path, figures in compared.items() if figures["refused"]}
    print("refused by libdw:", {path: compared[path]["refused"] for path in refused})
    # Others' binaries under /usr may have more of it: NVIDIA's have CIEs that restore registers, to nothing.
    assert sum(compared[path]["refused"] for path in refused) < 100
    assert ALL or {os.path.basename(path).split(".so")[0] + ".so" for path in refused} <= REFUSED.keys()


def test_what_a_rule_cannot_hold(compared):
    """Only for reasons that are known, and seldom."""
    total = collections.Counter()
    print()
    for path, figures in sorted(compared.items(), key=lambda item: -item[1]["complex_bytes"] / item[1]["code_bytes"]):
        count = sum(figures["complex"].values())
        total.update({key: value for key, value in figures.items() if isinstance(value, int)}, complex=count)
        total.update({f"complex: {reason}": value for reason, value in figures["complex"].items()})
        if count:
            print(f"{count / figures['rows']:8.4%} of {figures['rows']} rows, "
                  f"{figures['complex_bytes'] / figures['code_bytes']:8.4%} of the code complex: {path}")
        assert set(figures["complex"]) <= set(COMPLEX), path
    print(f"{len(compared)} files: {dict(total)}")
    assert total["complex"] < .005 * total["rows"] and total["complex_bytes"] < .005 * total["code_bytes"]


def rows_of_readelf(path):
    """{address: (CFA, bp, return address)}"""
    # Its exit code is 1 where it has warnings too.
    output = subprocess.run(["readelf", "-W", "--debug-dump=frames-interp", path], capture_output=True, text=True).stdout
    commons, rows, columns, into, start = {}, {}, [], {}, None
    for line in re.sub(r"(r\d+) \(\w+\)", r"\1", output).splitlines():  # "r3 (rbx)"
        if "ZERO terminator" in line:
            continue
        if common := COMMON.match(line):
            into = commons
            start = int(common[1], 16)
        elif entry := ENTRY.match(line):
            into = rows
            start = int(entry[2], 16)
            if start != int(entry[3], 16):
                rows[start] = commons.get(int(entry[1], 16))  # what holds where no row of its own is printed
        elif line.lstrip().startswith("LOC"):
            columns = line.split()
        elif re.match(r"[0-9a-f]{16} ", line):
            words = dict(zip(columns, line.split()))
            address = start if into is commons else int(words["LOC"], 16)
            into[address] = words["CFA"], words.get("rbp", "u"), words["ra"]
    return rows


def is_same(row, rule):
    """Whether readelf's row allows our rule; "exp", which it says of any expression, allows many."""
    (cfa, bp, return_address), (kind, rule_bp) = row, rule
    if return_address == "u":
        return kind == "outermost"
    if return_address != "c-8":
        return kind in ("complex", "signal_frame")
    if kind == "complex":
        return not SUM.match(cfa) or not PLAIN.match(bp)
    bp_is_same = rule_bp == {"s": "u"}.get(bp, bp)
    if cfa == "exp":
        return bp_is_same and (kind.startswith("cfa_deref") or SUM.match(kind) is not None)
    return bp_is_same and kind == cfa and SUM.match(cfa) is not None


def rules_of(path):
    output = subprocess.run([TOOL, "--rules", path], capture_output=True, text=True, check=True).stdout
    return [line.split() for line in output.splitlines()]


def compare_with_readelf(path):
    """How many rows; those that are read otherwise fail the test."""
    ours = {}
    for address, *rule in rules_of(path):
        ours[int(address, 16)] = rule
    theirs = rows_of_readelf(path)
    assert ours.keys() == theirs.keys()
    differing = {hex(address): (theirs[address], rule) for address, rule in ours.items()
                 if not is_same(theirs[address], rule)}
    assert not differing
    return len(ours)


@pytest.mark.parametrize("name", READELF)
def test_rules_are_readelfs(name):
    if not find(name):
        pytest.skip(f"{name} is not here")
    assert compare_with_readelf(find(name)[0]) > 1000


def built(folder, source):
    (folder / "tables.s").write_text(source)
    subprocess.run(["gcc", "-shared", "-nostdlib", "-Wl,--eh-frame-hdr", "-o", "tables.so", "tables.s"], cwd=folder,
                   check=True)
    return folder / "tables.so"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_tables_that_no_compiler_writes(tmp_path, seed):
    library = built(tmp_path, random_tables.source(random.Random(seed), 1000))
    figures = json.loads(subprocess.run([TOOL, library], capture_output=True, check=True).stdout)
    assert figures["entries"] == 1000
    assert figures["disagreements"] == 0, figures["shown"]
    assert {"cfa_sp", "cfa_bp", "cfa_deref_sp", "cfa_deref_bp", "outermost", "complex"} <= figures["kinds"].keys()


def test_register_behind_an_expression(tmp_path):
    library = built(tmp_path, random_tables.REGISTER_BEHIND_EXPRESSION)
    assert compare_with_readelf(library) == 4
    assert [rule for _, rule, _ in rules_of(library)] == ["rsp+8", "rsp+56", "cfa_deref_sp", "rsp+56"]
