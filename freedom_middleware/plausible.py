"""Tell an application from a callback by its looks, without calling either.

:func:`~freedom_middleware.targets.kind_of` tells whether what a user hands over can be
called as one.  Here nobody has handed anything over: a helper with two parameters is no
application, so the names of parameters and of variables count as well.
"""

from __future__ import annotations

import functools
import types
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

from .places import MISSING, declared, entry_of, is_a, lookup, places_in

if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal["WSGI", "ASGI"]

__all__ = ["ignores_start_response", "is_telling", "kind_by_looks", "takes_requests"]

_ENVIRON = {"environ", "env", "environment", "wsgienviron", "wsgienvironment"}
_RESPOND = {"respond", "sr"}  # and whatever begins with "start"
_OTHERS = {
    *("context", "ctx", "error", "event", "exc", "exception", "headers", "key", "message"),
    *("msg", "name", "path", "record", "req", "request", "response", "scope", "sender"),
    *("signum", "status"),
}
"""What a first parameter is called where it is certainly no environ."""

_TELLING = {
    *("application", "applications", "child", "children", "default", "delegate"),
    *("downstream", "fallback", "inner", "mounts", "next", "upstream", "wrapped", "wraps"),
    *("wsgi", "wsgis"),
}
_SPOILING = {
    *("callback", "class", "cls", "config", "context", "ctx", "error", "exc", "factory"),
    *("handler", "hook", "id", "iter", "iterator", "key", "logger", "name", "type"),
}
_CO_VARARGS, _CO_VARKEYWORDS, _CO_COROUTINE = 0x04, 0x08, 0x80


class _Shape(NamedTuple):
    """How something can be called: its positional parameters, as far as they are known."""

    names: tuple[str, ...]
    required: int
    most: float
    is_async: bool
    keywords: frozenset[str] = frozenset()  # those that have to be given: no server does

    def takes(self, count: int) -> bool:
        return self.required <= count <= self.most and not self.keywords


_UNKNOWN = _Shape((), 0, float("inf"), False)
"""Of what can be called, but is written in C, or hides behind a descriptor."""


def is_telling(name: str) -> bool:
    """Say whether a variable of this name is likely to hold an application.

    >>> is_telling("_wsgi_app"), is_telling("app_factory"), is_telling("callback")
    (True, False, False)
    """
    words = name.lower().strip("_").split("_")
    return not _SPOILING.intersection(words) and any(
        word in _TELLING or word.endswith(("app", "apps", "application")) for word in words
    )


def kind_by_looks(thing: Any, *, telling: bool) -> Kind | None:
    """Return what *thing* looks like, None where it does not look like an application.

    Args:
        thing: Anything at all.
        telling: Whether it stands where applications do, under a name such as ``app``.
            Elsewhere its parameters must be called as PEP 3333 or ASGI call them.
    """
    if is_a(thing, types.ModuleType, weakref.ReferenceType):
        return None
    if is_a(thing, type):
        telling = False
    if declared(thing, "wsgi_children") is not MISSING or is_a(
        declared(thing, "wsgi_name"), str
    ):
        return "WSGI"
    shape = _shape_of(thing)
    if shape is None:
        return None
    names = [name.lower().replace("_", "") for name in shape.names[:3]]
    if shape.takes(3):
        if names == ["scope", "receive", "send"]:
            return "ASGI"
        if telling and shape.is_async and shape.required == 3:
            return "ASGI"
    if shape.is_async or not shape.takes(2):
        return None
    first, second = [*names, "", ""][:2]
    if first in _ENVIRON and (second in _RESPOND or second.startswith("start")):
        return "WSGI"
    if not telling or (shape.most == 2 and first in _OTHERS):
        return None
    return "WSGI"


def takes_requests(thing: Any) -> bool:
    """Say whether *thing* is known to take two arguments, whatever they are called."""
    shape = _shape_of(thing)
    return shape is not None and shape is not _UNKNOWN and shape.takes(2)


