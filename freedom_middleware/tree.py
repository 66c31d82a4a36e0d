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
``wsgi_adapts``
    is what an adapter serves that is no WSGI application itself: an ASGI application, a
    view.

Other people's layers are found by looking: into attributes, slots, closures, partials,
proxies, and the lists and dicts among these.  Nothing of theirs is called, asked for an
attribute, or loaded (see :mod:`freedom_middleware.places`).
"""

from __future__ import annotations

import re
import types
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import ApplicationTypeError, FreedomError
from .lazy import Lazy
from .origins import framework_of, relative, where_of
from .places import MISSING, Place, behind, declared, entry_of, is_a, lookup, places_in
from .plausible import is_telling, kind_by_looks
from .specs import raised
from .targets import name_of
from .terminal import cut, padded, printable, width_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from .wsgi import Environ, WSGIApplication

    Look = Callable[[Any, str, Place | None], Iterator[Place]]

__all__ = [
    "Choice",
    "Description",
    "Edge",
    "Node",
    "adapted",
    "ask",
    "bare",
    "branches",
    "candidates",
    "children_of",
    "describe",
    "draw",
    "edges_of",
    "is_named",
    "name_of",
    "origin",
    "package_of",
    "walk",
]


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
        kind: ``"WSGI"``, ``"ASGI"``, ``"Freedom"``, ``"view"`` or ``"lazy"``; ``""`` for
            what only stands around others.
        framework: The distribution that its class comes from, and its version; ``""`` for
            the user's own.
        where: ``FILE:LINE`` where it was made, else where the user's own code defines it;
            ``""`` for what others have written.
    """

    depth: int
    label: str
    name: str
    application: WSGIApplication
    kind: str = ""
    framework: str = ""
    where: str = ""


class Edge(NamedTuple):
    """The way from an application to one of its children.

    Attributes:
        label: As in :class:`Node`.
        application: The child.
        places: Where the parent holds it: whoever stands in all of these is called in its
            place.  They hold what is really called, which of an
            :class:`~freedom_middleware.Application` is its ``wsgi``.  Empty if it cannot
            be reached.  Where several labels of a tree of ours lead to one application,
            they have all its places in common.
        routes: Of a guess, the routes that are written down on the way to it.
        through: Of a guess, what stands between the two and could be called as well.
    """

    label: str
    application: WSGIApplication
    places: tuple[Place, ...]
    routes: tuple[str, ...] = ()
    through: tuple[Any, ...] = ()


def children_of(
    application: WSGIApplication, *, above: Collection[object] = ()
) -> Iterable[tuple[str, WSGIApplication]]:
    """Return the labelled children of *application*, none for a leaf.

    Args:
        application: Whose children.
        above: The applications around it, as :func:`bare` has them.  What leads back to
            one of these, as a method does to its own object, is no child.
    """
    told = _told(application)
    if told is not None:
        return told
    return tuple((edge.label, edge.application) for edge in _found(application, above))


def edges_of(
    application: WSGIApplication, *, above: Collection[object] = ()
) -> tuple[Edge, ...]:
    """Return what :func:`children_of` does, with the places that hold each child."""
    told = _told(application)
    if told is None:
        return tuple(_found(application, above))
    inner = bare(application)
    if inner is not application:
        return edges_of(inner, above=above)
    called = [adapted(child) for _, child in told]
    wanted = {id(thing) for thing in [*called, *(child for _, child in told)]}
    holding: dict[int, list[Place]] = {}
    package = package_of(application)
    for place, value, _ in _reachable(
        application,
        # Deep, as a table of long prefixes is, but into nobody else's objects.
        64,
        lambda value: id(value) not in wanted and package_of(value) in (package, "builtins"),
    ):
        if id(value) in wanted:
            holding.setdefault(id(value), []).append(place)
    return tuple(
        Edge(label, child, tuple(holding.get(id(inner)) or holding.get(id(child)) or ()))
        for (label, child), inner in zip(told, called, strict=True)
    )


