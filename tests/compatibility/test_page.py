"""The page shows a run of the command, whole, in which nothing failed."""

from fnmatch import fnmatchcase

from tests.compatibility.__main__ import COMMAND, PAGE, ROWS
from tests.written import part, rows


def cells():
    return rows(part(PAGE.read_text("utf-8"), COMMAND))


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
