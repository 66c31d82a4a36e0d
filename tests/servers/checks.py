"""What is asked of each server: a question is a function, and its answer a word.

The tests compare the words with the table in ``docs/servers.md``, and
``python -m tests.servers.table`` writes that table.  A broken promise is an AssertionError,
whatever the table says.
"""

from __future__ import annotations

import json
import re
import time
import traceback
from collections import Counter
from collections.abc import Callable
from http.client import RemoteDisconnected

from ..subpath.browser import Browser
from .deployments import TRACE
from .harness import CLOSE_SECONDS, MOMENT_SECONDS, RunningServer, Watch

SIZE = 198_000
LONG = "?size=24000000"
RESPONSES = ["/page/", "/stream/", "/shop/"]

QUESTIONS: dict[str, Callable[[RunningServer], str]] = {}
"""The heads of the table's columns, and the functions that fill them."""


def question(head: str) -> Callable[[Callable[[RunningServer], str]], object]:
    def remember(function: Callable[[RunningServer], str]) -> object:
        QUESTIONS[head] = function
        return function

    return remember


def ask(site: RunningServer) -> dict[str, str]:
    """Return the answers of *site*; where a promise is broken, which and where."""
    row = {}
    for head, function in QUESTIONS.items():
        wait_until_at_rest(site)
        try:
            row[head] = function(site)
        except Exception as failure:  # noqa: BLE001 - the other questions are asked as well
            frames = traceback.extract_tb(failure.__traceback__)[1:]
            lines = ", ".join(str(frame.lineno) for frame in frames)
            row[head] = f"broken: {failure!r} in lines {lines}"
    return row


# -- Composed: what an application is told, and what it tells --


@question("pages")
def pages(site: RunningServer) -> str:
    """Each application is told where it is, and answers with its page."""
    told = json.loads(site.get("/site/where/?q=1").body)
    assert (told["SCRIPT_NAME"], told["path_info"]) == ("/site", "/where/")
    assert (told["full"], told["reverse"]) == ("/site/where/?q=1", "/site/item/7/")
    assert json.loads(site.get("/shop/cart").body) == {
        "script_name": "/shop",
        "path_info": "/cart",
        "url": "/shop/cart",
    }
    told = json.loads(site.get("/site/stra%C3%9Fe/a%20b/").body)
    assert (told["path_info"], told["name"]) == ("/straße/a b/", "a b")
    assert site.get("/site/page/?size=10").body == b"page page "  # out of the database
    return "yes"


@question("redirects")
def redirects(site: RunningServer) -> str:
    """A redirect leads to where it should, as it arrives."""
    assert location(site, "/site/go/") == "/site/item/7/"
    assert location(site, "/site/where") == "/site/where/"
    assert location(site, "/shop/go") == "/shop/cart"
    return "yes"


@question("cookies")
def cookies(site: RunningServer) -> str:
    """Each cookie has its path; two in one response are two; a login holds."""
    visitor = Browser(f"http://127.0.0.1:{site.port}", "")
    visitor.get("/shop/go")
    assert visitor.cookie("basket").path == "/shop/"
    form = visitor.follow(visitor.get("/site/admin/"))
    admin = visitor.follow(visitor.log_in(form, "ann", "ann's password"))
    assert "Site administration" in admin.text
    assert {"basket", "csrftoken", "sessionid"} == {cookie.name for cookie in visitor.jar}
    return "yes"


# -- Closed: whatever becomes of a response, request_finished is sent once --


@question("read")
def read(site: RunningServer) -> str:
    """A response that is read to its end."""
    closed_once(site, whole, *RESPONSES)
    return "once"


@question("left")
def left(site: RunningServer) -> str:
    """A response whose client goes away."""
    closed_once(site, leave, *(target + LONG for target in RESPONSES), "/slow/")
    return "once"


@question("HEAD")
def head(site: RunningServer) -> str:
    """A response that has no body for the client."""
    closed_once(site, only_the_head, *RESPONSES, "/file/")
    return "once"


@question("error")
def error(site: RunningServer) -> str:
    """A view that raises, and a stream that raises after its first chunk."""
    closed_once(site, fail, "/fail/", "/shop/fail")
    closed_once(site, fail_midway, "/fail-midway/")
    return "once"


