"""What a layer does with close(), measured without the engine that the survey judges.

One layer stands directly around an application whose bodies count.  Nothing of
``freedom_middleware`` is imported here: the rules are those of PEP 3333, "The
Application/Framework Side" and "Specification Details", on ``close()``.

A body must be closed exactly once, when its response is over, whoever ended it; it is the
body that is closed, and not its iterator.  A layer that discards a body takes on the
server's duty, and may close it when it likes.
"""

import collections.abc
import itertools
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple
from wsgiref.util import FileWrapper, setup_testing_defaults

VERDICTS = ("lost", "iterator", "early", "repeated", "thread", "once")
"""What may become of a body, the worst first; only the last is right."""

REPAIRED = ("lost", "iterator", "repeated")
"""What a guard inside is to make up for; closing early or elsewhere was asked for."""

COLUMNS = ("whole", "left", "unread", "raises", "empty", "HEAD", "file", "page")

WAIT_SECONDS = 0.3
"""How long a body is waited for that another thread may be about to close."""

STUCK_SECONDS = 10
"""After which a response is believed never to end."""


class OnPurpose(Exception):
    """What a body or its ``close()`` raises in a case."""


class Seen:
    """What was done with one body; holds it, so that no collector closes it."""

    def __init__(self, close_raises):
        self.body = None
        self.opened_on = threading.current_thread()
        self.closed_on = []
        self.read_after_close = False
        self.ended = False
        self.sought_on_iterator = False
        self._close_raises = close_raises

    def close(self):
        self.closed_on.append(threading.current_thread())
        if self._close_raises and len(self.closed_on) == 1:
            raise OnPurpose("close")

    def verdict(self, servers):
        """Return one of VERDICTS; *servers* are the threads that the server itself used."""
        if not self.closed_on:
            return "iterator" if self.sought_on_iterator else "lost"
        if self.read_after_close:
            return "early"
        if len(self.closed_on) > 1:
            return "repeated"
        return "once" if self.closed_on[0] in (self.opened_on, *servers) else "thread"


# -- bodies --


class Chunks:
    """An iterator that is not a body: nobody is to close it, and whoever tries is noted."""

    def __init__(self, chunks, seen):
        self._chunks = iter(chunks)
        self._seen = seen

    def __iter__(self):
        return self

    def __next__(self):
        seen = self._seen
        seen.read_after_close |= bool(seen.closed_on) and not seen.ended
        chunk = next(self._chunks, None)
        if isinstance(chunk, bytes):
            return chunk
        seen.ended = True
        # A new one each time: an exception keeps the frames that it went through.
        raise StopIteration if chunk is None else OnPurpose(*chunk.args)

    def __getattr__(self, name):
        # A generator that the server closes looks for it in what it ``yield``s ``from``.
        if name == "close" and sys._getframe(1).f_globals is not globals():
            self._seen.sought_on_iterator = True
        raise AttributeError(name)


class Split:
    """A body as Django's are: its iterator is another object."""

    def __init__(self, chunks, seen):
        self._chunks, self._seen = chunks, seen

    def __iter__(self):
        return Chunks(self._chunks, self._seen)

    def close(self):
        self._seen.close()


class Falsy(Split):
    """A body that is false when it is empty."""

    def __len__(self):
        return len(self._chunks)


class Own(Chunks):
    """A body that is its own iterator."""

    def close(self):
        self._seen.close()


class LikeGenerator(Own, collections.abc.Generator):
    """So, and a generator by ``isinstance``; a real one would not count its closes."""

    def send(self, value):
        return next(self)

    def throw(self, *error):
        raise error[0]

    def close(self):
        self._seen.close()


class Lazy(Own):
    """So, and the response starts with the first chunk."""

    start = None

    def __next__(self):
        if self.start:
            start, self.start = self.start, None
            start()
        return super().__next__()


class Listed(list):
    """A list that holds something which has to be closed."""

    def __init__(self, chunks, seen):
        super().__init__(chunks)
        self._seen = seen

    def __iter__(self):
        return Chunks(super().__iter__(), self._seen)

    def close(self):
        self._seen.close()


class File(BytesIO):
    """What ``wsgi.file_wrapper`` is given."""

    def __init__(self, chunks, seen):
        super().__init__(b"".join(chunks))
        self._seen = seen

    def read(self, *size):
        seen = self._seen
        seen.read_after_close |= bool(seen.closed_on) and not seen.ended
        data = super().read(*size)
        seen.ended = not data
        return data

    def close(self):
        self._seen.close()


# -- cases --


