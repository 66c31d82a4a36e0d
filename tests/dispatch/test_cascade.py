import gc
import io
import itertools
import json
import logging
import os
import sys
import weakref
from pathlib import Path
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest
from paste.cascade import Cascade as PasteCascade
from webob import Request

from freedom_middleware import Application, Cascade, CloseGuard, Mount
from freedom_middleware.dispatch import Methods, replay
from freedom_middleware.dispatch.table import MOUNTED
from freedom_middleware.dropped import settle
from freedom_middleware.errors import (
    ApplicationError,
    ApplicationTypeError,
    OptionError,
    TableError,
    TableTypeError,
    UnclosedBodyWarning,
)
from freedom_middleware.testing import SpyBody, exchange, hello, make_environ
from freedom_middleware.tree import children_of, draw

CASES = {
    case["id"]: case
    for case in json.loads(Path(__file__).with_name("dispatch_cases.json").read_text("utf-8"))[
        "cascade_cases"
    ]
}
PLAIN = [("Content-Type", "text/plain")]


def answering(status, body=b"", headers=()):
    """Return an application that answers *status* without reading anything."""

    def application(environ, start_response):
        start_response(f"{status} Whatever", [*PLAIN, *headers])
        return [body or str(status).encode()]

    return application


def generating(status, chunks=(b"lazy",)):
    """Return an application that says its status when its body is read."""

    def application(environ, start_response):
        start_response(f"{status} Whatever", PLAIN)
        yield from chunks

    return application


def returning(status, body):
    def application(environ, start_response):
        start_response(f"{status} Whatever", PLAIN)
        return body

    return application


def starting(status):
    """Return an application that starts the response in the call, and the body later."""

    def application(environ, start_response):
        start_response(f"{status} OK", PLAIN)
        return map(str.encode, [str(status)])

    return application


def reading(status, how):
    """Return an application that reads the request body and answers with what it read."""

    def application(environ, start_response):
        body = how(environ["wsgi.input"])
        start_response(f"{status} Whatever", PLAIN)
        return [body]

    return application


passing = answering(404)
never = lambda environ, start_response: pytest.fail("it must not be asked")  # noqa: E731


class Server:
    """Everything that a server is told, in order."""

    def __init__(self):
        self.told = []

    def start_response(self, status, headers, exc_info=None):
        self.told.append(status)
        return self.told.append


class Input:
    """A server's input, which notes what is taken; it is never asked twice for a byte."""

    def __init__(self, body):
        self._file = io.BytesIO(body)
        self.taken = 0

    def read(self, size):
        data = self._file.read(size)
        self.taken += len(data)
        return data

    def readline(self, size=-1):
        line = self._file.readline(size)
        self.taken += len(line)
        return line

    readlines = __iter__ = None  # a validator looks whether they are there


def posting(body, *, chunked=False, **more):
    """Return the environ of a POST with *body*, and its input."""
    given = Input(body)
    if chunked:
        framing = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    else:
        framing = {"CONTENT_LENGTH": str(len(body))}
    environ = make_environ("/", method="POST", **{"wsgi.input": given, **framing, **more})
    return environ, given


each_framing = pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])


class TestSampleCases:
    def test_all_are_here(self):
        tested = {name[5:].replace("_", "-") for name in vars(type(self)) if "casc" in name}

        assert tested == set(CASES)

    def test_casc_02(self):
        """Onward on 405."""
        given = CASES["casc-02"]["given"]

        assert exchange(Cascade([answering(status) for status in given])).body == b"200"

    def test_casc_13(self):
        """start_response twice without exc_info."""

        def twice(environ, start_response):
            start_response("200 OK", PLAIN)
            start_response("200 OK", PLAIN)

        with pytest.raises(AssertionError, match="start_response must be called once"):
            exchange(Cascade([twice, never]), validate=False)

    @pytest.mark.parametrize("length", ["1e9", "1000000000"])
    def test_casc_16(self, length):
        """A request body that nobody reads: nothing is buffered."""
        environ, given = posting(b"x" * 1000, CONTENT_LENGTH=length)

        def streams(environ, start_response):
            start_response("200 OK", PLAIN)
            yield environ["wsgi.input"].read(10)
            assert given.taken == 10

        answer = exchange(Cascade([passing, streams]), environ=environ, validate=False)

        assert answer.body == b"x" * 10
        assert given.taken == 10

    @pytest.mark.parametrize("earlier", [0, 1, 2])
    def test_casc_17(self, earlier):
        """A body shorter than it was said to be: the child sees what a direct call would."""
        environ, _ = posting(b"abc", CONTENT_LENGTH="10")
        first = reading(404, lambda input: input.read(10))
        last = reading(200, lambda input: input.read(10))

        assert exchange(Cascade([first] * earlier + [last]), environ=environ).body == b"abc"

    def test_casc_18(self):
        """A Content-Length that is no number."""
        environ, _ = posting(b"abc", CONTENT_LENGTH="abc")

        cascade = Cascade([passing, answering(200)])

        assert exchange(cascade, environ=environ, validate=False).code == 200

    def test_casc_19(self):
        """What one does to its environ, the next does not see."""
        seen = {}

        def spoils(environ, start_response):
            environ.update({"X": "1", "SCRIPT_NAME": "/spoilt", "PATH_INFO": ""})
            return passing(environ, start_response)

        def looks(environ, start_response):
            seen.update(environ)
            return hello(environ, start_response)

        exchange(Cascade([spoils, looks]), environ=make_environ("/a/b", SCRIPT_NAME="/s"))

        assert "X" not in seen
        assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/s", "/a/b")


