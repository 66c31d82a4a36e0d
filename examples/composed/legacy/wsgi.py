"""An application from before there were frameworks, made by a factory."""

from collections.abc import Iterator
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def make_app() -> WSGIApplication:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield f"Still here, at {environ['SCRIPT_NAME']}\n".encode()

    return application
