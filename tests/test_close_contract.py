"""The same questions to every layer: is the body closed exactly once, whatever happens?

A new layer adds one line to LAYERS.
"""

import gc
import sys
import weakref

import pytest

from freedom_middleware import Application, Cascade, CloseGuard, Hosts, Mount, When
from freedom_middleware.dispatch import Methods, cookie, path
from freedom_middleware.testing import SpyBody, exchange, make_environ

LAYERS = {
    "Application": Application,
    "CloseGuard": CloseGuard,
    "Mount, under a prefix": lambda application: Mount(None, {"/a": application}),
    "Mount, by default": lambda application: Mount(application, {"/b": application}),
    "Mount, sharing": lambda application: Mount(None, {"/a": application}, share=True),
    "Hosts, by host": lambda application: Hosts(None, {"127.0.0.1": application}),
    "Hosts, by default": lambda application: Hosts(application, {"b.example": application}),
    "Hosts, sharing": lambda application: Hosts(application, {}, share=True),
    "When, by a case": lambda application: When(None, [(path("/a"), application)]),
    "When, by default": lambda application: When(application, [(path("/b"), application)]),
    "When, with Vary": lambda application: When(application, [(cookie("b"), application)]),
    "When, sharing": lambda application: When(application, [], share=True),
    "Methods": lambda application: Methods({"GET": application}),
    "Cascade, first": lambda application: Cascade([application, application]),
    "Cascade, last": lambda application: Cascade([Mount(None, {}), application]),
    "all of them": lambda application: CloseGuard(
        Hosts(When(Mount(None, {"/a": Application(application)}), []), {})
    ),
}


@pytest.fixture(params=LAYERS.values(), ids=LAYERS)
def layer(request):
    return request.param


def answering(body):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body

    return application


@pytest.mark.parametrize("chunks", [0, 1, None], ids=["unread", "half-read", "read"])
def test_closed_once_however_much_was_read(layer, chunks):
    body = SpyBody([b"one", b"two"])

    exchange(layer(answering(body)), "/a", chunks=chunks, validate=False)

    assert body.closes == 1


def test_every_chunk_passes_as_it_was(layer):
    answer = exchange(layer(answering(SpyBody([b"one", b"", b"two"]))), "/a")

    assert (answer.body, answer.chunks) == (b"onetwo", 3)


def test_an_empty_body_is_closed_too(layer):
    """It is false."""
    body = SpyBody()

    exchange(layer(answering(body)), "/a")

    assert body.closes == 1


def test_closed_once_when_reading_raises(layer):
    class Body(SpyBody):
        def __iter__(self):
            yield b"one"
            raise LookupError("on purpose")

    body = Body()
    with pytest.raises(LookupError, match="on purpose"):
        exchange(layer(answering(body)), "/a")

    assert body.closes == 1


def test_an_error_from_close_reaches_the_server(layer):
    body = SpyBody([b"one"], error=LookupError("on purpose"))

    with pytest.raises(LookupError, match="on purpose"):
        exchange(layer(answering(body)), "/a")

    assert body.closes == 1


def test_an_error_from_the_call_reaches_the_server(layer):
    def fails(environ, start_response):
        raise LookupError("on purpose")

    with pytest.raises(LookupError, match="on purpose"):
        exchange(layer(fails), "/a")


def test_write_and_exc_info_are_the_server_s_own(layer):
    def writes(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        write = start_response("500 Oops", [("Content-Type", "text/plain")], (None, None, None))
        write(b"written, ")
        return [b"returned"]

    answer = exchange(layer(writes), "/a", validate=False)

    assert (answer.status, answer.body) == ("500 Oops", b"written, returned")


@pytest.fixture
def _without_collector():
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("_without_collector")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("where", ["in the server", "in the application", "nowhere"])
@pytest.mark.refcounts
def test_an_error_that_was_told_keeps_no_body(layer, where, method):
    """exc_info has the frames that handled it: one of them that has it, too, is a cycle."""
    bodies = []

    def application(environ, start_response):
        body = SpyBody([b"x"])
        bodies.append(weakref.ref(body))
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise LookupError("on purpose")
        except LookupError:
            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
        if where == "in the application":
            raise LookupError("on purpose")
        return body

    def start(status, headers, exc_info=None):
        try:
            if exc_info is not None and where == "in the server":
                raise exc_info[1]
        finally:
            exc_info = None

    try:
        body = layer(application)(make_environ("/a", method=method), start)
        getattr(body, "close", int)()
        del body
    except LookupError:
        pass

    assert [body() for body in bodies] == [None] * len(bodies)
