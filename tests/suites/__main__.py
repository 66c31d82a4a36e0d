"""``python -m tests.suites [FOLDER]``: other projects' own tests, bare and wrapped.

The source distributions come through pip, each with an environment of its own; all is kept
in FOLDER if one is given.  The exit status is 1 if a test passes bare and fails wrapped for
a reason that is not known, or if a guarded body is not closed exactly once.

With ``--close-leaks`` the suites of Flask, WebTest and Werkzeug run with that option instead.
"""

import argparse
import datetime
import functools
import json
import platform
import sys
import tempfile
from pathlib import Path

from ..written import rewritten
from . import close_leaks
from .comparing import WAYS, Compared, Result, compared
from .counts import Counts
from .fetching import fetched
from .page import COMMAND, faults, reason, written
from .projects import SUITES

PAGE = Path(__file__).parents[2] / "docs" / "transparency.md"


def main(arguments: list[str]) -> int:
    """Run what is asked for, print the table, and return the exit status."""
    options = parser().parse_args(arguments)
    folder = Path(options.folder or tempfile.mkdtemp()).resolve()
    chosen = [suite for suite in SUITES if suite.name in (options.only or suite.name)]
    if options.close_leaks:
        return close_leaks.main(folder, chosen)
    results = []
    for suite in chosen:
        kept = folder / suite.name / "result.json"
        if not options.read:
            source, python = fetched(suite, folder)
            ways = {name: f"transparency.ways:{name}" for name in WAYS}
            known = functools.partial(reason, source.name)
            found = compared(suite, source, python, ways, known=known)
            kept.write_text(json.dumps(found), "utf-8")
        results.append(as_result(json.loads(kept.read_text("utf-8"))))
    date = f"{datetime.date.today():%-d %B %Y}"
    text = written(results, date=date, python=platform.python_version())
    if options.write:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(rewritten(page, COMMAND, text), "utf-8")
    print(text)
    wrong = faults(results)
    print("\n".join(["Wrong:", *wrong]) if wrong else "Nothing is wrong.")
    return int(bool(wrong))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.suites")
    made.add_argument("folder", metavar="FOLDER", nargs="?", help="keep everything there")
    made.add_argument("--only", metavar="NAME", action="append", help="this project; again")
    made.add_argument("--write", action="store_true", help="write docs/transparency.md")
    made.add_argument("--read", action="store_true", help="run nothing; read what FOLDER has")
    made.add_argument("--close-leaks", action="store_true", help="run with that option instead")
    return made


def as_result(kept: list[object]) -> Result:
    """Read what JSON made of a result."""
    result = Result(*kept)
    ways = {
        way: Compared(passed, differ, Counts(*counts))
        for way, (passed, differ, counts) in result.ways.items()
    }
    return result._replace(ways=ways)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
