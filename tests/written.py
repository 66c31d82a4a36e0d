"""The parts of pages that a command writes: they stand between two comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

END = "<!-- Until here. -->\n"


def begin(command: str) -> str:
    return f"<!-- Written by: {command} -->\n"


def part(page: str, command: str) -> str:
    """Return what *command* has written on *page*, a text."""
    return _split(page, command)[1]


def rewritten(page: str, command: str, text: str) -> str:
    """Return *page* with *text* in the place of what *command* has written."""
    before, _, after = _split(page, command)
    return f"{before}{begin(command)}{text.rstrip()}\n{END}{after}"


def _split(page: str, command: str) -> tuple[str, str, str]:
    before, found, rest = page.partition(begin(command))
    if not found or END not in rest:
        raise LookupError(f"the page must have a part {command!r}")
    old, _, after = rest.partition(END)
    return before, old, after


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as Markdown has it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rows(text: str) -> list[dict[str, str]]:
    """Return what a table of Markdown says: the cells of each row by its heads."""
    heads, _, *found = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    )
    return [dict(zip(heads, cells, strict=True)) for cells in found]
