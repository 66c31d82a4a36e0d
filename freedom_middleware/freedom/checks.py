"""What in a project defeats its composition: the system checks.

They run in ``manage.py check`` and ``runserver`` of a project that has
``"freedom_middleware.freedom"`` among its ``INSTALLED_APPS``, and in
``freedom-middleware check``.  Each is told of in docs/system-checks.md.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from os.path import isfile
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, NamedTuple

from ..application import Application
from ..cookies import collisions, is_site, owner_of, placed
from ..errors import FreedomError
from ..settings import PACKAGES, framework
from ..terminal import PLAIN, printable, wrapped
from ..tree import adapted, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..terminal import Terminal
    from ..tree import Node
    from ..wsgi import WSGIApplication

__all__ = ["Problem", "of_closing", "of_process", "of_settings", "register", "to_text"]


class Problem(NamedTuple):
    """Something that defeats a composition.

    Attributes:
        id: Its name, to be silenced by: ``"freedom_middleware.W001"``.
        text: What is, and what comes of it.
        hint: What to do.
    """

    id: str
    text: str
    hint: str


def _problem(number: int, text: str, hint: str) -> Problem:
    return Problem(
        f"freedom_middleware.W{number:03}",
        text,
        f"{hint} See docs/system-checks.md#w{number:03}",
    )


def of_settings(application: WSGIApplication, settings: Any) -> Iterator[Problem]:
    """Yield what is wrong between *application* and the settings of the site in it."""
    places = [(prefix, node) for prefix, _, node in placed(application)]
    sites = _sites(places)
    yield from _forced(sites, settings)
    for collision in collisions(application):
        text = (
            f"Cookie {collision.cookie!r}: {collision.first} and {collision.second}"
            f" {collision.effect}."
        )
        if collision.same_secret:
            text += " Their SECRET_KEY is the same: each takes the other's session for its own."
        yield _problem(2, text, f"{collision.fix[:1].upper()}{collision.fix[1:]}.")
    for name in ("STATIC_URL", "MEDIA_URL"):
        yield from _files(places, sites, name, settings)


def of_closing(application: WSGIApplication) -> Iterator[Problem]:
    """Yield the layers of *application* that lose ``close()``: each is driven to see it."""
    from ..leaks import check

    report = check(application)
    for label, findings in report.culprits.items():
        ids = ", ".join(dict.fromkeys(finding.id for finding in findings))
        yield _problem(
            5,
            f"Middleware {label} does not close responses as it should: {ids}.",
            f"Put a CloseGuard inside it: {label}(CloseGuard(application)).",
        )


def of_process(application: WSGIApplication) -> list[Problem]:
    """Return what is wrong with *application*, if the site of this process is in it.

    What ``SILENCED_SYSTEM_CHECKS`` names is left out.
    """
    if not _sites([(prefix, node) for prefix, _, node in placed(application)]):
        return []
    settings = _settings()
    found = [*of_settings(application, settings)]
    named = settings.WSGI_APPLICATION
    if named:
        served = _load(named)
        if isinstance(served, Problem):
            found.append(served)
        elif adapted(served) is not adapted(application):
            found.append(
                _problem(
                    4,
                    f"WSGI_APPLICATION = {named!r} is another application than this one:"
                    " runserver serves that.",
                    "Let it name this one.",
                )
            )
    silenced = settings.SILENCED_SYSTEM_CHECKS
    return [problem for problem in found if problem.id not in silenced]


def to_text(problems: list[Problem], terminal: Terminal = PLAIN) -> str:
    """Return *problems* as people read them in a terminal."""
    width = min(terminal.columns or 80, 80)
    lines = []
    for problem in problems:
        lines += ["", terminal.paint(problem.id, "warning")]
        for text in (problem.text, problem.hint):
            lines += [f"  {line}" for line in wrapped(printable(text), width - 2)]
    return "".join(f"\n{line}" for line in lines)


def register() -> None:
    """Add the checks to those of the framework, under the tag ``wsgi``.

    Driving the layers is left to ``check --deploy``.
    """
    checks = import_module(f"{framework()}.core.checks")
    checks.register(_composition, "wsgi")
    checks.register(_closing, "wsgi", deploy=True)


def _composition(**_: object) -> list[Any]:
    return _as_warnings(_of_project(_settings()))


def _closing(**_: object) -> list[Any]:
    named = _settings().WSGI_APPLICATION
    served = _load(named) if named else None
    if served is None or isinstance(served, Problem):
        return []  # which the other check tells of
    return _as_warnings(of_closing(served))


def _settings() -> Any:
    return import_module(f"{framework()}.conf").settings


def _as_warnings(problems: Iterable[Problem]) -> list[Any]:
    checks = import_module(f"{framework()}.core.checks")
    return [checks.Warning(text, hint=hint, id=name) for name, text, hint in problems]


def _of_project(settings: Any) -> Iterator[Problem]:
    named = settings.WSGI_APPLICATION
    if not named:
        yield _problem(
            4,
            "WSGI_APPLICATION is not set: runserver serves the site without what is mounted"
            " beside it.",
            "Name the composed application: 'mysite.wsgi.application'.",
        )
        return
    served = _load(named)
    if isinstance(served, Problem):
        yield served
        return
    if not any(_is_ours(node.application) for node in walk(served)):
        yield _problem(
            4,
            f"WSGI_APPLICATION = {named!r} is not composed: no CloseGuard and no Mount is in"
            " it.",
            "Run 'freedom-middleware adopt', or name the composed application.",
        )
    yield from of_settings(served, settings)


def _load(named: Any) -> WSGIApplication | Problem:
    """Return what WSGI_APPLICATION names, as runserver would load it."""
    module, _, attribute = named.rpartition(".") if isinstance(named, str) else ("", "", "")
    if not module or ":" in named:
        return _unloaded(named, "it must be text with a dot before the attribute")
    try:
        return Application(f"{module}:{attribute}").wsgi
    except FreedomError as error:
        _watch(error)
        if _is_module(named):
            return _unloaded(named, "it is the name of a module, without an attribute")
        return _unloaded(named, str(error), "Mend what it names.")


def _unloaded(
    named: object, why: str, hint: str = "Write it like 'mysite.wsgi.application'."
) -> Problem:
    end = "" if why.endswith(("?", ".")) else "."
    return _problem(6, f"WSGI_APPLICATION = {named!r} cannot be loaded: {why}{end}", hint)


def _is_module(dotted: str) -> bool:
    """Say whether there is a module of that name, in a package that is imported."""
    package = sys.modules.get(dotted.rpartition(".")[0])
    return hasattr(package, "__path__") and find_spec(dotted) is not None


def _watch(error: BaseException | None) -> None:
    """Have runserver start anew when a file that *error* came through is mended.

    It watches the modules that are loaded, and what failed is not.  It knows this itself of
    the file where an error ends, which here is one of its own: it wraps an ImportError.
    """
    watched: list[str] | None = getattr(
        import_module(f"{framework()}.utils.autoreload"), "_error_files", None
    )
    while error is not None and watched is not None:
        files = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
        if isinstance(error, SyntaxError) and error.filename:
            files.append(error.filename)
        watched += [file for file in files if file not in watched and isfile(file)]
        error = error.__cause__ or error.__context__


def _is_ours(application: Any) -> bool:
    return str(getattr(application, "__module__", "")).startswith("freedom_middleware.")


def _sites(places: list[tuple[str, Node]]) -> list[str]:
    """Return the prefixes under which the site of this process stands."""
    return [
        prefix
        for prefix, node in places
        if any(is_site(owner_of(node.application), name) for name in PACKAGES)
    ]


def _forced(sites: list[str], settings: Any) -> Iterator[Problem]:
    forced = settings.FORCE_SCRIPT_NAME
    if forced is None:
        return
    wrong = [p for p in sites if p != forced.rstrip("/")]
    if wrong:
        yield _problem(
            1,
            f"FORCE_SCRIPT_NAME = {forced!r} wins over where the site is mounted, which is at"
            f" {wrong[0] or '/'}: every URL that it makes begins with the wrong prefix.",
            "Take it away: the server and the mounts say what SCRIPT_NAME is.",
        )


def _files(
    places: list[tuple[str, Node]], sites: list[str], name: str, settings: Any
) -> Iterator[Problem]:
    """Yield what becomes of the site's files, whose URLs begin with one setting."""
    # The settings themselves put the prefix of the moment in front, and keep it for good.
    url = getattr(settings._wrapped, name) or ""
    if not sites or "//" in url or not url:
        return
    path = f"{sites[0]}/{url}" if url[:1] != "/" else url
    path = path.rstrip("/")
    covering = [prefix for prefix, _ in places if f"{path}/".startswith(f"{prefix}/")]
    owner = max(covering, key=len)
    if owner != path and owner not in sites:
        yield _problem(
            3,
            f"{name} = {url!r} is below the mount {owner or '/'}: the site's files are asked"
            " of what is mounted there.",
            f"Move it below the site, or mount a folder at {path}.",
        )
    for prefix in dict.fromkeys(prefix for prefix, _ in places):
        if name == "STATIC_URL" and prefix.startswith(f"{path}/"):
            yield _problem(
                3,
                f"The mount {prefix} is below {name} = {url!r}: runserver looks for its pages"
                " among the site's files.",
                "Mount it elsewhere.",
            )
