"""What the dispatchers return, as types: an application, and its table.

Only names: nothing here runs on a request, and only type checkers import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..wsgi import Body, Environ, StartResponse
    from .table import Table

__all__ = ["MountedApplications"]


class MountedApplications(Protocol):
    """What :func:`~freedom_middleware.Mount` returns: an application, and its table."""

    mounts: Table

    def __call__(self, environ: Environ, start_response: StartResponse, /) -> Body:
        """Serve one request (PEP 3333)."""
        ...