class TestChoice:
    def test_the_first_that_does_not_pass_answers(self):
        cascade = Cascade([answering(404), answering(405), answering(403), never])

        assert exchange(cascade).body == b"403"

    def test_the_answer_of_the_last_stands(self):
        """A 405 that came before, and its Allow, are gone."""
        cascade = Cascade([answering(405, headers=[("Allow", "PUT")]), answering(404, b"last")])

        answer = exchange(cascade)

        assert (answer.code, answer.body, answer.header("Allow")) == (404, b"last", None)

    def test_one_application_is_the_last(self):
        assert exchange(Cascade([passing])).code == 404

    def test_on_says_which_pass(self):
        cascade = Cascade([answering(501), answering(404, b"first"), never], on=[501])

        assert exchange(cascade).body == b"first"

    def test_a_lazy_application_that_answers_404(self):
        assert exchange(Cascade([generating(404), answering(200)])).body == b"200"

    def test_in_paste_s_cascade_it_ends_without_a_status(self):
        """facts/mounting.md, 28; or the test above would prove nothing."""
        with pytest.raises(AssertionError, match="start_response"):
            exchange(PasteCascade([generating(404), answering(200)]), validate=False)

    def test_a_lazy_application_that_answers(self):
        chunks = (b"", b"one", b"", b"two")

        assert exchange(Cascade([generating(200, chunks), never])).body == b"onetwo"

    @pytest.mark.parametrize(("late", "body"), [(200, b"first"), (404, b"last")])
    def test_a_late_status_is_the_one_that_counts(self, late, body):
        """facts/guard.md, F3."""

        def changes_its_mind(environ, start_response):
            start_response("404 Not Found" if late == 200 else "200 OK", PLAIN)

            def chunks():
                try:
                    raise LookupError("on purpose")
                except LookupError:
                    start_response(f"{late} Late", PLAIN, sys.exc_info())
                yield b"first"

            return chunks()

        answer = exchange(Cascade([changes_its_mind, answering(200, b"last")]))

        assert (answer.code, answer.body) == (200, body)

    def test_through_mounts_and_methods_that_find_nothing(self):
        """The fixed 404 and 405 of the other dispatchers pass a request on."""
        cascade = Cascade(
            [Mount(None, {"/a": hello}), Methods({"PUT": hello}), Cascade([passing, hello])]
        )

        assert exchange(cascade, "/b").body == b"Hello, world!\n"

    def test_head_is_asked_as_head(self):
        seen = []

        def looks(environ, start_response):
            seen.append(environ["REQUEST_METHOD"])
            start_response("200 OK", PLAIN)
            return []

        def nothing(environ, start_response):
            start_response("404 Not Found", PLAIN)
            return iter([])

        answer = exchange(Cascade([nothing, looks, never]), method="HEAD")

        assert (answer.body, seen) == (b"", ["HEAD"])

    def test_a_status_that_is_none_is_for_the_server(self):
        def application(environ, start_response):
            return iter([b"x"])

        with pytest.raises(AssertionError, match="start_response"):
            exchange(Cascade([application, never]), validate=False)


class TestSentOnce:
    """Nothing of an answer that is passed over reaches the server, and nothing goes twice."""

    @pytest.fixture
    def server(self):
        return Server()

    def serve(self, cascade, server):
        body = cascade(make_environ(), server.start_response)
        server.told += body
        return body

    def test_what_a_skipped_application_writes_is_discarded(self, server):
        def writes(environ, start_response):
            start_response("404 Not Found", PLAIN)(b"written")
            return [b"returned"]

        self.serve(Cascade([writes, writes, answering(200)]), server)

        assert server.told == ["200 Whatever", b"200"]

    def test_what_the_chosen_one_writes_comes_first(self, server):
        def writes(environ, start_response):
            write = start_response("200 OK", PLAIN)
            write(b"one")
            write(b"two")
            return [b"three"]

        self.serve(Cascade([passing, writes, never]), server)

        assert server.told == ["200 OK", b"one", b"two", b"three"]

    def test_what_is_written_is_sent_at_once_and_not_collected(self, server):
        def writes(environ, start_response):
            write = start_response("200 OK", PLAIN)
            write(b"one")
            assert server.told[-1] == b"one"
            return []

        self.serve(Cascade([writes, never]), server)

    def test_an_error_after_a_write_goes_to_the_server_alone(self, server):
        def fails(environ, start_response):
            start_response("200 OK", PLAIN)(b"one")
            raise LookupError("on purpose")

        with pytest.raises(LookupError, match="on purpose"):
            self.serve(Cascade([fails, never]), server)

        assert server.told == ["200 OK", b"one"]

    def test_one_that_wrote_and_returns_none_has_answered(self, server):
        """Against PEP 3333, and no reason to ask the next one for a second answer."""

        def forgets_to_return(environ, start_response):
            start_response("200 OK", [])(b"an answer")

        asked = []

        def another(environ, start_response):
            asked.append(environ)
            return answering(404)(environ, start_response)

        with pytest.raises(TypeError, match="must return an iterable of bytes, got None"):
            Cascade([forgets_to_return, another])(make_environ(), server.start_response)
        assert asked == []

    def test_the_last_talks_to_the_server_itself(self, server):
        def last(environ, start_response):
            assert start_response == server.start_response
            return answering(404)(environ, start_response)

        self.serve(Cascade([passing, last]), server)

    def test_the_last_is_not_held(self, server):
        def last(environ, start_response):
            start_response("200 OK", PLAIN)
            assert server.told == ["200 OK"]
            return []

        self.serve(Cascade([passing, last]), server)


