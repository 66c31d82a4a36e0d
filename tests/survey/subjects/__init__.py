"""The configurations that are surveyed, a module for each subject."""

import importlib

from .registry import CONFIGURATIONS, Configuration

__all__ = ["CONFIGURATIONS", "Configuration"]

for subject in (
    *("apm", "debuggers", "sessions", "compression", "static", "auth", "logging"),
    *("dispatchers", "proxies", "lint", "bridges"),
):
    importlib.import_module(f".{subject}", __name__)
