"""Where an object holds others: found, read and replaced without running its code.

The rule of this file: an object is never asked.  ``getattr``, ``isinstance``, ``==``, truth
and iteration all may run somebody's code, and a proxy would load, or raise, or make up
what it was asked for.  Only what the interpreter itself keeps is looked into.
"""

from __future__ import annotations

import functools
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["MISSING", "Place", "behind", "declared", "entry_of", "is_a", "lookup", "places_in"]

MISSING: Any = type("MISSING", (), {"__repr__": lambda _: "MISSING", "__slots__": ()})()
"""What :func:`lookup` returns for an attribute that is not there."""

MANY_ITEMS = 50_000
"""A container that holds more is a cache, and no table of applications."""

_PLAIN = (str, bytes, int, type(None))

_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement, not by C


class Place:
    """One place that holds an object, and can be made to hold another.

    Attributes:
        name: The variable, attribute or key.
        path: Where that is, as people write it: ``".mounts['/shop']"``.
        get: Returns what is held there now.
        set: Puts another object there.  In a tuple or a partial, a new one takes its place.
        held: The place that holds the tuple which this one is in, else None: putting back
            what was held there puts back the very tuple.
    """

    __slots__ = ("get", "held", "name", "path", "set")

    def __init__(
        self,
        name: str,
        path: str,
        get: Callable[[], Any],
        set: Callable[[Any], object],
        held: Place | None = None,
    ) -> None:
        self.name, self.path, self.get, self.set, self.held = name, path, get, set, held

    def __repr__(self) -> str:
        return f"<Place {self.path}>"

    def chain(self) -> list[Place]:
        """Return what has to be put back, in that order, when this place was replaced."""
        return [*(self.held.chain() if self.held is not None else ()), self]


def is_a(thing: object, *classes: type) -> bool:
    """Say whether *thing* is an instance, whatever it says of itself by ``__class__``."""
    return issubclass(type(thing), classes)


def behind(thing: Any) -> Any:
    """Return what a probe of ours stands for, and anything else itself."""
    return _class_attributes(type(thing)).get("_freedom_behind", thing)


def lookup(thing: object, name: str) -> Any:
    """Return the attribute *name* of an object, of its class else, or ``MISSING``.

    A slot gives what it holds.  A property, or a method, is returned as the class has it.
    """
    attributes = _attributes(thing)
    if attributes is not None and name in attributes:
        return attributes[name]
    for cls in _mro(thing):
        entry = _class_attributes(cls).get(name, MISSING)
        if type(entry) is types.MemberDescriptorType:
            return _read(functools.partial(entry.__get__, thing))
        if entry is not MISSING:
            return entry
    return MISSING


def entry_of(cls: type, name: str) -> Any:
    """Return what a class, or one that it inherits from, has under *name*, or ``MISSING``."""
    for each in type.__dict__["__mro__"].__get__(cls):
        entry = _class_attributes(each).get(name, MISSING)
        if entry is not MISSING:
            return entry
    return MISSING


def declared(thing: object, name: str) -> Any:
    """Return what :func:`lookup` does, unless ``functools.wraps`` only copied it there.

    That copies the whole ``__dict__`` of what it wraps, so a decorated layer would pass for
    the layer beneath it.
    """
    value = lookup(thing, name)
    if value is not MISSING and name in (_attributes(thing) or ()):
        wrapped = _unproxied(lookup(thing, "__wrapped__"))
        if wrapped is not MISSING and lookup(wrapped, name) is value:
            return MISSING
    return value


def _unproxied(thing: Any) -> Any:
    """Return what a proxy written in C stands for, and anything else itself."""
    while thing is not MISSING and (wrapped := _c_proxy(thing)) is not None:
        if lookup(thing, "__wrapped_factory__") is not MISSING:
            return thing  # it would load now
        thing = _read(functools.partial(wrapped.__get__, thing))
    return thing


def places_in(thing: object, path: str = "", held: Place | None = None) -> Iterator[Place]:
    """Yield the places in which *thing* itself holds other objects.

    Args:
        thing: Where to look: an instance (attributes and slots), a function (closure and
            defaults), a bound method, a ``functools.partial``, a wrapt proxy, a dict, list
            or tuple.  Classes and modules are everybody's, and hold nothing here.
        path: The path that leads to *thing*.
        held: The place that holds *thing*; what is in a tuple cannot be replaced without.
    """
    if is_a(thing, type, types.ModuleType):
        return
    if type(thing) is types.FunctionType:
        yield from _in_function(thing, path)
    elif type(thing) is types.MethodType:
        yield from _in_function(thing.__func__, path)
        yield from places_in(thing.__self__, path)
    elif is_a(thing, functools.partial):
        yield from _in_partial(thing, path)
    elif (wrapped := _c_proxy(thing)) is not None:
        if lookup(thing, "__wrapped_factory__") is MISSING:  # wrapt's lazy one would load now
            yield Place(
                "__wrapped__",
                f"{path}.__wrapped__",
                functools.partial(wrapped.__get__, thing),
                functools.partial(wrapped.__set__, thing),
            )
    else:
        yield from _in_container(thing, path, held)
        yield from _in_instance(thing, path)


