"""The page shows a run of the command, whole, in which nothing failed."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.compatibility.__main__ import (
    COMMAND,
    HEADS,
    PAGE,
    ROWS,
    environment,
    kind,
    main,
    placed,
)
from tests.written import part, rows

OLDER = ["PyPy 7.3.18 (3.11.10)", "6.0"]
NEWER = ["PyPy 7.3.19 (3.11.11)", "6.1"]
FREE = ["3.14.7 free-threaded", "6.1"]
LOCKED = ["3.14.7", "6.1"]
STANDING = [[row.python, "4.2"] for row in ROWS]


def cells():
    return rows(part(PAGE.read_text("utf-8"), COMMAND))


def test_there_is_a_row_for_each_that_is_run():
    for row, shown in zip(ROWS, cells(), strict=False):
        assert list(shown) == HEADS
        assert shown["Python"].startswith(f"{row.python}.")
        assert shown["skipped"] == "0"
        for pin in row.pins:
            name, _, version = pin.partition("==")
            assert fnmatchcase(shown[name], version or "*")


def test_every_other_interpreter_has_one_row():
    kinds = [kind([shown["Python"]]) for shown in cells()[len(ROWS) :]]

    assert {"3.14", "3.14 free-threaded"} <= set(kinds)
    assert len(set(kinds)) == len(kinds)


def test_nothing_failed():
    assert {shown["failed"] for shown in cells()} == {"0"}
    assert all(int(shown["passed"]) > 1000 for shown in cells())


@pytest.mark.parametrize("name", [OLDER, NEWER, FREE, LOCKED], ids=lambda cells: cells[0])
def test_the_row_of_one_interpreter_is_added_to_those_on_the_page(name):
    assert placed(STANDING, [], [name]) == [*STANDING, name]


def test_a_row_takes_the_place_of_the_one_of_the_same_interpreter():
    shown = [*STANDING, OLDER, FREE]

    assert placed(shown, [], [NEWER]) == [*STANDING, NEWER, FREE]
    assert placed(shown, [], [LOCKED]) == [*shown, LOCKED]


def test_a_run_of_those_that_stand_keeps_the_others():
    run = [[row.python, "5.2"] for row in ROWS]

    assert placed([*STANDING, OLDER, FREE], run, []) == [*run, OLDER, FREE]


def test_a_row_of_a_python_that_stands_is_one_of_its_own():
    """It is another with the newest of all, and must not replace one with pins."""
    again = [ROWS[0].python, "6.1"]

    assert placed(STANDING, [], [again]) == [*STANDING, again]


def test_only_some_of_those_that_stand_are_not_put_on_the_page(capsys):
    with pytest.raises(SystemExit):
        main(["--only", "5.2", "--write"])

    assert "--only leaves some out" in capsys.readouterr().err


def test_the_lock_is_off_on_a_free_threaded_python_alone():
    """With it on, the first extension module that asks for the lock would hide everything."""
    python = Path("/a/bin/python")

    assert environment(python, is_free_threaded=True)["PYTHON_GIL"] == "0"
    assert "PYTHON_GIL" not in environment(python, is_free_threaded=False)
