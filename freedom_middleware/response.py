"""Hold a response back until its status is known.

An application may name its status late: a generator does so when it is first read, and
whoever passes ``exc_info`` may name another one until the first byte is sent.  So a status is
known at the first chunk that is not empty, at the first ``write()``, or at the end; whoever
looks at it earlier looks at a draft.

Source: PEP 3333, "The start_response() Callable" and "The write() Callable".
"""

from __future__ import annotations

from itertools import chain

from .body import GuardedBody, close_body

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from typing import Any

    from .wsgi import Body, Environ, StartResponse, WSGIApplication

    Headers = list[tuple[str, str]]
    Refuse = Callable[[str, Headers], bool]

__all__ = [
    "HeldBody",
    "answer",
    "close_with",
    "emptied",
    "hold",
    "is_inert",
    "with_headers",
    "with_vary",
]


def hold(
    application: WSGIApplication,
    environ: Environ,
    start_response: StartResponse,
    refuse: Refuse,
    recording: Any,
    others: Callable[[Any], Callable[[StartResponse], Body]],
    request: Any = None,
) -> Body | None:
    """Call *application*, and send its response on unless *refuse* will not have it.

    A response that has been started when the call returns, and is not refused, is passed on
    at once, and its chunks as they come: the server has its draft.  Any other is held back,
    and read, until its status is known.  One that is refused is closed and not read on; what
    it writes is discarded.  If its ``close()`` raises, that is logged, to the logger
    ``freedom_middleware.response``.

    Touches:
        environ: passed on as it is.
        start_response: called once it is known with what, or with a draft; from then on
            passed on as it is, at the first chunk at the latest.
            A second call without ``exc_info`` is an ``AssertionError`` until the status is
            known.  If *refuse* has decided at a ``write()``, the headers count as sent: a
            call with ``exc_info`` raises it, as PEP 3333 has it.
        body: an exact ``list`` or ``tuple``, what the server's ``wsgi.file_wrapper`` made,
            and the body of an application that has called ``write()`` are returned
            themselves.  Any other is returned as a :class:`HeldBody`; where it had to be
            read up to its first chunk, without the empty chunks before that one.

    Args:
        application: What to call.
        environ: What to call it with.
        start_response: The server's.
        refuse: Called with the status and the headers of a draft, and when they are known.
        recording: Is told to ``stop()`` once a response that is not refused has its status;
            or None.
        others: Called with *request* when a draft is passed on.  What it returns is called
            with a ``start_response`` if that is taken back: by ``exc_info``, for a status
            that *refuse* will not have.  The body that this returns takes the place.
        request: Whatever *others* needs to know.

    Returns:
        The body for the server, which is to close it; None if the response was refused.

    Raises:
        Exception: What the application, its first chunk, *refuse* or the server's
            *start_response* raises; the body is closed by then.

    >>> from freedom_middleware.testing import hello, make_environ
    >>> def refuse_all(status, headers):
    ...     print("looking at", status)
    ...     return True
    >>> hold(hello, make_environ(), None, refuse_all, None, refuse_all)
    looking at 200 OK
    """
    file_wrapper = environ.get("wsgi.file_wrapper")  # the application may replace it
    held = _Held()
    held.server_start_response = start_response
    held.refuse = refuse
    held.recording = recording
    body: Body = ()
    try:
        body = application(environ, held.start_response)
        try:
            if held.refused is None:
                status = held.status
                if status is None:
                    body = _advance(body, held)
                elif type(body) is not list and not is_inert(body, file_wrapper):
                    if refuse(status, held.headers):
                        body = _advance(body, held)
                    else:
                        held.tell(status)
                        held.is_told = True
                        return _drafted(body, held, environ, others(request))
                if held.refused is None:
                    held.decide()
        except BaseException:
            close_body(body)
            raise
        if not held.refused:
            if body is None:  # for the caller that would mean: refused
                raise TypeError("application must return an iterable of bytes, got None")
            return body
        _discard(body, environ)
        return None
    finally:
        held.exc_info = None  # its traceback leads to the application, which knows held
        del body  # as in CloseGuard: a traceback may keep this frame


