"""Probes for real requests: they stand at boundaries, and change nothing that passes.

A check answers for the innermost application, so its probes may hand out bodies of any
shape.  Here the bodies are the real ones, and somebody waits for the response.

Rule 1: a probe does nothing but pass on, unless the environ says that its request is
watched.

Rule 2: what is handed on passes for the body itself.  Whatever can be done with that can be
done with this: its length, its attributes, its iterator that is itself, or is another.

Rule 3: every call is passed on, a second ``close()`` too; nothing is kept alive, and nothing
is closed that would not have been.

Rule 4: a finalizer takes no lock and runs nothing of anybody else's.
"""

from __future__ import annotations

import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from ..application import Application
from ..environ import request_line
from ..lazy import Lazy
from ..places import MISSING, behind, is_a, lookup, places_in
from ..plausible import kind_by_looks
from ..tree import adapted, edges_of, name_of
from .instrument import Layer, Link, numbered
from .probe import Call, Probe, Record, line_of, probe_for, request_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..places import Place
    from ..tree import Edge
    from ..wsgi import Body, Environ, StartResponse, WSGIApplication

__all__ = ["WATCHED", "Exchange", "Handed", "Stack"]

WATCHED = "freedom_middleware.watched"
"""The environ key that holds the :class:`Exchange` of a request that is watched."""


_LINE = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO")


# -- what was seen --


class _Close(Call):
    """A call of ``close()``; its line is made out when somebody asks for it."""

    __slots__ = ("_code", "_line")

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        frame = sys._getframe(3)
        self._code = frame.f_code
        self._line = frame.f_lineno

    @property
    def where(self) -> str:  # type: ignore[override]
        """``FILE:LINE``."""
        if self._code.co_filename == __file__:
            return "the end of a generator"  # whose ``yield from`` closes what it reads
        return line_of(self._code.co_filename, self._line)


class Handed(Record):
    """One call of an application, and what was done with the body that came of it.

    Attributes:
        layer: The application that was called.
        parent: Who called it; None for whoever stands outside all layers.
        closable: The body has a ``close()``; None while the call has not returned.
        raised: The call raised.
    """

    def __init__(self, layer: Layer, parent: Layer | None) -> None:
        super().__init__()
        self.layer = layer
        self.parent = parent
        self.closable: bool | None = None
        self.raised = False

    @property
    def is_over(self) -> bool:
        """Whether the application was told, or could see, that its body is not wanted."""
        return self.raised or self.closable is False or bool(self.closes)

    def close(self) -> None:
        """Count a close."""
        self.closes.append(_Close())


