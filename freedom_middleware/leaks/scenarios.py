"""The ways in which applications answer and servers end a response."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from wsgiref.util import FileWrapper

from .probe import (
    FalseWhenEmpty,
    File,
    LikeGenerator,
    OtherIterator,
    OwnIterator,
    Record,
    SubList,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..wsgi import Body, Environ, StartResponse, WSGIApplication

__all__ = ["ALL", "COLUMNS", "SCENARIOS", "OnPurpose", "Outcome", "Scenario", "answer", "serve"]

CHUNKS = (b"one", b"two", b"three")
PAGE = (b"<html><head><title>one</title></head>", b"<body><p>two</p>", b"</body></html>")
TEXT = (("Content-Type", "text/plain"),)
HTML = (("Content-Type", "text/html; charset=utf-8"),)
BROWSER = (
    ("HTTP_ACCEPT", "text/html,*/*;q=0.8"),
    ("HTTP_ACCEPT_ENCODING", "gzip, deflate"),
    ("HTTP_ACCEPT_LANGUAGE", "en"),
    ("HTTP_USER_AGENT", "Mozilla/5.0 (freedom-middleware check)"),
)

COLUMNS = ("whole", "left", "unread", "raises", "empty", "HEAD", "file")
"""What a table for people shows: one column for all scenarios that are ended in one way."""


class OnPurpose(Exception):
    """What a body or its ``close()`` raises in a scenario."""


@dataclass(frozen=True)
class Scenario:
    """How the innermost application answers, and how the server ends the response.

    Attributes:
        name: Stable, and short.
        column: Under which of ``COLUMNS`` it is shown.
        about: One line for people.
        method, status: Of the request, and of the answer.
        asks: What the environ of the request has besides.
        headers: Of the answer.
        chunks: What the body yields; a class is raised, each time anew.
        shape: The class of the body.
        writes: The first chunk goes through ``write()``.
        is_lazy: ``start_response`` is called when the first chunk is asked for.
        close_raises: Its ``close()`` raises.
        most: After how many chunks the client goes away; None reads to the end.
        drops: The server forgets ``close()``, as some do.
        other_thread: The server closes on another thread than it reads on.
    """

    name: str
    column: str
    about: str
    method: str = "GET"
    status: str = "200 OK"
    asks: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = TEXT
    chunks: tuple[bytes | type[Exception], ...] = CHUNKS
    shape: Callable[..., Any] = OtherIterator
    writes: bool = False
    is_lazy: bool = False
    close_raises: bool = False
    most: int | None = None
    drops: bool = False
    other_thread: bool = False


def _scenarios() -> Iterator[Scenario]:
    own, raising = OwnIterator, (b"one", OnPurpose, b"")
    page = partial(Scenario, asks=BROWSER, headers=HTML, chunks=PAGE)
    yield Scenario("whole", "whole", "read to the end")
    yield Scenario("iterator", "whole", "a body that is its own iterator", shape=own)
    yield Scenario("generator", "whole", "a generator", shape=LikeGenerator)
    yield Scenario("lazy", "whole", "start_response in a generator", shape=own, is_lazy=True)
    yield Scenario("list", "whole", "a list with close()", shape=SubList)
    yield Scenario(
        "one", "whole", "a list of one with close()", chunks=(b"one",), shape=SubList
    )
    yield Scenario("write", "whole", "the first chunk goes through write()", writes=True)
    yield Scenario("thread", "whole", "the server closes on another thread", other_thread=True)
    yield Scenario("refused", "whole", "answered with 404", status="404 Not Found")
    # Compressors, injectors and toolbars look at nothing but pages that a browser asks for.
    yield page("page", "whole", "a page, for a browser that takes gzip")
    length = ("Content-Length", str(sum(map(len, PAGE))))
    yield page("page-length", "whole", "so, with its length", headers=(*HTML, length))
    tagged = (*HTML, ("ETag", '"one"'), ("Accept-Ranges", "bytes"))
    known = (*BROWSER, ("HTTP_IF_NONE_MATCH", '"one"'))
    yield page("known", "whole", "a page that the browser has", asks=known, headers=tagged)
    part = (*BROWSER, ("HTTP_RANGE", "bytes=0-3"))
    yield page("part", "whole", "a part of a page", asks=part, headers=(*tagged, length))
    form = (*BROWSER, ("CONTENT_TYPE", "application/x-www-form-urlencoded"))
    yield page("post", "whole", "a form", method="POST", asks=(*form, ("CONTENT_LENGTH", "0")))
    program = (("HTTP_ACCEPT", "application/json"),)
    json = (("Content-Type", "application/json"),)
    yield Scenario(
        *("data", "whole", "JSON, for a program"),
        asks=program,
        headers=json,
        chunks=(b'{"one": ', b"1}"),
    )
    cross = (("HTTP_ORIGIN", "http://check"), ("HTTP_ACCESS_CONTROL_REQUEST_METHOD", "PUT"))
    yield page(
        "options",
        "whole",
        "what may be asked from elsewhere",
        method="OPTIONS",
        asks=(*BROWSER, *cross),
    )
    for status, *more in (
        ("302 Found", ("Location", "/elsewhere")),
        ("401 Unauthorized", ("WWW-Authenticate", 'Basic realm="check"')),
        ("403 Forbidden",),
        ("404 Not Found",),
        ("500 Internal Server Error",),
        ("503 Service Unavailable",),
    ):
        yield page(
            status[:3], "whole", f"a page: {status}", status=status, headers=(*HTML, *more)
        )
    yield page("page-left", "left", "a browser goes after the first chunk of a page", most=1)
    yield page("page-unread", "unread", "a browser goes before it", most=0)
    yield Scenario("left", "left", "the client goes after the first chunk", most=1)
    yield Scenario("left-iterator", "left", "so, of its own iterator", shape=own, most=1)
    yield Scenario("left-generator", "left", "so, of a generator", shape=LikeGenerator, most=1)
    yield Scenario("dropped", "left", "the server forgets close()", most=1, drops=True)
    yield Scenario("unread", "unread", "the client goes before the first chunk", most=0)
    yield Scenario("unread-iterator", "unread", "so, of its own iterator", shape=own, most=0)
    yield Scenario(
        "unread-generator", "unread", "so, of a generator", shape=LikeGenerator, most=0
    )
    yield Scenario("raises", "raises", "the body raises after a chunk", chunks=raising)
    yield Scenario(
        "raises-iterator", "raises", "so, of its own iterator", chunks=raising, shape=own
    )
    yield Scenario(
        "raises-first", "raises", "the body raises at once", chunks=(OnPurpose, b"one")
    )
    yield page("page-raises", "raises", "a page that raises", chunks=(PAGE[0], OnPurpose))
    yield Scenario("error", "raises", "close() raises", close_raises=True)
    yield Scenario(
        "error-left", "raises", "so, and the client has gone", close_raises=True, most=1
    )
    yield Scenario("empty", "empty", "no chunks, and false", chunks=(), shape=FalseWhenEmpty)
    for status in ("204 No Content", "304 Not Modified"):
        yield Scenario(
            status[:3], "empty", status, status=status, chunks=(), shape=FalseWhenEmpty
        )
    yield Scenario("HEAD", "HEAD", "a HEAD request", method="HEAD")
    yield page("page-HEAD", "HEAD", "so, for a page", method="HEAD")
    yield Scenario("file", "file", "a file, through wsgi.file_wrapper", shape=File)


SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _scenarios()}

ALL = tuple(name for name, scenario in SCENARIOS.items() if not scenario.drops)
"""The names of the scenarios that a check drives, in that order.

