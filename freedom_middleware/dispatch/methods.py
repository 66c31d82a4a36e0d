"""Choose an application by the request's method."""

from __future__ import annotations

from ..environ import is_token
from ..errors import MethodError, TableTypeError
from ..response import answer, emptied, is_inert
from .table import Table, as_dispatcher, check_passing, pass_on, read_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from typing import Any

    from ..application import Application, Target
    from ..response import Headers
    from ..tree import Choice
    from ..wsgi import Body, Environ, StartResponse, WSGIApplication
    from .shapes import MethodApplications

__all__ = ["Methods"]

COMMON = frozenset(
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]
)
"""The methods of RFC 9110 and RFC 5789; in lower case they are a slip."""


def Methods(  # noqa: N802 - reads as the application that it makes
    methods: Mapping[str, Target],
    *,
    back: Collection[str] = (),
    share: bool = False,
) -> MethodApplications:
    """Serve each method by an application of its own.

    What is not in the table is answered here: HEAD by the application for GET, without the
    body; OPTIONS with 204; anything else with 405, which a
    :class:`~freedom_middleware.Cascade` around it takes as "ask the next".  Each of the two
    has the methods in Allow.  An unknown method is no 501: that would
    say that nobody on this server knows it, and of the others nothing is known here.

    Touches:
        environ: the chosen application gets a copy; what it changes there stays there, except
            for ``freedom_middleware.mounted`` and the keys in *back*.  REQUEST_METHOD is left
            as it is, for HEAD too.
        start_response: passed on as it is.  When GET answers HEAD, what is given to
            ``write()`` is discarded.
        body: passed on as it is.  When GET answers HEAD the server gets an empty one, which
            closes the application's; the headers, Content-Length too, are as for GET.  While
            that is read, the application's is read up to its first chunk.

    Args:
        methods: Method names, in upper case as they are sent, and their applications, in any
            form that :class:`~freedom_middleware.Application` takes.
        back: Environ keys that are handed back to the caller when the application has
            returned.
        share: True gives applications the caller's own environ instead of a copy.

    Returns:
        The application, with its table as the attribute ``methods``.

    Raises:
        MethodError: A key is no method name, or one of the common ones in lower case.
        TableTypeError: The table is no mapping, or a key is not text.
        OptionError: *back* or *share* cannot be understood.
        ApplicationError, ApplicationTypeError: A child is not an application.

    Source: RFC 9110, sections 9.1, 9.3.2, 9.3.7, 10.2.1, 15.5.6 and 15.6.2.

    >>> from freedom_middleware.testing import exchange, hello
    >>> greeting = Methods({"GET": hello})
    >>> exchange(greeting, method="GET").code, exchange(greeting, method="HEAD").body
    (200, b'')
    >>> exchange(greeting, method="POST").status
    '405 Method Not Allowed'
    >>> exchange(greeting, method="OPTIONS").header("Allow")
    'GET, HEAD, OPTIONS'
    """
    keys = check_passing("Methods", back, share)
    children = _read(methods)
    compiled = _compile(children)

    def dispatch(environ: Environ, start_response: StartResponse) -> Body:
        method = environ["REQUEST_METHOD"]
        applications, allow = compiled
        if method in applications:
            return pass_on(applications[method], environ, start_response, keys, share)
        if method == "HEAD" and "GET" in applications:
            get = applications["GET"]
            return _without_body(get, environ, start_response, keys, share)
        return _answer(environ, start_response, allow)

    def publish(children: dict[str, Application]) -> None:
        nonlocal compiled
        compiled = _compile(children)

    table = Table("method", children, normalise=_normalise, read=_read, publish=publish)

    def answers_itself(environ: Environ, start_response: StartResponse) -> Body:
        return _answer(environ, start_response, compiled[1])

    vars(answers_itself).update(wsgi_name="405 Method Not Allowed", wsgi_children=tuple)

    def name_children() -> Iterator[tuple[str, WSGIApplication]]:
        yield from table.items()
        yield "*", answers_itself

    def choose(environ: Environ) -> list[Choice]:
        return [_explain(environ, table, answers_itself, compiled[1])]

    made: MethodApplications = as_dispatcher(
        "Methods", dispatch, name_children, choose, methods=table
    )
    return made


