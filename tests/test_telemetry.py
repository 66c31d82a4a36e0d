"""OpenTelemetry's own middleware, and Prometheus' labels, around mounts: what they are told."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry import context
from opentelemetry.context import Context
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry, Counter, make_wsgi_app

from freedom_middleware import CloseGuard, Mount
from freedom_middleware.testing import SpyBody, exchange, hello, make_environ

EXAMPLE = Path(__file__).parent.parent / "examples" / "telemetry.py"
SECRET = "/shop/cart/7?token=secret"


@pytest.fixture(scope="module")
def telemetry():
    spec = importlib.util.spec_from_file_location("telemetry_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def no_span_around():
    """A layer that was left in the middle, in another test, leaves its span the current one."""
    token = context.attach(Context())
    yield
    context.detach(token)


def generator(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"lazy"


def fails(environ, start_response):
    raise LookupError("on purpose")


def refuses(environ, start_response):
    start_response("403 Forbidden", [("Content-Type", "text/plain")])
    return [b"no"]


def site():
    inner = Mount(hello, {"/admin": hello, "/lazy": generator, "/fails": fails})
    return Mount(
        hello,
        {
            "/shop": inner,
            "/lazy": generator,
            "/fails": fails,
            "/café": hello,
            "/no": refuses,
        },
    )


ROUTES = [
    ("/", "/"),
    ("/about/us", "/"),
    ("/shop/cart/7", "/shop"),
    ("/shop/admin/7", "/shop/admin"),
    ("/shop/lazy/7", "/shop/lazy"),
    ("/lazy/7", "/lazy"),
    ("/café/menu", "/café"),
    ("/no/way", "/no"),
]


class Told:
    """A site with OpenTelemetry around it, and everything that was exported."""

    def __init__(self, application):
        self._exported, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exported))
        self.application = OpenTelemetryMiddleware(
            application,
            tracer_provider=provider,
            meter_provider=MeterProvider([self._reader]),
        )

    def ask(self, path, *, validate=True, **more):
        environ = make_environ(path, RAW_URI=path, **more)
        exchange(self.application, environ=environ, validate=validate)

    def span(self):
        [span] = self._exported.get_finished_spans()
        return span

    def points(self):
        return [
            (metric.name, dict(point.attributes))
            for resource in self._reader.get_metrics_data().resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        ]


class TestWhatOpenTelemetryDoesAlone:
    """Should one of these fail, it has learnt something, and a page is out of date."""

    def test_the_span_is_named_for_the_raw_path_and_knows_no_route(self):
        told = Told(site())

        told.ask("/shop/cart/7")

        assert told.span().name == "GET /shop/cart/7"
        assert "http.route" not in told.span().attributes

    def test_its_measurements_have_neither_a_path_nor_a_route(self):
        told = Told(site())

        told.ask(SECRET)

        assert told.points()
        assert "http.route" not in str(told.points())
        assert "cart" not in str(told.points())

    def test_its_response_hook_comes_too_early_for_a_mount_within_a_mount(self):
        seen = []
        application = OpenTelemetryMiddleware(
            site(),
            response_hook=lambda span, environ, *_: seen.append(
                environ.get("freedom_middleware.mounted")
            ),
        )

        exchange(application, "/shop/admin/7")

        assert seen == ["/shop"]


class TestSpans:
    @pytest.mark.parametrize(("path", "route"), ROUTES)
    def test_they_name_the_mount(self, telemetry, path, route):
        told = Told(telemetry.name_span(site()))

        told.ask(path)

        assert told.span().name == f"GET {route}"
        assert told.span().attributes["http.route"] == route

    def test_with_a_prefix_of_the_server_s_own(self, telemetry):
        told = Told(telemetry.name_span(site()))

        told.ask("/about", SCRIPT_NAME="/intranet")

        assert told.span().attributes["http.route"] == "/intranet"

    def test_nothing_of_the_raw_path_is_left(self, telemetry):
        told = Told(telemetry.name_span(site()))

        told.ask(SECRET)

        span = told.span().to_json()
        assert "cart" not in span
        assert "secret" not in span

    def test_a_method_that_nobody_knows_is_no_name(self, telemetry):
        told = Told(telemetry.name_span(site()))

        told.ask("/shop/cart", REQUEST_METHOD="BREW", validate=False)

        assert told.span().name == "HTTP /shop"

    def test_an_error_names_its_mount(self, telemetry):
        told = Told(telemetry.name_span(site()))

        with pytest.raises(LookupError, match="on purpose"):
            told.ask("/fails/7")

        span = told.span()
        assert (span.name, span.attributes["http.route"]) == ("GET /fails", "/fails")
        assert span.status.status_code is StatusCode.ERROR

    def test_an_error_below_two_mounts_names_the_inner_one(self, telemetry):
        told = Told(telemetry.name_span(site()))

        with pytest.raises(LookupError, match="on purpose"):
            told.ask("/shop/fails/7")

        assert told.span().attributes["http.route"] == "/shop/fails"

    def test_a_generator_between_two_mounts_hides_the_inner_one(self, telemetry):
        def lazy_layer(environ, start_response):
            yield from Mount(None, {"/admin": hello})(environ, start_response)

        told = Told(telemetry.name_span(Mount(None, {"/shop": lazy_layer})))

        told.ask("/shop/admin/7")

        assert told.span().attributes["http.route"] == "/shop"

    def test_without_a_span_nothing_happens(self, telemetry):
        assert exchange(telemetry.name_span(site()), "/shop/x").status == "200 OK"

    def test_every_body_is_closed_once(self, telemetry):
        body = SpyBody([b"x"])

        def answers(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return body

        told = Told(CloseGuard(telemetry.name_span(Mount(None, {"/a": answers}))))
        told.ask("/a/b")

        assert body.closes == 1


class TestLabels:
    @pytest.fixture
    def counted(self, telemetry):
        """Return an application, and what Prometheus' own metrics hold."""
        registry = CollectorRegistry()
        counter = Counter("seen", "Requests", ["route", "method", "code"], registry=registry)

        def report(route, method, code, seconds):
            assert seconds >= 0
            counter.labels(route, method, code).inc()

        metrics = make_wsgi_app(registry)
        application = telemetry.measure(site(), report)

        def labels():
            lines = exchange(metrics, "/metrics", validate=False).body.decode().splitlines()
            return [line for line in lines if line.startswith("seen_total")]

        return application, labels

    @pytest.mark.parametrize(("path", "route"), ROUTES)
    def test_they_name_the_mount(self, counted, path, route):
        application, labels = counted

        exchange(application, path)

        code = "403" if route == "/no" else "200"
        assert labels() == [f'seen_total{{code="{code}",method="GET",route="{route}"}} 1.0']

    def test_an_error_is_a_500_of_its_mount(self, counted):
        application, labels = counted

        with pytest.raises(LookupError, match="on purpose"):
            exchange(application, "/fails/7")

        assert labels() == ['seen_total{code="500",method="GET",route="/fails"} 1.0']

    def test_a_method_that_nobody_knows_is_one_label(self, counted):
        application, labels = counted

        for method in ("BREW", "BREW2"):
            exchange(application, "/shop", method=method, validate=False)

        assert labels() == ['seen_total{code="200",method="_OTHER",route="/shop"} 2.0']

    def test_a_scanner_adds_no_label(self, counted):
        application, labels = counted

        for number in range(100):
            exchange(application, f"/wp-login/{number}.php")

        assert labels() == ['seen_total{code="200",method="GET",route="/"} 100.0']


@pytest.mark.parametrize("conventions", ["", "http", "http/dup"])
def test_the_example_shows_both_and_nothing_raw(conventions):
    """Which attributes there are is decided once in a process, by a variable."""
    ended = subprocess.run(
        [sys.executable, EXAMPLE],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OTEL_SEMCONV_STABILITY_OPT_IN": conventions},
    )

    told = ended.stdout
    for raw in ("about", "cart", "secret", "users"):
        assert raw not in told
    for route in ("/", "/shop", "/shop/admin"):
        assert f"GET {route} {{" in told
        assert f"'http.route': '{route}', 'http.request.method': 'GET'" in told
        assert f'http_request_seconds_count{{code="200",method="GET",route="{route}"}}' in told