TEXT = (b"one", b"two", b"three")
PAGE = (
    b"<!DOCTYPE html><html><head><title>A page</title></head><body>",
    b"<p>Long enough to be worth compressing.</p>" * 100,
    b"</body></html>",
)


@dataclass(frozen=True)
class Case:
    """A request, the answer of the application, and the end of the response."""

    name: str
    column: str
    shape: type = Split
    method: str = "GET"
    status: str = "200 OK"
    chunks: tuple = TEXT
    html: bool = False
    length: bool = False
    most: int | None = None
    writes: bool = False
    close_raises: bool = False
    other_thread: bool = False
    times: int = 1


def _cases():
    yield Case("whole", "whole")
    for shape in (Own, LikeGenerator, Lazy, Listed):
        yield Case(f"whole {shape.__name__}", "whole", shape)
    yield Case("whole list of one", "whole", Listed, chunks=(b"one",))
    yield Case("whole after write()", "whole", writes=True)
    yield Case("whole POST", "whole", method="POST")
    yield Case("whole twice", "whole", times=2)
    yield Case("closed on another thread", "whole", other_thread=True)
    for column, most in (("left", 1), ("unread", 0)):
        for shape in (Split, Own, LikeGenerator):
            yield Case(f"{column} {shape.__name__}", column, shape, most=most)
    for shape in (Split, Own):
        raising = (b"one", OnPurpose("body"))
        yield Case(f"raises {shape.__name__}", "raises", shape, chunks=raising)
    yield Case("raises at once", "raises", chunks=(OnPurpose("body"),))
    yield Case("close() raises", "raises", close_raises=True)
    yield Case("close() raises when left", "raises", close_raises=True, most=1)
    for status in ("200 OK", "204 No Content", "304 Not Modified"):
        yield Case(f"empty {status[:3]}", "empty", Falsy, status=status, chunks=())
    yield Case("HEAD", "HEAD", method="HEAD")
    yield Case("file", "file", File)
    yield Case("page file", "file", File, chunks=PAGE, html=True)
    yield Case("page", "page", chunks=PAGE, html=True)
    yield Case("page with Content-Length", "page", chunks=PAGE, html=True, length=True)
    for shape in (Own, Listed):
        yield Case(f"page {shape.__name__}", "page", shape, chunks=PAGE, html=True)
    yield Case("page left", "left", chunks=PAGE, html=True, most=1)
    yield Case("page unread", "unread", chunks=PAGE, html=True, most=0)
    yield Case(
        "page raises", "raises", chunks=(*PAGE[:2], OnPurpose("body"), PAGE[2]), html=True
    )
    yield Case("page HEAD", "HEAD", method="HEAD", chunks=PAGE, html=True)
    for status in (
        *("201 Created", "302 Found", "401 Unauthorized", "403 Forbidden"),
        *("404 Not Found", "500 Internal Server Error", "503 Service Unavailable"),
    ):
        yield Case(f"{status[:3]}", "page", chunks=PAGE, html=True, status=status)
    yield Case("404 text", "whole", status="404 Not Found")
    yield Case("404 left", "left", status="404 Not Found", most=1)
    yield Case("500 left", "left", status="500 Internal Server Error", most=1)


CASES = {case.name: case for case in _cases()}
READ = [name for name, case in CASES.items() if case.most is None]
LEFT = [name for name, case in CASES.items() if case.most is not None]
"""Clients that go away: some bridges to ASGI never come back from it."""


# -- the application, and the server --

_number = itertools.count()


class Application:
    """The innermost application, as *case* has it; remembers each body that it returned."""

    def __init__(self, case):
        self.case = case
        self.seen = []

    def __call__(self, environ, start_response):
        case = self.case
        seen = Seen(case.close_raises)
        body = seen.body = case.shape(case.chunks, seen)

        def start():
            write = start_response(case.status, self._headers())
            if case.writes:
                write(b"written")

        if isinstance(body, Lazy):
            body.start = start
        else:
            start()
        self.seen.append(seen)
        if isinstance(body, File):
            return environ.get("wsgi.file_wrapper", FileWrapper)(body)
        return body

    def _headers(self):
        case = self.case
        headers = []
        if case.status[:3] not in ("204", "304"):
            headers.append(
                ("Content-Type", "text/html; charset=utf-8" if case.html else "text/plain")
            )
        if case.length:
            headers.append(("Content-Length", str(sum(map(len, case.chunks)))))
        if case.status[:3] == "302":
            headers.append(("Location", "http://127.0.0.1/elsewhere"))
        if case.status[:3] == "401":
            headers.append(("WWW-Authenticate", 'Basic realm="survey"'))
        return headers


