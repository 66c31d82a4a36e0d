"""``python -m tests.benchmarks --write``: all parts on each Python, as tables on a page."""

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..compatibility.__main__ import interpreter, run
from ..written import rewritten, table

HERE = Path(__file__).resolve().parents[2]
PAGE = HERE / "docs" / "performance.md"
COMMAND = "python -m tests.benchmarks --write"

PYTHONS = ("3.11", "3.12", "3.13")
TITLES = {
    "guard": "The guard",
    "mount": "Mount",
    "hosts": "Hosts",
    "when": "When",
    "cascade": "Cascade and Methods",
    "watch": "LeakWatch",
    "startup": "The import",
}


class Bar(NamedTuple):
    """A figure that is held against a bar."""

    name: str
    figure: float
    bar: str


def bars_in(printed: str) -> list[Bar]:
    """Return the lines that :func:`~.timing.verdict` made.

    >>> from .timing import verdict
    >>> bars_in(verdict("Mount / cheroot, among 1", 0.731, 1.0))
    [Bar(name='Mount / cheroot, among 1', figure=0.73, bar='1')]
    """
    found = re.findall(r"^  (\S.*?) +(-?[\d.]+)  at most (\S+) +(?:yes|NO)$", printed, re.M)
    return [Bar(name, float(figure), bar) for name, figure, bar in found]


class Line(NamedTuple):
    """What one line of the part ``path`` says."""

    name: str
    adds: str
    calls: str
    instructions: str
    time_ratio: str
    work_ratio: str
    peer: str


def lines_in(printed: str) -> list[Line]:
    """Return the lines of the part ``path``."""
    found = re.findall(
        r"^  (\S.*?) {2,}([\d.]+ .?s) +(\d+) +(\d+)  ([\d.]+)  ([\d.]+)  (.+)$", printed, re.M
    )
    return [Line(*each) for each in found]


def ranged(bars: Iterable[Bar]) -> dict[str, list[Bar]]:
    """Put together what differs in a number only.

    >>> bars = [
    ...     Bar("a hit among 10 / among 1", 1, "1"),
    ...     Bar("a hit among 99 / among 1", 1, "1"),
    ... ]
    >>> list(ranged(bars))
    ['a hit among 10 to 99 / among 1']
    """
    groups: dict[str, list[Bar]] = {}
    for bar in bars:
        groups.setdefault(NUMBER.sub("{}", bar.name, count=1), []).append(bar)
    named = {}
    for pattern, group in groups.items():
        numbers = [found[0] for bar in group if (found := NUMBER.search(bar.name))]
        ends = list(dict.fromkeys([numbers[0], numbers[-1]])) if numbers else []
        named[pattern.format(" to ".join(f"{int(end):,}" for end in ends))] = group
    return named


NUMBER = re.compile(r"(?<=among )\d+|(?<=last of )\d+|(?<=none of )\d+|\d+(?= segments)")


def span(bars: list[Bar]) -> str:
    """Return the figures of *bars* as one cell."""
    low, high = min(bar.figure for bar in bars), max(bar.figure for bar in bars)
    text = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"
    kept = all(bar.figure <= float(bar.bar) for bar in bars)
    return text if kept else f"**{text}**"


def path_tables(printed: dict[str, str]) -> list[str]:
    """Return the part ``path``, from what each Python printed: its time, and its work."""
    of_each = {python: lines_in(text) for python, text in printed.items()}
    times, work = [], []
    for lines in zip(*of_each.values(), strict=True):
        first = lines[0]
        adds = [line.adds.replace(" ", "\u00a0") for line in lines]
        times.append([first.name, *adds, first.peer, *(line.time_ratio for line in lines)])
        work.append([first.name, first.calls, first.instructions, first.work_ratio])
    return [
        table(["", *(f"adds, {python}" for python in of_each), "beside", *of_each], times),
        table(["", "calls", "instructions", "beside the same"], work),
    ]


def part_table(printed: dict[str, str]) -> str:
    """Return the table of another part."""
    of_each = {python: ranged(bars_in(text)) for python, text in printed.items()}
    first = next(iter(of_each.values()))
    rows = [
        [
            name,
            " to ".join(sorted({bar.bar for bar in bars}, key=float)),
            *(span(found[name]) for found in of_each.values()),
        ]
        for name, bars in first.items()
    ]
    return table(["", "at most", *of_each], rows)


def written(printed: dict[str, dict[str, str]], versions: list[str]) -> str:
    """Return what stands on the page, from what each Python printed for each part."""

    def of(part: str) -> dict[str, str]:
        return {python: parts[part] for python, parts in printed.items()}

    texts = [f"With CPython {', '.join(versions)}.", *path_tables(of("path"))]
    for part, title in TITLES.items():
        texts += [f"### {title}", part_table(of(part))]
    return "\n\n".join(texts) + "\n"


def main() -> None:
    """Make an environment for each Python, run all parts there, and write the page."""
    printed, versions = {}, []
    for version in PYTHONS:
        with tempfile.TemporaryDirectory() as folder:
            python = Path(folder, "bin", "python")
            run([interpreter(version), "-m", "venv", folder])
            run([python, "-m", "pip", "install", "-q", "-e", f"{HERE}[bench]"])
            printed[version] = {}
            for part in ("path", *TITLES):
                text = run([python, "-m", "tests.benchmarks", part])
                print(text, flush=True)
                printed[version][part] = text
            versions.append(run([python, "-V"]).split()[1])
    text = written(printed, versions)
    PAGE.write_text(rewritten(PAGE.read_text("utf-8"), COMMAND, text), "utf-8")