class TestClose:
    def test_a_skipped_body_is_closed_once_before_the_next_is_asked(self):
        body = SpyBody([b"x"])

        def last(environ, start_response):
            assert body.closes == 1
            return hello(environ, start_response)

        exchange(Cascade([returning(404, body), last]))

        assert body.closes == 1

    def test_an_endless_404_does_not_hang(self):
        """facts/mounting.md, 29: others read it to the end first."""

        class Endless(SpyBody):
            def __iter__(self):
                while True:
                    yield b"x"

        body = Endless()

        assert exchange(Cascade([returning(404, body), hello])).code == 200
        assert body.closes == 1

    def test_a_skipped_body_that_raises_when_it_is_read(self):
        """facts/mounting.md, 27: others lose its close()."""

        class Body(SpyBody):
            def __iter__(self):
                raise LookupError("on purpose")

        body = Body()

        with pytest.raises(LookupError, match="on purpose"):
            exchange(Cascade([returning(404, body), never]))

        assert body.closes == 1

    def test_a_skipped_body_that_raises_later_than_anybody_reads(self):
        class Body(SpyBody):
            def __iter__(self):
                yield b"x"
                raise LookupError("on purpose")

        assert exchange(Cascade([returning(404, Body()), hello])).code == 200

    def test_a_skipped_body_whose_close_raises(self, caplog):
        body = SpyBody([b"x"], error=LookupError("on purpose"))

        with caplog.at_level(logging.ERROR, "freedom_middleware.response"):
            assert exchange(Cascade([returning(404, body), hello])).code == 200

        assert "failed" in caplog.text
        assert body.closes == 1

    @pytest.mark.parametrize("chunks", [0, 1, None])
    def test_the_chosen_one_is_closed_by_the_server(self, chunks):
        skipped, chosen = SpyBody([b"x"]), SpyBody([b"one", b"two"])
        cascade = Cascade([returning(404, skipped), returning(200, chosen), never])

        exchange(cascade, chunks=chunks, validate=False)

        assert (skipped.closes, chosen.closes) == (1, 1)

    def test_when_a_later_application_raises(self):
        skipped = SpyBody([b"x"])

        def fails(environ, start_response):
            raise LookupError("on purpose")

        with pytest.raises(LookupError):
            exchange(Cascade([returning(404, skipped), fails, never]))

        assert skipped.closes == 1


class TestBody:
    @pytest.mark.parametrize("body", [[b"x"], (b"x",), SpyBody([b"x"])])
    def test_of_the_last_is_returned_itself(self, body):
        environ, _ = posting(b"body")
        cascade = Cascade([passing, returning(200, body)])

        assert cascade(environ, Server().start_response) is body

    @pytest.mark.parametrize("body", [[b"x"], (b"x",)])
    def test_of_another_too_if_it_was_not_read(self, body):
        cascade = Cascade([returning(200, body), never])

        assert cascade(make_environ(), Server().start_response) is body

    def test_the_server_s_own_file_is_returned_itself(self):
        environ = make_environ(**{"wsgi.file_wrapper": FileWrapper})
        file = FileWrapper(io.BytesIO(b"x"))

        assert Cascade([returning(200, file), never])(environ, Server().start_response) is file

    def test_under_a_guard_and_around_one(self):
        body = SpyBody([b"x"])
        cascade = CloseGuard(Cascade([passing, CloseGuard(returning(200, body)), never]))

        assert exchange(cascade).body == b"x"
        assert body.closes == 1

    @pytest.mark.refcounts
    @pytest.mark.parametrize("starts", ["in the call", "when it is read"])
    @pytest.mark.parametrize("taken_back", [False, True])
    @pytest.mark.parametrize("read", [1, 2, None])
    def test_a_guard_in_it_notices_at_once_what_is_dropped(self, starts, taken_back, read):
        """Though the application keeps an error that it handled, and with it all frames."""
        body = SpyBody()

        class Handling:
            reads = 0

            def __init__(self, start_response):
                self.start_response = start_response

            def __iter__(self):
                return self

            def __next__(self):
                self.reads += 1
                if self.reads > 2:
                    raise StopIteration
                try:
                    raise LookupError("on purpose")
                except LookupError as error:
                    kept = error  # noqa: F841 - it is in a cycle with this frame now
                if self.reads == 1:
                    if starts == "when it is read":
                        self.start_response("200 OK", PLAIN)
                    return b""
                return b"x"

            def close(self):
                body.close()

        def handling(environ, start_response):
            if starts == "in the call":
                start_response("200 OK", PLAIN)
            return Handling(start_response)

        def takes_back(environ, start_response):
            start_response("200 OK", PLAIN)

            def late():
                start_response("404 Not", PLAIN, (None, None, None))
                yield b"not sent"

            return late()

        earlier = [takes_back] if taken_back else []
        cascade = Cascade([*earlier, CloseGuard(handling), never])

        def loses_close(environ, start_response):
            return [b"".join(itertools.islice(cascade(environ, start_response), read))]

        closes = []

        def serve():
            exchange(loses_close, validate=False)
            closes.append(body.closes)
            settle()  # it warns now, and not where it is dropped

        gc.disable()
        try:
            with pytest.warns(UnclosedBodyWarning):
                serve()
        finally:
            gc.enable()
        assert closes == [1]


