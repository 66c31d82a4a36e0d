"""Spans and measurements that name the mount, and never the path that a client sent.

python examples/telemetry.py    shows what OpenTelemetry and Prometheus are told
"""

from time import perf_counter

from opentelemetry import trace

from freedom_middleware.environ import text

MOUNTED = "freedom_middleware.mounted"
METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
RAW = {"http.target", "http.url", "url.path", "url.query"}


def route_of(environ):
    """Return where the application that answered is mounted; there are few such places."""
    return text(environ.get(MOUNTED) or environ.get("SCRIPT_NAME") or "/")


def name_span(application):
    """Name the span for the mount.

    Goes between OpenTelemetryMiddleware and Mount: OpenTelemetryMiddleware(name_span(site)).
    """

    def layer(environ, start_response):
        span = trace.get_current_span()
        try:
            return application(environ, start_response)
        finally:  # after the call: a mount within a mount is known by then
            if span.is_recording():
                route = route_of(environ)
                span.update_name(f"{span.name.partition(' ')[0]} {route}")
                span.set_attribute("http.route", route)
                for key in RAW & set(span.attributes):
                    span.set_attribute(key, "" if key == "url.query" else route)

    return layer


def measure(application, report):
    """Call *report* with the route, method, status code and seconds of each request.

    The body is passed on as it is: the time is that of the call, without the sending.
    """

    def layer(environ, start_response):
        started = perf_counter()
        method = environ["REQUEST_METHOD"]
        code, returned = None, False

        def tell():
            report(
                route_of(environ),
                method if method in METHODS else "_OTHER",
                code,
                perf_counter() - started,
            )

        def start(status, headers, exc_info=None):
            nonlocal code
            code = status[:3]
            if returned:  # a generator starts when it is read
                tell()
            return start_response(status, headers, exc_info)

        try:
            return application(environ, start)
        except BaseException:
            code = "500"
            raise
        finally:
            returned = True
            if code is not None:
                tell()

    return layer


def show():
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
    from opentelemetry.metrics import NoOpMeterProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from prometheus_client import CollectorRegistry, Histogram, generate_latest

    from freedom_middleware import Mount
    from freedom_middleware.testing import exchange, hello, make_environ

    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(spans))
    meter = MeterProvider([reader]).get_meter("mysite")
    duration = meter.create_histogram("http.server.request.duration", unit="s")
    registry = CollectorRegistry()
    seconds = Histogram(
        "http_request_seconds",
        "Requests by mount",
        ["route", "method", "code"],
        registry=registry,
        buckets=[1],
    )

    def report(route, method, code, took):
        seconds.labels(route, method, code).observe(took)
        duration.record(
            took,
            {
                "http.route": route,
                "http.request.method": method,
                "http.response.status_code": int(code),
            },
        )

    site = Mount(hello, {"/shop": Mount(hello, {"/admin": hello})})
    application = OpenTelemetryMiddleware(
        measure(name_span(site), report),
        tracer_provider=tracing,
        meter_provider=NoOpMeterProvider(),  # its own measurements know no route
    )
    for path in ("/about/us", "/shop/cart/7?token=secret", "/shop/admin/users/7"):
        environ = make_environ(path, RAW_URI=path)
        exchange(application, environ=environ)

    for span in spans.get_finished_spans():
        print(span.name, dict(span.attributes))
    for resource in reader.get_metrics_data().resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    print(metric.name, dict(point.attributes), point.count)
    print(generate_latest(registry).decode())


if __name__ == "__main__":
    show()
