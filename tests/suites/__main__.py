"""``python -m tests.suites [FOLDER]``: other projects' own tests, bare and with --close-leaks.

The source distributions come through pip, each with an environment of its own; all is kept
in FOLDER if one is given.  What passes bare and fails with the plugin is a leak of a layer
that is named, or broken by the plugin: then the exit status is 1.  Takes some minutes.
"""

import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parents[2]


class Suite(NamedTuple):
    """A project, where its tests are, and what they need."""

    name: str
    paths: tuple[str, ...]
    needs: tuple[str, ...]
    options: tuple[str, ...] = ()


SUITES = (
    Suite("flask", ("tests",), ("asgiref", "python-dotenv", "greenlet", "pytest<9")),
    Suite("webtest", ("tests",), ("PasteDeploy", "WSGIProxy2", "pyquery")),
    # Its development server, started and stopped many times, drives nothing that is watched.
    Suite("werkzeug", ("tests",), ("cryptography",), ("--ignore", "tests/test_serving.py")),
)


def fetched(suite: Suite, folder: Path) -> tuple[Path, Path]:
    """Return the unpacked source of *suite*, and a Python that can run its tests."""
    own = folder / suite.name
    python = own / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(own / "venv", with_pip=True)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    if not list(own.glob("*.tar.gz")):
        run([*pip, "download", "--no-deps", "--no-binary", ":all:", "-d", own, suite.name])
        needs = ["pytest>=8.3", "pytest-timeout", "WebOb", *suite.needs]
        run([*pip, "install", next(own.glob("*.tar.gz")), *needs])
    archive = next(own.glob("*.tar.gz"))
    source = own / "source"
    if not source.exists():
        with tarfile.open(archive) as packed:
            packed.extractall(source, filter="data")
    return next(source.iterdir()), python


def run(command: list[object], **options: object) -> None:
    """Run *command*; say what it printed if it fails."""
    done = subprocess.run(
        [str(part) for part in command], text=True, capture_output=True, **options
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


def outcomes(
    suite: Suite, source: Path, python: Path, *options: str
) -> tuple[dict[str, str], str]:
    """Return how each test ended, and what was printed."""
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run(
        [
            str(python),
            *("-m", "pytest", "-v", "-rfE", "--tb=short", "--color=no", "--timeout=120"),
            *("-p", "no:cacheprovider", "-p", "freedom_middleware.pytest_plugin"),
            *("--override-ini", "addopts=", *suite.options, *options, *suite.paths),
        ],
        cwd=source,
        env=environment,
        text=True,
        capture_output=True,
    )
    found = re.findall(
        r"^(\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)", done.stdout, re.M
    )
    ended: dict[str, str] = {}
    for test, outcome in found:
        if ended.get(test) != "FAILED":
            ended[test] = outcome
    if not ended:
        sys.exit(done.stdout + done.stderr)
    return ended, done.stdout


def main() -> None:
    """Print a row for each suite."""
    folder = Path(sys.argv[1]) if sys.argv[1:] else Path(tempfile.mkdtemp())
    print(f"{'suite':<20}{'tests':>7}{'passed bare':>13}{'with':>7}{'leak':>7}{'broken':>8}")
    details: list[tuple[str, str, set[str]]] = []
    for suite in SUITES:
        source, python = fetched(suite, folder)
        bare, _ = outcomes(suite, source, python)
        watched, printed = outcomes(suite, source, python, "--close-leaks")
        summary = printed.partition(" close leaks ")[2].partition("\n")[2]
        summary = summary.partition("\n=")[0]
        failed = {
            test
            for test, outcome in bare.items()
            if outcome == "PASSED" and watched.get(test) != "PASSED"
        }
        leaking = set(re.findall(r"^(?:FAILED|ERROR) (.+?) - Failed.*$", printed, re.M)) & {
            line.strip().partition(": ")[0] for line in summary.splitlines()
        }
        print(
            f"{source.name:<20}{len(bare):>7}"
            f"{list(bare.values()).count('PASSED'):>13}"
            f"{list(watched.values()).count('PASSED'):>7}"
            f"{len(failed & leaking):>7}{len(failed - leaking):>8}"
        )
        details.append((source.name, summary, failed - leaking))
    for name, summary, broken in details:
        print(f"\n{name}\n{summary}")
        for test in sorted(broken):
            print(f"  passes bare, and fails with --close-leaks without a leak: {test}")
    sys.exit(any(broken for _, _, broken in details))


main()