class TestRequestBody:
    """Each application reads it from the start, and the server is asked for it once."""

    @each_framing
    @pytest.mark.parametrize(
        "size", [1, 1000, replay.MEMORY_BYTES + 1, 3 * replay.MEMORY_BYTES]
    )
    def test_every_application_sees_all_of_it(self, chunked, size):
        body = os.urandom(size)
        environ, given = posting(body, chunked=chunked)
        whole = reading(404, lambda input: input.read())

        answer = exchange(
            Cascade([whole, whole, reading(200, lambda input: input.read())]),
            environ=environ,
            validate=False,
        )

        assert answer.body == body
        assert given.taken == size

    @each_framing
    @pytest.mark.parametrize(
        "how",
        [
            lambda input: input.read(5),
            lambda input: input.readline(),
            lambda input: input.readline(3),
            lambda input: b"".join(input.readlines(7)),
            lambda input: next(iter(input)),
            lambda input: b"",
        ],
    )
    def test_read_partly_by_the_first(self, chunked, how):
        body = b"one\ntwo\nthree\n" * 10
        environ, given = posting(body, chunked=chunked)
        cascade = Cascade([reading(404, how), reading(200, lambda input: input.read(1000))])

        assert exchange(cascade, environ=environ, validate=False).body == body
        assert given.taken == len(body)

    @each_framing
    def test_above_the_limit_the_first_may_still_answer(self, chunked):
        """facts/guard.md, F2."""
        environ, _ = posting(b"x" * 1001, chunked=chunked)
        cascade = Cascade([reading(201, lambda input: input.read()), never], limit=1000)

        answer = exchange(cascade, environ=environ, validate=False)

        assert (answer.code, len(answer.body)) == (201, 1001)

    @each_framing
    @pytest.mark.parametrize(("size", "code"), [(1000, 200), (1001, 413)])
    def test_above_the_limit_nobody_else_is_asked(self, chunked, size, code):
        environ, _ = posting(b"x" * size, chunked=chunked)
        cascade = Cascade(
            [reading(404, lambda input: input.read()), reading(200, lambda input: b"")],
            limit=1000,
        )

        answer = exchange(cascade, environ=environ, validate=False)

        assert answer.code == code
        if code == 413:
            assert (answer.status, answer.body) == (
                "413 Content Too Large",
                b"413 Content Too Large\n",
            )

    def test_above_the_limit_the_answer_is_to_the_request_as_it_came(self):
        def spoils(environ, start_response):
            environ["REQUEST_METHOD"] = "HEAD"
            return reading(404, lambda input: input.read())(environ, start_response)

        environ, _ = posting(b"x")
        cascade = Cascade([spoils, never], limit=0, share=True)

        assert exchange(cascade, environ=environ, validate=False).body != b""

    def test_above_the_limit_unread_the_next_is_asked(self):
        environ, given = posting(b"x" * 1001)
        cascade = Cascade([passing, reading(200, lambda input: input.read(1001))], limit=1000)

        assert len(exchange(cascade, environ=environ).body) == 1001
        assert given.taken == 1001

    def test_without_a_limit_to_speak_of(self):
        environ, _ = posting(b"x")
        cascade = Cascade([reading(404, lambda input: input.read()), never], limit=0)

        assert exchange(cascade, environ=environ, validate=False).code == 413

    def test_the_last_gets_the_server_s_own_input_if_nobody_read(self):
        environ, given = posting(b"body")
        seen = []

        def last(environ, start_response):
            seen.append(environ["wsgi.input"])
            return hello(environ, start_response)

        Cascade([passing, last])(environ, Server().start_response)

        assert seen == [given]

    @pytest.mark.parametrize("length", [None, "", "0"])
    def test_without_a_body_everybody_gets_the_server_s_own_input(self, length):
        environ = make_environ()
        environ.pop("CONTENT_LENGTH", None)
        if length is not None:
            environ["CONTENT_LENGTH"] = length

        def looks(child, start_response):
            assert child["wsgi.input"] is environ["wsgi.input"]
            return passing(child, start_response)

        Cascade([looks, looks])(environ, Server().start_response)

    def test_nothing_is_read_before_somebody_asks(self):
        """A client that sent Expect: 100-continue is told to go on by the first read."""
        environ, given = posting(b"body", HTTP_EXPECT="100-continue")

        def looks(environ, start_response):
            assert given.taken == 0
            return passing(environ, start_response)

        exchange(Cascade([looks, looks, reading(200, lambda input: b"")]), environ=environ)

        assert given.taken == 0

    @each_framing
    def test_a_lazy_body_goes_on_reading(self, chunked):
        environ, _ = posting(b"one\ntwo\nthree\n", chunked=chunked)

        def echoes(environ, start_response):
            start_response("200 OK", PLAIN)
            yield from environ["wsgi.input"]

        cascade = Cascade([reading(404, lambda input: input.read(6)), echoes, never])

        answer = exchange(cascade, environ=environ, validate=False)

        assert (answer.body, answer.chunks) == (b"one\ntwo\nthree\n", 3)

    def test_a_skipped_application_cannot_take_what_is_another_s(self):
        """A thread of its own may still hold the input."""
        environ, _ = posting(b"body")
        kept = []

        def keeps(environ, start_response):
            kept.append(environ["wsgi.input"])
            return passing(environ, start_response)

        def last(environ, start_response):
            with pytest.raises(ValueError, match="whose turn it is"):
                kept[0].read(1)
            return [environ["wsgi.input"].read(4)]

        assert Cascade([keeps, last])(environ, Server().start_response) == [b"body"]

    def test_what_a_skipped_body_reads_as_it_is_closed_is_not_lost(self):
        environ, _ = posting(b"body")

        def drains(environ, start_response):
            class Draining(SpyBody):
                def close(self):
                    environ["wsgi.input"].read()

            start_response("404 Not Found", PLAIN)
            return Draining([b"x"])

        cascade = Cascade([drains, reading(200, lambda input: input.read(4))])

        assert exchange(cascade, environ=environ, validate=False).body == b"body"

    def test_an_application_may_close_its_input(self):
        environ, _ = posting(b"body")

        def closes(environ, start_response):
            environ["wsgi.input"].close()
            return passing(environ, start_response)

        cascade = Cascade([closes, closes, reading(200, lambda input: input.read(4))])

        assert exchange(cascade, environ=environ, validate=False).body == b"body"

    def test_an_application_may_replace_its_input(self):
        """WebOb does, to make it seekable."""
        environ, _ = posting(b"a=1", CONTENT_TYPE="application/x-www-form-urlencoded")

        def looks(environ, start_response):
            assert Request(environ).POST == {"a": "1"}
            assert Request(environ).body == b"a=1"
            return passing(environ, start_response)

        def last(environ, start_response):
            return [Request(environ).body]

        assert Cascade([looks, looks, last])(environ, Server().start_response) == [b"a=1"]

    def test_around_it_webob_may_have_made_the_input_seekable(self):
        outer = Request(posting(b"a=1")[0])
        outer.make_body_seekable()

        def reads(environ, start_response):
            assert Request(environ).body == b"a=1"
            return passing(environ, start_response)

        assert outer.get_response(Cascade([reads, reads, reads])).status_code == 404

    def test_an_error_from_the_server_s_input_reaches_the_application(self):
        class Gone(Input):
            def read(self, size):
                raise ConnectionResetError("the client has left")

        environ, _ = posting(b"body")
        environ["wsgi.input"] = Gone(b"")
        cascade = Cascade([reading(404, lambda input: input.read()), never])

        with pytest.raises(ConnectionResetError):
            cascade(environ, Server().start_response)

    @each_framing
    @pytest.mark.parametrize("chosen", ["first", "second", "last"])
    def test_as_the_validator_of_wsgiref_wants_it(self, chunked, chosen):
        environ, _ = posting(b"body\n" * 5, chunked=chunked)
        codes = {"first": [200], "second": [404, 200], "last": [404, 404, 200]}[chosen]
        how = lambda input: input.read(7) + input.readline() + input.read(3)  # noqa: E731
        applications = [validator(reading(code, how)) for code in codes]
        cascade = Cascade([*applications, *([never] if chosen != "last" else [])])

        assert exchange(cascade, environ=environ).body == b"body\nbody\nbod"


