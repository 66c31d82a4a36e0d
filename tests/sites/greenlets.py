"""Many greenlets stream through a layer that loses ``close()``; the test starts this.

The argument says when gevent patches the standard library: before the package is imported,
after that, when a guard has been made as well, or when that has served a request.
"""

import gc
import json
import sys
import threading

import gevent
from gevent import monkey

when = sys.argv[1]
if when == "before the import":
    monkey.patch_all()

from freedom_middleware import CloseGuard, dropped  # noqa: E402
from freedom_middleware.testing import make_environ  # noqa: E402

if when == "after the import":
    monkey.patch_all()

GREENLETS = 60
EACH = 5

bodies = []
unowned = []
wrong = []


class Body:
    """Opened by one greenlet, which is to close it, or to be gone by then."""

    def __init__(self):
        self.owner = gevent.getcurrent()
        self.closes = 0
        if when == "after a request" and type(dropped.here) is not threading.local:
            unowned.append(self)
        bodies.append(self)

    def __iter__(self):
        for _ in range(3):
            gevent.sleep(0)  # let others run in the middle of a response
            yield b"chunk"

    def close(self):
        gevent.sleep(0)  # as a database driver does that speaks to its server
        self.closes += 1
        here = gevent.getcurrent()
        if here is not self.owner and not self.owner.dead and self not in unowned:
            wrong.append(f"{here!r} closed what the living {self.owner!r} had opened")


def application(environ, start_response):
    start_response("200 OK", [])
    return Body()


guarded = CloseGuard(application)

if when == "after a request":
    guarded(make_environ(), lambda status, headers: None).close()
    bodies.clear()
    unowned.clear()

if when.startswith(("after the guard", "after a request")):
    monkey.patch_all()


def loses_close(environ, start_response):
    yield from guarded(environ, start_response)


def request(number):
    response = loses_close(make_environ(), lambda status, headers: None)
    for read, _ in enumerate(response):
        if number % 3 == 0 and read == 1:
            break  # the client leaves; the generator, and with it the body, is dropped
    if number % 3 == 1:  # ... or it is kept until the collector comes
        kept = [guarded(make_environ(), lambda status, headers: None)]
        kept.append(kept)
    if number % 7 == 0:
        gc.collect()  # finds what is of others too


def requests(number):
    for more in range(EACH):
        request(number + more)
        gevent.sleep(0)


gevent.joinall(
    [gevent.spawn(requests, number) for number in range(GREENLETS)], raise_error=True
)
opened = len(bodies)
gc.collect()
at_once_or_by_others = sum(body.closes for body in bodies)
more = 0
while dropped.waiting and more < opened:  # what is left is for the requests that follow
    gevent.spawn(request, 2).get()
    more += 1

json.dump(
    {
        "opened": opened,
        "before further requests": at_once_or_by_others,
        "not closed once": [body.closes for body in bodies if body.closes != 1],
        "on another's turn": wrong,
        "unowned": len(unowned),
        "patched": monkey.is_module_patched("threading"),
    },
    sys.stdout,
)
