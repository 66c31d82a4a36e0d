"""Each rule can be broken: somebody who breaks it is found out, and who does not is not."""

import sys

import pytest

from .applications import APPLICATION, Subject, get, post
from .middleware import MIDDLEWARE, page
from .rule import NO, NOT_APPLICABLE, YES, judged

HEADERS = [("Content-Type", "text/plain")]


# -- applications that break a rule --


def returns_nothing(environ, start_response):
    start_response("200 OK", HEADERS[:])


def takes_names(*, environ, start_response):
    raise AssertionError("it cannot be called as PEP 3333 has it")


class Once:
    def __init__(self):
        self.called = False

    def __call__(self, environ, start_response):
        assert not self.called
        self.called = True
        return answers()(environ, start_response)


def by_position(start_response, status, headers):
    start_response(status, headers)


def answers(status="200 OK", headers=None, body=(b"one",), start=by_position):
    def application(environ, start_response):
        start(start_response, status, HEADERS[:] if headers is None else headers)
        return body

    return application


def by_name(start_response, status, headers):
    start_response(status=status, headers=headers)


def starts_late(environ, start_response):
    yield b"one"
    start_response("200 OK", HEADERS[:])


def reads_its_headers_later(environ, start_response):
    headers = HEADERS[:]
    start_response("200 OK", headers)
    yield dict(headers)["Content-Type"].encode()


class Wrong(list):
    def __len__(self):
        return 5


class WantsToBeRead(list):
    def __init__(self):
        self.left = 2

    def __iter__(self):
        for chunk in (b"one", b"two"):
            yield chunk
            self.left -= 1

    def close(self):
        assert not self.left


def wants_a_query(environ, start_response):
    return answers(body=[environ["QUERY_STRING"].encode()])(environ, start_response)


def seeks(environ, start_response):
    environ["wsgi.input"].seek(0)
    return answers()(environ, start_response)


def closes_its_input(environ, start_response):
    if hasattr(environ["wsgi.input"], "close"):
        environ["wsgi.input"].close()
    return answers()(environ, start_response)


def reads_too_much(environ, start_response):
    environ["wsgi.input"].read(1000)
    return answers()(environ, start_response)


BROKEN_APPLICATIONS = {
    "is_called": [lambda: returns_nothing, lambda: takes_names],
    "is_called_again": [Once],
    "starts_positionally": [lambda: answers(start=by_name)],
    "starts_in_time": [lambda: starts_late, lambda: lambda environ, start_response: []],
    "status_is_right": [
        lambda status=status: answers(status)
        for status in ("200", "OK", "200  OK", "200 OK\r\n", "200 ", 200, "200 \u20ac")
    ],
    "headers_are_a_list": [lambda: answers(headers=(("Content-Type", "text/plain"),))],
    "headers_are_right": [
        lambda: answers(headers=[("X-Name:", "value")]),
        lambda: answers(headers=[("X-Name", "a\nb")]),
        lambda: answers(headers=[("X-Name", b"value")]),
        lambda: answers(headers=[["X-Name", "value"]]),
        lambda: answers(headers=[("X-Name", "\u20ac")]),
    ],
    "sends_no_hop_by_hop": [lambda: answers(headers=[("Connection", "close")])],
    "gives_the_headers_away": [lambda: reads_its_headers_later],
    "blocks_are_bytes": [lambda: answers(body=["one"])],
    "length_is_right": [lambda: answers(body=Wrong([b"one"]))],
    "content_length_is_right": [lambda: answers(headers=[("Content-Length", "5")])],
    "can_be_left": [lambda: answers(body=WantsToBeRead())],
    "does_without_what_is_empty": [lambda: wants_a_query],
    "uses_streams_as_they_are": [lambda: seeks],
    "closes_no_stream": [lambda: closes_its_input],
    "reads_no_more": [lambda: reads_too_much],
}


def case(rule, makes):
    return [pytest.param(rule, make, id=f"{rule.number} {n}") for n, make in enumerate(makes)]


@pytest.mark.parametrize(
    ("rule", "make"),
    [
        one
        for rule in APPLICATION
        for one in case(rule, BROKEN_APPLICATIONS[rule.judge.__name__])
    ],
)
def test_an_application_that_breaks_a_rule(rule, make):
    subject = Subject(make, (get, post))
    if rule.judge.__name__ == "can_be_left":
        subject = Subject(lambda: lambda *request: answers(body=WantsToBeRead())(*request))

    mark, seen = judged(rule, subject)

    assert (mark, bool(seen)) == (NO, True)


