"""Whose malloc the program calls is found out by calling it, and without a heap profile nobody is in between."""

import pytest

import heap

RUNS = {
    "exact": (["heap_takes_address"], heap.settings(1)),
    "cpu only": (["heap_takes_address"],),
    "nothing": (["heap_takes_address"], {"PROF_CPU": None}),
}


def test_a_program_with_a_stub_of_that_name(runs):
    run = runs["exact"]
    assert run.result == {"same": 1}
    profile = heap.read(run.folder / "heap.prof")
    assert profile.of_leaf("by_address") == (100, 100000, 50, 50000), profile.describe()
    assert profile.of_leaf("by_name") == (100, 50000, 25, 12500), profile.describe()
    assert not profile.comment("not seen"), profile.comments


@pytest.mark.parametrize("name", ["cpu only", "nothing"])
def test_unhooked(name, runs):
    """An address that the program takes is the same for all of it, hooked or not."""
    assert runs[name].result == {"same": 1}
