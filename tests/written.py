"""The parts of pages that a command writes: they stand between two comments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

END = "<!-- Until here. -->\n"


def begin(command: str) -> str:
    return f"<!-- Written by: {command} -->\n"


def part(page: Path, command: str) -> str:
    """Return what *command* has written on *page*."""
    text = page.read_text(encoding="utf-8")
    for comment in (begin(command), END):
        assert comment in text, f"{page.name} must hold the line {comment!r}"
    return text.partition(begin(command))[2].partition(END)[0]


def write(page: Path, command: str, text: str) -> None:
    """Put *text* in the place of what *command* has written on *page*."""
    old = begin(command) + part(page, command) + END
    new = f"{begin(command)}{text.strip()}\n{END}"
    page.write_text(page.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table as Markdown has it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rows(text: str) -> dict[str, dict[str, str]]:
    """Return what a table of Markdown says: by the first cell of a row, by head."""
    heads, _, *found = (
        [cell.strip() for cell in line.strip("| \n").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    )
    return {name: dict(zip(heads[1:], cells, strict=True)) for name, *cells in found}
