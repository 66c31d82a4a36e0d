"""Open connections over time as SVG: one panel for each run, side by side, on one scale."""

from __future__ import annotations

from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

WIDTH, HEIGHT = 760, 392
TOP, BOTTOM, LEFT, RIGHT = 122, 330, 62, 20
GAP = 26

STYLE = """
    .card { fill: #fbfbfd; stroke: #c9ced6; }
    text { fill: #1d232b; font: 13px system-ui, sans-serif; }
    .head { font-size: 15px; font-weight: 600; }
    .mid { text-anchor: middle; }
    .end { text-anchor: end; }
    .axis { stroke: #5b6675; }
    .grid { stroke: #dfe3ea; }
    .together { fill: #eef1f6; }
    .limit { stroke: #1d232b; stroke-dasharray: 6 4; }
    .line { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
    .database { stroke: #1f5fbf; }
    .cache { stroke: #9a5b00; stroke-width: 1.6; stroke-dasharray: 3 2; }
    .error { stroke: #b3261e; stroke-width: 1.4; }
    text.database { fill: #1f5fbf; stroke: none; }
    text.cache { fill: #9a5b00; stroke: none; }
    text.error { fill: #b3261e; stroke: none; }
    @media (prefers-color-scheme: dark) {
      .card { fill: #1b1f26; stroke: #48505c; }
      text { fill: #eceff4; }
      .axis { stroke: #9aa6b6; }
      .grid { stroke: #343b46; }
      .together { fill: #2a303a; }
      .limit { stroke: #eceff4; }
      .database { stroke: #7db0ff; }
      .cache { stroke: #f0b45a; }
      .error { stroke: #f2877f; }
      text.database { fill: #7db0ff; }
      text.cache { fill: #f0b45a; }
      text.error { fill: #f2877f; }
    }
"""


class Panel(NamedTuple):
    """One run: when it was, how many connections were open; times in seconds from its start.

    Attributes:
        title: What was run.
        database: The seconds and the number of connections of each sample.
        cache: The same of the cache.
        errors: When a visitor got an error.
        together: When the last of those was answered who came together.
    """

    title: str
    database: Sequence[tuple[float, int]]
    cache: Sequence[tuple[float, int]]
    errors: Sequence[float]
    together: float


def svg(panels: Sequence[Panel], *, limit: int, description: str) -> str:
    """Return the chart; *limit* is what the database allows, *description* is for readers."""
    seconds = max(panel.database[-1][0] for panel in panels)
    most = max(count for panel in panels for _, count in [*panel.database, *panel.cache])
    scale = max(most, limit) * 1.06
    width = (WIDTH - LEFT - RIGHT - GAP * (len(panels) - 1)) / len(panels)

    def y(count: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * count / scale

    middle = f'transform="translate(20 {y(scale / 2):.1f}) rotate(-90)"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' role="img" aria-labelledby="title desc">',
        '<title id="title">Open connections over time</title>',
        f'<desc id="desc">{escape(description)}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="10"/>',
        _text(0, 0, "open connections", "mid", middle),
        _text(
            (WIDTH + LEFT - RIGHT) / 2,
            HEIGHT - 18,
            "seconds since the first visitor (shaded: all at once; then one after the other)",
            "mid",
        ),
    ]
    parts += [
        _text(LEFT - 8, y(count) + 4, str(count), "end")
        for count in range(0, int(scale) + 1, 25)
    ]
    for number, panel in enumerate(panels):
        left = LEFT + number * (width + GAP)
        parts += _panel(panel, left, width, seconds=seconds, scale=scale, limit=limit, y=y)
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    panel: Panel,
    left: float,
    width: float,
    *,
    seconds: float,
    scale: float,
    limit: int,
    y: Callable[[float], float],
) -> Iterable[str]:
    def x(second: float) -> float:
        return left + width * min(max(second, 0.0), seconds) / seconds

    right = left + width
    yield (
        f'<rect class="together" x="{left:.1f}" y="{TOP}"'
        f' width="{x(panel.together) - left:.1f}" height="{BOTTOM - TOP}"/>'
    )
    for count in range(25, int(scale) + 1, 25):
        yield _line("grid", left, y(count), right, y(count))
    yield _line("axis", left, y(0), right, y(0))
    yield _line("axis", left, y(0), left, TOP)
    for second in range(0, int(seconds) + 1, 1 if seconds < 8 else 2):
        yield _line("axis", x(second), y(0), x(second), y(0) + 5)
        yield _text(x(second), y(0) + 20, str(second), "mid")
    for row, line in enumerate(wrap(panel.title, 24)):
        yield _text(left, 34 + 20 * row, line, "head")
    yield _line("limit", left, y(limit), right, y(limit))
    for second in panel.errors:
        yield _line("error", x(second), TOP - 18, x(second), TOP - 6)
    if panel.errors:
        yield _text(left, TOP - 26, f"{len(panel.errors)} visitors got an error", "error")
    else:
        yield _text(left, TOP - 26, "no errors")
    yield _steps("cache", panel.cache, x, y)
    yield _steps("database", panel.database, x, y)
    yield from _labels(panel, left, right, limit, y)


def _labels(
    panel: Panel, left: float, right: float, limit: int, y: Callable[[float], float]
) -> Iterable[str]:
    """Write beside the lines what they are, and how they end."""
    left_open = panel.database[-1][1]
    below = y(limit) if left_open > limit / 2 else y(limit / 2)
    if left_open <= limit / 2:
        yield _text(right, y(limit) + 17, f"PostgreSQL's limit: {limit}", "end")
    yield _text(right, below + 20, f"PostgreSQL: {left_open} left", "database end")
    yield _text(right, below + 38, f"memcached: {panel.cache[-1][1]} left", "cache end")


def _steps(
    style: str,
    samples: Sequence[tuple[float, int]],
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> str:
    """Draw *samples* as steps: each holds until the next that differs."""
    (begin, held), *rest = samples
    path = [f"M{x(begin):.1f} {y(held):.1f}"]
    for second, count in rest:
        if count != held:
            path.append(f"H{x(second):.1f}V{y(count):.1f}")
            held = count
    path.append(f"H{x(samples[-1][0]):.1f}")
    return f'<path class="line {style}" d="{"".join(path)}"/>'


def _line(style: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path class="{style}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'


def _text(x: float, y: float, text: str, style: str = "", more: str = "") -> str:
    attributes = f' class="{style}"' if style else ""
    place = more or f'x="{x:.1f}" y="{y:.1f}"'
    return f"<text{attributes} {place}>{escape(text)}</text>"
