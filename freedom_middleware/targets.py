"""What can serve: load what an import string names, and tell WSGI from ASGI.

``ast`` and ``inspect`` are imported where they are used: they would double what
``import freedom_middleware`` costs.
"""

from __future__ import annotations

import functools
import importlib
import sys
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from .errors import ApplicationError, ApplicationTypeError, FreedomError
from .settings import is_missing, noticing

if TYPE_CHECKING:
    import inspect
    from collections.abc import Iterator

__all__ = ["Kind", "is_async", "kind_of", "load", "module_of", "takes"]

Kind = Literal["WSGI", "ASGI"]

Arguments = tuple[list[Any], dict[str, Any]]

_FORMS = (
    "'pkg.mod', 'pkg.mod:attribute', 'pkg.mod:factory()' or 'pkg.mod:factory(\"x\", key=1)'"
    " with literals only"
)


def load(spec: str) -> Any:
    """Return the object that an import string names; a factory is called.

    Args:
        spec: ``"pkg.mod"`` (its ``application``), ``"pkg.mod:attribute"``, or a call with
            literals only: ``"pkg.mod:factory('x', key=1)"``.  The form is gunicorn's.

    Raises:
        ApplicationError: The string has another form, names nothing, or what it names
            raised, ``SystemExit`` included; the exception is its cause.
    """
    module_name, names, arguments = _parse(spec)
    with noticing(spec):
        found = _import(spec, module_name)
        for index, name in enumerate(names):
            with _telling("application's attribute must be readable without an error", spec):
                try:
                    found = getattr(found, name)
                except AttributeError as error:
                    message = _no_attribute(spec, module_name, found, names[: index + 1])
                    raise ApplicationError(message) from error
        return found if arguments is None else _call(spec, found, arguments)


def module_of(spec: str) -> str:
    """Return the module that an import string names, without importing it.

    Raises:
        ApplicationError: The string has another form.
    """
    return _parse(spec)[0]


def _parse(spec: str) -> tuple[str, list[str], Arguments | None]:
    """Split an import string into a module, attributes, and the arguments of a factory."""
    import ast

    wrong = ApplicationError(f"import string must have the form {_FORMS}, got {spec!r}")
    module_name, colon, expression = spec.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise wrong
    arguments: Arguments | None = None
    names: list[str] = []
    try:
        node = ast.parse(expression if colon else "application", mode="eval").body
        if isinstance(node, ast.Call):
            keywords = {word.arg or "": ast.literal_eval(word.value) for word in node.keywords}
            if "" in keywords or len(keywords) != len(node.keywords):
                raise wrong  # f(**{}) and f(a=1, a=2)
            arguments = [ast.literal_eval(argument) for argument in node.args], keywords
            node = node.func
        while isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise wrong from None  # all of them come from text that is no expression of ours
    if not isinstance(node, ast.Name):
        raise wrong
    return module_name, [node.id, *names], arguments


def _import(spec: str, module_name: str) -> Any:
    with _telling("application's module must import without an error", spec):
        try:
            return importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if not is_missing(error, module_name):
                raise
            parent, _, last = module_name.rpartition(".")
            if last == "py" or hasattr(sys.modules.get(parent), last):
                meant = spec.replace(".py", "", 1) if last == "py" else f"{parent}:{last}"
                hint = f"Did you mean {meant!r}?"
            else:
                hint = "Is the folder that holds it the working directory, or on sys.path?"
            raise ApplicationError(
                "application must name a module that can be imported, got"
                f" {spec!r}: {error}. {hint}"
            ) from error


def _no_attribute(spec: str, module_name: str, found: Any, names: list[str]) -> str:
    import difflib

    *path, name = names
    owner = ".".join(path) or module_name
    candidates = [candidate for candidate in dir(found) if not candidate.startswith("_")]
    likely = difflib.get_close_matches(name, candidates) + [
        usual
        for usual in ("application", "app", "create_app", "make_app")
        if usual in candidates
    ]
    if getattr(getattr(found, "__spec__", None), "_initializing", False):
        hint = f". {owner} is still being imported; does it ask for itself?"
    elif "ROOT_URLCONF" in candidates:
        hint = f". It is a settings module: Application.from_settings({owner!r})"
    elif likely:
        hint = f". Did you mean {likely[0]!r}?"
    else:
        hint = ""
    return (
        f"application must name an attribute that exists, got {spec!r}: {owner} has no"
        f" {name!r}{hint}"
    )