class _Held:
    """What an application has said of its response, and whether the server was told.

    Built by :func:`hold` alone, which fills it in: this is on the path of every request.
    """

    server_start_response: StartResponse
    refuse: Refuse
    recording: Any
    status: str | None = None
    headers: Headers
    exc_info: Any = None
    refused: bool | None = None  # None: not known yet
    is_told = False  # the server was, of a draft
    is_closed = False

    def start_response(
        self, status: str, headers: Headers, exc_info: Any = None
    ) -> Callable[[bytes], object]:
        if exc_info is None and self.status is None:
            self.status = status
            self.headers = headers
            return self.write
        try:
            if self.refused is False:
                return self._tell_server(status, headers, exc_info)
            if exc_info is None:
                raise AssertionError(
                    "start_response must be called once, or again with exc_info, got"
                    f" {status!r} after {self.status!r}"
                )
            if self.refused:
                raise exc_info[1].with_traceback(exc_info[2])
            self.status, self.headers, self.exc_info = status, headers, exc_info
            return self.write
        finally:
            exc_info = None  # PEP 3333: a traceback refers to this frame

    def write(self, data: bytes) -> None:
        if self.refused is None:
            self.decide()
        if not self.refused:
            self._server_write(data)

    def decide(self) -> None:
        status = self.status
        if status is None:  # the server will say what is wrong
            self.status = ""
            self.refused = False
        elif self.is_told and self.exc_info is None:  # the draft stands
            self.refused = False
        else:
            self.refused = self.refuse(status, self.headers)
            if self.refused:
                return
            if self.exc_info is None:
                self._server_write = self.server_start_response(status, self.headers)
            else:
                self.tell(status)
        if self.recording is not None:
            self.recording.stop()

    def tell(self, status: str) -> None:
        """Tell the server what the application has said."""
        exc_info, self.exc_info = self.exc_info, None
        try:
            self._tell_server(status, self.headers, exc_info)
        finally:
            exc_info = None

    def _tell_server(
        self, status: str, headers: Headers, exc_info: Any
    ) -> Callable[[bytes], object]:
        try:
            if exc_info is None:
                write = self.server_start_response(status, headers)
            else:
                write = self.server_start_response(status, headers, exc_info)
        finally:
            exc_info = None
        self._server_write = write
        return write


def _advance(body: Body, held: _Held) -> HeldBody:
    """Read *body* until the status is known, and return it as it was before."""
    chunks = iter(body)
    try:
        for chunk in chunks:
            if chunk or held.refused is not None:
                return _held_body(body, (chunk,), chunks)
        return _held_body(body)
    finally:
        del body, chunks  # as in CloseGuard: a traceback may keep this frame


class _Restart:
    """Starts a response in the place of one that the server was told of."""

    __slots__ = ("_start_response", "exc_info")

    def __init__(self, start_response: StartResponse, exc_info: Any) -> None:
        self._start_response = start_response
        self.exc_info = exc_info

    def __call__(
        self, status: str, headers: Headers, exc_info: Any = None
    ) -> Callable[[bytes], object]:
        try:
            exc_info = exc_info or self.exc_info
            self.exc_info = None
            if exc_info is None:
                return self._start_response(status, headers)
            return self._start_response(status, headers, exc_info)
        finally:
            exc_info = None  # PEP 3333: a traceback refers to this frame


def _drafted(
    body: Body,
    held: _Held,
    environ: Environ,
    instead: Callable[[StartResponse], Body],
) -> HeldBody:
    """Return *body* as one that the server reads, and whose draft may be taken back."""
    bodies = [body]
    parts = _parts(body, bodies, held, environ, instead)
    drafted: HeldBody = HeldBody.from_iterable(parts)  # type: ignore[assignment]  # typeshed
    drafted._bodies = bodies
    drafted._draft = held
    drafted._other = None
    return drafted


def _parts(
    body: Body,
    bodies: list[Body],
    held: _Held,
    environ: Environ,
    instead: Callable[[StartResponse], Body],
) -> Iterator[Iterable[bytes]]:
    """Yield the chunks up to the one at which the status is known, and then all others.

    An application that has nothing yet may give an empty chunk, and the server gets it.
    """
    chunks: Iterable[bytes] = ()
    try:
        try:
            chunks = iter(body)
            del body
            for chunk in chunks:
                if chunk and held.refused is None:
                    held.decide()
                if held.refused is not None:
                    break
                yield (chunk,)
            else:
                chunk, chunks = b"", ()
                if held.refused is None:
                    held.decide()
        except BaseException:
            held.exc_info = None  # as in hold()
            raise
        if held.refused:
            chunks = ()
            chunk, chunks = yield from _parts_instead(bodies, held, environ, instead)
        # A layer may keep the body in its environ, and what is left needs neither.
        del held, environ, instead
        bodies = []
        if chunk:
            yield (chunk,)
        yield chunks
    finally:
        bodies, chunks = [], ()  # as in CloseGuard: a traceback may keep this frame


def _parts_instead(
    bodies: list[Body],
    held: _Held,
    environ: Environ,
    instead: Callable[[StartResponse], Body],
) -> Generator[Iterable[bytes], None, tuple[bytes, Iterable[bytes]]]:
    """Close the response that was taken back, and return what is to be read of another.

    Its first chunk that is not empty comes by itself; those before it are yielded.
    """
    restart = _Restart(held.server_start_response, held.exc_info)
    held.exc_info = None
    chunks: Iterable[bytes] = ()
    try:
        _discard(_taken(bodies), environ)
        if held.is_closed:
            return b"", ()
        body = instead(restart)
        bodies.append(body)
        if held.is_closed:  # meanwhile, by another thread
            close_body(_taken(bodies))
            return b"", ()
        chunks = iter(body)
        for chunk in chunks:
            if chunk:
                break
            yield (chunk,)
        else:
            chunk, chunks = b"", ()
        if restart.exc_info is not None:
            raise AssertionError("start_response must be called before the first chunk")
        return chunk, chunks
    finally:
        restart.exc_info = None  # its traceback may keep this frame
        bodies, body, chunks = [], (), ()


