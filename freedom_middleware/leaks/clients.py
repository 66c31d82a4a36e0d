"""How to be there when a test client drives an application.

Each client has one place, or a few, through which every application passes.  It is replaced
when the client is imported, and not before: what a test run does not use is not imported for
it.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from importlib.abc import Loader, MetaPathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from ..wsgi import WSGIApplication

    Watched = Callable[[WSGIApplication], WSGIApplication]
    Place = tuple[str, str, Callable[[Any, Watched], Any]]

__all__ = ["CLIENTS", "Clients"]


def _run_wsgi_app(run: Any, watched: Watched) -> Any:
    def run_wsgi_app(app: Any, *arguments: Any, **keywords: Any) -> Any:
        return run(watched(app), *arguments, **keywords)

    return functools.wraps(run)(run_wsgi_app)


def _call_application(call: Any, watched: Watched) -> Any:
    def call_application(self: Any, application: Any, *arguments: Any, **keywords: Any) -> Any:
        if "paste.testing" in self.environ:  # middleware asks in this way too
            application = watched(application)
        return call(self, application, *arguments, **keywords)

    return functools.wraps(call)(call_application)


def _get_app(get: Any, watched: Watched) -> Any:
    def get_app(self: Any) -> Any:
        return watched(get(self))

    return functools.wraps(get)(get_app)


def _watching(_: Any, watched: Watched) -> Any:
    return watched


CLIENTS: dict[str, tuple[Place, ...]] = {
    # Flask's client is one of these.
    "werkzeug.test": (("", "run_wsgi_app", _run_wsgi_app),),
    # WebTest asks through a WebOb request.
    "webob.request": (("BaseRequest", "call_application", _call_application),),
    # Django's live server is one of the standard library's.
    "wsgiref.simple_server": (("WSGIServer", "get_app", _get_app),),
    "freedom_middleware.testing": (("", "watching", _watching),),
}
"""By module, its places: a class, or ``""`` for the module itself; the name in it; and what
makes another of what is there."""


class Clients(MetaPathFinder):
    """Has every application that a test client drives pass through *watched*.

    Args:
        watched: Takes an application, and returns what is driven in its place.
        clients: The places, by module.
    """

    def __init__(
        self, watched: Watched, clients: Mapping[str, Sequence[Place]] = CLIENTS
    ) -> None:
        self._watched = watched
        self._clients = clients
        self._replaced: list[tuple[Any, str, Any, Any]] = []
        self._looking: set[str] = set()

    def start(self) -> None:
        """Begin, with the clients that are imported already."""
        sys.meta_path.insert(0, self)
        for name in self._clients:
            module = sys.modules.get(name)
            if module is not None:
                self._replace(name, module)

    def stop(self) -> None:
        """Put back what was there."""
        sys.meta_path.remove(self)
        while self._replaced:
            owner, name, was, put = self._replaced.pop()
            if getattr(owner, name) is put:
                setattr(owner, name, was)

    def _replace(self, name: str, module: ModuleType) -> None:
        for owner_name, attribute, make in self._clients[name]:
            owner = getattr(module, owner_name) if owner_name else module
            was = getattr(owner, attribute)
            put = make(was, self._watched)
            setattr(owner, attribute, put)
            self._replaced.append((owner, attribute, was, put))

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Find a client as everybody else does, and replace its place once it is loaded."""
        if fullname not in self._clients or fullname in self._looking:
            return None
        self._looking.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._looking.discard(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, functools.partial(self._replace, fullname))
        return spec


class _Loader(Loader):
    """Loads a module as *loader* does, and calls *then* with it."""

    def __init__(self, loader: Loader, then: Callable[[ModuleType], object]) -> None:
        self._loader = loader
        self._then = then

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Have the loader make it."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Have the loader fill it, and be known as what has loaded it."""
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._then(module)
