"""What the dispatchers return, as types: an application, and its table.

Only names: nothing here runs on a request, and only type checkers import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self, SupportsIndex

    from ..application import Application, Target
    from ..wsgi import Body, Environ, StartResponse
    from .table import Table

__all__ = [
    "CascadedApplications",
    "CaseApplications",
    "HostApplications",
    "MethodApplications",
    "MountedApplications",
    "Rows",
]

Held = TypeVar("Held")
Given = TypeVar("Given", contravariant=True)


class Rows(Protocol[Held, Given]):
    """What a :class:`~freedom_middleware.dispatch.table.Series` holds, and what it takes."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> Held: ...
    @overload
    def __getitem__(self, index: slice) -> list[Held]: ...
    @overload
    def __setitem__(self, index: SupportsIndex, row: Given) -> None: ...
    @overload
    def __setitem__(self, index: slice, row: Iterable[Given]) -> None: ...
    def __delitem__(self, index: SupportsIndex | slice) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Held]: ...
    def __reversed__(self) -> Iterator[Held]: ...
    def __contains__(self, row: object) -> bool: ...
    def __iadd__(self, rows: Iterable[Given]) -> Self: ...
    def append(self, row: Given) -> None: ...  # noqa: D102 - as of a list, like the others
    def insert(self, index: int, row: Given) -> None: ...  # noqa: D102
    def extend(self, rows: Iterable[Given]) -> None: ...  # noqa: D102
    def replace(self, rows: Iterable[Given]) -> None: ...  # noqa: D102
    def pop(self, index: int = -1) -> Held: ...  # noqa: D102
    def remove(self, row: object) -> None: ...  # noqa: D102
    def index(self, row: object) -> int: ...  # noqa: D102
    def count(self, row: object) -> int: ...  # noqa: D102
    def reverse(self) -> None: ...  # noqa: D102
    def clear(self) -> None: ...  # noqa: D102


class CascadedApplications(Protocol):
    """What :func:`~freedom_middleware.Cascade` returns: an application, and its children."""

    applications: Rows[Application, Target]

    def __call__(self, environ: Environ, start_response: StartResponse, /) -> Body:
        """Serve one request (PEP 3333)."""
        ...


class CaseApplications(Protocol):
    """What :func:`~freedom_middleware.When` returns: an application, its cases and counts."""

    cases: Rows[tuple[Predicate, Application], tuple[Question, Target]]

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


if TYPE_CHECKING:
    from .predicates import Predicate, Question  # last: its own imports come back here
