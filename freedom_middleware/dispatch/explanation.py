"""What :func:`~freedom_middleware.explain` found out, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..environ import text
from ..terminal import PLAIN, Terminal, cut, printable, width_of, wrapped
from ..tree import origin

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Explanation"]


class Explanation(NamedTuple):
    """One application that a request comes to, why, and where the request goes from there.

    ``str()`` of it is the text that ``freedom-middleware explain`` prints.

    Attributes:
        name: What its user calls it.
        kind: ``"WSGI"``, ``"ASGI"``, ``"Freedom"``, ``"view"`` or ``"lazy"``; ``""`` for
            what stands around others.
        framework: The distribution that it was written in, and its version.
        where: ``FILE:LINE`` where it was made, or is defined.
        script_name: SCRIPT_NAME as it sees it: a native string, as in environ.
        path_info: PATH_INFO as it sees it, likewise.
        label: Its label among the children of its parent: a prefix, a host...
        reason: Why its parent chose it; ``""`` where there was nothing to choose.
        near_misses: Labels of those that look as if they should have been chosen, each
            with the reason why they were not.
        note: What cannot be told, and why; else ``""``.
        root_path: What an ASGI application sees as ``root_path``, None for others.
        path: What an ASGI application sees as ``path``, None for others.
        possible: Label and name of each child, where it cannot be known which is chosen.
        next: Where the request goes from here: nowhere, to one application, or to the
            first of several that answers it.
    """

    name: str
    kind: str
    framework: str
    where: str
    script_name: str
    path_info: str
    label: str = ""
    reason: str = ""
    near_misses: tuple[tuple[str, str], ...] = ()
    note: str = ""
    root_path: str | None = None
    path: str | None = None
    possible: tuple[tuple[str, str], ...] = ()
    next: tuple[Explanation, ...] = ()

    def __str__(self) -> str:
        return self.text()

    def text(self, terminal: Terminal = PLAIN) -> str:
        """Return the explanation for people, as wide as *terminal*."""
        return "\n".join(_block(self, terminal, ""))

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON has it: the attributes, dicts for pairs."""
        levels = [self]
        while len(levels[-1].next) == 1:
            levels += levels[-1].next
        inner: list[dict[str, Any]] = [branch.to_dict() for branch in levels[-1].next]
        for level in reversed(levels):
            found = level._asdict()
            found["near_misses"] = [{"label": a, "reason": b} for a, b in level.near_misses]
            found["possible"] = [{"label": a, "name": b} for a, b in level.possible]
            found["next"] = inner
            inner = [found]
        return inner[0]


def _block(start: Explanation, terminal: Terminal, number: str) -> Iterator[str]:
    """Yield the lines about the way from *start* to where it ends, or parts."""
    way = [start]
    while len(way[-1].next) == 1:
        way += way[-1].next
    end = way[-1]
    indent = " " * width_of(number)
    columns = None if terminal.columns is None else terminal.columns - len(indent)
    beside = origin(end.kind, end.framework, end.where)
    name = printable(end.name)
    if columns is not None:
        beside = cut(beside, columns // 2, ascii=terminal.ascii)
        left = columns - len(number) - width_of(beside) - 2
        name = cut(name, max(left, 16), ascii=terminal.ascii)
    yield f"{number}{terminal.paint(name, 'bold')}  {terminal.paint(beside, 'dim')}".rstrip()
    for key, value in _rows(way):
        style = "warning" if key in ("near miss", "note") else "dim"
        lines = [value]
        if columns is not None:
            lines = wrapped(value, max(columns - 15, 20))
        yield f"{indent}  {terminal.paint(f'{key:<11}', style)}  {lines[0]}"
        for line in lines[1:]:
            yield f"{indent}{'':15}{line}"
    inner = terminal._replace(columns=None if columns is None else columns - 2)
    for index, branch in enumerate(end.next, 1):
        yield ""
        for line in _block(branch, inner, f"{index}. "):
            yield f"{indent}  {line}".rstrip()


def _rows(way: list[Explanation]) -> Iterator[tuple[str, str]]:
    """Yield what is said about a way, as pairs of a key and a value."""
    end = way[-1]
    if len(way) > 1:
        yield "through", ", ".join(printable(step.name) for step in way[:-1])
    yield from _native("SCRIPT_NAME", end.script_name)
    yield from _native("PATH_INFO", end.path_info)
    if end.root_path is not None:
        yield "root_path", repr(end.root_path)
        yield "path", repr(end.path)
    parents = ["", *(step.name for step in way)]
    several = sum(bool(step.reason) for step in way) > 1
    for step, parent in zip(way, parents, strict=False):
        if not step.reason:
            continue
        told = step.reason if step.label in ("", "*") else f"{step.label}: {step.reason}"
        yield "chosen", printable(f"{told} (by {parent})" if several and parent else told)
        for label, reason in step.near_misses:
            yield "near miss", printable(f"{label}: {reason}")
    if end.note:
        yield "note", printable(end.note)
    for label, name in end.possible:
        yield "possible", printable(f"{label}  {name}")


def _native(key: str, value: str) -> Iterator[tuple[str, str]]:
    """Yield a native string as people read it, and as environ has it if that differs."""
    shown = text(value)
    yield key, repr(shown)
    if shown != value:
        yield "", f"{value!a} in environ"
