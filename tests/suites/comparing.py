"""Run a suite bare and in each way, and compare test by test."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .counts import Counts
from .projects import Suite
from .running import Run, run

WAYS = {
    "counted": "Application",
    "guard": "CloseGuard",
    "mount": "Mount",
    "sharing": "Mount, share=True",
    "composed": "composed",
    "shared": "composed, share=True",
}
"""What :mod:`.inside.transparency.ways` has, and what the table calls it."""

GUARDED = ("guard", "composed", "shared")


class Compared(NamedTuple):
    """What one way made of a suite.

    Attributes:
        passed: How many tests passed.
        differ: The tests that pass bare, both times, and fail in this way, both times.
        counts: What became of the bodies.
    """

    passed: int
    differ: list[str]
    counts: Counts


class Result(NamedTuple):
    """A suite in all ways.

    Attributes:
        name: The name and the version.
        passed: How many tests pass bare, both times.
        ways: By the name of the way.
        unsteady: The tests that did not end alike in two runs of the same kind.
    """

    name: str
    passed: int
    ways: dict[str, Compared]
    unsteady: list[str]


def compared(
    suite: Suite,
    source: Path,
    python: Path | str,
    ways: dict[str, str],
    *,
    known: Callable[[str], bool] = lambda test: False,
    path: tuple[Path, ...] = (),
    tell: Callable[[str], object] = print,
) -> Result:
    """Run *suite* bare, twice, and in each of *ways*: from names to ``module:function``.

    A way in which a test fails that passes bare is run again, unless the reason is *known*.
    Only what fails both times differs; what fails once is unsteady, as is what does not end
    alike in both bare runs.
    """

    def ran(way: str = "") -> Run:
        found = run(suite, source, python, way, path=path)
        tell(f"{source.name} {way or 'bare'}: {len(found.passed)} of {len(found.ended)} pass")
        return found

    bare, again = ran(), ran()
    steady = bare.passed & again.passed
    unsteady = bare.passed ^ again.passed
    results = {}
    for name, way in ways.items():
        found = ran(way)
        differ = steady - found.passed
        if not all(map(known, differ)):
            twice = differ - ran(way).passed
            unsteady |= differ - twice
            differ = twice
        results[name] = Compared(len(found.passed), sorted(differ), found.counts)
    return Result(source.name, len(steady), results, sorted(unsteady))