@question("file")
def file(site: RunningServer) -> str:
    """A file, which the server may send by itself, read and left."""
    closed_once(site, whole, "/file/")
    closed_once(site, leave, "/file/" + LONG)
    return "once"


@question("thread")
def thread(site: RunningServer) -> str:
    """What is closed is closed on the thread that opened it; else it is said what is not."""
    elsewhere = set()
    for way, query in [(whole, ""), (leave, LONG)]:
        for target in [*RESPONSES, "/file/"]:
            opened, closed = closed_once(site, way, target + query)
            if opened.thread != closed.thread:
                elsewhere.add(target.strip("/"))
    return f"another: {', '.join(sorted(elsewhere))}" if elsewhere else "same"


@question("wrapping")
def wrapping(site: RunningServer) -> str:
    """A layer that adds a header, as the framework's documentation shows."""
    watch = Watch(site)
    assert header(site.get("/wrapped/page/"), "X-Hello") == "world"
    watch.until_closed(1)  # a client may be faster than a server
    return under(site, "/wrapped")


@question("delegating")
def delegating(site: RunningServer) -> str:
    """An application that answers one path, and delegates the others to the site."""
    watch = Watch(site)
    assert site.get("/delegated/hello").body == b"Hello, world!\n"
    assert watch.in_a_moment() == []
    return under(site, "/delegated")


@question("sendfile")
def sendfile(site: RunningServer) -> str:
    """The kernel sends a file with the guard if it does so without."""
    without = sent_by_the_kernel(site, "/bare/file/")
    with_the_guard = sent_by_the_kernel(site, "/file/")
    assert with_the_guard == without
    assert without in (0, SIZE)
    return "kept" if without else "has none"


# -- how it is asked --


def wait_until_at_rest(site):
    """Wait until all that was opened is closed: a client may be faster than a server."""
    deadline = time.monotonic() + CLOSE_SECONDS
    while time.monotonic() < deadline:
        told = Counter(event.what for event in site.events())
        if told["opened"] == told["closed"]:
            break
        time.sleep(0.01)


def under(site, layer):
    """Ask for responses below *layer*, in every way."""
    closed_once(site, whole, *(layer + target for target in [*RESPONSES, "/file/"]))
    closed_once(site, leave, f"{layer}/page/{LONG}")
    closed_once(site, only_the_head, f"{layer}/page/")
    closed_once(site, fail, f"{layer}/fail/")
    return "once"


def whole(site, target):
    answer = site.get(target)
    assert (answer.status, len(answer.body), answer.complete) == (200, SIZE, True)


def only_the_head(site, target):
    answer = site.get(target, method="HEAD")
    assert (answer.status, answer.body) == (200, b"")


def fail(site, target):
    assert site.get(target).status == 500


def fail_midway(site, target):
    try:
        assert site.get(target).status == 200
    except RemoteDisconnected:
        pass  # nginx had not sent any of it when it broke off


def leave(site, target):
    site.leave(target)


def closed_once(site, ask, *targets):
    """Ask for each in turn, and return what opened and closed the responses."""
    watch = Watch(site)
    for target in targets:
        ask(site, target)
    told = watch.until_closed(len(targets))
    events = [event for event in told if event.what != "read whole"]
    counted = Counter(event.what for event in events)
    assert counted == {"opened": len(targets), "closed": len(targets)}, targets
    return events


def header(answer, name):
    """Return the value of a header that is there once."""
    [value] = [value for found, value in answer.headers if found.title() == name]
    return value


def location(site, target):
    """Return where *target* sends a browser to, as a path."""
    answer = site.get(target)
    assert answer.status in (301, 302), answer
    return re.sub(r"^http://127\.0\.0\.1(:\d+)?", "", header(answer, "Location"))


def sent_by_the_kernel(site, target):
    """Return how many bytes of *target* went out by ``sendfile()``."""
    trace = site.folder / TRACE
    begin = trace.stat().st_size
    whole(site, target)
    time.sleep(MOMENT_SECONDS)  # behind nginx the client has it all before the call returns
    deadline = time.monotonic() + CLOSE_SECONDS
    sent = 0
    while sent < SIZE and time.monotonic() < deadline:
        calls = trace.read_bytes()[begin:].decode()
        sent = sum(map(int, re.findall(r"sendfile.*\) += (\d+)", calls)))
        if not calls:
            break
        time.sleep(0.01)
    return sent
