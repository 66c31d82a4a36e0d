"""What stands between a layer and what it calls: told apart by watching one request.

Of much that two arguments could be given to, nobody can say by its looks whether it is an
application.  But whoever was called with a request, and returned a body, is one.
"""

from __future__ import annotations

import inspect
import sys
import threading
from typing import TYPE_CHECKING, Any

from ..environ import CHECKING
from ..places import MISSING, entry_of, is_a
from .swap import author_of, function_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType, FrameType

__all__ = ["called_in"]


def called_in(send: Callable[[], object], things: Iterable[Any]) -> list[Any]:
    """Return those of *things* that *send* calls with a request, and that return a body.

    Only what is called on this thread or on a new one is seen, and what is written in Python.
    """
    codes = {code: thing for thing in things if (code := _code_of(thing)) is not None}
    seen: list[Any] = []

    def note(frame: FrameType, event: str, returned: Any) -> None:
        thing = codes.get(frame.f_code)
        if thing is None or any(thing is each for each in seen):
            return
        if _answers(frame.f_code, event, returned, thing) and _has_request(frame):
            seen.append(thing)

    before = sys.getprofile(), threading.getprofile()
    sys.setprofile(note)
    threading.setprofile(note)
    try:
        send()
    finally:
        sys.setprofile(before[0])
        threading.setprofile(before[1])
    return seen


def _code_of(thing: Any) -> CodeType | None:
    made = entry_of(thing, "__init__") if is_a(thing, type) else author_of(thing)
    function = function_of(made)
    return None if function is None else function.__code__


def _answers(code: CodeType, event: str, returned: Any, thing: Any) -> bool:
    if is_a(thing, type):
        return event == "call"  # an instance is a body
    if event != "return":
        return False
    if code.co_flags & inspect.CO_GENERATOR:
        return is_a(returned, bytes)  # a chunk; a context manager yields something else
    iterates = entry_of(type(returned), "__iter__") is not MISSING
    return iterates and not is_a(returned, str, bytes, dict, tuple)


def _has_request(frame: FrameType) -> bool:
    values = [*frame.f_locals.values()]
    values += [each for value in values if is_a(value, tuple) for each in value]
    return any(is_a(value, dict) and CHECKING in value for value in values)
