"""The promise "Closed": every response is closed exactly once, never early."""

from __future__ import annotations

import os

from . import dropped
from .application import Application, made_at
from .body import GuardedBody, guard_file
from .dropped import waiting
from .errors import OptionError
from .ledger import Ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from .application import Target
    from .findings import Finding, LeakCount
    from .wsgi import Body, Environ, StartResponse

    class GuardedApplication(Protocol):
        """What :func:`~freedom_middleware.CloseGuard` returns, and what was found there."""

        leaks: Ledger

        def __call__(self, environ: Environ, start_response: StartResponse, /) -> Body:
            """Serve one request (PEP 3333)."""
            ...


__all__ = ["CloseGuard"]

REPAIR_VARIABLE = "FREEDOM_MIDDLEWARE_REPAIR"
"""``0`` in this environment variable turns every repair off, without a deploy."""


def CloseGuard(  # noqa: N802 - reads as the layer that it makes
    application: Target,
    *,
    repair: bool = True,
    on_leak: Callable[[Finding], object] | None = None,
    on_count: Callable[[LeakCount], object] | None = None,
) -> GuardedApplication:
    """Close every response of *application* exactly once, whatever is around it.

    Layers outside the guard may lose ``close()``, call it twice, or call it on another
    thread.  A body that they drop is closed where it was dropped if that is safe there,
    else by its own thread between two requests.  Each is counted, and each place is reported:
    to the logger ``freedom_middleware.leaks``, at once and then once a minute at the most;
    and once as an :class:`~freedom_middleware.errors.UnclosedBodyWarning`, and to *on_leak*.

    Put it last, directly under the layers that may be at fault; around a
    :class:`~freedom_middleware.Mount` it guards every application that is mounted.  What
    is returned is a plain function: a class would cost each request half as much again.

    Touches:
        environ: passed on as it is; its method and path are read if a body is dropped.
        start_response: passed on as it is.
        body: one without ``close()``, as a ``list`` is, is returned untouched.  What the
            server's ``wsgi.file_wrapper`` made is returned itself, with its ``close``
            replaced.  Anything else is returned as a body that can be read once; its
            ``len()`` and its attributes are not visible through it.

    Args:
        application: The application to guard, in any form that
            :class:`~freedom_middleware.Application` takes.
        repair: False only reports what is dropped.  The environment variable
            ``FREEDOM_MIDDLEWARE_REPAIR=0`` does the same for every guard.
        on_leak: Called with a :class:`~freedom_middleware.findings.Finding` once per
            place, never from a finalizer.  What it raises is logged.
        on_count: Called with a :class:`~freedom_middleware.findings.LeakCount` for every
            leak, after it was counted and never from a finalizer; its fields take a bounded
            number of values, as labels should.  What it raises is logged.

    Returns:
        A function; its attribute ``leaks`` is a :class:`~freedom_middleware.ledger.Ledger`
        that holds the counts, of this process.

    Raises:
        OptionError: An option, or the environment variable, cannot be understood.
        ApplicationError, ApplicationTypeError: *application* is not one.

    Source: PEP 3333, "Specification Details", on ``close()``.

    >>> import warnings
    >>> from freedom_middleware.testing import SpyBody, exchange
    >>> body = SpyBody([b"hello"])
    >>> def application(environ, start_response):
    ...     start_response("200 OK", [("Content-Type", "text/plain")])
    ...     return body
    >>> def loses_close(environ, start_response):
    ...     yield from application(environ, start_response)
    >>> told = []
    >>> application = CloseGuard(application, on_leak=told.append)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", ResourceWarning)
    ...     exchange(loses_close).body, body.closes
    (b'hello', 1)
    >>> told[0].id, told[0].repair
    ('close-lost', 'closed')
    >>> application.leaks.total()
    1
    """
    if not isinstance(repair, bool):
        raise OptionError(f"CloseGuard's repair must be True or False, got {repair!r}")
    for name, option in (("on_leak", on_leak), ("on_count", on_count)):
        if option is not None and not callable(option):
            raise OptionError(f"CloseGuard's {name} must be callable or None, got {option!r}")
    ledger = Ledger(repair=repair and _repair_is_on(), on_leak=on_leak, on_count=on_count)
    child = Application(application)
    call = child.wsgi
    dropped.start()

    def guarded(environ: Environ, start_response: StartResponse) -> Body:
        if waiting:
            dropped.settle()
        body = call(environ, start_response)
        if type(body) is list:
            return body
        # An exception that was handled inside keeps this frame: its traceback holds the frame
        # that handled it, and that one its callers.  So what has to be closed is deleted here.
        try:
            if type(body) is GuardedBody:
                try:
                    return body
                finally:
                    del body
            if not hasattr(body, "close"):
                return body
            file_wrapper = environ.get("wsgi.file_wrapper")
            if file_wrapper is not None and (
                isinstance(body, file_wrapper)
                if isinstance(file_wrapper, type)  # a function on uWSGI
                else hasattr(body, "fileno")
            ):
                guard_file(body, environ, ledger)
                try:
                    return body
                finally:
                    del body
        except Exception:  # noqa: BLE001, S110 - the server meets it again, when it closes
            pass
        guarded_body = GuardedBody(body)
        try:
            thread = dropped.here.thread
        except AttributeError:
            thread = dropped.enter()
        guarded_body._thread = thread
        guarded_body._serial = thread.serial = thread.serial + 1
        guarded_body._environ = environ
        guarded_body._ledger = ledger
        guarded_body._pending = [body]
        try:
            return guarded_body
        finally:
            del body, guarded_body

    dropped.guarded_calls.add(guarded.__code__)
    guarded.__name__ = guarded.__qualname__ = "CloseGuard"
    vars(guarded).update(
        leaks=ledger, wsgi_children=lambda: [("", child)], wsgi_made_at=made_at()
    )
    made: GuardedApplication = guarded  # type: ignore[assignment]  # has the attribute now
    return made


def _repair_is_on() -> bool:
    value = os.environ.get(REPAIR_VARIABLE, "1")
    if value not in ("0", "1"):
        raise OptionError(f"{REPAIR_VARIABLE} must be '0' or '1', got {value!r}")
    return value == "1"
