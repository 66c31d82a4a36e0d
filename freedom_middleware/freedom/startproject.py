"""Make a project whose application is composed from its first day."""

from __future__ import annotations

import re
import shutil
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..errors import OptionError
from ..settings import framework

if TYPE_CHECKING:
    import os

__all__ = ["startproject"]

APP = "freedom_middleware.freedom"


def startproject(name: str, folder: str | os.PathLike[str] | None = None) -> Path:
    """Make a project called *name*, with a composed application in its ``wsgi.py``.

    It is made by the framework's own ``startproject``, from the framework's own template:
    whatever the installed version writes is written, but for ``wsgi.py``, and for one line
    in ``INSTALLED_APPS``.  The framework configures itself for it, so that this process can
    serve no site afterwards.

    Args:
        name: The name of the project, and of the package that holds its settings.
        folder: Where to put it: a folder that exists.  None makes one called *name* here.

    Returns:
        The folder that holds ``manage.py``.

    Raises:
        OptionError: The framework refuses the name or the folder.
        SettingsError: The framework cannot be imported.
    """
    package = framework()
    management = import_module(f"{package}.core.management")
    own = Path(import_module(package).__path__[0], "conf", "project_template")
    with TemporaryDirectory() as temporary:
        template = Path(temporary, own.name)
        shutil.copytree(own, template)
        shutil.copytree(Path(__file__).with_name(own.name), template, dirs_exist_ok=True)
        settings = template / "project_name" / "settings.py-tpl"
        settings.write_text(_installed(settings.read_text("utf-8")), "utf-8")
        arguments = [name] if folder is None else [name, str(folder)]
        try:
            management.call_command("startproject", *arguments, template=str(template))
        except management.CommandError as error:
            raise OptionError(
                f"project must be one that the framework can make, got {name!r}: {error}"
            ) from error
    return Path(name if folder is None else folder).expanduser()


def _installed(settings: str) -> str:
    """Return the template of a settings module, with our app among the installed ones."""
    settings, count = re.subn(
        r"^(INSTALLED_APPS = \[\n(?: .*\n)*)\]",
        rf"\1    '{APP}',\n]",
        settings,
        count=1,
        flags=re.M,
    )
    return settings if count else f"{settings}\nINSTALLED_APPS += ['{APP}']\n"
