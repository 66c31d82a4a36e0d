"""Real packages in processes of their own, and what is written about them."""

import json
import sys

import pytest

from tests.survey import __main__ as command
from tests.survey import install as installing
from tests.survey.page import TEMPLATE, in_words, to_page, to_text
from tests.survey.results import Result, Survey
from tests.survey.run import run, run_one
from tests.survey.subjects import CONFIGURATIONS
from tests.survey.truth import CASES

ELASTIC, PROXY_FIX = "elastic-apm: ElasticAPM", "Werkzeug: ProxyFix"
CLEAN = dict.fromkeys(CASES, "once")
LOST = {**CLEAN, "HEAD": "lost", "page HEAD": "lost"}
FINDING = ["close-lost", "ProxyFix", "whole", "it was read to the end"]


def result(name, truth=CLEAN, **found):
    return Result(
        name, {"version": "1.0", "truth": truth, "guarded": CLEAN, "driven": True, **found}
    )


def survey(*results, failed=()):
    about = {"date": "1 May 2026", "python": "3.11", "cases": 45, "failed": dict(failed)}
    return Survey(list(results), about)


class TestConfigurations:
    def test_there_are_enough(self):
        distributions = {one.distribution for one in CONFIGURATIONS.values()}

        assert len(CONFIGURATIONS) > 100
        assert len(distributions) > 50

    def test_each_package_is_in_the_list_that_is_installed(self):
        listed = {
            installing.normal(line.partition("<")[0])
            for line in installing.requirements(installing.PACKAGES.read_text("utf-8"))
        }
        used = {
            installing.normal(one.distribution)
            for one in CONFIGURATIONS.values()
            if one.distribution != "Python"
        }

        assert used - listed == set()


class TestRun:
    def test_the_guilty_is_named_and_repaired_and_the_innocent_left_alone(self):
        guilty, clean = (
            Result(found.pop("name"), found) for found in run([ELASTIC, PROXY_FIX])
        )

        assert (guilty.failure, clean.failure) == ("", "")
        assert guilty.is_guilty
        assert guilty.is_named
        assert guilty.found["named"] == ["ElasticAPM"]
        assert guilty.not_repaired == []
        assert guilty.found["guarded"]["whole"] == "once"
        assert not clean.is_guilty
        assert not clean.is_accused
        assert clean.is_looked_at

    def test_a_package_that_hangs_is_ended(self):
        found = run_one(PROXY_FIX, seconds=0.01)

        assert found["error"].startswith("not done after 0.01 s (start)")

    def test_a_package_that_kills_its_process_is_a_result(self):
        found = run_one(PROXY_FIX, python="/bin/false")

        assert found["error"] == "exit status 1 (start)"


class TestResult:
    def test_what_fails_is_not_measured(self):
        assert Result(PROXY_FIX, {"error": "ImportError: no"}).failure == "ImportError: no"
        assert "where nothing is wrong" in result(PROXY_FIX, broken="raises X").failure
        assert result(PROXY_FIX, dict.fromkeys(CASES, "")).failure == "it calls nobody"

    def test_the_figures(self):
        found = survey(
            result(ELASTIC, LOST, named=["ElasticAPM"]),
            result("bottle: mount", LOST, named=["Bottle"], **{"accused innocent": ["URLMap"]}),
            result("Paste: gzipper", LOST, named=["x"], guarded=LOST),
            result(PROXY_FIX),
            result("Werkzeug: LintMiddleware", alone=[FINDING]),
            Result("Paste: lint", {"error": "ImportError"}),
        )

        assert dict(found.figures) == {
            "packages": "4",
            "configurations": "5",
            "close exactly once": "2",
            "lose, repeat or misplace close()": "3",
            "named among innocent layers": "2 of 3",
            "false alarms": "1 of 2",
            "repaired by CloseGuard inside": "2 of 3",
        }
        assert not found.is_good

    def test_nothing_measured_is_not_good(self):
        assert survey(result(PROXY_FIX)).is_good
        assert not survey().is_good

    def test_a_check_that_sees_a_leak_through_the_guard_counts_against_it(self):
        early = ["close-early", *FINDING[1:]]

        assert result(PROXY_FIX, inside=[FINDING]).not_repaired == ["whole: close-lost"]
        assert result(PROXY_FIX, inside=[early]).not_repaired == []