def _compile(
    children: Mapping[str, Application],
) -> tuple[dict[str, WSGIApplication], tuple[str, str]]:
    """Return the callables by method, and the header Allow, in the order of the table."""
    allowed: dict[str, None] = {}
    for method in children:
        allowed[method] = None
        if method == "GET":
            allowed["HEAD"] = None
    allowed["OPTIONS"] = None
    calls = {method: application.wsgi for method, application in children.items()}
    return calls, ("Allow", ", ".join(allowed))


def _without_body(
    application: WSGIApplication,
    environ: Environ,
    start_response: StartResponse,
    keys: tuple[str, ...],
    share: bool,
) -> Body:
    """Answer HEAD as *application* answers GET; six servers would send the body as well.

    The body is read while the server reads, up to the first chunk that is not empty: until
    then a status may come, or another one, by PEP 3333.
    """
    file_wrapper = environ.get("wsgi.file_wrapper")  # the application may replace it
    started = False

    def start(status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        nonlocal started
        started = True
        try:
            if exc_info is None:
                start_response(status, headers)
            else:
                start_response(status, headers, exc_info)
        finally:
            exc_info = None  # PEP 3333: a traceback refers to this frame
        return _discard

    def empty_chunks(body: Body) -> Iterator[bytes]:
        for chunk in body:
            if chunk:
                return
            if started:  # before that no server takes a chunk
                yield chunk

    body = pass_on(application, environ, start, keys, share)
    try:
        unread = () if is_inert(body, file_wrapper) else empty_chunks(body)
        return emptied(body, unread)
    finally:
        del body  # as in CloseGuard: a traceback may keep this frame


def _discard(data: bytes) -> None:
    """Take the place of the server's ``write()``."""


def _answer(environ: Environ, start_response: StartResponse, allow: tuple[str, str]) -> Body:
    if environ["REQUEST_METHOD"] == "OPTIONS":
        start_response("204 No Content", [allow])
        return []
    return answer(environ, start_response, "405 Method Not Allowed", allow)


def _explain(
    environ: Environ, table: Table, answers_itself: WSGIApplication, allow: tuple[str, str]
) -> Choice:
    from ..tree import Choice

    method = environ["REQUEST_METHOD"]
    child = environ.copy()
    if method in list(table):
        return Choice(method, table[method], child, f"method {method}")
    if method == "HEAD" and "GET" in table:
        return Choice("GET", table["GET"], child, "HEAD goes to GET, and its body is not sent")
    misses = [
        (other, "the request's method differs in upper and lower case")
        for other in table
        if other.upper() == method.upper()
    ]
    if method == "OPTIONS":
        reason = f"answered here: 204 with Allow: {allow[1]}"
    else:
        reason = f"default: no application for {method!r}: 405 with Allow: {allow[1]}"
    return Choice("*", answers_itself, child, reason, tuple(misses))


def _read(methods: Mapping[str, Target]) -> dict[str, Application]:
    return read_table("method", _normalise, "Methods({'GET': ...})", methods)


def _normalise(method: str) -> str:
    if not isinstance(method, str):
        raise TableTypeError(f"method must be text, got {method!r}; write 'GET'")
    if method == "*":
        raise MethodError(
            "method must be the name of one, got '*'; what is not in the table is answered 405:"
            " Cascade([Methods(...), application]) asks another application then"
        )
    if not is_token(method):
        raise MethodError(
            f"method must be the name of one, without spaces and commas, got {method!r}"
        )
    if method.upper() in COMMON and method not in COMMON:
        raise MethodError(
            f"method must be written as it is sent, got {method!r}; write {method.upper()!r}"
        )
    return method
