"""Run a suite in a way, and say how each test ended and what became of the bodies."""

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from .counts import Counts, counted_in
from .projects import Suite

PACKAGE = Path(__file__).resolve().parents[2] / "freedom_middleware"
INSIDE = Path(__file__).parent / "inside"

PYTEST = (
    *("-m", "pytest", "-v", "-rfE", "--tb=short", "--color=no"),
    *("-p", "no:cacheprovider", "--override-ini", "addopts="),
)
SECONDS = 1200


class Run(NamedTuple):
    """How each test ended, what became of the bodies, and what was printed."""

    ended: dict[str, str]
    counts: Counts
    printed: str

    @property
    def passed(self) -> set[str]:
        return {test for test, outcome in self.ended.items() if outcome == "PASSED"}


def run(
    suite: Suite,
    source: Path,
    python: Path | str,
    way: str = "",
    *,
    options: tuple[str, ...] = (),
    path: tuple[Path, ...] = (),
) -> Run:
    """Run the tests of *suite*.

    Args:
        suite: What to run.
        source: Where its source is.
        python: The Python of its environment.
        way: How applications are wrapped, as ``module:function``; ``""`` is bare.
        options: More for its runner.
        path: More folders for PYTHONPATH.
    """
    with TemporaryDirectory() as folder:
        notes, packages = Path(folder, "notes"), Path(folder, "packages")
        notes.mkdir()
        packages.mkdir()
        # Alone: the suites have packages called ``tests`` of their own.
        (packages / PACKAGE.name).symlink_to(PACKAGE)
        paths = [packages, INSIDE, *path] if way else [packages, *path]
        environment = {
            **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            **dict(suite.environment),
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "TRANSPARENCY": way,
            "TRANSPARENCY_FOLDER": str(notes),
        }
        if suite.runner == "pytest":
            command = [*PYTEST, *suite.options, *options, *suite.tests]
            read = of_pytest
        else:
            source = source / suite.runner
            command = ["runtests.py", "-v", "2", "--parallel", "1", "--buffer", *suite.tests]
            read = of_unittest
        done = subprocess.run(
            [str(python), *command],
            cwd=source,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
        ended = read(done.stdout)
        if not ended:
            sys.exit(done.stdout)
        return Run(ended, counted_in(notes), done.stdout)


def of_pytest(printed: str) -> dict[str, str]:
    """Return how each test ended, as ``pytest -v`` says it.

    >>> of_pytest("t.py::test_a[x y] PASSED [ 50%]\\nt.py::test_a[x y] ERROR [100%]\\n")
    {'t.py::test_a[x y]': 'ERROR'}
    """
    found = re.findall(r"^(\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)", printed, re.M)
    ended: dict[str, str] = {}
    for test, outcome in found:
        if ended.get(test) != "FAILED":
            ended[test] = outcome
    return ended


OUTCOMES = {"ok": "PASSED", "FAIL": "FAILED", "ERROR": "ERROR", "skipped": "SKIPPED"}


def of_unittest(printed: str) -> dict[str, str]:
    """Return how each test ended, as ``unittest -v`` says it; all of them, or it is an error.

    >>> of_unittest(
    ...     "test_a (m.T.test_a) ... ok\\ntest_b (m.T.test_b)\\nWhat it is. ... FAIL\\n"
    ...     "Ran 2 tests in 0.1s\\n"
    ... )
    {'m.T.test_a': 'PASSED', 'm.T.test_b': 'FAILED'}
    """
    found = re.findall(
        r"^\w+ \(([\w.]+)\)(?:\n.*)? \.\.\. (ok|FAIL|ERROR|skipped|expected failure)",
        printed,
        re.M,
    )
    ran = re.search(r"^Ran (\d+) tests? in", printed, re.M)
    if ran is None or int(ran[1]) != len(found):
        sys.exit(f"{printed}\nread {len(found)} outcomes of {ran and ran[1]}")
    return {test: OUTCOMES.get(outcome, "XFAIL") for test, outcome in found}
