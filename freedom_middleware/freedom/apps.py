"""The app that adds the system checks to a project; the framework looks for it here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..settings import framework

__all__ = ["FreedomMiddlewareConfig"]

_AppConfig: Any = import_module(f"{framework()}.apps").AppConfig


class FreedomMiddlewareConfig(_AppConfig):  # type: ignore[misc]
    """Adds our checks to the framework's: ``"freedom_middleware.freedom"`` is installed."""

    name = "freedom_middleware.freedom"
    label = "freedom_middleware"
    verbose_name = "Freedom middleware"

    def ready(self) -> None:
        """Register the checks."""
        from .checks import register

        register()
