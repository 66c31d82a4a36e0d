"""Choose by any question about a request, and count who still answers what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from itertools import count

from ..application import Application
from ..environ import text
from ..errors import TableTypeError
from ..response import with_headers, with_vary
from .predicates import as_predicate
from .table import Series, adapt, as_dispatcher, check_passing, not_found, pass_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Any

    from ..application import Target
    from ..tree import Choice
    from ..wsgi import Body, Environ, StartResponse, WSGIApplication
    from .predicates import Ask, Predicate, Question
    from .shapes import CaseApplications

    Case = tuple[Predicate, Application]
    _Row = tuple[Ask, WSGIApplication, "Counts"]

__all__ = ["When"]

_EXAMPLE = "[(path('/api'), api)]"


def When(  # noqa: N802 - reads as the application that it makes
    application: Target | None,
    cases: Iterable[tuple[Question, Target]],
    *,
    back: Collection[str] = (),
    share: bool = False,
) -> CaseApplications:
    """Serve a request by the first case whose predicate is true, else by *application*.

    A predicate is any function of a :class:`webob.Request`, or a ready-made one from
    :mod:`~freedom_middleware.dispatch.predicates`.  The path is handed over whole, where
    :func:`~freedom_middleware.Mount` would take the prefix off.

    Where the answer depended on a header, the response says so in ``Vary``: a cache must
    not give one visitor what was meant for another.  A predicate that raises is an error
    of the request; nothing is served in its place.

    The cases can be changed while requests are served: they are the attribute ``cases`` of
    what is returned, a :class:`~freedom_middleware.dispatch.table.Series`.  Its function
    ``counts()`` says how many requests each application has been given.

    Touches:
        environ: the chosen application gets a copy; what it changes there stays there,
            except for the keys in *back* and ``freedom_middleware.mounted``.  A function
            gets a copy of its own, without the body.
        start_response: passed on as it is, or wrapped to add ``Vary`` where a predicate
            that was asked names a header.
        body: passed on as it is.

    Args:
        application: Serves what no predicate is true for; None answers 404.  Any form that
            :class:`~freedom_middleware.Application` takes.
        cases: Pairs of a predicate and an application, in the order in which to ask.
        back, share: See :func:`~freedom_middleware.Mount`.

    Returns:
        The application, with its ``cases`` and ``counts()``.

    Raises:
        TableTypeError: *cases* are no pairs, or a predicate is none.
        OptionError: *back* or *share* cannot be understood.
        ApplicationError, ApplicationTypeError: A child is not an application.

    Source: RFC 9110, section 12.5.5, on Vary.

    >>> from freedom_middleware.dispatch import cookie, path
    >>> from freedom_middleware.testing import exchange, hello
    >>> site = When(None, [(path("/hello") & ~cookie("old"), hello)])
    >>> answer = exchange(site, "/hello/there")
    >>> answer.status, answer.header("Vary"), exchange(site, "/helloes").header("Vary")
    ('200 OK', 'Cookie', None)
    >>> site.counts()
    {"path('/hello') & ~cookie('old')": {'/hello': 1}, '*': {'/helloes': 1}}
    """
    _check_list(cases)  # first, if they are the wrong way round
    keys = check_passing("When", back, share)
    default = None if application is None else Application(application)
    rest = not_found if default is None else default.wsgi
    rest_counts = Counts()
    counted: dict[str, Counts] = {}
    asked: list[Case] = []
    rows: tuple[_Row, ...] = ()

    def dispatch(environ: Environ, start_response: StartResponse) -> Body:
        vary: list[str] = []
        for ask, application, counts in rows:  # noqa: B007 - the last ones are used
            if ask(environ, vary):
                break
        else:
            application, counts = rest, rest_counts
        path_info = environ.get("PATH_INFO", "")
        end = path_info.find("/", 1)
        head = path_info if end < 0 else path_info[:end]
        try:
            next(counts.by_head[head])
        except KeyError:
            counts.begin(head)
        if vary:
            # What a predicate saw, a cache must see too.
            start_response = with_headers(
                start_response, lambda headers: with_vary(headers, vary)
            )
        return pass_on(application, environ, start_response, keys, share)

    def publish(cases: list[Case]) -> None:
        nonlocal asked, counted, rows
        kept: dict[str, Counts] = {}
        for predicate, _ in cases:
            label = repr(predicate)
            kept[label] = kept.get(label) or counted.get(label) or Counts()
        rows = tuple((p.ask, child.wsgi, kept[repr(p)]) for p, child in cases)
        asked, counted = cases, kept

    publish(_read(cases))
    series = Series(asked, read=_read, publish=publish)

    def count_requests() -> dict[str, dict[str, int]]:
        return {
            label: counts.snapshot() for label, counts in [*counted.items(), ("*", rest_counts)]
        }

    def name_children() -> Iterator[tuple[str, WSGIApplication]]:
        for predicate, child in asked:
            yield repr(predicate), child
        yield "*", default or not_found

    def choose(environ: Environ) -> list[Choice]:
        return [_explain(environ, default or not_found, asked)]

    made: CaseApplications = as_dispatcher(
        "When", dispatch, name_children, choose, cases=series, counts=count_requests
    )
    return made


class Counts:
    """How many requests one application has been given, by the first segment of the path.

    No request waits, and none is lost: ``next()`` of an ``itertools.count`` is one step for
    the interpreter, and so are ``dict.setdefault`` and ``list.pop``.

    Clients choose the paths, so only so many segments are told apart, and only short ones.
    """

    __slots__ = ("_places", "_snapping", "_snaps", "by_head")

    def __init__(self) -> None:
        from threading import Lock

        self.by_head: dict[str, count[int]] = {}
        self._places = [None] * MOST_SEGMENTS
        self._snaps: dict[str, int] = {}
        self._snapping = Lock()

    def begin(self, head: str) -> None:
        """Count a request whose first segment has not been seen before."""
        if len(head) > LONGEST_SEGMENT:
            head = OTHER
        elif head not in self.by_head:  # another thread may have been faster
            try:
                self._places.pop()
            except IndexError:
                head = OTHER
            else:
                mine = count()
                if self.by_head.setdefault(head, mine) is not mine:
                    self._places.append(None)
        next(self.by_head.setdefault(head, count()))

    def snapshot(self) -> dict[str, int]:
        """Return the counts until now, the largest first."""
        totals: dict[str, int] = {}
        with self._snapping:
            for head, counter in list(self.by_head.items()):
                # Reading advances it as a request does, so each reading is taken off again.
                snaps = self._snaps.get(head, 0)
                self._snaps[head] = snaps + 1
                shown = text(head)
                totals[shown] = totals.get(shown, 0) + next(counter) - snaps
        return dict(sorted(totals.items(), key=lambda item: -item[1]))


MOST_SEGMENTS = 1_000
"""So many first segments are counted apart for each application."""
LONGEST_SEGMENT = 100
"""Longer ones are not: they are a visitor's, not a part of a site."""
OTHER = "(other)"
"""Where the rest is counted together; no segment has this name, since each starts with /."""


