"""Other projects' tests with ``--close-leaks``.

What passes bare and fails with the plugin is a leak of a layer that is named, or broken by
the plugin: then the exit status is 1.
"""

import re
from pathlib import Path

from .fetching import fetched
from .projects import Suite
from .running import run

NAMES = ("flask", "webtest", "werkzeug")
PLUGIN = ("-p", "freedom_middleware.pytest_plugin")


def main(folder: Path, chosen: list[Suite]) -> int:
    """Print a row for each suite; return the exit status."""
    print(f"{'suite':<20}{'tests':>7}{'passed bare':>13}{'with':>7}{'leak':>7}{'broken':>8}")
    details: list[tuple[str, str, set[str]]] = []
    for suite in (suite for suite in chosen if suite.name in NAMES):
        source, python = fetched(suite, folder)
        if suite.name == "werkzeug":
            # Its development server, started and stopped, drives nothing that is watched.
            suite = suite._replace(options=("--ignore", "tests/test_serving.py"))
        bare = run(suite, source, python, options=PLUGIN)
        watched = run(suite, source, python, options=(*PLUGIN, "--close-leaks"))
        summary = watched.printed.partition(" close leaks ")[2].partition("\n")[2]
        summary = summary.partition("\n=")[0]
        failed = bare.passed - watched.passed
        told = set(re.findall(r"^(?:FAILED|ERROR) (.+?) - Failed.*$", watched.printed, re.M))
        leaking = told & {line.strip().partition(": ")[0] for line in summary.splitlines()}
        print(
            f"{source.name:<20}{len(bare.ended):>7}{len(bare.passed):>13}"
            f"{len(watched.passed):>7}{len(failed & leaking):>7}{len(failed - leaking):>8}"
        )
        details.append((source.name, summary, failed - leaking))
    for name, summary, broken in details:
        print(f"\n{name}\n{summary}")
        for test in sorted(broken):
            print(f"  passes bare, and fails with --close-leaks without a leak: {test}")
    return int(any(broken for _, _, broken in details))
