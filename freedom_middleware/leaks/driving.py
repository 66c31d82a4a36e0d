"""Watch what test clients drive, and say what each test leaked."""

from __future__ import annotations

import gc
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from ..environ import CHECKING
from .blame import blame, is_suspect, of_server
from .boundary import WATCHED, Exchange, Stack
from .clients import Clients
from .scenarios import awaited

if TYPE_CHECKING:
    from ..findings import LayerFinding
    from ..wsgi import Body, Environ, StartResponse, WSGIApplication

__all__ = ["Driving", "Leak", "Seen"]

WAIT_SECONDS = 0.5
"""How long a response that another thread still sends is waited for at the end of a test."""


class Leak(NamedTuple):
    """A finding, and what was running when the request was made."""

    finding: LayerFinding
    made_by: str


class Seen(NamedTuple):
    """What came to light since the last look.

    Attributes:
        leaks: What layers did, unless a guard directly inside makes up for it.
        unclosed: Responses that the client never closed.
        responses: How many responses went through layers.
        unreached: What could not be watched, and why.
    """

    leaks: list[Leak]
    unclosed: list[Leak]
    responses: int
    unreached: list[str]


class Driving:
    """Watches what test clients drive, from :meth:`start` to :meth:`stop`.

    Probes stand between the layers while a response is on its way, and no longer.  An
    application without layers is left alone.

    Args:
        clients: Whether the clients are judged as well: then every response is watched.

    Attributes:
        running: What is running now, such as the name of a test.
    """

    def __init__(self, *, clients: bool = False) -> None:
        self.running = ""
        self._judges_clients = clients
        self._clients = Clients(self._watched)
        self._open: deque[Exchange] = deque()
        self._waited_for: set[int] = set()

    def start(self) -> None:
        """Watch from now on."""
        self._clients.start()

    def stop(self) -> None:
        """Watch no more."""
        self._clients.stop()

    def _watched(self, application: WSGIApplication) -> WSGIApplication:
        def watched(environ: Environ, start_response: StartResponse) -> Body:
            known = environ.get(WATCHED)
            if CHECKING in environ or (known is not None and not known.is_over):
                return application(environ, start_response)
            stack = Stack(application)
            if not stack and not self._judges_clients:
                return application(environ, start_response)
            stack.put()
            note = (stack, self.running)
            exchange = Exchange(stack, environ, _lift, keeps=bool(stack), note=note)
            self._open.append(exchange)
            return exchange.call(application, environ, start_response)

        return watched

    def look(self, *, last: bool = False) -> Seen:
        """Say what has come to light since the last look.

        What a client dropped unclosed is closed now, as a server would have done, if the
        layers inside cannot be judged otherwise.

        Args:
            last: What ran is over, with all that it had set up.  A response that is held
                all the same is closed if it was read to its end.
        """
        self._wait()
        exchanges = [self._open.popleft() for _ in range(len(self._open))]
        if last and any(not each.is_over and is_suspect(each) for each in exchanges):
            gc.collect()
        seen = Seen([], [], 0, [])
        for exchange in exchanges:
            if last and exchange.outer.ended and not exchange.is_over and is_suspect(exchange):
                _close(exchange)
            if exchange.is_over:
                seen = _add(seen, exchange)
            else:
                self._open.append(exchange)
        return seen

    def _wait(self) -> None:
        """Give other threads a while to end the responses that they are sending; once."""
        here = threading.current_thread()
        sending = [
            each
            for each in self._open
            if each.outer.opened_on is not here and id(each) not in self._waited_for
        ]
        awaited(lambda: all(each.is_over for each in sending), WAIT_SECONDS)
        self._waited_for = {id(each) for each in self._open if not each.is_over}


def _add(seen: Seen, exchange: Exchange) -> Seen:
    """Add what is to be said of a response that is over."""
    stack, made_by = exchange.note
    stack.lift()
    unclosed = [Leak(of_server(exchange), made_by)] if exchange.dropped else []
    if is_suspect(exchange):
        _close(exchange)
    exchange.dropped.clear()
    leaks = [Leak(found, made_by) for found, guarded in blame(exchange, stack) if not guarded]
    return Seen(
        seen.leaks + leaks,
        seen.unclosed + unclosed,
        seen.responses + bool(stack),
        seen.unreached + stack.unreached,
    )


def _close(exchange: Exchange) -> None:
    with suppress(Exception):  # nobody has asked for it
        exchange.close()


def _lift(exchange: Exchange, is_finalizing: bool) -> None:
    if not is_finalizing:  # it takes a lock
        exchange.note[0].lift()