def _explain(environ: Environ, default: WSGIApplication, cases: list[Case]) -> Choice:
    """Say which child is chosen, by asking as a request does."""
    from ..tree import Choice

    chosen: Case | None = None
    misses = []
    for predicate, child in cases:
        if chosen is None:
            if predicate.ask(environ, []):
                chosen = predicate, child
            elif miss := predicate.hint(environ):
                misses.append((repr(predicate), miss))
        # A function that a request would not reach is not called here either.
        elif not predicate.runs_code and predicate.ask(environ, []):
            misses.append((repr(predicate), f"true as well, but {chosen[0]!r} comes first"))
    if chosen is None:
        reason = "default: no predicate is true"
        return Choice("*", default, environ.copy(), reason, tuple(misses))
    reason = "first predicate that is true"
    return Choice(repr(chosen[0]), chosen[1], environ.copy(), reason, tuple(misses))


def _check_list(cases: object) -> None:
    if isinstance(cases, (Mapping, Set, str)) or not isinstance(cases, Iterable):
        raise TableTypeError(
            f"cases must be a list of predicates and applications, got {cases!r}; their order"
            f" decides: write {_EXAMPLE}"
        )


def _read(cases: Iterable[Any]) -> list[Case]:
    """Check the cases that a user wrote: predicates made of functions, children adapted."""
    _check_list(cases)
    read = []
    for row in cases:
        if not isinstance(row, (tuple, list)) or len(row) != 2:
            raise TableTypeError(
                f"case must be a pair of a predicate and an application, got {row!r}; write"
                f" {_EXAMPLE}"
            )
        predicate = as_predicate(row[0])
        read.append((predicate, adapt(f"case {predicate!r}", row[1])))
    return read