@pytest.mark.parametrize("rule", APPLICATION, ids=lambda rule: rule.number)
def test_an_application_that_does_not(rule):
    assert judged(rule, Subject(lambda: page)) == (YES, "")


# -- layers that break a rule --


def changing(
    environ=lambda environ: environ, start=lambda start: start, body=lambda body: body
):
    """Return a layer that does the same as none, but for what it is given."""

    def layer(application):
        def outer(given, start_response):
            return body(application(environ(given), start(start_response)))

        return outer

    return layer


def by_keyword(application):
    return lambda environ, start_response: application(
        environ=environ, start_response=start_response
    )


class OtherDict(dict):
    pass


def reads_the_path_afterwards(application):
    def layer(environ, start_response):
        body = application(environ, start_response)
        assert environ["PATH_INFO"]
        return body

    return layer


class Less:
    """A stream that can do less than it has to."""

    def __init__(self, stream, *methods):
        for name in methods:
            setattr(self, name, getattr(stream, name))


class EndsBadly:
    def __init__(self, stream):
        self._stream = stream
        self.readline = stream.readline

    def read(self, size):
        data = self._stream.read(size)
        if not data:
            raise EOFError
        return data


def wants_its_status_at_once(application):
    def layer(environ, start_response):
        seen = []

        def start(*arguments):
            seen.append(arguments)
            return start_response(*arguments)

        body = application(environ, start)
        return body if seen else answers("500 Not Started")(environ, start_response)

    return layer


def of_two(start_response):
    return lambda status, headers: start_response(status, headers)


def without_exc_info(start_response):
    return lambda status, headers, exc_info=None: start_response(status, headers)


def the_first_counts(start_response):
    called = []

    def start(status, headers, exc_info=None):
        if not called:
            called.append(start_response(status, headers))
        return called[0]

    return start


def the_last_counts(application):
    def layer(environ, start_response):
        seen = []

        def start(*arguments):
            seen.append(arguments)
            return lambda data: None

        body = application(environ, start)
        if seen:
            start_response(*seen[-1])
        return body

    return layer


def shows_errors(trap):
    """Return a layer that shows errors; *trap* is what it does of the server's answer."""

    def layer(application):
        def outer(environ, start_response):
            body = application(environ, start_response)
            try:
                yield from body
            except Exception:  # noqa: BLE001
                try:
                    start_response("500 Shown", HEADERS[:], sys.exc_info())
                except Exception:
                    if not trap:
                        raise
                yield b"sorry"
            finally:
                getattr(body, "close", int)()

        return outer

    return layer


def keeps(start_response):
    def start(status, headers, exc_info=None):
        kept.append(exc_info)
        return start_response(status, headers, exc_info)

    return start


kept = []


def wants_a_block(body):
    return [next(iter(body))]


def joined(body):
    return [b"".join(body)]


class Closing:
    """Iterates with *read*, and closes with *close*."""

    def __init__(self, body, read=iter, close=lambda body: getattr(body, "close", int)()):
        self._body, self._read, self._close = body, read, close

    def __iter__(self):
        return iter(self._read(self._body))

    def close(self):
        self._close(self._body)


def only_what_is_not_empty(body):
    return (chunk for chunk in body if chunk)


def at_a_time(body):
    """Read two blocks for each."""
    chunks = iter(body)
    return (chunk + next(chunks, b"") for chunk in chunks)


def writes(application):
    def layer(environ, start_response):
        write = []

        def start(*arguments):
            write.append(start_response(*arguments))
            return write[0]

        body = application(environ, start)
        for chunk in body:
            write[0](chunk)
        getattr(body, "close", int)()
        return []

    return layer


def reads_a_body(body):
    return [body.read()] if hasattr(body, "read") else body


def twice(body):
    for _ in range(2):
        getattr(body, "close", int)()


def when_read(body):
    """Close what was read to its end, and nothing else."""
    yield from body
    getattr(body, "close", int)()


def closes_at_the_first(body):
    chunks = iter(body)
    yield next(chunks, b"")
    getattr(body, "close", int)()
    yield from chunks


