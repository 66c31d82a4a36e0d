"""The table of ``docs/transparency.md``: pure functions from results to text."""

from ..written import table
from .comparing import GUARDED, WAYS, Result
from .projects import REASONS

COMMAND = "python -m tests.suites FOLDER --write"
UNEXPLAINED = "not explained"

HEADS = (
    *("project", "wrapped in", "pass", "pass bare, fail here", "bodies with `close()`"),
    *("closed once", "never", "more than once", "not judged"),
)


def rows(results: list[Result]) -> list[list[str]]:
    """Return the cells of the table."""
    cells = []
    for result in results:
        for way, found in result.ways.items():
            counts = found.counts
            cells.append(
                [
                    result.name if way == next(iter(result.ways)) else "",
                    WAYS.get(way, way),
                    str(found.passed),
                    str(len(found.differ)),
                    *map(str, (counts.opened, counts.once, counts.never, counts.again)),
                    str(counts.held),
                ]
            )
    return cells


def reason(suite: str, test: str) -> str | None:
    """Return why *test* cannot pass wrapped, if that has been looked into."""
    for (name, pattern), why in REASONS.items():
        if suite.startswith(f"{name}-") and test.endswith(pattern):
            return why
    return None


def differences(results: list[Result]) -> list[str]:
    """Return the tests that pass bare and fail wrapped, a line for those that are alike."""
    ways: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for way, found in result.ways.items():
            for test in found.differ:
                ways.setdefault((result.name, test), []).append(WAYS.get(way, way))
    alike: dict[tuple[str, str, str], list[str]] = {}
    for (suite, test), names in ways.items():
        key = (suite, "; ".join(names), reason(suite, test) or UNEXPLAINED)
        alike.setdefault(key, []).append(f"`{test}`")
    return [
        f"- {suite} ({names}), {', '.join(tests)}: {why}."
        for (suite, names, why), tests in alike.items()
    ]


def faults(results: list[Result]) -> list[str]:
    """Return what must not be: a difference without a reason, and a close that is missing."""
    found = [line for line in differences(results) if line.endswith(f"{UNEXPLAINED}.")]
    for result in results:
        for way in filter(result.ways.__contains__, GUARDED):
            counts = result.ways[way].counts
            if counts.never or counts.again:
                told = f"{counts.never} never closed, {counts.again} closed again"
                found.append(f"- {result.name}, {WAYS[way]}: {told}: {counts.at_fault}")
    return found


def written(results: list[Result], *, date: str, python: str) -> str:
    """Return what stands on the page."""
    parts = [f"Measured on {date}, with CPython {python}.", table(HEADS, rows(results))]
    listed = differences(results)
    parts += ["Which pass bare and fail wrapped, and why:" if listed else ""]
    parts += ["\n".join(listed)]
    unsteady = [f"{result.name} `{test}`" for result in results for test in result.unsteady]
    if unsteady:
        parts.append(f"Ended differently in two runs of the same kind: {', '.join(unsteady)}.")
    return "\n\n".join(filter(None, parts)) + "\n"
