"""Application, the core adapter: anything that can serve, as one PEP 3333 application."""

from __future__ import annotations

import sys

from .errors import ApplicationTypeError, OptionError
from .targets import is_async, kind_of, name_of, takes

TYPE_CHECKING = False
if TYPE_CHECKING:
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
        kind: ``"WSGI"``, ``"ASGI"``, ``"Freedom"`` or ``"view"``; ``"lazy"`` until a lazy
            one is loaded.

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

        wsgi: Any = self.wsgi
        if self._kind == "lazy":
            wsgi = wsgi.wsgi_adapts
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
    from contextlib import suppress
    from importlib import import_module

    from .lazy import Lazy
    from .settings import noticing
    from .specs import module_of

    module_name = module_of(spec)

    def prepare() -> None:
        # An import that fails, or that asks for another site, is reported by _resolve.
        with suppress(Exception), noticing(spec):
            import_module(module_name)

    return Lazy(spec, prepare, lambda: _resolve(spec))


def made_at(depth: int = 2) -> str:
    """Return ``FILE:LINE`` of the code that called the function that calls this."""
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
