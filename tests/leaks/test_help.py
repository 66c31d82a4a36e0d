"""Each finding has a page, whose examples run, and which a terminal can show."""

import warnings
from doctest import ELLIPSIS, DocTestParser, DocTestRunner
from pathlib import Path

import pytest

from freedom_middleware import dropped
from freedom_middleware.errors import OptionError, UnclosedBodyWarning
from freedom_middleware.leaks.help import IDS, list_pages, page, show_page
from freedom_middleware.terminal import Terminal, width_of

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", IDS)
class TestEachPage:
    def test_runs(self, name):
        """As docs/conftest.py does it: the session of a page is what stands in its fences."""
        fenced, inside = [], False
        for line in page(name).markdown.splitlines():
            inside = line == "```pycon" if line.startswith("```") else inside
            fenced.append(line if inside and line[:3] != "```" else "")
        session = DocTestParser().get_doctest("\n".join(fenced), {}, name, name, 0)
        said = []

        runner = DocTestRunner(optionflags=ELLIPSIS)
        runner.run(session, out=said.append)
        with warnings.catch_warnings():
            # What a guard has closed on a page is not reported to the next test.
            warnings.simplefilter("ignore", UnclosedBodyWarning)
            dropped.settle()

        assert session.examples
        assert not said, "".join(said)

    def test_says_what_it_costs_and_how_to_fix_and_guard(self, name):
        told = page(name)

        assert told.markdown.startswith(f"# {name}\n\n")
        for heading in ("## What it costs\n", "## How to fix it", "## How to guard it\n"):
            assert told.markdown.count(f"\n{heading}") == 1
        assert told.means.endswith(".")
        assert told.costs.endswith(".")
        assert "`" not in told.means + told.costs

    def test_is_in_the_documentation(self, name):
        shown = (DOCS / "findings" / f"{name}.md").read_text("utf-8")

        assert f"freedom_middleware/leaks/pages/{name}.md" in shown

    @pytest.mark.parametrize("columns", [None, 40])
    def test_fits_a_terminal(self, name, columns):
        lines = show_page(name, Terminal(columns)).splitlines()

        told = [line for line in lines if not line.startswith("    ")]
        assert max(map(width_of, told)) <= (columns or 80)
        assert not [line for line in lines if line.startswith(("#", "```"))]


def test_text_is_shown_without_its_marks():
    shown = show_page("close-lost", Terminal(colour=True))

    assert shown.startswith(
        "\x1b[1mclose-lost\x1b[0m\n\nIt takes the body and never calls close()"
    )
    assert "\n    >>> def Monitor(application):\n" in shown


def test_the_list_has_them_all_and_fits():
    lines = list_pages(Terminal(40)).splitlines()

    assert [line.split()[0] for line in lines if line[0] != " "] == list(IDS)
    assert max(map(width_of, lines)) <= 43  # a name and 20 columns beside it


def test_an_unknown_name_is_told_the_others():
    with pytest.raises(OptionError, match=r"must be one of close-lost, .* got 'close-los'"):
        page("close-los")