class Exchange:
    """One request that is watched, and its response.

    Attributes:
        outer: What whoever stands outside did with the outermost body.
        inner: What each layer did with the bodies that it was handed.
        is_over: The outermost body was closed or dropped, needs no close, or never came.
        dropped: The outermost body was dropped unclosed; what it was, if *keeps*.
        passing: A weak reference to what passes for the outermost body, if anything does.
        note: Whatever the watcher wants to remember of it.

    Args:
        stack: The layers that the request goes through.
        environ: Of the request.
        ended: Called with the exchange when it is over, and with True where a finalizer
            is what calls it.
        keeps: Whether a body that is dropped is kept, so that it can be closed after all.
        note: See above.
    """

    __slots__ = (
        "__weakref__",
        "_ended",
        "_keeps",
        "_line",
        "dropped",
        "inner",
        "is_over",
        "note",
        "outer",
        "passing",
    )

    def __init__(
        self,
        stack: Stack,
        environ: Environ,
        ended: Callable[[Exchange, bool], object],
        *,
        keeps: bool = False,
        note: Any = None,
    ) -> None:
        self._line = {key: environ[key] for key in _LINE if key in environ}
        self.outer = Handed(stack.root, None)
        self.inner: list[Handed] = []
        self.is_over = False
        self.dropped: list[Any] = []
        self.passing: weakref.ref[Any] | None = None
        self.note = note
        self._ended = ended
        self._keeps = keeps

    @property
    def request(self) -> str:
        """Method and path, for people."""
        return request_line(self._line)

    def call(self, application: Any, environ: Environ, start_response: StartResponse) -> Body:
        """Call the outermost application, and return its body or what passes for it.

        Args:
            application: What to call.
            environ, start_response: With what; the environ is marked.
        """
        environ[WATCHED] = self
        outer = self.outer
        try:
            body = application(environ, start_response)
        except BaseException:
            outer.raised = True
            self.end()
            raise
        outer.closable = is_closable(body)
        if type(body) in (list, tuple) or not is_iterable(body):
            self.end()
            return body  # type: ignore[no-any-return]
        if is_file(body, environ):
            if not _count_closes(body, outer, self):
                outer.closable = False
                self.end()
            return body  # type: ignore[no-any-return]
        passing = _watched(body, outer, self)
        self.passing = weakref.ref(passing)
        try:
            return passing
        finally:
            # A traceback of what was raised and handled inside keeps this frame, for as
            # long as it is kept itself.  It must not keep the body.
            del body, passing

    def called(
        self, link: Link, application: Any, environ: Environ, start_response: StartResponse
    ) -> Body:
        """Call what is behind a probe, and return its body or what passes for it."""
        handed = Handed(link.child, link.parent)
        self.inner.append(handed)
        try:
            body = application(environ, start_response)
        except BaseException:
            handed.raised = True
            raise
        handed.closable = is_closable(body)
        try:
            if handed.closable:
                if not is_file(body, environ):
                    return _watched(body, handed, None)
                handed.closable = _count_closes(body, handed, None)
            return body  # type: ignore[no-any-return]
        finally:
            del body  # as above

    def end(self, *, is_finalizing: bool = False) -> None:
        """The response is over: let the watcher know, once."""
        if not self.is_over:
            self.is_over = True
            self._ended(self, is_finalizing)

    def close(self) -> None:
        """Close the outermost body, which nobody did."""
        body: Any = None
        if self.dropped:
            body = self.dropped.pop()
            self.outer.close()
        elif self.passing is not None:
            body = self.passing()  # counts by itself
        if body is not None:
            body.close()

    def drop(self, body: Any) -> None:
        """The outermost body was dropped; called by its finalizer."""
        if not self.is_over and not sys.is_finalizing():
            if self.outer.closable:
                self.dropped.append(body if self._keeps else None)
            self.end(is_finalizing=True)


def is_iterable(body: Any) -> bool:
    """Say whether *body* can be one: some helpers take two arguments, and return no body.

    Werkzeug's ``responder`` calls what comes of it, a response that is an application.
    """
    return hasattr(type(body), "__iter__") or hasattr(type(body), "__getitem__")


def is_closable(body: Any) -> bool:
    """Say whether *body* has to be closed."""
    return hasattr(body, "close") and is_iterable(body)


def is_file(body: Any, environ: Environ) -> bool:
    """Say whether the server may send *body* with ``sendfile()``, if it gets it as it is."""
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return False
    if isinstance(wrapper, type):
        return isinstance(body, wrapper)
    return hasattr(body, "fileno")  # a function on uWSGI


# -- what passes for a body --


class _Body:
    """Passes for a body, and writes down what is done with it."""

    __slots__ = ("__weakref__", "_watched_as", "_watched_body", "_watched_in")

    _watched_body: Any
    _watched_as: Handed
    _watched_in: Exchange | None

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._watched_body)

    def __iter__(self) -> Any:
        iterator = iter(self._watched_body)
        return self if iterator is self._watched_body else _Iterator(iterator, self._watched_as)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._watched_body, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._watched_body, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._watched_body, name)

    def __eq__(self, other: object) -> bool:
        return bool(self._watched_body == other)

    def __hash__(self) -> int:
        return hash(self._watched_body)

    def __repr__(self) -> str:
        return repr(self._watched_body)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._watched_body.__reduce_ex__(protocol)


def _close(self: _Body) -> None:
    self._watched_as.close()
    try:
        self._watched_body.close()
    finally:
        if self._watched_in is not None:
            self._watched_in.end()


def _exit(self: _Body, *exc_info: Any) -> Any:
    self._watched_as.close()
    try:
        return self._watched_body.__exit__(*exc_info)
    finally:
        if self._watched_in is not None:
            self._watched_in.end()


def _next(self: _Body) -> bytes:
    return _read(self._watched_as, self._watched_body)


def _read(handed: Handed, iterator: Iterator[bytes]) -> bytes:
    handed.read()
    try:
        return next(iterator)
    except BaseException:
        handed.ended = True
        raise


def _del(self: Any) -> None:
    self._watched_in.drop(self._watched_body)


_FORWARDED = (
    *("__len__", "__bool__", "__contains__", "__getitem__", "__setitem__", "__delitem__"),
    *("__reversed__", "__length_hint__", "__enter__", "__add__", "__radd__"),
)


