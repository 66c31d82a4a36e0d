"""Projects as people have them, and the commands that people type in them."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import freedom_middleware
from freedom_middleware.settings import VARIABLE

from ..test_settings import ALIAS, nursery  # noqa: F401 - a fixture, which forks for each script

PACKAGE = str(Path(freedom_middleware.__file__).parent.parent)


BOTH_NAMES = pytest.mark.parametrize(
    "framework", ["django", "freedom"], indirect=True, scope="session"
)


@pytest.fixture(scope="session")
def framework(request, tmp_path_factory):
    """Return what PYTHONPATH has to hold, for the framework to be called so."""
    if getattr(request, "param", "django") == "django":
        return PACKAGE
    beside = tmp_path_factory.mktemp("alias")
    (beside / "sitecustomize.py").write_text("import sys\n" + dedent(ALIAS))
    return os.pathsep.join([str(beside), PACKAGE])


@pytest.fixture(scope="session")
def run_in(framework):
    """Return a function that runs Python in a folder, as people do in a shell."""

    def run(folder, *arguments, answer="", **environment):
        kept = {key: value for key, value in os.environ.items() if key != VARIABLE}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            input=answer,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**kept, "PYTHONPATH": framework, **environment},
        )

    return run


@pytest.fixture(scope="session")
def command(run_in):
    """Return a function that runs ``freedom-middleware`` in a folder."""

    def command(folder, *arguments, **keywords):
        return run_in(folder, "-m", "freedom_middleware", *arguments, **keywords)

    return command


@pytest.fixture(scope="session")
def make_project(command, tmp_path_factory):
    """Return a function that makes a project, and returns its folder."""

    def make():
        folder = tmp_path_factory.mktemp("projects")
        done = command(folder, "startproject", "mysite", ".")
        assert (done.returncode, done.stderr) == (0, "")
        return folder

    return make