class TestTakenBack:
    """An answer that the server was told of, and that turns into one that passes."""

    def changing(self, how=lambda input: b"", late="404 Late"):
        def application(environ, start_response):
            start_response("200 OK", PLAIN)

            def chunks():
                how(environ["wsgi.input"])
                environ["REMOTE_USER"] = environ[MOUNTED] = "early"
                try:
                    raise LookupError("on purpose")
                except LookupError:
                    start_response(late, PLAIN, sys.exc_info())
                yield b"not sent"

            return chunks()

        return application

    def test_is_told_to_the_server_in_the_call(self):
        """There is a server, granian, that heeds no start after that."""
        server = Server()

        body = Cascade([starting(200), never])(make_environ(), server.start_response)

        assert server.told == ["200 OK"]
        assert list(body) == [b"200"]

    def test_every_other_is_asked_in_turn(self):
        changing = self.changing()
        cascade = Cascade([passing, changing, passing, changing, answering(200, b"it"), never])
        server = Server()

        body = cascade(make_environ(), server.start_response)

        assert b"".join(body) == b"it"
        assert server.told == ["200 OK", "200 OK", "200 Whatever"]
        assert exchange(cascade).body == b"it"

    def test_an_exception_of_the_next_reaches_the_server(self):
        def fails(environ, start_response):
            raise KeyError("of the next")

        with pytest.raises(KeyError, match="of the next"):
            exchange(Cascade([self.changing(), fails, never]))

    @each_framing
    @pytest.mark.parametrize("size", [1, replay.MEMORY_BYTES + 1])
    def test_the_next_reads_all_of_the_request_body(self, chunked, size):
        body = b"x" * size
        for others in ([], [passing]):
            environ, given = posting(body, chunked=chunked)
            last = reading(200, lambda input: input.read())
            cascade = Cascade([self.changing(lambda input: input.read(1)), *others, last])

            assert exchange(cascade, environ=environ, validate=False).body == body
            assert given.taken == size

    def test_above_the_limit_nobody_else_is_asked(self):
        environ, _ = posting(b"12345")
        cascade = Cascade([self.changing(lambda input: input.read()), never], limit=4)

        answer = exchange(cascade, environ=environ, validate=False)

        assert answer.status == "413 Content Too Large"

    def test_above_the_limit_the_answer_is_to_the_request_as_it_came(self):
        environ, _ = posting(b"12345")
        cascade = Cascade([self.changing(lambda input: input.read()), never], limit=4)

        body = cascade(environ, Server().start_response)
        environ["REQUEST_METHOD"] = "HEAD"

        assert b"".join(body) == b"413 Content Too Large\n"

    def test_nothing_more_is_recorded_once_it_stands(self):
        environ, _ = posting(b"body")

        def chosen(environ, start_response):
            recording = environ["wsgi.input"]._recording
            start_response("200 OK", PLAIN)
            return (
                str(recording.is_done()).encode()
                for _ in iter(lambda: environ["wsgi.input"].read(1), b"")
            )

        assert exchange(Cascade([chosen, never]), environ=environ, validate=False).body == (
            b"FalseTrueTrueTrue"
        )

    @pytest.mark.parametrize("share", [True, False])
    def test_the_next_sees_the_environ_as_it_came(self, share):
        seen = []

        def looks(environ, start_response):
            seen.append(dict(environ))
            environ["REMOTE_USER"] = "late"
            return hello(environ, start_response)

        environ = make_environ()
        before = environ.copy()
        cascade = Cascade([self.changing(), looks, never], back=("REMOTE_USER",), share=share)

        exchange(cascade, environ=environ, validate=False)

        assert seen == [before]
        assert environ["REMOTE_USER"] == "late"

    @pytest.mark.parametrize("options", [{}, {"share": True}, {"marker": "X-Cascade"}])
    def test_the_next_sees_nothing_of_what_happened_in_between(self, options):
        """What the first hands back is not the next one's, nor what is put back outside."""
        seen = []
        marked = "404 Late", [*PLAIN, ("X-Cascade", "pass")]

        def changing(environ, start_response):
            start_response("200 OK", PLAIN)
            environ["REMOTE_USER"] = environ[MOUNTED] = "early"

            def chunks():
                start_response(*marked, (LookupError, LookupError(), None))
                yield b"x"

            return chunks()

        def looks(environ, start_response):
            seen.append({**environ, "REMOTE_USER": environ.get("REMOTE_USER")})
            return hello(environ, start_response)

        environ = make_environ("/page")
        cascade = Cascade([changing, looks, never], back=("REMOTE_USER",), **options)
        body = cascade(environ, Server().start_response)
        environ["PATH_INFO"] = "/put/back"

        assert b"".join(body) == b"Hello, world!\n"
        assert seen[0]["PATH_INFO"] == "/page"
        assert seen[0]["REMOTE_USER"] is None
        assert MOUNTED not in seen[0]

    @pytest.mark.parametrize("share", [True, False])
    def test_the_marker_is_not_sent(self, share):
        marked = answering(404, headers=[*PLAIN, ("X-Cascade", "pass")])

        def changing(environ, start_response):
            start_response("200 OK", PLAIN)

            def chunks():
                headers = [*PLAIN, ("X-Cascade", "pass")]
                start_response("404 Late", headers, (LookupError, LookupError(), None))
                yield b"x"

            return chunks()

        environ = make_environ()
        cascade = Cascade([changing, changing, marked], marker="X-Cascade", share=share)
        answer = exchange(cascade, environ=environ)

        assert (answer.code, answer.header("X-Cascade")) == (404, None)
        assert not any(key.startswith("freedom_middleware.removed") for key in environ)

    @pytest.mark.refcounts
    def test_leaves_no_cycle(self):
        """What a response holds is given back with it, and waits for no collection."""
        gc.collect()
        gc.disable()
        try:
            for application in (self.changing(), starting(200)):
                environ = make_environ()
                environ["alive"] = mark = Mark()
                gone = weakref.ref(mark)
                body = Cascade([application, hello])(environ, Server().start_response)
                next(body)
                body.close()
                del body, environ, mark
                assert gone() is None
        finally:
            gc.enable()


