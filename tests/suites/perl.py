"""perl's own tests of its operators, t/op, with the perl that is installed."""

import subprocess

import suite

BRIEF = ["op/fork.t", "op/array.t", "op/die.t", "op/exec.t", "op/kill0.t", "op/magic.t", "op/sigsystem.t", "op/die_exit.t"]
# Its modules are those of the installed perl: the sources lack what their build makes.
MODULES = "for d in /usr/share/perl/5.36 /usr/lib/x86_64-linux-gnu/perl/5.36 /usr/lib/x86_64-linux-gnu/perl-base; do cp -an $d/. lib/; done"


def source(place):
    return next(iter(sorted(place.glob("source/perl-5*"))), None)


def prepare(place, root, brief):
    version = subprocess.run(["/usr/bin/perl", "-e", "print $]"], capture_output=True, text=True).stdout
    if version[:5] != "5.036":
        return f"perl is {version}"
    folder = suite.fetch(place, root, "perl", "perl-5*")
    if folder is None:
        return "no source package"
    if not suite.make(folder, "suite.stamp", MODULES, "ln -sf /usr/bin/perl perl; ln -sf /usr/bin/perl t/perl"):
        return f"not prepared: {folder}/suite.log"
    return None


def tests(place, brief):
    folder = source(place) / "t"
    names = BRIEF if brief else sorted(str(path.relative_to(folder)) for path in folder.glob("op/*.t"))
    return [suite.Test(name, ["./perl", name], folder) for name in names]


results = suite.tap
