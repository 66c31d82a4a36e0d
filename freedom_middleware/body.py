"""Response bodies: close one; guard one, so that it is closed exactly once."""

from __future__ import annotations

from io import IOBase
from itertools import chain

from . import dropped
from .dropped import waiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, SupportsIndex

    from .dropped import Thread
    from .ledger import Ledger
    from .wsgi import Body, Environ

__all__ = ["GuardedBody", "GuardedClose", "close_body", "guard_file"]


def close_body(body: Body) -> None:
    """Close *body*, if it can be closed, as a server does.

    The truth of a body is never asked: an empty one is false and may still hold a file.

    Source: PEP 3333, "Specification Details", on ``close()``.
    """
    close = getattr(body, "close", None)
    if close is not None:
        close()


class GuardedBody(chain[bytes]):
    """A body that is closed exactly once: by the server, or when it is dropped.

    It is its own iterator and can be read once, as PEP 3333 allows.  The chunks come from
    C: no Python code runs for them.  It has no ``len()``, ``fileno`` or ``read``, from
    which servers would draw conclusions, and cannot be copied.  Its ``__dict__`` is
    empty and free for others; some tracers set attributes on a body.

    Built by :func:`freedom_middleware.CloseGuard` alone, which fills in the slots itself:
    an ``__init__`` would cost more than all the rest.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_environ",
        "_ledger",
        "_pending",
        "_serial",
        "_thread",
    )

    _pending: list[Any]
    _thread: Thread
    _serial: int
    _environ: Environ
    _ledger: Ledger

    def close(self) -> None:
        """Close the body that is guarded; a second call does nothing.

        The claim is made before the call, by one atomic ``pop``: whichever thread comes
        first closes, and a ``close()`` that raises is not tried again.
        """
        try:
            body = self._pending.pop()
        except IndexError:
            return
        try:
            body.close()
        except ValueError as error:
            if str(error) == "generator already executing":
                dropped.raced(self)
            raise
        finally:
            if waiting:
                dropped.settle_after_close()

    def __del__(self) -> None:
        if self._pending:
            dropped.dropped(self)

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a response body cannot be copied: it is read and closed once")


class GuardedClose:
    """Takes the place of ``close`` on what the server's ``wsgi.file_wrapper`` made.

    It dies with the body, and so notices when the body is dropped.
    """

    __slots__ = ("_environ", "_ledger", "_pending", "_serial", "_thread")

    def __init__(self, body: Body, environ: Environ, ledger: Ledger) -> None:
        self._thread = dropped.enter()
        self._serial = self._thread.serial = self._thread.serial + 1
        self._environ = environ
        self._ledger = ledger
        self._pending: list[Any] = [_closer_of(body)]

    def __call__(self) -> None:
        """Close the file, unless it is the file's own finalizer that wants it closed.

        A file of the standard library that is collected calls the ``close`` that it finds,
        and there the framework's must not run.
        """
        if self._ledger.repair and dropped.collecting_here():
            return  # dropped as well, in the same collection: __del__ sees to it
        GuardedBody.close(self)  # type: ignore[arg-type]

    __del__ = GuardedBody.__del__


class _FileClose:
    """Takes the place of the framework's ``close`` on the file under a server's wrapper.

    It does for the file's own finalizer what GuardedClose does, and runs once.
    """

    __slots__ = ("_pending",)

    def __init__(self, close: Callable[[], object]) -> None:
        self._pending = [close]

    def __call__(self) -> None:
        if dropped.collecting_here():
            return  # the wrapper is dropped as well, or still wanted
        try:
            close = self._pending.pop()
        except IndexError:
            return
        close()


class _Closer:
    __slots__ = ("close",)

    def __init__(self, close: Callable[[], object]) -> None:
        self.close = close


class _Twin:
    """Closes a body without keeping it alive: once it is gone, through a copy of it."""

    __slots__ = ("_body", "_copy")

    def __init__(self, body: Any) -> None:
        from copy import copy
        from weakref import ref

        self._body = ref(body)
        self._copy = copy(body)

    def close(self) -> None:
        body = self._body()
        if body is None:
            body = self._copy
        type(body).close(body)


def _closer_of(body: Any) -> _Closer | _Twin:
    """Return what closes *body*, and does not refer to it if that can be.

    The body will refer to it, and a body in a cycle is dropped by the collector only.
    """
    close = getattr(body, "__dict__", {}).get("close")  # the file's, on gunicorn and wsgiref
    if close is not None:
        return _Closer(close)
    if callable(getattr(type(body), "close", None)):  # else it is another object's
        try:
            return _Twin(body)  # waitress
        except Exception:  # noqa: BLE001, S110 - whatever a body says to being copied
            pass
    return _Closer(body.close)


def _disarm(body: Any) -> None:
    """Have the finalizer of the file under *body* run nothing of the framework.

    gunicorn and wsgiref call the file ``filelike``, waitress ``file``.
    """
    for name in ("filelike", "file"):
        file: Any = getattr(body, name, None)
        close = getattr(file, "__dict__", {}).get("close")
        if close is None or type(close) is _FileClose:
            continue
        file.close = once = _FileClose(close)
        if getattr(body, "__dict__", {}).get("close") == close:
            body.close = once


def guard_file(body: Any, environ: Environ, ledger: Ledger) -> None:
    """Guard what the server's ``wsgi.file_wrapper`` made, and leave it in its place.

    Any other object in its place would cost the server its ``sendfile()``.  Where a body
    takes no attribute, the file under it is guarded (mod_wsgi), if that can be had and does
    not close itself when it goes; else all is left as it is (bjoern).
    """
    if type(body.close) is not GuardedClose:
        if ledger.repair:
            _disarm(body)
        claim = GuardedClose(body, environ, ledger)
        try:
            body.close = claim
        except Exception:  # noqa: BLE001 - whatever a body says to being changed
            claim._pending.clear()
            file = getattr(body, "filelike", None)
            if hasattr(file, "close") and not isinstance(file, IOBase):
                guard_file(file, environ, ledger)