class Mark:
    """What can be weakly referred to."""


class TestSpool:
    """A long request body is in a temporary file: one, and closed whatever happens."""

    SIZE = 2 * replay.MEMORY_BYTES

    @pytest.fixture
    def environ(self):
        return posting(b"x" * self.SIZE)[0]

    @pytest.fixture(autouse=True)
    def no_file_is_left(self):
        before = self.open_files()
        yield
        assert self.open_files() == before

    def open_files(self):
        return len(os.listdir("/proc/self/fd"))

    def serve(self, environ, *applications, chunks=None):
        return exchange(
            Cascade([*applications]), environ=environ, chunks=chunks, validate=False
        )

    all_of_it = staticmethod(reading(404, lambda input: input.read()))

    def test_when_the_first_is_chosen(self, environ):
        before = self.open_files()

        def chosen(environ, start_response):
            environ["wsgi.input"].read()
            assert self.open_files() == before + 1
            start_response("200 OK", PLAIN)
            yield b"x"
            assert self.open_files() == before

        assert self.serve(environ, chosen, never).code == 200

    @pytest.mark.parametrize("last", [True, False])
    @pytest.mark.parametrize("chunks", [0, 1, None])
    def test_when_a_lazy_body_has_not_read_it(self, environ, chunks, last):
        body = SpyBody([b"one", b"two"])
        applications = [self.all_of_it, returning(200, body)] + ([] if last else [never])

        before = self.open_files()
        self.serve(environ, *applications, chunks=chunks)

        assert body.closes == 1
        assert self.open_files() == before

    @pytest.mark.parametrize("last", [True, False])
    def test_when_a_list_is_answered(self, environ, last):
        body = [b"x"]
        applications = [self.all_of_it, returning(200, body)] + ([] if last else [never])
        before = self.open_files()

        assert Cascade(applications)(environ, Server().start_response) is body
        assert self.open_files() == before

    def test_when_the_last_reads_while_it_is_sent(self, environ):
        def lazily(environ, start_response):
            start_response("200 OK", PLAIN)
            yield environ["wsgi.input"].read(10)
            yield environ["wsgi.input"].read()

        assert len(self.serve(environ, self.all_of_it, lazily).body) == self.SIZE

    def test_when_one_that_wrote_reads_while_it_is_sent(self, environ):
        def writes(environ, start_response):
            start_response("200 OK", PLAIN)(b"written")
            return SpyBody([environ["wsgi.input"].read(10)])

        assert self.serve(environ, self.all_of_it, writes, never).body == b"written" + b"x" * 10

    @pytest.mark.parametrize("last", [True, False])
    def test_when_the_application_keeps_its_environ_in_a_cycle(self, environ, last):
        """Frameworks do; the collector may be long in coming."""

        def chosen(environ, start_response):
            environ["cycle"] = environ
            return returning(200, SpyBody([b"x"]))(environ, start_response)

        before = self.open_files()
        self.serve(environ, self.all_of_it, chosen, *([] if last else [never]))

        assert self.open_files() == before
        gc.collect()

    @pytest.mark.refcounts
    def test_when_its_body_is_dropped(self, environ):
        body = Cascade([self.all_of_it, returning(200, SpyBody([b"x"]))])(
            environ, Server().start_response
        )
        del body

    def test_when_an_application_raises(self):
        def fails(environ, start_response):
            raise LookupError("on purpose")

        before = self.open_files()
        for rest in [(never,), ()]:
            environ, _ = posting(b"x" * self.SIZE)
            with pytest.raises(LookupError) as caught:
                self.serve(environ, self.all_of_it, fails, *rest)

            assert caught.traceback  # which keeps whatever was at hand
            assert self.open_files() == before

    def test_when_the_body_raises(self, environ):
        class Body(SpyBody):
            def __iter__(self):
                yield b"one"
                raise LookupError("on purpose")

        with pytest.raises(LookupError):
            self.serve(environ, self.all_of_it, returning(200, Body()), never)

    def test_when_the_limit_is_passed(self, environ):
        cascade = Cascade([self.all_of_it, never], limit=self.SIZE - 1)

        assert exchange(cascade, environ=environ, validate=False).code == 413

    def test_once_it_is_chosen_nothing_more_is_recorded(self, environ):
        before = self.open_files()

        def writes(environ, start_response):
            start_response("200 OK", PLAIN)(b"x")
            environ["wsgi.input"].read()
            assert self.open_files() == before
            return []

        self.serve(environ, writes, never)


