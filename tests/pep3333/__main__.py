"""``python -m tests.pep3333``: who keeps to PEP 3333, rule by rule.

Servers are judged in the environment that runs it, which needs the extras ``test``,
``servers`` and ``compiled`` and the Debian packages; middleware in the one that ``--install``
makes, as for the survey, or in the one that runs it.
"""

import argparse
import json
import platform
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from ..survey.__main__ import ASK, is_there
from ..survey.install import install, normal
from ..survey.run import run
from ..survey.subjects import CONFIGURATIONS
from .applications import APPLICATION
from .deployments import SERVERS, distribution_of, serving
from .measure import judge_layer
from .middleware import MIDDLEWARE
from .ours import APPLICATIONS, INSIDE, LAYERS, judge_user_guard
from .page import rewritten, to_part, to_rules, to_text
from .results import Row
from .rule import judged
from .servers import SERVER

PAGE = Path(__file__).parents[2] / "docs" / "pep3333.md"

AT_A_TIME = 2


def main(arguments=None):
    """Run the command; return its exit status: 0 when all that was asked for was judged."""
    options = parser().parse_args(arguments)
    page = PAGE.read_text("utf-8")
    page = rewritten(page, "rules", to_rules())
    for part in [options.part] if options.part else PARTS:
        rows, made = PARTS[part](options)
        if not rows:
            sys.exit(
                f"NAME must be part of the name of one that is installed, got {options.names}"
            )
        print(to_text(rows))
        page = rewritten(page, part, to_part(rows, made, part))
    if options.write:
        PAGE.write_text(page, "utf-8")
    return 0


def parser():
    parser = argparse.ArgumentParser(
        prog="python -m tests.pep3333",
        description="Judge our own classes, servers and middleware by the rules of PEP 3333.",
    )
    parser.add_argument("part", nargs="?", choices=PARTS, help="one of them alone")
    parser.add_argument("names", metavar="NAME", nargs="*", help="whose name contains it")
    parser.add_argument("--install", metavar="FOLDER", help="make an environment there first")
    parser.add_argument("--write", action="store_true", help="write docs/pep3333.md")
    return parser


def is_chosen(name, options):
    return any(part.lower() in name.lower() for part in options.names or [""])


def judge_ours(options):
    """Judge our own classes, in this process."""
    warnings.simplefilter("ignore")
    marks = {name: judge_layer(layer) for name, layer in LAYERS.items()}
    marks["UserGuard"] = judge_user_guard()
    for name, layer in INSIDE.items():
        marks[name] = {rule.number: judged(rule, layer) for rule in MIDDLEWARE}
    for name, subject in APPLICATIONS.items():
        marks[name] = {rule.number: judged(rule, subject) for rule in APPLICATION}
    rows = [Row(name, "", found) for name, found in marks.items() if is_chosen(name, options)]
    return rows, f"On CPython {platform.python_version()}."


def judge_servers(options):
    """Judge the servers, each in a process of its own."""
    chosen = [server for server in SERVERS if is_chosen(server.name, options)]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        rows = list(pool.map(judge_server, chosen))
    return rows, f"On CPython {platform.python_version()}, {platform.system()}."


def judge_server(server):
    distribution = distribution_of(server)
    number = platform.python_version() if distribution == "Python" else version(distribution)
    with TemporaryDirectory() as folder, serving(server, Path(folder)) as site:
        marks = {rule.number: judged(rule, site) for rule in SERVER}
    by = number if distribution in server.name else f"{distribution} {number}"
    return Row(f"{server.name} ({by})", "", marks)


def judge_middleware(options):
    """Judge each configuration of the survey that is installed, in a process of its own."""
    python, failed = install(options.install) if options.install else (sys.executable, {})
    number, names = json.loads(subprocess.check_output([python, "-c", ASK]))
    installed = set(map(normal, names))
    chosen = [
        name
        for name in CONFIGURATIONS
        if is_chosen(name, options) and is_there(name, installed)
    ]
    found = run(chosen, python=python, module="tests.pep3333.measure")
    rows = [
        Row(
            f"{CONFIGURATIONS[one['name']].distribution} {one.get('version', '')}".rstrip(),
            one["name"].partition(": ")[2],
            one.get("marks", {}),
            one.get("error", ""),
        )
        for one in found
    ]
    rows += [
        Row(name, "", {}, f"could not be installed: {why}") for name, why in failed.items()
    ]
    rows.sort(key=lambda row: row.package.lower())  # stable: the ways stay in their order
    return rows, f"On CPython {number}."


PARTS = {"ours": judge_ours, "servers": judge_servers, "middleware": judge_middleware}


if __name__ == "__main__":
    sys.exit(main())
