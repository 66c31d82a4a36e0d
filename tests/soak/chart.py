"""The memory of the process, and what waits to be closed, over the requests: as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT = 62, 712
MEMORY = (50, 225)
WAITING = (275, 345)
MIB = 1 << 20

STYLE = """
    .card { fill: #fbfbfd; stroke: #c9ced6; }
    text { fill: #1d232b; font: 13px system-ui, sans-serif; }
    .head { font-size: 15px; font-weight: 600; }
    .mid { text-anchor: middle; }
    .end { text-anchor: end; }
    .axis { stroke: #5b6675; }
    .grid { stroke: #dfe3ea; }
    .line { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
    .memory { stroke: #1f5fbf; }
    .waiting { stroke: #9a5b00; }
    @media (prefers-color-scheme: dark) {
      .card { fill: #1b1f26; stroke: #48505c; }
      text { fill: #eceff4; }
      .axis { stroke: #9aa6b6; }
      .grid { stroke: #343b46; }
      .memory { stroke: #7db0ff; }
      .waiting { stroke: #f0b45a; }
    }
"""


def svg(samples: list[dict[str, int]], description: str) -> str:
    """Return the chart of *samples*; *description* is for readers."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' role="img" aria-labelledby="title desc">',
        '<title id="title">Memory, and what waits, over the requests</title>',
        f'<desc id="desc">{escape(description)}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="1" y="1" width="{WIDTH - 2}" height="{HEIGHT - 2}" rx="10"/>',
    ]
    asked = [sample["opened"] for sample in samples]
    memory = [sample["resident"] / MIB for sample in samples]
    parts += panel("Resident memory of the server, MiB", "memory", asked, memory, *MEMORY)
    waiting = [float(sample["waiting"]) for sample in samples]
    parts += panel("Bodies that wait to be closed", "waiting", asked, waiting, *WAITING)
    for number in range(0, asked[-1] + 1, max(asked[-1] // 5, 1)):
        x = LEFT + (RIGHT - LEFT) * number / asked[-1]
        parts.append(text(x, WAITING[1] + 20, f"{number:,}", "mid"))
    parts.append(text((LEFT + RIGHT) / 2, HEIGHT - 14, "requests", "mid"))
    return "\n".join([*parts, "</svg>", ""])


def panel(
    title: str, style: str, asked: list[int], values: list[float], top: float, bottom: float
) -> Iterator[str]:
    """Draw *values*, from nought, under a *title*."""
    scale = max(max(values) * 1.15, 1)
    yield text(LEFT, top - 14, title, "head")
    step = next(step for step in steps() if scale / step <= (bottom - top) / 25)
    for number in range(0, int(scale) + 1, step):
        y = bottom - (bottom - top) * number / scale
        yield f'<path class="{"grid" if number else "axis"}" d="M{LEFT} {y:.1f}H{RIGHT}"/>'
        yield text(LEFT - 8, y + 4, f"{number:,}", "end")
    points = (
        (LEFT + (RIGHT - LEFT) * x / asked[-1], bottom - (bottom - top) * y / scale)
        for x, y in zip(asked, values, strict=True)
    )
    yield f'<path class="line {style}" d="{path(points)}"/>'


def steps() -> Iterator[int]:
    ten = 1
    while True:
        yield from (ten, 2 * ten, 5 * ten)
        ten *= 10


def path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def text(x: float, y: float, words: str, style: str = "") -> str:
    attributes = f' class="{style}"' if style else ""
    return f'<text{attributes} x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
