"""From an application to a FastCGI socket, behind nginx, Apache or lighttpd.

What ``manage.py runfcgi`` was.  flipflop (extra ``fastcgi``) speaks the protocol and the
standard library's ``wsgiref`` calls the application; the listening, the threads and what
becomes of a response that fails in the middle are done here.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
import stat
import sys
import threading
import time
from contextlib import suppress
from itertools import chain
from selectors import EVENT_READ, PollSelector
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast
from wsgiref.handlers import BaseCGIHandler

from .application import Application
from .errors import ServeError
from .serve import address_of, check_numbers, listen
from .terminal import Terminal
from .tree import draw

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

    from .application import Target

__all__ = ["FastCGIServer", "serve_fastcgi"]

logger = logging.getLogger("freedom_middleware.fastcgi")

RECORD_BYTES = 65528
"""The longest content of a record that needs no padding."""

_DEFAULTS = {
    "SCRIPT_NAME": "",
    "PATH_INFO": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.0",
}
"""What PEP 3333 demands, and a web server's configuration may leave out."""

_ENDS_LINE = re.compile("[\r\n\0]")

STOP_SECONDS = 5.0
"""How long requests that have begun may take to end when the server stops."""


class FastCGIServer:
    """Listens at once, and serves FastCGI when it is told to run.

    It is for a web server in front: it speaks no HTTP, and whoever reaches its address is
    believed whatever they say of a request.  So listen at a loopback address, or at a
    *unix* socket, which also says who may connect.

    A response that fails before its first byte is a 500.  One that fails later is cut off,
    so that the web server, and through it the client, can tell that something is missing.
    Either is logged, to ``freedom_middleware.fastcgi`` and to the web server's error log.

    Args:
        application: What to serve, in any form that
            :class:`~freedom_middleware.Application` takes.
        host: A name or an address of this machine.
        port: 0 lets the system choose; see ``address``.
        unix: A path to listen at, instead of *host* and *port*.  A socket that is left
            there, and that nobody listens at any more, is replaced.  The umask decides who
            may connect.
        threads: How many requests are served at the same time; others wait.

    Attributes:
        address: Where it listens: ``"127.0.0.1:8000"`` or ``"unix:/run/mysite.sock"``, as
            nginx's ``fastcgi_pass`` wants it.

    Raises:
        OptionError: *port* or *threads* is not such a number.
        ServeError: flipflop is not installed, or the address cannot be listened at.
        ApplicationError, ApplicationTypeError: *application* is not one.
    """

    def __init__(
        self,
        application: Target,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        unix: str | None = None,
        threads: int = 4,
    ) -> None:
        check_numbers(port, threads)
        self._connection = _connection(Application(application))
        self._unix = unix
        self._listener = listen(host, port) if unix is None else _listen_unix(unix)
        # All the threads wait for it, and the one that is first gets the connection.
        self._listener.setblocking(False)
        self._stopped, self._stop = socket.socketpair()
        self.address = address_of(self._listener, host) if unix is None else f"unix:{unix}"
        self._threads = [
            threading.Thread(target=self._work, name=f"fastcgi {number}", daemon=True)
            for number in range(1, threads + 1)
        ]

    def run(self) -> None:
        """Serve until :meth:`stop` or an exception, then finish what has begun.

        A signal handler that raises, as Ctrl-C does, ends it and leaves through here.
        """
        try:
            for thread in self._threads:
                thread.start()
            # Not by join(): a signal handler that raises in there has CPython 3.11 and 3.12
            # take a thread that is running for one that has ended.
            self._stopped.recv(1, socket.MSG_PEEK)
        finally:
            self.stop()
            deadline = time.monotonic() + STOP_SECONDS
            for thread in self._threads:
                if thread.ident is not None:
                    thread.join(max(0.0, deadline - time.monotonic()))

    def stop(self) -> None:
        """End :meth:`run`, from any thread."""
        with suppress(OSError):  # it has ended
            self._stop.send(b".")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listener.close()
        self._stop.close()
        self._stopped.close()
        if self._unix is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._unix)

    def _work(self) -> None:
        """Serve one connection after the other; each is a thread's own until it ends."""
        with PollSelector() as selector:  # which takes no file descriptor
            selector.register(self._stopped, EVENT_READ)
            selector.register(self._listener, EVENT_READ)
            while self._stopped not in [key.fileobj for key, _ in selector.select()]:
                try:
                    client, _ = self._listener.accept()
                except (BlockingIOError, ConnectionAbortedError):
                    continue  # another thread was faster, or the web server has gone
                except OSError:
                    logger.exception("no connection could be accepted")
                    time.sleep(0.1)  # no more file descriptors: some may be given back
                    continue
                with client:
                    client.setblocking(True)
                    if self._unix is None:  # or each record waits for the one before
                        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
                    try:
                        self._connection(client).run()
                    except BrokenPipeError:
                        pass  # the web server has gone
                    except Exception:  # what speaks to us may not speak FastCGI
                        logger.exception("a connection failed")


