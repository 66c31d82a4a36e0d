"""Real middleware: who is guilty is named among innocent layers, and nobody else is."""

import itertools

import pytest

from freedom_middleware import CloseGuard
from freedom_middleware.leaks import check
from tests.leaks.layers import GUILTY, INNOCENT


def never_called(environ, start_response):
    raise AssertionError("the innermost application must not be called")


def around(layers):
    """Return an application with *layers* around it, the first of them outermost."""
    application = never_called
    for layer in reversed(layers):
        application = layer(application)
    return application


class TestTheGuilty:
    @pytest.mark.parametrize("name", GUILTY)
    @pytest.mark.parametrize("position", range(5))
    def test_is_named_among_four_innocent_layers(self, name, position):
        layer, label, ids = GUILTY[name]
        innocent = list(
            itertools.islice(itertools.cycle(INNOCENT.values()), position, position + 4)
        )
        innocent.insert(position, layer)

        report = check(around(innocent))

        assert set(report.culprits) == {label}
        assert {finding.id for finding in report.findings} >= ids
        assert report.baseline == []
        assert report.not_driven == []

    @pytest.mark.parametrize("name", GUILTY)
    def test_does_no_harm_with_a_guard_inside(self, name):
        layer, _, _ = GUILTY[name]

        report = check(layer(never_called), inside=CloseGuard)

        assert report.findings == []
        assert "ok" in report.table[report.layers[0]].values()


class TestTheInnocent:
    @pytest.mark.parametrize("name", INNOCENT)
    def test_is_not_accused(self, name):
        report = check(INNOCENT[name](never_called))

        assert report.findings == []
        assert report.baseline == []
        assert set(report.table[report.layers[0]].values()) <= {"ok", "n/a"}
        assert report.table[report.layers[0]]["whole"] == "ok"

    def test_so_all_of_them_together(self):
        report = check(around(list(INNOCENT.values())))

        assert report.findings == []
        assert len(report.table) == len(INNOCENT)
        assert all(row["whole"] == "ok" for row in report.table.values())


class TestTheInnermost:
    def test_no_framework_is_taken_for_a_layer(self):
        """A layer is called, and a site must not be: it would need its database."""
        import bottle
        import falcon
        import flask

        for site in (flask.Flask("site", root_path="/"), bottle.Bottle(), falcon.App()):
            report = check(CloseGuard(site))

            assert len(report.layers) == 2
            assert list(report.table) == ["CloseGuard"]

    @pytest.mark.parametrize("name", GUILTY)
    def test_what_a_guard_directly_inside_makes_up_for_is_set_aside(self, name):
        layer, label, _ = GUILTY[name]

        report = check(layer(CloseGuard(never_called)))

        assert report.findings == []
        assert {finding.label for finding in report.guarded} == {label}
        assert "guarded" in report.table[label].values()

    def test_a_guard_that_only_reports_makes_up_for_nothing(self):
        layer, label, _ = GUILTY["elastic-apm"]

        report = check(layer(CloseGuard(never_called, repair=False)))

        assert set(report.culprits) == {label}
        assert report.guarded == []
