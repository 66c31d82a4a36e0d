"""Ask the real application: its own bodies go through the layers, for better or worse."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ..environ import CHECKING
from ..testing import make_environ
from .blame import blame, is_suspect
from .boundary import Exchange, Stack
from .scenarios import SCENARIOS, awaited, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..wsgi import WSGIApplication
    from .blame import Blame

__all__ = ["ENDS", "Answer", "ask"]

ENDS = ("whole", "left", "unread", "HEAD")
"""The scenarios that are only an end; what a real response is made of is its own affair."""

WAIT_SECONDS = 0.3
"""How long a body that another thread may yet close is waited for."""


class Answer(NamedTuple):
    """What became of one request to the real application.

    Attributes:
        end: How the response was ended: one of ENDS.
        judged: The layers that were handed a body to close.
        blames: What they did wrong with it.
        failure: How the application failed, or ``""``.
    """

    end: str
    judged: list[object]
    blames: list[Blame]
    failure: str


def ask(application: WSGIApplication, path: str) -> Iterator[Answer]:
    """Send a request for *path* once for each of ENDS, and yield what became of it.

    Probes stand between the layers meanwhile.
    """
    stack = Stack(application)
    stack.put()
    try:
        for end in ENDS:
            yield _ask(application, stack, path, end)
    finally:
        stack.lift()


def _ask(application: WSGIApplication, stack: Stack, path: str, end: str) -> Answer:
    scenario = SCENARIOS[end]
    environ = make_environ(path, method=scenario.method)
    environ[CHECKING] = True  # guards have nothing to report
    exchange = Exchange(stack, environ, lambda *_: None)
    outcome = serve(partial(exchange.call, application), environ, scenario)
    awaited(lambda: not is_suspect(exchange), WAIT_SECONDS)
    request = f"{exchange.request}, asked of the real application,"
    failure = ""
    if outcome.raised:
        failure = f"{request} raised {outcome.raised[0]!r}"
    elif outcome.status is None:
        # A lazy layer says its status with its first chunk, which nobody asked for here.
        failure = "" if scenario.most == 0 else f"{request} is answered with no status"
    elif outcome.status >= "500":
        failure = f"{request} is answered with {outcome.status}"
    judged = [
        handed.parent.application
        for handed in exchange.inner
        if handed.closable and handed.parent
    ]
    return Answer(end, judged, [*blame(exchange, stack)], failure)
