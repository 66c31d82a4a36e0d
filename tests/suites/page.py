"""The table of ``docs/transparency.md``: pure functions from results to text."""

from .comparing import GUARDED, WAYS, Result
from .projects import REASONS

BEGIN = "<!-- Written by: python -m tests.suites FOLDER --write -->\n"
END = "<!-- Until here. -->\n"
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
    """Return what stands between BEGIN and END."""
    table = [list(HEADS), ["---"] * len(HEADS), *rows(results)]
    lines = ["| " + " | ".join(row) + " |" for row in table]
    parts = [f"Measured on {date}, with CPython {python}.", "\n".join(lines)]
    listed = differences(results)
    parts += ["Which pass bare and fail wrapped, and why:" if listed else ""]
    parts += ["\n".join(listed)]
    unsteady = [f"{result.name} `{test}`" for result in results for test in result.unsteady]
    if unsteady:
        parts.append(f"Ended differently in two runs of the same kind: {', '.join(unsteady)}.")
    return "\n\n".join(filter(None, parts)) + "\n"


def rewritten(page: str, text: str) -> str:
    """Return *page* with *text* in the place of its table."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + text + END + rest.partition(END)[2]
