"""The rules for the side of middleware that faces the application.

A subject is a layer: a function from an application to an application.  An application that
probes stands inside it, and a server that writes down what it sees around it.
"""

import gc
import sys
import weakref
from io import BytesIO

from .applications import Subject, is_cgi, is_latin
from .gateway import Closable, environ_for, serve, shown
from .rule import NotApplicableError, Rules, check

rule = MIDDLEWARE = Rules("M")

DETAILS = "Specification Details"
ENVIRON = "environ Variables"
STREAMS = "Input and Error Streams"
START = "The start_response() Callable"
BLOCKS = "Middleware Handling of Block Boundaries"

TEXT = (b"one", b"two", b"three")
PAGE = (
    b"<!DOCTYPE html><html><head><title>A page</title></head><body>",
    b"<p>Long enough to be worth compressing.</p>" * 100,
    b"</body></html>",
)
KINDS = {"text/plain": TEXT, "text/html; charset=utf-8": PAGE}
"""What is answered: rewriters look for HTML, and leave the rest alone."""


class OnPurpose(Exception):
    """What a probing application raises."""


def page(environ, start_response):
    """Answer as an application does in which nothing is wrong."""
    kind = list(KINDS)[environ.get("PATH_INFO", "").endswith(".html")]
    body = b"".join(KINDS[kind])
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def as_application(layer):
    """Return *layer* as the application that it is to a server."""
    return Subject(lambda: layer(page))


def requests(**more):
    """Yield a content type, what it is made of, and a request for it."""
    yield "text/plain", TEXT, environ_for(**more)
    gzip = {"HTTP_ACCEPT_ENCODING": "gzip, deflate"}
    yield "text/html; charset=utf-8", PAGE, environ_for("/site/page.html", **gzip, **more)


class Probe:
    """An application that notes that it was called."""

    def __init__(self, answer):
        self._answer = answer
        self.calls = 0

    def __call__(self, *arguments, **keywords):
        self.calls += 1
        return self._answer(*arguments, **keywords)


def ask(layer, answer, environ=None, **options):
    """Serve a request by *layer* around the application *answer*, which has to be called."""
    probe = Probe(answer)
    seen = serve(layer(probe), environ, **options)
    called(probe, seen)
    return seen


def called(probe, seen):
    if not probe.calls:
        raise NotApplicableError(f"the application was not called: {seen.problem}")


def started(start_response, kind="text/plain", status="200 OK", **more):
    return start_response(status, [("Content-Type", kind)], *more.values())


class Body:
    """A body that counts; its iterator is another object, as Django's is.

    It has methods that are none of a layer's business, and notes who calls them.
    """

    def __init__(self, chunks, before=lambda: None):
        self.chunks = chunks
        self.closes = 0
        self.asked = 0
        self.ended = False
        self.early = False
        self.used = []
        self._before = before

    def __iter__(self):
        for chunk in self.chunks:
            self._before()
            self.asked += 1
            self.early |= bool(self.closes)
            if chunk is OnPurpose:
                raise OnPurpose("the body")
            yield chunk
        self.ended = True

    def close(self):
        self.closes += 1

    def _use(self, name):
        self.used.append(name)
        raise OnPurpose(name)

    def read(self, *_):
        self._use("read()")

    def fileno(self):
        self._use("fileno()")

    def __getitem__(self, _):
        self._use("indices")