def _forwarding(name: str) -> Any:
    def method(self: _Body, *arguments: Any) -> Any:
        return getattr(self._watched_body, name)(*arguments)

    return method


_METHODS: dict[str, Any] = {
    **{name: _forwarding(name) for name in _FORWARDED},
    "__next__": _next,
    "__exit__": _exit,
}

_MOST_CLASSES = 500

_classes: dict[tuple[type, bool | None, bool], type[_Body]] = {}


def _class_for(kind: type, closable: bool | None, is_outermost: bool) -> type[_Body]:
    methods = {name: method for name, method in _METHODS.items() if hasattr(kind, name)}
    if closable:
        methods["close"] = _close
    if is_outermost:
        methods["__del__"] = _del
    return type("_Body", (_Body,), {"__slots__": (), **methods})


def _watched(body: Any, handed: Handed, exchange: Exchange | None) -> Body:
    """Return what passes for *body*; with *exchange*, its end is that of the exchange."""
    key = (type(body), handed.closable, exchange is not None)
    cls = _classes.get(key)
    if cls is None:
        cls = _class_for(*key)
        if len(_classes) == _MOST_CLASSES:
            _classes.clear()  # somebody makes a class for each body
        _classes[key] = cls
    watched = cls()
    object.__setattr__(watched, "_watched_body", body)
    object.__setattr__(watched, "_watched_as", handed)
    object.__setattr__(watched, "_watched_in", exchange)
    return watched


class _Iterator:
    """The iterator of a body that is another object; ``close()`` of it closes no body."""

    __slots__ = ("_handed", "_iterator")

    def __init__(self, iterator: Iterator[bytes], handed: Handed) -> None:
        self._iterator = iterator
        self._handed = handed

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return _read(self._handed, self._iterator)

    def __getattr__(self, name: str) -> Any:
        # ``yield from`` looks it up by itself, where a generator is closed: by us, above.
        if name == "close" and sys._getframe(1).f_globals.get("__name__") != __name__:
            self._handed.sought_on_iterator = True
        return getattr(self._iterator, name)


class _FileClose:
    """Takes the place of ``close`` on what the server's ``wsgi.file_wrapper`` made."""

    __slots__ = ("_close", "_exchange", "_handed")

    def __init__(
        self, close: Callable[[], object], handed: Handed, exchange: Exchange | None
    ) -> None:
        self._close = close
        self._handed = handed
        self._exchange = exchange

    def __call__(self) -> None:
        self._handed.close()
        try:
            self._close()
        finally:
            if self._exchange is not None:
                self._exchange.end()

    def __del__(self) -> None:
        if self._exchange is not None:
            self._exchange.drop(None)


def _count_closes(body: Any, handed: Handed, exchange: Exchange | None) -> bool:
    """Have the closes of a file counted, and leave it itself; say whether that can be."""
    close = getattr(body, "__dict__", {}).get("close")
    if close is None:
        try:
            # Not the method itself: the file would refer to it, and it to the file.
            reference = weakref.ref(body)
        except TypeError:
            return False

        def close() -> None:
            file = reference()
            if file is not None:
                type(file).close(file)

    try:
        body.close = _FileClose(close, handed, exchange)
    except (AttributeError, TypeError):
        return False
    return True


# -- where the probes stand --


