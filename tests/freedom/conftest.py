"""Projects as people have them, and the commands that people type in them."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

import freedom_middleware
from freedom_middleware.settings import VARIABLE

from ..test_settings import ALIAS

PACKAGE = str(Path(freedom_middleware.__file__).parent.parent)


@pytest.fixture(scope="session", params=["django", "freedom"])
def framework(request, tmp_path_factory):
    """Return what PYTHONPATH has to hold: the framework is called by one name or the other."""
    if request.param == "django":
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
