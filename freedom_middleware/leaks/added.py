"""The line at which the user's own code put a layer around an application.

An object does not remember who made it, so the code is read: a call of what makes such a
layer, or a decorator.  Nothing is run.  Where several lines may have made it, all of them
are named; where none is found, none is made up.
"""

from __future__ import annotations

import ast
import functools
import inspect
import site
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..places import is_a
from ..project import parse, statements

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Line", "lines_of"]


MOST = 8
"""More lines than that say nothing."""


class Line(NamedTuple):
    """A place where code makes a layer.

    Attributes:
        path: The file.
        node: The call, or the decorator.
        is_decorator: Which of them.
        skip: How many arguments of the call come before the application.
        is_certain: The name that it gives to the layer still stands for that very layer.
    """

    path: Path
    node: ast.expr
    is_decorator: bool = False
    skip: int = 0
    is_certain: bool = False

    def __str__(self) -> str:
        path = self.path
        here = Path.cwd()
        shown = path.relative_to(here) if path.is_relative_to(here) else path
        return f"{shown.as_posix()}:{self.node.lineno}"


def lines_of(layer: object, first: str) -> list[Line]:
    """Return the lines that may have made *layer*, those in the module *first* before others.

    Args:
        layer: An application that calls another one.
        first: The name of the module that was checked.

    Only modules of the user's own are read: *first*, and what lies below the working
    directory and in no environment.
    """
    found: list[Line] = []
    for module in _own_modules(first):
        path = Path(str(module.__file__))
        source = _source(path) if module.__name__ == first or _mentions(path, layer) else None
        if source is not None:
            found += _in_module(layer, module, path, source)
    certain = [line for line in found if line.is_certain]
    return certain[-1:] or found[:MOST]


def _mentions(path: Path, layer: object) -> bool:
    """Say whether a file may make *layer*, so that few have to be parsed."""
    owner: Any = layer.__self__ if type(layer) is types.MethodType else layer
    while is_a(owner, functools.partial):
        owner = functools.partial.__reduce__(owner)[2][0]
    is_function = type(owner) is types.FunctionType
    named = owner.__code__.co_qualname if is_function else type(owner).__name__
    names = {part.encode() for part in named.split(".") if part.isidentifier()}
    try:
        text = path.read_bytes()
    except OSError:
        return False
    return any(name in text for name in names)


def _own_modules(first: str) -> Iterator[types.ModuleType]:
    """Yield the modules that the user wrote and that are loaded, *first* before others."""
    here = Path.cwd()
    foreign = {Path(path) for path in (sys.prefix, sys.base_prefix, *site.getsitepackages())}
    foreign = {path for path in foreign if not here.is_relative_to(path)}
    modules = sys.modules.copy()
    for name in dict.fromkeys((first, *sorted(modules))):
        module = modules.get(name)
        file = getattr(module, "__file__", None)
        if not isinstance(module, types.ModuleType) or not isinstance(file, str):
            continue
        path = Path(file)
        if name == first or (
            path.suffix == ".py"
            and path.is_relative_to(here)
            and not any(path.is_relative_to(folder) for folder in foreign)
            and "site-packages" not in path.parts
        ):
            yield module


def _source(path: Path) -> ast.Module | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return _parsed(path, status.st_mtime_ns)


@functools.lru_cache(maxsize=100)
def _parsed(path: Path, _changed: int) -> ast.Module | None:
    """Parse a file once, so that a line of it is the same object for each layer."""
    return parse(path)


def _in_module(
    layer: object, module: types.ModuleType, path: Path, tree: ast.Module
) -> Iterator[Line]:
    names = _names(module, tree)
    waiting: list[ast.AST] = [tree]
    results = _results(tree, names)
    while waiting:
        node = waiting.pop()
        decorators = getattr(node, "decorator_list", [])
        for decorator in decorators:
            made = _made_by(layer, decorator, names)
            if made is not None or _made_by(layer, ast.Call(decorator, [], []), names) == 0:
                yield Line(path, decorator, is_decorator=True)
        inner = [child for child in ast.iter_child_nodes(node) if child not in decorators]
        if isinstance(node, ast.Call):
            skip = _made_by(layer, node, names)
            if skip is not None:
                result = results.get(node, layer)
                if result is layer:
                    yield Line(path, node, skip=skip, is_certain=node in results)
                # `Layer(option)(application)`: what is called was found with the call.
                inner = [child for child in inner if child is not node.func]
        waiting += reversed(inner)


def _results(tree: ast.Module, names: dict[str, Any]) -> dict[ast.AST, object]:
    """Return what calls have returned, where a name was given it and still stands for it."""
    last: dict[str, tuple[ast.expr, ast.expr]] = {}
    for node in statements(tree):
        if isinstance(node, ast.Assign):
            last |= {ast.unparse(target): (target, node.value) for target in node.targets}
    values = ((call, _value(target, names)) for target, call in last.values())
    return {call: value for call, value in values if value is not None}


def _made_by(layer: object, node: ast.expr, names: dict[str, Any]) -> int | None:
    """Return how many arguments come before the application, if *node* makes *layer*."""
    if not isinstance(node, ast.Call):
        return None
    maker = node.func
    while isinstance(maker, ast.Call):
        maker = maker.func
    made_by = _value(maker, names)
    if made_by is functools.partial:
        return 1 if _is_partial_of(layer, node, names) else None
    return 0 if _makes(made_by, layer) else None


def _is_partial_of(layer: object, node: ast.Call, names: dict[str, Any]) -> bool:
    if not (is_a(layer, functools.partial) and node.args):
        return False
    function = functools.partial.__reduce__(layer)[2][0]
    return _value(node.args[0], names) is function


def _makes(maker: object, layer: object) -> bool:
    """Say whether calling *maker* makes such a layer: its class, or a function around it."""
    if maker is None:
        return False
    owner = layer.__self__ if type(layer) is types.MethodType else layer
    if isinstance(maker, type):
        return type(owner) is maker
    function: Any = inspect.unwrap(maker) if callable(maker) else maker
    function = getattr(function, "__func__", function)
    return (
        type(function) is types.FunctionType
        and type(owner) is types.FunctionType
        and function is not owner
        and owner.__code__ in _codes_in(function.__code__)
    )


def _codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes_in(constant)


def _names(module: types.ModuleType, tree: ast.Module) -> dict[str, Any]:
    """Return what names stand for in a module, with what its functions import."""
    names: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = str(module.__package__).split(".")
                kept = package[: len(package) - node.level + 1]
                base = ".".join([*kept, base] if base else kept)
            for alias in node.names:
                value = _attribute(sys.modules.get(base), alias.name)
                names.setdefault(alias.asname or alias.name, value)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                shown = alias.asname or alias.name.partition(".")[0]
                names.setdefault(shown, sys.modules.get(alias.name if alias.asname else shown))
    return {**names, **vars(module)}


def _value(node: ast.expr, names: dict[str, Any]) -> object:
    """Return what a name, or a name with dots, stands for; None if that cannot be known."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        return _attribute(_value(node.value, names), node.attr)
    return None


def _attribute(owner: object, name: str) -> object:
    """Look an attribute up without running anybody's code."""
    if isinstance(owner, types.ModuleType):
        return vars(owner).get(name, sys.modules.get(f"{owner.__name__}.{name}"))
    return None if owner is None else inspect.getattr_static(owner, name, None)
