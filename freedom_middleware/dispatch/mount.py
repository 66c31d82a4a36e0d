"""Mount applications under URL prefixes."""

from __future__ import annotations

from collections.abc import Mapping

from ..application import Application
from ..environ import keep_query, native, script_name_of, text, url_path
from ..errors import MountError, MountWarning, OptionError, TableTypeError
from .table import (
    MOUNTED,
    Table,
    as_dispatcher,
    check_passing,
    hand_back,
    not_found,
    read_table,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Literal

    from ..application import Target
    from ..tree import Choice
    from ..wsgi import Body, Environ, StartResponse, WSGIApplication
    from .shapes import MountedApplications

    _Heads = dict[str | None, tuple[str, WSGIApplication, dict[str, "_Branch"]]]

__all__ = ["Mount"]


def Mount(  # noqa: N802 - reads as the application that it makes
    application: Target | None,
    mounts: Mapping[str, Target],
    *,
    back: Collection[str] = (),
    share: bool = False,
    slash: Literal["redirect"] | None = None,
) -> MountedApplications:
    """Serve applications under URL prefixes, and *application* everywhere else.

    The longest prefix that ends at a segment boundary wins, whatever the order:
    ``"/shop"`` serves ``/shop`` and ``/shop/cart``, never ``/shopping``.  What a client
    sends is compared byte for byte: no path is decoded, folded or resolved.

    The table can be changed while requests are served: see
    :class:`~freedom_middleware.dispatch.table.Table`, which is
    the attribute ``mounts`` of what is returned.  That is a plain function: nothing stands
    between the server and the dispatch.

    Touches:
        environ: the chosen application gets a copy, in which the prefix has moved from
            PATH_INFO to SCRIPT_NAME; what it changes there stays there, except for the
            keys in *back*.  ``freedom_middleware.mounted`` is set in the caller's environ
            to the SCRIPT_NAME of the application that was chosen, at whatever depth.
        start_response: passed on as it is.
        body: passed on as it is.

    Args:
        application: Serves what no prefix matches; None answers 404.  Any form that
            :class:`~freedom_middleware.Application` takes.
        mounts: Prefixes, as text, and the applications under them.  Slashes at the end of
            a prefix are dropped; ``"/"`` and ``""`` both name the root.
        back: Environ keys that are handed back to the caller when the application has
            returned, such as ``("REMOTE_USER",)`` for an access log.
        share: True gives applications the caller's own environ instead of a copy.  It is
            faster, and what a child writes is seen by layers outside and by lazy bodies.
        slash: ``"redirect"`` answers a request for exactly the prefix with 308 to the same
            URL with ``/`` at its end, query kept.

    Returns:
        The application, with its table as the attribute ``mounts``.

    Raises:
        MountError: A prefix does not start with ``/``, or UTF-8 cannot encode it.
        TableError: A prefix is given twice.
        TableTypeError: The table is no mapping, or a prefix is not text.
        OptionError: *back* or *slash* cannot be understood.
        ApplicationError, ApplicationTypeError: A child is not an application.

    Warns:
        MountWarning: A prefix is legal, and hardly what was meant: it holds ``//``, ``?``,
            ``#`` or ``%20``, or ends with ``/*``; all of them stand for themselves.

    Source: PEP 3333, "environ Variables", on SCRIPT_NAME and PATH_INFO; RFC 3875, 4.1.

    >>> from freedom_middleware.testing import exchange, hello
    >>> site = Mount(None, {"/hello": hello})
    >>> exchange(site, "/hello/there").body, exchange(site, "/helloes").status
    (b'Hello, world!\\n', '404 Not Found')
    """
    slip = f"{application!r}: ..." if isinstance(application, str) else "..."
    if isinstance(application, Mapping) or slip.startswith("'/"):
        raise TableTypeError(
            f"Mount's application must be an application or None, got {application!r};"
            f" write Mount(None, {{{slip}}})"
        )
    keys = check_passing("Mount", back, share)
    if slash not in (None, "redirect"):
        raise OptionError(f"Mount's slash must be None or 'redirect', got {slash!r}")
    default = None if application is None else Application(application)
    children = _read(mounts)
    is_rooted = "" in children  # by the rule it is a prefix then, with all that one has
    if is_rooted:
        if default is not None:
            raise MountError(
                "mount at the root must be given once, got it as the application of Mount"
                " and in its table; leave it out of the table"
            )
        default = children.pop("")
    redirect = slash == "redirect"
    heads = _compile(default, children, redirect)

    def copying(environ: Environ, start_response: StartResponse) -> Body:
        table = heads
        try:
            path_info = environ["PATH_INFO"]
            script_name = environ["SCRIPT_NAME"]
            head = path_info.split("/", 2)[1]
        except LookupError:
            path_info, script_name, head = _read_path(environ)
        prefix, application, branches = table[head] if head in table else table[None]
        if branches:
            prefix, application = _descend(prefix, application, branches, path_info)
        rest = path_info.removeprefix(prefix)
        if rest != path_info:
            mounted = prefix if script_name == "/" else script_name + prefix
            environ[MOUNTED] = mounted
            child = environ.copy()
            child["SCRIPT_NAME"] = mounted
            child["PATH_INFO"] = rest
        else:
            application = table[None][1]
            mounted = None
            child = environ.copy()
            if script_name == "/":
                _tidy(child, is_rooted)
        try:
            body = application(child, start_response)
        finally:
            if MOUNTED in child and child[MOUNTED] is not mounted:  # by a Mount further in
                environ[MOUNTED] = child[MOUNTED]
            if keys:
                hand_back(environ, child, keys)
        try:
            return body
        finally:
            del body  # as in CloseGuard: a traceback may keep this frame

    def sharing(environ: Environ, start_response: StartResponse) -> Body:
        table = heads
        try:
            path_info = environ["PATH_INFO"]
            script_name = environ["SCRIPT_NAME"]
            head = path_info.split("/", 2)[1]
        except LookupError:
            path_info, script_name, head = _read_path(environ)
        prefix, application, branches = table[head] if head in table else table[None]
        if branches:
            prefix, application = _descend(prefix, application, branches, path_info)
        rest = path_info.removeprefix(prefix)
        if rest != path_info:
            environ["SCRIPT_NAME"] = environ[MOUNTED] = (
                prefix if script_name == "/" else script_name + prefix
            )
            environ["PATH_INFO"] = rest
            return application(environ, start_response)
        if script_name == "/":
            _tidy(environ, is_rooted)
        return table[None][1](environ, start_response)

    dispatch = sharing if share else copying

    def publish(mounts: dict[str, Application]) -> None:
        nonlocal heads
        heads = _compile(default, mounts, redirect)

    table = Table("mount", children, normalise=normal_prefix, read=_read, publish=publish)

    def name_children() -> Iterator[tuple[str, WSGIApplication]]:
        yield from table.items()
        yield "*", default or not_found

    def choose(environ: Environ) -> list[Choice]:
        return [_explain(environ, default or not_found, table, redirect)]

    made: MountedApplications = as_dispatcher(
        "Mount", dispatch, name_children, choose, mounts=table
    )
    return made


def _read_path(environ: Environ) -> tuple[str, str, str]:
    """Return PATH_INFO, SCRIPT_NAME and the first segment where one of them is missing.

    PEP 3333 allows to leave out what is empty.  A SCRIPT_NAME of ``"/"`` means: to be tidied.
    """
    path_info = environ.get("PATH_INFO", "")
    is_whole = "PATH_INFO" in environ and "SCRIPT_NAME" in environ
    script_name = environ["SCRIPT_NAME"] if is_whole else "/"
    return path_info, script_name, f"{path_info}/".split("/", 2)[1]


def _tidy(environ: Environ, is_rooted: bool) -> None:
    """Take out a SCRIPT_NAME of ``"/"``; for a prefix, put in what a server has left out.

    What serves where no prefix matches gets what the server has sent.
    """
    if is_rooted or environ.get("SCRIPT_NAME") == "/":
        environ["SCRIPT_NAME"] = script_name_of(environ)
    if is_rooted:
        environ.setdefault("PATH_INFO", "")


class _Branch:
    """What is mounted at one segment, and at the segments below it."""

    __slots__ = ("application", "branches")

    def __init__(self) -> None:
        self.application: WSGIApplication | None = None
        self.branches: dict[str, _Branch] = {}


def _compile(
    default: Application | None, mounts: Mapping[str, Application], redirect: bool
) -> _Heads:
    """Map first segments to a prefix, its application, and what is mounted below.

    One look-up decides for most requests, however many mounts there are.  The default is
    found under None, and under a segment where only something below it is mounted.
    """
    root = _Branch()
    for prefix, application in mounts.items():
        branch = root
        for segment in native(prefix)[1:].split("/"):
            branch = branch.branches.setdefault(segment, _Branch())
        branch.application = _redirecting(application.wsgi) if redirect else application.wsgi
    rest: tuple[str, WSGIApplication] = "", default.wsgi if default else not_found
    heads: _Heads = {
        head: (rest if branch.application is None else (f"/{head}", branch.application))
        + (branch.branches,)
        for head, branch in root.branches.items()
    }
    heads[None] = *rest, {}
    return heads


def _descend(
    prefix: str, application: WSGIApplication, branches: dict[str, _Branch], path_info: str
) -> tuple[str, WSGIApplication]:
    """Follow the path below its first segment; return the longest prefix that is mounted."""
    end = path_info.find("/", 1)
    while end > 0 and branches:
        start, end = end + 1, path_info.find("/", end + 1)
        branch = branches.get(path_info[start:] if end < 0 else path_info[start:end])
        if branch is None:
            break
        if branch.application is not None:
            application = branch.application
            prefix = path_info if end < 0 else path_info[:end]
        branches = branch.branches
    return prefix if path_info[:1] == "/" else "", application


def _redirecting(application: WSGIApplication) -> WSGIApplication:
    """Answer a request for exactly the prefix by a redirect, all others by *application*."""

    def with_slash(environ: Environ, start_response: StartResponse) -> Body:
        if environ["PATH_INFO"]:
            return application(environ, start_response)
        return _redirect(environ, start_response)

    return with_slash


def _redirect(environ: Environ, start_response: StartResponse) -> Body:
    """Answer 308 to the same URL with a slash; RFC 9110, section 15.4.9."""
    location = keep_query(url_path(environ["SCRIPT_NAME"] + "/"), environ)
    headers = [("Location", location), ("Content-Type", "text/plain"), ("Content-Length", "0")]
    start_response("308 Permanent Redirect", headers)
    return []


vars(_redirect)["wsgi_name"] = "308 Permanent Redirect"


def _explain(
    environ: Environ, default: WSGIApplication, table: Table, redirect: bool
) -> Choice:
    """Say which child is chosen, in the plainest way: by trying every prefix."""
    from ..tree import Choice

    path_info = environ.get("PATH_INFO", "")
    chosen, misses = "", []
    for prefix in sorted(table, key=lambda prefix: len(native(prefix))):
        raw = native(prefix)
        if path_info == raw or path_info.startswith(raw + "/"):
            chosen = prefix
        elif miss := near_miss(prefix, text(path_info)):
            misses.append((prefix, miss))
    child = environ.copy()
    _tidy(child, is_rooted=True)
    if not chosen:
        return Choice("*", default, child, "default: no prefix matches", tuple(misses))
    child["SCRIPT_NAME"] += native(chosen)
    child["PATH_INFO"] = path_info.removeprefix(native(chosen))
    child[MOUNTED] = child["SCRIPT_NAME"]
    if redirect and not child["PATH_INFO"]:
        return Choice(chosen, _redirect, child, "prefix, without its slash", tuple(misses))
    return Choice(chosen, table[chosen], child, "longest prefix that matches", tuple(misses))


def near_miss(prefix: str, path: str) -> str | None:
    """Say why a path is not under *prefix* although it looks as if it were; both are text."""
    if path.startswith(prefix):
        segments = path[: path.find("/", len(prefix))] if "/" in path[len(prefix) :] else path
        return f"{segments!r} does not end at a segment boundary"
    folded = "/" + "/".join(filter(None, path.split("/")))
    for seen, reason in [
        (path.lower(), "the path differs in upper and lower case"),
        (folded, "the path has an empty segment ('//'), which is never folded"),
    ]:
        if f"{seen}/".startswith(f"{prefix if seen is folded else prefix.lower()}/"):
            return reason
    return None


def _read(mounts: Mapping[str, Target]) -> dict[str, Application]:
    return read_table("mount", _checked, "Mount(application, {'/shop': ...})", mounts)


def _checked(prefix: str) -> str:
    normal = normal_prefix(prefix)
    warn_of_slip(normal, "mount prefix", stacklevel=6)
    return normal


def normal_prefix(prefix: str, what: str = "mount prefix") -> str:
    """Return *prefix* without slashes at its end, if it is one by the routing rule."""
    if not isinstance(prefix, str):
        raise TableTypeError(f"{what} must be text, got {prefix!r}; write '/shop'")
    normal = prefix.rstrip("/")
    if normal and not normal.startswith("/"):
        _, scheme, after = normal.partition("://")
        if scheme:
            fix = f"write {'/' + after.partition('/')[2]!r}, and Hosts for hosts"
        elif normal == "*":
            fix = "what serves all other paths is the first argument"
        else:
            fix = f"write {'/' + normal.lstrip(' ^/')!r}"
        raise MountError(f"{what} must start with '/', got {prefix!r}; {fix}")
    try:
        native(normal)
    except UnicodeEncodeError:
        raise MountError(f"{what} must be text that UTF-8 can encode, got {prefix!r}") from None
    return normal


def warn_of_slip(normal: str, what: str, stacklevel: int) -> None:
    """Warn of a prefix that is legal, and under which hardly a request will ever be.

    Args:
        normal: The prefix.
        what: What to call it.
        stacklevel: Of the code to warn, as :func:`warnings.warn` counts from here.
    """
    found = _slip(normal)
    if found is None:
        return
    import warnings

    why, meant = found
    warnings.warn(
        f"{what} {normal!r} {why}; {meant or '/'!r} was probably meant",
        MountWarning,
        stacklevel=stacklevel,
    )


def _slip(normal: str) -> tuple[str, str] | None:
    """Return what is odd about a prefix and what was meant, None if nothing is odd."""
    if "//" in normal:
        why = "begins with" if normal.startswith("//") else "holds"
        why += " '//': only a request for exactly that matches, and most proxies fold it"
        return why, "/" + "/".join(filter(None, normal.split("/")))
    for mark in "?#":
        if mark in normal:
            meant = normal.partition(mark)[0].rstrip("/")
            sent = f"'%{ord(mark):X}'"
            return f"holds {mark!r}: only a request with {sent} there matches", meant
    if "%" in normal:
        from urllib.parse import unquote

        decoded = unquote(normal)
        if decoded != normal and "//" not in decoded:
            escape = normal[normal.index("%") :][:3]
            return f"holds {escape!r}: a path is compared as servers decode it", decoded
    if normal.endswith("/*"):
        return "ends with '*', which stands for itself: no prefix is a pattern", normal[:-2]
    return None