class TestEnviron:
    def test_the_caller_keeps_its_own(self):
        environ, _ = posting(b"body")
        before = dict(environ)

        def spoils(environ, start_response):
            environ.clear()
            start_response("404 Not Found", PLAIN)
            return []

        Cascade([spoils, spoils, spoils])(environ, Server().start_response)

        assert environ == before

    @pytest.mark.parametrize("share", [True, False])
    def test_back_hands_over_what_the_chosen_one_set(self, share):
        def logs_in(name, status):
            def application(environ, start_response):
                environ["REMOTE_USER"] = name
                environ[f"by {name}"] = True
                return answering(status)(environ, start_response)

            return application

        for rest in [(), (never,)]:
            environ = make_environ()
            cascade = Cascade(
                [logs_in("alice", 404), logs_in("bob", 200), *rest],
                back=("REMOTE_USER",),
                share=share,
            )
            exchange(cascade, environ=environ)

            assert environ["REMOTE_USER"] == "bob"
            assert "by alice" not in environ
            assert ("by bob" in environ) is share

    def test_mounted_is_that_of_the_chosen_one(self):
        """Not of one that was passed over."""
        first = Mount(None, {"/a": passing})
        for applications in [[first, Mount(None, {"/a/b": hello})], [first, hello]]:
            environ = make_environ("/a/b")
            exchange(Cascade(applications), environ=environ)

            assert environ.get(MOUNTED) == ("/a/b" if applications[1] is not hello else None)

    def test_share_gives_everybody_the_caller_s_own_as_it_was(self):
        environ, given = posting(b"body")

        def spoils(child, start_response):
            assert child is environ
            child["wsgi.input"].read()
            child["X"] = "1"
            del child["PATH_INFO"]
            return passing(child, start_response)

        def last(child, start_response):
            assert child is environ
            assert "X" not in child
            assert child["PATH_INFO"] == "/"
            return [child["wsgi.input"].read()]

        assert Cascade([spoils, spoils, last], share=True)(
            environ, Server().start_response
        ) == [b"body"]
        assert given.taken == 4

    def test_one_application_may_share_as_well(self):
        environ = make_environ()

        def looks(child, start_response):
            assert child is environ
            return hello(child, start_response)

        assert (
            exchange(Cascade([looks], share=True), environ=environ, validate=False).code == 200
        )


class TestMarker:
    marked = staticmethod(answering(404, b"no route", [("X-Cascade", "Pass")]))
    missing = staticmethod(answering(404, b"no such record"))

    def test_an_application_passes_with_the_marker(self):
        cascade = Cascade([self.marked, hello], marker="X-Cascade")

        assert exchange(cascade).code == 200

    def test_a_404_without_it_stands(self):
        """facts/mounting.md, 32: "no such route" and "no such record" are two things."""
        cascade = Cascade([self.missing, never], marker="X-Cascade")

        assert exchange(cascade).body == b"no such record"

    @pytest.mark.parametrize(
        "application",
        [
            answering(200, headers=[("X-Cascade", "pass")]),
            answering(404, headers=[("X-Cascade", "stop")]),
        ],
    )
    def test_both_the_status_and_the_word_are_needed(self, application):
        answer = exchange(Cascade([application, never], marker="x-cascade"))

        assert answer.header("X-Cascade") is None

    @pytest.mark.parametrize("share", [True, False])
    @pytest.mark.parametrize("lazy", [True, False])
    def test_it_is_not_sent(self, lazy, share):
        def last(environ, start_response):
            start_response("404 Not Found", [*PLAIN, ("x-cascade", "pass")])
            return iter([b"x"]) if lazy else [b"x"]

        for applications in ([last], [last, last]):
            environ = make_environ()
            cascade = Cascade(applications, marker="X-Cascade", share=share)
            for _ in range(2):  # an environ may be used again
                answer = exchange(cascade, environ=environ)

                assert answer.code == 404
                assert answer.headers == PLAIN

    def test_it_is_not_sent_with_a_late_status_either(self):
        def late(environ, start_response):
            start_response("200 OK", PLAIN)
            start_response("500 Oops", [*PLAIN, ("X-Cascade", "no")], (None, None, None))
            return [b"x"]

        for applications in ([late], [late, never]):
            cascade = Cascade(applications, marker="X-Cascade")
            answer = exchange(cascade, validate=False)

            assert (answer.status, answer.headers) == ("500 Oops", PLAIN)

    @pytest.mark.parametrize("share", [True, False])
    def test_a_cascade_inside_passes_it_on_to_one_around(self, share):
        inner = Cascade([self.marked, self.marked], marker="X-Cascade", share=share)
        outer = Cascade([Mount(inner, {}), inner, hello], marker="X-Cascade", share=share)

        assert exchange(outer).code == 200
        assert exchange(Cascade([inner], marker="X-Cascade")).header("X-Cascade") is None

    def test_another_header_is_not_touched(self):
        application = answering(404, headers=[("X-Cascade", "pass"), ("X-Other", "1")])

        answer = exchange(Cascade([application], marker="X-Other"))

        assert (answer.header("X-Cascade"), answer.header("X-Other")) == ("pass", None)


