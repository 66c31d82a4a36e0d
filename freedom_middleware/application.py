"""Application, the core adapter: anything that can serve, as one PEP 3333 application."""

from __future__ import annotations

import sys

from .errors import ApplicationTypeError, OptionError
from .places import behind
from .targets import is_async, kind_of, name_of, takes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable
    from typing import Any, Self

    from webob import Request, Response

    from .lazy import Lazy
    from .wsgi import Body, Environ, StartResponse, WSGIApplication

    Target = WSGIApplication | Callable[..., Any] | str

__all__ = ["Application", "made_at"]


class Application:
    """Anything that can serve, as one PEP 3333 application.

    An import string is loaded at once, as a ``wsgi.py`` does, so that the deployment and
    not the first customer finds the typo, and a server that loads before it forks shares
    the memory.

    Touches:
        environ, start_response, body: nothing; the application is called directly.

    Args:
        target: A WSGI or an ASGI callable, an import string (``"shop:app"``,
            ``"legacy.wsgi:make_app()"``), or another Application.
        name: What to call it in a tree; by default the import string, or the name that
            *target* has itself.
        lazy: True loads an import string on the first request, or by :meth:`load`.  While
            loading fails, requests are answered 503; the cause is logged once, and the
            first request after 10 seconds tries again.

    Attributes:
        wsgi: The PEP 3333 callable that requests go to.
        kind: ``"WSGI"``, ``"ASGI"``, ``"Freedom"``, ``"view"``, ``"files"`` or
            ``"redirect"``; ``"lazy"`` until a lazy one is loaded.

    Raises:
        ApplicationError: The import string names nothing, or loading it failed.
        ApplicationTypeError: What it names, or *target*, is no application.
        OptionError: *name* is not text, or is empty; or *lazy* is asked of something that
            is no import string.
        SettingsConflict: It is another Freedom site than the one that is loaded.

    >>> from freedom_middleware.testing import exchange
    >>> application = Application("freedom_middleware.testing:hello")
    >>> exchange(application).body
    b'Hello, world!\\n'
    """

    __slots__ = ("_kind", "wsgi", "wsgi_name")

    wsgi: WSGIApplication
    wsgi_name: str

    def __init__(self, target: Target, *, name: str | None = None, lazy: bool = False) -> None:
        if name is not None and not (isinstance(name, str) and name):
            raise OptionError(f"Application's name must be text or None, got {name!r}")
        if not isinstance(lazy, bool) or (lazy and not isinstance(target, str)):
            raise OptionError(
                "Application's lazy must be True only for an import string, got"
                f" lazy={lazy!r} for {target!r}"
            )
        if lazy:
            self._kind, self.wsgi = "lazy", _lazy(str(target))
        elif isinstance(target, Application):
            self._kind, self.wsgi = target._kind, target.wsgi
        else:
            self._kind, self.wsgi = _resolve(target)
        if name is None:
            name = target if isinstance(target, str) else name_of(target)
        self.wsgi_name = name

    @property
    def kind(self) -> str:
        """What it was made of; see the class."""
        if self._kind == "lazy":
            lazy: Any = self.wsgi
            return str(lazy.kind)
        return self._kind

    def load(self) -> None:
        """Load a lazy application now; do nothing for any other.

        Raises:
            ApplicationError: It cannot be loaded, or asks for itself while it is.
            ApplicationTypeError: What it names is no application.
            SettingsConflict: It is another Freedom site than the one that is loaded.
        """
        if self._kind == "lazy":
            lazy: Any = self.wsgi
            lazy.load()

    @classmethod
    def from_settings(cls, name: str, *, override: bool = False) -> Self:
        """Return the Freedom site whose settings module is *name*.

        This is what a generated ``wsgi.py`` does: ``DJANGO_SETTINGS_MODULE`` in the
        environment wins, unless *override* is true.

        Raises:
            SettingsConflict: Another site's settings are loaded or have been asked for.
                Settings are process-wide: it would serve the first site's pages.
            SettingsError: The settings module, or the framework, cannot be imported.
        """
        from .settings import load_site

        return cls._made(load_site(name, override=override), "Freedom", name)

    @classmethod
    def from_view(cls, view: Callable[[Request], Response]) -> Self:
        """Return an application that answers with a function of WebOb's Request.

        The response is sent as the view made it; its ``app_iter`` is what gets closed.
        A ``webob.exc.HTTPException`` that the view raises is its response.

        Raises:
            ApplicationTypeError: *view* cannot be called with one argument, or is async;
                at a request, it returned something else than a response.

        >>> from webob import Response
        >>> from freedom_middleware.testing import exchange
        >>> greet = Application.from_view(
        ...     lambda request: Response(f"Hello from {request.path}")
        ... )
        >>> exchange(greet, "/here").body
        b'Hello from /here'
        """
        if not takes(view, 1) or is_async(view):
            raise ApplicationTypeError(
                f"view must be a function of one webob.Request, and not async, got {view!r}"
            )
        from webob import Request
        from webob.exc import HTTPException

        name = name_of(view)

        def wsgi(environ: Environ, start_response: StartResponse) -> Body:
            try:
                response = view(Request(environ))
            except HTTPException as error:
                return error(environ, start_response)
            if not callable(response):
                raise ApplicationTypeError(
                    f"view {getattr(view, '__qualname__', name)} must return a webob.Response,"
                    f" got {response!r}"
                )
            return response(environ, start_response)

        vars(wsgi)["wsgi_adapts"] = view
        return cls._made(wsgi, "view", name)

    @classmethod
    def from_directory(
        cls,
        path: str | os.PathLike[str],
        *,
        index: str | None = None,
        max_age_seconds: int | None = None,
    ) -> Self:
        """Return an application that serves the files in a folder, and those below it.

        Files are looked at when they are asked for: one that was added is served, one that
        was removed is not.  Ranges and conditional requests are answered, and the server's
        own ``wsgi.file_wrapper`` sends a whole file.

        A name that begins with a dot, a path with ``..``, ``//`` or a backslash, a link to
        what is outside of the folder, and a pipe or a device are answered as what is not
        there: 404.  Folders are not listed.

        Args:
            path: The folder.  What is relative is resolved now, a link at each request.
            index: The file that answers for a folder, such as ``"index.html"``; the folder
                without a slash at its end is then redirected to it.  None answers 404.
            max_age_seconds: How long a browser or a proxy may use its copy without asking;
                None leaves it to them.

        Raises:
            OptionError: *path* is not a folder that exists, or an option cannot be
                understood.

        Source: RFC 9110, sections 13 and 14.

        >>> from freedom_middleware.testing import exchange
        >>> import os
        >>> folder = Application.from_directory(os.path.dirname(__file__))
        >>> exchange(folder, "/py.typed").status, exchange(folder, "/../LICENSE").status
        ('200 OK', '404 Not Found')
        """
        from .files import serve_files

        files = serve_files(path, index=index, max_age_seconds=max_age_seconds)
        return cls._made(files, "files", str(path))

    @classmethod
    def from_redirect(cls, url: str, *, permanent: bool = False) -> Self:
        """Return an application that redirects to *url*, method, rest and query kept.

        Mounted under ``/old``, ``from_redirect("/new")`` answers ``/old/cart?page=2`` with
        ``/new/cart?page=2``.  The ``Host`` of the request is never repeated.

        Args:
            url: A path as a browser sees it, with every prefix that a server adds; or an
                ``http`` or ``https`` URL.
            permanent: True answers 308 instead of 307.  Browsers keep a 308 for good: a
                mistake in it outlives its correction.

        Raises:
            OptionError: *url* is neither, or has a query or a fragment.

        Source: RFC 9110, sections 10.2.2, 15.4.8 and 15.4.9.

        >>> from freedom_middleware.testing import exchange
        >>> dict(exchange(Application.from_redirect("/new"), "/cart?page=2").headers)[
        ...     "Location"
        ... ]
        '/new/cart?page=2'
        """
        from .redirect import redirect_to

        return cls._made(redirect_to(url, permanent=permanent), "redirect", f"-> {url}")

    @classmethod
    def _made(cls, wsgi: WSGIApplication, kind: str, name: str) -> Self:
        made = cls.__new__(cls)
        made.wsgi, made._kind, made.wsgi_name = wsgi, kind, name
        return made

    def __call__(self, environ: Environ, start_response: StartResponse) -> Body:
        """Serve one request (PEP 3333)."""
        return self.wsgi(environ, start_response)

    def __repr__(self) -> str:
        return f"<Application {self.wsgi_name} ({self.kind})>"

    def wsgi_children(self) -> Iterable[tuple[str, WSGIApplication]]:
        """Name what the adapted application is made of (see :mod:`freedom_middleware.tree`)."""
        from .tree import children_of

        wsgi: Any = behind(self.wsgi)
        if self._kind == "lazy":
            wsgi = behind(wsgi.wsgi_adapts)
            if wsgi is None:
                return ()
        children = children_of(wsgi)
        if children and self.wsgi_name != name_of(wsgi):
            return [("", wsgi)]  # an import string stands above what it names
        return children


def _resolve(target: Target) -> tuple[str, WSGIApplication]:
    """Return the kind of *target*, and the PEP 3333 callable that serves it."""
    found: Any = target
    if isinstance(target, str):
        from .specs import load

        found = load(target)
    if isinstance(found, Application):
        return found.kind, found.wsgi
    try:
        kind = kind_of(found)
    except ApplicationTypeError as error:
        if isinstance(target, str):
            raise ApplicationTypeError(f"{error} (from {target!r})") from None
        raise
    if kind == "ASGI":
        from .asgi import adapt_asgi

        found = adapt_asgi(found)
    return kind, found


def _lazy(spec: str) -> Lazy:
    from .lazy import Lazy
    from .specs import import_of, module_of

    module_of(spec)  # a typo in the form is told at once
    return Lazy(spec, lambda: import_of(spec), lambda: _resolve(spec))


def made_at(depth: int = 2) -> str:
    """Return ``FILE:LINE`` of the code that called the function that calls this."""
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