def _in_function(function: Any, path: str) -> Iterator[Place]:
    if type(function) is not types.FunctionType:
        return
    if type(function.__code__) is not types.CodeType:
        return  # PyPy's own, which are functions as well
    variables = function.__code__.co_freevars
    for name, cell in zip(variables, function.__closure__ or (), strict=True):
        yield Place(
            name,
            f"{path}<{name}>",
            functools.partial(getattr, cell, "cell_contents"),
            functools.partial(setattr, cell, "cell_contents"),
        )
    names = _parameters(function)
    defaults = function.__defaults__ or ()
    held = Place(
        "",
        path,
        functools.partial(getattr, function, "__defaults__"),
        functools.partial(setattr, function, "__defaults__"),
    )
    for index, name in enumerate(names[len(names) - len(defaults) :]):
        yield _item(defaults, index, name, f"{path}({name}=)", held)
    for name in function.__kwdefaults__ or {}:
        yield _item(function.__kwdefaults__, name, name, f"{path}({name}=)", None)
    attributes = _attributes(function) or {}
    # functools.wraps fills them with those of what it wraps.
    for name in ["__wrapped__"] if "__wrapped__" in attributes else list(attributes):
        yield _item(attributes, name, name, f"{path}.{name}", None)


def _in_partial(partial: Any, path: str) -> Iterator[Place]:
    state = functools.partial.__reduce__(partial)[2]  # func, args, keywords, attributes

    def replace(position: int, value: Any) -> None:
        now = list(functools.partial.__reduce__(partial)[2])
        now[position] = value
        setstate: Any = functools.partial.__dict__["__setstate__"]
        setstate(partial, tuple(now))

    def read(position: int) -> Any:
        return functools.partial.__reduce__(partial)[2][position]

    yield Place("func", f"{path}.func", lambda: read(0), lambda value: replace(0, value))
    args = Place("args", f"{path}.args", lambda: read(1), lambda value: replace(1, value))
    names = _parameters(state[0])
    for index in range(len(state[1])):
        name = names[index] if index < len(names) else ""
        yield _item(state[1], index, name, f"{path}.args[{index}]", args)
    for name in state[2] or ():  # PyPy has None for no keyword
        yield _item(state[2], name, name, f"{path}({name}=)", None)


def _parameters(function: Any) -> tuple[str, ...]:
    """Return the names of the positional parameters of a function, none of anything else."""
    code = function.__code__ if type(function) is types.FunctionType else None
    if type(code) is not types.CodeType:
        return ()
    return code.co_varnames[: code.co_argcount]


def _c_proxy(thing: object) -> Any:
    """Return the descriptor of what a proxy written in C, as wrapt's are, stands for."""
    for cls in _mro(thing):
        entry = _class_attributes(cls).get("__wrapped__")
        if type(entry) is types.GetSetDescriptorType:
            return entry
    return None


def _in_container(thing: Any, path: str, held: Place | None) -> Iterator[Place]:
    if is_a(thing, dict):
        keys: Any = dict.__iter__(thing) if dict.__len__(thing) <= MANY_ITEMS else ()
        for key in list(keys):
            if type(key) in _PLAIN:  # another's hash is its own code
                name = key if type(key) is str else ""
                yield _item(thing, key, name, f"{path}[{key!r}]", held)
    elif is_a(thing, list, tuple):
        count = list.__len__(thing) if is_a(thing, list) else tuple.__len__(thing)
        for index in range(count if count <= MANY_ITEMS else 0):
            yield _item(thing, index, "", f"{path}[{index}]", held)


def _in_instance(thing: object, path: str) -> Iterator[Place]:
    attributes = _attributes(thing)
    for name in list(attributes or ()):
        if type(name) is str:
            yield _item(attributes, name, name, f"{path}.{name}", None)
    for cls in _mro(thing):
        if not type.__dict__["__flags__"].__get__(cls) & _HEAP_TYPE:
            continue
        for name, entry in list(_class_attributes(cls).items()):
            if type(entry) is types.MemberDescriptorType:
                yield Place(
                    name,
                    f"{path}.{name}",
                    functools.partial(entry.__get__, thing),
                    functools.partial(entry.__set__, thing),
                )


def _item(container: Any, key: Any, name: str, path: str, held: Place | None) -> Place:
    if is_a(container, dict):
        return Place(
            name,
            path,
            lambda: dict.__getitem__(container, key),
            lambda value: dict.__setitem__(container, key, value),
        )
    if is_a(container, list):
        return Place(
            name,
            path,
            lambda: list.__getitem__(container, key),
            lambda value: list.__setitem__(container, key, value),
        )

    def replace(value: Any) -> None:
        if held is None:
            raise TypeError(f"place in a tuple must be reached through its holder, got {path}")
        now = held.get()
        items = list(tuple.__iter__(now))
        items[key] = value
        held.set(tuple.__new__(type(now), items))

    def read() -> Any:
        return tuple.__getitem__(container if held is None else held.get(), key)

    return Place(name, path, read, replace, held)


def _attributes(thing: object) -> dict[str, Any] | None:
    """Return the ``__dict__`` of an instance, not what its class shows in that place."""
    for cls in _mro(thing):
        entry = _class_attributes(cls).get("__dict__")
        if type(entry) in (types.GetSetDescriptorType, types.MemberDescriptorType):
            if _c_proxy(thing) is not None:
                return None  # it would show those of what it stands for
            found = entry.__get__(thing)
            return found if type(found) is dict else None
    return None


def _mro(thing: object) -> tuple[type, ...]:
    return type.__dict__["__mro__"].__get__(type(thing))  # type: ignore[no-any-return]


def _class_attributes(cls: type) -> Any:
    return type.__dict__["__dict__"].__get__(cls)


def _read(get: Callable[[], Any]) -> Any:
    try:
        return get()
    except (AttributeError, ValueError):
        return MISSING  # an empty slot or cell
