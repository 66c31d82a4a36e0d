"""What the dispatchers return, as types: an application, and its table.

Only names: nothing here runs on a request, and only type checkers import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..wsgi import Body, Environ, StartResponse
    from .table import Series, Table

__all__ = [
    "CascadedApplications",
    "CaseApplications",
    "HostApplications",
    "MethodApplications",
    "MountedApplications",
]


class CascadedApplications(Protocol):
    """What :func:`~freedom_middleware.Cascade` returns: an application, and its children."""

    applications: Series

    def __call__(self, environ: Environ, start_response: StartResponse, /) -> Body:
        """Serve one request (PEP 3333)."""
        ...


class CaseApplications(Protocol):
    """What :func:`~freedom_middleware.When` returns: an application, its cases and counts."""

    cases: Series

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many requests each application has been given, by first path segment.

        The applications go by their predicates, and ``*`` is the one for all the rest.  The
        counts are those of this process.
        """
        ...

    def __call__(self, environ: Environ, start_response: StartResponse, /) -> Body:
        """Serve one request (PEP 3333)."""
        ...


class MethodApplications(Protocol):
    """What :func:`~freedom_middleware.dispatch.methods.Methods` returns, and its table."""

    methods: Table

    def __call__(self, environ: Environ, start_response: StartResponse, /) -> Body:
        """Serve one request (PEP 3333)."""
        ...


class HostApplications(Protocol):
    """What :func:`~freedom_middleware.Hosts` returns: an application, and its table."""

    hosts: Table

    def __call__(self, environ: Environ, start_response: StartResponse, /) -> Body:
        """Serve one request (PEP 3333)."""
        ...


class MountedApplications(Protocol):
    """What :func:`~freedom_middleware.Mount` returns: an application, and its table."""

    mounts: Table

    def __call__(self, environ: Environ, start_response: StartResponse, /) -> Body:
        """Serve one request (PEP 3333)."""
        ...
