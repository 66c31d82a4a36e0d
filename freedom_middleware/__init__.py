"""Put WSGI applications together, and know that every response is closed."""

from __future__ import annotations

from .application import Application
from .dispatch.cascade import Cascade
from .dispatch.explain import explain
from .dispatch.hosts import Hosts
from .dispatch.mount import Mount
from .dispatch.when import When
from .guard import CloseGuard

__all__ = [
    "Application",
    "Cascade",
    "CloseGuard",
    "Hosts",
    "Mount",
    "When",
    "explain",
]
