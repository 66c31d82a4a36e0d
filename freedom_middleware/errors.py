"""Every exception and warning that this package raises.

Each is a :class:`FreedomError` *and* the builtin that a caller would expect, and its text
says ``<thing> must <rule>, got <repr>`` and what to do about it.
"""

from __future__ import annotations

__all__ = [
    "ApplicationError",
    "ApplicationTypeError",
    "EditError",
    "FreedomError",
    "HostError",
    "InputError",
    "MethodError",
    "MountError",
    "MountWarning",
    "OptionError",
    "PredicateError",
    "ProjectError",
    "ServeError",
    "SettingsConflict",
    "SettingsError",
    "SettingsWarning",
    "TableError",
    "TableTypeError",
    "UnclosedBodyWarning",
]


class FreedomError(Exception):
    """The base of every error that this package raises."""


class OptionError(FreedomError, ValueError):
    """An option of a class or a command is not one of those it can take."""


class EditError(FreedomError, ValueError):
    """A file cannot be changed as asked, and is left as it is."""


class ApplicationError(FreedomError, ImportError):
    """An import string names nothing that can be loaded, or loading it failed."""


class ApplicationTypeError(FreedomError, TypeError):
    """What was given, or what an import string names, is not an application."""


class SettingsError(FreedomError, ImportError):
    """The settings module, or the framework itself, cannot be imported."""


class SettingsConflict(FreedomError, RuntimeError):
    """Two Freedom sites in one process: the second would silently serve the first."""


class TableError(FreedomError, ValueError):
    """A dispatcher's table breaks its rule: a key is given twice, or is none."""


class TableTypeError(TableError, TypeError):
    """A dispatcher's table, or a key in it, is of a type that cannot be one."""


class MethodError(TableError):
    """A key in a table of methods is not the name of one, or in the wrong case."""


class MountError(TableError):
    """A mount prefix breaks the routing rule."""


class HostError(TableError):
    """A pattern in the table of a Hosts is no host, or a wildcard is in the wrong place."""


class PredicateError(FreedomError, ValueError):
    """What a predicate is made of breaks its rule, so that it could never be true."""


class ProjectError(FreedomError, LookupError):
    """A folder holds no application, or more than one, and none was named."""


class InputError(FreedomError, RuntimeError):
    """A predicate reads the request body, which belongs to the chosen application."""


class ServeError(FreedomError, OSError):
    """The development server cannot listen where it was asked to."""


class MountWarning(UserWarning):
    """A mount prefix is legal, but almost certainly not what was meant."""


class SettingsWarning(RuntimeWarning):
    """The environment names another site's settings than the code asks for."""


class UnclosedBodyWarning(ResourceWarning):
    """A layer or a server dropped a response body without closing it."""
