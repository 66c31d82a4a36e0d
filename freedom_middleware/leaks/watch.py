"""Watch real requests, in production, for layers that lose ``close()``."""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import weakref
from collections import Counter, deque
from random import random
from time import monotonic
from typing import TYPE_CHECKING

from ..application import Application, made_at
from ..environ import CHECKING
from ..errors import OptionError
from .blame import blame, is_suspect
from .boundary import WATCHED, Exchange, Stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..application import Target
    from ..findings import LayerFinding
    from ..wsgi import Body, Environ, StartResponse, WSGIApplication

__all__ = ["LeakWatch"]

GRACE_SECONDS = 1.0
"""How long after the end of a response its bodies may yet be closed, by whom it may be."""

MOST_AT_ONCE = 16
"""How many responses one request judges, at the most."""


class LeakWatch:
    """Name the layer that loses ``close()``, from a sample of the real requests.

    Put it outermost, around the finished application: the layers inside are found by
    looking, and a probe is put on each boundary between two.  In a request that is not in
    the sample a probe passes on and does nothing else.  In one that is, it writes down
    what each layer does with the body that it is handed; the bodies pass for what they
    are, each call goes on to them, and nothing is repaired.  A second after the response is
    over it is judged, at the next request or at exit, and each fault of each layer is
    reported once to the logger ``freedom_middleware.leaks`` and to *on_leak*, and counted
    always.

    What the layers hold is another object than before: of the same class by ``isinstance``,
    equal to it and with its attributes, but not identical to it.  :meth:`stop` puts back
    what was there.

    Touches:
        environ: ``freedom_middleware.watched`` is set in a sampled request.
        start_response: passed on as it is.
        body: returned untouched, unless the request is in the sample; then what has a
            ``close()`` is wrapped.  A ``list``, and what the server's ``wsgi.file_wrapper``
            made, are returned themselves in any case.

    Args:
        application: The finished application, in any form that
            :class:`~freedom_middleware.Application` takes.
        sample: The share of the requests that is watched, above 0 and at most 1.
        on_leak: Called with a :class:`~freedom_middleware.findings.LayerFinding`, once for
            each fault of a layer, never from a finalizer.  What it raises is logged.

    Attributes:
        layers: What was found, outermost first.
        unreached: What is not watched, and why.
        sampled: How many requests were watched.

    Raises:
        OptionError: An option cannot be understood.
        ApplicationError, ApplicationTypeError: *application* is not one.

    Source: PEP 3333, "Specification Details", on ``close()``.

    >>> import logging
    >>> logging.getLogger("freedom_middleware.leaks").addHandler(logging.NullHandler())
    >>> from freedom_middleware.testing import SpyBody, exchange
    >>> def application(environ, start_response):
    ...     start_response("200 OK", [("Content-Type", "text/plain")])
    ...     return SpyBody([b"hello"])
    >>> def monitor(application):
    ...     def layer(environ, start_response):
    ...         yield from application(environ, start_response)
    ...
    ...     return layer
    >>> application = LeakWatch(monitor(application), sample=1, on_leak=print)
    >>> exchange(application).body
    b'hello'
    >>> application.settle(seconds=0)
    close-lost: monitor, GET '/': it was read to the end
    >>> application.counts()
    {('close-lost', 'monitor'): 1}
    """

    def __init__(
        self,
        application: Target,
        *,
        sample: float = 0.01,
        on_leak: Callable[[LayerFinding], object] | None = None,
    ) -> None:
        if (
            isinstance(sample, bool)
            or not isinstance(sample, int | float)
            or not 0 < sample <= 1
        ):
            raise OptionError(
                f"LeakWatch's sample must be a number above 0 and at most 1, got {sample!r}"
            )
        if on_leak is not None and not callable(on_leak):
            raise OptionError(f"LeakWatch's on_leak must be callable or None, got {on_leak!r}")
        self._child = Application(application)
        self._call = self._child.wsgi
        self._sample = sample
        self._on_leak = on_leak
        self._numbers = itertools.count(1)
        self._waiting: deque[tuple[float, Exchange]] = deque()
        self._told: set[tuple[str, str]] = set()
        self._counts = Counter[tuple[str, str]]()
        self.sampled = 0
        self.wsgi_made_at = made_at()
        _stacks[self] = Stack(self._child)
        self._stack.put()
        self.layers = [self._stack.name_of(layer) for layer in self._stack.layers]
        self.unreached = self._stack.unreached
        for layer in self._stack.layers:
            layer.origin  # noqa: B018 - looked up now, and not in somebody's request
        _start()

    @property
    def _stack(self) -> Stack:
        return _stacks[self]

    def __call__(self, environ: Environ, start_response: StartResponse) -> Body:
        """Serve one request (PEP 3333), and watch it if it is in the sample."""
        if self._waiting:
            self.settle()
        if random() >= self._sample or self._is_watched(environ):  # noqa: S311 - no secret
            return self._call(environ, start_response)
        self.sampled = next(self._numbers)
        exchange = Exchange(self._stack, environ, self._ended, note=_process)
        return exchange.call(self._call, environ, start_response)

    @staticmethod
    def _is_watched(environ: Environ) -> bool:
        """Say whether another watch has this request in its sample, or a check made it."""
        exchange = environ.get(WATCHED)
        return CHECKING in environ or (exchange is not None and not exchange.is_over)

    def _ended(self, exchange: Exchange, _is_finalizing: bool) -> None:
        """Keep what may be at fault; a finalizer may be what calls this."""
        if exchange.note is _process and (exchange.dropped or is_suspect(exchange)):
            self._waiting.append((monotonic(), exchange))

    def settle(self, *, seconds: float = GRACE_SECONDS) -> None:
        """Judge responses that have been over for *seconds*; report what is found.

        Every request does so, and the end of the process; a test calls it itself.
        """
        until = monotonic() - seconds
        for _ in range(min(len(self._waiting), MOST_AT_ONCE)):
            try:
                since, exchange = self._waiting.popleft()
            except IndexError:  # another thread was faster
                return
            if since > until:
                self._waiting.appendleft((since, exchange))
                return
            try:
                for finding, guarded in blame(exchange, self._stack):
                    self._count(finding, guarded)
            except Exception:  # noqa: BLE001 - no request fails for it
                _logger().exception("a response could not be judged: %s", exchange.request)

    def _count(self, finding: LayerFinding, guarded: bool) -> None:
        key = (finding.id, finding.label)
        with _counting:
            self._counts[key] += 1
            if key in self._told:
                return
            self._told.add(key)
        held = "; the CloseGuard inside it makes up for that" if guarded else ""
        _logger().warning("%s%s (reported once for this layer)", finding, held)
        if self._on_leak is not None:
            try:
                self._on_leak(finding)
            except Exception:  # noqa: BLE001
                _logger().exception("on_leak raised for: %s", finding)

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how often each fault was seen in the sample, by id and layer."""
        with _counting:
            return dict(self._counts)

    def stop(self) -> None:
        """Watch no longer: each layer holds what it held before."""
        self._sample = 0
        self._stack.lift()

    def wsgi_children(self) -> list[tuple[str, WSGIApplication]]:
        """Name what is watched (see :mod:`freedom_middleware.tree`)."""
        return [("", self._child)]


def _logger() -> logging.Logger:
    return logging.getLogger("freedom_middleware.leaks")


# Not in the watch itself: what looks for its children would find every layer there.
_stacks: weakref.WeakKeyDictionary[LeakWatch, Stack] = weakref.WeakKeyDictionary()
_counting = threading.Lock()  # never held where nothing was found
_process = object()
_started = False


def _start() -> None:
    """Watch forks and the end of the process; once, at the first watch."""
    global _started
    if not _started:
        _started = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_forget)
        atexit.register(_finish)


def _forget() -> None:
    """Leave to the parent of a forked child what the parent saw."""
    global _counting, _process
    _counting = threading.Lock()  # a thread of the parent may have held it
    _process = object()
    for watch in list(_stacks):
        watch._waiting.clear()


def _finish() -> None:
    for watch in list(_stacks):
        while watch._waiting:
            watch.settle(seconds=0)
