"""An ASGI application as a WSGI one: a2wsgi carries the messages, this keeps the promises.

Its event loop runs on a thread of its own, one for each application and process.  The
first request starts it, so that a server may load the application before it forks.

What is added to a2wsgi: the lifespan is run; the status is known when the call returns, as
servers want it; a response that is left early cancels the application, so that it
releases what it holds; a request body without Content-Length arrives; errors are logged.
"""

from __future__ import annotations

import atexit
import os
import threading

from .environ import request_line, url_query
from .errors import ApplicationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping
    from typing import Any

    from .wsgi import Body, Environ, StartResponse, WSGIApplication

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

__all__ = ["adapt_asgi"]

SHUTDOWN_SECONDS = 5.0
"""How long the end of the process waits for the application's shutdown."""

READ_BYTES = 65536

_TASK = "freedom_middleware.asgi_task"


def adapt_asgi(target: Any) -> WSGIApplication:
    """Return a WSGI application that serves the ASGI application *target*.

    The lifespan's startup runs before the first request and its shutdown at exit, in each
    process.  An application that does not know the lifespan is served without.

    Raises:
        ApplicationError: a2wsgi is not installed; or, at a request, the startup failed.

    Source: ASGI specification, "Lifespan Protocol" and "HTTP & WebSocket Message Format".
    """
    try:
        import a2wsgi  # noqa: F401 - at construction, so that the deployment finds out
    except ModuleNotFoundError as error:
        raise ApplicationError(
            f"an ASGI application must have a2wsgi to be served over WSGI, got {target!r}"
            " without it: pip install 'freedom-middleware[asgi]'"
        ) from error
    starting = threading.Lock()
    bridge: _Bridge | None = None

    def asgi(environ: Environ, start_response: StartResponse) -> Body:
        nonlocal bridge, starting
        refusal = _refusal(environ)
        if refusal is not None:
            return _refuse(refusal, environ, start_response)
        if bridge is None or bridge.process != os.getpid():
            with starting:
                if bridge is None or bridge.process != os.getpid():
                    bridge = _Bridge(target)
        return bridge.call(environ, start_response)

    def renew_lock() -> None:
        nonlocal starting
        starting = threading.Lock()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew_lock)
    vars(asgi)["wsgi_adapts"] = target
    return asgi


