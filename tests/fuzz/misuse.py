"""Applications and servers that break PEP 3333, with the dispatchers and the guard between.

A generated application is called by a generated server twice: as it is, and through a
generated stack of ours.  What the server sees must be the same: our layers may add no error
of their own, hide none, and lose, repeat or advance no ``close()``.  Where they have to
differ the documentation says so, and so does :func:`allowed`.
"""

from __future__ import annotations

import gc
import warnings
from typing import Any, NamedTuple

from hypothesis import strategies as st

from freedom_middleware import Cascade, CloseGuard, Hosts, Mount, When
from freedom_middleware.dispatch import Methods, cookie, path, predicate
from freedom_middleware.dropped import settle
from freedom_middleware.testing import make_environ

HEADERS = [("Content-Type", "text/plain"), ("Vary", "Accept")]


class AppError(Exception):
    """What the application raises; nobody of ours may."""


class ServerError(Exception):
    """What the server raises."""


# -- the application --


class App(NamedTuple):
    """How an application behaves.

    Attributes:
        starts: When it calls ``start_response``: ``"never"``, in the ``"call"``, ``"lazily"``
            before its first chunk, or ``"late"``, after it.
        again: What it does then once more: nothing, ``"plainly"``, ``"with exc_info"``.
        how: Whether it names the third argument.
        writes: What it gives to ``write()`` in the call.
        returns: What it returns.
        chunks: What its body has.
        raises: Where it raises: ``""``, ``"call"``, ``"iter"``, ``"first"``, ``"last"``,
            ``"close"``.
        status: What it starts with.
    """

    starts: str
    again: str
    how: str
    writes: tuple[bytes, ...]
    returns: str
    chunks: tuple[bytes, ...]
    raises: str
    status: str


APPS = st.builds(
    App,
    starts=st.sampled_from(["call", "call", "call", "lazily", "late", "never"]),
    again=st.sampled_from(["", "", "", "plainly", "with exc_info"]),
    how=st.sampled_from(["by position", "by name"]),
    writes=st.sampled_from([(), (), (b"w",), (b"", b"ww")]),
    returns=st.sampled_from(
        [
            *("list", "tuple", "generator", "body", "body", "list subclass", "iterator"),
            *("None", "int", "str", "bytes", "unclosable"),
        ]
    ),
    chunks=st.lists(st.sampled_from([b"", b"a", b"bc"]), max_size=4).map(tuple),
    raises=st.sampled_from(["", "", "", "call", "iter", "first", "last", "close"]),
    status=st.sampled_from(["200 OK", "204 No Content", "500 X", "", "4", "teapot"]),
)