class TestConstruction:
    @pytest.mark.parametrize("applications", [hello, "shop:app", {"/a": hello}, None, {hello}])
    def test_what_is_no_list_is_refused(self, applications):
        says = r"must be a list, got .*; write Cascade\(\[first, second\]\)"
        with pytest.raises(TableTypeError, match=says):
            Cascade(applications)

        with pytest.raises(TableTypeError, match=says):
            Cascade([hello]).applications.replace(applications)

    def test_nothing_is_refused(self):
        with pytest.raises(TableError, match="must have an application, got none"):
            Cascade([])

    def test_a_child_that_is_no_application_is_refused(self):
        with pytest.raises(ApplicationTypeError, match=r"Cascade: application must .* got 42"):
            Cascade([hello, 42])
        with pytest.raises(ApplicationError, match=r"Cascade: .*no_such_module"):
            Cascade([hello, "no_such_module:app"])

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"on": 404}, r"on must be a set of status codes, got 404; write \{404, 405\}"),
            ({"on": ()}, "on must be a set"),
            ({"on": "404"}, "on must be a set"),
            ({"on": {"404"}}, "from 400 to 599, got '404'"),
            ({"on": {200}}, "from 400 to 599, got 200"),
            ({"on": {600}}, "from 400 to 599"),
            ({"on": {True}}, "from 400 to 599"),
            ({"limit": -1}, "limit must be a number of bytes, got -1"),
            ({"limit": None}, "limit must be"),
            ({"limit": True}, "limit must be"),
            ({"limit": 1e9}, "limit must be"),
            ({"marker": "X Cascade"}, "name of a header, got 'X Cascade'; write 'X-Cascade'"),
            ({"marker": ""}, "name of a header"),
            ({"marker": True}, "name of a header"),
            ({"back": "REMOTE_USER"}, "Cascade's back must"),
            ({"share": 1}, "Cascade's share must"),
        ],
    )
    def test_an_option_it_does_not_know_is_refused(self, options, says):
        with pytest.raises(OptionError, match=says):
            Cascade([hello], **options)

    def test_children_take_every_form_that_application_takes(self):
        cascade = Cascade((passing, "freedom_middleware.testing:hello"))

        assert exchange(cascade).code == 200
        assert [type(child) for child in cascade.applications] == [Application] * 2


class TestChange:
    def test_applications_come_and_go(self):
        cascade = Cascade([passing])
        assert exchange(cascade).code == 404

        cascade.applications.append(hello)
        assert exchange(cascade).code == 200
        cascade.applications[0] = answering(403)
        assert exchange(cascade).code == 403
        del cascade.applications[0]
        assert exchange(cascade).code == 200
        cascade.applications.replace([passing])
        assert exchange(cascade).code == 404

    def test_the_only_one_stays(self):
        cascade = Cascade([hello])

        with pytest.raises(TableError, match="must have an application"):
            cascade.applications.clear()

        assert len(cascade.applications) == 1

    def test_what_is_refused_changes_nothing(self):
        """MutableSequence's own clear() and extend() change one after the other."""
        cascade = Cascade([passing, hello])
        rows = list(cascade.applications)

        with pytest.raises(TableError, match="must have an application"):
            cascade.applications.clear()
        with pytest.raises(ApplicationTypeError, match="got None"):
            cascade.applications += [never, None]

        assert list(cascade.applications) == rows

    def test_many_come_and_change_places(self):
        cascade = Cascade([hello])

        cascade.applications += [answering(403), answering(410)]
        cascade.applications.reverse()

        assert exchange(cascade).code == 410

    def test_a_request_goes_on_with_those_it_began_with(self):
        def changes(environ, start_response):
            cascade.applications.replace([never])
            return passing(environ, start_response)

        cascade = Cascade([changes, passing, hello])

        assert exchange(cascade).code == 200


class TestTree:
    def test_it_names_its_children_in_order(self):
        cascade = Cascade([Mount(None, {"/a": hello}), hello])

        assert [label for label, _ in children_of(cascade)] == ["1", "2"]
        assert draw(cascade).splitlines()[-1] == "└─ 2  hello"
        assert cascade.wsgi_made_at.startswith(f"{__file__}:")

    def test_it_says_who_is_asked_and_when(self):
        environ, given = posting(b"body")
        before = dict(environ)

        choices = Cascade([never, never, never], on={410, 404, 405}).wsgi_choices(environ)

        assert [(choice.label, choice.reason) for choice in choices] == [
            ("1", "tried 1st: passes on if it answers 404, 405 or 410"),
            ("2", "tried 2nd: passes on if it answers 404, 405 or 410"),
            ("3", "last: its answer stands"),
        ]
        assert (environ, given.taken) == (before, 0)
        assert all(choice.environ == environ for choice in choices)
        assert all(choice.environ is not environ for choice in choices)

    def test_it_says_what_the_marker_is(self):
        choices = Cascade([never] * 12, on={404}, marker="X-Cascade").wsgi_choices({})

        assert choices[0].reason == (
            "tried 1st: passes on if it answers 404 with x-cascade: pass"
        )
        assert [choice.reason.split()[1] for choice in choices[2:4]] == ["3rd:", "4th:"]
        assert choices[10].reason.startswith("tried 11th")
