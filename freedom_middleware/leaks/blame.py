"""From what was seen of one real response to who is to blame: pure functions, no I/O.

Nobody answers for a layer here, so what one layer does shows in all that is below it.
A layer is to blame only for what was not done to itself: it has to pass on the close that
it got, once, and not one that it never got.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..findings import LayerFinding
from .verdict import judge_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .boundary import Exchange, Handed, Stack
    from .verdict import Verdict

__all__ = ["REPAIRED", "SERVER", "Blame", "blame", "how", "is_suspect", "of_server"]

SERVER = "server-never-closed"
"""The id of the fault that no layer has."""


class Blame(NamedTuple):
    """A finding, and whether a guard directly inside makes up for it."""

    finding: LayerFinding
    guarded: bool


def is_suspect(exchange: Exchange) -> bool:
    """Say whether a layer did anything but close each body once; quick, and never too little.

    >>> from freedom_middleware.testing import hello, make_environ
    >>> from .boundary import Exchange, Stack
    >>> is_suspect(Exchange(Stack(hello), make_environ(), lambda *_: None))
    False
    """
    return any(
        handed.closable
        and (
            len(handed.closes) != 1
            or handed.reads_after_close
            or handed.closes[0].thread is not handed.opened_on
        )
        for handed in exchange.inner
    )


def blame(exchange: Exchange, stack: Stack) -> Iterator[Blame]:
    """Yield what went wrong with a response that is over, outermost first.

    Args:
        exchange: What was seen.
        stack: The layers that it went through.
    """
    if exchange.dropped:
        yield Blame(of_server(exchange), guarded=False)
    for handed in exchange.inner:
        found = _fault(exchange, handed)
        if found is None:
            continue
        layer = handed.parent
        assert layer is not None  # that is whoever stands outside, and has outer
        finding = LayerFinding(
            found.id,
            layer.application,
            stack.name_of(layer),
            layer.origin,
            how(exchange.outer),
            found.detail,
            exchange.request,
        )
        yield Blame(finding, guarded=handed.layer.is_guard and found.id in REPAIRED)


REPAIRED = {"close-lost", "close-on-iterator", "close-repeated"}


def _fault(exchange: Exchange, handed: Handed) -> Verdict | None:
    """Return what the layer that was handed a body did wrong with it, or None."""
    if not handed.closable:
        return None
    assert handed.parent is not None
    parent = handed.parent.application
    own = [
        each for each in (exchange.outer, *exchange.inner) if each.layer.application is parent
    ]
    if not own or not all(each.is_over for each in own):
        return None  # it was not told, or nobody saw whether it was
    threads = {each.opened_on for each in own}
    threads.update(call.thread for each in own for call in each.closes)
    found = judge_record(handed, threads)
    if found is None:
        return None
    if found.id == "close-repeated" and len(handed.closes) <= max(
        len(each.closes) for each in own
    ):
        return None  # so often was it told
    if found.id == "close-early" and any(each.reads_after_close for each in own):
        return None
    return found


def of_server(exchange: Exchange) -> LayerFinding:
    """Return the finding about a response that whoever called for it dropped."""
    outer = exchange.outer
    read = "read whole" if outer.ended else "read in part" if outer.reads else "not read"
    return LayerFinding(
        SERVER,
        None,
        "whoever called it",
        "",
        how(outer),
        f"the response was {read} and dropped without close()",
        exchange.request,
    )


def how(handed: Handed) -> str:
    """Say how a response was ended, as the columns of a check do."""
    if handed.raised:
        return "raises"
    if handed.ended or not handed.closable:
        return "whole"
    return "left" if handed.reads else "unread"
