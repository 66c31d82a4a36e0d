"""Put CloseGuard directly inside a layer that is at fault, in the code that makes it.

A change is a few insertions, made in the text as it is, so that comments, line ends and the
encoding stay.  It is compared with what it was before it leaves here: without the insertions
the two must say the same, else nothing is proposed.
"""

from __future__ import annotations

import ast
import base64
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from ..edits import Change, encoding_of, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from .added import Line

__all__ = ["Unfit", "propose", "prove"]

GUARD = "CloseGuard"
_KEYWORDS = ("application", "app", "wsgi_app", "wsgi_application", "wsgi")


class Unfit(Exception):
    """The code is written in a way that is not understood; the text says which."""


def propose(path: Path, lines: Sequence[Line]) -> Change:
    """Return the smallest change that puts a guard directly inside each of *lines*.

    Args:
        path: The file.
        lines: Where it makes layers.

    Raises:
        Unfit: It is written in a way that is not understood.
    """
    try:
        before = path.read_bytes()
        encoding = encoding_of(before)
        text = before.decode(encoding)
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError, LookupError) as error:
        raise Unfit(f"{path} cannot be read: {error}") from error
    if text.encode(encoding) != before:
        raise Unfit(f"{path} has bytes that its encoding, {encoding}, would write otherwise")
    rows = lines_of(text)
    guard = _bound_as(tree)
    name = guard or GUARD
    inserts: list[tuple[int, int, str]] = []
    for line in lines:
        inserts += _around(line, name, rows)
    if guard is None:
        inserts += _import(tree, min(line.node.lineno for line in lines), rows)
    after = "".join(_inserted(rows, inserts)).encode(encoding)
    if not _is_same(before, after, encoding, name):
        raise Unfit(f"{path} would say something else than it does, so it is left alone")
    return Change(path, before, after)


def _bound_as(tree: ast.Module) -> str | None:
    """Return the name that CloseGuard has in a module; None if it is not imported."""
    for node in tree.body:
        match node:
            case ast.ImportFrom(module="freedom_middleware" | "freedom_middleware.guard"):
                for alias in node.names:
                    if alias.name == GUARD:
                        return alias.asname or GUARD
    if any(
        (isinstance(node, ast.Name) and node.id == GUARD)
        or (isinstance(node, ast.alias) and (node.asname or node.name) == GUARD)
        or (isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == GUARD)
        for node in ast.walk(tree)
    ):
        raise Unfit(f"{GUARD} already stands for something there")
    return None


def _around(line: Line, name: str, rows: list[str]) -> Iterator[tuple[int, int, str]]:
    """Yield what makes a line put the guard around the application that it is given."""
    node = line.node
    if line.is_decorator:
        row = (node.end_lineno or node.lineno) - 1
        indent = rows[node.lineno - 1].partition("@")[0]
        yield row + 1, 0, f"{indent}@{name}{_end_of(rows, row)}"
        return
    assert isinstance(node, ast.Call)
    argument = _application_of(node, line.skip)
    inside = argument.func if isinstance(argument, ast.Call) else None
    if isinstance(inside, ast.Name) and inside.id == name:
        raise Unfit(f"{line} has a {name} already")
    yield argument.lineno - 1, _column(rows, argument.lineno, argument.col_offset), f"{name}("
    last = argument.end_lineno or argument.lineno
    yield last - 1, _column(rows, last, argument.end_col_offset or 0), ")"


def _application_of(call: ast.Call, skip: int) -> ast.expr:
    """Return the argument that is the application: the first that could be one."""
    given = call.args[skip:]
    for argument in given:
        if isinstance(argument, ast.Starred):
            break
        if not isinstance(argument, ast.Constant):
            return argument
    for keyword in call.keywords:
        if keyword.arg in _KEYWORDS:
            return keyword.value
    raise Unfit(f"line {call.lineno} does not show which argument is the application")


def _column(rows: list[str], number: int, offset: int) -> int:
    """Return the column of what ast counts in bytes of UTF-8."""
    return len(rows[number - 1].encode()[:offset].decode())


def _import(tree: ast.Module, used: int, rows: list[str]) -> Iterator[tuple[int, int, str]]:
    """Yield what imports CloseGuard, by an import that is there or by one after the last."""
    last: ast.stmt | None = None
    for node in tree.body:
        if (node.end_lineno or node.lineno) >= used:
            break
        if isinstance(node, ast.ImportFrom) and node.module == "freedom_middleware":
            after = next((alias for alias in node.names if alias.name > GUARD), None)
            alias = after or node.names[-1]
            if after:
                row, column, text = alias.lineno, alias.col_offset, f"{GUARD}, "
            else:
                row, column = alias.end_lineno or 0, alias.end_col_offset or 0
                text = f", {GUARD}"
            yield row - 1, _column(rows, row, column), text
            return
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            last = node
    statement = f"from freedom_middleware import {GUARD}"
    if last is not None:
        row = (last.end_lineno or last.lineno) - 1
        yield row + 1, 0, f"{statement}{_end_of(rows, row)}"
        return
    first = tree.body[0]
    if ast.get_docstring(tree, clean=False) is not None:
        first = tree.body[1]
    decorators = getattr(first, "decorator_list", [])
    row = min(node.lineno for node in (first, *decorators)) - 1
    end = _end_of(rows, row)
    yield row, 0, f"{statement}{end}{end}"


def _end_of(rows: list[str], row: int) -> str:
    """Return how a line ends, or how the first one does."""
    for line in (rows[row], rows[0]):
        end = line[len(line.rstrip("\r\n")) :]
        if end:
            return end
    return "\n"


def _inserted(rows: list[str], inserts: list[tuple[int, int, str]]) -> list[str]:
    rows = rows.copy()
    # The last first, so that the places of the others stay; at one place the outer one last.
    for row, column, text in sorted(inserts, key=lambda insert: insert[:2], reverse=True):
        rows[row] = f"{rows[row][:column]}{text}{rows[row][column:]}"
    return rows


def _is_same(before: bytes, after: bytes, encoding: str, name: str) -> bool:
    """Say whether two files say the same but for guards and their import."""
    try:
        old, new = (
            ast.dump(_Without(name).visit(ast.parse(data.decode(encoding))))
            for data in (before, after)
        )
    except SyntaxError:
        return False
    return old == new and encoding_of(after) == encoding


class _Without(ast.NodeTransformer):
    """Takes guards, and the import of CloseGuard, out of a module."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _is_guard(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == self._name

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if self._is_guard(node.func) and len(node.args) == 1 and not node.keywords:
            return node.args[0]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.decorator_list = [each for each in node.decorator_list if not self._is_guard(each)]
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        if node.module == "freedom_middleware":
            node.names = [alias for alias in node.names if alias.name != GUARD]
        return node if node.names else None


# -- proof --


def prove(changes: Sequence[Change], spec: str, paths: Sequence[str]) -> dict[str, Any]:
    """Check again, in a process of its own that reads the changed text; nothing is written.

    Returns:
        What :func:`~freedom_middleware.leaks.report.to_dict` makes of the report.

    Raises:
        Unfit: It could not be checked; the text is the end of what the process said.
    """
    files = {
        os.path.realpath(change.path): base64.b64encode(change.after).decode()
        for change in changes
    }
    question = json.dumps({"spec": spec, "paths": list(paths), "files": files})
    done = subprocess.run(  # noqa: S603 - our own module, with this Python
        [sys.executable, "-m", f"{__package__}.proof"],
        input=question,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    if done.returncode:
        raise Unfit((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
