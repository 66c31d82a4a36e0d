"""Call an application as a strict server does; for this package's tests and for yours."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from .body import close_body
from .dropped import settle
from .environ import native

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from .wsgi import Body, Environ, StartResponse, WSGIApplication

    ExcInfo = (
        tuple[type[BaseException], BaseException, TracebackType]
        | tuple[None, None, None]
        | None
    )

__all__ = ["Exchange", "SpyBody", "exchange", "hello", "make_environ"]


watching: Callable[[WSGIApplication], WSGIApplication] | None = None
"""Put around whatever is driven here; ``pytest --close-leaks`` sets it."""


class Exchange(NamedTuple):
    """A response, as a client would see it.

    Attributes:
        status: Status line: ``"200 OK"``.
        headers: Name and value pairs, in the order they were sent.
        body: The bytes that were read, joined.
        chunks: How many chunks were read.
    """

    status: str
    headers: list[tuple[str, str]]
    body: bytes
    chunks: int

    @property
    def code(self) -> int:
        """The number in the status line."""
        return int(self.status.split()[0])

    def header(self, name: str) -> str | None:
        """Return the value of the first header called *name*, in any case, or None."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)


def make_environ(
    path: str = "/",
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    **more: Any,
) -> Environ:
    """Return an environ for a request.

    Args:
        path: Text, as people write it: ``"/café?size=2"``; it is taken as it is but for
            the query behind the first ``?``.
        method: The request method.
        headers: HTTP headers; Content-Type and Content-Length take their CGI names.
        body: The request body; Content-Length is set from it.
        more: Keys to add or to replace, such as ``SCRIPT_NAME="/shop"``.

    >>> environ = make_environ("/café?size=2", headers={"Accept": "text/html"})
    >>> (
    ...     environ["PATH_INFO"] == "/caf\\xc3\\xa9",
    ...     environ["QUERY_STRING"],
    ...     environ["HTTP_ACCEPT"],
    ... )
    (True, 'size=2', 'text/html')
    """
    path_info, _, query = path.partition("?")
    environ: Environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": native(path_info),
        "QUERY_STRING": native(query),
        "REMOTE_ADDR": "127.0.0.1",  # which RFC 3875 wants, and every server sets
        "wsgi.input": BytesIO(body),
    }
    setup_testing_defaults(environ)
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    for name, value in (headers or {}).items():
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    environ.update(more)
    return environ


def exchange(
    application: WSGIApplication,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    chunks: int | None = None,
    environ: Environ | None = None,
    validate: bool = True,
) -> Exchange:
    """Send one request to *application* as a strict server would, and close the response.

    ``wsgiref.validate`` stands around the application and raises ``AssertionError`` where
    it breaks PEP 3333.

    Args:
        application: What to call.
        path, method, headers, body: See :func:`make_environ`.
        chunks: Leave after that many chunks, as a client that goes away makes a server do;
            0 closes the body without reading it.  None reads it whole.
        environ: A whole environ, instead of the above.
        validate: False leaves ``wsgiref.validate`` out.

    Raises:
        AssertionError: The application breaks PEP 3333.
        Exception: What the application, its body or its ``close()`` raises.
    """
    if environ is None:
        environ = make_environ(path, method=method, headers=headers, body=body)
    if watching is not None:
        application = watching(application)
    status: str | None = None
    sent_headers: list[tuple[str, str]] = []
    read: list[bytes] = []

    def start_response(
        new_status: str, new_headers: list[tuple[str, str]], exc_info: ExcInfo = None, /
    ) -> Callable[[bytes], object]:
        nonlocal status, sent_headers
        if status is not None and exc_info is None:
            raise AssertionError("start_response must be called once, got a second call")
        status, sent_headers = new_status, new_headers
        return read.append

    answered = (validator(application) if validate else application)(environ, start_response)
    taken = 0
    try:
        if chunks != 0:
            for chunk in answered:
                read.append(chunk)
                taken += 1
                if taken == chunks:
                    break
    finally:
        close_body(answered)
        del answered
        settle()
    if status is None:
        if chunks != 0:
            raise AssertionError("start_response must be called before the body ends")
        status = "000 Not Started"
    return Exchange(status, sent_headers, b"".join(read), taken)


def hello(environ: Environ, start_response: StartResponse) -> Body:
    """Answer every request with ``Hello, world!``."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "14")])
    return [b"Hello, world!\n"]


class SpyBody:
    """A response body that counts how often it is closed.

    It is false when empty, as a list is, and its iterator is another object: both make
    careless layers forget to close it.

    Attributes:
        closes: How many times ``close()`` was called.
    """

    def __init__(self, chunks: Iterable[bytes] = (), *, error: Exception | None = None) -> None:
        self._chunks = list(chunks)
        self._error = error
        self.closes = 0

    def __len__(self) -> int:
        return len(self._chunks)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)

    def close(self) -> None:
        """Count the call, then raise *error* if there is one."""
        self.closes += 1
        if self._error is not None:
            raise self._error
