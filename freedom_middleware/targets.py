"""What can serve: tell WSGI from ASGI, and both from what is neither.

``inspect`` is imported where it is used: it would double what ``import freedom_middleware``
costs.
"""

from __future__ import annotations

import functools
import types

from .errors import ApplicationTypeError
from .places import MISSING, declared, is_a, lookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    import inspect
    from collections.abc import Iterator
    from typing import Any, Literal

    Kind = Literal["WSGI", "ASGI"]

__all__ = ["is_async", "kind_of", "name_of", "one_line", "shown", "takes"]


def name_of(application: Any) -> str:
    """Return what a user would call *application*, without asking it.

    That is its ``wsgi_name``; or the name of its class, or of the function that made it.

    >>> def make_layer(application):
    ...     return lambda environ, start_response: application(environ, start_response)
    >>> name_of(make_layer(None)), name_of([])
    ('make_layer', 'list')
    """
    name = declared(application, "wsgi_name")
    if is_a(name, str):
        return str(name)
    if is_a(application, functools.partial):
        return name_of(functools.partial.__reduce__(application)[2][0])
    if type(application) is types.MethodType:
        own: Any = application.__self__
        method = name_of(application.__func__).rpartition(".")[2]
        return f"{_class_name(own if is_a(own, type) else type(own))}.{method}"
    if type(application) is types.FunctionType:
        if lookup(application, "__wrapped__") is MISSING:
            return _function_name(application.__qualname__)
        # functools.wraps has named it after what it wraps.
        return _function_name(application.__code__.co_qualname)
    if is_a(application, types.BuiltinFunctionType):
        return str(application.__qualname__)
    return _class_name(application if is_a(application, type) else type(application))


def _function_name(qualname: str) -> str:
    """Return who made a function: of a method its class, of others the outermost function.

    >>> _function_name("make.<locals>.layer"), _function_name("test.<locals>.Site.serve")
    ('make', 'Site.serve')
    """
    parts = qualname.split(".<locals>.")
    return next((part for part in reversed(parts) if "." in part), parts[0])


def _class_name(cls: type) -> str:
    name: str = type.__dict__["__qualname__"].__get__(cls)
    return name.rpartition("<locals>.")[2]


def kind_of(target: Any) -> Kind:
    """Tell a WSGI callable from an ASGI one by how it can be called.

    A signature that takes two arguments is WSGI's, one that takes three is ASGI's.  One
    that takes any number, as a decorator's does, is followed through ``__wrapped__`` and
    ``functools.partial`` to the first that tells.  If none does, it is WSGI's, unless it
    is a coroutine function.

    Raises:
        ApplicationTypeError: *target* is neither: not callable, a class or a factory that
            has yet to be called, or made for another protocol.
    """
    if not callable(target):
        raise ApplicationTypeError(
            "application must be a WSGI or ASGI callable, an import string or an"
            f" Application, got {shown(target)}"
        )
    if isinstance(target, type):
        return _kind_of_class(target)
    for call in _inward(target):
        if not (takes(call, 1) and takes(call, _ANY)):
            break
        if is_async(call):
            return "ASGI"
    else:
        return "WSGI"
    rule = f"application must take (environ, start_response), got {shown(target)}, which"
    if takes(call, 0):
        raise ApplicationTypeError(
            f"{rule} needs no argument and looks like a factory: call it, or write"
            " 'pkg.mod:factory()'"
        )
    if takes(call, 2) and not (takes(call, 3) and is_async(call)):
        if is_async(target):
            raise ApplicationTypeError(
                f"WSGI application must not be async, got {shown(target)}; an ASGI one"
                " takes (scope, receive, send)"
            )
        return "WSGI"
    if takes(call, 3):
        return "ASGI"
    if takes(call, 1):
        if call is not target and not takes(target, 0, **{_NOBODY: None}):
            return "WSGI"  # made of a view, and hands it less: Werkzeug's Request.application
        raise ApplicationTypeError(
            f"{rule} takes one argument. Call a factory first, 'pkg.mod:factory(\"x\")'; give"
            " a view of Request -> Response to Application.from_view; give an ASGI 2"
            " application to asgiref.compatibility.guarantee_single_callable"
        )
    raise ApplicationTypeError(f"{rule} takes {_signature(call)}")


_ANY = 100
"""More arguments than anyone names: what takes them, takes any number."""

_NOBODY = "freedom_middleware_nobody"
"""A keyword that nobody names: what does not take it, does not hand on all it is given."""


def _kind_of_class(target: type) -> Kind:
    """A class is an application when its instances are bodies, or can be awaited."""
    # The interpreter's own never are; most have no signature, but PyPy's have one.
    if target.__module__ != "builtins" and _signature(target) is not None:
        if takes(target, 2) and hasattr(target, "__iter__"):
            return "WSGI"
        if takes(target, 3) and hasattr(target, "__await__"):
            return "ASGI"
    raise ApplicationTypeError(
        f"application must be an instance, got the class {target!r}: call it first, or"
        f" write 'pkg.mod:{target.__name__}(...)'; an ASGI 2 application goes through"
        " asgiref.compatibility.guarantee_single_callable"
    )


def takes(call: Any, count: int, **keywords: object) -> bool:
    """Say whether *call* can be called with *count* positional arguments and *keywords*.

    C code that does not say what it takes is believed to take them.
    """
    if not callable(call):
        return False
    signature = _signature(call)
    if signature is None:
        return True
    try:
        signature.bind(*range(count), **keywords)
    except TypeError:
        return False
    return True


def _signature(call: Any) -> inspect.Signature | None:
    import inspect

    try:
        return inspect.signature(_method(call), follow_wrapped=False)
    except (TypeError, ValueError):
        return None


def is_async(call: Any) -> bool:
    """Say whether what *call* returns has to be awaited, as far as can be seen."""
    return _says_async(call) or _says_async(_method(call))  # an instance may be marked itself


def _says_async(call: Any) -> bool:
    import inspect

    try:
        return inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)
    except TypeError:
        return False  # Mock(spec=function) has the class of a function, and not its code


def _method(call: Any) -> Any:
    """Return what runs when *call* is called, so that its signature can be seen.

    signature() does not look where an instance holds its ``__call__`` in a slot, and takes
    one that has ``__get__``, as a decorator does, for C code.
    """
    return call if isinstance(call, _SEEN) else call.__call__


_SEEN = (
    type,
    functools.partial,
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
)


def _inward(target: Any) -> Iterator[Any]:
    """Yield *target*, what it wraps, and so on, for as long as each says so."""
    for _ in range(_ANY):  # what wraps itself would never end
        yield target
        target = _wrapped(target)
        if target is None:
            return


def _wrapped(call: Any) -> Any:
    """Return what *call* wraps, with the arguments that *call* would add; None if nothing."""
    if isinstance(call, functools.partial):
        inner = _wrapped(call.func)
        return None if inner is None else functools.partial(inner, *call.args, **call.keywords)
    if isinstance(call, types.MethodType):
        inner = _wrapped(call.__func__)
        return None if inner is None else types.MethodType(inner, call.__self__)
    inner = getattr(call, "__wrapped__", None)
    if callable(inner):
        return inner
    method = _method(call)
    return _wrapped(method) if isinstance(method, types.MethodType) else None


def shown(thing: object) -> str:
    """Return somebody's object as it may stand in a message: one line, whatever its repr."""
    try:
        return one_line(repr(thing))
    except Exception:  # noqa: BLE001 - somebody's __repr__
        return object.__repr__(thing)


def one_line(text: str) -> str:
    """Return *text* on one line, cut where it gets too long to read."""
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:297]}..."
