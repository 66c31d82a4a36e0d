"""What is served a million times: a composition whose mounts change, under a layer that leaks.

``/kept`` is closed by the server.  ``/lost`` and ``/ring`` are lost by the layer; of these the
second is found by the garbage collector only.  ``/_told`` says how it stands.
"""

import gc
import json
import threading

from freedom_middleware import CloseGuard, Hosts, Mount, dropped, ledger

CHANGE_EVERY = 100
NEW_GUARD_EVERY = 1000

counting = threading.Lock()
counts = {"opened": 0, "once": 0, "again": 0, "lost": 0, "changes": 0}


def add(what):
    with counting:
        counts[what] += 1
        return counts[what]


class Body:
    """Is closed once, it is hoped."""

    def __init__(self):
        self.open = ["once"]
        add("opened")

    def __iter__(self):
        return iter([b"soaked ", b"through\n"])

    def close(self):
        try:
            what = self.open.pop()
        except IndexError:
            what = "again"
        add(what)


def innermost(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "15")])
    if environ["PATH_INFO"] == "/quiet":  # for the guard to look at what waits
        return [b"soaked through\n"]
    return Body()


guarded = CloseGuard(innermost)
mount = Mount(None, {"/kept": guarded, "/lost": guarded, "/ring": guarded})
composed = Hosts(None, {"127.0.0.1": mount})


def change_the_mounts():
    """Add a mount and take one away; now and then serve another by a guard of its own."""
    number = add("changes")
    mount.mounts[f"/added/{number % 10}"] = guarded
    mount.mounts.pop(f"/added/{(number + 5) % 10}", None)
    if number % (NEW_GUARD_EVERY // CHANGE_EVERY) == 0:
        mount.mounts["/lost"] = CloseGuard(innermost)


def loses_close(environ, start_response):
    where = environ["PATH_INFO"]
    body = composed(environ, start_response)
    if where.startswith("/kept"):
        return body
    if add("lost") % CHANGE_EVERY == 0:
        change_the_mounts()
    if where == "/ring":
        ring = [body]
        ring.append(ring)
    return (chunk for chunk in body)


def told(*, collect):
    if collect:
        gc.collect()
    repaired = {"closed": 0, "late": 0, "elsewhere": 0}
    for leak in ledger.snapshot():  # of all guards, also of those that are mounted no more
        repaired[leak.repair] += leak.times
    with open("/proc/self/statm") as pages:
        resident = int(pages.read().split()[1]) * 4096
    return {
        **counts,
        **repaired,
        "waiting": sum(len(thread.drops) for thread in [*dropped.waiting]),
        "threads": threading.active_count(),
        "resident": resident,
        "objects": len(gc.get_objects()) if collect else 0,
    }


def application(environ, start_response):
    if environ["PATH_INFO"] != "/_told":
        return loses_close(environ, start_response)
    page = json.dumps(told(collect=environ["QUERY_STRING"] == "collect")).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(page)))]
    start_response("200 OK", headers)
    return [page]
