"""Ask every server everything, and write the table of ``docs/servers.md``.

    python -m tests.servers.table            # asks all, and rewrites the page
    python -m tests.servers.table --show     # asks all, and prints what it would write

Needs what the tests need: the extras ``test``, ``servers`` and ``compiled``, and the Debian
packages of ``.ci/debian-packages``.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from ..written import part, rewritten, rows, table
from .checks import QUESTIONS, ask
from .deployments import DEPLOYMENTS, database, serving
from .harness import Server

PAGE = Path(__file__).parents[2] / "docs" / "servers.md"
COMMAND = "python -m tests.servers.table"

AT_A_TIME = 2

DISTRIBUTIONS = (
    *("Django", "Flask", "gunicorn", "gevent", "uWSGI", "mod_wsgi", "waitress", "granian"),
    *("cheroot", "bjoern", "Werkzeug", "flipflop"),
)


def committed() -> dict[str, dict[str, str]]:
    """Return the table as it is on the page: the rows by the names of the servers."""
    found = rows(part(PAGE.read_text("utf-8"), COMMAND))
    return {row.pop("server"): row for row in found}


def written(answers: dict[str, dict[str, str]]) -> str:
    """Return what stands on the page."""
    cells = [[name, *row.values()] for name, row in answers.items()]
    return f"{table(['server', *QUESTIONS], cells)}\n\n{versions()}"


def versions() -> str:
    found = [f"{name} {version(name)}" for name in DISTRIBUTIONS]
    for command in (["apache2", "-v"], ["nginx", "-v"]):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        match = re.search(r"(Apache|nginx)/([\d.]+)", done.stdout + done.stderr)
        found.append(f"{match[1]} {match[2]}")
    return f"With {', '.join(found)}, on CPython {platform.python_version()}."


def answers_of(deployment: Server) -> dict[str, str]:
    with TemporaryDirectory() as folder, serving(deployment, Path(folder)) as site:
        return ask(site)


def main(arguments: list[str]) -> int:
    database()  # once, and not in each thread
    with ThreadPoolExecutor(AT_A_TIME) as asking:
        answers = asking.map(answers_of, DEPLOYMENTS)
        text = written(dict(zip([d.name for d in DEPLOYMENTS], answers, strict=True)))
    if "broken: " in text or "--show" in arguments:
        print(text)
        return int("broken: " in text)
    PAGE.write_text(rewritten(PAGE.read_text("utf-8"), COMMAND, text), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
