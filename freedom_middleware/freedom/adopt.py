"""Change somebody's ``wsgi.py``, so that its site is guarded and ready for mounts.

The site is what ``get_wsgi_application()`` returns, wherever in the file that stands, and
however many layers are around it: it becomes ``CloseGuard(Mount(get_wsgi_application(), {}))``.
Nothing else is touched, to the byte.  What is not understood is refused with a reason.
"""

from __future__ import annotations

import ast
import builtins
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ..edits import Change, encoding_of, lines_of
from ..errors import EditError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

__all__ = ["adopt", "find_wsgi"]

_IMPORT = "from freedom_middleware import CloseGuard, Mount"

# Who makes a site: the framework under its two names, and django-configurations.
_MAKERS = {
    f"{module}.get_wsgi_application"
    for module in ("django.core.wsgi", "freedom.core.wsgi", "configurations.wsgi")
}

_GUARDS = {"freedom_middleware.CloseGuard", "freedom_middleware.guard.CloseGuard"}

_BY_HAND = (
    "Change it by hand: 'from freedom_middleware import CloseGuard, Mount', and"
    " 'CloseGuard(Mount(site, {}))' in the place of the site, under whatever is around it"
)


def find_wsgi(folder: str | os.PathLike[str] = ".") -> Path:
    """Return the ``wsgi.py`` of the project in *folder*.

    Raises:
        EditError: There is none, or there are several.
    """
    here = Path(folder)
    found = sorted(
        path
        for pattern in ("wsgi.py", "*/wsgi.py", "*/*/wsgi.py")
        for path in here.glob(pattern)
        if "site-packages" not in path.parts and not any(p[:1] == "." for p in path.parts)
    )
    if len(found) == 1:
        return found[0]
    names = ", ".join(map(str, found)) or "none"
    raise EditError(
        f"project must have one wsgi.py, got {names}. Say which: freedom-middleware adopt"
        " FOLDER/wsgi.py"
    )


def adopt(path: str | os.PathLike[str]) -> Change:
    """Return how *path*, a ``wsgi.py``, is to be changed; change nothing.

    Raises:
        EditError: It cannot be read, or is not understood; the message says why, and
            what to do by hand.
    """
    path = Path(path)
    try:
        old = path.read_bytes()
    except OSError as error:
        raise EditError(
            f"wsgi.py must be a file that can be read, got {str(path)!r}: {error.strerror}"
        ) from error
    try:
        encoding = encoding_of(old)
        new = composed(old.decode(encoding)).encode(encoding)
    except (SyntaxError, ValueError) as error:
        reason = str(error)
        if isinstance(error, SyntaxError) and error.lineno:
            reason = f"{error.msg} in line {error.lineno}"
        raise EditError(f"wsgi.py must be Python, got {str(path)!r}: {reason}") from error
    except _Refusal as refusal:
        raise EditError(
            f"wsgi.py must be one that can be understood, got {str(path)!r}:"
            f" {refusal}. {_BY_HAND}"
        ) from None
    return Change(path, old, new)


class _Refusal(Exception):
    """The reason why a text is not understood."""


def composed(source: str) -> str:
    r"""Return the text of a ``wsgi.py`` with its site guarded and ready for mounts.

    Raises:
        SyntaxError: It is not Python.
        ValueError: As SyntaxError, for a null character.

    >>> source = '''
    ... from django.core.wsgi import get_wsgi_application
    ... application = Layer(get_wsgi_application())
    ... '''
    >>> print(composed(source))
    <BLANKLINE>
    from django.core.wsgi import get_wsgi_application
    from freedom_middleware import CloseGuard, Mount
    application = Layer(CloseGuard(Mount(get_wsgi_application(), {})))
    <BLANKLINE>
    """
    tree = ast.parse(source)
    names = _imported(tree)
    if any(_dotted(node, names) in _GUARDS for node in ast.walk(tree)):
        return source
    calls = _sites(tree, names)
    known = set(_named(tree))
    for name in ("CloseGuard", "Mount"):
        if name in known:
            raise _Refusal(f"the name {name} has another meaning in it")
    if "*" in known:
        raise _Refusal("an 'import *' may give the names CloseGuard and Mount another meaning")
    lines = lines_of(source)
    for call in reversed(calls):
        _insert(lines, call.end_lineno, call.end_col_offset, ", {}))")
        _insert(lines, call.lineno, call.col_offset, "CloseGuard(Mount(")
    line = _line_for_import(tree, calls[0])
    before = lines[line - 1]
    ending = before[len(before.rstrip("\r\n")) :]
    noqa = re.search(r"\s*#\s*noqa\b.*", before.rstrip("\r\n"))
    lines.insert(line, f"{_IMPORT}{noqa[0] if noqa else ''}{ending}")
    new = "".join(lines)
    assert _undone(ast.parse(new)) == ast.dump(tree), "more has changed than was meant"
    return new