def candidates(
    application: WSGIApplication, *, hops: int = 6, look: Look = places_in
) -> tuple[Edge, ...]:
    """Return whatever below *application* could be called as one: a guess, to be tried.

    Unlike :func:`children_of` this looks through other objects, and takes everything that
    two arguments could be given to.  A label is the path that leads there.

    Args:
        application: Where to begin.
        hops: Through how many objects to look.
        look: Yields the places in an object.
    """
    found: dict[int, tuple[Any, list[Place], list[str], tuple[Any, ...]]] = {}
    named: dict[str, list[str]] = {}  # routes by the name of what they lead to
    for place, value, way in _reachable(application, hops, lambda value: True, look):
        if type(value) is str and place.name in _NAMES and not named.get(value):
            named[value] = list(_routes_in(way[-1]))
        if any(value is thing for thing in way):
            continue  # what refers to itself
        if kind_by_looks(value, telling=True) == "WSGI":
            known = found.setdefault(id(value), (value, [], [], way[1:]))
            known[1].append(place)
            known[2].extend(text for thing in way[1:] for text in _routes_in(thing))
    for _, places, routes, _ in found.values():
        for key in re.findall(r"\['([^']+)'\]", places[0].path):
            routes += named.get(key, ())
    return tuple(
        Edge(
            places[0].path,
            value,
            tuple(places),
            tuple(dict.fromkeys(routes)),
            tuple(thing for thing in way if kind_by_looks(thing, telling=True)),
        )
        for value, places, routes, way in found.values()
    )


_NAMES = ("endpoint", "name", "route_name")


def _routes_in(thing: Any) -> Iterator[str]:
    """Yield what *thing* itself, a route or a row of a table, says of paths."""
    for place in places_in(thing):
        value = _value_of(place)
        if type(value) is re.Pattern:
            value = value.pattern
        if type(value) is str and value.lstrip("^")[:1] == "/":
            yield value


def adapted(application: Any) -> Any:
    """Return what is called in place of an adapter that only names it; else *application*."""
    if declared(application, "wsgi_name") is MISSING:
        return application
    inner = behind(lookup(application, "wsgi"))
    if type(inner) is Lazy:
        inner = behind(inner.wsgi_adapts) or inner
    return application if inner is MISSING else inner


def bare(application: Any) -> Any:
    """Return what *application* is without its adapter, unless that stands above it."""
    return application if is_named(application) else adapted(application)


def is_named(application: Any) -> bool:
    """Say whether an adapter has a name of its own, and so stands above what it names."""
    return name_of(application) != name_of(adapted(application))


class Description(NamedTuple):
    """What can be said of one application: the last fields of :class:`Node`."""

    kind: str
    framework: str
    where: str


def describe(application: WSGIApplication, *, around: bool = False) -> Description:
    """Return the kind of *application*, where it comes from, and where it was made.

    Args:
        application: What to describe.
        around: Whether it has children; then it is no kind of its own.
    """
    inner: Any = adapted(application)
    kind = ""
    if declared(application, "wsgi_name") is MISSING:
        kind = kind_by_looks(application, telling=True) or ""
    elif lookup(application, "kind") is not MISSING:
        shown: Any = application
        kind = shown.kind
    made_at = declared(inner, "wsgi_made_at")
    if around and kind == "WSGI":
        kind = ""
    if around and is_named(application):
        return Description(kind, "", "")  # a name that stands above what it names
    if is_a(made_at, str):
        return Description(kind, "", relative(made_at))
    target = inner
    while (adapts := declared(target, "wsgi_adapts")) is not MISSING:
        target = adapts
    if target is None:
        return Description(kind, "", "")  # a lazy one, not loaded yet
    return Description(kind, framework_of(target), where_of(target))


def origin(kind: str, framework: str, where: str, kind_width: int = 0) -> str:
    """Return what stands beside the name of an application: its kind, and its origin.

    >>> origin("Freedom", "Django 5.2.19", ""), origin("", "", "mysite/wsgi.py:6")
    ('Freedom (Django 5.2.19)', 'mysite/wsgi.py:6')
    """
    made = printable(framework or where)
    if not kind:
        return made
    if kind == "Freedom" and framework:
        return f"Freedom ({made})"
    return f"{kind:<{kind_width}}  {made}".rstrip()


def walk(application: WSGIApplication) -> Iterator[Node]:
    """Yield *application* and everything below it, outermost first.

    An application that is its own descendant is named there, and not entered again.
    """
    for depth, label, child, around in _descend(application):
        yield Node(depth, label, name_of(child), child, *describe(child, around=around))


def draw(application: WSGIApplication, *, ascii: bool = False) -> str:
    """Return the tree as text, one line per application, for a terminal.

    Args:
        application: What stands at the top.
        ascii: Whether its branches must be drawn in ASCII.

    >>> from freedom_middleware import CloseGuard, Mount
    >>> from freedom_middleware.testing import hello
    >>> print(draw(CloseGuard(Mount(None, {"/hi": hello}))))
    CloseGuard
    └─ Mount
       ├─ /hi  hello
       └─ *    404 Not Found
    """
    nodes = [
        Node(depth, label, name_of(child), child)
        for depth, label, child, _ in _descend(application)
    ]
    return "\n".join(
        f"{before}{printable(node.name)}"
        for before, node in zip(branches(nodes, ascii=ascii), nodes, strict=True)
    )


