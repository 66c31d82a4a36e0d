"""What differs between interpreters, for the tests: when a dropped object goes.

CPython with its lock is the strict one: there nothing here does anything, and ``CLOSED`` is
what a report says of a drop.  Elsewhere the same tests hold the guard to its promise a
collection and a request later.
"""

import gc
import sys

import pytest

from freedom_middleware import dropped

IS_PYPY = sys.implementation.name == "pypy"
IS_FREE_THREADED = "free-threading" in sys.version

AT_ONCE = not IS_PYPY and not IS_FREE_THREADED
CLOSED = "closed" if AT_ONCE else "late"


def collected():
    """Have what was dropped found, where references are not counted.

    Each collection of PyPy runs the outermost finalizers only.
    """
    for _ in range(4 * IS_PYPY):
        gc.collect()


def let_go():
    """Have what was dropped closed as by later requests, where that is not at once.

    By any thread: one that an adapter keeps may never serve another.
    """
    if not AT_ONCE:
        collected()
        settled_by_anybody()


def settled_by_anybody():
    """Have all that waits closed and reported, on whichever thread it was opened."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dropped, "OVERDUE_SECONDS", -1.0)
        while dropped.waiting:
            dropped.settle()