class _Bridge:
    """One application's event loop in one process, and its lifespan."""

    def __init__(self, target: Any) -> None:
        import asyncio

        from a2wsgi import ASGIMiddleware

        self.process = os.getpid()
        self._target = target
        self._state: dict[str, Any] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="freedom-middleware-asgi", daemon=True
        )
        self._thread.start()
        try:
            self._shut_down = self._run(self._start_up())
        except BaseException:
            self._stop_loop()
            raise
        serve: Any = self._serve  # a2wsgi's types name each message
        self._a2wsgi: Any = ASGIMiddleware(serve, loop=self._loop)
        atexit.register(self._finish)

    def _run(self, coroutine: Any, seconds: float | None = None) -> Any:
        import asyncio

        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(seconds)

    async def _start_up(self) -> Callable[[], Awaitable[None]] | None:
        """Run the startup; return what runs the shutdown, None for no lifespan at all."""
        import asyncio

        inbox: asyncio.Queue[Message] = asyncio.Queue()
        outbox: asyncio.Queue[Message] = asyncio.Queue()
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        await inbox.put({"type": "lifespan.startup"})
        lifespan = asyncio.ensure_future(self._target(scope, inbox.get, outbox.put))
        answer = asyncio.ensure_future(outbox.get())
        await asyncio.wait({lifespan, answer}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            if not lifespan.cancelled():
                lifespan.exception()  # the specification's way to say: no lifespan here
            return None
        message = answer.result()
        if message["type"] == "lifespan.startup.failed":
            lifespan.cancel()
            raise ApplicationError(
                f"ASGI application's startup must succeed, got {message.get('message')!r} from"
                f" {self._target!r}"
            )

        async def shut_down() -> None:
            await inbox.put({"type": "lifespan.shutdown"})
            await asyncio.wait({lifespan})
            if not lifespan.cancelled() and lifespan.exception() is not None:
                _log("shutdown of %r raised", self._target, error=lifespan.exception())

        return shut_down

    def _finish(self) -> None:
        if self.process != os.getpid():
            return  # a child inherited the registration, not the loop
        try:
            if self._shut_down is not None:
                self._run(self._shut_down(), SHUTDOWN_SECONDS)
        except TimeoutError:
            _log("shutdown of %r took more than %s s", self._target, SHUTDOWN_SECONDS)
        finally:
            self._stop_loop()

    def _stop_loop(self) -> None:
        try:
            self._run(self._cancel_all(), SHUTDOWN_SECONDS)
        except TimeoutError:
            _log("%r did not end %s s after it was cancelled", self._target, SHUTDOWN_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SHUTDOWN_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    async def _cancel_all(self) -> None:
        import asyncio

        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def call(self, environ: Environ, start_response: StartResponse) -> Body:
        """Serve one request; the status is known when this returns."""
        environ = environ.copy()
        environ["QUERY_STRING"] = url_query(environ.get("QUERY_STRING", ""))
        body = _ASGIBody(self._a2wsgi(environ, start_response), environ, self._loop)
        body.begin()
        return body

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application for one request, as a2wsgi asks."""
        import asyncio

        environ = scope["wsgi_environ"]
        environ[_TASK] = asyncio.current_task()
        if self._state:
            scope["state"] = self._state.copy()
        if _has_unsized_body(environ):
            receive = _unsized(environ["wsgi.input"], receive, self._loop)

        async def send_complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", [])
            await send(message)

        try:
            await self._target(scope, receive, send_complete)
        except Exception as error:
            _log("%s raised in %r", request_line(environ), self._target, error=error)
            raise


class _ASGIBody:
    """The chunks of a2wsgi's generator; closing it cancels what still runs."""

    def __init__(
        self, chunks: Iterator[bytes], environ: Environ, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._chunks = chunks
        self._environ = environ
        self._loop = loop
        self._first: list[bytes] = []

    def begin(self) -> None:
        """Read up to the first chunk, behind which the status is known."""
        try:
            self._first = [next(self._chunks)]
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return self._first.pop() if self._first else next(self._chunks)

    def close(self) -> None:
        """Cancel the application if it has not finished; it releases what it holds."""
        task = self._environ.pop(_TASK, None)
        if task is not None and not task.done():
            self._loop.call_soon_threadsafe(task.cancel)
        self._chunks.close()  # type: ignore[attr-defined]


def _has_unsized_body(environ: Environ) -> bool:
    """Say whether a request body comes without Content-Length, and ends by itself."""
    return not environ.get("CONTENT_LENGTH") and bool(environ.get("wsgi.input_terminated"))


def _unsized(source: Any, receive: Receive, loop: asyncio.AbstractEventLoop) -> Receive:
    """Return a ``receive`` that reads *source* to its end, off the loop's own thread."""
    ended = False

    async def receive_unsized() -> Message:
        nonlocal ended
        if ended:
            return await receive()
        data = await loop.run_in_executor(None, source.read, READ_BYTES)
        ended = not data
        return {"type": "http.request", "body": data, "more_body": not ended}

    return receive_unsized


def _refusal(environ: Environ) -> tuple[str, str] | None:
    """Say why a request cannot be handed to an ASGI application, or None if it can."""
    if environ.get("HTTP_UPGRADE", "").lower() == "websocket":
        return (
            "501 Not Implemented",
            "A WebSocket cannot cross WSGI. Serve this application with an ASGI server.",
        )
    try:
        for key in ("SCRIPT_NAME", "PATH_INFO"):
            environ.get(key, "").encode("latin-1").decode("utf-8")
    except UnicodeError:
        return "400 Bad Request", "The path is not UTF-8."
    length = environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit()):
        return "400 Bad Request", "Content-Length is not a number."
    return None


def _refuse(refusal: tuple[str, str], environ: Environ, start_response: StartResponse) -> Body:
    status, reason = refusal
    page = f"{reason}\n".encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(page)))])
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [page]


def _log(message: str, *values: object, error: BaseException | None = None) -> None:
    import logging

    logging.getLogger("freedom_middleware.asgi").error(message, *values, exc_info=error)
