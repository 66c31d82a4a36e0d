"""Import strings: text that names an application, in gunicorn's form."""

from __future__ import annotations

import importlib
import os
import sys
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .errors import ApplicationError, FreedomError
from .settings import is_missing, noticing
from .targets import one_line, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    Arguments = tuple[list[Any], dict[str, Any]]

__all__ = ["import_of", "load", "module_of", "raised"]

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


def import_of(spec: str) -> Any:
    """Import the module that an import string names, and return it.

    Raises:
        ApplicationError: As :func:`load`.
    """
    with noticing(spec):
        return _import(spec, module_of(spec))


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
    if not _is_module(module_name):
        # The name of a file, as an editor or a shell completes it.
        meant = module_name.removeprefix("./").removesuffix(".py").replace("/", ".")
        raise (
            ApplicationError(f"{wrong}. Did you mean {meant + colon + expression!r}?")
            if _is_module(meant)
            else wrong
        )
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


def _is_module(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


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
    from importlib.util import find_spec

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
    elif hasattr(found, "__path__") and find_spec(f"{module_name}.wsgi"):
        hint = f". Did you mean '{module_name}.wsgi'?"
    else:
        hint = ""
    return (
        f"application must name an attribute that exists, got {spec!r}: {owner} has no"
        f" {name!r}{hint}"
    )


def _call(spec: str, factory: Any, arguments: Arguments) -> Any:
    if not callable(factory):
        raise ApplicationError(
            f"factory must be callable, got {shown(factory)} from {spec!r};"
            " without the brackets it is taken as it is"
        )
    positional, keyword = arguments
    with _telling("factory must return an application", spec):
        made = factory(*positional, **keyword)
    if isinstance(made, types.CoroutineType):
        made.close()
        raise ApplicationError(
            f"factory must not be async, got {shown(factory)} from {spec!r}; there is no"
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
        raise ApplicationError(f"{rule}, got {raised(error)} from {spec!r}") from error


def raised(error: BaseException) -> str:
    """Describe an exception in one line, with the place that raised it."""
    import traceback

    text, place = str(error), ""
    if isinstance(error, SyntaxError):
        text, place = error.msg, f" ({error.filename}:{error.lineno})"
    else:
        for frame, line in traceback.walk_tb(error.__traceback__):
            filename = frame.f_code.co_filename
            if os.path.dirname(filename) not in _OURS and not filename.startswith(
                "<frozen importlib"
            ):
                place = f" ({filename}:{line})"
    colon = ": " if text else ""
    return f"{type(error).__name__}{colon}{one_line(text)}{place}"


_OURS = tuple(map(os.path.dirname, (__file__, importlib.__file__)))
