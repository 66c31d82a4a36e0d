"""What became of each response, out of the file that the application writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Set
from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """A thread, or a greenlet, of a process."""

    process: int
    thread: int


class Response:
    """One response: where it was opened, and each close."""

    def __init__(self, variant: str, path: str, opened: Place) -> None:
        self.variant = variant
        self.path = path
        self.opened = opened
        self.closed: list[Place] = []


class Figures(NamedTuple):
    """What became of the responses of one application.

    Attributes:
        opened: How many there were.
        once: Closed exactly once.
        never: Not closed, and nobody killed the process.
        twice: Closed more than once.
        elsewhere: Closed on another thread than the one that opened it, or in another process.
        killed: Open when their process was killed outright.
        repaired: What the guard counted as lost, and closed.
    """

    opened: int
    once: int
    never: int
    twice: int
    elsewhere: int
    killed: int
    repaired: int


class Journal:
    """The file, read on from where it was read to."""

    def __init__(self, file: Path) -> None:
        self.responses: dict[str, Response] = {}
        self.repaired: Counter[tuple[str, int]] = Counter()
        self._file = file
        self._read_to = 0

    def read(self) -> None:
        with self._file.open("rb") as file:
            file.seek(self._read_to)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]
        self._read_to += len(text)
        for line in text.decode("ascii").splitlines():
            what, variant, path, name, process, thread = line.split()
            place = Place(int(process), int(thread))
            match what:
                case "opened":
                    self.responses[name] = Response(variant, path, place)
                case "closed":
                    self.responses[name].closed.append(place)
                case "repaired":
                    self.repaired[variant, place.process] += path != "not"

    def open(self, *, but_of: Set[int] = frozenset()) -> Iterator[Response]:
        """Yield what is open now in other processes than *but_of*."""
        self.read()
        for response in self.responses.values():
            if not response.closed and response.opened.process not in but_of:
                yield response

    def processes(self) -> set[int]:
        return {response.opened.process for response in self.responses.values()}

    def figures(self, variant: str, killed: Set[int] = frozenset()) -> Figures:
        """Return what became of the responses of *variant*, where *killed* were killed."""
        seen = [one for one in self.responses.values() if one.variant == variant]
        unclosed = [one.opened.process in killed for one in seen if not one.closed]
        return Figures(
            opened=len(seen),
            once=sum(len(one.closed) == 1 for one in seen),
            never=unclosed.count(False),
            twice=sum(len(one.closed) > 1 for one in seen),
            elsewhere=sum({*one.closed} - {one.opened} != set() for one in seen),
            killed=unclosed.count(True),
            repaired=sum(
                times for (counted, _), times in self.repaired.items() if counted == variant
            ),
        )

    def uncounted(self, variant: str, killed: Set[int] = frozenset()) -> int:
        """Return how many of *variant* were closed, and are not yet counted as repaired.

        What a process closed that was then killed may never be.
        """
        return sum(
            len(one.closed) > 0
            for one in self.responses.values()
            if one.variant == variant and one.opened.process not in killed
        ) - sum(
            times
            for (counted, process), times in self.repaired.items()
            if counted == variant and process not in killed
        )

    def told(self, variant: str, killed: Set[int] = frozenset()) -> str:
        """Return what was not closed once, or on another thread, by path; empty if nothing."""
        found: Counter[str] = Counter()
        for one in self.responses.values():
            if one.variant != variant:
                continue
            if not one.closed and one.opened.process not in killed:
                found[f"{one.path} never"] += 1
            if len(one.closed) > 1:
                found[f"{one.path} {len(one.closed)} times"] += 1
            if {*one.closed} - {one.opened}:
                found[f"{one.path} on another thread"] += 1
        return ", ".join(f"{what}: {times}" for what, times in sorted(found.items()))
