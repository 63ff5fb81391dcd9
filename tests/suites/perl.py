"""perl's own tests of its operators, t/op, with the perl that is installed."""

import subprocess

import suite

BRIEF = ["op/fork.t", "op/array.t", "op/die.t", "op/exec.t", "op/kill0.t", "op/magic.t", "op/sigsystem.t", "op/die_exit.t"]
# Its modules are those of the installed perl: the sources lack what their build makes.
MODULES = "for d in /usr/share/perl/5.36 /usr/lib/x86_64-linux-gnu/perl/5.36 /usr/lib/x86_64-linux-gnu/perl-base; do cp -an $d/. lib/; done"
SOURCE = suite.Source("perl", "perl-5*")


def prepare(place, root, brief):
    version = subprocess.run(["/usr/bin/perl", "-e", "print $]"], capture_output=True, text=True).stdout
    if version[:5] != "5.036":
        return f"perl is {version}"
    return SOURCE.prepare(place, root, MODULES, "ln -sf /usr/bin/perl perl; ln -sf /usr/bin/perl t/perl")


def tests(place, brief):
    folder = SOURCE.folder(place) / "t"
    names = BRIEF if brief else sorted(str(path.relative_to(folder)) for path in folder.glob("op/*.t"))
    return [suite.Test(name, ["./perl", name], folder) for name in names]


results = suite.tap
