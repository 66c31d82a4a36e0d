"""Middleware as the framework's documentation shows it: one wraps, one delegates."""

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class HelloWorldApplication:
    """Says hello in a header of every response of the application that it wraps."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        def greet(status, headers, exc_info=None):
            return start_response(status, [*headers, ("X-Hello", "world")], exc_info)

        # The body itself is returned, and so its close() is kept.
        return self._application(environ, greet)


class HelloWorldPage:
    """Answers /hello itself, and delegates everything else."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/hello":
            return self._application(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"Hello, world!\n"]