class Own(Body):
    """A body that is its own iterator."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self._chunks = super().__iter__()

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._chunks)


SHAPES = (Body, Own)


# -- what the application is given --


def given(layer, judge, environ=None):
    """Call *judge* inside an application with what the layer passes; tell what it raises."""
    raised = []

    def application(*arguments, **keywords):
        try:
            judge(*arguments, **keywords)
        except Exception as error:  # noqa: BLE001 - told below, whatever the layer does of it
            raised.append(error)
        _, start_response, *_ = [*arguments, *keywords.values()]
        started(start_response)
        return [b"one"]

    seen = ask(layer, application, environ)
    for error in raised:
        raise error
    return seen


@rule(DETAILS, "must", "The application is called with two positional arguments.")
def calls_positionally(layer):
    def judge(*arguments, **keywords):
        check(not keywords, f"passes {', '.join(keywords)} by name")
        check(len(arguments) == 2, f"passes {len(arguments)} arguments")

    given(layer, judge)


@rule(DETAILS, "must", "Its environ is a `dict`, and no subclass of one.")
def environ_is_a_dict(layer):
    def judge(environ, start_response):
        check(type(environ) is dict, f"the environ is a {type(environ).__qualname__}")

    given(layer, judge)


@rule(
    ENVIRON,
    "must",
    "In it are REQUEST_METHOD, SERVER_NAME, SERVER_PORT, SERVER_PROTOCOL and all of `wsgi.*`;"
    " `wsgi.version` is `(1, 0)`.",
)
def environ_is_complete(layer):
    def judge(environ, start_response):
        for name in ("REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"):
            check(environ.get(name), f"{name} is {environ.get(name)!r}")
        for name in ("url_scheme", "input", "errors"):
            check(environ.get(f"wsgi.{name}") is not None, f"there is no wsgi.{name}")
        for name in ("multithread", "multiprocess", "run_once"):
            check(f"wsgi.{name}" in environ, f"there is no wsgi.{name}")
        version = environ.get("wsgi.version")
        check(version == (1, 0), f"wsgi.version is {version!r}")

    given(layer, judge)


@rule(ENVIRON, "must", "Each CGI variable in it is a native string in ISO-8859-1.")
def environ_has_strings(layer):
    def judge(environ, start_response):
        for name, value in environ.items():
            if is_cgi(name):
                check(type(value) is str, f"{name} is {value!r}")
                check(is_latin(value), f"{name} is {value!r}")

    given(layer, judge, environ_for("/site/caf\xc3\xa9", HTTP_COOKIE="name=\xc3\xa9"))


@rule(DETAILS, "must", "The application may do with it what it likes: empty it, for example.")
def environ_may_be_changed(layer):
    def application(environ, start_response):
        environ.clear()
        started(start_response)
        return [b"one"]

    seen = ask(layer, application)
    check(not seen.problem, f"with the environ emptied it {seen.problem}")


@rule(
    STREAMS,
    "must",
    "`wsgi.input` has `read(size)`, `readline()`, `readlines(hint)` and `__iter__()`, and"
    " gives what was sent.",
)
def input_can_be_read(layer):
    sent = b"one\ntwo\n"
    ways = {
        "read(size)": lambda stream: stream.read(4) + stream.read(4),
        "readline()": lambda stream: stream.readline() + stream.readline(),
        "readlines(hint)": lambda stream: b"".join(stream.readlines(100)),
        "iteration": b"".join,
    }
    for way, read in ways.items():

        def judge(environ, start_response, way=way, read=read):
            try:
                data = read(environ["wsgi.input"])
            except Exception as error:  # noqa: BLE001
                check(False, f"{way} raises {shown(error)}")
            check(data == sent, f"{way} gives {data!r} of {sent!r}")

        given(layer, judge, environ_for(method="POST", body=sent))


@rule(STREAMS, "should", "At its end `wsgi.input` gives empty bytestrings.")
def input_ends(layer):
    def judge(environ, start_response):
        stream = environ["wsgi.input"]
        stream.read(8)
        for way in ("read", "readline"):
            try:
                data = getattr(stream, way)(10)
            except Exception as error:  # noqa: BLE001
                check(False, f"{way}(10) at the end raises {shown(error)}")
            check(data == b"", f"{way}(10) at the end gives {data!r}")

    given(layer, judge, environ_for(method="POST", body=b"one\ntwo\n"))


@rule(STREAMS, "must", "`wsgi.errors` has `write()`, `writelines()` and `flush()`.")
def errors_can_be_written(layer):
    def judge(environ, start_response):
        stream = environ["wsgi.errors"]
        for way, argument in (("write", ["one\n"]), ("writelines", [["two\n"]]), ("flush", [])):
            try:
                getattr(stream, way)(*argument)
            except Exception as error:  # noqa: BLE001
                check(False, f"{way}() raises {shown(error)}")

    given(layer, judge)


# -- how the response is started --


@rule(DETAILS, "must", "`start_response` takes two positional arguments, and a third.")
def start_response_takes_three(layer):
    def two(environ, start_response):
        started(start_response)
        return [b"one"]

    def three(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")], None)
        return [b"one"]

    for number, application in ((2, two), (3, three)):
        seen = ask(layer, application)
        check(not seen.problem, f"with {number} arguments it {seen.problem}")


@rule(DETAILS, "must", "`start_response` returns a callable, `write`.")
def write_is_callable(layer):
    found = []

    def application(environ, start_response):
        found.append(started(start_response))
        return [b"one"]

    ask(layer, application)
    check(found and callable(found[-1]), f"it returns {found[-1] if found else None!r}")


@rule(
    "The write() Callable",
    "must",
    "What is given to `write` is sent, and before what is iterated over.",
)
def write_is_sent(layer):
    def application(environ, start_response):
        write = started(start_response)
        write(b"one")
        write(b"two")
        return [b"three"]

    def plain(environ, start_response):
        started(start_response)
        return [b"onetwothree"]

    before = ask(layer, plain)
    seen = ask(layer, application)
    check(not seen.problem or before.problem, f"it {seen.problem}")
    if before.data != b"onetwothree":
        raise NotApplicableError("it sends other text")
    check(seen.data == before.data, f"{seen.data!r} is sent of b'onetwothree'")


@rule(DETAILS, "must", "The response may be started as late as by the first iteration.")
def may_start_late(layer):
    for kind, chunks, environ in requests():

        def application(environ, start_response, kind=kind, chunks=chunks):
            started(start_response, kind, "200 Late")
            yield from chunks

        seen = ask(layer, application, environ)
        check(seen.raised is None, f"it {seen.problem}")
        check(seen.status == "200 Late", f"the status is {seen.status}, and was 200 Late")


@rule(START, "should", "With `exc_info`, and nothing sent, the new status and headers count.")
def may_start_again(layer):
    def application(environ, start_response):
        started(start_response)
        try:
            raise OnPurpose("the first answer")
        except OnPurpose:
            started(start_response, status="503 Changed", exc_info=sys.exc_info())
        return [b"sorry"]

    seen = ask(layer, application)
    check(seen.raised is None, f"it {seen.problem}")
    check(seen.status == "503 Changed", f"the status is {seen.status}, and was 503 Changed")


@rule(
    START,
    "must",
    "With `exc_info`, and something sent, the server is told, or the application is stopped.",
)
def tells_of_exc_info(layer):
    told = []

    def application(environ, start_response):
        started(start_response)
        yield b"one"
        try:
            raise OnPurpose("midway")
        except OnPurpose:
            try:
                started(start_response, status="503 Changed", exc_info=sys.exc_info())
            except BaseException as error:
                told.append(error.__class__)
                raise
        yield b"sorry"

    seen = ask(layer, application)
    if len(seen.starts) > 1:
        last = seen.starts[-1][0]
        check(len(last) == 3 and last[2], "the server is told without exc_info")
    check(
        told
        or len(seen.starts) > 1
        or b"sorry" not in seen.data
        or seen.status == "503 Changed",  # it had kept it all back
        "nobody is told, and the response goes on",
    )
    for error in told:
        check(error is not TypeError, "start_response takes no exc_info")


@rule(START, "must", "A second start without `exc_info` is a fatal error.")
def may_not_start_twice(layer):
    told = []

    def application(environ, start_response):
        started(start_response)
        try:
            started(start_response, status="200 Again")
        except BaseException as error:
            told.append(error.__class__)
            raise
        return [b"one"]

    seen = ask(layer, application)
    check(
        told or seen.raised is not None or not str(seen.status).startswith("200"),
        f"it passes, and the answer is {seen.status}",
    )


@rule(
    START,
    "must not",
    "What `start_response` raises when it was given `exc_info` is not trapped.",
)
def traps_nothing(layer):
    def application(environ, start_response):
        started(start_response)
        yield b"one"
        raise OnPurpose("midway")

    seen = ask(layer, application)
    if seen.raised_by_us is None:
        raise NotApplicableError("it does not call start_response for an error")
    check(seen.raised is not None, "it is trapped, and the response ends as if it were whole")


@rule(START, "should", "`exc_info` is not kept when the call is over.")
def keeps_no_exc_info(layer):
    alive = []

    class Local:
        pass

    def application(environ, start_response):
        started(start_response)
        try:
            local = Local()
            alive.append(weakref.ref(local))
            raise OnPurpose("the first answer")
        except OnPurpose:
            started(start_response, status="503 Changed", exc_info=sys.exc_info())
        return [b"sorry"]

    application_ = layer(Probe(application))
    gc.collect()
    was = gc.isenabled()
    gc.disable()
    try:
        seen = serve(application_)
        kept = [local() for local in alive if local() is not None]
    finally:
        if was:
            gc.enable()
    if not alive:
        raise NotApplicableError(f"the application was not called: {seen.problem}")
    check(not kept, "what was on the stack lives on until a collection")


@rule(DETAILS, "must", "A body without any block is a response too.")
def may_be_empty(layer):
    for kind, _, environ in requests():

        def application(environ, start_response, kind=kind):
            started(start_response, kind)
            return []

        seen = ask(layer, application, environ)
        check(not seen.problem, f"it {seen.problem} ({kind.partition(';')[0]})")


# -- the body, and its blocks --


def watched(layer, chunks, kind, environ):
    """Return the exchange, and how far the body was read at each step.

    The steps are pairs: how many blocks the application was asked for, and how many the
    server had by then.
    """
    steps = []
    place = []

    def step():
        if place:
            steps.append((body.asked + 1, len(place[0].blocks)))

    body = Body(chunks, step)
    returned = []

    def application(environ, start_response):
        started(start_response, kind)
        return body

    def before_block(seen):
        if not place:
            returned.append(body.asked)
            place.append(seen)

    seen = ask(layer, application, environ, before_block=before_block)
    return seen, returned, steps


@rule(BLOCKS, "must", "It returns a body as soon as the application has, and reads none yet.")
def returns_at_once(layer):
    for kind, chunks, environ in requests():
        seen, returned, _ = watched(layer, chunks, kind, environ)
        check(seen.raised is None, f"it {seen.problem}")
        read = returned[0] if returned else 0
        check(not read, f"reads {read} of 3 blocks in the call ({kind.partition(';')[0]})")


@rule(BLOCKS, "must", "For each block of the application it gives one at least, if empty.")
def gives_a_block_for_each(layer):
    for kind, chunks, environ in requests():
        seen, returned, steps = watched(layer, chunks, kind, environ)
        check(seen.raised is None, f"it {seen.problem}")
        read = returned[0] if returned else 0
        check(read < 2, f"reads {read} of 3 blocks before it gives one")
        for asked, had in steps:
            check(
                had >= asked - 1,
                f"asks for block {asked} when it has given {had} ({kind.partition(';')[0]})",
            )


@rule(BLOCKS, "must", "So it does for an empty block, which a slow application gives.")
def gives_a_block_for_an_empty_one(layer):
    for kind, chunks, environ in requests():
        seen, returned, steps = watched(layer, (b"", b"", *chunks), kind, environ)
        check(seen.raised is None, f"it {seen.problem}")
        read = returned[0] if returned else 0
        check(read < 2, f"reads {read} of 5 blocks before it gives one")
        for asked, had in steps:
            check(
                had >= asked - 1,
                f"asks for block {asked} when it has given {had} ({kind.partition(';')[0]})",
            )


@rule(BLOCKS, "must not", "What is iterated over is not sent by `write`.")
def does_not_write(layer):
    for kind, chunks, environ in requests():

        def application(environ, start_response, kind=kind, chunks=chunks):
            started(start_response, kind)
            return Body(chunks)

        seen = ask(layer, application, environ)
        check(not any(seen.written), f"{len(seen.written)} blocks are sent by write()")


@rule(DETAILS, "must not", "Of the body it uses iteration, `len()` and `close()`, no more.")
def uses_nothing_else(layer):
    for kind, chunks, environ in requests():
        body = Body(chunks)

        def application(environ, start_response, kind=kind, body=body):
            started(start_response, kind)
            return body

        ask(layer, application, environ)
        check(not body.used, f"uses {', '.join(sorted(set(body.used)))} of the body")


# -- close() --


def closes(layer, chunks_of, **options):
    """Check that each body of the application is closed once, and not while it is read."""
    for shape in SHAPES:
        for kind, chunks, environ in requests():
            bodies = []

            def application(
                environ, start_response, kind=kind, chunks=chunks, shape=shape, bodies=bodies
            ):
                bodies.append(shape(chunks_of(chunks)))
                started(start_response, kind)
                return bodies[-1]

            ask(layer, application, environ, **options)
            for body in bodies:
                what = f"{kind.partition(';')[0]}, {WHOSE[shape]}"
                check(body.closes, f"close() is not called ({what})")
                check(body.closes == 1, f"close() is called {body.closes} times ({what})")
                check(not body.early, f"the body is read on after close() ({what})")


WHOSE = {Body: "a body with an iterator of its own", Own: "a body that is an iterator"}


@rule(DETAILS, "must", "`close()` of the body is called once when the body was read.")
def closes_what_was_read(layer):
    closes(layer, lambda chunks: chunks)


@rule(DETAILS, "must", "`close()` is called once when the client leaves.")
def closes_what_was_left(layer):
    closes(layer, lambda chunks: chunks, most=1)


@rule(DETAILS, "must", "`close()` is called once when the body is not read at all.")
def closes_what_was_not_read(layer):
    closes(layer, lambda chunks: chunks, most=0)


@rule(DETAILS, "must", "`close()` is called once when the body raises.")
def closes_what_raised(layer):
    closes(layer, lambda chunks: (chunks[0], OnPurpose))


class File:
    """No subclass of BytesIO, whose finalizer would close it once more."""

    def __init__(self, data):
        self.read = BytesIO(data).read
        self.closes = 0

    def close(self):
        self.closes += 1


@rule(
    "Optional Platform-Specific File Handling",
    "must",
    "What `wsgi.file_wrapper` made is sent whole, and its file closed once.",
)
def sends_files(layer):
    file = File(b"one" * 10_000)

    def application(environ, start_response):
        wrapper = environ.get("wsgi.file_wrapper")
        if wrapper is None:
            raise NotApplicableError("it takes the file_wrapper away")
        started(start_response)
        return wrapper(file, 1000)

    def plain(environ, start_response):
        started(start_response)
        return [b"one" * 10_000]

    before = ask(layer, plain)
    seen = ask(layer, application)
    if isinstance(seen.raised, NotApplicableError):
        raise seen.raised
    check(not seen.problem or before.problem, f"it {seen.problem}")
    check(file.closes == 1, f"the file is closed {file.closes} times")
    if before.data == b"one" * 10_000:
        check(seen.data == before.data, f"{len(seen.data)} bytes of 30000 are sent")


@rule(STREAMS, "must not", "It does not close the application's streams under its hands.")
def leaves_the_streams(layer):
    environ = environ_for(method="POST", body=b"one")
    stream = environ["wsgi.input"] = Closable(environ["wsgi.input"])

    def application(environ, start_response):
        started(start_response)
        return (environ["wsgi.input"].read(3) for _ in range(1))

    ask(layer, application, environ)
    check(not stream.closes, "closes wsgi.input")
