"""The command line: arguments in, one call, and errors in a line or two."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from importlib.metadata import version
from io import TextIOWrapper
from typing import TYPE_CHECKING, NoReturn

from .errors import FreedomError, OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .terminal import Terminal
    from .wsgi import WSGIApplication

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 (findings) or 2 (usage).

    What is stopped by a signal has the status that a shell gives it, but for what serves
    until it is stopped.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = _parser()
    options = _parse(parser, arguments)
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
    except _Terminated:
        return 0 if _serves(options) else 128 + signal.SIGTERM
    except KeyboardInterrupt:
        print(file=sys.stderr)  # after the terminal's own ^C
        return 0 if _serves(options) else 128 + signal.SIGINT
    return status


def _serves(options: argparse.Namespace) -> bool:
    """Say whether a command does nothing but serve, and so is done when it is stopped."""
    return options.run is _serve or (options.run is _demo and not options.once)


def _parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> argparse.Namespace:
    options, left = parser.parse_known_args(arguments)
    if "url" in options and options.spec is None and len(left) == 1 and left[0][:1] != "-":
        # Where an option stands between them, argparse has taken SPEC for the URL.
        options.spec, options.url, left = options.url, left[0], []
    if left:
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    return options


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
    _add_spec(serve)
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
    serve.add_argument(
        "--protocol",
        choices=("http", "fastcgi"),
        default="http",
        help="what to speak; fastcgi is for a web server in front (default: http)",
    )
    serve.add_argument(
        "--unix", metavar="PATH", help="with fastcgi: listen at a Unix socket instead"
    )
    serve.set_defaults(run=_serve)

    routes = commands.add_parser(
        "routes",
        help="show what an application is composed of",
        description="Show the tree of an application: which applications it is composed of,"
        " and the layers around them.",
    )
    _add_spec(routes)
    _add_json(routes)
    routes.set_defaults(run=_routes)

    explain = commands.add_parser(
        "explain",
        help="say which application gets a URL, and what it sees",
        description="Say which application a request comes to, why, and what it sees of the"
        " path. No application is called.",
    )
    _add_spec(explain)
    explain.add_argument(
        "url", metavar="URL", help="'/shop/cart?x=1', or 'https://shop.example/cart'"
    )
    explain.add_argument(
        "--method", default="GET", metavar="M", help="request method (default: %(default)s)"
    )
    explain.add_argument(
        "--header",
        type=_header,
        action="append",
        default=[],
        dest="headers",
        metavar="'NAME: VALUE'",
        help="a header of the request; may be given more than once",
    )
    _add_json(explain)
    explain.set_defaults(run=_explain)

    check = commands.add_parser(
        "check",
        help="name the layer that loses close()",
        description="Name the layers of an application that lose, repeat or misplace close()."
        " Each is driven alone; no innermost application is called, but by --real.",
    )
    _add_spec(check)
    check.add_argument(
        "--path",
        type=_path,
        action="append",
        default=[],
        dest="paths",
        metavar="P",
        help="a path to ask for (default: /); may be given more than once",
    )
    check.add_argument(
        "--real",
        action="append",
        type=_path,
        default=[],
        metavar="P",
        help="call the real application for this path as well, whatever that does; may be"
        " given more than once",
    )
    check.add_argument(
        "--guarded", action="store_true", help="put CloseGuard inside each layer first"
    )
    check.add_argument(
        "--format",
        choices=("text", "json", "sarif", "junit"),
        help="how to say what was found (default: as FILE is called, else text)",
    )
    check.add_argument(
        "--output", metavar="FILE", help="write the format to a file, and print the text"
    )
    check.add_argument(
        "--fix",
        action="store_true",
        help="propose where to put CloseGuard, as a diff that was checked",
    )
    check.add_argument("--yes", action="store_true", help="with --fix: write it")
    check.add_argument("--json", action="store_true", help="short for --format json")
    check.set_defaults(run=_check)

    help_ = commands.add_parser(
        "help",
        help="explain a finding",
        description="Explain a kind of finding: what it means, what it costs, how to fix it in"
        " the layer, and how to guard it. Without a name: list them.",
    )
    help_.add_argument("finding", nargs="?", metavar="FINDING", help="such as close-lost")
    help_.set_defaults(run=_help)

    project = commands.add_parser(
        "startproject",
        help="make a Freedom project whose application is composed",
        description="Make a project as the framework's own startproject does, with an"
        " application that is guarded and ready for mounts.",
    )
    project.add_argument("name", metavar="NAME", help="the name of the project")
    project.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        help="a folder that exists, to put it into (default: a new one called NAME)",
    )
    project.set_defaults(run=_startproject)

    adopt = commands.add_parser(
        "adopt",
        help="guard an existing Freedom project, and make it ready for mounts",
        description="Show how a project's wsgi.py is to be changed, and change it when you"
        " agree. A file that is not understood is left as it is.",
    )
    adopt.add_argument(
        "file", metavar="FILE", nargs="?", help="the wsgi.py (default: the one below here)"
    )
    adopt.add_argument("--yes", action="store_true", help="change it without asking")
    adopt.set_defaults(run=_adopt)

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


def _add_spec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "spec",
        nargs="?",
        metavar="SPEC",
        help="pkg.mod (its 'application'), pkg.mod:attribute or 'pkg.mod:factory()';"
        " by default what the working directory holds",
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


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


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (colon and name.strip()):
        raise argparse.ArgumentTypeError(f"must be 'Name: value', got {text!r}")
    return name.strip(), value.strip()


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"must start with '/', got {text!r}")
    return text


def _serve(options: argparse.Namespace) -> int:
    from .serve import reloading, serve

    arguments = {
        "host": options.host,
        "port": 8000 if options.port is None else options.port,
        "threads": options.threads,
    }
    if options.protocol == "fastcgi":
        from .fastcgi import serve_fastcgi

        if options.reload:
            raise OptionError("--reload must be used with --protocol http, got fastcgi")
        return serve_fastcgi(_spec(options), **arguments, unix=options.unix)
    if options.unix is not None:
        raise OptionError("--unix must be used with --protocol fastcgi, got http")
    run = reloading if options.reload else serve
    return run(_spec(options), **arguments)


def _routes(options: argparse.Namespace) -> int:
    from .routes import to_dict, to_text

    application = _load(_spec(options))
    _print(
        options, lambda: to_dict(application), lambda terminal: to_text(application, terminal)
    )
    return 0


def _explain(options: argparse.Namespace) -> int:
    from .dispatch.explaining import explain

    if options.spec is None and not options.url.startswith(("/", "http://", "https://")):
        raise OptionError(
            f"explain must have a URL after SPEC, got {options.url!r} alone, which is none:"
            " a URL starts with '/', 'http://' or 'https://'"
        )
    explanation = explain(
        _load(_spec(options)), options.url, method=options.method, headers=options.headers
    )
    _print(options, explanation.to_dict, explanation.text)
    return 0


def _check(options: argparse.Namespace) -> int:
    from functools import partial

    from .freedom import checks
    from .guard import CloseGuard
    from .leaks.command import Also, Asked, format_of, run

    def also(application: WSGIApplication) -> Also:
        problems = checks.of_process(application)
        return Also(
            {"system_checks": [problem._asdict() for problem in problems]},
            partial(checks.to_text, problems),
        )

    spec = _spec(options)
    asked = Asked(
        spec,
        paths=options.paths or ["/"],
        inside=CloseGuard if options.guarded else None,
        real=options.real,
        format="json" if options.json else format_of(options.format, options.output),
        output=options.output,
        fix=options.fix,
        yes=options.yes,
        also=also,
    )
    return run(_load(spec), asked)


def _help(options: argparse.Namespace) -> int:
    from .leaks.help import list_pages, show_page
    from .terminal import Terminal

    terminal = Terminal.of(sys.stdout)
    print(show_page(options.finding, terminal) if options.finding else list_pages(terminal))
    return 0


def _spec(options: argparse.Namespace) -> str:
    """Return the import string that was given, or the one that the folder stands for."""
    if options.spec:
        return str(options.spec)
    from pathlib import Path

    from .project import find

    found = find(Path.cwd())
    print(f"{found.spec} ({found.reason})", file=sys.stderr)
    return found.spec


def _startproject(options: argparse.Namespace) -> int:
    from .freedom.startproject import startproject

    # The framework refuses the name of whatever can be imported, which our folder here is.
    sys.path[:] = [path for path in sys.path if path != os.getcwd()]
    folder = startproject(options.name, options.folder)
    print(f"{folder / options.name / 'wsgi.py'}: the application, ready for mounts. Next:\n")
    if folder.resolve() != folder.cwd():
        print(f"  cd {shlex.quote(str(folder))}")
    print("  python manage.py migrate\n  python manage.py runserver")
    return 0


def _adopt(options: argparse.Namespace) -> int:
    from .freedom.adopt import adopt, find_wsgi
    from .terminal import confirmed

    change = adopt(options.file or find_wsgi())
    if change.before == change.after:
        print(f"{change.path}: has a CloseGuard already; nothing to do")
        return 0
    print(change.diff())
    if not (options.yes or confirmed("Change it?")):
        hint = "" if sys.stdin.isatty() else ": --yes changes it"
        print(f"Nothing was changed{hint}.", file=sys.stderr)
        return 1
    change.write()
    print(f"{change.path}: changed. Mounts go into the braces: {{'/shop': 'shop:app'}}")
    return 0


def _load(spec: str) -> WSGIApplication:
    """Return what *spec* names: itself, where something stands around others."""
    from contextlib import redirect_stdout

    from .application import Application
    from .tree import adapted, children_of

    with redirect_stdout(sys.stderr):  # what somebody's module prints is no part of ours
        application = Application(spec)
    inner: WSGIApplication = adapted(application)
    return inner if children_of(application) else application


def _print(
    options: argparse.Namespace,
    to_dict: Callable[[], dict[str, Any]],
    to_text: Callable[[Terminal], str],
) -> None:
    """Print for a program, or for people as well as their terminal can show it."""
    import json

    from .terminal import Terminal

    if options.json:
        print(json.dumps(to_dict(), indent=2))
        return
    print(to_text(Terminal.of(sys.stdout)))


def _demo(options: argparse.Namespace) -> int:
    from .demo import show

    return show(host=options.host, port=options.port, once=options.once)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as Ctrl-C: a SystemExit would be taken for that of a module being loaded."""


def _stop(_signal: int, _frame: object) -> NoReturn:
    raise _Terminated
