"""perl's own tests of its operators, t/op, with the perl that is installed."""

import subprocess

import suite

BRIEF = ["op/fork.t", "op/array.t", "op/die.t", "op/exec.t", "op/kill0.t", "op/magic.t", "op/sigsystem.t", "op/die_exit.t"]
# They skip themselves, or end at their beginning, with any installed perl: for a build with debugging, or modules that are built for tests only.
NOT_INSTALLED = ("op/dump.t", "op/goto_xs.t", "op/svleak.t")
# Its modules are those of the installed perl: the sources lack what their build makes.
MODULES = "for d in /usr/share/perl/5.36 /usr/lib/x86_64-linux-gnu/perl/5.36 /usr/lib/x86_64-linux-gnu/perl-base; do cp -an $d/. lib/; done"
SOURCE = suite.Source("perl", "perl-5*")


def prepare(place, root, brief):
    version = subprocess.run(["/usr/bin/perl", "-e", "print $]"], capture_output=True, text=True).stdout
    if version[:5] != "5.036":
        return f"perl is {version}"
    return SOURCE.prepare(place, root, MODULES, "ln -sf /usr/bin/perl perl; ln -sf /usr/bin/perl t/perl")


def switches(file):
    """-T has to be given on the command line, too."""
    with open(file, encoding="latin-1") as lines:
        first = lines.readline()
    return ["-T"] if first.startswith("#!") and "-T" in first.split() else []


def tests(place, brief):
    folder = SOURCE.folder(place) / "t"
    names = BRIEF if brief else sorted(str(path.relative_to(folder)) for path in folder.glob("op/*.t"))
    return [suite.Test(name, ["./perl", *switches(folder / name), name], folder) for name in names if name not in NOT_INSTALLED]


results = suite.tap
