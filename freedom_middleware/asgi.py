"""An ASGI application as a WSGI one: a2wsgi carries the messages, this keeps the promises.

Its event loop runs on a thread of its own, one for each application and process.  The
first request starts it, so that a server may load the application before it forks.

What is added to a2wsgi: the lifespan is run; the status is known when the call returns, as
servers want it; a response that is left early cancels the application, so that it
releases what it holds; a request body without Content-Length arrives, and one that ends
early ends; an answer that ends early is an error; errors are logged.

a2wsgi waits for messages, without end, and takes an application that ended for an answer
that did.  So it sees each answer end by a message, and is told of no exception.
"""

from __future__ import annotations

import atexit
import os
import sys
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

_PROGRESS = "freedom_middleware.asgi_progress"


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
            target=self._run_loop, name="freedom-middleware-asgi", daemon=True
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

    def _run_loop(self) -> None:
        """Run the loop until it is stopped, whatever a task of the application raises.

        asyncio lets SystemExit and KeyboardInterrupt end the loop, and whoever waits for it
        would wait for ever.
        """
        while True:
            try:
                return self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as error:
                _log("a task of %r raised, which ends it alone", self._target, error=error)

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
        lifespan = asyncio.ensure_future(self._call(scope, inbox.get, outbox.put))
        answer = asyncio.ensure_future(outbox.get())
        await asyncio.wait({lifespan, answer}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            error = None if lifespan.cancelled() else lifespan.exception()
            if isinstance(error, _Exit):
                raise ApplicationError(
                    f"ASGI application's startup must succeed, got {error.__cause__!r} from"
                    f" {self._target!r}"
                )
            # An exception is the specification's way to say: no lifespan here.
            if error is not None and inbox.empty():
                _log("startup of %r raised; it is served without", self._target, error=error)
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
            while not outbox.empty():
                message = outbox.get_nowait()
                if message["type"] == "lifespan.shutdown.failed":
                    _log("shutdown of %r failed: %s", self._target, message.get("message"))

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
        progress = environ[_PROGRESS] = _Progress()
        body = _ASGIBody(self._a2wsgi(environ, start_response), progress, self._loop)
        body.begin(environ, start_response)
        return body

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application for one request, as a2wsgi asks."""
        import asyncio

        environ = scope["wsgi_environ"]
        progress: _Progress = environ[_PROGRESS]
        task = progress.task = asyncio.current_task()
        assert task is not None
        if self._state:
            scope["state"] = self._state.copy()
        if _has_unsized_body(environ):
            receive = _unsized(environ["wsgi.input"], receive, self._loop)
        receive = _ending(receive, progress)
        try:
            await self._call(scope, receive, _in_order(send, progress))
            if not progress.is_complete:
                raise RuntimeError(
                    f"ASGI application must end its response, and returned {progress}"
                )
        except asyncio.CancelledError as error:
            if task.cancelling():
                raise
            progress.failure = RuntimeError(
                f"ASGI application must end its response, and cancelled itself {progress}"
            )
            progress.failure.__cause__ = error
        except Exception as error:  # noqa: BLE001 - raised to the server, unless it is late
            progress.failure = error
        if progress.failure is None:
            return
        request = request_line(environ)
        _log("%s raised in %r", request, self._target, error=progress.failure)
        if not progress.is_complete and not task.cancelling():
            await send({"type": "http.response.body"})

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, which cannot end the process from here."""
        try:
            await self._target(scope, receive, send)
        except (SystemExit, KeyboardInterrupt) as error:
            raise _Exit(f"ASGI application must not end the process, got {error!r}") from error


class _Exit(RuntimeError):
    """SystemExit or KeyboardInterrupt, as it may pass through an event loop."""


class _Progress:
    """How far the answer to one request is, written by the loop's thread.

    Attributes:
        task: What runs the application.
        is_started: Whether status and headers were sent.
        is_complete: Whether the last chunk was sent.
        failure: What the application raised.
    """

    __slots__ = ("failure", "is_complete", "is_started", "task")

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.is_started = self.is_complete = False
        self.failure: Exception | None = None

    def __str__(self) -> str:
        if self.is_complete:
            return "after the last"
        return "after the start" if self.is_started else "before the start"


def _in_order(send: Send, progress: _Progress) -> Send:
    """Return a ``send`` that takes no message out of order; a2wsgi waits for ever on some."""

    async def send_in_order(message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and not progress.is_started:
            progress.is_started = True
            message.setdefault("headers", [])
        elif kind == "http.response.body" and progress.is_started and not progress.is_complete:
            progress.is_complete = not message.get("more_body", False)
        else:
            raise RuntimeError(
                "ASGI application must send 'http.response.start', then 'http.response.body' up"
                f" to the last, got {kind!r} {progress}"
            )
        await send(message)

    return send_in_order


class _ASGIBody:
    """The chunks of a2wsgi's generator; closing it cancels what still runs."""

    def __init__(
        self, chunks: Iterator[bytes], progress: _Progress, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._chunks = chunks
        self._progress = progress
        self._loop = loop
        self._first: list[bytes] = []

    def begin(self, environ: Environ, start_response: StartResponse) -> None:
        """Read up to the first chunk, behind which the status is known."""
        try:
            chunk = next(self._chunks)
            failure = self._failure()
            if failure is not None and not chunk:
                chunk = self._apologize(failure, environ, start_response)
            self._first = [chunk]
        except BaseException:
            self.close()
            raise

    def _failure(self) -> Exception | None:
        """Return what cut the answer off, if anything did."""
        return None if self._progress.is_complete else self._progress.failure

    def _apologize(
        self, failure: Exception, environ: Environ, start_response: StartResponse
    ) -> bytes:
        """Answer 500 instead of what failed before its first byte."""
        page = b"Server got itself in trouble"
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(page)))]
        try:
            raise failure
        except Exception:  # noqa: BLE001 - which the application may have begun an answer with
            start_response("500 Internal Server Error", headers, sys.exc_info())
        self.close()
        self._progress.failure = None
        return b"" if environ.get("REQUEST_METHOD") == "HEAD" else page

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._first:
            return self._first.pop()
        try:
            return next(self._chunks)
        except StopIteration:
            failure = self._failure()
            if failure is None:
                raise
        raise failure  # or half an answer would look like a whole one

    def close(self) -> None:
        """Cancel the application if it has not finished; it releases what it holds."""
        task, self._progress.task = self._progress.task, None
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


def _ending(receive: Receive, progress: _Progress) -> Receive:
    """Return a ``receive`` that ends with the request, and with the answer.

    a2wsgi counts up to Content-Length, and gives nothing for ever when less than that comes;
    and it answers nobody any more once it has the last chunk.
    """

    async def receive_to_end() -> Message:
        if progress.is_complete:
            return {"type": "http.disconnect"}
        message = await receive()
        if message.get("more_body") and not message["body"]:
            return {"type": "http.disconnect"}
        return message

    return receive_to_end


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
