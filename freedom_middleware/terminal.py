"""Text for a terminal: columns that stay aligned, a little colour, ASCII where it must be."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TextIO

__all__ = [
    "PLAIN",
    "Progress",
    "Terminal",
    "confirmed",
    "counted",
    "cut",
    "padded",
    "printable",
    "width_of",
    "wrapped",
]


class Terminal(NamedTuple):
    """What the reader's terminal can show.

    Attributes:
        columns: How wide it is; None where nothing has to be cut, as in a file.
        colour: Whether to use SGR codes.
        ascii: Whether lines must be drawn in ASCII.
    """

    columns: int | None = None
    colour: bool = False
    ascii: bool = False

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str] | None = None) -> Terminal:
        """Find out about *stream*; ``NO_COLOR``, ``FORCE_COLOR`` and ``COLUMNS`` have a say."""
        environ = os.environ if environ is None else environ
        is_terminal = stream.isatty()
        columns = None
        if is_terminal or environ.get("COLUMNS", "").isdigit():
            columns = max(shutil.get_terminal_size().columns, 20)
        colour = is_terminal and environ.get("TERM") != "dumb"
        if environ.get("FORCE_COLOR", "0") != "0":
            colour = True
        if environ.get("NO_COLOR"):
            colour = False
        try:
            "├─└│…".encode(stream.encoding or "ascii")
        except (UnicodeError, LookupError):
            return cls(columns, colour, ascii=True)
        return cls(columns, colour)

    def paint(self, text: str, style: str) -> str:
        """Return *text* ``"bold"``, ``"dim"`` or as a ``"warning"``, where there is colour."""
        if not (self.colour and text.strip()):
            return text
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


PLAIN = Terminal()
"""No terminal: any width, no colour."""

_STYLES = {"bold": "1", "dim": "2", "warning": "33"}


class Progress:
    """A line on a terminal that says how far something is, and that is gone afterwards.

    It can stand for the terminal where others print: what they say stays, above the line.

    Args:
        stream: The terminal.
        columns: How wide it is.
        after_seconds: What is done sooner than that shows no line.
        clock: Returns seconds on a clock that never steps back.
    """

    def __init__(
        self,
        stream: TextIO,
        columns: int,
        *,
        after_seconds: float = 0.3,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._stream, self._columns, self._clock = stream, columns, clock
        self._from = clock() + after_seconds
        self._is_shown = False

    def show(self, done: int, total: int, what: str) -> None:
        """Say that *done* of *total* are done, and what comes next."""
        if self._clock() < self._from:
            return
        filled = _BAR * done // max(total, 1)
        bar = f"[{'#' * filled}{'-' * (_BAR - filled)}] {done}/{total} {printable(what)}"
        self._stream.write(f"{_ERASE}{cut(bar, self._columns - 1, ascii=True)}")
        self._stream.flush()
        self._is_shown = True

    def clear(self) -> None:
        """Take the line away."""
        if self._is_shown:
            self._stream.write(_ERASE)
            self._stream.flush()
            self._is_shown = False

    def write(self, text: str) -> int:
        """Print what somebody else has to say."""
        self.clear()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_BAR = 20
_ERASE = "\r\x1b[2K"


def confirmed(question: str) -> bool:
    """Ask on the terminal, and say whether the answer was yes; without one it is no."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def printable(text: str) -> str:
    """Return *text* with whatever moves a terminal's cursor or colours as escapes.

    >>> printable("/shop\\x1b[2J")
    '/shop\\\\x1b[2J'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def counted(number: int, what: str) -> str:
    """Return a number with the plural that goes with it.

    >>> counted(1, "layer"), counted(2, "layer")
    ('1 layer', '2 layers')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"


def width_of(text: str) -> int:
    """Return how many columns *text* takes: two for a wide character, none for an accent.

    >>> width_of("/店"), width_of("/cafe\\u0301")
    (3, 5)
    """
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def padded(text: str, width: int) -> str:
    """Return *text* with spaces up to *width* columns."""
    return text + " " * (width - width_of(text))


def cut(text: str, width: int, *, ascii: bool = False) -> str:
    """Return *text* in at most *width* columns; what is too much is left out in the middle.

    >>> cut("a_very_long_package.wsgi:application", 20)
    'a_very_lon…plication'
    """
    if width_of(text) <= width:
        return text
    mark = ("..." if ascii else "…")[:width]
    room = width - len(mark)
    head = _fitting(text, room - room // 2)
    tail = _fitting(text[::-1], room // 2)[::-1]
    return f"{head}{mark}{tail}"


def wrapped(text: str, width: int) -> list[str]:
    """Return *text* as lines of at most *width* columns.

    >>> wrapped("the path differs in case", 10)
    ['the path', 'differs in', 'case']
    """
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if width_of(longer) <= width:
            lines[-1] = longer
            continue
        lines += [""] if lines[-1] else []
        while width_of(word) > width:
            lines[-1] = _fitting(word, width)
            word = word[len(lines[-1]) :]
            lines.append("")
        lines[-1] = word
    return lines


def _fitting(text: str, width: int) -> str:
    taken = 0
    for index, char in enumerate(text):
        taken += width_of(char)
        if taken > width:
            return text[:index]
    return text
