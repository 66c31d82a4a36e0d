"""Servers under fire: a short form of it, and that it counts what it should."""

import os
import subprocess
import sys

import pytest

from ..written import END, begin, part, rewritten
from .clients import WAYS
from .journal import Figures, Journal
from .page import CANNOT, COMMAND, PAGE, mishaps, rows, to_page, to_text
from .run import VARIANTS, Fired, fire, is_below, turns
from .targets import TARGETS

JOURNAL = """\
opened bare page 7-1 7 1
closed bare page 7-1 7 1
opened bare page 7-2 7 1
closed bare page 7-2 7 1
closed bare page 7-2 7 1
opened bare slow 7-3 7 2
closed bare slow 7-3 7 1
opened bare slow 7-4 7 2
opened bare slow 8-1 8 1
opened leaking slow 8-2 8 1
closed leaking slow 8-2 8 1
opened leaking page 7-5 7 1
closed leaking page 7-5 7 1
opened leaking page 7-6 7 1
closed leaking page 7-6 7 1
repaired leaking closed - 7 1
repaired leaking not - 7 1
opened lea"""


FIRED = {
    name: Fired(
        figures=dict.fromkeys(VARIANTS, Figures(9, 7, 0, 0, 1, 2, 5)),
        visits=60,
        ended={},
        killed=2,
        reloads=1,
        processes=4,
        uncounted=0,
        told={"bare": "file 2 times: 1", "composed": "", "leaking": ""},
    )
    for name in ("gunicorn sync", "waitress")
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.server(n)) for n in ("gunicorn gthread", "waitress")],
)
def test_each_response_is_closed_once_unless_its_worker_is_killed(name, tmp_path):
    fired = fire(TARGETS[name], tmp_path, visits=len(WAYS) * len(VARIANTS))

    for variant in ("composed", "leaking"):
        figures = fired.figures[variant]
        assert figures.opened > 0, variant
        assert (figures.never, figures.twice) == (0, 0), fired.told[variant]
        assert figures.once + figures.killed == figures.opened
    assert fired.figures["leaking"].repaired > 0
    assert fired.uncounted == 0
    assert {way for (way, _), times in fired.ended.items() if times} == {*WAYS}
    assert (fired.killed > 0) == (fired.reloads > 0) == TARGETS[name].workers
    assert (fired.processes > 1) == TARGETS[name].workers


class TestJournal:
    @pytest.fixture
    def journal(self, tmp_path):
        (tmp_path / "journal").write_text(JOURNAL)
        journal = Journal(tmp_path / "journal")
        journal.read()
        return journal

    def test_counts_what_became_of_each_response(self, journal):
        assert journal.figures("bare", {8}) == Figures(
            opened=5, once=2, never=1, twice=1, elsewhere=1, killed=1, repaired=0
        )
        assert journal.figures("bare").never == 2
        assert journal.figures("leaking").repaired == 1

    def test_says_which_paths_were_not_closed_once(self, journal):
        assert journal.told("bare", {8}) == (
            "page 2 times: 1, slow never: 1, slow on another thread: 1"
        )
        assert journal.told("leaking") == ""

    def test_knows_what_was_closed_and_not_counted(self, journal):
        assert journal.uncounted("leaking", {8}) == 1
        assert journal.uncounted("leaking") == 2

    def test_is_read_on_where_a_line_was_not_yet_whole(self, journal, tmp_path):
        with (tmp_path / "journal").open("a") as file:
            file.write("king page 7-7 7 1\n")

        assert [one.path for one in journal.open(but_of={8})] == ["slow", "page"]


def test_each_way_and_application_has_its_turn():
    drawn = turns()
    size = len(WAYS) * len(VARIANTS)

    rounds = [[next(drawn) for _ in range(size)] for _ in range(2)]

    assert rounds[0] != rounds[1]
    assert {*rounds[0]} == {*rounds[1]} == {(way, one) for way in WAYS for one in VARIANTS}


def test_only_what_the_server_started_is_killed():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    assert is_below(child.pid, os.getpid())
    assert not is_below(os.getpid(), child.pid)
    child.communicate(b"\n")
    assert not is_below(child.pid, os.getpid())


class TestPage:
    """What a server cannot do has a dash."""

    def test_has_a_row_for_each_application(self):
        assert rows(FIRED)[0] == (
            *("gunicorn sync", "bare", "9", "7", "0", "0", "1", "2", CANNOT),
        )
        assert rows(FIRED)[4] == (
            *("waitress", "composed", "9", "7", "0", "0", "1", CANNOT, "5"),
        )

    def test_says_what_happened_to_the_server(self):
        assert mishaps(FIRED) == [
            ("gunicorn sync", "60", "4", "2", "1", "yes", "yes"),
            ("waitress", "60", "4", *[CANNOT] * 4),
        ]

    def test_is_the_same_for_a_terminal(self):
        text = to_text(FIRED)

        assert "gunicorn sync composed 9 7 0 0 1 2 5" in " ".join(text.split())
        assert "waitress, bare: file 2 times: 1" in text

    def test_keeps_what_stands_around_its_tables(self):
        page = f"before\n{begin(COMMAND)}old\n{END}after\n"
        new = f"before\n{begin(COMMAND)}new\n{END}after\n"

        assert rewritten(page, COMMAND, "new\n") == new

    @pytest.mark.server("all of them")  # their versions are on it
    @pytest.mark.compiled
    def test_has_its_tables_as_a_page_shows_them(self):
        assert to_page(FIRED).startswith("| server |")
        assert "| waitress | composed | 9 |" in to_page(FIRED)

    def test_as_it_is_has_every_server_and_keeps_the_promise(self):
        written = part(PAGE.read_text(encoding="utf-8"), COMMAND)
        lines = [line.strip("| ").split(" | ") for line in written.splitlines()]
        found = {(line[0], line[1]): line[2:] for line in lines if line[0] in TARGETS}

        for name in TARGETS:
            for variant in [*VARIANTS.values()][1:]:
                opened, once, never, twice, _, killed, _ = found[name, variant]
                assert (never, twice) == ("0", "0")
                assert int(once) + int(killed.replace(CANNOT, "0")) == int(opened) > 0


def test_a_server_that_does_not_exist_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "tests.fire", "apache"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=PAGE.parents[1],
    )

    assert done.returncode == 2
    assert "SERVER must be of gunicorn sync, " in done.stderr
