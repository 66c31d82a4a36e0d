"""Real middleware: who is guilty is named among innocent layers, and nobody else is."""

import importlib.metadata
import itertools
import os
import re
import subprocess
import sys

import pytest

from freedom_middleware import CloseGuard
from freedom_middleware.leaks import check
from freedom_middleware.origins import relative
from tests.leaks.layers import GUILTY, INNOCENT, by_list, proxy_fix


def never_called(environ, start_response):
    raise AssertionError("the innermost application must not be called")


def page():
    raise AssertionError("no other page of the framework must be called")


def around(layers):
    """Return an application with *layers* around it, the first of them outermost."""
    application = never_called
    for layer in reversed(layers):
        application = layer(application)
    return application


class TestTheGuilty:
    @pytest.mark.parametrize(("turn", "name"), [*enumerate(GUILTY)])
    def test_is_named_among_four_innocent_layers(self, turn, name):
        """At one place of five; ``python -m tests.survey`` has many more."""
        position = turn % 5
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


class TestWhatFrameworksMount:
    """Only what is written down as the route of a mount is asked for."""

    def test_bottle(self):
        import bottle

        site = bottle.Bottle()
        site.route("/", callback=page)
        site.mount("/legacy/", by_list(never_called))

        report = check(site)

        assert set(report.culprits) == {"Bottle", "by_list"}
        # Bottle asks for the first chunk, and forgets a body that has none.
        assert {finding.scenario for finding in report.culprits["Bottle"]} >= {"empty"}

    def test_starlette(self):
        from a2wsgi import ASGIMiddleware, WSGIMiddleware
        from starlette.applications import Starlette
        from starlette.routing import Mount

        site = Starlette(routes=[Mount("/legacy", WSGIMiddleware(by_list(never_called)))])

        report = check(ASGIMiddleware(site))

        assert report.layers[0] == "ASGIMiddleware with Starlette, WSGIMiddleware inside"
        assert set(report.culprits) == {"by_list"}

    def test_flask_in_a_view(self):
        import flask
        from werkzeug.wrappers import Response

        class Legacy:
            def __init__(self, application):
                folder = "/somewhere/else"
                self.application = application
                self.find = lambda: (self, folder)

            def __call__(self, environ, start_response):
                return list(self.application(environ, start_response))

        legacy = Legacy(never_called)
        site = flask.Flask("site", root_path="/")
        site.add_url_rule("/", view_func=page)

        @site.route("/legacy/<path:rest>")
        def show(rest):
            return Response.from_app(legacy, flask.request.environ)

        report = check(site)

        assert report.layers == ["Flask", "Legacy", "never_called"]
        assert "Legacy" in report.culprits

    def test_a_view_that_is_an_application_by_its_decorator(self):
        from werkzeug.wrappers import Request, Response

        legacy = by_list(never_called)

        @Request.application
        def view(request):
            return Response.from_app(legacy, request.environ)

        for site in (view, proxy_fix(view)):
            report = check(site)

            assert report.layers[-3:] == ["Request.application", "by_list", "never_called"]
            assert report.origins["Request.application"].startswith(relative(__file__))

    def test_a_table_of_patterns(self):
        class Table:
            def __init__(self, *rows):
                self.rows = [(re.compile(pattern), methods) for pattern, methods in rows]

            def __call__(self, environ, start_response):
                for pattern, methods in self.rows:
                    if pattern.match(environ["PATH_INFO"]):
                        return methods[environ["REQUEST_METHOD"]](environ, start_response)
                start_response("404 Not Found", [])
                return []

        report = check(Table((r"^\/shop\/(?P<rest>.*)$", {"POST": by_list(never_called)})))

        assert set(report.culprits) == {"by_list"}


class TestTracersThatPatchAtStart:
    CHECK = """
import flask
from freedom_middleware.leaks import check
from freedom_middleware.origins import relative

site = flask.Flask("site", root_path="/")
report = check(site)
print(report.layers)
print([(label, found[0].id, found[0].where) for label, found in report.culprits.items()])
"""

    def test_ddtrace_run(self):
        version = importlib.metadata.version("ddtrace")

        done = subprocess.run(
            [sys.executable, "-m", "ddtrace.commands.ddtrace_run", sys.executable, "-"],
            input=self.CHECK,
            env={
                **os.environ,
                "DD_TRACE_ENABLED": "true",
                "DD_TRACE_AGENT_URL": "http://127.0.0.1:1",
                "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
                "DD_REMOTE_CONFIGURATION_ENABLED": "false",
                "DD_TRACE_LOG_LEVEL": "CRITICAL",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )

        layers, culprits = done.stdout.splitlines()
        assert layers == "['Flask patched by ddtrace', 'Flask.wsgi_app']"
        assert culprits == (
            f"[('Flask patched by ddtrace', 'close-on-iterator', 'ddtrace {version}')]"
        )


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
