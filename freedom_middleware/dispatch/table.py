"""What the dispatchers share: tables of children that may change while requests are served.

A dispatcher never looks into a table while it serves.  Each change hands the whole new
table to the dispatcher, which compiles it and puts it in place by one assignment: a request
sees the table as it was before or after, and a change that cannot be compiled changes
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence

from ..application import Application, made_at
from ..environ import MOUNTED
from ..errors import (
    ApplicationError,
    ApplicationTypeError,
    OptionError,
    SettingsConflict,
    SettingsError,
    TableError,
    TableTypeError,
)
from ..response import answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from typing import Any

    from ..application import Target
    from ..tree import Choice
    from ..wsgi import Body, Environ, StartResponse, WSGIApplication


__all__ = [
    "MOUNTED",
    "Series",
    "Table",
    "adapt",
    "as_dispatcher",
    "check_mapping",
    "check_passing",
    "hand_back",
    "not_found",
    "pass_on",
    "read_table",
]


def not_found(environ: Environ, start_response: StartResponse) -> Body:
    """Answer 404, with a body that lists and reflects nothing."""
    return answer(environ, start_response, "404 Not Found")


vars(not_found)["wsgi_name"] = "404 Not Found"


class Table(MutableMapping[str, Application]):
    """The children of one dispatcher by key; it may change while requests are served.

    A request sees the table as it was before a change or after it, never between; so does
    one that comes during :meth:`replace`.  Responses that are being sent are not touched.
    Whatever the dispatcher itself would refuse raises in the same way, and changes nothing.

    >>> from freedom_middleware import Mount
    >>> from freedom_middleware.testing import exchange, hello
    >>> site = Mount(None, {})
    >>> site.mounts["/hello"] = hello
    >>> exchange(site, "/hello").code, list(site.mounts)
    (200, ['/hello'])
    """

    __slots__ = ("_changing", "_children", "_normalise", "_publish", "_read", "_what")

    def __init__(
        self,
        what: str,
        children: dict[str, Application],
        *,
        normalise: Callable[[str], str],
        read: Callable[[Mapping[str, Target]], dict[str, Application]],
        publish: Callable[[dict[str, Application]], None],
    ) -> None:
        from threading import Lock

        self._what = what
        self._children = children
        self._normalise = normalise
        self._read = read
        self._publish = publish
        self._changing = Lock()

    def __getitem__(self, key: str) -> Application:
        try:
            normal = self._normalise(key)
        except TableError as error:  # it could never be here
            raise KeyError(str(error)) from None
        return self._children[normal]

    def __iter__(self) -> Iterator[str]:
        return iter(self._children)

    def __len__(self) -> int:
        return len(self._children)

    def __setitem__(self, key: str, application: Target) -> None:
        child = self._read({key: application})
        with self._changing:
            self._replace({**self._children, **child})

    def __delitem__(self, key: str) -> None:
        normal = self._normalise(key)
        with self._changing:
            if normal not in self._children:
                raise KeyError(
                    f"{self._what} to remove must be one of {sorted(self._children)},"
                    f" got {key!r}"
                )
            self._replace({k: child for k, child in self._children.items() if k != normal})

    def update(self, *children: Any, **more: Any) -> None:
        """Put all of these into the table at one stroke, as ``dict.update`` takes them."""
        table = self._read(dict(*children, **more))
        with self._changing:
            self._replace({**self._children, **table})

    def clear(self) -> None:
        """Serve none of them any more."""
        self.replace({})

    def replace(self, children: Mapping[str, Target]) -> None:
        """Serve these applications, and no others, at one stroke."""
        table = self._read(children)
        with self._changing:
            self._replace(table)

    def _replace(self, children: dict[str, Application]) -> None:
        if "" in children:
            raise TableError(
                f"{self._what} '' must not be given here: what serves the rest cannot be"
                " changed, only the table can"
            )
        self._publish(children)
        self._children = children

    def __repr__(self) -> str:
        return f"<Table {', '.join(self._children) or 'of nothing'}>"


class Series(MutableSequence[object]):
    """The children of one dispatcher in order; it may change while requests are served.

    As with :class:`Table`, a request sees it before a change or after it, and what the
    dispatcher itself would refuse raises in the same way.
    """

    __slots__ = ("_changing", "_publish", "_read", "_rows")

    def __init__(
        self,
        rows: Sequence[Any],
        *,
        read: Callable[[Iterable[Any]], list[Any]],
        publish: Callable[[list[Any]], None],
    ) -> None:
        from threading import Lock

        self._rows = list(rows)
        self._read = read
        self._publish = publish
        self._changing = Lock()

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __setitem__(self, index: Any, row: Any) -> None:
        new = self._read(row if isinstance(index, slice) else [row])
        with self._changing:
            rows = self._rows.copy()
            rows[index] = new if isinstance(index, slice) else new[0]
            self._replace(rows)

    def __delitem__(self, index: Any) -> None:
        with self._changing:
            rows = self._rows.copy()
            del rows[index]
            self._replace(rows)

    def insert(self, index: int, row: Any) -> None:
        """Put *row* before the one at *index*."""
        new = self._read([row])
        with self._changing:
            rows = self._rows.copy()
            rows[index:index] = new
            self._replace(rows)

    def extend(self, rows: Iterable[Any]) -> None:
        """Put *rows* at the end, all at one stroke."""
        new = self._read(rows)
        with self._changing:
            self._replace([*self._rows, *new])

    def reverse(self) -> None:
        """Turn the order round."""
        with self._changing:
            self._replace(self._rows[::-1])

    def clear(self) -> None:
        """Serve none of them any more."""
        self.replace([])

    def replace(self, rows: Iterable[Any]) -> None:
        """Serve these, and no others, at one stroke."""
        new = self._read(rows)
        with self._changing:
            self._replace(new)

    def _replace(self, rows: list[Any]) -> None:
        self._publish(rows)
        self._rows = rows

    def __repr__(self) -> str:
        return f"<Series {self._rows!r}>"


def read_table(
    what: str,
    normalise: Callable[[str], str],
    example: str,
    children: Mapping[str, Target],
) -> dict[str, Application]:
    """Check a table that a user wrote: keys normalised, each child an Application."""
    check_mapping(what, example, children)
    written: dict[str, str] = {}
    table: dict[str, Application] = {}
    for key, target in children.items():
        normal = normalise(key)
        if normal in table:
            raise TableError(
                f"{what}s must differ, got {written[normal]!r} and {key!r}, which are both"
                f" {normal!r}"
            )
        written[normal] = key
        table[normal] = adapt(f"{what} {key!r}", target)
    return table


def check_mapping(what: str, example: str, children: object) -> None:
    """Check that a table which a user wrote is one."""
    if not isinstance(children, Mapping):
        raise TableTypeError(
            f"{what}s must be a mapping to applications, got {children!r}; write {example}"
        )


def adapt(place: str, target: Target) -> Application:
    """Make a child an Application; where that fails, the error says which *place* it is for."""
    try:
        return Application(target)
    except (ApplicationError, ApplicationTypeError, SettingsConflict, SettingsError) as error:
        raise type(error)(f"{place}: {error}") from error


def check_passing(what: str, back: Collection[str], share: bool) -> tuple[str, ...]:
    """Check the options *back* and *share* of a dispatcher; return the keys to hand back."""
    if not isinstance(back, (tuple, list, set, frozenset)) or not all(
        isinstance(key, str) for key in back
    ):
        raise OptionError(f"{what}'s back must be a tuple of environ keys, got {back!r}")
    if not isinstance(share, bool):
        raise OptionError(f"{what}'s share must be True or False, got {share!r}")
    return tuple(back)


def pass_on(
    application: WSGIApplication,
    environ: Environ,
    start_response: StartResponse,
    back: tuple[str, ...],
    share: bool,
) -> Body:
    """Call a child with its own copy of *environ*, and hand back what the caller asked for."""
    if share:
        return application(environ, start_response)
    child = environ.copy()
    try:
        body = application(child, start_response)
    finally:
        if MOUNTED in child:
            environ[MOUNTED] = child[MOUNTED]
        if back:
            hand_back(environ, child, back)
    try:
        return body
    finally:
        del body  # as in CloseGuard: a traceback may keep this frame


def hand_back(environ: Environ, child: Environ, keys: tuple[str, ...]) -> None:
    """Put into the caller's *environ* what an application has left under *keys* in its own."""
    for key in keys:
        if key in child:
            environ[key] = child[key]


def as_dispatcher(
    name: str,
    dispatch: Callable[[Environ, StartResponse], Body],
    children: Callable[[], Iterable[tuple[str, WSGIApplication]]],
    choices: Callable[[Environ], list[Choice]],
    **attributes: object,
) -> Any:
    """Return *dispatch* under its public name, with its table and the children protocol."""
    dispatch.__name__ = dispatch.__qualname__ = name
    vars(dispatch).update(
        attributes, wsgi_children=children, wsgi_choices=choices, wsgi_made_at=made_at(3)
    )
    return dispatch
