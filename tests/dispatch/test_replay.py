import io
import os
import resource
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from freedom_middleware.dispatch import replay
from freedom_middleware.dispatch.replay import UNKNOWN, Recording, length_of

from ..interpreters import IS_PYPY

LIMIT = 1000


class Source:
    """The server's input: nothing lies behind its end, and it is asked there at most once."""

    def __init__(self, body, length):
        self._file = io.BytesIO(body)
        self._length = length
        self._ended = False
        self.taken = b""

    def read(self, size):
        assert size > 0
        return self._given(self._file.read(size), size)

    def readline(self, size=-1):
        assert size != 0
        return self._given(self._file.readline(size), size)

    def _given(self, data, size):
        assert not self._ended, "some servers block when they are asked behind the end"
        if self._length != UNKNOWN:
            assert 0 < size <= self._length - len(self.taken), "asked beyond Content-Length"
        self._ended = not data
        self.taken += data
        return data


def recording(body, length=None, limit=LIMIT):
    source = Source(body, len(body) if length is None else length)
    made = Recording(source, source._length, limit)
    return source, made


def reader(made):
    environ = {}
    made.rewind(environ)
    return environ["wsgi.input"]


def open_files():
    return len(os.listdir("/proc/self/fd"))


sizes = st.one_of(st.none(), st.integers(-1, 12))
bodies = st.lists(
    st.sampled_from([b"a", b"bc", b"\n", b"", b"def\n", b"\r\n"]), max_size=12
).map(b"".join)


class File(io.BytesIO):
    """A file as CPython has it: PyPy's reads a line too many where the hint is met exactly."""

    if IS_PYPY:

        def readlines(self, hint=-1):
            lines, size = [], 0
            for line in self:
                lines.append(line)
                size += len(line)
                if 0 < (hint or 0) <= size:
                    break
            return lines


class Readers(RuleBasedStateMachine):
    """Each application reads what a file would give it, in whatever order it asks."""

    @initialize(
        body=bodies, missing=st.integers(0, 3), known=st.booleans(), memory=st.integers(1, 20)
    )
    def begin(self, body, missing, known, memory):
        self.before, replay.MEMORY_BYTES = replay.MEMORY_BYTES, memory
        length = len(body) + missing if known else UNKNOWN  # the client may leave early
        if length == 0:
            length = UNKNOWN
        self.body = body
        self.source, self.recording = recording(body, length)
        self.last = False
        self.next()

    def next(self):
        self.model = File(self.body)
        self.input = reader(self.recording)

    @precondition(lambda self: not self.last)
    @rule()
    def another_application(self):
        self.next()

    @precondition(lambda self: not self.last)
    @rule()
    def it_is_chosen(self):
        self.last = True
        self.recording.stop()

    @precondition(lambda self: not self.last)
    @rule()
    def the_last_application(self):
        self.last = True
        self.model = File(self.body)
        environ = {"wsgi.input": self.source}
        self.recording.rewind_last(environ)
        if environ["wsgi.input"] is not self.source:
            self.input = environ["wsgi.input"]
        else:
            assert self.source.taken == b""
            self.input = File(self.body)

    @rule(size=sizes)
    def read(self, size):
        assert self.input.read(size) == self.model.read(size)

    @rule(size=sizes)
    def readline(self, size):
        assert self.input.readline(size) == self.model.readline(size)

    @rule(hint=sizes)
    def readlines(self, hint):
        assert self.input.readlines(hint) == self.model.readlines(hint)

    @rule(lines=st.integers(0, 3))
    def iterate(self, lines):
        ours, theirs = iter(self.input), iter(self.model)
        for _ in range(lines):
            assert next(ours, None) == next(theirs, None)

    @rule()
    def read_all(self):
        assert self.input.read() == self.model.read()

    def teardown(self):
        if hasattr(self, "recording"):
            assert self.body.startswith(self.source.taken)
            self.recording.close()
            replay.MEMORY_BYTES = self.before


TestReaders = Readers.TestCase
TestReaders.settings = settings(max_examples=150, stateful_step_count=15, deadline=None)


class TestLengthOf:
    @pytest.mark.parametrize(
        ("environ", "length"),
        [
            ({}, 0),
            ({"CONTENT_LENGTH": ""}, 0),
            ({"CONTENT_LENGTH": "0"}, 0),
            ({"CONTENT_LENGTH": "7"}, 7),
            ({"CONTENT_LENGTH": "abc"}, 0),
            ({"CONTENT_LENGTH": "-7"}, 0),
            ({"CONTENT_LENGTH": "9" * 5000}, 0),
            ({"CONTENT_LENGTH": "7", "wsgi.input_terminated": True}, 7),
            ({"CONTENT_LENGTH": "abc", "wsgi.input_terminated": True}, UNKNOWN),
            ({"wsgi.input_terminated": True}, UNKNOWN),
            ({"wsgi.input_terminated": False}, 0),
            ({"HTTP_TRANSFER_ENCODING": "Chunked"}, UNKNOWN),
            ({"HTTP_TRANSFER_ENCODING": "gzip, chunked"}, UNKNOWN),
            ({"HTTP_TRANSFER_ENCODING": "gzip"}, 0),
        ],
    )
    def test_is_what_the_request_says(self, environ, length):
        assert length_of(environ) == length


