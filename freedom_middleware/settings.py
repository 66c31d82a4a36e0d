"""Which framework, which settings module, and whether two sites collide.

Settings are process-wide: the second site in a process silently serves the first one's
pages.  So every settings module that is asked for is remembered, and a second one is
refused with both names in the message.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from contextlib import contextmanager
from importlib import import_module

from .errors import SettingsConflict, SettingsError, SettingsWarning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .wsgi import WSGIApplication

__all__ = ["VARIABLE", "framework", "is_missing", "load_site", "loaded_settings", "noticing"]

VARIABLE = "DJANGO_SETTINGS_MODULE"

CONFIGURED = "settings.configure()"
"""Stands for settings that no module holds."""

PACKAGES = ("freedom", "django")

_CURE = (
    "Settings are process-wide, so the second site would serve the first one's pages. Run"
    " each site in a process of its own (mod_wsgi: one WSGIDaemonProcess each; uWSGI: one"
    " --mount each; otherwise one server each, behind a reverse proxy)."
)

# The settings modules that were asked for: of from_settings (None), or by the module that
# an import string names (that string).
_requested: dict[str, str | None] = {}

# Import strings of other sites, and what was said: a second import would run nothing, and
# so could not be noticed.
_refused: dict[str, str] = {}

# What the variable said before noticing() took it away; empty when it did not.
_taken_away: list[str | None] = []

_changing = threading.Lock()


def framework() -> str:
    """Return the name of the framework package: ``"freedom"``, else ``"django"``.

    Nothing is executed to find out: the package index has an unrelated ``freedom``.

    Raises:
        SettingsError: Neither can be imported.
    """
    for name in PACKAGES:
        if _is_importable(f"{name}.core.wsgi") and _is_importable(f"{name}.conf"):
            return name
    raise SettingsError(
        "a Freedom site must have its framework installed, got none: neither"
        " freedom.core.wsgi nor django.core.wsgi can be imported. Install it with pip into"
        f" the environment of {sys.executable}."
    )


def _is_importable(dotted: str) -> bool:
    """Say whether a module can be found, without executing its parents as import would."""
    if sys.modules.get(dotted) is not None:
        return True
    path = None
    name = ""
    for part in dotted.split("."):
        name = f"{name}.{part}" if name else part
        try:
            for finder in sys.meta_path:
                spec = finder.find_spec(name, path)
                if spec is not None:
                    break
            else:
                return False
            path = list(spec.submodule_search_locations or ())
        except (ImportError, KeyError):
            # A finder forbids it; or it is a folder without __init__.py, whose place can
            # be asked only when its parent is imported.
            return False
    return True


def loaded_settings(package: str) -> str | None:
    """Return the name of the settings module that *package* has loaded, or None.

    ``settings.configure()`` gives ``CONFIGURED``.  ``override_settings``, as tests use
    it, is looked through.
    """
    conf = sys.modules.get(f"{package}.conf")
    settings: Any = getattr(conf, "settings", None)
    if not getattr(settings, "configured", False):
        return None
    layer = settings._wrapped
    while "default_settings" in vars(layer):
        layer = vars(layer)["default_settings"]
    name: str | None = getattr(layer, "SETTINGS_MODULE", None)
    return name or CONFIGURED


def load_site(name: str, *, override: bool = False) -> WSGIApplication:
    """Load the site whose settings module is *name*, and return its handler.

    The environment variable ``DJANGO_SETTINGS_MODULE`` wins, as in the ``wsgi.py`` that
    the framework generates, unless *override* is true.

    Raises:
        SettingsConflict: Another site's settings are loaded, or have been asked for.
        SettingsError: The settings module, or the framework, cannot be imported, or the
            module is no site's.

    Warns:
        SettingsWarning: The environment names another site's settings, and wins.
    """
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        raise SettingsError(
            "settings module must be a dotted module name such as 'mysite.settings',"
            f" got {name!r}"
        )
    package = framework()
    settings = import_module(f"{package}.conf").settings
    before = os.environ.get(VARIABLE)
    with _changing:
        _request(name, loaded_settings(package), override=override)
    wanted = os.environ.get(VARIABLE, name)
    try:
        if loaded_settings(package) is None and _site(wanted) != _site(name):
            warnings.warn(
                f"{VARIABLE}={wanted!r} in the environment wins over {name!r}, and is"
                " another site's; unset it, or say override=True, if that is not meant",
                SettingsWarning,
                stacklevel=3,
            )
        handler: WSGIApplication = import_module(f"{package}.core.wsgi").get_wsgi_application()
    except BaseException as error:
        if loaded_settings(package) is None:
            # Nothing was loaded: a second try with the right name must not collide with this.
            _requested.pop(name, None)
            _restore(before)
            if is_missing(error, wanted):
                raise SettingsError(_missing(name, wanted, error)) from error
        raise
    if not hasattr(settings, "ROOT_URLCONF"):
        raise SettingsError(
            f"settings module must set ROOT_URLCONF, got {loaded_settings(package)!r}, which"
            " does not; without it a site can serve nothing. Is it the name of another module?"
        )
    return handler


def is_missing(error: BaseException, module: str) -> bool:
    """Say whether *error* means that *module*, or a package above it, does not exist."""
    return isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")


def _missing(name: str, wanted: str, error: BaseException) -> str:
    source = "" if wanted == name else f", which {VARIABLE} names instead of {name!r}"
    return (
        f"settings module must be importable, got {wanted!r}{source}: {error}. Is the folder"
        " that holds manage.py the working directory, or on sys.path?"
    )


def _request(name: str, loaded: str | None, *, override: bool) -> None:
    """Remember that *name* is asked for, and make the environment say what will be loaded."""
    _compare(name, None)
    if loaded is None:
        if override or not os.environ.get(VARIABLE):
            os.environ[VARIABLE] = name
    elif loaded != name and (override or not _is_accepted(name, loaded)):
        raise SettingsConflict(_conflict(repr(name), name, loaded))
    _requested[name] = None


def _compare(name: str, spec: str | None) -> None:
    """Refuse *name* if another site has been asked for.

    Two names of one site differ when both are asked of from_settings.  A ``wsgi.py`` asks
    for the name that was generated into it, whichever of them the environment then chose.
    """
    for other, other_spec in _requested.items():
        asked_twice = spec is None and other_spec is None and other != name
        if asked_twice or _site(other) != _site(name):
            got = repr(name) if spec is None else f"{spec!r}, which asks for {name!r},"
            source = "" if other_spec is None else f", which {other_spec!r} asked for"
            if _site(other) == _site(name):
                raise SettingsConflict(
                    f"a process must load its settings once, got {got} after {other!r}. Ask for"
                    f" one of them, and let {VARIABLE} name the other where that is meant"
                )
            raise SettingsConflict(
                f"a process must hold one Freedom site, got {got} after {other!r}{source}."
                f" {_CURE}"
            )


def _is_accepted(name: str, loaded: str) -> bool:
    """Say whether who asks for *name* is content with *loaded*."""
    if name == loaded or _requested.get(name, "") is None:
        return True  # asked for before: the environment won then
    in_environment = _taken_away[0] if _taken_away else os.environ.get(VARIABLE)
    return in_environment == loaded and _site(name) == _site(loaded)


def _conflict(got: str, name: str, loaded: str) -> str:
    if loaded == CONFIGURED:
        return (
            f"a process must configure its settings once, got {got} after {CONFIGURED} was"
            " called; leave one of them out"
        )
    if _site(name) == _site(loaded):
        return (
            f"a process must load its settings once, got {got} when {loaded!r} is already"
            f" loaded; let {VARIABLE} name the one that is meant before anything loads them"
        )
    return (
        f"a process must hold one Freedom site, got {got} when {loaded!r} is already loaded."
        f" {_CURE}"
    )


@contextmanager
def noticing(spec: str) -> Iterator[None]:
    """Import somebody's ``wsgi.py`` within, and refuse it if it asks for another site.

    Such a module says ``os.environ.setdefault("DJANGO_SETTINGS_MODULE", ...)``, which does
    nothing once the first site has set the variable.  So it is taken away meanwhile.

    Raises:
        SettingsConflict: Another site's settings are loaded, or have been asked for.
    """
    if spec in _refused:
        raise SettingsConflict(_refused[spec])
    loaded = _loaded_by_any()
    before = os.environ.get(VARIABLE)
    put_back = loaded is not None
    failure = None
    if loaded is not None:
        _taken_away.append(before)
        os.environ.pop(VARIABLE, None)
    try:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again, unless it has a cause
            failure = error
        if failure is not None and _loaded_by_any() is None:
            put_back = True  # nothing was loaded: a second try must not find this one's name
        else:
            _notice(spec, os.environ.get(VARIABLE), before, loaded)
    except SettingsConflict as conflict:
        put_back = True
        _refused[spec] = str(conflict)
        raise conflict from failure
    finally:
        if loaded is not None:
            _taken_away.pop()
        if put_back:
            _restore(before)
    if failure is not None:
        raise failure


def _notice(spec: str, asked: str | None, before: str | None, loaded: str | None) -> None:
    """Remember or refuse what the module of an import string has set the variable to."""
    if not asked:
        return
    if loaded is not None:
        if not _is_accepted(asked, loaded):
            raise SettingsConflict(
                _conflict(f"{spec!r}, which asks for {asked!r},", asked, loaded)
            )
        _compare(asked, spec)  # the environment may have had its way against a first one
        return
    if asked == before:
        asked = _hidden(spec) if _loaded_by_any() is not None else ""
        if not asked or _site(asked) == _site(before):
            return
        warnings.warn(
            f"{VARIABLE}={before!r} in the environment wins over {asked!r}, which {spec!r} asks"
            " for, and is another site's; unset it if that is not meant",
            SettingsWarning,
            stacklevel=2,
        )
    with _changing:
        _compare(asked, spec)
        _requested.setdefault(asked, spec)


def _hidden(spec: str) -> str:
    """Return the settings module that the source of an import string's module names.

    It has just loaded settings, and ``setdefault`` does nothing where the environment names
    some already: what it would have asked for can only be read.
    """
    from pathlib import Path

    from .project import parse, settings_of

    file = getattr(sys.modules.get(spec.partition(":")[0]), "__file__", None)
    tree = parse(Path(file)) if file else None
    return settings_of(tree) if tree else ""


def _loaded_by_any() -> str | None:
    return next(filter(None, map(loaded_settings, PACKAGES)), None)


def _site(module: str) -> str:
    return module.partition(".")[0]


def _restore(value: str | None) -> None:
    if value is None:
        os.environ.pop(VARIABLE, None)
    else:
        os.environ[VARIABLE] = value