def _imported(tree: ast.Module) -> dict[str, str]:
    """Return what each name that is imported stands for, as a dotted path."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
    return names


def _named(tree: ast.Module) -> Iterator[str]:
    """Yield every name that stands in the module, with whatever meaning."""
    for node in ast.walk(tree):
        if isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg


def _sites(tree: ast.Module, names: dict[str, str]) -> list[ast.Call]:
    """Return the calls that make the site, in the order of the text."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _dotted(node.func, names) in _MAKERS
    ]
    # One that is thrown away only sets the framework up.
    calls = [call for call in calls if not isinstance(parents[call], ast.Expr)]
    if not calls:
        raise _Refusal("it does not call the framework's get_wsgi_application()")
    for call in calls:
        _trace(tree, call, parents)
    return sorted(calls, key=lambda call: (call.lineno, call.col_offset))


def _dotted(node: ast.AST, names: dict[str, str]) -> str:
    """Return the dotted path that a name or an attribute stands for, ``""`` if none."""
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, "") if isinstance(node, ast.Name) else ""


def _trace(tree: ast.Module, call: ast.Call, parents: dict[ast.AST, ast.AST]) -> None:
    """Refuse *call* unless all that happens to its result is to be called as WSGI is."""
    where = f"in line {call.lineno}"
    node: ast.AST = call
    while isinstance(parent := parents[node], ast.Call | ast.keyword | ast.Dict | ast.IfExp):
        if isinstance(parent, ast.Call):
            if parent.func is node:
                raise _Refusal(f"{where}, the site is called where it is made")
            if isinstance(parent.func, ast.Name) and hasattr(builtins, parent.func.id):
                raise _Refusal(f"{where}, the site is given to {parent.func.id}()")
        node = parent
    statement = parents[node]
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        raise _Refusal(f"{where}, the site is not simply assigned to a name")
    above: ast.AST = statement
    while above is not tree:
        above = parents[above]
        if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            raise _Refusal(f"{where}, the site is made inside of {above.name}")
        if isinstance(above, ast.For | ast.While):
            raise _Refusal(f"{where}, the site is made in a loop")
    if node is not call:
        return  # a layer has it
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    for target in targets:
        if not isinstance(target, ast.Name):
            raise _Refusal(f"{where}, the site is not simply assigned to a name")
        _watch(tree, target, statement)


def _watch(tree: ast.Module, target: ast.Name, statement: ast.stmt) -> None:
    """Refuse a name of the site that is asked for an attribute, which a guard has not."""
    again = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Name)
        and node.id == target.id
        and isinstance(node.ctx, ast.Store)
        and node.lineno > statement.lineno
    ]
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == target.id
            and statement.lineno < node.lineno <= min(again, default=node.lineno)
        ):
            raise _Refusal(
                f"in line {node.lineno}, {target.id}.{node.attr} is used, which a guarded"
                " application has not"
            )


def _line_for_import(tree: ast.Module, call: ast.Call) -> int:
    """Return the number of the line behind which our import can stand.

    That is where the framework is imported: what has to happen before has happened there.
    """
    for node, following in pairwise(tree.body):
        last = node.end_lineno or 0
        if (
            isinstance(node, ast.Import | ast.ImportFrom)
            and any("wsgi" in alias.name for alias in node.names)
            and last < min(following.lineno, call.lineno)
        ):
            return last
    raise _Refusal("get_wsgi_application is not imported on a line of its own at the top")


def _insert(lines: list[str], number: int | None, offset: int | None, text: str) -> None:
    """Put *text* where the syntax tree says: offsets are those of UTF-8."""
    assert number is not None
    line = lines[number - 1].encode()
    lines[number - 1] = (line[:offset] + text.encode() + line[offset:]).decode()


def _undone(tree: ast.Module) -> str:
    """Return *tree* as it would be without our change."""

    class Undo(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.AST:
            if isinstance(node.func, ast.Name) and node.func.id == "CloseGuard":
                mount = node.args[0]
                assert isinstance(mount, ast.Call)
                return mount.args[0]
            return self.generic_visit(node)

    tree.body = [node for node in tree.body if ast.unparse(node) != _IMPORT]
    return ast.dump(Undo().visit(tree))
