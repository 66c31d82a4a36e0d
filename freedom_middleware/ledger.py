"""What CloseGuard found in this process: counted to the last one, and told sparingly.

Rule 1: nothing here is called in a finalizer: there is a lock, and a log.

Rule 2: nothing here grows with what clients send.
"""

from __future__ import annotations

from _thread import allocate_lock
from os import getpid
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import Logger

    from .findings import Finding, LeakCount

    Key = tuple[str, str, str, str]  # the fields of a LeakCount, without the figure

__all__ = ["MOST_COUNTS", "MOST_PLACES", "OTHER", "Ledger", "snapshot", "unraisable"]

MOST_COUNTS = 1000
"""How many mounts and places are counted apart; the rest is counted under :data:`OTHER`."""

MOST_PLACES = 100
"""How many places are told apart in the log; the rest share their lines."""

MOST_CHARACTERS = 1000
"""How long a mount and a place may be together, to be counted apart."""

SECONDS_BETWEEN_LINES = 60.0
"""How long the log is silent about a place of which it has told."""

OTHER = "(other)"
"""The mount and the place of what is not counted apart."""


class Ledger:
    """What one guard found, and whom it tells.

    The figures are exact, whichever threads count, and of this process only: a forked
    child starts with none, so that the figures of all processes can be added up.  A body is
    counted and told of once it has been closed, or let go of, by a request on any thread.

    Args:
        repair: Whether dropped bodies are closed, or only reported.
        on_leak: Called with a Finding, once per place; what it raises is logged.
        on_count: Called with a LeakCount, each time; what it raises is logged.
        clock: Returns seconds on a clock that never steps back.

    >>> from freedom_middleware.findings import Finding
    >>> leaks = Ledger()
    >>> leaks.snapshot(), leaks.total()
    ((), 0)
    """

    __slots__ = ("_clock", "_counts", "_lines", "_process", "on_count", "on_leak", "repair")

    def __init__(
        self,
        *,
        repair: bool = True,
        on_leak: Callable[[Finding], object] | None = None,
        on_count: Callable[[LeakCount], object] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.repair = repair
        self.on_leak = on_leak
        self.on_count = on_count
        self._clock = clock
        self._begin()

    def _begin(self) -> None:
        self._process = getpid()
        self._counts: dict[Key, int] = {}
        self._lines: dict[object, tuple[float, int]] = {}  # told when; how many since

    def snapshot(self) -> tuple[LeakCount, ...]:
        """Return the figures as they are now; this takes no lock and stops nobody.

        The order is by mount, and then by the other fields.
        """
        return _snapshot(self._counts.copy() if self._process == getpid() else {})

    def total(self, repair: str | None = None) -> int:
        """Return how many leaks there were; of one *repair*, if that is given."""
        return sum(leak.times for leak in self.snapshot() if repair in (None, leak.repair))

    def record(
        self, finding: Finding, mount: str = "", place: tuple[str, int] | None = None
    ) -> None:
        """Count *finding*, and tell of it if it is time to."""
        with _counting:
            if self._process != getpid():
                self._begin()
            key = (mount, finding.id, finding.repair, finding.where)
            counted = _add(self._counts, key)
            _add(_counts_of_all(), key)
        try:
            self._tell(finding, place)
        finally:  # the log is somebody's code too
            self._tell_count(finding, counted)

    def _tell(self, finding: Finding, place: tuple[str, int] | None) -> None:
        line = self._line((finding.id, finding.where, finding.repair))
        if line is None:
            return
        try:
            _logger().warning("%s (%s)", finding, line.words)
            if line.is_first:
                _warn(finding, place)
        finally:
            if line.is_first and self.on_leak is not None:
                try:
                    self.on_leak(finding)
                except Exception:  # noqa: BLE001 - it is logged
                    _logger().exception("on_leak raised for: %s", finding)

    def _tell_count(self, finding: Finding, counted: LeakCount) -> None:
        if self.on_count is None:
            return
        try:
            self.on_count(counted)
        except Exception:  # noqa: BLE001 - it is logged, now and then
            line = self._line("on_count")
            if line is not None:
                _logger().exception("on_count raised for: %s (%s)", finding, line.words)

    def _line(self, place: object) -> _Line | None:
        """Return what a line in the log says of *place* now; None if it is not its turn."""
        now = self._clock()
        with _counting:
            if place not in self._lines and len(self._lines) >= MOST_PLACES:
                place = OTHER
            if place not in self._lines:
                self._lines[place] = now, 0
                return _Line(True, "the first like this; more are summed up once a minute")
            told, silent = self._lines[place]
            if now - told < SECONDS_BETWEEN_LINES:
                self._lines[place] = told, silent + 1
                return None
            self._lines[place] = now, 0
        which = "at further places" if place is OTHER else "like this"
        return _Line(False, f"{silent + 1} {which} in {now - told:.0f} s")


class _Line:
    __slots__ = ("is_first", "words")

    def __init__(self, is_first: bool, words: str) -> None:
        self.is_first = is_first
        self.words = words


def snapshot() -> tuple[LeakCount, ...]:
    """Return what all guards of this process found, those that are gone among them.

    >>> [leak for leak in snapshot() if leak.mount == "/nowhere"]
    []
    """
    return _snapshot(_all.copy() if _process == getpid() else {})


def _warn(finding: Finding, place: tuple[str, int] | None) -> None:
    import warnings

    from .errors import UnclosedBodyWarning

    filename, number = place or ("", 0)
    try:
        warnings.warn_explicit(UnclosedBodyWarning(str(finding)), None, filename, number)
    except UnclosedBodyWarning as warning:
        # Warnings are errors here: this must fail a test run, and not the innocent request
        # that happens to be on this thread.
        unraisable(warning)


def unraisable(error: Exception) -> None:
    """Give *error* to ``sys.unraisablehook``: it concerns nobody who is running now."""
    _Unraisable(error)


class _Unraisable:
    """Raises when it dies: the only way from Python code to the hook."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __del__(self) -> None:
        raise self._error


def _add(counts: dict[Key, int], key: Key) -> LeakCount:
    """Add one to the figure of *key*, or to that of the rest."""
    from .findings import LeakCount

    mount, id, repair, where = key
    too_many = len(counts) >= MOST_COUNTS or len(mount) + len(where) > MOST_CHARACTERS
    if too_many and key not in counts:
        key = (OTHER, id, repair, OTHER)
    counts[key] = counts.get(key, 0) + 1
    return LeakCount(*key, counts[key])


def _snapshot(counts: dict[Key, int]) -> tuple[LeakCount, ...]:
    from .findings import LeakCount

    return tuple(LeakCount(*key, times) for key, times in sorted(counts.items()))


def _logger() -> Logger:
    import logging

    return logging.getLogger("freedom_middleware.leaks")


def _counts_of_all() -> dict[Key, int]:
    """Return the figures of this process: a child begins with none.

    It is known by its number, since not every server tells Python that it has forked (uWSGI).
    """
    global _all, _process
    if _process != getpid():
        _process = getpid()
        _all = {}
    return _all


# Held where something was found, never in a finalizer nor while foreign code runs.
_counting = allocate_lock()

_process = getpid()
_all: dict[Key, int] = {}


def forget() -> None:
    """Take another lock in a forked child: a thread of the parent may have held this one."""
    global _counting
    _counting = allocate_lock()
