"""What went wrong with a response: the records that the guard, the check and tests share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Finding", "LayerFinding", "LeakCount"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that went wrong with one response body.

    Attributes:
        id: What happened: ``"close-lost"`` (dropped without close), ``"close-raced"``
            (closed while another thread was executing it).
        request: Method and path, for people: ``"GET '/report'"``.
        where: ``"file.py:12"``, the line that was running when the body was dropped.  That
            line need not belong to the layer at fault.  ``""`` where nobody can know: the
            garbage collector found the body.
        repair: ``"closed"`` there and then, ``"late"`` on its own thread, ``"elsewhere"``
            by another thread or at exit, or ``""``: left unclosed, as asked.
        error: What ``close()`` raised when the guard called it, or None.  It comes without
            its traceback, whose frames would keep other bodies; unless it is the very error
            that somebody was handling then.
    """

    id: str
    request: str
    where: str = ""
    repair: str = ""
    error: Exception | None = None

    def __str__(self) -> str:
        if self.id == "close-raced":
            return (
                f"response body of {self.request} was closed while another thread was"
                " executing it; what it held is released when that thread lets go"
            )
        place = f"dropped at {self.where}" if self.where else "left to the garbage collector"
        repair = {
            "closed": "CloseGuard closed it there and then",
            "late": "CloseGuard closed it later, on the thread that opened it",
            "elsewhere": "CloseGuard closed it later, on another thread",
            "": "nobody closed it",
        }[self.repair]
        error = f", and its close() raised {self.error!r}" if self.error else ""
        return f"response body of {self.request} was never closed: {place}; {repair}{error}"


class LeakCount(NamedTuple):
    """How often the same thing went wrong, in one process.

    Attributes:
        mount: Where the application is mounted (``"/shop"``), or ``""``: what a
            :class:`~freedom_middleware.Mount` inside the guard chose.
        id, repair, where: As those of a :class:`Finding`.
        times: How often it happened since the process began.

    >>> import json
    >>> leak = LeakCount("/shop", "close-raced", "", "", times=3)
    >>> json.dumps(leak._asdict())
    '{"mount": "/shop", "id": "close-raced", "repair": "", "where": "", "times": 3}'
    """

    mount: str
    id: str
    repair: str
    where: str
    times: int


@dataclass(frozen=True)
class LayerFinding:
    """One thing that one layer does with the bodies of its children.

    Attributes:
        id: ``"close-lost"``, ``"close-on-iterator"``, ``"close-early"``,
            ``"close-repeated"`` or ``"close-wrong-thread"``; of a note
            ``"buffered-stream"``, ``"file-wrapper-lost"`` or ``"close-error-swallowed"``.
        layer: The layer itself.
        label: What its user calls it: ``"ElasticAPM"``.
        where: The distribution that it comes from, or ``FILE:LINE``:
            ``"elastic-apm 6.26.2"``.
        scenario: How the response was ended: ``"whole"``.
        detail: What was seen.
        request: Method and path, where it was a real one: ``"GET '/report'"``.
    """

    id: str
    layer: object = field(repr=False, compare=False)
    label: str
    where: str
    scenario: str
    detail: str
    request: str = ""

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        seen = self.request or self.scenario
        return f"{self.id}: {self.label}{where}, {seen}: {self.detail}"
