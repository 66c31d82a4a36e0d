"""A server, seen from inside: each path is a probe, and what it saw is told at ``/_seen``.

The judge is in ``tests/pep3333/servers.py``.  The query string is the name under which a probe
writes down what it sees, in order.  Nothing here is anybody's middleware: the server calls
``application`` itself.
"""

import io
import itertools
import json
import os
import sys
import threading
import time
from pathlib import Path

WAIT_SECONDS = 20
"""How long a probe waits for the client's sign."""

FOLDER = Path(os.environ.get("TOWN_FOLDER", "."))

seen = {}
probes = {}


class OnPurpose(Exception):
    """What a probe raises."""


def probe(function):
    probes["/" + function.__name__.replace("_", "-")] = function
    return function


def application(*arguments, **keywords):
    environ, start_response, *_ = [*arguments, *keywords.values()]
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    name = environ.get("QUERY_STRING", "")
    if path == "/_seen":
        return answer(start_response, seen.get(name, []))
    if path == "/called":
        told = {"positional": len(arguments), "keywords": sorted(keywords)}
        return answer(start_response, told)
    events = seen.setdefault(name, [])
    if path not in probes:  # "/environ", whatever is behind it
        return tells_environ(environ, start_response, events)
    return probes[path](environ, start_response, events)


def answer(start_response, told):
    page = json.dumps(told).encode()
    start_response(
        "200 OK",
        [("Content-Type", "application/json"), ("Content-Length", str(len(page)))],
    )
    return [page]


def start(start_response, status="200 OK", *more, headers=()):
    return start_response(status, [("Content-Type", "text/plain"), *headers], *more)


def start_with_error(start_response, events, status):
    """Start again with ``exc_info``, note what is raised, and raise it."""
    try:
        raise OnPurpose("the first answer")
    except OnPurpose:
        try:
            start(start_response, status, sys.exc_info())
        except BaseException as error:
            events.append(["raised", type(error).__name__])
            raise
        events.append(["accepted"])


class Body:
    """A body that notes what the server does with it; its iterator is another object."""

    def __init__(self, events, *chunks, wait=None):
        self.events = events
        self.chunks = chunks

    def __iter__(self):
        for chunk in self.chunks:
            if callable(chunk):
                chunk = chunk()  # it takes its time, or raises
            self.events.append(["next"])
            yield chunk
        self.events.append(["end"])

    def close(self):
        self.events.append(["close"])

    def _use(self, name):
        self.events.append(["used", name])
        raise OnPurpose(name)

    def read(self, *_):
        self._use("read()")

    def fileno(self):
        self._use("fileno()")

    def __getitem__(self, _):
        self._use("indices")


class Listed(list):
    """A list that is closed, as any body with ``close()``."""

    def __init__(self, chunks, events):
        super().__init__(chunks)
        self.events = events

    def close(self):
        self.events.append(["close"])


def raises():
    raise OnPurpose("on purpose: the body raises")


