"""``python -m tests.compatibility``: the tests with old and new frameworks, on each Python.

    python -m tests.compatibility                 # prints the table; takes half an hour
    python -m tests.compatibility --write         # and puts it on docs/compatibility.md
    python -m tests.compatibility --only 5.2      # rows that have this in them
    python -m tests.compatibility --python /opt/pypy/bin/pypy3          # this one alone
    python -m tests.compatibility --python /opt/pypy/bin/pypy3 --write  # and puts its row there
    python -m tests.compatibility --python ... --without ddtrace        # which has none for it

Each row is an environment of its own, with what the extra ``test`` asks for and then the
versions of the row.  A free-threaded Python runs without its lock, whatever is imported.
The exit status is 1 if a test fails in any.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from ..written import part, rewritten, rows, table

HERE = Path(__file__).resolve().parents[2]
PAGE = HERE / "docs" / "compatibility.md"
COMMAND = "python -m tests.compatibility --write"

HEADS = ["Python", "Django", "Flask", "Werkzeug", "WebOb", "passed", "skipped", "failed"]

# Which Python it is, as the table has it.
NAME = """if True:
    import platform, sys, sysconfig
    version = platform.python_version()
    if platform.python_implementation() == "PyPy":
        version = "PyPy {}.{}.{} ({})".format(*sys.pypy_version_info[:3], version)
    print(version + " free-threaded" * bool(sysconfig.get_config_var("Py_GIL_DISABLED")))
"""

# Those that speak to a framework, and to what WebOb does for us.
TESTS = (
    *("tests/dispatch", "tests/freedom", "tests/neighbours", "tests/subpath"),
    *("tests/test_application.py", "tests/test_asgi.py", "tests/test_close_contract.py"),
    *("tests/test_cookies.py", "tests/test_files.py", "tests/test_guard.py"),
    *("tests/test_lazy.py", "tests/test_redirect.py", "tests/test_response.py"),
    *("tests/test_settings.py", "tests/test_targets.py", "tests/test_threads.py"),
    "tests/test_tree.py",
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


def requirements(without: Collection[str]) -> list[str]:
    """Return what the extra ``test`` asks for, but for the packages *without*."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text("utf-8"))["project"]
    asked = project["optional-dependencies"]["test"]
    names = [re.match(r"[\w.-]+", each)[0] for each in asked]
    if unknown := sorted(set(without) - set(names)):
        sys.exit(f"--without must name what the extra test asks for, got {unknown}")
    return [each for name, each in zip(names, asked, strict=True) if name not in without]


def measured(row: Row, folder: Path, without: Collection[str] = ()) -> tuple[list[str], str]:
    """Return the cells of *row*, and what pytest said of what failed."""
    python = folder / "bin" / "python"
    run([interpreter(row.python), "-m", "venv", "--clear", folder])
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    run([*pip, "--upgrade", "pip"])  # that of some Pythons cannot resolve all this
    run([*pip, "-e", HERE, *requirements(without)])
    run([*pip, *row.pins])
    cells = [run([python, "-c", NAME]).strip()]
    listed = run([python, "-m", "pip", "list", "--format=freeze"]).lower()
    cells += (re.search(rf"(?m)^{name.lower()}==(\S+)", listed)[1] for name in HEADS[1:5])
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *TESTS],
        cwd=HERE,
        env=environment(python, is_free_threaded=cells[0].endswith("free-threaded")),
        capture_output=True,
        text=True,
        check=False,
    )
    ends = re.findall(r"(?m)^\d+ (?:passed|failed).* in [\d.]+s", done.stdout)
    counts = re.findall(r"(\d+) (passed|skipped|failed|error)", "".join(ends[-1:]))
    counted = {what: int(number) for number, what in counts}
    if not counted.get("passed"):
        sys.exit(done.stdout + done.stderr)
    failed = counted.get("failed", 0) + counted.get("error", 0)
    cells += map(str, (counted["passed"], counted.get("skipped", 0), failed))
    return cells, done.stdout if failed else ""


def environment(python: Path, *, is_free_threaded: bool) -> dict[str, str]:
    """Return the variables for *python*: an extension module may ask for the lock again."""
    variables = {"PATH": f"{python.parent}:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    if is_free_threaded:
        variables["PYTHON_GIL"] = "0"
    return variables


def run(command: list[object]) -> str:
    """Run *command*, and return what it prints; end with what it says if it fails."""
    done = subprocess.run(list(map(str, command)), text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout


def placed(
    shown: list[list[str]], standing: list[list[str]], others: list[list[str]]
) -> list[list[str]]:
    """Return the rows for the page, on which *shown* stand: those of ROWS, then the others.

    One of *others* takes the place of the one of the same interpreter, whatever its last
    number is; what was not measured stays.
    """
    kept = {kind(cells): cells for cells in [*shown[len(ROWS) :], *others]}
    return [*(standing or shown[: len(ROWS)]), *kept.values()]


def kind(cells: list[str]) -> str:
    return re.sub(r"(\d+\.\d+)\.\w+", r"\1", cells[0])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Run the tests with old and new frameworks.")
    parser.add_argument("--write", action="store_true", help="put the table on its page")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="rows that have this in them"
    )
    parser.add_argument("--python", action="append", help="this one alone, newest of all")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="with --python: what cannot be had for it, and the tests skip there",
    )
    parser.add_argument(
        "--pin",
        action="append",
        default=[],
        metavar="REQUIREMENT",
        help="with --python: an older version of what the tests need",
    )
    options = parser.parse_args(arguments)
    if options.only and options.write:
        parser.error("--write puts all rows on the page, and --only leaves some out")
    if (options.without or options.pin) and not options.python:
        parser.error("--without and --pin are for one interpreter: they need --python")
    wanted = [row for row in ROWS if options.only in " ".join([row.python, *row.pins])]
    if options.python:
        wanted = [Row(python, ("Django", *NEWEST, *options.pin)) for python in options.python]
    found = []
    for row in wanted:
        print(f"{row.python}: {' '.join(row.pins)}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            cells, said = measured(row, Path(folder), options.without)
        print(said, file=sys.stderr)
        found.append(cells)
    print(table(HEADS, found))
    if options.write:
        page = PAGE.read_text("utf-8")
        shown = [list(row.values()) for row in rows(part(page, COMMAND))]
        both = ([], found) if options.python else (found, [])
        PAGE.write_text(rewritten(page, COMMAND, table(HEADS, placed(shown, *both))), "utf-8")
    return int(any(cells[-1] != "0" for cells in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