class Run:
    """One call of an application, and what has happened in it."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.opened = 0
        self.closed = 0
        self.read_after_close = False

    def __call__(self, environ: Any, start_response: Any) -> Any:
        app = self.app
        write = self.start(start_response) if app.starts == "call" else None
        for data in app.writes if write else ():
            write(data)
        if app.raises == "call":
            raise AppError("call")
        made = {
            "list": lambda: [*app.chunks],
            "tuple": lambda: app.chunks,
            "list subclass": lambda: ClosableList(self, app.chunks),
            "generator": lambda: self.generated(start_response),
            "body": lambda: SomeBody(self, start_response),
            "iterator": lambda: SomeIterator(self, start_response),
            "unclosable": lambda: map(bytes, app.chunks),
            "None": lambda: None,
            "int": lambda: 42,
            "str": lambda: "text",
            "bytes": lambda: b"bytes",
        }[app.returns]()
        if hasattr(made, "close") and not isinstance(made, type(self.generated(None))):
            self.opened += 1
        return made

    def start(self, start_response: Any) -> Any:
        app = self.app
        write = start_response(app.status, [*HEADERS])
        if app.again == "plainly":
            write = start_response("500 Again", [*HEADERS])
        elif app.again == "with exc_info":
            try:
                raise AppError("again")
            except AppError as error:
                exc_info = (type(error), error, error.__traceback__)
                if app.how == "by name":
                    write = start_response("500 Again", [*HEADERS], exc_info=exc_info)
                else:
                    write = start_response("500 Again", [*HEADERS], exc_info)
        return write

    def generated(self, start_response: Any) -> Any:
        app = self.app
        self.opened += 1
        try:
            if app.raises == "iter":
                raise AppError("iter")
            yield from self.chunks(start_response)
        finally:
            self.closed += 1
            if app.raises == "close":
                raise AppError("close")

    def chunks(self, start_response: Any) -> Any:
        app = self.app
        if app.starts == "lazily":
            self.start(start_response)
        if app.raises == "first":
            raise AppError("first")
        for number, chunk in enumerate(app.chunks):
            if self.closed and app.returns != "generator":
                self.read_after_close = True
            yield chunk
            if number == 0 and app.starts == "late":
                self.start(start_response)
        if app.raises == "last":
            raise AppError("last")

    def close(self) -> None:
        self.closed += 1
        if self.app.raises == "close":
            raise AppError("close")


class ClosableList(list):  # type: ignore[type-arg]
    def __init__(self, run: Run, chunks: tuple[bytes, ...]) -> None:
        super().__init__(chunks)
        self.close = run.close


class SomeBody:
    """Its iterator is another object, and it is false."""

    def __init__(self, run: Run, start_response: Any) -> None:
        self._run, self._start_response = run, start_response

    def __iter__(self) -> Any:
        if self._run.app.raises == "iter":
            raise AppError("iter")
        return self._run.chunks(self._start_response)

    def __len__(self) -> int:
        return 0

    def close(self) -> None:
        self._run.close()


class SomeIterator(SomeBody):
    """It is its own iterator."""

    def __init__(self, run: Run, start_response: Any) -> None:
        super().__init__(run, start_response)
        self._chunks = run.chunks(start_response)

    def __iter__(self) -> Any:
        if self._run.app.raises == "iter":
            raise AppError("iter")
        return self

    def __next__(self) -> Any:
        return next(self._chunks)


# -- the server --


class Server(NamedTuple):
    """How a server behaves.

    Attributes:
        reads: How many chunks it reads; None reads all.
        closes: How often it calls ``close()``.
        reads_on: Whether it reads on after that.
        refuses: Whether its ``start_response`` raises, as when the client has gone.
        environ: What is wrong with its environ.
    """

    reads: int | None
    closes: int
    reads_on: bool
    refuses: bool
    environ: str


SERVERS = st.builds(
    Server,
    reads=st.sampled_from([None, None, None, 0, 1, 2]),
    closes=st.sampled_from([1, 1, 1, 2, 0]),
    reads_on=st.booleans(),
    refuses=st.sampled_from([False] * 5 + [True]),
    environ=st.sampled_from(
        [
            *("", "", "", "no PATH_INFO", "no SCRIPT_NAME", "neither", "a subclass of dict"),
            *("a subclass of str", "not latin-1", "no QUERY_STRING", "no HTTP_HOST"),
            *("SCRIPT_NAME is /", "no leading slash", "no SERVER_NAME", "no REMOTE_ADDR"),
            *("no wsgi.input", "an empty CONTENT_LENGTH", "None for CONTENT_LENGTH"),
        ]
    ),
)


class Environ(dict):  # type: ignore[type-arg]
    """What PEP 3333 forbids: its ``copy()`` is a plain dict."""


class Text(str):
    """What PEP 3333 forbids as well."""

    __slots__ = ()


def environ_of(server: Server) -> dict[str, Any]:
    """Return an environ for ``/x/y`` with one thing wrong in it."""
    environ = make_environ("/x/y", headers={"Cookie": "a=1"})
    what = server.environ
    changes: dict[str, dict[str, Any]] = {
        "no PATH_INFO": {"PATH_INFO": None},
        "no SCRIPT_NAME": {"SCRIPT_NAME": None},
        "neither": {"PATH_INFO": None, "SCRIPT_NAME": None},
        "a subclass of str": {
            key: Text(value) for key, value in environ.items() if type(value) is str
        },
        "not latin-1": {"PATH_INFO": "/x/\u20ac\ud800"},
        "no QUERY_STRING": {"QUERY_STRING": None},
        "no HTTP_HOST": {"HTTP_HOST": None},
        "SCRIPT_NAME is /": {"SCRIPT_NAME": "/"},
        "no leading slash": {"PATH_INFO": "x/y"},
        "no SERVER_NAME": {"SERVER_NAME": None, "SERVER_PORT": None, "HTTP_HOST": None},
        "no REMOTE_ADDR": {"REMOTE_ADDR": None},
        "no wsgi.input": {"wsgi.input": None},
        "an empty CONTENT_LENGTH": {"CONTENT_LENGTH": ""},
    }
    for key, value in changes.get(what, {}).items():
        environ.pop(key, None)
        if value is not None:
            environ[key] = value
    if what == "None for CONTENT_LENGTH":
        environ["CONTENT_LENGTH"] = None
    return Environ(environ) if what == "a subclass of dict" else environ


class Seen(NamedTuple):
    """What a server has seen of a response.

    Attributes:
        status: The last status, None if there was none.
        headers: Its headers.
        body: All bytes, by ``write()`` and by the body.
        error: What left the call, the reading or ``close()``: where, and what.
    """

    status: str | None
    headers: tuple[tuple[str, str], ...]
    body: bytes
    error: tuple[str, str]


def serve(application: Any, server: Server) -> Seen:
    """Serve one request as *server* does."""
    started: list[Any] = []
    body = bytearray()
    sent = False

    def start_response(status: Any, headers: Any, exc_info: Any = None) -> Any:
        if server.refuses:
            raise ServerError("start")
        if started and exc_info is None:
            raise ServerError("twice")
        if exc_info is not None and sent:
            raise exc_info[1].with_traceback(exc_info[2])
        started[:] = [status, tuple(headers)]
        return write

    def write(data: bytes) -> None:
        nonlocal sent
        sent = sent or bool(data)
        body.extend(data)

    error = ("", "")
    answer: Any = None
    where = "call"
    try:
        answer = application(environ_of(server), start_response)
        where = "read"
        taken = 0
        if server.reads != 0:
            for chunk in answer:
                if not started:
                    raise ServerError("never started")
                write(chunk)
                taken += 1
                if taken == server.reads:
                    break
            if server.reads is None and not started:
                raise ServerError("never started")
    except (Exception, AssertionError) as raised:  # noqa: BLE001 - whatever it is is compared
        error = (
            where,
            type(raised).__name__ + f" {raised}" * isinstance(raised, (AppError, ServerError)),
        )
    for _ in range(server.closes):
        try:
            if hasattr(answer, "close"):
                answer.close()
        except AppError as raised:
            error = error if error[0] else ("close", f"AppError {raised}")
    if server.reads_on and server.closes and server.reads != 0 and answer is not None:
        try:
            for _ in answer:
                pass
        except Exception:  # noqa: BLE001, S110 - it asked for it; only close() counts now
            pass
    del answer
    return Seen(*(started or (None, ())), bytes(body), error)


# -- the stack --

LAYERS = {
    "guard": lambda inner: CloseGuard(inner),
    "mount": lambda inner: Mount(inner, {"/elsewhere": inner}),
    "mounted": lambda inner: Mount(inner, {"/x": inner}),
    "hosts": lambda inner: Hosts(inner, {"a.example": inner}),
    "when": lambda inner: When(inner, [(path("/x") & cookie("b"), inner)]),
    "asked": lambda inner: When(inner, [(predicate(lambda request: False), inner)]),
    "vary": lambda inner: When(inner, [(cookie("a"), inner)]),
    "methods": lambda inner: Methods({"GET": inner}),
    "last": lambda inner: Cascade([passes, inner]),
    "first": lambda inner: Cascade([inner, never]),
    "shared": lambda inner: Mount(inner, {"/x": inner}, share=True),
    "redirecting": lambda inner: Mount(inner, {"/x": inner}, slash="redirect"),
}
STACKS = st.lists(st.sampled_from(sorted(LAYERS)), max_size=4)


def passes(environ: Any, start_response: Any) -> Any:
    start_response("404 Not Found", [])
    return [b"nobody sees it"]


def never(environ: Any, start_response: Any) -> Any:
    raise AssertionError("an answer that stands must not be asked for again")


def stacked(application: Any, stack: list[str]) -> Any:
    """Put *stack* around *application*, outermost first."""
    for name in reversed(stack):
        application = LAYERS[name](application)
    return application


# -- what must be --


def check(app: App, server: Server, stack: list[str]) -> None:
    """Raise AssertionError where the stack changes what it may not change."""
    if server.closes == 0 and app.raises == "close":
        app = app._replace(raises="")  # it would raise in a finalizer, where nobody hears it
    plain, through = Run(app), Run(app)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        bare = serve(plain, server)
        seen = serve(stacked(through, stack), server)
        if server.closes == 0:
            gc.collect()
            settle()  # as the next request would
    problem = wrong(app, server, stack, bare, seen, through, plain)
    if problem:
        raise AssertionError(
            f"{problem}: {app} at {server} under {stack or 'nothing'}: without {bare}, closed"
            f" {plain.closed} of {plain.opened}; with {seen}, closed {through.closed} of"
            f" {through.opened}"
        )


def wrong(
    app: App,
    server: Server,
    stack: list[str],
    bare: Seen,
    seen: Seen,
    through: Run,
    plain: Run,
) -> str:
    """Say what is wrong, or nothing."""
    if through.closed > max(plain.closed, through.opened):
        return "closed more often than by the server"
    if "guard" in stack and through.closed > through.opened:
        return "closed twice under a guard"
    if server.closes and through.closed < through.opened:
        return "a body was not closed"
    if not server.closes and "guard" in stack and through.closed < through.opened:
        return "a guard left a body that was dropped"
    if through.read_after_close and not (server.reads_on or plain.read_after_close):
        return "read after close"
    if allowed(app, server, stack, bare, seen):
        return ""
    # A cascade may have read the first chunk in the call, and so raises there.
    if bare.error[1] != seen.error[1] or (bare.error != seen.error and "first" not in stack):
        return "another error"
    if bare.error[0] in ("", "close"):
        if bare.status != seen.status:
            return "another status"
        if sorted(without_vary(bare.headers)) != sorted(without_vary(seen.headers)):
            return "other headers"
        if server.reads is None and bare.body != seen.body:
            return "another body"
    return ""


def without_vary(headers: Any) -> list[tuple[str, str]]:
    return [header for header in headers if header[0] != "Vary"]


def allowed(app: App, server: Server, stack: list[str], bare: Seen, seen: Seen) -> bool:
    """Say whether a difference is one that the documentation tells of."""
    if "first" not in stack:
        return False
    error = seen.error[1]
    # hold(): a second call without exc_info is an AssertionError while the response is held.
    if app.again == "plainly" and error == "AssertionError":
        return True
    if app.returns in ("None", "int") and error == "TypeError":
        return True
    # What starts no response in the call is read there up to its first chunk, whether the
    # server wants any or not, and the server told then: of several errors another may be the
    # first.
    theirs = error.startswith(("AppError", "ServerError"))
    if bare.error[1] and theirs:
        return True
    early = app.starts != "call"
    return early and (bool(bare.error[1]) or server.reads is not None) and (theirs or not error)