class TestRecording:
    def test_takes_nothing_before_somebody_reads(self):
        source, made = recording(b"body")
        reader(made)

        assert source.taken == b""

    def test_takes_no_more_than_was_asked_for(self):
        source, made = recording(b"body")
        reader(made).read(2)

        assert source.taken == b"bo"

    def test_a_long_line_is_taken_no_further_than_content_length(self):
        source, made = recording(b"no line end", 4)

        assert reader(made).readline() == b"no l"
        assert source.taken == b"no l"

    def test_a_short_read_is_passed_on_as_it_is(self):
        """As the application would see it: some servers give what has arrived."""

        class Slow(Source):
            def read(self, size):
                return super().read(min(size, 2))

        made = Recording(Slow(b"abcdef", UNKNOWN), UNKNOWN, LIMIT)

        assert reader(made).read(5) == b"ab"
        assert reader(made).read() == b"abcdef"


class TestFile:
    """What is longer than the memory threshold is in a file, which is closed in any case."""

    @pytest.fixture(autouse=True)
    def files(self, monkeypatch):
        """How many files are open that were not before."""
        monkeypatch.setattr(replay, "MEMORY_BYTES", 10)
        tempfile.gettempdir()  # it looks for one, once
        before = open_files()
        return lambda: open_files() - before

    def test_there_is_one_file(self, files):
        _, made = recording(b"x" * 100)

        reader(made).read(10)
        assert files() == 0
        reader(made).read()
        assert files() == 1
        made.close()
        assert files() == 0

    def test_when_it_is_stopped_at_the_end(self, files):
        _, made = recording(b"x" * 100)
        reader(made).read(50)
        assert files() == 1

        made.stop()

        assert made.is_done()
        assert files() == 0

    @pytest.mark.parametrize("how", ["read", "readline"])
    def test_when_what_it_holds_was_read_again(self, files, how):
        _, made = recording(b"x" * 99 + b"\n" + b"y" * 20)
        reader(made).read(100)
        again = reader(made)

        made.stop()

        assert not made.is_done()
        getattr(again, how)(99)
        assert files() == 1
        getattr(again, how)(1)
        assert files() == 0
        assert again.read() == b"y" * 20
        assert files() == 0

    def test_what_the_last_reads_is_not_recorded(self, files):
        source, made = recording(b"x" * 100)
        reader(made).read(5)
        environ = {"wsgi.input": source}
        made.rewind_last(environ)

        assert environ["wsgi.input"].read() == b"x" * 100
        assert files() == 0

    @pytest.mark.refcounts
    def test_when_it_is_dropped(self, files):
        _, made = recording(b"x" * 100)
        reader(made).read()
        assert files() == 1

        del made
        assert files() == 0

    def test_when_it_is_closed_twice(self, files):
        _, made = recording(b"x" * 100)
        reader(made).read()
        made.close()
        made.close()

        assert files() == 0

    def test_when_the_limit_is_passed(self, files):
        _, made = recording(b"x" * 2 * LIMIT)
        first = reader(made)

        assert first.read(LIMIT) == b"x" * LIMIT
        assert made.can_rewind()
        assert files() == 1
        assert first.read(1) == b"x"
        assert not made.can_rewind()
        assert files() == 0
        assert first.read() == b"x" * (LIMIT - 1)
        assert files() == 0

    @pytest.mark.parametrize("size", [1, 1000, 10_000])
    @pytest.mark.refcounts
    def test_when_the_disk_is_full(self, files, size):
        """The application reads on; only whoever wants it again is told."""
        body = b"x" * 100_000
        _, made = recording(body, limit=len(body))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
        try:
            first = reader(made)
            assert b"".join(iter(lambda: first.read(size), b"")) == body
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        with pytest.raises(OSError, match="too large"):
            made.can_rewind()
        assert files() == 0

    def test_what_is_read_too_late_is_an_error_and_not_a_gap(self):
        _, made = recording(b"x" * 100)
        reader(made).read(50)
        again = reader(made)
        made.stop()
        made.close()

        with pytest.raises(ValueError, match="before the response is closed"):
            again.read(1)


class TestReplay:
    def test_only_the_application_whose_turn_it_is_may_read(self):
        _, made = recording(b"body")
        first = reader(made)
        second = reader(made)

        for read in (first.read, first.readline, first.readlines, lambda: list(first)):
            with pytest.raises(ValueError, match="whose turn it is"):
                read()
        assert second.read() == b"body"

    def test_nobody_reads_through_it_once_the_last_has_the_server_s_own(self):
        source, made = recording(b"body")
        first = reader(made)
        environ = {"wsgi.input": source}
        made.rewind_last(environ)

        assert environ["wsgi.input"] is source
        with pytest.raises(ValueError, match="whose turn"):
            first.read()

    def test_the_last_gets_no_input_that_has_ended(self):
        """Nothing was recorded, but asking again might block."""
        source, made = recording(b"", 5)
        reader(made).read()
        environ = {"wsgi.input": source}
        made.rewind_last(environ)

        assert environ["wsgi.input"].read() == b""

    def test_to_close_it_ends_it_alone(self):
        _, made = recording(b"body")
        first = reader(made)
        first.read(2)
        first.close()

        with pytest.raises(ValueError, match="before it is closed"):
            first.read()
        assert reader(made).read() == b"body"

    def test_webob_is_not_told_that_it_can_be_sought_in(self):
        environ = {"webob.is_body_seekable": True}
        recording(b"body")[1].rewind(environ)

        assert "webob.is_body_seekable" not in environ

    @given(body=st.binary(max_size=50), sizes=st.lists(st.integers(1, 9), max_size=9))
    def test_reading_piece_by_piece_gives_the_whole(self, body, sizes):
        _, made = recording(body, UNKNOWN)
        first = reader(made)
        read = b"".join(map(first.read, sizes))

        assert body.startswith(read)
        assert reader(made).read() == body
        made.close()