class TestPage:
    def test_says_who_is_at_fault_and_where(self):
        page = to_page(survey(result(ELASTIC, LOST, named=["ElasticAPM"]), result(PROXY_FIX)))

        assert "| elastic-apm 1.0 | `ElasticAPM` | LOST HEAD |\n" in page
        assert "Proxies and headers\n: Werkzeug 1.0 (`ProxyFix`).\n" in page
        assert "| named among innocent layers | 1 of 1 |" in page
        assert "misses" not in page

    def test_says_what_went_wrong(self):
        page = to_page(
            survey(
                result(ELASTIC, LOST, guarded=LOST),
                result(PROXY_FIX, alone=[FINDING], driven=False, stuck="left Own"),
                Result("Paste: lint", {"error": "ImportError: x (/opt/lib/python/x.py)"}),
                failed={"wsgi-kerberos": "no krb5"},
            )
        )

        assert "- elastic-apm 1.0, `ElasticAPM`: `LOST HEAD`\n" in page
        assert "- elastic-apm 1.0, `ElasticAPM`: `HEAD: lost, page HEAD: lost`\n" in page
        assert "- Werkzeug 1.0, `ProxyFix`: `close-lost ProxyFix in whole`\n" in page
        assert "tried after it.\n\n- Werkzeug 1.0, `ProxyFix`: `left Own`\n" in page
        assert "- wsgi-kerberos: `could not be installed: no krb5`\n" in page
        assert "- Paste, `lint`: `ImportError: x`\n" in page
        assert "its silence is not innocence.\n\n- Werkzeug 1.0, `ProxyFix`\n" in page

    def test_the_table_for_people(self):
        shown = to_text(
            survey(result(ELASTIC, LOST), Result("Paste: lint", {"error": "ImportError"}))
        )

        assert "elastic-apm 1.0 ElasticAPM " in shown
        assert "   LOST" in shown
        assert "not named: elastic-apm: ElasticAPM" in shown
        assert "not measured: Paste: lint (ImportError)" in shown
        assert "repaired by CloseGuard inside     1 of 1" in shown

    def test_a_fault_in_every_case_is_one_word(self):
        always = {**dict.fromkeys(CASES, "lost"), "unread Split": "", "unread Own": ""}
        both = {**CLEAN, "left Own": "repeated", "HEAD": "lost", "left Split": "lost"}

        assert in_words(result(ELASTIC, always)) == "LOST always"
        assert in_words(result(ELASTIC, both)) == "LOST left, HEAD; TWICE left"

    def test_the_committed_page_has_the_prose_of_the_template(self):
        """All else on it is changed by a run of the command, and by nothing else."""
        prose = TEMPLATE.read_text("utf-8")
        words = prose[prose.index("| word |") : prose.index("{clean}")]

        assert words in command.PAGE.read_text("utf-8")


class TestCommand:
    def test_measures_keeps_and_reads_again(self, tmp_path, capsys):
        kept = tmp_path / "kept.json"

        assert command.main([PROXY_FIX, "--json", str(kept)]) == 0
        first = capsys.readouterr().out
        assert command.main(["--read", str(kept)]) == 0

        assert capsys.readouterr().out == first
        assert "close exactly once                1" in first
        assert json.loads(kept.read_text("utf-8"))["made"]["cases"] == len(CASES)

    def test_writes_the_page(self, tmp_path, monkeypatch, capsys):
        kept, page = tmp_path / "kept.json", tmp_path / "survey.md"
        kept.write_text(json.dumps(survey(result(PROXY_FIX))._asdict()), "utf-8")
        monkeypatch.setattr(command, "PAGE", page)

        assert command.main(["--read", str(kept), "--write"]) == 0

        assert page.read_text("utf-8").startswith("# Survey\n")

    def test_says_what_is_not_installed_and_shows_how_far_it_is(self, monkeypatch, capsys):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", "60")
        monkeypatch.setattr(command, "is_there", lambda name, _installed: name == PROXY_FIX)

        assert command.main([PROXY_FIX, ELASTIC]) == 0

        shown = capsys.readouterr().out
        assert "1 of 2 configurations not installed here" in shown
        assert "1/1 Werkzeug: ProxyFix" in shown

    def test_a_name_that_is_none_is_said(self):
        with pytest.raises(SystemExit, match="NAME must be part of a configuration"):
            command.main(["no such package"])


class TestInstall:
    def test_what_is_there_is_left_and_what_fails_is_reported(self, tmp_path, monkeypatch):
        packages = tmp_path / "packages.txt"
        packages.write_text("pip\n./no-such-folder  # is none\n", "utf-8")
        monkeypatch.setattr(installing, "PACKAGES", packages)
        told = []

        _, failed = installing.install(tmp_path / "env", told.append)

        assert list(failed) == ["./no-such-folder"]
        assert failed["./no-such-folder"].startswith("ERROR: Invalid requirement")
        assert told[1:2] == ["2/2 ./no-such-folder"]

    def test_a_package_that_takes_for_ever_is_ended(self, monkeypatch):
        monkeypatch.setattr(installing, "SECONDS", 0.01)

        assert installing.pip(sys.executable, "--version").returncode == 1