def wait_for_the_sign(events, name):
    """Wait until the client has made a file called *name*; note whether it did."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (FOLDER / name).exists():
        if time.monotonic() > deadline:
            events.append(["no sign"])
            return
        time.sleep(0.01)
    events.append(["sign"])


# -- what the application is given --


def tells_environ(environ, start_response, events):
    found = environ.get("wsgi.version", ())
    told = {
        "type": f"{type(environ).__module__}.{type(environ).__qualname__}",
        "strings": {k: v for k, v in environ.items() if type(v) is str},
        "types": {k: type(v).__qualname__ for k, v in environ.items()},
        "version": [type(found).__qualname__, *found],
        "scheme": environ.get("wsgi.url_scheme"),
    }
    return answer(start_response, told)


@probe
def clears(environ, start_response, events):
    environ.clear()
    start(start_response)
    return [b"one"]


def reads(read):
    def reading(environ, start_response, events):
        try:
            data = read(environ["wsgi.input"])
            told = [
                [chunk.decode("latin-1") for chunk in data],
                [type(c).__name__ for c in data],
            ]
        except Exception as error:  # noqa: BLE001 - it is what is asked for
            told = f"raises {type(error).__name__}: {error}"
        return answer(start_response, told)

    return reading


probes["/read-size"] = reads(lambda stream: [stream.read(4), stream.read(4)])
probes["/readline"] = reads(lambda stream: [stream.readline(), stream.readline()])
# No further than it goes: a server need not simulate an end.
probes["/readlines"] = reads(lambda stream: stream.readlines(7))
probes["/iterated"] = reads(lambda stream: list(itertools.islice(stream, 2)))
probes["/read-all"] = reads(lambda stream: [stream.read()])
probes["/readline-size"] = reads(lambda stream: [stream.readline(2), stream.readline(10)])
probes["/read-beyond"] = reads(
    lambda stream: [stream.read(100), stream.read(10), stream.readline(), stream.read()]
)


@probe
def unsized(environ, start_response, events):
    """Read a body that came chunked, if there is a way to know where it ends."""
    length = environ.get("CONTENT_LENGTH")
    if length:
        data = environ["wsgi.input"].read(int(length))
    elif environ.get("wsgi.input_terminated"):
        data = environ["wsgi.input"].read()
    else:
        return answer(start_response, None)
    return answer(start_response, data.decode("latin-1"))


@probe
def errors(environ, start_response, events):
    stream = environ["wsgi.errors"]
    told = []
    for way, argument in (("write", ["one\n"]), ("writelines", [["two\n"]]), ("flush", [])):
        try:
            getattr(stream, way)(*argument)
        except Exception as error:  # noqa: BLE001
            told.append(f"{way}() raises {type(error).__name__}: {error}")
    return answer(start_response, told)


# -- how the response is started --


@probe
def write(environ, start_response, events):
    writes = start(start_response)
    events.append(["callable", callable(writes)])
    writes(b"one")
    writes(b"two")
    return [b"three"]


@probe
def late(environ, start_response, events):
    start(start_response, "203 Late", headers=[("X-Late", "yes")])
    yield b"one"


@probe
def changes_at_once(environ, start_response, events):
    start(start_response)
    start_with_error(start_response, events, "503 Changed")
    return [b"sorry"]


@probe
def changes_after_empty(environ, start_response, events):
    start(start_response)
    yield b""
    start_with_error(start_response, events, "503 Changed")
    yield b"sorry"


@probe
def changes_too_late(environ, start_response, events):
    start(start_response)
    yield b"one" * 1000
    yield b"two" * 1000
    start_with_error(start_response, events, "503 Changed")
    yield b"sorry"


def tries(status="200 OK", *headers, first=False):
    """Note whether ``start_response()`` takes it."""

    def trying(environ, start_response, events):
        if first:
            start(start_response)
        try:
            start(start_response, status, headers=headers)
        except BaseException as error:
            events.append(["raised", type(error).__name__])
            raise
        events.append(["accepted"])
        return [b"one"]

    return trying


probes["/twice"] = tries("200 Again", first=True)
probes["/hop-by-hop"] = tries("200 OK", ("Connection", "close"))
probes["/bad-header"] = tries("200 OK", ("X-Bad", "a\r\nX-Injected: b"))


# -- what is sent --


@probe
def slow(environ, start_response, events):
    start(start_response)
    yield b"first"
    wait_for_the_sign(events, f"sign-{environ['QUERY_STRING']}")
    yield b"second"


@probe
def slow_write(environ, start_response, events):
    writes = start(start_response)
    writes(b"first")
    wait_for_the_sign(events, f"sign-{environ['QUERY_STRING']}")
    return [b"second"]


@probe
def all_bytes(environ, start_response, events):
    start(start_response)
    yield bytes(range(256))
    yield b"\r\n\n\r"


@probe
def no_blocks(environ, start_response, events):
    start(start_response, "203 Empty", headers=[("X-Empty", "yes")])
    return []


@probe
def too_long(environ, start_response, events):
    start(start_response, headers=[("Content-Length", "5")])
    return Body(events, b"hello", b" world")


@probe
def too_short(environ, start_response, events):
    start(start_response, headers=[("Content-Length", "50")])
    return Body(events, b"hello")


@probe
def cookies(environ, start_response, events):
    start(start_response, headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [b"one"]


@probe
def raises_in_the_call(environ, start_response, events):
    raise OnPurpose("on purpose: the call raises")


# -- close() --


@probe
def whole(environ, start_response, events):
    start(start_response)
    return Body(events, b"one", b"two", b"three")


@probe
def endless(environ, start_response, events):
    """Long enough that no buffer takes it, and slow enough to be left."""

    def slowly():
        time.sleep(0.01)
        return b"x" * 65536

    start(start_response)
    return Body(events, *[slowly] * 1000)


@probe
def fails(environ, start_response, events):
    start(start_response)
    return Body(events, b"one", raises)


@probe
def listed(environ, start_response, events):
    start(start_response)
    return Listed([b"one"], events)


# -- wsgi.file_wrapper --


class File:
    """A file without a descriptor, whose ``close()`` is noted.

    It is no subclass of ``BytesIO``, whose finalizer would close it once more.
    """

    def __init__(self, data, events):
        self.read = io.BytesIO(data).read
        self.events = events

    def close(self):
        self.events.append(["close"])


class OnlyRead:
    """The least that is file-like: it has ``read()``, and no ``close()``."""

    def __init__(self, data):
        self._file = io.BytesIO(data)
        self.read = self._file.read


class Real(io.BufferedReader):
    """What ``open()`` returns for a file of the system's, and its ``close()`` is noted."""

    def __init__(self, data, events):
        path = FOLDER / f"file-{threading.get_ident()}"
        path.write_bytes(data)
        super().__init__(io.FileIO(path))
        self.events = events

    def close(self):
        if not self.closed:
            self.events.append(["close"])
        super().close()


CONTENT = b"0123456789" * 1000


def wraps(make, *block_size):
    def wrapping(environ, start_response, events):
        wrapper = environ.get("wsgi.file_wrapper")
        if wrapper is None:
            events.append(["none"])
            start(start_response)
            return []
        body = wrapper(make(events), *block_size)
        start(start_response)
        return body

    return wrapping


def read_on(file):
    file.read(5000)
    return file


def sought(file):
    """Return *file* where its descriptor stands at the same place as itself."""
    file.seek(5000)
    return file


probes["/file"] = wraps(lambda events: File(CONTENT, events))
probes["/file-real"] = wraps(lambda events: Real(CONTENT, events))
probes["/file-in-blocks"] = wraps(lambda events: File(CONTENT, events), 1000)
probes["/file-real-in-blocks"] = wraps(lambda events: Real(CONTENT, events), 1000)
probes["/file-only-read"] = wraps(lambda events: OnlyRead(CONTENT))
probes["/file-from-here"] = wraps(lambda events: read_on(File(CONTENT, events)))
probes["/file-real-from-here"] = wraps(lambda events: sought(Real(CONTENT, events)))


@probe
def file_in_a_layer(environ, start_response, events):
    """Iterate over what the wrapper made, as middleware does."""
    wrapper = environ.get("wsgi.file_wrapper")
    start(start_response)
    if wrapper is None:
        events.append(["none"])
        return
    body = wrapper(File(CONTENT, events))
    try:
        yield from iter(body)
    except Exception as error:
        events.append(["raised", f"{type(error).__name__}: {error}"])
        raise
    finally:
        if hasattr(body, "close"):
            body.close()