def ignores_start_response(thing: Any) -> bool:
    """Say whether *thing* is a function that does nothing with its second parameter.

    >>> def session_of(environ, start_response):
    ...     return environ["session"]
    >>> ignores_start_response(session_of)
    True
    """
    is_method = type(thing) is types.MethodType
    function: Any = thing.__func__ if is_method else thing
    if type(function) is not types.FunctionType:
        return False
    code = function.__code__
    if type(code) is not types.CodeType or code.co_argcount != 2 + is_method:
        return False
    import dis

    name = code.co_varnames[1 + is_method]
    loaded = [step.argval for step in dis.get_instructions(code) if "LOAD" in step.opname]
    # Since Python 3.13 one instruction may load two.
    return name not in code.co_cellvars and not any(
        name == each or (type(each) is tuple and name in each) for each in loaded
    )


def _shape_of(thing: Any, steps: int = 100) -> _Shape | None:
    """Return the shape of *thing*, None if it cannot be called at all."""
    if steps == 0:
        return None
    if is_a(thing, type):
        return _shape_of_class(thing)
    if type(thing) is types.FunctionType:
        own = _shape_of_function(thing)
        wrapped = lookup(thing, "__wrapped__")
        if wrapped is MISSING or own.names or own.most < _UNKNOWN.most:
            return own
        if not thing.__code__.co_flags & _CO_VARKEYWORDS:
            return own  # and hands on less, as Werkzeug's Request.application does
        return _shape_of(wrapped, steps - 1) or own  # takes anything, as a decorator does
    if type(thing) is types.MethodType:
        return _without_first(_shape_of(thing.__func__, steps - 1), 1)
    if is_a(thing, functools.partial):
        state: Any = functools.partial.__reduce__(thing)[2]
        function, args, keywords, _ = state
        shape = _without_first(_shape_of(function, steps - 1), len(args))
        if shape is None:
            return None
        keywords = keywords or {}  # PyPy has None for no keyword
        if shape.keywords:
            shape = shape._replace(keywords=shape.keywords.difference(keywords))
        if not any(name in keywords for name in shape.names):
            return shape
        kept = [name in keywords for name in shape.names].index(True)
        return shape._replace(
            names=shape.names[:kept], required=min(shape.required, kept), most=kept
        )
    if is_a(thing, types.BuiltinFunctionType):
        return None
    call = _class_call(thing)
    if call is MISSING:
        return None
    if type(call) is types.FunctionType:
        return _without_first(_shape_of(call, steps - 1), 1)
    for place in places_in(thing):
        if place.name == "__wrapped__":
            return _shape_of(place.get(), steps - 1)
    return _UNKNOWN


def _shape_of_class(cls: type) -> _Shape | None:
    """Return the shape of a class whose instances are bodies, and so is an application."""
    made = entry_of(cls, "__init__")
    if type(made) is not types.FunctionType or entry_of(cls, "__iter__") is MISSING:
        return None
    shape = _without_first(_shape_of_function(made), 1)
    return shape if shape is None or shape.required == shape.most == len(shape.names) else None


def _class_call(thing: Any) -> Any:
    """Return what the class of *thing* has as ``__call__``; an instance's own is not used."""
    call = entry_of(type(thing), "__call__")
    return MISSING if call is None else call


def _shape_of_function(function: types.FunctionType) -> _Shape:
    code = function.__code__
    count = code.co_argcount
    names = code.co_varnames[:count]
    only = code.co_varnames[count : count + code.co_kwonlyargcount]
    return _Shape(
        names,
        count - len(function.__defaults__ or ()),
        float("inf") if code.co_flags & _CO_VARARGS else count,
        bool(code.co_flags & _CO_COROUTINE),
        frozenset(only).difference(function.__kwdefaults__ or ()),
    )


def _without_first(shape: _Shape | None, count: int) -> _Shape | None:
    if shape is None:
        return None
    return shape._replace(
        names=shape.names[count:],
        required=max(shape.required - count, 0),
        most=shape.most - count,
    )