class Stack:
    """The layers of one application, and the probes between them.

    Attributes:
        root: The outermost layer.
        unreached: What cannot be watched, and why: ``"shop (in Mount /shop): it is ASGI"``.

    >>> from freedom_middleware import CloseGuard
    >>> from freedom_middleware.testing import hello
    >>> stack = Stack(CloseGuard(hello))
    >>> [stack.name_of(layer) for layer in stack.layers]
    ['CloseGuard', 'hello']
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._links: list[tuple[Link, Edge]] = []
        self._known: dict[int, Layer] = {}
        self._standing: list[_Standing] = []
        self.unreached: list[str] = []
        self.root = self._look(adapted(application), application, [])
        if type(self.root.application) is Lazy:
            self.unreached.append(f"{name_of(application)}: it is not loaded yet")
        self._names = {
            id(layer.application): name for layer, name in numbered(self.layers).items()
        }

    @property
    def layers(self) -> list[Layer]:
        """All layers that were found, outermost first."""
        return list(self._known.values())

    def name_of(self, layer: Layer) -> str:
        """Return what its user calls *layer*; a name that occurs again has a number."""
        return self._names.get(id(layer.application), layer.name)

    def __bool__(self) -> bool:
        """Whether there is anything to put a probe between."""
        return bool(self._links)

    def _look(self, application: Any, shown: Any, above: list[Any]) -> Layer:
        layer = self._known[id(application)] = Layer(application, shown)
        around = [*above, application]
        for edge in edges_of(application, above=above):
            child = behind(edge.places[0].get()) if edge.places else edge.application
            called = adapted(child)
            if is_a(child, type) or any(child is outer for outer in around):
                continue
            if not edge.places:
                self._miss(layer, edge, "it cannot be replaced where it is held")
            elif type(called) is Lazy:
                self._miss(layer, edge, "it is not loaded yet")
            elif kind_by_looks(called, telling=True) == "ASGI":
                self._miss(layer, edge, "it is ASGI")
            else:
                below = self._known.get(id(child))
                if below is None:
                    below = self._look(child, edge.application, around)
                link = Link(layer, below, edge, sure=True)
                if type(edge.application) is Application:
                    # From there a dispatcher of ours takes it when its table changes.
                    own = places_in(edge.application)
                    link.places += tuple(place for place in own if place.name == "wsgi")
                layer.links.append(link)
                self._links.append((link, edge))
        return layer

    def _miss(self, layer: Layer, edge: Edge, why: str) -> None:
        inside = f"{name_of(layer.shown)} {edge.label}".rstrip()
        self.unreached.append(f"{name_of(edge.application)} (in {inside}): {why}")

    def put(self) -> None:
        """Put a probe on each boundary; one that already stands there is shared."""
        with _placing:
            for link, edge in self._links:
                for place in link.places:
                    try:
                        standing = _stand(place, link)
                    except (AttributeError, TypeError, ValueError, LookupError) as error:
                        self._miss(link.parent, edge, f"it cannot be replaced there: {error}")
                        break
                    if standing is not None:
                        self._standing.append(standing)

    def lift(self) -> None:
        """Put back what was there before, where nothing else stands by now."""
        with _placing:
            while self._standing:
                self._standing.pop().leave()


_placing = threading.Lock()


class _Standing:
    """A probe in its place, and how many stacks have it there."""

    __slots__ = ("_kept", "_probe", "_stacks")

    def __init__(self, place: Place, link: Link) -> None:
        kept = place.chain()
        before = [each.get() for each in kept]
        self._stacks = 1
        self._probe = _boundary(link, self)
        place.set(self._probe)
        self._kept = [(each, was, each.get()) for each, was in zip(kept, before, strict=True)]

    def enter(self) -> None:
        self._stacks += 1

    def leave(self) -> None:
        """Take the probe away, if this was the last stack that has it there."""
        self._stacks -= 1
        if self._stacks:
            return
        # A tuple was replaced where it is held: that very tuple is put back.
        for place, was, put in self._kept:
            try:
                if place.get() is put:
                    place.set(was)
            except (AttributeError, TypeError, ValueError, LookupError):
                continue  # the object has changed meanwhile


def _stand(place: Place, link: Link) -> _Standing | None:
    """Have a probe stand in *place*; None where another object is by now."""
    held = place.get()
    standing: _Standing | None = lookup(held, "_freedom_standing")
    if is_a(standing, _Standing):
        assert standing is not None
        standing.enter()
        return standing
    if held is not link.child.application:
        return None
    return _Standing(place, link)


def _boundary(link: Link, standing: _Standing) -> Probe:
    target = link.child.application

    # On the way of every request, watched or not: a closure, and no tuple to take apart.
    def call(
        _self: Probe,
        environ: Any = MISSING,
        start_response: Any = MISSING,
        /,
        *more: Any,
        **keywords: Any,
    ) -> Any:
        if start_response is not MISSING and not more and not keywords:
            if type(environ) is dict and WATCHED in environ:
                return environ[WATCHED].called(link, target, environ, start_response)
            return target(environ, start_response)
        arguments = tuple(
            given for given in (environ, start_response, *more) if given is not MISSING
        )
        request = request_in(arguments, keywords)
        if request is not None and WATCHED in request[0]:
            return request[0][WATCHED].called(link, target, *request)
        return target(*arguments, **keywords)

    return probe_for(
        target,
        _never,
        __call__=call,
        _freedom_behind=target,
        _freedom_standing=standing,
    )


def _never(*_: object) -> Body:
    raise AssertionError("a boundary calls what is behind it by itself")
