"""The command judges what it is asked to, and the page says what was found and no more."""

import sys

import pytest

from ..survey.run import run_one
from . import __main__ as command
from . import measure
from .applications import APPLICATION
from .middleware import MIDDLEWARE
from .page import committed, rewritten, to_part, to_rules, to_text
from .results import Row, by_package
from .rule import NO, NOT_APPLICABLE, YES, Broken, Rule
from .rules import RULES

ROWS = [
    Row("Paste 1.0", "gzipper", {"A1": [YES, ""], "M19": [NO, "reads 3 of 3 (/opt/x/y.py)"]}),
    Row("Paste 1.0", "lint", {"A1": [YES, ""], "M19": [NOT_APPLICABLE, "nobody is called"]}),
    Row("Old 0.1", "layer", {}, "ImportError: no module"),
]


class TestPage:
    def test_the_rules_are_those_that_are_judged(self):
        assert committed(command.PAGE.read_text("utf-8"), "rules") == to_rules().rstrip() + "\n"

    def test_the_prose_names_the_rules_that_it_means(self):
        names = {number: RULES[number].judge.__name__ for number in ("M19", "M21", "S18")}

        assert names == {
            "M19": "returns_at_once",
            "M21": "gives_a_block_for_an_empty_one",
            "S18": "may_start_late",
        }

    def test_a_package_keeps_what_all_its_ways_keep(self):
        assert [(row.package, row.mark("A1"), row.mark("M19")) for row in by_package(ROWS)] == [
            ("Paste 1.0", YES, NO),
            ("Old 0.1", NOT_APPLICABLE, NOT_APPLICABLE),
        ]

    def test_what_was_seen_is_told_of_each_way(self):
        text = to_part(ROWS, "On a Python.", "middleware")

        assert "| middleware | A1 |\n| --- | --- |\n| Paste 1.0 | yes |\n" in text
        assert "| middleware | M19 |\n| --- | --- |\n| Paste 1.0 | **no** |\n" in text
        assert "Paste 1.0, `gzipper`\n: **M19** (must): `reads 3 of 3`.\n" in text
        assert "- Old 0.1, `layer`: `ImportError: no module`\n" in text
        assert "Of 2 ways to be used, 1 break no rule; in all 2 times yes, 1 times no" in text

    def test_a_terminal_has_a_line_for_each(self):
        assert to_text(ROWS).splitlines()[:2] == [
            "Paste 1.0 gzipper: 1 yes, 1 no, 0 –",  # noqa: RUF001
            "  M19 (must) reads 3 of 3 (/opt/x/y.py)",
        ]
        assert "Old 0.1 layer: not judged: ImportError: no module" in to_text(ROWS)

    def test_a_part_is_replaced_and_the_rest_left(self):
        page = command.PAGE.read_text("utf-8")

        again = rewritten(page, "ours", committed(page, "ours"))

        assert again == page
        with pytest.raises(
            LookupError, match=r"must have a part 'python -m tests\.pep3333 theirs'"
        ):
            rewritten(page, "theirs", "")


class TestCommand:
    @pytest.fixture
    def page(self, tmp_path, monkeypatch):
        page = tmp_path / "page.md"
        page.write_text(command.PAGE.read_text("utf-8"), "utf-8")
        monkeypatch.setattr(command, "PAGE", page)
        return page

    def test_judges_middleware_and_writes_the_page(self, page, capsys):
        assert command.main(["middleware", "ProxyFix", "--write"]) == 0

        assert capsys.readouterr().out.endswith("ProxyFix: 45 yes, 0 no, 1 –\n")  # noqa: RUF001
        assert "`ProxyFix`" not in committed(page.read_text("utf-8"), "middleware")
        assert "Of 1 ways to be used, 1 break no rule" in page.read_text("utf-8")

    @pytest.mark.usefixtures("page")
    def test_a_name_of_nobody_is_said(self):
        with pytest.raises(SystemExit, match="NAME must be part of the name of one"):
            command.main(["middleware", "no such package"])


class TestMeasure:
    def test_finds_out_who_loses_close(self):
        found = run_one("elastic-apm: ElasticAPM", module="tests.pep3333.measure")

        assert set(found["marks"]) == {rule.number for rule in (*APPLICATION, *MIDDLEWARE)}
        [closes] = [one for one in MIDDLEWARE if one.judge.__name__ == "closes_what_was_read"]
        mark, seen = found["marks"][closes.number]
        assert (mark, seen[:22]) == (NO, "close() is not called ")

    @pytest.mark.parametrize(
        ("layer", "why"),
        [
            (lambda application: lambda environ, start_response: 1 / 0, "raises ZeroDivision"),
            (lambda application: application_alone, "it calls nobody"),
        ],
    )
    def test_what_does_not_work_at_all_is_not_judged(self, layer, why):
        with pytest.raises(Broken, match=why):
            measure.check_baseline(layer)

    def test_what_never_ends_breaks_the_rule(self, monkeypatch):
        monkeypatch.setattr(measure, "SECONDS", 0.05)
        ended = []
        rule = Rule("X1", "", "must", "", ended.append)

        def waits(subject):
            while not ended:
                pass

        found = measure.in_time(rule._replace(judge=waits), None)
        ended.append("now")

        assert found == [NO, "no answer in 0.05 s"]

    def test_what_cannot_be_made_is_not_judged(self):
        rule = Rule("X1", "", "must", "", lambda subject: sys.no_such_thing)

        mark, why = measure.in_time(rule, None)

        assert mark == NOT_APPLICABLE
        assert why.startswith("cannot be tried: AttributeError")


def application_alone(environ, start_response):
    start_response("200 OK", [])
    return []
