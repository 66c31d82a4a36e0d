"""``python -m tests.survey``: what real middleware does, and what the check says of it."""

import argparse
import datetime
import json
import subprocess
import sys
from pathlib import Path

from freedom_middleware.terminal import Terminal, cut, padded

from .install import install, normal
from .page import to_page, to_text
from .results import Result, Survey
from .run import run
from .subjects import CONFIGURATIONS
from .truth import CASES

PAGE = Path(__file__).parents[2] / "docs" / "survey.md"

ASK = """
import importlib.metadata, json, sys
names = [one.name for one in importlib.metadata.distributions()]
print(json.dumps([sys.version.split()[0], names]))
"""


def main(arguments=None):
    """Run the command; return its exit status: 0 if the check is right about everything."""
    options = parser().parse_args(arguments)
    terminal = Terminal.of(sys.stdout)
    if options.read:
        kept = json.loads(Path(options.read).read_text("utf-8"))
        survey = Survey([Result(*pair) for pair in kept["results"]], kept["made"])
    else:
        survey = made(options, terminal)
    if options.json:
        kept = {"results": survey.results, "made": survey.made}
        Path(options.json).write_text(json.dumps(kept), "utf-8")
    if options.write:
        PAGE.write_text(to_page(survey), "utf-8")
    print(to_text(survey, terminal))
    return 0 if survey.is_good else 1


def parser():
    parser = argparse.ArgumentParser(
        prog="python -m tests.survey",
        description="Say what real middleware does with close(), and whether"
        " freedom-middleware check says the same. Without --install, what this Python has is"
        " surveyed.",
    )
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="configurations whose name contains it"
    )
    parser.add_argument("--install", metavar="FOLDER", help="make an environment there first")
    parser.add_argument("--write", action="store_true", help="write docs/survey.md")
    parser.add_argument("--json", metavar="FILE", help="keep what was found")
    parser.add_argument("--read", metavar="FILE", help="run nothing, and read what was kept")
    return parser


def made(options, terminal):
    """Install if asked, run what was chosen, and return the survey."""
    python, failed = install(options.install) if options.install else (sys.executable, {})
    version, names = json.loads(subprocess.check_output([python, "-c", ASK]))
    installed = set(map(normal, names))
    chosen = [
        name
        for name, configuration in CONFIGURATIONS.items()
        if any(part.lower() in name.lower() for part in options.names or [""])
    ]
    there = [name for name in chosen if is_there(name, installed)]
    if not there:
        sys.exit(f"NAME must be part of a configuration that is installed, got {options.names}")
    if len(there) < len(chosen):
        print(f"{len(chosen) - len(there)} of {len(chosen)} configurations not installed here")
    count = 0

    def show(result):
        nonlocal count
        count += 1
        if terminal.columns and sys.stdout.isatty():
            line = cut(f"{count}/{len(there)} {result['name']}", terminal.columns - 1)
            end = "\n" if count == len(there) else "\r"
            print(padded(line, terminal.columns - 1), end=end, flush=True)

    results = [
        Result(found.pop("name"), found) for found in run(there, python=python, done=show)
    ]
    about = {
        "date": f"{datetime.date.today():%-d %B %Y}",
        "python": version,
        "cases": len(CASES),
        "failed": failed,
    }
    return Survey(results, about)


def is_there(name, installed):
    distribution = CONFIGURATIONS[name].distribution
    return distribution == "Python" or normal(distribution) in installed


if __name__ == "__main__":
    sys.exit(main())
