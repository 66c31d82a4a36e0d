"""Where else a layer may hold what it calls: what its code names, and what C code keeps.

These places are everybody's: the globals of a module, the attributes of a class, the value
of a context variable.  So only a check looks there, and puts back what it found.
"""

from __future__ import annotations

import functools
import gc
import sys
import types
import weakref
from _thread import _local
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..places import MISSING, Place, is_a, places_in
from ..tree import package_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["forget", "hidden_places"]

_CACHED = type(functools.cache(len))


def hidden_places(
    application: object,
) -> Callable[[Any, str, Place | None], Iterator[Place]]:
    """Return what yields the places in a thing, those included that others share.

    Args:
        application: Code is read only where it comes from the same package.
    """
    package = package_of(application)

    def look(thing: Any, path: str = "", held: Place | None = None) -> Iterator[Place]:
        yield from places_in(thing, path, held)
        if is_a(thing, ContextVar):
            yield _variable(thing, path)
        elif is_a(thing, _local):
            yield from places_in(_local.__getattribute__(thing, "__dict__"), path)
        elif is_a(thing, deque):
            yield from (_numbered(thing, index, path) for index in range(len(thing)))
        elif is_a(thing, types.MappingProxyType):
            for mapping in gc.get_referents(thing):
                yield from places_in(mapping, path)
        elif held is not None and is_a(thing, weakref.ReferenceType, _CACHED):
            yield from _returned(thing, path, held)
        elif package_of(thing) == package:
            yield from _in_code(thing, path)

    return look


def _variable(variable: Any, path: str) -> Place:
    def read() -> Any:
        return variable.get(MISSING)

    return Place("", f"{path}.get()", read, variable.set)


def _numbered(items: Any, index: int, path: str) -> Place:
    return Place(
        "",
        f"{path}[{index}]",
        functools.partial(deque.__getitem__, items, index),
        functools.partial(deque.__setitem__, items, index),
    )


def _returned(function: Any, path: str, held: Place) -> Iterator[Place]:
    """Yield what a weak reference, or a cached function, returns, if that is one thing."""
    if is_a(function, weakref.ReferenceType):
        found = [weakref.ReferenceType.__call__(function)]
    else:
        kept_by_it = gc.get_referents(function)
        found = list(next((each for each in kept_by_it if type(each) is dict), {}).values())
        if found and type(found[0]).__name__ == "_lru_list_elem":
            # With a size it keeps links, and shows each key and what belongs to it.
            found = kept_by_it[2 : 1 + 2 * len(found) : 2]
    kept: list[Any] = []

    def read() -> Any:
        return kept[-1] if kept else found[0]

    def replace(value: Any) -> None:
        kept.append(value)
        held.set(lambda *_arguments, **_keywords: value)

    if len(found) == 1 and found[0] is not None:
        yield Place("", f"{path}()", read, replace, held)


def forget(place: Place) -> None:
    """Have a cached function forget what it was first asked for meanwhile."""
    held: Any = place.held.get() if place.held is not None else None
    if is_a(held, _CACHED):
        _CACHED.cache_clear(held)


def _in_code(thing: Any, path: str) -> Iterator[Place]:
    """Yield what the code of a function, or of all methods of an instance, names."""
    if type(thing) is types.FunctionType:
        yield from _named(thing, path)
        return
    if type(thing) is types.MethodType:
        thing = thing.__self__
    own = thing if is_a(thing, type) else type(thing)
    package = package_of(thing)
    for cls in type.__dict__["__mro__"].__get__(own):
        if package_of(cls) != package:
            continue
        for name, entry in list(type.__dict__["__dict__"].__get__(cls).items()):
            method = _function_of(entry)
            if method is not None:
                for place in places_in(method, f"{path}.{name}"):
                    if place.name not in ("__class__", "__wrapped__"):
                        yield place
                yield from _named(method, f"{path}.{name}")
            if name[:2] == "__" == name[-2:]:
                continue
            place = Place(
                name,
                f"{path}.{name}",
                functools.partial(type.__dict__["__dict__"].__get__(cls).__getitem__, name),
                functools.partial(type.__setattr__, cls, name),
            )
            if is_a(entry, staticmethod):
                yield _static(entry, place)
            else:
                yield place


def _function_of(entry: Any) -> Any:
    """Return the function behind an entry of a class, None if there is none."""
    if is_a(entry, classmethod, staticmethod):
        entry = entry.__func__
    elif is_a(entry, property):
        entry = entry.fget
    elif is_a(entry, functools.cached_property):
        entry = entry.func
    return entry if type(entry) is types.FunctionType else None


def _static(entry: Any, held: Place) -> Place:
    return Place(
        held.name,
        held.path,
        lambda: held.get().__func__,
        lambda value: held.set(staticmethod(value)),
        held,
    )


def _named(function: Any, path: str) -> Iterator[Place]:
    """Yield the globals that the code of *function* names, and what it names in modules."""
    names = dict.fromkeys(_names_in(function.__code__))
    known = function.__globals__
    for name in names:
        value = known[name] if name in known else sys.modules.get(name)
        if is_a(value, types.ModuleType):
            inside = object.__getattribute__(value, "__dict__")
            if name.partition(".")[0] in sys.stdlib_module_names:
                continue
            for place in places_in(inside, f"{path}:{name}"):
                if place.name in names and not is_a(place.get(), type, types.ModuleType):
                    yield place
        elif name in known and not is_a(value, type):
            yield from _global(known, name, path)


def _global(known: dict[str, Any], name: str, path: str) -> Iterator[Place]:
    yield Place(
        name,
        f"{path}:{name}",
        functools.partial(dict.__getitem__, known, name),
        functools.partial(dict.__setitem__, known, name),
    )


def _names_in(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if type(constant) is types.CodeType:
            yield from _names_in(constant)