def environ_of(case, number):
    """Return the environ of a request that no cache has seen, as a browser makes it."""
    environ = {
        "REQUEST_METHOD": case.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": f"number={number}",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_USER_AGENT": "survey",
        "wsgi.file_wrapper": FileWrapper,
    }
    if case.html:
        environ["HTTP_ACCEPT"] = "text/html,*/*;q=0.8"
        environ["HTTP_ACCEPT_ENCODING"] = "gzip, deflate, br"
    if case.method == "POST":
        environ["wsgi.input"] = BytesIO(b"x=1")
        environ["CONTENT_TYPE"] = "application/x-www-form-urlencoded"
        environ["CONTENT_LENGTH"] = "3"
    setup_testing_defaults(environ)
    return environ


class Answer:
    """What the server was told: the status, the bytes, and what was raised."""

    def __init__(self):
        self.status = None
        self.raised = None
        self.data = b""
        self.threads = {threading.current_thread()}

    def start_response(self, status, headers, exc_info=None):
        if self.status is None or exc_info is not None:
            self.status = status
        return lambda data: None

    def __str__(self):
        return f"raises {self.raised!r}" if self.raised else f"answers {self.status}"


def serve(application, case, number, times=1):
    """Serve a request as a strict server does, *times* times; return the last answer."""
    for _ in range(times - 1):
        serve(application, case, number)
    answer = Answer()
    try:
        body = application(environ_of(case, number), answer.start_response)
    except Exception as error:  # noqa: BLE001 - a server survives it
        answer.raised = error.with_traceback(None)
        return answer
    try:
        if case.most != 0:
            for taken, chunk in enumerate(body, 1):
                answer.data += chunk
                if taken == case.most:
                    break
    except Exception as error:  # noqa: BLE001
        answer.raised = error.with_traceback(None)

    def close():
        if hasattr(body, "close"):
            try:
                body.close()
            except Exception as error:  # noqa: BLE001
                answer.raised = answer.raised or error.with_traceback(None)

    if case.other_thread:
        thread = threading.Thread(target=close)
        answer.threads.add(thread)
        thread.start()
        thread.join(5)
    else:
        close()
    return answer


class Truth(NamedTuple):
    """What a layer does.

    Attributes:
        verdicts: For each case one of VERDICTS, the worst, or ``""``: it called nobody.
        broken: How the layer fails where nothing is wrong, or ``""``.
        stuck: The case in which the response never ended, or ``""``: no other was tried
            after it.
    """

    verdicts: dict
    broken: str = ""
    stuck: str = ""

    @property
    def guilty(self):
        return any(verdict not in ("once", "") for verdict in self.verdicts.values())


def find_out(
    layer, inside=lambda application: application, afterwards=lambda: None, cases=CASES
):
    """Drive *layer* through *cases*; stop where a response never ends.

    Args:
        layer: A function from an application to an application.
        inside: Put around the innermost application.
        afterwards: Called on the server's thread when all responses are over, before they
            are judged.
        cases: Names.
    """
    inner = Application(CASES["whole"])
    outer = layer(inside(inner))
    server = ThreadPoolExecutor(1)

    def ask(case):
        return server.submit(serve, outer, case, next(_number), case.times)

    threads, seen_in, broken, waits = set(), {}, "", 0
    for case in map(CASES.get, cases):
        inner.case = case
        inner.seen = seen = seen_in[case.name] = []
        try:
            answer = ask(case).result(STUCK_SECONDS)
        except TimeoutError:
            return Truth(judged(seen_in, threads), broken, case.name)
        threads |= answer.threads
        if case.name == "whole" and (answer.raised or answer.status != "200 OK"):
            broken = str(answer)
        del answer
        deadline = time.monotonic() + WAIT_SECONDS
        while waits < 2 and any(not one.closed_on for one in seen):
            if threading.active_count() == 2:
                break  # there is nobody else who could
            if time.monotonic() > deadline:
                waits += 1
                break
            time.sleep(0.005)
    server.submit(afterwards).result()
    inner.case, inner.seen = CASES["whole"], []
    ask(CASES["whole"]).result(STUCK_SECONDS)  # what a guard was left with is closed now
    server.shutdown()
    return Truth(judged(seen_in, threads), broken)


def judged(seen_in, threads):
    return {
        name: min((seen.verdict(threads) for seen in bodies), key=VERDICTS.index, default="")
        for name, bodies in seen_in.items()
    }