def _call(spec: str, factory: Any, arguments: Arguments) -> Any:
    if not callable(factory):
        raise ApplicationError(
            f"factory must be callable, got {_shown(factory)} from {spec!r};"
            " without the brackets it is taken as it is"
        )
    positional, keyword = arguments
    with _telling("factory must return an application", spec):
        made = factory(*positional, **keyword)
    if isinstance(made, types.CoroutineType):
        made.close()
        raise ApplicationError(
            f"factory must not be async, got {_shown(factory)} from {spec!r}; there is no"
            " event loop yet to wait for it"
        )
    return made


@contextmanager
def _telling(rule: str, spec: str) -> Iterator[None]:
    """Say in one line what somebody's code raised, and where.

    A module that ends the process when it is imported is a script; without this a server
    would end without a word.
    """
    try:
        yield
    except FreedomError:
        raise
    except (Exception, SystemExit) as error:
        raise ApplicationError(f"{rule}, got {_raised(error)} from {spec!r}") from error


def _raised(error: BaseException) -> str:
    """Describe an exception in one line, with the place that raised it."""
    import traceback

    text, place = str(error), ""
    if isinstance(error, SyntaxError):
        text, place = error.msg, f" ({error.filename}:{error.lineno})"
    else:
        for frame, line in traceback.walk_tb(error.__traceback__):
            filename = frame.f_code.co_filename
            if filename not in _OURS and not filename.startswith("<frozen importlib"):
                place = f" ({filename}:{line})"
    colon = ": " if text else ""
    return f"{type(error).__name__}{colon}{_one_line(text)}{place}"


_OURS = (__file__, importlib.__file__)


def _shown(thing: object) -> str:
    try:
        return _one_line(repr(thing))
    except Exception:  # noqa: BLE001 - somebody's __repr__
        return object.__repr__(thing)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:297]}..."


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
            f" Application, got {_shown(target)}"
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
    rule = f"application must take (environ, start_response), got {_shown(target)}, which"
    if takes(call, 0):
        raise ApplicationTypeError(
            f"{rule} needs no argument and looks like a factory: call it, or write"
            " 'pkg.mod:factory()'"
        )
    if takes(call, 2) and not (takes(call, 3) and is_async(call)):
        if is_async(target):
            raise ApplicationTypeError(
                f"WSGI application must not be async, got {_shown(target)}; an ASGI one"
                " takes (scope, receive, send)"
            )
        return "WSGI"
    if takes(call, 3):
        return "ASGI"
    if takes(call, 1):
        raise ApplicationTypeError(
            f"{rule} takes one argument. Call a factory first, 'pkg.mod:factory(\"x\")'; give"
            " a view of Request -> Response to Application.from_view; give an ASGI 2"
            " application to asgiref.compatibility.guarantee_single_callable"
        )
    raise ApplicationTypeError(f"{rule} takes {_signature(call)}")


_ANY = 100
"""More arguments than anyone names: what takes them, takes any number."""


def _kind_of_class(target: type) -> Kind:
    """A class is an application when its instances are bodies, or can be awaited."""
    if _signature(target) is not None:  # dict and its like have none
        if takes(target, 2) and hasattr(target, "__iter__"):
            return "WSGI"
        if takes(target, 3) and hasattr(target, "__await__"):
            return "ASGI"
    raise ApplicationTypeError(
        f"application must be an instance, got the class {target!r}: call it first, or"
        f" write 'pkg.mod:{target.__name__}(...)'; an ASGI 2 application goes through"
        " asgiref.compatibility.guarantee_single_callable"
    )


def takes(call: Any, count: int) -> bool:
    """Say whether *call* can be called with *count* positional arguments and no more.

    C code that does not say what it takes is believed to take them.
    """
    if not callable(call):
        return False
    signature = _signature(call)
    if signature is None:
        return True
    try:
        signature.bind(*range(count))
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
    import inspect

    call = _method(call)
    return inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)


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
