"""The tables: for a terminal, and for ``docs/under-fire.md``."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from ..written import table
from .run import VARIANTS, Fired
from .targets import TARGETS

PAGE = Path(__file__).parents[2] / "docs" / "under-fire.md"
COMMAND = "python -m tests.fire"

CANNOT = "–"  # noqa: RUF001 - a dash, as tables have it

HEADS = (
    *("server", "application", "opened", "once", "never", "twice", "other thread"),
    *("killed", "repaired"),
)
MISHAPS = ("server", "visits", "processes", "killed", "reloads", "recycles", "preloads")


def rows(fired: dict[str, Fired]) -> list[tuple[str, ...]]:
    found = []
    for name, one in fired.items():
        for variant, words in VARIANTS.items():
            *most, killed, repaired = one.figures[variant]
            killed = killed if TARGETS[name].workers else CANNOT
            repaired = CANNOT if variant == "bare" else repaired
            found.append((name, words, *map(str, [*most, killed, repaired])))
    return found


def mishaps(fired: dict[str, Fired]) -> list[tuple[str, ...]]:
    found = []
    for name, one in fired.items():
        can = TARGETS[name]
        cells = (
            one.visits,
            one.processes,
            one.killed if can.workers else CANNOT,
            one.reloads if can.reload else CANNOT,
            "yes" if can.recycles else CANNOT,
            "yes" if can.preloads else CANNOT,
        )
        found.append((name, *map(str, cells)))
    return found


def to_text(fired: dict[str, Fired]) -> str:
    """Return the tables with columns of their width."""
    tables = []
    for heads, lines in ((HEADS, rows(fired)), (MISHAPS, mishaps(fired))):
        widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
        tables += [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            for line in [heads, *lines]
        ]
    told = [
        f"{name}, {VARIANTS[variant]}: {words}"
        for name, one in fired.items()
        for variant, words in one.told.items()
        if words
    ]
    return "\n".join([*tables, *told, ""])


def to_page(fired: dict[str, Fired]) -> str:
    """Return what stands on the page."""
    tables = []
    for heads, lines in ((HEADS, rows(fired)), (MISHAPS, mishaps(fired))):
        tables.append(f"{table(heads, lines)}\n")
    names = sorted({name.split()[0].rstrip(",") for name in fired} | {"gevent"})
    found = ", ".join(f"{name} {version(name)}" for name in names)
    return "\n".join([*tables, f"With {found}, on CPython {platform.python_version()}.\n"])