def branches(
    nodes: list[Node], *, ascii: bool = False, columns: int | None = None
) -> list[str]:
    """Return what stands before the name in each line of a tree: its branch and its label.

    Args:
        nodes: As :func:`walk` yields them.
        ascii: Draw with ASCII only.
        columns: Cut labels in the middle where they would need more.
    """
    is_last = [True] * len(nodes)
    follows: list[bool] = []  # for each depth, whether a sibling comes later
    for index in range(len(nodes) - 1, -1, -1):
        depth = nodes[index].depth
        del follows[depth + 1 :]
        follows.extend([False] * (depth + 1 - len(follows)))
        is_last[index], follows[depth] = not follows[depth], True
    parents: list[int] = []
    widths = Counter[int]()
    family = []
    for index, node in enumerate(nodes):
        del parents[node.depth :]
        family.append(parents[-1] if parents else -1)
        widths[family[-1]] = max(widths[family[-1]], width_of(printable(node.label)))
        parents.append(index)
    corner, fork, bar = ("`- ", "|- ", "|  ") if ascii else ("└─ ", "├─ ", "│  ")
    lines = []
    indents = [""]  # for each depth, what stands before the branches there
    for node, parent, last in zip(nodes, family, is_last, strict=True):
        del indents[node.depth + 1 :]
        branch = (corner if last else fork) if node.depth else ""
        width = widths[parent]
        label = printable(node.label)
        if columns is not None:
            width = min(width, max(columns - len(indents[-1]) - len(branch) - 2, 6))
            label = cut(label, width, ascii=ascii)
        label = padded(label, width) + "  " if width else ""
        lines.append(f"{indents[-1]}{branch}{label}")
        indents.append(indents[-1] + (("   " if last else bar) if node.depth else ""))
    return lines


OFTEN = 100
"""How often one application that many share is shown with all that is below it."""


def _descend(
    application: WSGIApplication,
) -> Iterator[tuple[int, str, WSGIApplication, bool]]:
    """Yield depth, label, application, and whether it is around others, outermost first."""
    entered = Counter[int]()
    above: list[object] = []
    waiting = [(0, "", application)]
    while waiting:
        depth, label, child = waiting.pop()
        del above[depth:]
        below: list[tuple[str, WSGIApplication]] = []
        inner = bare(child)
        if not any(inner is outer for outer in above) and entered[id(inner)] < OFTEN:
            entered[id(inner)] += 1
            below = list(children_of(child, above=above))
        yield depth, label, child, bool(below)
        above.append(inner)
        waiting += [(depth + 1, name, under) for name, under in reversed(below)]


def ask(application: Any, question: str, *arguments: object) -> tuple[Any, ...]:
    """Return what *application* answers to a question of the children protocol.

    Raises:
        ApplicationTypeError: It raises, or its answer is none.
    """
    rule = f"{question}() of {name_of(application)} must return {_ANSWERS[question]}"
    try:
        rows = tuple(getattr(application, question)(*arguments))
    except FreedomError:
        raise
    except Exception as error:
        raise ApplicationTypeError(f"{rule}, got {raised(error)}") from error
    for row in rows:
        is_pair = is_a(row, tuple, list) and len(row) == 2 and is_a(row[0], str)
        if not (is_a(row, Choice) if question == "wsgi_choices" else is_pair):
            raise ApplicationTypeError(f"{rule}, got {row!r} among them")
    return rows


_ANSWERS = {
    "wsgi_children": "pairs of a label, which is text, and an application",
    "wsgi_choices": "freedom_middleware.tree.Choice objects",
}


def _told(application: Any) -> tuple[tuple[str, WSGIApplication], ...] | None:
    """Return the children that *application* itself names, None if it does not say."""
    if declared(application, "wsgi_children") is not MISSING:
        return ask(application, "wsgi_children")
    if declared(application, "wsgi_adapts") is not MISSING:
        return ()
    if kind_by_looks(application, telling=True) == "ASGI":
        return ()
    return None


