"""The pages about findings: one text for the terminal, for SARIF, and for the documentation.

They are Markdown, beside this module; ``docs/findings`` includes them.  The first paragraph
says what a layer does, and the first one under "What it costs" what comes of it: the report
says both.
"""

from __future__ import annotations

import functools
import re
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from ..errors import OptionError
from ..terminal import PLAIN, padded, wrapped
from .verdict import FAULTS, NOTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..terminal import Terminal

__all__ = ["IDS", "Page", "list_pages", "page", "show_page"]

IDS = (*FAULTS, *NOTES, "server-never-closed", "close-raced")
"""What has a page, in the order in which they are listed."""

WIDTH = 80
_COSTS = "## What it costs"


class Page(NamedTuple):
    """What people are told of one kind of finding.

    Attributes:
        id: The finding's.
        means: What is done, in a sentence.
        costs: What comes of it, in one or two.
        markdown: The whole page.
    """

    id: str
    means: str
    costs: str
    markdown: str


@functools.cache
def page(name: str) -> Page:
    """Return the page about a kind of finding.

    Raises:
        OptionError: There is none of that name.

    >>> page("close-on-iterator").means
    'It looks for close() on the iterator of the body, and not on the body.'
    """
    if name not in IDS:
        raise OptionError(f"finding must be one of {', '.join(IDS)}, got {name!r}")
    text = (files(__package__) / "pages" / f"{name}.md").read_text("utf-8")
    _, means, *_ = text.split("\n\n")
    costs = text.partition(f"{_COSTS}\n\n")[2].partition("\n\n")[0]
    return Page(name, _plain(means), _plain(costs), text)


def list_pages(terminal: Terminal = PLAIN) -> str:
    """Return the names of all pages, and a line about each."""
    width = min(terminal.columns or WIDTH, WIDTH)
    first = max(map(len, IDS)) + 2
    lines = []
    for name in IDS:
        text = wrapped(page(name).means, max(width - first, 20))
        lines.append(terminal.paint(padded(name, first), "bold") + text[0])
        lines += [" " * first + line for line in text[1:]]
    return "\n".join(lines)


def show_page(name: str, terminal: Terminal = PLAIN) -> str:
    """Return the page about a kind of finding as a terminal shows it."""
    width = min(terminal.columns or WIDTH, WIDTH)
    return "\n".join(_lines(page(name).markdown, terminal, width)).rstrip()


def _lines(markdown: str, terminal: Terminal, width: int) -> Iterator[str]:
    paragraph: list[str] = []
    in_code = False

    def end() -> Iterator[str]:
        if paragraph:
            yield from wrapped(_plain("\n".join(paragraph)), width)
            paragraph.clear()

    for line in markdown.splitlines():
        if line.startswith("```"):
            yield from end()
            in_code = not in_code
        elif in_code:
            yield f"    {line}".rstrip()
        elif line.startswith("#"):
            yield terminal.paint(line.lstrip("# "), "bold")
        elif line:
            paragraph.append(line)
        else:
            yield from end()
            yield ""
    yield from end()


def _plain(markdown: str) -> str:
    """Return one paragraph as plain text, on one line."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", markdown)
    return " ".join(text.replace("`", "").split())
