"""What became of the bodies, read from the notes that the processes of a run left."""

from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from .inside.transparency.notes import CLOSED, GONE, OPENED, PLAIN


class Counts(NamedTuple):
    """How many responses there were, and how often each was closed.

    Attributes:
        plain: Responses whose body has no ``close()``.
        opened: Those whose body has one.
        once: Closed exactly once.
        never: Never closed, and let go.
        again: Closes beyond the first.
        held: Never closed, and still held when the process ended or was killed: not judged.
        at_fault: The classes of the bodies that were never closed, or again.
    """

    plain: int = 0
    opened: int = 0
    once: int = 0
    never: int = 0
    again: int = 0
    held: int = 0
    at_fault: tuple[tuple[str, int], ...] = ()


def counted_in(folder: Path) -> Counts:
    """Add up the notes of all processes in *folder*."""
    total: Counter[str] = Counter()
    at_fault: Counter[str] = Counter()
    for file in folder.iterdir():
        bodies: dict[str, Counter[str]] = defaultdict(Counter)
        kinds: dict[str, str] = {}
        for line in file.read_text("utf-8").splitlines():
            what, number, *kind = line.split()
            if what == OPENED:
                kinds[number] = kind[0]
            bodies[number][what] += 1
        total["plain"] += bodies.pop("0", Counter())[PLAIN]
        for number, body in bodies.items():
            opened, closed = body[OPENED], body[CLOSED]
            missing = max(opened - closed, 0)
            again = max(closed - opened, 0)
            # What a process holds when it ends, it has neither closed nor let go.
            never = missing if body[GONE] else 0
            total["opened"] += opened
            total["once"] += min(opened, closed) - (1 if again else 0)
            total["never"] += never
            total["again"] += again
            total["held"] += missing - never
            if never or again:
                at_fault[kinds[number]] += 1
    return Counts(**total, at_fault=tuple(sorted(at_fault.items())))
