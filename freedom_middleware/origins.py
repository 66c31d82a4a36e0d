"""Where an object comes from: the distribution that its class is part of, or a line of code."""

from __future__ import annotations

import functools
import os
import sys
import types
from typing import TYPE_CHECKING, Any

from .places import is_a

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["framework_of", "relative", "where_of"]

_OURS = __name__.partition(".")[0]


def framework_of(thing: object) -> str:
    """Return the distribution that *thing* was written in, and its version: ``"Flask 3.1.3"``.

    A class of the user's own has that of the first class that it inherits from.  What the
    user wrote has none, and neither has what we wrote.
    """
    for index, module in enumerate(_modules_of(thing)):
        if module.partition(".")[0] == _OURS:
            return ""
        distribution = _distribution_of(module)
        if distribution:
            return distribution
        if index == 0 and _is_standard(module):
            return f"Python {'.'.join(map(str, sys.version_info[:3]))}"
    return ""


def where_of(thing: object) -> str:
    """Return ``FILE:LINE`` of the user's own code for *thing*; ``""`` if others wrote it.

    The path is relative to the working directory if it is below it.
    """
    code = _code_of(thing)
    module = next(_modules_of(thing), "")
    if _is_standard(module) or module.partition(".")[0] == _OURS or _distribution_of(module):
        return ""
    if code is not None:
        filename, line = code.co_filename, code.co_firstlineno
    else:
        own: Any = thing
        filename, line = _place_of_class(own if is_a(thing, type) else type(thing))
    return relative(f"{filename}:{line}") if filename and filename[:1] != "<" else ""


def relative(place: str) -> str:
    """Return ``FILE:LINE`` as a path from the working directory, if it is below that.

    >>> relative(os.path.join(os.getcwd(), "mysite", "wsgi.py:6")).replace(os.sep, "/")
    'mysite/wsgi.py:6'
    """
    here = os.path.join(os.getcwd(), "")
    return place.removeprefix(here)


def _modules_of(thing: object) -> Iterator[str]:
    """Yield the names of the modules that define *thing*, nearest first."""
    function = _function_of(thing)
    if type(function) is types.FunctionType and type(thing) is not types.MethodType:
        # Not __module__, which functools.wraps copies from what it wraps.
        yield _text(function.__globals__.get("__name__"))
        return
    if type(thing) is types.MethodType:
        thing = thing.__self__
    own = thing if is_a(thing, type) else type(thing)
    for cls in type.__dict__["__mro__"].__get__(own):
        entries = type.__dict__["__dict__"].__get__(cls)
        yield _text(entries.get("__module__")) or "builtins"


def _text(value: object) -> str:
    return value if type(value) is str else ""


def _function_of(thing: Any) -> Any:
    while is_a(thing, functools.partial):
        thing = functools.partial.__reduce__(thing)[2][0]
    return thing.__func__ if type(thing) is types.MethodType else thing


def _code_of(thing: object) -> types.CodeType | None:
    function = _function_of(thing)
    code = function.__code__ if type(function) is types.FunctionType else None
    return code if type(code) is types.CodeType else None  # PyPy's own have another


_places: dict[int, tuple[type, str, int]] = {}  # not by hash, which may be its own code


def _place_of_class(cls: type) -> tuple[str, int]:
    import inspect

    if id(cls) not in _places:
        try:
            _, line = inspect.getsourcelines(cls)
            _places[id(cls)] = cls, inspect.getsourcefile(cls) or "", line
        except (OSError, TypeError):
            _places[id(cls)] = cls, "", 0  # made by exec, or its file has gone
    return _places[id(cls)][1:]


def _is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names and module != "__main__"


@functools.cache
def _distribution_of(module: str) -> str:
    """Return name and version of the distribution that *module* is part of, else ``""``."""
    from importlib.metadata import distribution

    loaded = sys.modules.get(module)
    if not is_a(loaded, types.ModuleType):
        return ""
    filename = _text(object.__getattribute__(loaded, "__dict__").get("__file__"))
    for name in dict.fromkeys(_providers().get(module.partition(".")[0], ())):
        found = distribution(name)
        # A folder of the user's own may be called as somebody's package is.
        root = os.path.join(str(found.locate_file("")), "")
        if not filename.startswith(root):
            continue
        if len(_providers()[module.partition(".")[0]]) > 1:
            path = filename.removeprefix(root).replace(os.sep, "/")
            if not any(str(file) == path for file in found.files or ()):
                continue
        return f"{found.metadata['Name']} {found.version}"
    return ""


@functools.cache
def _providers() -> dict[str, list[str]]:
    from importlib.metadata import packages_distributions

    return dict(packages_distributions())