``dropped`` has to be asked for: a layer can do little wrong there, and lints complain.
"""


def answer(
    scenario: Scenario, environ: Environ, start_response: StartResponse
) -> tuple[Body, Record]:
    """Answer as the innermost application of *scenario*; return the body and its record."""
    record = Record(OnPurpose("close") if scenario.close_raises else None)
    headers = [] if scenario.status[:3] in _BARE else list(scenario.headers)

    def start() -> None:
        write = start_response(scenario.status, headers)
        if scenario.writes:
            write(b"written")

    if scenario.is_lazy:
        record.before_first_read = start
    else:
        start()
    body: Any = scenario.shape(scenario.chunks, record)
    if scenario.shape is File:
        body = environ.get("wsgi.file_wrapper", FileWrapper)(body)
    return body, record


_BARE = ("204", "304")


@dataclass
class Outcome:
    """What a server saw of one response.

    Attributes:
        status: The status line, or None.
        raised: What the call, the body or its close raised.
        is_file: Whether the body was the server's own file wrapper.
        body: What was closed, kept for as long as it is to be judged: a finalizer is no close.
        threads: The threads that the server called and closed on.
    """

    status: str | None = None
    raised: list[BaseException] = field(default_factory=list)
    is_file: bool = False
    body: object = None
    threads: set[threading.Thread] = field(default_factory=set)


def serve(
    application: WSGIApplication,
    environ: Environ,
    scenario: Scenario,
    first_chunk: Callable[[], object] = lambda: None,
) -> Outcome:
    """Send a request as a server that keeps to PEP 3333 does, and end it as *scenario* says.

    Args:
        application, environ: What to call, and with what.
        scenario: How to end the response.
        first_chunk: Called when the first chunk has come.
    """
    outcome = Outcome(threads={threading.current_thread()})
    environ["wsgi.file_wrapper"] = FileWrapper
    environ.update(scenario.asks)

    def start_response(status: str, _headers: Any, exc_info: Any = None, /) -> Any:
        if outcome.status is None or exc_info is not None:
            outcome.status = status
        return lambda _data: None

    try:
        body: Any = application(environ, start_response)
    except Exception as error:  # noqa: BLE001 - a server survives it
        outcome.raised.append(error.with_traceback(None))
        return outcome
    outcome.body = body
    outcome.is_file = isinstance(body, FileWrapper)
    try:
        if scenario.most != 0:
            for taken, _ in enumerate(body, 1):
                if taken == 1:
                    first_chunk()
                if taken == scenario.most:
                    break
    except Exception as error:  # noqa: BLE001
        outcome.raised.append(error.with_traceback(None))

    def close() -> None:
        try:
            if hasattr(body, "close"):
                body.close()
        except Exception as error:  # noqa: BLE001
            outcome.raised.append(error.with_traceback(None))

    if scenario.other_thread:
        thread = threading.Thread(target=close, name="freedom-middleware check")
        outcome.threads.add(thread)
        thread.start()
        thread.join(5)
    elif not scenario.drops:
        close()
    return outcome


def awaited(is_done: Callable[[], bool], seconds: float) -> bool:
    """Give other threads, if there are any, a while to do something; return whether it is."""
    until = time.monotonic() + seconds
    while not is_done():
        if threading.active_count() == 1 or time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True
