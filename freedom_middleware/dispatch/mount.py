"""Mount applications under URL prefixes."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Collection, Mapping, MutableMapping
from typing import TYPE_CHECKING, Protocol, cast

from ..application import Application
from ..environ import native, script_name_of, url_path, url_query
from ..errors import (
    ApplicationError,
    ApplicationTypeError,
    MountError,
    MountTypeError,
    MountWarning,
    OptionError,
    SettingsConflict,
    SettingsError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..application import Target
    from ..wsgi import Body, Environ, StartResponse, WSGIApplication

    _Heads = dict[str, tuple[WSGIApplication | None, dict[str, "_Branch"]]]

__all__ = ["MOUNTED", "Mount", "MountTable", "MountedApplications", "not_found"]

MOUNTED = "freedom_middleware.mounted"
"""The environ key that holds where the chosen application is mounted: its SCRIPT_NAME."""


def not_found(environ: Environ, start_response: StartResponse) -> Body:
    """Answer 404, with a body that lists and reflects nothing."""
    page = b"404 Not Found\n"
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(page))),
    ]
    start_response("404 Not Found", headers)
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [page]


vars(not_found)["wsgi_name"] = "404 Not Found"


class MountTable(MutableMapping[str, Application]):
    """The mounts of one Mount, by prefix; they may change while requests are served.

    A request sees the table as it was before a change or after it, never between; so does
    one that comes during :meth:`replace`.  Responses that are being sent are not touched.
    Whatever cannot be mounted raises as in :func:`~freedom_middleware.Mount`, and changes
    nothing.

    >>> from freedom_middleware.testing import exchange, hello
    >>> site = Mount(None, {})
    >>> site.mounts["/hello"] = hello
    >>> exchange(site, "/hello").code, list(site.mounts)
    (200, ['/hello'])
    """

    __slots__ = ("_changing", "_mounts", "_publish")

    def __init__(
        self,
        mounts: dict[str, Application],
        publish: Callable[[Mapping[str, Application]], None],
    ) -> None:
        self._mounts = mounts
        self._publish = publish
        self._changing = threading.Lock()

    def __getitem__(self, prefix: str) -> Application:
        return self._mounts[_normalise(prefix)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._mounts)

    def __len__(self) -> int:
        return len(self._mounts)

    def __setitem__(self, prefix: str, application: Target) -> None:
        child = _read({prefix: application})
        with self._changing:
            self._replace({**self._mounts, **child})

    def __delitem__(self, prefix: str) -> None:
        normal = _normalise(prefix)
        with self._changing:
            if normal not in self._mounts:
                raise KeyError(
                    f"mount to remove must be one of {sorted(self._mounts)}, got {prefix!r}"
                )
            self._replace({p: child for p, child in self._mounts.items() if p != normal})

    def replace(self, mounts: Mapping[str, Target]) -> None:
        """Mount these applications, and no others, at one stroke."""
        table = _read(mounts)
        with self._changing:
            self._replace(table)

    def _replace(self, mounts: dict[str, Application]) -> None:
        if "" in mounts:
            raise MountError("mount at the root cannot be changed; only the prefixes can")
        self._publish(mounts)
        self._mounts = mounts

    def __repr__(self) -> str:
        return f"<MountTable {', '.join(self._mounts) or 'of nothing'}>"


class MountedApplications(Protocol):
    """What :func:`~freedom_middleware.Mount` returns: an application, and its table."""

    mounts: MountTable

    def __call__(self, environ: Environ, start_response: StartResponse, /) -> Body:
        """Serve one request (PEP 3333)."""
        ...


def Mount(  # noqa: N802 - reads as the application that it makes
    application: Target | None,
    mounts: Mapping[str, Target],
    *,
    back: Collection[str] = (),
    share: bool = False,
    slash: str | None = None,
) -> MountedApplications:
    """Serve applications under URL prefixes, and *application* everywhere else.

    The longest prefix that ends at a segment boundary wins, whatever the order:
    ``"/shop"`` serves ``/shop`` and ``/shop/cart``, never ``/shopping``.  What a client
    sends is compared byte for byte: no path is decoded, folded or resolved.

    The table can be changed while requests are served: see
    :class:`~freedom_middleware.dispatch.mount.MountTable`, which is
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
        MountError: A prefix does not start with ``/``, holds ``?``, ``#`` or ``//``, or
            is given twice.
        MountTypeError: The table is no mapping, or a prefix is not text.
        OptionError: *back* or *slash* cannot be understood.
        ApplicationError, ApplicationTypeError: A child is not an application.

    Warns:
        MountWarning: A prefix begins with ``//``; only a request that does so matches it.

    Source: PEP 3333, "environ Variables", on SCRIPT_NAME and PATH_INFO; RFC 3875, 4.1.

    >>> from freedom_middleware.testing import exchange, hello
    >>> site = Mount(None, {"/hello": hello})
    >>> exchange(site, "/hello/there").body, exchange(site, "/helloes").status
    (b'Hello, world!\\n', '404 Not Found')
    """
    slip = f"{application!r}: ..." if isinstance(application, str) else "..."
    if isinstance(application, Mapping) or slip.startswith("'/"):
        raise MountTypeError(
            f"Mount's application must be an application or None, got {application!r};"
            f" write Mount(None, {{{slip}}})"
        )
    if not isinstance(back, (tuple, list, set, frozenset)) or not all(
        isinstance(key, str) for key in back
    ):
        raise OptionError(f"Mount's back must be a tuple of environ keys, got {back!r}")
    if not isinstance(share, bool):
        raise OptionError(f"Mount's share must be True or False, got {share!r}")
    if slash not in (None, "redirect"):
        raise OptionError(f"Mount's slash must be None or 'redirect', got {slash!r}")
    default = None if application is None else Application(application)
    children = _read(mounts)
    if "" in children:
        if default is not None:
            raise MountError(
                "mount at the root must be given once, got it as the application of Mount"
                " and in its table; leave it out of the table"
            )
        default = children.pop("")
    redirect = slash == "redirect"
    keys = tuple(back)
    heads = _compile(default, children)

    def dispatch(environ: Environ, start_response: StartResponse) -> Body:
        table = heads
        try:
            path_info = environ["PATH_INFO"]
            script_name = environ["SCRIPT_NAME"]
        except KeyError:  # PEP 3333 allows to leave out what is empty
            path_info = environ.get("PATH_INFO", "")
            script_name = environ.get("SCRIPT_NAME", "")
        end = path_info.find("/", 1)
        head = path_info if end < 0 else path_info[:end]
        if head not in table:
            head = ""
        application, branches = table[head]
        if branches:
            head, application = _descend(head, application, branches, path_info, end)
        if application is None:
            head, application = "", table[""][0]
            if application is None:
                return not_found(environ, start_response)
        if redirect and head == path_info != "":
            return _redirect(environ, head, start_response)
        child = environ
        if head:
            script_name = head if script_name == "/" else script_name + head
            environ[MOUNTED] = script_name
            if not share:
                child = environ.copy()
            child["SCRIPT_NAME"] = script_name
            child["PATH_INFO"] = path_info.removeprefix(head)
        else:
            if not share:
                child = environ.copy()
            if script_name == "/":
                child["SCRIPT_NAME"] = ""
        if share:
            return application(child, start_response)
        body = application(child, start_response)
        try:
            environ[MOUNTED] = child[MOUNTED]
        except KeyError:
            pass  # the default was chosen, and is no Mount
        if keys:
            for key in keys:
                if key in child:
                    environ[key] = child[key]
        try:
            return body
        finally:
            del body  # as in CloseGuard: a traceback may keep this frame

    def publish(mounts: Mapping[str, Application]) -> None:
        nonlocal heads
        heads = _compile(default, mounts)

    table = MountTable(children, publish)

    def name_children() -> Iterator[tuple[str, WSGIApplication]]:
        yield from table.items()
        yield "*", default or not_found

    dispatch.__name__ = dispatch.__qualname__ = "Mount"
    vars(dispatch).update(mounts=table, wsgi_children=name_children)
    return cast("MountedApplications", dispatch)


class _Branch:
    """What is mounted at one segment, and at the segments below it."""

    __slots__ = ("application", "branches")

    def __init__(self) -> None:
        self.application: WSGIApplication | None = None
        self.branches: dict[str, _Branch] = {}


def _compile(default: Application | None, mounts: Mapping[str, Application]) -> _Heads:
    """Map first segments, slash included, to what is mounted there and the branches below.

    One look-up decides for most requests, however many mounts there are.  The default,
    which may be None, is found under ``""``.
    """
    root = _Branch()
    for prefix, application in mounts.items():
        branch = root
        for segment in native(prefix)[1:].split("/"):
            branch = branch.branches.setdefault("/" + segment, _Branch())
        branch.application = application.wsgi
    heads: _Heads = {
        head: (branch.application, branch.branches) for head, branch in root.branches.items()
    }
    heads[""] = (None if default is None else default.wsgi, {})
    return heads


def _descend(
    head: str,
    application: WSGIApplication | None,
    branches: dict[str, _Branch],
    path_info: str,
    start: int,
) -> tuple[str, WSGIApplication | None]:
    """Follow the path below its first segment; return the longest prefix that is mounted."""
    while start >= 0 and branches:
        end = path_info.find("/", start + 1)
        segment = path_info[start:] if end < 0 else path_info[start:end]
        branch = branches.get(segment)
        if branch is None:
            break
        if branch.application is not None:
            application = branch.application
            head = path_info[:end] if end >= 0 else path_info
        branches = branch.branches
        start = end
    return head, application


def _redirect(environ: Environ, prefix: str, start_response: StartResponse) -> Body:
    """Answer 308 to the same URL with a slash; RFC 9110, section 15.4.9."""
    location = url_path(script_name_of(environ) + prefix + "/")
    query = environ.get("QUERY_STRING", "")
    if query:
        location += "?" + url_query(query)
    headers = [("Location", location), ("Content-Type", "text/plain"), ("Content-Length", "0")]
    start_response("308 Permanent Redirect", headers)
    return []


def _read(mounts: Mapping[str, Target]) -> dict[str, Application]:
    """Check a table that a user wrote: prefixes normalised, each child an Application."""
    if not isinstance(mounts, Mapping):
        raise MountTypeError(
            f"mounts must be a mapping of prefixes to applications, got {mounts!r};"
            " write Mount(application, {'/prefix': ...})"
        )
    written: dict[str, str] = {}
    table: dict[str, Application] = {}
    for prefix, target in mounts.items():
        normal = _normalise(prefix)
        if normal in table:
            raise MountError(
                f"mount prefixes must differ, got {written[normal]!r} and {prefix!r}, which"
                f" are both {normal!r}"
            )
        written[normal] = prefix
        try:
            table[normal] = Application(target)
        except (
            ApplicationError,
            ApplicationTypeError,
            SettingsConflict,
            SettingsError,
        ) as error:
            raise type(error)(f"mount {prefix!r}: {error}") from error
    return table


def _normalise(prefix: str) -> str:
    if not isinstance(prefix, str):
        raise MountTypeError(f"mount prefix must be text, got {prefix!r}; write '/shop'")
    normal = prefix.rstrip("/")
    if normal and not normal.startswith("/"):
        raise MountError(
            f"mount prefix must start with '/', got {prefix!r}; write {'/' + normal!r}"
        )
    if "?" in normal or "#" in normal:
        raise MountError(
            f"mount prefix must be a path without '?' and '#', got {prefix!r}; a query or a"
            " fragment takes no part in dispatch"
        )
    if "//" in normal[1:]:
        folded = "/" + "/".join(filter(None, normal.split("/")))
        raise MountError(
            f"mount prefix must not hold an empty segment ('//'), got {prefix!r};"
            f" write {folded!r}"
        )
    if normal.startswith("//"):
        warnings.warn(
            f"mount prefix {prefix!r} begins with '//': only a request for exactly that"
            f" matches, and most proxies fold it; {normal[1:]!r} was probably meant",
            MountWarning,
            stacklevel=4,
        )
    try:
        native(normal)
    except UnicodeEncodeError:
        raise MountError(
            f"mount prefix must be text that UTF-8 can encode, got {prefix!r}"
        ) from None
    return normal
