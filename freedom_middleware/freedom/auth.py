"""The users of the site, for Apache: ``WSGIAuthUserScript`` and ``WSGIAuthGroupScript``.

Apache imports the script before, or without, the site.  The framework's own handler needs
its models when it is imported, and fails with ``AppRegistryNotReady`` if nobody has set the
framework up; this module does so when the first user asks.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError
from ..settings import VARIABLE, framework, is_missing, loaded_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_password", "groups_for_user", "set_up"]


def check_password(environ: Mapping[str, Any], user: str, password: str) -> bool | None:
    """Say whether *password* is the one of *user*, as ``WSGIAuthUserScript`` asks.

    The work is the framework's own ``check_password``: who is not active counts as
    unknown, an unknown user costs as much time as a wrong password, and database
    connections are given back.  Names and passwords of other letters than ASCII's are
    understood, which the framework's own takes letter by letter for something else.

    Args:
        environ: What Apache knows of the request; it is not looked at.
        user: The name that was given, as mod_wsgi hands it over: a native string.
        password: The password that was given, in the same way.

    Returns:
        True; False for a wrong password; None for an unknown user, of whom Apache then
        asks its next provider.

    Raises:
        SettingsError: No settings are named, or the framework cannot be imported.
    """
    if "\0" in user:
        return None  # no name has one, and some databases raise
    allowed: bool | None = _handler().check_password(environ, _text(user), _text(password))
    return allowed


def groups_for_user(environ: Mapping[str, Any], user: str) -> list[bytes]:
    """Return the names of the groups of *user*, as ``WSGIAuthGroupScript`` asks.

    Args:
        environ: What Apache knows of the request; it is not looked at.
        user: The name of the user, a native string.

    Returns:
        The names in UTF-8, as mod_wsgi compares them; none for who is unknown or not active.

    Raises:
        SettingsError: No settings are named, or the framework cannot be imported.
    """
    if "\0" in user:
        return []
    groups: list[bytes] = _handler().groups_for_user(environ, _text(user))
    return groups


def set_up() -> str:
    """Set the framework up, if nobody has, and return the name of its package.

    Raises:
        SettingsError: No settings are named, or those, or the framework, cannot be imported.
    """
    package = framework()
    if not import_module(f"{package}.apps").apps.ready:
        wanted = os.environ.get(VARIABLE)
        if not wanted and loaded_settings(package) is None:
            raise SettingsError(
                f"the site must say which settings are its own, got none. Set {VARIABLE} first,"
                " or make the site by Application.from_settings"
            )
        try:
            import_module(package).setup(set_prefix=False)
        except ModuleNotFoundError as error:
            if not (wanted and is_missing(error, wanted)):
                raise
            raise SettingsError(
                f"settings module must be importable, got {wanted!r}, which {VARIABLE} names:"
                f" {error}. Is the folder that holds manage.py on sys.path?"
            ) from error
    return package


def _text(native: str) -> str:
    """Return what a browser has sent: UTF-8, as it is asked to; or Latin-1, as old ones did."""
    try:
        return native.encode("latin-1").decode()
    except UnicodeError:
        return native


def _handler() -> Any:
    return import_module(f"{set_up()}.contrib.auth.handlers.modwsgi")
