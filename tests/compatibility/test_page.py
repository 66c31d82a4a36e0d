"""The page shows a run of the command, whole, in which nothing failed."""

from fnmatch import fnmatchcase

from tests.compatibility.__main__ import COMMAND, HEADS, PAGE, ROWS
from tests.written import part


def cells():
    lines = [line.strip("| ") for line in part(PAGE, COMMAND).splitlines()]
    return [dict(zip(HEADS, line.split(" | "), strict=True)) for line in lines[2:]]


def test_there_is_a_row_for_each_that_is_run():
    assert len(cells()) == len(ROWS)
    for row, shown in zip(ROWS, cells(), strict=True):
        assert shown["Python"].startswith(f"{row.python}.")
        for pin in row.pins:
            name, _, version = pin.partition("==")
            assert fnmatchcase(shown[name], version or "*")


def test_nothing_failed():
    assert {shown["failed"] for shown in cells()} == {"0"}
    assert all(int(shown["passed"]) > 1000 for shown in cells())