def closes_early(body):
    return Closing(body, closes_at_the_first, lambda body: None)


def when_nothing_raised(body):
    """Close what did not raise."""
    failed = []

    def read(body):
        try:
            yield from body
        except Exception:
            failed.append(1)
            raise

    return Closing(body, read, lambda body: failed or getattr(body, "close", int)())


def closes_the_input(application):
    def layer(environ, start_response):
        body = application(environ, start_response)
        getattr(environ["wsgi.input"], "close", int)()
        return body

    return layer


def lost(body):
    return iter(list(body))


def replaced(key, make):
    return changing(environ=lambda environ: {**environ, key: make(environ.get(key))})


def without(key):
    return changing(environ=lambda environ: {k: v for k, v in environ.items() if k != key})


BROKEN_LAYERS = {
    "calls_positionally": [by_keyword],
    "environ_is_a_dict": [changing(environ=OtherDict)],
    "environ_is_complete": [
        without("SERVER_NAME"),
        without("wsgi.errors"),
        without("wsgi.run_once"),
        replaced("wsgi.version", lambda _: (1, 1)),
    ],
    "environ_has_strings": [
        replaced("REMOTE_USER", lambda _: None),
        replaced("SERVER_PORT", int),
        replaced("PATH_INFO", lambda path: "/\u20ac"),
    ],
    "environ_may_be_changed": [reads_the_path_afterwards],
    "input_can_be_read": [
        replaced("wsgi.input", lambda stream: Less(stream, "read")),
        replaced("wsgi.input", lambda stream: Less(stream, "read", "readline", "readlines")),
    ],
    "input_ends": [replaced("wsgi.input", EndsBadly)],
    "errors_can_be_written": [replaced("wsgi.errors", lambda stream: Less(stream, "write"))],
    "start_response_takes_three": [changing(start=of_two)],
    "write_is_callable": [changing(start=lambda start: lambda *given: start(*given) and None)],
    "write_is_sent": [changing(start=lambda start: lambda *given: start(*given) and len)],
    "may_start_late": [wants_its_status_at_once],
    "may_start_again": [changing(start=the_first_counts)],
    "tells_of_exc_info": [changing(start=without_exc_info), changing(start=the_first_counts)],
    "may_not_start_twice": [the_last_counts],
    "traps_nothing": [shows_errors(trap=True)],
    "keeps_no_exc_info": [changing(start=keeps)],
    "may_be_empty": [changing(body=wants_a_block)],
    "returns_at_once": [changing(body=list)],
    "gives_a_block_for_each": [changing(body=joined), changing(body=at_a_time)],
    "gives_a_block_for_an_empty_one": [changing(body=only_what_is_not_empty)],
    "does_not_write": [writes],
    "uses_nothing_else": [changing(body=reads_a_body)],
    "closes_what_was_read": [
        changing(body=lost),
        changing(body=lambda body: Closing(body, close=twice)),
        changing(body=closes_early),
    ],
    "closes_what_was_left": [changing(body=when_read)],
    "closes_what_was_not_read": [changing(body=when_read)],
    "closes_what_raised": [changing(body=when_nothing_raised)],
    "sends_files": [
        changing(body=lost),
        changing(body=lambda body: Closing(body, wants_a_block)),
    ],
    "leaves_the_streams": [closes_the_input],
}


@pytest.mark.parametrize(
    ("rule", "layer"),
    [one for rule in MIDDLEWARE for one in case(rule, BROKEN_LAYERS[rule.judge.__name__])],
)
def test_a_layer_that_breaks_a_rule(rule, layer):
    mark, seen = judged(rule, layer)
    kept.clear()

    assert (mark, bool(seen)) == (NO, True)


@pytest.mark.parametrize("rule", MIDDLEWARE, ids=lambda rule: rule.number)
def test_a_layer_that_does_not(rule):
    layer = shows_errors(trap=False) if rule.judge.__name__ == "traps_nothing" else changing()

    assert judged(rule, layer) == (YES, "")


@pytest.mark.parametrize("rule", MIDDLEWARE, ids=lambda rule: rule.number)
def test_of_a_layer_that_calls_nobody_nothing_is_said(rule):
    mark, seen = judged(rule, lambda application: answers())

    assert mark == NOT_APPLICABLE
    assert seen.startswith("the application was not called")
