"""What is served under fire: one application, bare, composed, and composed under a leak.

Each response notes what becomes of it in the file ``FIRE_FOLDER/journal``: by one write that
appends, so that nothing is lost when the process is killed a moment later.
"""

import itertools
import os
import threading
import time
from functools import partial

from freedom_middleware import CloseGuard, Hosts, Mount

FOLDER = os.environ["FIRE_FOLDER"]
CHUNK = b"chunk at " * 7282  # 64 KiB

journal = os.open(f"{FOLDER}/journal", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o666)
numbers = itertools.count(1)
here = threading.local()


def note(*words):
    """Write a line: what happened, in which process and on which thread (or greenlet).

    The number of a thread is kept in its own storage: an ident is given to the next at once.
    """
    global here
    if type(here) is not threading.local:  # gevent has patched it since
        here = threading.local()
    if not hasattr(here, "number"):
        here.number = next(numbers)
    line = " ".join([*words, str(os.getpid()), str(here.number)])
    os.write(journal, f"{line}\n".encode())


class Body:
    """Notes that it was opened, and each time that it is closed."""

    def __init__(self, variant, path, chunks):
        self.words = variant, path, f"{os.getpid()}-{next(numbers)}"
        self.chunks = chunks
        note("opened", *self.words)

    def __iter__(self):
        return iter(self.chunks)

    def close(self):
        note("closed", *self.words)
        if self.words[1] == "fails-in-close":
            raise LookupError("close() failed, as it was asked to")


class File(Body):
    """A file, for the server's ``wsgi.file_wrapper``; none of the standard library's.

    Those call ``close()`` when they are collected, and would hide that nobody did.
    """

    def __init__(self, variant):
        self.file = open(f"{FOLDER}/file", "rb", buffering=0)  # noqa: SIM115
        self.fileno, self.read = self.file.fileno, self.file.read
        self.seek, self.tell = self.file.seek, self.file.tell
        super().__init__(variant, "file", iter(partial(self.read, len(CHUNK)), b""))

    def close(self):
        super().close()
        self.file.close()


def fails_after(chunks):
    yield from [CHUNK] * chunks
    raise LookupError("the body failed, as it was asked to")


def slowly():
    for _ in range(40):
        yield b"slow "
        time.sleep(0.02)


def late():
    time.sleep(0.05)
    yield from [CHUNK] * 10


def uploaded(environ):
    length = environ.get("CONTENT_LENGTH")
    return environ["wsgi.input"].read(*([int(length)] if length else []))


def echo(environ):
    yield f"{len(uploaded(environ))} bytes".encode()


def chunks_of(path, environ):
    match path:
        case "page":
            return [b"page ", b"by ", b"page"]
        case "stream":
            return iter([CHUNK] * 16)
        case "long":  # more than any server keeps for a client that does not read
            return iter([CHUNK] * 384)
        case "slow":
            return slowly()
        case "late":
            return late()
        case "upload":
            return [f"{len(uploaded(environ))} bytes".encode()]
        case "upload-in-the-body":
            return echo(environ)
        case "fails-in-the-call":
            raise LookupError("the application failed, as it was asked to")
        case "fails-at-the-first":
            return fails_after(0)
        case "fails-at-the-tenth":
            return fails_after(9)
        case "fails-in-close":
            return [b"closed ", b"with an error"]


def serving(variant, prefix=""):
    """Return the application, whose paths begin with *prefix*."""

    def application(environ, start_response):
        path = environ["PATH_INFO"].removeprefix(prefix).strip("/")
        if path == "quiet":  # for the guard to look at what waits
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"quiet"]
        chunks = None if path == "file" else chunks_of(path, environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        if chunks is not None:
            return Body(variant, path, chunks)
        file = File(variant)
        return environ.get("wsgi.file_wrapper", lambda it: it)(file)

    return application


def composed(variant):
    """Return the whole composition around the application."""

    def count(leak):
        note("repaired", variant, leak.repair or "not", "-")

    guarded = CloseGuard(serving(variant), on_count=count)
    return Hosts(None, {"127.0.0.1": Mount(None, {f"/{variant}": guarded})})


def loses_close(application):
    """Wrap *application* as real packages do: the generator never closes the body."""

    def layer(environ, start_response):
        return (chunk for chunk in application(environ, start_response))

    return layer


VARIANTS = {
    "bare": serving("bare", "/bare"),
    "composed": composed("composed"),
    "leaking": loses_close(composed("leaking")),
}


def application(environ, start_response):
    variant = environ["PATH_INFO"].split("/")[1]
    if variant == "ready":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ready"]
    return VARIANTS[variant](environ, start_response)
