"""What happened in the served process, in order; the test reads it from ``/_events``."""

import gc
import itertools
import json
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


def tell(environ, start_response):
    """Answer with all that was noted; ``?collect`` runs the garbage collector first."""
    if environ.get("QUERY_STRING") == "collect":  # bjoern leaves an empty one out
        gc.collect()
    page = json.dumps(events).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(page)))]
    start_response("200 OK", headers)
    return [page]
