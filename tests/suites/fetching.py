"""Fetch a source distribution, and make an environment that can run its tests."""

import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

from .projects import Suite


def fetched(suite: Suite, folder: Path) -> tuple[Path, Path]:
    """Return the unpacked source of *suite*, and a Python that can run its tests.

    What *folder* holds from an earlier run is used again.
    """
    own = folder / suite.name
    python = own / "venv" / "bin" / "python"
    environment = {**os.environ, **dict(suite.environment)}
    if not python.exists():
        venv.create(own / "venv", with_pip=True)
    if not (own / "complete").exists():
        pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        only = ("--no-deps", "--no-binary", suite.name)
        run([*pip, "download", *only, "-d", own, suite.name], env=environment)
        needs = ["pytest>=8.3", "WebOb", *suite.needs]
        run([*pip, "install", archive_in(own), *needs], env=environment)
        (own / "complete").touch()
    source = own / "source"
    if not source.exists():
        with tarfile.open(archive_in(own)) as packed:
            packed.extractall(source, filter="data")
    return next(source.iterdir()), python


def archive_in(own: Path) -> Path:
    return next(own.glob("*.tar.gz"))


def run(command: list[object], **options: object) -> None:
    """Run *command*; say what it printed if it fails."""
    done = subprocess.run(
        [str(part) for part in command], text=True, capture_output=True, **options
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
