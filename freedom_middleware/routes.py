"""What an application is composed of, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .terminal import PLAIN, Terminal, cut, padded, printable, width_of
from .tree import Node, branches, origin, walk

if TYPE_CHECKING:
    from .wsgi import WSGIApplication

__all__ = ["to_dict", "to_text"]


def to_text(application: WSGIApplication, terminal: Terminal = PLAIN) -> str:
    """Return the tree of *application* for people: names, and beside them what they are.

    Where a line would be wider than *terminal*, its name is cut in the middle.

    >>> from freedom_middleware import Mount
    >>> from freedom_middleware.testing import hello
    >>> print(to_text(Mount(None, {"/hi": hello})))  # doctest: +ELLIPSIS
    Mount                 ...
    ├─ /hi  hello          WSGI
    └─ *    404 Not Found
    """
    nodes = list(walk(application))
    before = branches(nodes, ascii=terminal.ascii)
    kinds = max((len(node.kind) for node in nodes if node.kind != "Freedom"), default=0)
    beside = [origin(node.kind, node.framework, node.where, kinds) for node in nodes]
    names = [printable(node.name) for node in nodes]
    room = max(map(_width, before, names))
    if terminal.columns is not None:
        widest = max(map(width_of, beside))
        room = min(room, max(terminal.columns - widest - 2, terminal.columns // 2))
    return "\n".join(map(lambda *row: _line(*row, room, terminal), before, names, beside))


def _width(before: str, name: str) -> int:
    return width_of(before) + width_of(name)


def _line(before: str, name: str, beside: str, room: int, terminal: Terminal) -> str:
    if terminal.columns is not None:
        left = max(room - width_of(before), 8)
        name = cut(name, left, ascii=terminal.ascii)
        beside = cut(beside, max(terminal.columns - room - 2, 8), ascii=terminal.ascii)
    gap = " " * max(room - _width(before, name) + 2, 2)
    shown = terminal.paint(before, "dim") + name
    return f"{shown}{gap}{terminal.paint(beside, 'dim')}" if beside else shown


def to_dict(application: WSGIApplication) -> dict[str, Any]:
    """Return the tree as JSON has it: nested, under ``"children"``."""
    above: list[dict[str, Any]] = [{"children": []}]
    for node in walk(application):
        del above[node.depth + 1 :]
        shown = _shown(node)
        above[-1]["children"].append(shown)
        above.append(shown)
    root: dict[str, Any] = above[0]["children"][0]
    return root


def _shown(node: Node) -> dict[str, Any]:
    return {
        "label": node.label,
        "name": node.name,
        "kind": node.kind,
        "framework": node.framework,
        "where": node.where,
        "children": [],
    }
