"""What an application is composed of, and which cookies collide in it; as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .cookies import collisions
from .terminal import PLAIN, Terminal, cut, printable, width_of
from .tree import Node, branches, origin, walk

if TYPE_CHECKING:
    from .wsgi import WSGIApplication

__all__ = ["to_dict", "to_text"]


def to_text(application: WSGIApplication, terminal: Terminal = PLAIN) -> str:
    """Return the tree of *application* for people: names, and beside them what they are.

    Where a line would be wider than *terminal*, its name is cut in the middle.  Under it
    stand the cookies that applications take from each other, if there are any.

    >>> from freedom_middleware import Mount
    >>> from freedom_middleware.testing import hello
    >>> print(to_text(Mount(None, {"/hi": hello})))  # doctest: +ELLIPSIS
    Mount                 ...
    ├─ /hi  hello          WSGI
    └─ *    404 Not Found
    """
    nodes = list(walk(application))
    kinds = max((len(node.kind) for node in nodes if node.kind != "Freedom"), default=0)
    beside = [origin(node.kind, node.framework, node.where, kinds) for node in nodes]
    names = [printable(node.name) for node in nodes]
    before = branches(nodes, ascii=terminal.ascii)
    room = max(width_of(text + name) for text, name in zip(before, names, strict=True))
    if terminal.columns is not None:
        # As much as is needed for what stands beside, but two thirds for the tree.
        least = min(max(map(width_of, beside)), terminal.columns // 3)
        room = min(room, terminal.columns - 2 - least)
        # ... of which a label leaves a third to the name.
        shortest = max(min(max(map(width_of, names)), room // 3), LEAST_NAME)
        before = branches(nodes, ascii=terminal.ascii, columns=room - shortest)
        names = [
            cut(name, max(room - width_of(text), LEAST_NAME), ascii=terminal.ascii)
            for text, name in zip(before, names, strict=True)
        ]
        left = max(terminal.columns - 2 - room, 0)
        beside = [cut(more, left, ascii=terminal.ascii) for more in beside]
    lines = []
    for text, name, more in zip(before, names, beside, strict=True):
        line = f"{terminal.paint(text, 'dim')}{name}"
        if more:
            gap = " " * max(room - width_of(text + name) + 2, 2)
            line += f"{gap}{terminal.paint(more, 'dim')}"
        lines.append(line)
    for collision in collisions(application):
        lines += ["", *map(printable, str(collision).split("\n"))]
    return "\n".join(lines)


LEAST_NAME = 6
"""Names are not cut shorter, however deep they stand."""


def to_dict(application: WSGIApplication) -> dict[str, Any]:
    """Return the tree as JSON has it: nested, under ``"children"``.

    The outermost has the collisions of cookies as well, under ``"cookies"``.
    """
    above: list[dict[str, Any]] = [{"children": []}]
    for node in walk(application):
        del above[node.depth + 1 :]
        shown = _shown(node)
        above[-1]["children"].append(shown)
        above.append(shown)
    root: dict[str, Any] = above[0]["children"][0]
    return root | {"cookies": [found._asdict() for found in collisions(application)]}


def _shown(node: Node) -> dict[str, Any]:
    return {
        "label": node.label,
        "name": node.name,
        "kind": node.kind,
        "framework": node.framework,
        "where": node.where,
        "children": [],
    }
