"""``python -m tests.soak``: a million requests to one process, and what is left of them.

    python -m tests.soak                      # some ten minutes
    python -m tests.soak --requests 5000
    python -m tests.soak --write              # rewrites its part of docs/under-fire.md

Ends with 1 if something does not add up, or has grown.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from ..fire.page import PAGE
from ..written import rewritten
from .chart import MIB, svg
from .run import MOST_BYTES, Soaked, soak

COMMAND = "python -m tests.soak"
CHART = PAGE.parent / "_static" / "soak.svg"


def rows(soaked: Soaked) -> list[tuple[str, str]]:
    begin, end = soaked.begin, soaked.end
    waited = max(sample["waiting"] for sample in soaked.samples)
    figures = [
        ("requests", soaked.requests),
        ("responses opened", end["opened"]),
        ("closed exactly once", end["once"]),
        ("closed again", end["again"]),
        ("lost by the layer", end["lost"]),
        ("repaired, as the guard counts them", soaked.repaired),
        ("... there and then", end["closed"]),
        ("... later, by their own thread", end["late"]),
        ("... by another thread", end["elsewhere"]),
        ("changes of the mounts", end["changes"]),
        ("most that waited at a time", waited),
        ("waiting at the end", end["waiting"]),
        ("threads, after a tenth and at the end", f"{begin['threads']}, {end['threads']}"),
        (
            "live objects, after a tenth and at the end",
            f"{begin['objects']:,}, {end['objects']:,}",
        ),
        (
            "resident MiB, after a tenth and at the end",
            f"{begin['resident'] / MIB:.1f}, {end['resident'] / MIB:.1f}",
        ),
        ("KiB grown from the second tenth to the last", round(soaked.grown / 1024)),
        ("requests per second", round(soaked.requests / soaked.seconds)),
    ]
    return [(what, v if isinstance(v, str) else f"{v:,}") for what, v in figures]


def to_page(soaked: Soaked) -> str:
    table = [("measured", ""), ("---", "---:"), *rows(soaked)]
    lines = [f"| {what} | {value} |" for what, value in table]
    served = f"With waitress {version('waitress')}, on CPython {platform.python_version()}."
    return "\n".join([*lines, "", served, ""])


def progress(told: dict[str, int]) -> None:
    resident = told["resident"] / MIB
    line = f"{told['opened']:>10,} requests, {resident:.1f} MiB"
    print(line, end="\r", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--write", action="store_true", help="rewrite the page and the chart")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soaked = soak(options.requests, Path(folder), progress)
    for what, value in rows(soaked):
        print(f"{what:<46}{value:>18}")
    faults = soaked.faults
    if soaked.grown > MOST_BYTES:
        faults.append(f"memory must not grow by more than {MOST_BYTES:,}, got {soaked.grown:,}")
    for fault in faults:
        print(fault)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(rewritten(page, COMMAND, to_page(soaked)), encoding="utf-8")
        about = f"Memory stays level over {soaked.requests:,} requests; so does what waits."
        CHART.write_text(svg(soaked.samples, about), encoding="utf-8")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
