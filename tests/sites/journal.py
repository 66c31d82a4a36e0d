"""What happened in the served process, in order; the test reads it from ``/_events``."""

import itertools
import threading

events = []
_here = threading.local()
_numbers = itertools.count(1)


def note(what):
    """Append *what*, and on which thread (or greenlet) it happened.

    The number is kept in the thread's own storage: an ident is given to the next thread at
    once.
    """
    if not hasattr(_here, "number"):
        _here.number = next(_numbers)
    events.append((what, _here.number))
