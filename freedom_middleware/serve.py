"""From an application to a socket, for development.

The server is waitress (extra ``serve``); watchfiles (extra ``reload``) sees what changes.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, Self

from .application import Application
from .errors import OptionError, ServeError
from .terminal import Terminal
from .tree import draw

if TYPE_CHECKING:
    from .application import Target

__all__ = ["Server", "reloading", "serve"]


class Server:
    """Listens at once, and serves when it is told to run.

    The socket is bound at construction, so that an address in use is found before
    anything else happens; leave the ``with`` block to close it.

    Args:
        application: What to serve, in any form that
            :class:`~freedom_middleware.Application` takes.
        host: A name or an address of this machine.
        port: 0 lets the system choose; see ``address``.
        threads: How many requests are served at the same time.

    Attributes:
        address: Where it listens: ``"http://127.0.0.1:8000"``.

    Raises:
        OptionError: *port* or *threads* is not such a number.
        ServeError: waitress is not installed, or the address cannot be listened at.
        ApplicationError, ApplicationTypeError: *application* is not one.
    """

    def __init__(
        self,
        application: Target,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        threads: int = 4,
    ) -> None:
        check_numbers(port, threads)
        try:
            from waitress.server import create_server
            from waitress.wasyncore import close_all, loop
        except ModuleNotFoundError as error:
            raise ServeError(
                "serving must have waitress installed, got none:"
                " pip install 'freedom-middleware[serve]'"
            ) from error
        wsgi = Application(application).wsgi
        listener = listen(host, port)
        self.address = f"http://{address_of(listener, host)}"
        self._server = create_server(wsgi, sockets=[listener], threads=threads)
        self._loop, self._close_all = loop, close_all
        self._stopping = False

    def run(self) -> None:
        """Serve until :meth:`stop` or an exception, then finish what has begun.

        A signal handler that raises, as Ctrl-C does, ends it and leaves through here.
        """
        try:
            while not self._stopping:
                self._loop(timeout=1.0, use_poll=True, map=self._server._map, count=1)
        finally:
            self._server.task_dispatcher.shutdown()

    def stop(self) -> None:
        """End :meth:`run`, from any thread."""
        self._stopping = True
        self._server.pull_trigger()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._close_all(self._server._map)


def serve(spec: str, *, host: str, port: int, threads: int) -> int:
    """Load an application, print its tree and its address, and serve it.

    Returns:
        0, when it was told to stop.

    Raises:
        OptionError, ServeError, ApplicationError, ApplicationTypeError: As :class:`Server`.
    """
    application = Application(spec)
    with Server(application, host=host, port=port, threads=threads) as server:
        print(draw(application, ascii=Terminal.of(sys.stdout).ascii))
        print(f"\n{server.address}/  ({threads} threads; Ctrl-C stops)", flush=True)
        server.run()
    return 0


def reloading(spec: str, *, host: str, port: int, threads: int) -> int:
    """Do as :func:`serve` in a process of its own, anew for each change of a Python file.

    What is below the working directory is watched.  An application that cannot be loaded
    says why, and the next change is waited for.

    Raises:
        ServeError: watchfiles is not installed, or the address cannot be listened at.
    """
    try:
        from watchfiles import PythonFilter, run_process
    except ModuleNotFoundError as error:
        raise ServeError(
            "--reload must have watchfiles installed, got none:"
            " pip install 'freedom-middleware[reload]'"
        ) from error
    with listen(host, port) as listener:
        port = listener.getsockname()[1]  # one address for all the processes to come
    command = [sys.executable, "-m", "freedom_middleware", "serve", spec]
    options = [f"--host={host}", f"--port={port}", f"--threads={threads}"]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As in the background of a script.  It is what ends the process that is replaced.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run_process(
        ".",
        target=shlex.join([*command, *options]),
        target_type="command",
        watch_filter=PythonFilter(),
        callback=_tell_changes,
    )
    return 0


def _tell_changes(changes: set[tuple[Any, str]]) -> None:
    names = sorted({os.path.relpath(path) for _, path in changes})
    print(f"\nchanged: {', '.join(names)}\n", flush=True)


def check_numbers(port: int, threads: int) -> None:
    """Raise :class:`~freedom_middleware.errors.OptionError` for what no server can do."""
    if not 0 <= port <= 65535:
        raise OptionError(f"port must be a number from 0 to 65535, got {port!r}")
    if threads < 1:
        raise OptionError(f"threads must be a number from 1, got {threads!r}")


def address_of(listener: socket.socket, host: str) -> str:
    """Return ``HOST:PORT`` as a URL has it, with the host as it was asked for."""
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{listener.getsockname()[1]}"


def listen(host: str, port: int) -> socket.socket:
    """Listen at once.

    Raises:
        ServeError: The address is in use, or not of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address, family=family)
    except (OSError, UnicodeError) as error:
        # create_server() repeats the address behind the system's own words.
        reason = getattr(error, "strerror", None) or str(error)
        raise ServeError(
            f"address must be free and of this machine, got {host}:{port}:"
            f" {reason.partition(' (while')[0]}. Choose another with --port (0: any free one)"
            " and --host"
        ) from error
