"""Real middleware that people put around a site, and one of a shape that is gone.

Each is a function from an application to an application.  Their agents are switched off
in conftest.py, so that nothing is sent anywhere.
"""

import asyncio
from types import SimpleNamespace


def elastic_apm(application):
    from elasticapm import Client
    from elasticapm.middleware import ElasticAPM

    client = Client(enabled=False, service_name="tests")
    return ElasticAPM(application, client)


def ddtrace(application):
    from ddtrace.contrib.wsgi import DDWSGIMiddleware

    return DDWSGIMiddleware(application)


def ddtrace_iterator(application):
    from ddtrace.contrib.wsgi import DDWSGIMiddleware

    return DDWSGIMiddleware(application, app_is_iterator=True)


def opentelemetry(application):
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

    return OpenTelemetryMiddleware(application)


def instana(application):
    import instana.fsm

    # Its agent would look for a host on the network; the middleware itself is real.
    machine = SimpleNamespace(fsm=SimpleNamespace(current="lost"))
    instana.fsm.TheMachine = lambda agent: machine
    from instana.instrumentation.wsgi import InstanaWSGIMiddleware

    return InstanaWSGIMiddleware(application)


def werkzeug_debugger(application):
    from werkzeug.debug import DebuggedApplication

    return DebuggedApplication(application)


def raven_shaped(application):
    """Raven 2.0.6, which no longer installs, had this body; elastic-apm has it still."""

    def layer(environ, start_response):
        for event in application(environ, start_response):  # noqa: UP028 - the bug itself
            yield event

    return layer


def asgiref(application):
    """Asgiref's adapter, asked by the smallest of ASGI servers, which reads all there is."""
    from asgiref.wsgi import WsgiToAsgi

    async def ask(path):
        chunks = []

        async def receive():
            return {"type": "http.request", "body": b""}

        async def send(message):
            chunks.append(message.get("body", b""))

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": path,
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
        }
        await WsgiToAsgi(application)(scope, receive, send)
        return chunks

    def layer(environ, start_response):
        chunks = asyncio.run(ask(environ["PATH_INFO"]))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return chunks

    return layer


def nothing(application):
    return application
