"""``python -m tests.compatibility``: the tests with old and new frameworks, on each Python.

    python -m tests.compatibility                 # prints the table; takes half an hour
    python -m tests.compatibility --write         # and puts it on docs/compatibility.md
    python -m tests.compatibility --only 5.2      # rows that have this in them
    python -m tests.compatibility --python /opt/pypy/bin/pypy3      # this one besides

Each row is an environment of its own, with what the extra ``test`` asks for and then the
versions of the row.  The exit status is 1 if a test fails in any.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path
from typing import NamedTuple

from ..written import rewritten, table

HERE = Path(__file__).resolve().parents[2]
PAGE = HERE / "docs" / "compatibility.md"
COMMAND = "python -m tests.compatibility --write"

HEADS = ["Python", "Django", "Flask", "Werkzeug", "WebOb", "passed", "failed"]

# Those that speak to a framework, and to what WebOb does for us.
TESTS = (
    *("tests/dispatch", "tests/freedom", "tests/neighbours", "tests/subpath"),
    *("tests/test_application.py", "tests/test_asgi.py", "tests/test_close_contract.py"),
    *("tests/test_cookies.py", "tests/test_files.py", "tests/test_guard.py"),
    *("tests/test_lazy.py", "tests/test_redirect.py", "tests/test_response.py"),
    *("tests/test_settings.py", "tests/test_targets.py", "tests/test_tree.py"),
)


class Row(NamedTuple):
    """A Python, by its version or its path, and what is put beside the tests."""

    python: str
    pins: tuple[str, ...]


OLDEST = ("Django==4.2.*", "Flask==2.2.*", "Werkzeug==2.2.*", "WebOb==1.8.11")
NEWEST = ("Flask", "Werkzeug", "WebOb")
ROWS = (
    Row("3.11", OLDEST),
    Row("3.11", ("Django==5.2.*", *NEWEST)),
    Row("3.12", ("Django==5.2.*", "Flask==2.3.*", "Werkzeug==2.3.*", "WebOb==1.8.11")),
    Row("3.12", ("Django==6.0.*", "Flask==3.0.*", "Werkzeug==3.0.*", "WebOb")),
    Row("3.13", ("Django==5.2.*", "Flask==3.0.*", "Werkzeug==3.0.*", "WebOb==1.8.11")),
    Row("3.13", ("Django", *NEWEST)),
)


def interpreter(name: str) -> str:
    """Return the Python that *name* stands for: a path, or a version on PATH or in pyenv."""
    if Path(name).is_file():
        return name
    made = Path.home().glob(f".pyenv/versions/{name}.*/bin/python")
    found = next(map(str, made), None) or shutil.which(f"python{name}")  # not pyenv's script
    return found or sys.exit(f"python must be one of this machine, got {name!r}")


def measured(row: Row, folder: Path) -> tuple[list[str], str]:
    """Return the cells of *row*, and what pytest said of what failed."""
    python = folder / "bin" / "python"
    run([interpreter(row.python), "-m", "venv", "--clear", folder])
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, "-e", f"{HERE}[test]"])
    run([*pip, *row.pins])
    told = "import platform as p; print(p.python_implementation(), p.python_version())"
    cells = [run([python, "-c", told]).removeprefix("CPython ").strip()]
    listed = run([python, "-m", "pip", "list", "--format=freeze"]).lower()
    cells += (re.search(rf"(?m)^{name.lower()}==(\S+)", listed)[1] for name in HEADS[1:5])
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *TESTS],
        cwd=HERE,
        env={"PATH": f"{python.parent}:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    counts = dict(re.findall(r"(\d+) (passed|failed|error)", done.stdout)[::-1])
    counted = {what: int(number) for number, what in counts.items()}
    if not counted.get("passed"):
        sys.exit(done.stdout + done.stderr)
    failed = counted.get("failed", 0) + counted.get("error", 0)
    return [*cells, str(counted["passed"]), str(failed)], done.stdout if failed else ""


def run(command: list[object]) -> str:
    """Run *command*, and return what it prints; end with what it says if it fails."""
    done = subprocess.run(list(map(str, command)), text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Run the tests with old and new frameworks.")
    parser.add_argument("--write", action="store_true", help="put the table on its page")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="rows that have this in them"
    )
    parser.add_argument("--python", action="append", default=[], help="one more, newest of all")
    options = parser.parse_args(arguments)
    rows = [row for row in ROWS if options.only in " ".join([row.python, *row.pins])]
    rows += [Row(*each) for each in product(options.python, [("Django", *NEWEST)])]
    found = []
    for row in rows:
        print(f"{row.python}: {' '.join(row.pins)}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            cells, said = measured(row, Path(folder))
        print(said, file=sys.stderr)
        found.append(cells)
    text = table(HEADS, found)
    print(text)
    if options.write:
        PAGE.write_text(rewritten(PAGE.read_text("utf-8"), COMMAND, text), "utf-8")
    return int(any(cells[-1] != "0" for cells in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
