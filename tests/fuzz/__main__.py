"""Throw generated requests, tables, applications and servers at the package.

    python -m tests.fuzz [--minutes 1] [--write] [TARGET...]

Each target gets *minutes*; without a name all of them do.  Those of ``parsers.py`` are
driven by atheris, which is guided by the branches that are taken, where that is installed
(``pip install atheris``); else by hypothesis, which is not, and the table says which.  Those
of ``tables.py`` and ``misuse.py`` are hypothesis's.  What fails is printed with what it
takes to repeat it, and the exit status is 1.  ``--write`` puts the table into
docs/fuzzing.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from ..written import rewritten, table
from . import misuse, parsers
from .tables import MACHINES

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs" / "fuzzing.md"
COMMAND = "python -m tests.fuzz --write"

BATCH = 200
"""So many cases are generated before the clock is looked at."""

LONGEST_SECONDS = 10
"""What a single input may take: longer is a finding."""


class Result(NamedTuple):
    """What became of one target."""

    name: str
    engine: str
    cases: int
    reached: str
    seconds: float
    failure: str


# -- with hypothesis --


def by_hypothesis(
    name: str, seconds: float, batch: int = BATCH, *, shrink: bool = True, again: bool = False
) -> Result:
    """Run one target until its time is over, or it fails; *shrink* what it fails with.

    *again* tries the same cases each time.
    """
    start = time.monotonic()
    cases = 0
    failure = ""
    options = settings(
        max_examples=batch,
        stateful_step_count=20,
        deadline=None,
        database=None,
        derandomize=again,
        phases=[Phase.generate, *([Phase.shrink, Phase.explain] if shrink else [])],
        suppress_health_check=[*HealthCheck],
    )
    once = one_batch(name, options)
    try:
        while not cases or time.monotonic() - start < seconds:
            cases += once()
    except Exception as error:  # noqa: BLE001 - whatever it is is what was looked for
        failure = "\n".join(
            [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])]
        )
    return Result(name, "hypothesis", cases, "", time.monotonic() - start, failure)


def one_batch(name: str, options: settings) -> Callable[[], int]:
    """Return what runs one batch of a target, and says how many cases it had."""
    if name in MACHINES:

        def run_machine() -> int:
            run_state_machine_as_test(MACHINES[name], settings=options)
            return options.max_examples

        return run_machine
    cases = 0
    if name == "misuse":

        @options
        @given(misuse.APPS, misuse.SERVERS, misuse.STACKS)
        def test(app: Any, server: Any, stack: Any) -> None:
            nonlocal cases
            cases += 1
            misuse.check(app, server, stack)

    else:
        function, seeds = parsers.TARGETS[name]
        pieces = st.one_of(
            st.sampled_from(seeds),
            st.binary(max_size=20),
            st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace")),
        )

        @options
        @given(st.lists(pieces, max_size=4).map(b"".join))
        def test(data: bytes) -> None:
            nonlocal cases
            cases += 1
            function(data)

    def run_test() -> int:
        nonlocal cases
        cases = 0
        test()
        return cases

    return run_test


# -- with atheris --


def by_atheris(name: str, seconds: float) -> Result:
    """Run one target in a process of its own, guided by the branches that it takes."""
    with TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for number, seed in enumerate(parsers.TARGETS[name].seeds):
            corpus.joinpath(str(number)).write_bytes(seed)
        start = time.monotonic()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz.guided", name, str(corpus)),
                f"-max_total_time={max(1, round(seconds))}",
                f"-timeout={LONGEST_SECONDS}",
                f"-artifact_prefix={folder}/",
                *("-print_final_stats=1", "-max_len=4096", "-rss_limit_mb=1024"),
            ],
            cwd=TOP,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + 300,
            check=False,
        )
        told = done.stdout + done.stderr
        failure = ""
        if done.returncode:
            inputs = [
                f"input {path.read_bytes()!r}"
                for path in Path(folder).iterdir()
                if path.is_file()
            ]
            raised = told.partition("Uncaught Python exception")[2] or told[-3000:]
            failure = "\n".join([*inputs, raised[:3000]])
    cases = re.search(r"stat::number_of_executed_units:\s*(\d+)", told)
    reached = re.findall(r"\bcov: (\d+)", told)
    return Result(
        name,
        "atheris",
        int(cases[1]) if cases else 0,
        reached[-1] if reached else "",
        time.monotonic() - start,
        failure,
    )


# -- the command --

NAMES = [*parsers.TARGETS, *MACHINES, "misuse"]


def run(name: str, seconds: float) -> Result:
    """Run one target by whoever does it best."""
    if name in parsers.TARGETS and importlib.util.find_spec("atheris"):
        return by_atheris(name, seconds)
    return by_hypothesis(name, seconds)


def written(results: list[Result], minutes: float) -> str:
    """Return what stands on the page."""
    lines = [
        [
            f"`{result.name}`",
            result.engine,
            f"{result.cases:,}",
            result.reached or "-",
            f"{result.seconds:.0f}",
            "1" if result.failure else "0",
        ]
        for result in results
    ]
    shown = table(["target", "by", "cases", "branches", "seconds", "failures"], lines)
    engines = ["hypothesis", *({r.engine for r in results} - {"hypothesis"})]
    made = ", ".join(f"{engine} {version(engine)}" for engine in engines)
    return (
        f"{shown}\n\n{sum(result.cases for result in results):,} cases, {minutes:g} min"
        f" for each target, with {made}, on CPython {platform.python_version()}.\n"
    )


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--minutes", type=float, default=1.0, help="for each target")
    parser.add_argument("--write", action="store_true", help="rewrite docs/fuzzing.md")
    options = parser.parse_args()
    unknown = {*options.targets} - {*NAMES}
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if not importlib.util.find_spec("atheris"):
        print("atheris is not installed: the parsers are driven by hypothesis", file=sys.stderr)
    parsers.quiet()
    results = []
    for name in options.targets or NAMES:
        results.append(run(name, options.minutes * 60))
        print(
            written(results[-1:], options.minutes).splitlines()[2], file=sys.stderr, flush=True
        )
    text = written(results, options.minutes)
    print(text)
    for result in results:
        if result.failure:
            print(f"{result.name} failed:\n{result.failure}\n")
    if options.write:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(rewritten(page, COMMAND, text), "utf-8")
    return int(any(result.failure for result in results))


if __name__ == "__main__":
    sys.exit(main())
