"""The command line: arguments in, one call, and errors in a line or two."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, NoReturn

from .errors import FreedomError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 (findings) or 2 (usage)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    # An import string means the project that one stands in, as it does for python -m.
    sys.path.insert(0, os.getcwd())
    signal.signal(signal.SIGTERM, _stop)
    try:
        status: int = options.run(options)
    except FreedomError as error:
        print(f"freedom-middleware: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Who reads has seen enough, as head does; say nothing more when flushing at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(file=sys.stderr)  # after the terminal's own ^C
        return 0
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. Try {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="freedom-middleware",
        description="Put WSGI applications together, and know that every response is closed.",
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {version('freedom-middleware')}"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    serve = commands.add_parser(
        "serve",
        help="serve an application while you work on it",
        description="Serve an application with waitress, while you work on it.",
    )
    serve.add_argument(
        "spec",
        metavar="SPEC",
        help="pkg.mod (its 'application'), pkg.mod:attribute or 'pkg.mod:factory()'",
    )
    _add_address(serve)
    serve.add_argument(
        "--threads",
        type=_whole_number,
        default=4,
        metavar="N",
        help="requests served at the same time (default: 4)",
    )
    serve.add_argument(
        "--reload", action="store_true", help="start anew when a Python file below here changes"
    )
    serve.set_defaults(run=_serve)

    demo = commands.add_parser(
        "demo",
        help="see a middleware lose close(), and CloseGuard repair it",
        description="Start the example site, show what a middleware that loses close() does to"
        " it without and with CloseGuard, and keep serving.",
    )
    _add_address(demo)
    demo.add_argument(
        "--once",
        action="store_true",
        help="end after the show; status 0 only if the figures are right",
    )
    demo.set_defaults(run=_demo)
    return parser


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=_whole_number,
        default=None,
        help="port to listen at; 0 takes any free one (default: 8000)",
    )


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}")
    return int(text)


def _serve(options: argparse.Namespace) -> int:
    from .serve import reloading, serve

    arguments = {
        "host": options.host,
        "port": 8000 if options.port is None else options.port,
        "threads": options.threads,
    }
    run = reloading if options.reload else serve
    return run(options.spec, **arguments)


def _demo(options: argparse.Namespace) -> int:
    from .demo import show

    return show(host=options.host, port=options.port, once=options.once)


def _stop(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(0)
