"""The files and commands that the pages under ``docs/deploying`` show, for tests to run."""

from __future__ import annotations

import re
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "deploying"

BLOCK = re.compile(
    r"^```\{code-block\} (?P<language>\w+)\n:caption: (?P<caption>[^\n]+)\n\n"
    r"(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Return the language, the caption and the text of each block of *page* that has them."""
    text = PAGES.joinpath(page).read_text(encoding="utf-8")
    return [match.group("language", "caption", "text") for match in BLOCK.finditer(text)]


def block(page: str, caption: str, replacing: dict[str, str] | None = None) -> str:
    """Return a block of *page*, with what stands for a reader's own things replaced."""
    [text] = [text for _, found, text in blocks(page) if found == caption]
    for old, new in (replacing or {}).items():
        assert old in text, f"{page}: {caption} must have {old!r} in it"
        text = text.replace(old, new)
    return text
