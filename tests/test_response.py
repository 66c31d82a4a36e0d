import contextlib
import gc
import io
import logging
import sys
import weakref
from wsgiref.util import FileWrapper

import pytest

from freedom_middleware.response import HeldBody, close_with, emptied, hold
from freedom_middleware.testing import SpyBody, make_environ

PLAIN = [("Content-Type", "text/plain")]


class Server:
    """Remember in what order a server is told what."""

    def __init__(self):
        self.told = []

    def start_response(self, status, headers, exc_info=None):
        if exc_info is not None and "headers sent" in self.told:
            raise exc_info[1].with_traceback(exc_info[2])
        self.told.append((status, exc_info and exc_info[1]))
        return self.write

    def write(self, data):
        self.told += ["headers sent", data]

    @property
    def statuses(self):
        return [entry[0] for entry in self.told if isinstance(entry, tuple)]


class Refuse:
    """Refuse what is a 404, and remember what was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, status, headers):
        self.asked.append(status)
        return status.startswith("404")


class Recording:
    stops = 0

    def stop(self):
        self.stops += 1


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def no_collector():
    gc.disable()
    yield
    gc.enable()


def nobody(start_response):
    raise AssertionError("nobody else is to be asked")


def held(application, server, refuse=None, instead=nobody, **more):
    environ = make_environ(**more)
    start, others = server.start_response, lambda request: instead
    return hold(application, environ, start, refuse or Refuse(), None, others)


class TestStatus:
    def test_of_a_generator_is_known_at_its_first_chunk(self, server):
        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            yield b"one"
            yield b"two"

        body = held(application, server)

        assert server.told == [("200 OK", None)]
        assert list(body) == [b"one", b"two"]

    def test_is_not_known_at_an_empty_chunk(self, server):
        def application(environ, start_response):
            yield b""
            start_response("200 OK", PLAIN)
            yield b""
            yield b"one"
            yield b""

        assert list(held(application, server)) == [b"one", b""]
        assert server.statuses == ["200 OK"]

    def test_is_known_at_the_end(self, server):
        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            yield from ()

        assert list(held(application, server)) == []
        assert server.statuses == ["200 OK"]

    def test_is_known_at_the_first_write(self, server):
        refuse = Refuse()

        def application(environ, start_response):
            write = start_response("200 OK", PLAIN)
            assert refuse.asked == []
            write(b"")
            assert refuse.asked == ["200 OK"]
            write(b"written")
            return [b"returned"]

        body = held(application, server, refuse)

        assert server.told[2::2] == [b"", b"written"]
        assert body == [b"returned"]

    def test_is_known_at_a_write_in_the_middle_of_a_generator(self, server):
        def application(environ, start_response):
            write = start_response("200 OK", PLAIN)
            yield b""
            write(b"written")
            yield b""
            yield b"two"

        body = held(application, server)

        assert server.told[-1] == b"written"
        assert list(body) == [b"", b"two"]

    def test_may_be_replaced_until_then(self, server):
        def application(environ, start_response):
            start_response("404 Not Found", PLAIN)
            try:
                raise LookupError("on purpose")
            except LookupError as error:
                start_response("500 Oops", PLAIN, sys.exc_info())
                self.error = error
            return [b"x"]

        assert held(application, server) == [b"x"]
        assert server.told == [("500 Oops", self.error)]

    def test_may_be_replaced_by_a_generator_that_has_begun(self, server):
        """facts/guard.md, F3: the draft says 404, the answer is 200."""

        def application(environ, start_response):
            start_response("404 Not Found", PLAIN)

            def body():
                start_response("200 OK", PLAIN, (None, None, None))
                yield b"ok"

            return body()

        assert list(held(application, server)) == [b"ok"]
        assert server.statuses == ["200 OK"]

    @pytest.mark.parametrize("lazy", [False, True])
    def test_that_never_comes_is_for_the_server_to_complain_of(self, server, lazy):
        def application(environ, start_response):
            return iter([b"x"]) if lazy else [b"x"]

        assert list(held(application, server)) == [b"x"]
        assert server.told == []

    def test_that_comes_after_the_first_chunk_is_the_server_s_affair_too(self, server):
        def application(environ, start_response):
            yield b"x"
            start_response("200 OK", PLAIN)

        body = held(application, server)
        assert server.told == []

        list(body)
        assert server.statuses == ["200 OK"]


class TestTwice:
    def test_without_exc_info_is_an_error_while_held(self, server):
        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            start_response("201 Created", PLAIN)

        with pytest.raises(AssertionError, match="got '201 Created' after '200 OK'"):
            held(application, server)

        assert server.told == []

    def test_without_exc_info_is_an_error_when_refused(self, server):
        def application(environ, start_response):
            start_response("404 Not Found", PLAIN)(b"x")
            start_response("200 OK", PLAIN)

        with pytest.raises(AssertionError, match="once"):
            held(application, server)

    def test_is_the_server_s_affair_once_it_was_told(self, server):
        """It has sent the headers: PEP 3333 has it raise what exc_info holds."""

        def application(environ, start_response):
            start_response("200 OK", PLAIN)(b"written")
            try:
                raise LookupError("on purpose")
            except LookupError:
                start_response("500 Oops", PLAIN, sys.exc_info())

        with pytest.raises(LookupError, match="on purpose"):
            held(application, server)

        assert server.statuses == ["200 OK"]

    def test_a_server_that_has_sent_nothing_takes_the_new_status(self, server):
        def application(environ, start_response):
            start_response("200 OK", PLAIN)

            class Body(SpyBody):
                def close(self):
                    start_response("500 Oops", PLAIN, (None, None, None))(b"late")

            return Body()

        held(application, server).close()

        assert server.statuses == ["200 OK", "500 Oops"]
        assert server.told[-1] == b"late"

    def test_raises_when_refused_at_a_write(self, server):
        """For the application the headers are sent."""

        def application(environ, start_response):
            start_response("404 Not Found", PLAIN)(b"discarded")
            try:
                raise LookupError("on purpose")
            except LookupError:
                start_response("500 Oops", PLAIN, sys.exc_info())

        with pytest.raises(LookupError, match="on purpose"):
            held(application, server)

        assert server.told == []


class TestRefused:
    def test_is_closed_and_not_read_on(self, server):
        class Body(SpyBody):
            def __iter__(self):
                while True:  # for ever: whoever drains it hangs
                    yield b"x"

        body = Body()

        def application(environ, start_response):
            start_response("404 Not Found", PLAIN)
            return body

        assert held(application, server) is None
        assert server.told == []
        assert body.closes == 1

    def test_what_it_writes_is_discarded(self, server):
        def application(environ, start_response):
            write = start_response("404 Not Found", PLAIN)
            write(b"one")
            write(b"two")
            return [b"three"]

        assert held(application, server) is None
        assert server.told == []

    def test_a_close_that_raises_is_logged(self, server, caplog):
        body = SpyBody([b"x"], error=LookupError("on purpose"))

        def application(environ, start_response):
            start_response("404 Not Found", PLAIN)
            return body

        with caplog.at_level(logging.ERROR, "freedom_middleware.response"):
            assert held(application, server, path="/gone") is None

        [record] = caplog.records
        assert "GET '/gone'" in record.getMessage()
        assert record.exc_info[1].args == ("on purpose",)

    def test_a_worker_that_is_told_to_stop_stops(self, server):
        class Body(SpyBody):
            def close(self):
                raise SystemExit

        def application(environ, start_response):
            start_response("404 Not Found", PLAIN)
            return Body([b"x"])

        with pytest.raises(SystemExit):
            held(application, server)


class TestBody:
    @pytest.mark.parametrize("body", [[b"x"], (b"x",), []])
    def test_a_list_or_a_tuple_is_returned_itself(self, server, body):
        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            return body

        assert held(application, server) is body

    def test_a_list_that_can_be_closed_is_not(self, server):
        class Closable(list):
            def __iter__(self):
                start("200 OK", PLAIN, (None, None, None))
                return super().__iter__()

        def application(environ, start_response):
            nonlocal start
            start = start_response
            start_response("404 Not Found", PLAIN)
            return Closable([b"x"])

        start = None
        assert list(held(application, server)) == [b"x"]
        assert server.statuses == ["200 OK"]

    @pytest.mark.parametrize(
        "wrapper", [FileWrapper, lambda file: file], ids=["class", "uWSGI"]
    )
    def test_a_file_of_the_server_s_wrapper_is_returned_itself(self, server, wrapper, tmp_path):
        (tmp_path / "file").write_bytes(b"x")
        made = []

        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            made.append(environ["wsgi.file_wrapper"](open(tmp_path / "file", "rb")))  # noqa: SIM115
            environ["wsgi.file_wrapper"] = None
            return made[0]

        body = held(application, server, **{"wsgi.file_wrapper": wrapper})

        assert body is made[0]
        body.close()

    def test_a_file_wrapper_of_the_application_s_own_is_read(self, server):
        """It may run any code, and call start_response."""

        class Wrapper(FileWrapper):
            def __next__(self):
                start("200 OK", PLAIN, (None, None, None))
                return super().__next__()

        def application(environ, start_response):
            nonlocal start
            start = start_response
            environ["wsgi.file_wrapper"] = Wrapper
            start_response("404 Not Found", PLAIN)
            return Wrapper(io.BytesIO(b"x"))

        start = None
        body = held(application, server)

        assert server.statuses == ["200 OK"]
        body.close()

    @pytest.mark.parametrize("read", [0, 1, 2])
    def test_one_that_was_read_closes_the_application_s_once(self, server, read):
        body = SpyBody([b"one", b"two"])

        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            return body

        returned = held(application, server)
        for _ in range(read):
            next(returned)
        returned.close()
        returned.close()

        assert type(returned) is HeldBody
        assert body.closes == 1

    def test_one_without_close_gets_one_that_does_nothing(self, server):
        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            return map(bytes, [b"x"])

        body = held(application, server)
        body.close()

        assert list(body) == [b"x"]

    def test_a_chunk_is_passed_as_it_is(self, server):
        chunk = bytearray(b"x")

        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            yield chunk

        assert next(held(application, server)) is chunk

    def test_it_cannot_be_copied(self):
        with pytest.raises(TypeError, match="cannot be copied"):
            emptied([]).__reduce_ex__(4)


class TestErrors:
    def test_from_the_first_chunk_closes_the_body(self, server):
        class Body(SpyBody):
            def __iter__(self):
                raise LookupError("on purpose")

        body = Body()

        def application(environ, start_response):
            start_response("404 Not Found", PLAIN)
            return body

        with pytest.raises(LookupError, match="on purpose"):
            held(application, server)

        assert body.closes == 1
        assert server.told == []

    @pytest.mark.parametrize("kind", [SpyBody, lambda chunks: SpyBody(chunks).__iter__()])
    def test_from_the_server_close_the_body(self, kind):
        """A server may refuse a header."""
        body = SpyBody([b"x"])

        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            return body

        def start_response(status, headers):
            raise ValueError("bad header")

        with pytest.raises(ValueError, match="bad header"):
            hold(
                application,
                make_environ(),
                start_response,
                Refuse(),
                None,
                lambda request: nobody,
            )

        assert body.closes == 1


class TestDraft:
    """A response that has been started, and may still be taken back by ``exc_info``."""

    @staticmethod
    def changing(*statuses, chunks=(b"x",)):
        """Return an application that starts with one status after another."""

        class Changing(SpyBody):
            def __iter__(self):
                for number, status in enumerate(statuses[1:], 2):
                    try:
                        raise LookupError(f"reason {number}")
                    except LookupError:
                        self.write = self.start_response(status, PLAIN, sys.exc_info())
                yield from super().__iter__()

        def application(environ, start_response):
            start_response(statuses[0], PLAIN)
            application.body = Changing(list(chunks))
            application.body.start_response = start_response
            return application.body

        return application

    @staticmethod
    def instead(body, status="200 Instead"):
        def ask(start_response):
            start_response(status, PLAIN)
            return body

        return ask

    def test_is_passed_on_at_once_and_the_body_unread(self, server):
        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            return map(bytes.upper, read)

        read = iter([b"one", b"two"])
        body = held(application, server)

        assert server.statuses == ["200 OK"]
        assert next(read) == b"one"
        assert list(body) == [b"TWO"]

    def test_an_empty_chunk_is_passed_on_as_it_comes(self, server):
        """A slow application says so that it has nothing yet: PEP 3333, "Block Boundaries"."""
        read = iter([b"", b"", b"one", b""])

        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            return map(bytes, read)

        body = held(application, server)

        assert next(body) == b""
        assert list(read) == [b"", b"one", b""]

    @pytest.mark.parametrize("chunks", [[], [b""], [b"x"], [b"", b"x", b"", b"y"]])
    def test_that_stands_changes_nothing(self, server, chunks):
        body = held(self.changing("200 OK", chunks=chunks), server)

        assert list(body) == chunks
        assert server.told == [("200 OK", None)]

    @pytest.mark.parametrize("chunks", [[], [b""], [b"x"], [b"", b"x"]])
    def test_that_is_taken_back_for_another_that_is_let_pass(self, server, chunks):
        body = held(self.changing("200 OK", "404 Not", "500 No", chunks=chunks), server)

        assert list(body) == chunks
        assert server.statuses == ["200 OK", "500 No"]
        assert str(server.told[1][1]) == "reason 3"

    @pytest.mark.parametrize("chunks", [[], [b""], [b"x"], [b"", b"x"]])
    @pytest.mark.parametrize("others", [[], [b""], [b"other"], [b"", b"other", b"", b"more"]])
    def test_that_is_taken_back_for_one_that_is_refused(self, server, chunks, others):
        application, other = self.changing("200 OK", "404 Not", chunks=chunks), SpyBody(others)

        body = held(application, server, instead=self.instead(other))

        assert b"".join(body) == b"".join(others)
        assert server.statuses == ["200 OK", "200 Instead"]
        assert str(server.told[1][1]) == "reason 2"
        assert (application.body.closes, other.closes) == (1, 0)
        body.close()
        body.close()
        assert (application.body.closes, other.closes) == (1, 1)

    @pytest.mark.parametrize("statuses", [["200 OK"], ["200 OK", "404 Not"]])
    @pytest.mark.parametrize("chunks", [[], [b""]])
    def test_an_end_is_not_asked_for_twice(self, server, chunks, statuses):
        """A body that waits for something would wait once more, perhaps for ever."""
        ends = []

        class Ending:
            def __init__(self, before=lambda: None):
                self.chunks, self.before = iter(chunks), before

            def __iter__(self):
                self.before()
                return self

            def __next__(self):
                for chunk in self.chunks:
                    return chunk
                ends.append(self)
                raise StopIteration

        def application(environ, start_response):
            start_response(statuses[0], PLAIN)

            def late():
                for status in statuses[1:]:
                    start_response(status, PLAIN, (None, None, None))

            return Ending(late)

        body = held(application, server, instead=self.instead(Ending()))

        assert list(body) == chunks * len(statuses)
        assert len(ends) == len(statuses)

    def test_is_refused_at_a_write_as_well(self, server):
        application = self.changing("200 OK", "404 Not", chunks=[b"discarded", b"not read"])

        def writes(environ, start_response):
            return map(write, application(environ, start_response))

        def write(chunk):
            application.body.write(chunk)
            return b""

        body = held(writes, server, instead=self.instead([b"other"]))

        assert list(body) == [b"other"]
        assert server.statuses == ["200 OK", "200 Instead"]
        assert len(server.told) == 2

    def test_who_else_there_is_is_asked_for_when_it_is_passed_on(self, server):
        seen = []

        def others(request):
            seen.append((request, list(server.statuses)))
            return self.instead([])

        application, start = self.changing("200 OK", "404 Not"), server.start_response
        body = hold(application, make_environ(), start, Refuse(), None, others, "request")

        assert seen == [("request", ["200 OK"])]
        assert list(body) == []
        assert len(seen) == 1

    def test_the_reason_is_given_once(self, server):
        """What the other does then is the server's affair, as ever."""

        def ask(start_response):
            start_response("200 One", PLAIN)
            start_response("200 Two", PLAIN)
            return []

        list(held(self.changing("200 OK", "404 Not"), server, instead=ask))

        assert [entry[1] is None for entry in server.told] == [True, False, True]

    def test_the_other_may_have_a_reason_of_its_own(self, server):
        def ask(start_response):
            try:
                raise LookupError("its own")
            except LookupError:
                start_response("500 One", PLAIN, sys.exc_info())
            return []

        list(held(self.changing("200 OK", "404 Not"), server, instead=ask))

        assert str(server.told[1][1]) == "its own"

    def test_the_other_must_start_a_response(self, server):
        """Else its chunks would go out under the status and headers that were taken back."""
        other = SpyBody([b"", b"x"])

        body = held(
            self.changing("200 OK", "404 Not"),
            server,
            instead=lambda start_response: other,
        )

        assert next(body) == b""
        with pytest.raises(AssertionError, match="must be called before the first chunk"):
            next(body)
        body.close()
        assert other.closes == 1

    def test_the_other_may_raise(self, server):
        def ask(start_response):
            raise LookupError("on purpose")

        application = self.changing("200 OK", "404 Not")
        body = held(application, server, instead=ask)

        with pytest.raises(LookupError, match="on purpose"):
            next(body)
        body.close()
        assert application.body.closes == 1

    def test_closed_by_another_thread_while_the_other_is_asked(self, server):
        other = SpyBody([b"x"])

        def ask(start_response):
            body.close()  # as a server does that sees its client go
            return self.instead(other)(start_response)

        application = self.changing("200 OK", "404 Not")
        body = held(application, server, instead=ask)

        assert list(body) == []
        assert (application.body.closes, other.closes) == (1, 1)

    def test_nobody_else_is_asked_once_it_is_closed(self, server):
        application = self.changing("200 OK", "404 Not")
        body = held(application, server)

        body.close()

        assert list(body) == []
        assert application.body.closes == 1

    @pytest.mark.refcounts
    @pytest.mark.usefixtures("no_collector")
    @pytest.mark.parametrize("late", ["404 Not", "500 No"])
    @pytest.mark.parametrize(
        "when", ["raised again", "raised by iter()", "not read on", "at close()"]
    )
    def test_its_reason_is_not_kept(self, server, when, late):
        """A traceback leads to the application: else all waits for the collector."""

        class Late(SpyBody):
            def start(self):
                try:
                    raise LookupError("on purpose")
                except LookupError:
                    self.start_response(late, PLAIN, sys.exc_info())
                    if when.startswith("raised"):
                        raise

            def __iter__(self):
                if when == "raised by iter()":
                    self.start()
                return self.chunks_of_its_own()

            def chunks_of_its_own(self):
                if when != "at close()":
                    self.start()
                yield b""

            def close(self):
                if when == "at close()":
                    self.start()

        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            body = Late()
            body.start_response = start_response
            made.append(weakref.ref(body))
            return body

        made = []
        body = held(application, server)
        with contextlib.suppress(LookupError):
            if when != "at close()":
                next(body)
        if when == "at close()":
            body.close()
        del body

        assert made[0]() is None

    @pytest.mark.refcounts
    @pytest.mark.usefixtures("no_collector")
    def test_its_reason_is_not_kept_by_the_frame_that_asks_the_other(self, server):
        def ask(start_response):
            raise LookupError("its own")

        class Late(SpyBody):
            def __iter__(self):
                return self

            def __next__(self):  # its frame knows the one that reads it
                try:
                    raise LookupError("on purpose")
                except LookupError:
                    self.start_response("404 Not", PLAIN, sys.exc_info())
                raise StopIteration

        def application(environ, start_response):
            start_response("200 OK", PLAIN)
            body = Late()
            body.start_response = start_response
            made.append(weakref.ref(body))
            return body

        made = []
        body = held(application, server, instead=ask)
        with contextlib.suppress(LookupError):
            next(body)
        del body

        assert made[0]() is None

    @pytest.mark.parametrize("statuses", [["200 OK"], ["200 OK", "500 No"]])
    def test_a_recording_is_stopped_when_the_status_is_known(self, server, statuses):
        application, recording = self.changing(*statuses, chunks=[b"", b"x", b"y"]), Recording()
        start = server.start_response
        body = hold(
            application, make_environ(), start, Refuse(), recording, lambda request: nobody
        )

        assert (next(body), recording.stops) == (b"", 0)
        assert (next(body), recording.stops) == (b"x", 1)
        assert (next(body), recording.stops) == (b"y", 1)

    def test_the_server_may_refuse_it(self, server):
        def start_response(status, headers):
            raise ValueError("bad header")

        application = self.changing("200 OK")

        with pytest.raises(ValueError, match="bad header"):
            hold(
                application,
                make_environ(),
                start_response,
                Refuse(),
                None,
                lambda request: nobody,
            )
        assert application.body.closes == 1


class TestCloseWith:
    def test_the_other_is_closed_after_the_body(self):
        order = []

        class Noting:
            def __init__(self, name):
                self.name = name

            def __iter__(self):
                return iter([b"x"])

            def close(self):
                order.append(self.name)

        body = close_with(Noting("body"), Noting("other"))
        assert list(body) == [b"x"]
        body.close()
        body.close()

        assert order == ["body", "other"]

    def test_even_if_that_raises(self):
        body, other = SpyBody([b"x"], error=LookupError("on purpose")), SpyBody()

        with pytest.raises(LookupError, match="on purpose"):
            close_with(emptied(body), other).close()

        assert (body.closes, other.closes) == (1, 1)