class _Handler(BaseCGIHandler):
    """The standard library's side of PEP 3333, between an application and two streams."""

    if not TYPE_CHECKING:
        os_environ: ClassVar = {}  # what the process has is not the request's

    _begun = _closing = False
    cut = False
    """Whether the answer broke off, and does not look so."""

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """Refuse what would be another header, or the end of them, to the web server."""
        try:
            write = super().start_response(status, headers, exc_info)
        finally:
            exc_info = None  # PEP 3333: a traceback refers to this frame
        for text in (status, *chain.from_iterable(headers)):
            if _ENDS_LINE.search(text):
                raise AssertionError(
                    f"status and headers must be without line breaks, got {text!r}"
                )
        return write

    def write(self, data: bytes) -> None:
        """Send nothing for an empty chunk: the headers wait for one that is not (PEP 3333)."""
        if data != b"":
            super().write(data)

    def log_exception(self, exc_info: Any) -> None:
        """Tell our log, and the web server's."""
        logger.error("a request failed", exc_info=exc_info)
        super().log_exception(exc_info)

    def handle_error(self) -> None:
        """Answer 500, unless an answer has begun.

        ``headers_sent`` does not tell: it is reset before what ``close()`` raised comes here.
        """
        if self._begun:
            self.log_exception(sys.exc_info())
            self.cut = not self._closing
        else:
            super().handle_error()

    def close(self) -> None:
        self._closing = True
        super().close()

    def _write(self, data: bytes) -> None:
        self._begun = True
        super()._write(data)


def _connection(application: Application) -> Callable[[socket.socket], Any]:
    """Return what serves one connection of a web server."""
    try:
        import flipflop
    except ModuleNotFoundError as error:
        raise ServeError(
            "serving FastCGI must have flipflop installed, got none:"
            " pip install 'freedom-middleware[fastcgi]'"
        ) from error

    class Gateway:
        """What flipflop calls the server: it asks for answers, and sends what ends them."""

        capability: ClassVar = {flipflop.FCGI_MPXS_CONNS: 0}
        maxwrite = RECORD_BYTES

        def handler(self, request: Any) -> tuple[int, int]:
            if request.role != flipflop.FCGI_RESPONDER:
                return flipflop.FCGI_UNKNOWN_ROLE, 0
            # One connection for each request: kept ones, if nobody spoke on them, would keep
            # all the threads.
            request.flags &= ~flipflop.FCGI_KEEP_CONN
            handler = _Handler(
                request.stdin,
                cast("IO[bytes]", Output(request)),
                request.stderr,
                _DEFAULTS | request.params,
                multithread=True,
                multiprocess=False,
            )
            handler.run(application.wsgi)
            if handler.cut:
                # Its end would make what was sent look complete.  So does the end of the
                # connection, to nginx; a record of no version of the protocol does not.
                with suppress(OSError):
                    request._conn._sock.sendall(bytes(flipflop.FCGI_HEADER_LEN))
                    request._conn._sock.shutdown(socket.SHUT_RDWR)
            return flipflop.FCGI_REQUEST_COMPLETE, 0

    class Output:
        """Where an answer goes; flipflop's own copies what is left for each record."""

        def __init__(self, request: Any) -> None:
            self._request = request

        def write(self, data: bytes) -> None:
            self._request.stdout.data_written = True  # so its end is sent as well
            view = memoryview(data)
            for begin in range(0, len(view), RECORD_BYTES):
                record = flipflop.Record(flipflop.FCGI_STDOUT, self._request.request_id)
                record.content_data = view[begin : begin + RECORD_BYTES]
                record.content_length = len(record.content_data)
                self._request._conn.write_record(record)

        def flush(self) -> None:
            """Do nothing: all that was written has been sent."""

    class Connection(flipflop.Connection):  # type: ignore[misc]
        def write_record(self, record: Any) -> None:
            try:
                super().write_record(record)
            except OSError as error:
                # The only form in which flipflop knows that the web server has gone.
                raise BrokenPipeError(errno.EPIPE, "the web server has gone") from error

    gateway = Gateway()
    return lambda client: Connection(client, None, gateway)


def _listen_unix(path: str) -> socket.socket:
    if not path:
        # Linux takes it for an abstract socket, which everybody on the machine may connect to.
        raise ServeError("unix socket must be a path where nobody listens, got ''")
    listener = socket.socket(socket.AF_UNIX)
    try:
        _remove_stale(path)
        listener.bind(path)
        listener.listen()
    except OSError as error:
        listener.close()
        raise ServeError(
            f"unix socket must be a path where nobody listens, got {path!r}:"
            f" {error.strerror or error}"
        ) from error
    return listener


def _remove_stale(path: str) -> None:
    """Remove the socket at *path*, if there is one and nobody listens at it."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    except FileNotFoundError:
        pass


def serve_fastcgi(spec: str, *, host: str, port: int, unix: str | None, threads: int) -> int:
    """Load an application, print its tree and its address, and serve FastCGI.

    Returns:
        0, when it was told to stop.

    Raises:
        OptionError, ServeError, ApplicationError, ApplicationTypeError: As
            :class:`FastCGIServer`.
    """
    application = Application(spec)
    with FastCGIServer(application, host=host, port=port, unix=unix, threads=threads) as server:
        print(draw(application, ascii=Terminal.of(sys.stdout).ascii))
        print(f"\nFastCGI at {server.address}  ({threads} threads; Ctrl-C stops)", flush=True)
        server.run()
    return 0