def _found(application: Any, above: Collection[object]) -> Iterator[Edge]:
    """Yield the children of somebody else's application, as they are seen."""
    around = set(map(id, above))
    own: Any = application
    if type(application) is types.MethodType:
        own = application.__self__
        if id(own) in around:
            return  # app.wsgi_app = Layer(app.wsgi_app)
    found: dict[tuple[int, str], tuple[str, Any, list[Place]]] = {}
    for place, label, telling in _shown(application):
        value = _value_of(place)
        if value is application or value is own or id(value) in around:
            continue
        if type(value) is types.MethodType and value.__self__ is own:
            continue  # a helper: what it serves is the object's own
        if place.name == "__wrapped__" and found and type(application) is types.FunctionType:
            continue  # functools.wraps leaves it to be read, and nobody calls it
        if kind_by_looks(value, telling=telling) is not None:
            held = found.setdefault((id(value), label), (place.name, value, []))
            held[2].append(place)
    alone = len(found) == 1
    # What a table leaves over is named last, as in ours.
    for last in (False, True):
        for (_, label), (name, value, places) in found.items():
            if last is (label == ""):
                yield Edge(label or ("" if alone else name), value, tuple(places))


def _shown(application: Any) -> Iterator[tuple[Place, str, bool]]:
    """Yield places that may hold a child, their labels, and whether children stand there."""
    for place in places_in(application):
        telling = is_telling(place.name)
        value = _value_of(place)
        if _is_table(value):
            for inner, label in _items(value, place, _texts(value), 4):
                yield inner, label, telling
        yield place, "", telling


def _items(
    container: Any, held: Place, labels: list[str], levels: int
) -> Iterator[tuple[Place, str]]:
    """Yield the places in a container with labels: keys, texts beside them, or numbers."""
    places = list(places_in(container, held.path, held))
    is_row = not is_a(container, dict) and bool(_texts(container))  # ("/shop", application)
    for number, place in enumerate(places, 1):
        value = _value_of(place)
        if is_a(container, dict):
            own = [place.name or place.path.removeprefix(held.path).strip("[]")]
        else:
            own = [] if is_row or len(places) == 1 else [str(number)]
        if not _is_table(value):
            yield place, " ".join([*labels, *own])
        elif levels > 1:
            texts = _texts(value)
            more = [*own, *texts] if is_a(container, dict) else texts or own
            yield from _items(value, place, [*labels, *more], levels - 1)


def _is_table(thing: Any) -> bool:
    """Say whether *thing* only holds; what can be called as well calls what it holds."""
    return is_a(thing, dict, list, tuple) and entry_of(type(thing), "__call__") is MISSING


def _texts(container: Any) -> list[str]:
    """Return the texts in a row of a table, which say when the application in it is chosen."""
    texts = []
    if is_a(container, list, tuple):
        for item in [_value_of(place) for place in places_in(container)]:
            if type(item) is re.Pattern and type(item.pattern) is str:
                item = item.pattern.replace(r"\/", "/").lstrip("^").rstrip("$")
            if type(item) is str:
                texts.append(item)
            elif type(item) is tuple and all(type(part) in (str, type(None)) for part in item):
                texts += [part for part in item if part is not None]
    return [text for text in texts if text] or ["''"][: len(texts)]


def _value_of(place: Place) -> Any:
    try:
        return behind(place.get())
    except (AttributeError, ValueError, LookupError):
        return MISSING  # an empty slot or cell, or it has changed meanwhile


MANY_PLACES = 200_000
"""After looking into so many places, what is left is believed to hold no application."""


def _reachable(
    application: object,
    hops: int,
    enter: Callable[[object], bool],
    look: Look = places_in,
) -> Iterator[tuple[Place, Any, tuple[Any, ...]]]:
    """Yield what can be reached from *application*, by the fewest steps first, and the way.

    Lists, tuples and dicts are no step of their own.
    """
    seen = {id(application)}
    waiting: deque[tuple[tuple[Any, ...], str, Place | None, int]] = deque(
        [((application,), "", None, hops)]
    )
    count = 0
    while waiting and count < MANY_PLACES:
        way, path, held, left = waiting.popleft()
        for place in look(way[-1], path, held):
            value = _value_of(place)
            count += 1
            if value is MISSING:
                continue
            yield place, value, way
            steps = left - (not is_a(value, dict, list, tuple))
            if id(value) not in seen and steps > 0 and enter(value):
                seen.add(id(value))
                waiting.append(((*way, value), place.path, place, steps))


def package_of(thing: Any) -> str:
    """Return the top-level package that *thing*, or its class, was written in."""
    if type(thing) is types.MethodType:
        thing = thing.__self__
    if type(thing) is types.FunctionType:
        module = thing.__globals__.get("__name__")
    else:
        own = thing if is_a(thing, type) else type(thing)
        module = type.__dict__["__dict__"].__get__(own).get("__module__", "builtins")
    return str(module).partition(".")[0]
