"""A probe in the code of an application: for whom no place can be found, or none be changed.

A layer that compares what it holds (``type(application) is X``) refuses whatever stands in
its place, and a tracer that patches a method when the process starts keeps the one it
replaced where only its own code finds it.  The function that such an application runs can
be given other code: it stays the same object, wherever it is held.
"""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any

from ..places import MISSING, entry_of, is_a, lookup, places_in
from ..plausible import kind_by_looks
from ..tree import package_of
from .probe import request_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .probe import Act

__all__ = ["author_of", "function_of", "original_of", "probe_in_code", "view_of"]


def function_of(application: Any) -> types.FunctionType | None:
    """Return the function that runs when *application* is called, None if it is not known."""
    if is_a(application, types.MethodType):
        application = application.__func__
    if type(application) is not types.FunctionType:
        application = entry_of(type(application), "__call__")
    return application if type(application) is types.FunctionType else None


def probe_in_code(application: Any, function: types.FunctionType, act: Act) -> None:
    """Give *function* code that hands requests for *application* to *act*.

    Whoever puts ``__code__`` back takes the probe away.
    """
    original = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    original.__kwdefaults__ = function.__kwdefaults__
    own = application
    if is_a(application, types.MethodType):
        own = application.__self__
    is_method = own is not function

    def probed(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        mine = not is_method or (arguments and arguments[0] is own)
        request = request_in(arguments[is_method:], keywords) if mine else None
        if request is None:
            return original(*arguments, **keywords)
        call: Any = functools.partial(original, own) if is_method else original
        return act(call, *request)

    function.__code__ = _code(probed, function.__code__)


def _template(*arguments: Any, **keywords: Any) -> Any:
    probed: Any = "probed"
    return probed(arguments, keywords)


def _code(probed: Any, replaced: types.CodeType) -> types.CodeType:
    code = _template.__code__
    return code.replace(
        co_consts=tuple(
            probed if constant == "probed" else constant for constant in code.co_consts
        ),
        co_freevars=replaced.co_freevars,  # a function's closure has to fit
        co_filename=replaced.co_filename,
        co_firstlineno=replaced.co_firstlineno,
        co_name=replaced.co_name,
        co_qualname=replaced.co_qualname,
    )


def original_of(application: Any, steps: int = 8) -> tuple[Any, list[Any]]:
    """Return the method that was patched, and with what, the outermost first.

    Tracers replace ``__call__`` or ``wsgi_app`` of a framework's class by a function, or a
    wrapt proxy, that holds the one it replaced.

    Returns:
        The original, bound to *application*, and what was put around it; ``MISSING`` if
        *application* is no instance, or was not patched.
    """
    if is_a(application, type, types.FunctionType, types.MethodType):
        return MISSING, []
    for name in ("__call__", "wsgi_app", "wsgi"):
        method, around = entry_of(type(application), name), []
        while steps and (inner := next(_methods_in(method), None)) is not None:
            around.append(author_of(method))
            method, steps = inner, steps - 1
        if around and type(method) is types.FunctionType:
            return types.MethodType(method, application), around
    return MISSING, []


def author_of(layer: Any) -> Any:
    """Return *layer*; of a wrapt proxy, the function that its author wrote."""
    entry = entry_of(type(layer), "_self_wrapper")
    return layer if entry is MISSING else entry.__get__(layer)


def view_of(layer: Any) -> Any:
    """Return the view of which somebody's adapter made *layer*, else ``MISSING``.

    Werkzeug's ``Request.application`` and WebOb's ``wsgify`` do; what such a layer does, its
    view does.
    """
    if type(layer) is types.FunctionType:
        view = lookup(layer, "__wrapped__")
        return MISSING if kind_by_looks(view, telling=True) else view
    return lookup(layer, "func") if package_of(layer) == "webob" else MISSING


def _methods_in(method: Any) -> Iterator[Any]:
    """Yield the methods that a patched one holds."""
    for place in places_in(method):
        try:
            value = place.get()
        except ValueError:  # an empty cell
            continue
        if type(value) is types.FunctionType:
            code = value.__code__
            names = [name.lower().strip("_") for name in code.co_varnames[: code.co_argcount]]
            if len(names) == 3 and names[1][:3] == "env" and names[2][:5] == "start":
                yield value
        elif place.name == "__wrapped__":
            yield from _methods_in(value)