def _taken(bodies: list[Body]) -> Body:
    try:
        return bodies.pop()
    except IndexError:  # another thread was faster
        return ()


def _discard(body: Body, environ: Environ) -> None:
    try:
        close_body(body)
    except Exception:  # nobody waits for this response, whatever is wrong with it
        import logging

        from .environ import request_line

        logging.getLogger("freedom_middleware.response").exception(
            "close() of a response to %s failed that was not sent", request_line(environ)
        )


def is_inert(body: Body, file_wrapper: Any) -> bool:
    """Say whether *body* can be read without running the application's code.

    Args:
        body: What an application returned.
        file_wrapper: The server's, from the environ; a function on uWSGI.
    """
    if type(body) is list or type(body) is tuple:
        return True
    if file_wrapper is None:
        return False
    if isinstance(file_wrapper, type):
        return isinstance(body, file_wrapper)
    return hasattr(body, "fileno")


class HeldBody(chain[bytes]):
    """A body whose beginning was read before the server got it.

    It is its own iterator and can be read once, as PEP 3333 allows.  The chunks come from
    C.  ``close()`` closes the body that was read, once.
    """

    __slots__ = ("__dict__", "__weakref__", "_bodies", "_draft", "_other")

    _bodies: list[Any]
    _draft: _Held | None
    _other: Any

    def close(self) -> None:
        """Close the body, and then what else was to be closed with it; each once."""
        if self._draft is not None:
            self._draft.is_closed = True  # first: another body may be on its way
        try:
            body = self._bodies.pop()
        except IndexError:
            return
        try:
            close_body(body)
        finally:
            if self._draft is not None:
                self._draft.exc_info = None  # as in hold(): it may be close() that gave it
            if self._other is not None:
                self._other.close()

    __reduce_ex__ = GuardedBody.__reduce_ex__


def _held_body(
    body: Body, read: tuple[bytes, ...] = (), chunks: Iterable[bytes] = ()
) -> HeldBody:
    held = HeldBody(read, chunks)
    held._bodies = [body]
    held._draft = held._other = None
    return held


def close_with(body: Body, other: Any) -> HeldBody:
    """Return *body* as one that, once it is closed, closes *other* as well."""
    if type(body) is not HeldBody or body._other is not None:
        body = _held_body(body, (), body)
    body._other = other
    return body


def emptied(body: Body, chunks: Iterable[bytes] = ()) -> HeldBody:
    """Return a body of *chunks*, all empty, that closes *body* when it is closed: for HEAD.

    It is no list: some servers take the length of a list for the ``Content-Length``.
    """
    return _held_body(body, (), chunks)


def with_headers(
    start_response: StartResponse, change: Callable[[Headers], Headers]
) -> StartResponse:
    """Return *start_response* as one that is called with what *change* makes of the headers."""

    def start(status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        headers = change(headers)
        try:
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)
        finally:
            exc_info = None  # PEP 3333: a traceback refers to this frame

    return start


def with_vary(headers: Headers, names: list[str]) -> Headers:
    """Return *headers* with *names* in one Vary; the same list if they are there already.

    Source: RFC 9110, section 12.5.5; ``*`` already says that the answer depends on anything.

    >>> with_vary([("Vary", "Accept"), ("ETag", "x"), ("vary", "cookie")], ["Cookie", "DNT"])
    [('Vary', 'Accept, cookie, DNT'), ('ETag', 'x')]
    """
    listed = [
        name.strip(" \t")
        for header, value in headers
        if header.lower() == "vary"
        for name in value.split(",")
    ]
    seen = {name.lower() for name in listed}
    missing = list({name.lower(): name for name in names if name.lower() not in seen}.values())
    if "*" in seen or not missing:
        return headers
    merged = ("Vary", ", ".join([*filter(None, listed), *missing]))
    others = [header for header in headers if header[0].lower() != "vary"]
    first = next((i for i, header in enumerate(headers) if header[0].lower() == "vary"), None)
    others.insert(len(others) if first is None else first, merged)
    return others


def answer(
    environ: Environ, start_response: StartResponse, status: str, *headers: tuple[str, str]
) -> Body:
    """Answer with *status* as the whole page: it lists and reflects nothing.

    >>> from freedom_middleware.testing import exchange
    >>> def full(environ, start_response):
    ...     return answer(environ, start_response, "507 Insufficient Storage")
    >>> exchange(full).body
    b'507 Insufficient Storage\\n'
    """
    page = f"{status}\n".encode()
    start_response(
        status,
        [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(page))),
            *headers,
        ],
    )
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [page]
