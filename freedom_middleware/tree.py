"""The children of an application: one finder for routes, explain and check.

An object shows itself with the *children protocol*, every part of which may be left out:

``wsgi_children()``
    returns pairs of a label and an application.  A label says when the child is chosen,
    such as the prefix of a mount; it is ``""`` for the one child of a layer.
``wsgi_choices(environ)``
    returns, for one request, the children that it would be given to: one :class:`Choice`,
    or several where the answers decide, as in a cascade.  It changes nothing.
``wsgi_name``, ``wsgi_made_at``
    are what its user calls it, and ``FILE:LINE`` of the line that made it.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from .targets import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .wsgi import Environ, WSGIApplication

__all__ = ["Choice", "Node", "children_of", "draw", "name_of", "walk"]


class Choice(NamedTuple):
    """A child that a request would be given to, and why.

    Attributes:
        label: Its label among the children.
        application: The child, or what answers in its place, such as a 404.
        environ: What the application would see; the request's own is left as it is.
        reason: Why, for people to read: ``"prefix /shop"``.
        near_misses: Labels of children that look as if they should have been chosen, each
            with the reason why they were not.
    """

    label: str
    application: WSGIApplication
    environ: Environ
    reason: str
    near_misses: tuple[tuple[str, str], ...] = ()


class Node(NamedTuple):
    """One application in the tree of a composed one.

    Attributes:
        depth: 0 for the outermost.
        label: When its parent chooses it; ``""`` where there is nothing to choose.
        name: What its user calls it.
        application: The application itself.
    """

    depth: int
    label: str
    name: str
    application: WSGIApplication


def children_of(application: WSGIApplication) -> Iterable[tuple[str, WSGIApplication]]:
    """Return the labelled children of *application*, none for a leaf."""
    children = getattr(application, "wsgi_children", None)
    return () if children is None else tuple(children())


def walk(application: WSGIApplication) -> Iterator[Node]:
    """Yield *application* and everything below it, outermost first.

    An application that is its own descendant is named there, and not entered again.
    """
    above: set[int] = set()

    def visit(depth: int, label: str, application: WSGIApplication) -> Iterator[Node]:
        yield Node(depth, label, name_of(application), application)
        if id(application) not in above:
            above.add(id(application))
            for child_label, child in children_of(application):
                yield from visit(depth + 1, child_label, child)
            above.discard(id(application))

    return visit(0, "", application)


def draw(application: WSGIApplication) -> str:
    """Return the tree as text, one line per application, for a terminal.

    >>> from freedom_middleware import CloseGuard, Mount
    >>> from freedom_middleware.testing import hello
    >>> print(draw(CloseGuard(Mount(None, {"/hi": hello}))))
    CloseGuard
    └─ Mount
       ├─ /hi  hello
       └─ *    404 Not Found
    """
    nodes = list(walk(application))
    lines = [nodes[0].name]
    open_below: list[bool] = []  # for each level, whether a sibling is still to come
    for index, node in enumerate(nodes[1:], 1):
        siblings = _siblings(nodes, index)
        del open_below[node.depth - 1 :]
        open_below.append(siblings[-1] is not node)
        indent = "".join("│  " if more else "   " for more in open_below[:-1])
        width = max(len(sibling.label) for sibling in siblings)
        label = f"{node.label:<{width}}  " if width else ""
        lines.append(f"{indent}{'├─' if open_below[-1] else '└─'} {label}{node.name}")
    return "\n".join(lines)


def _siblings(nodes: list[Node], index: int) -> list[Node]:
    depth = nodes[index].depth
    before = takewhile(lambda node: node.depth >= depth, reversed(nodes[:index]))
    after = takewhile(lambda node: node.depth >= depth, nodes[index:])
    return [n for n in [*reversed(list(before)), *after] if n.depth == depth]
