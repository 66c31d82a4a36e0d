"""The demo: a middleware that loses ``close()``, without CloseGuard and with it."""

from __future__ import annotations

import gc
import logging
import socket
import sys
import threading
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from urllib.request import urlopen

from .. import dropped
from ..errors import ApplicationError, UnclosedBodyWarning
from ..serve import Server
from ..terminal import Terminal
from ..tree import draw

if TYPE_CHECKING:
    from flask import Response

    from ..wsgi import WSGIApplication

__all__ = ["show"]

SITE = Path(__file__).parent / "site"

PATIENCE_SECONDS = 5.0


class Visit(NamedTuple):
    """One request of the show."""

    path: str
    what: str
    leave_early: bool = False
    closes_itself: bool = False  # when PyPy's collector finds it


VISITS = [
    Visit("/", "a page, from SQLite"),
    Visit("/stream", "a stream, read to its end"),
    Visit("/stream", "a stream whose client left", leave_early=True),
    Visit("/file", "a file", closes_itself=True),
    Visit("/shop/", "a page of the Flask shop"),
]

# Each of PyPy's finds the outermost finalizers only: those of the middleware come first.
COLLECTIONS = 4

# Neither framework counts it.
LATER = Visit("/api/", "a later request")


class Count(NamedTuple):
    """How many responses were opened, and how many of them closed."""

    opened: int
    closed: int

    def __str__(self) -> str:
        return f"{self.closed} of {self.opened}"


class Tally:
    """Counts the responses that were opened and closed, in both frameworks."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self._lock = threading.Lock()

    def open(self, **_: object) -> None:
        """Count a response that has begun."""
        with self._lock:
            self.opened += 1

    def close(self, **_: object) -> None:
        """Count a response whose resources have been released."""
        with self._lock:
            self.closed += 1

    def measure(self, application: WSGIApplication, visit: Visit) -> Count:
        """Serve *application* for one visit, and return what that opened and closed."""
        before = Count(self.opened, self.closed)
        _serve(application, visit)
        if not dropped.AT_ONCE:
            for _ in range(COLLECTIONS):
                gc.collect()
            _serve(application, LATER)
        return Count(self.opened - before.opened, self.closed - before.closed)

    def watch(self) -> None:
        """Listen to request_started and request_finished, and to Flask's equivalents."""
        from django.core.signals import request_finished, request_started
        from shop import app

        request_started.connect(self.open)
        request_finished.connect(self.close)

        @app.after_request
        def _(response: Response) -> Response:
            self.open()
            response.call_on_close(self.close)
            return response


def show(*, host: str, port: int | None, once: bool) -> int:
    """Run the show on a real server, and keep serving unless *once*.

    Returns:
        0 if the guard closed every response and the middleware had lost every one, else 1.

    Raises:
        ServeError: The address is taken.
        ApplicationError: One of the packages of the extra ``demo`` is not installed.
    """
    sys.path.insert(0, str(SITE))
    try:
        import django
        import elasticapm.middleware
        import flask  # noqa: F401 - asked for here, so that the message can name the extra
    except ModuleNotFoundError as error:
        raise ApplicationError(
            f"demo must have its packages installed, got none of that name: {error.name}."
            " pip install 'freedom-middleware[demo]'"
        ) from error
    # Reports go to the table below; elastic-apm is to send nothing anywhere.
    logging.getLogger("freedom_middleware.leaks").addHandler(logging.NullHandler())
    logging.getLogger("freedom_middleware.leaks").propagate = False
    warnings.simplefilter("ignore", UnclosedBodyWarning)
    # Where a thread of a server that has just begun is slow, waitress warns of a queue.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    client = elasticapm.Client(enabled=False, service_name="demo")

    from mysite.wsgi import application, unguarded

    tally = Tally()
    tally.watch()
    lossy = elasticapm.middleware.ElasticAPM(unguarded, client)
    guarded = elasticapm.middleware.ElasticAPM(application, client)
    # Whoever runs the show once asks for no particular port.
    chosen = port if port is not None else (0 if once else 8000)
    with Server(guarded, host=host, port=chosen) as server:
        print(f"mysite/wsgi.py makes one application of a site (Django {django.__version__})")
        print(f"on SQLite, a shop (Flask {version('flask')}) and an ASGI API:\n")
        print(_indented(draw(application, ascii=Terminal.of(sys.stdout).ascii)))
        print(
            f"\nAround it stands ElasticAPM (elastic-apm {version('elastic-apm')}), a real"
            " middleware, which\nnever calls close(). Every request below went over HTTP"
            " (waitress). A response\nis closed when request_finished is sent, in the shop"
            " when call_on_close runs.\n"
        )
        without = [tally.measure(lossy, visit) for visit in VISITS]
        with_guard = [tally.measure(guarded, visit) for visit in VISITS]
        print(_table(without, with_guard))
        if not dropped.AT_ONCE:
            print(
                "\nOn this interpreter what is dropped is closed at a later request: one was"
                "\nmade after each of these, once the collector had run. On PyPy it finds the"
                "\nlost file as well, which closes itself."
            )
        lost = all(
            count == Count(1, 0) or (visit.closes_itself and not dropped.AT_ONCE)
            for visit, count in zip(VISITS, without, strict=True)
        )
        repaired = all(count == Count(1, 1) for count in with_guard)
        if not (lost and repaired):
            print("\nThese are not the expected figures: 0 of 1 without, 1 of 1 with.")
            return 1
        if not once:
            print("\nServing it with CloseGuard now (Ctrl-C stops):\n")
            for path in [*dict.fromkeys(visit.path for visit in VISITS), "/api/"]:
                print(f"  {server.address}{path}", flush=True)
            server.run()
    return 0


def _serve(application: WSGIApplication, visit: Visit) -> None:
    with Server(application, port=0) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            _visit(server.address, visit)
        finally:
            server.stop()
            thread.join()  # the server finishes what it has begun


def _visit(address: str, visit: Visit) -> None:
    if not visit.leave_early:
        with urlopen(address + visit.path, timeout=PATIENCE_SECONDS) as response:
            response.read()
        return
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), PATIENCE_SECONDS) as client:
        client.sendall(f"GET {visit.path} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
        client.recv(1000)


def _table(without: list[Count], with_guard: list[Count]) -> str:
    rows = [
        (f"GET {visit.path:<8} {visit.what}", str(before), str(after))
        for visit, before, after in zip(VISITS, without, with_guard, strict=True)
    ]
    rows.append(("all of them", str(_total(without)), str(_total(with_guard))))
    head = ("responses closed", "without CloseGuard", "with CloseGuard")
    lines = [
        f"  {request:<40}{before:>19}{after:>17}" for request, before, after in [head, *rows]
    ]
    rule = "  " + "-" * 76
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _total(counts: list[Count]) -> Count:
    return Count(*map(sum, zip(*counts, strict=True)))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
