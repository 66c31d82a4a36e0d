"""Which application a folder holds, found out by reading and without running anything.

A command that is given no import string asks here.  What is found is said with the reason,
and what is not found with what was looked for.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .errors import ProjectError
from .settings import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Found", "file_of", "find", "find_spec", "parse", "settings_of", "statements"]

MODULES = ("wsgi.py", "application.py", "app.py", "main.py")
"""Files that hold an application where no manage.py says which."""

NAMES = ("application", "app")
FACTORIES = ("create_app", "make_app")

_DEEP = 10
"""So many ``from .base import *`` are followed."""


class Found(NamedTuple):
    """An application that was found.

    Attributes:
        spec: Its import string: ``"mysite.wsgi"``.
        reason: What says so, for people: ``"WSGI_APPLICATION in mysite/settings.py"``.
    """

    spec: str
    reason: str


def find_spec(folder: Path) -> str:
    """Return the import string of the application that *folder* holds.

    As :func:`find`, without the reason.
    """
    return find(folder).spec


def find(folder: Path, environ: Mapping[str, str] | None = None) -> Found:
    """Find the application that *folder* holds: a Freedom project's, or another one.

    In this order: what ``WSGI_APPLICATION`` of the settings says that ``manage.py``, or
    ``DJANGO_SETTINGS_MODULE`` in the environment, names; ``wsgi.py`` in the folder of those
    settings; an application in ``wsgi.py``, ``application.py``, ``app.py`` or ``main.py``;
    the same one folder down, if there is only one.  Files are read and never run, so a
    value that is computed is not seen.

    Args:
        folder: Where to look; import strings are relative to it.
        environ: Environment variables; by default those of the process.

    Raises:
        ProjectError: There is none, or there are several.

    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "app.py").write_text("from shop import app")
    ...     find(pathlib.Path(folder))
    Found(spec='app:app', reason='app.py')
    """
    environ = os.environ if environ is None else environ
    manage = parse(folder / "manage.py")
    named = settings_of(manage) if manage else ""
    for settings in dict.fromkeys((environ.get(VARIABLE, ""), named)):
        found = _of_settings(folder, settings) if settings else None
        if found:
            return found
    if manage and named:
        raise ProjectError(
            "a project must say where its application is: WSGI_APPLICATION in its settings, or"
            f" a wsgi.py beside them, got neither for {named!r}, which {folder / 'manage.py'}"
            " names. Name the application: pkg.mod:application"
        )
    if (folder / "__init__.py").is_file():
        raise ProjectError(_nothing(folder))  # its modules have other names above it
    here = _in(folder, "")
    if here:
        return here
    below = [found for package in _packages(folder) if (found := _in(package, package.name))]
    if len(below) == 1:
        return below[0]
    if below:
        raise ProjectError(
            f"{folder} must hold one application, or an import string must say which, got"
            f" {', '.join(found.spec for found in below)}. Name one of them"
        )
    raise ProjectError(_nothing(folder))


def _nothing(folder: Path) -> str:
    hint = "Go to the folder that holds it, or name the application: pkg.mod:application"
    for near in (*folder.parents[:2], *sorted(folder.glob("*/"))):
        if (near / "manage.py").is_file():
            hint = f"There is a manage.py in {near}: go there first, or name the application"
            break
    if (folder / "__init__.py").is_file():
        return (
            "the working directory must be where import strings start, got a package:"
            f" {folder}. {hint}"
        )
    looked = ", ".join(("manage.py", *MODULES))
    return (
        "the working directory must hold an application, or an import string must name one,"
        f" got neither: no {looked} with one in {folder} or in a package in it. {hint}"
    )


# -- a project of the framework --


def settings_of(manage: ast.Module) -> str:
    """Return the settings module that *manage* puts into the environment."""
    for node in ast.walk(manage):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="setdefault"),
                args=[ast.Constant(value=key), ast.Constant(value=str(name))],
            ) if key == VARIABLE:
                return name
            case ast.Assign(
                targets=[ast.Subscript(slice=ast.Constant(value=key))],
                value=ast.Constant(value=str(name)),
            ) if key == VARIABLE:
                return name
    return ""


def _of_settings(folder: Path, settings: str) -> Found | None:
    path = file_of(folder, settings)
    if path is None:
        return None
    named = _value(path, folder, "WSGI_APPLICATION")
    module, _, attribute = named.rpartition(".")
    if module:
        spec = module if attribute == "application" else f"{module}:{attribute}"
        return Found(spec, f"WSGI_APPLICATION in {_shown(path, folder)}")
    parent = settings
    while parent := parent.rpartition(".")[0]:
        beside = file_of(folder, f"{parent}.wsgi")
        if beside is not None:
            return Found(f"{parent}.wsgi", f"it is beside the settings {settings}")
    return None


def _value(path: Path, folder: Path, name: str, deep: int = _DEEP) -> str:
    """Return the text that *name* has at the end of a module, as far as it is written there."""
    value = ""
    tree = parse(path)
    for node in statements(tree) if tree else ():
        match node:
            case ast.Assign(targets=targets, value=ast.Constant(value=constant)) if any(
                isinstance(target, ast.Name) and target.id == name for target in targets
            ):
                value = constant if isinstance(constant, str) else ""
            case ast.ImportFrom(names=[ast.alias(name="*")]) if deep:
                base = _imported(node, path, folder)
                value = (_value(base, folder, name, deep - 1) if base else "") or value
    return value


def _imported(node: ast.ImportFrom, path: Path, folder: Path) -> Path | None:
    """Return the file that a ``from ... import`` in *path* reads."""
    if node.level > len(path.parents):
        return None
    where = path.parents[node.level - 1] if node.level else folder
    return file_of(where, node.module or "__init__")


# -- any other application --


def _in(folder: Path, package: str) -> Found | None:
    """Return the application that the modules in *folder* hold, the likeliest."""
    for file in (*MODULES, "__init__.py") if package else MODULES:
        tree = parse(folder / file)
        module = file.removesuffix(".py")
        if package:
            module = package if module == "__init__" else f"{package}.{module}"
        name = _application_in(tree) if tree else ""
        if name:
            spec = module if name == "application" else f"{module}:{name}"
            return Found(spec, f"{package}/{file}" if package else file)
    return None


def _packages(folder: Path) -> Iterator[Path]:
    """Yield the folders that may be packages: those that hold Python, and no environment."""
    for path in sorted(folder.glob("*/")):
        if path.name.isidentifier() and not (path / "pyvenv.cfg").exists():
            yield path


def _application_in(tree: ast.Module) -> str:
    bound = dict.fromkeys(name for node in statements(tree) for name in _bound(node))
    for name in NAMES:
        if name in bound:
            return name
    for node in statements(tree):
        match node:
            case ast.FunctionDef(name=name, args=arguments) if name in FACTORIES:
                needed = len(arguments.posonlyargs + arguments.args) - len(arguments.defaults)
                if not needed and None not in arguments.kw_defaults:
                    return f"{name}()"
    return ""


def _bound(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement gives a value."""
    match node:
        case ast.Assign(targets=targets):
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
            yield name
        case ast.FunctionDef(name=name):
            yield name
        case ast.ImportFrom(names=names):
            yield from (alias.asname or alias.name for alias in names)


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements that run when a module is imported, in their order."""
    waiting: list[ast.AST] = list(reversed(tree.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt):
            yield node
        if isinstance(node, (ast.If, ast.Try, ast.With, ast.ExceptHandler)):
            if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
                continue  # that runs when it is a script
            waiting += reversed(list(ast.iter_child_nodes(node)))


# -- files --


def file_of(folder: Path, module: str) -> Path | None:
    """Return the file of a dotted module below *folder*, if it has one there."""
    path = folder.joinpath(*module.split("."))
    files = (path.parent / f"{path.name}.py", path / "__init__.py")
    return next(filter(Path.is_file, files), None)


def parse(path: Path) -> ast.Module | None:
    """Return what a Python file says; None if there is none, or it is no Python."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _shown(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
