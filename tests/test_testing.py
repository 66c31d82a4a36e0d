import pytest

from freedom_middleware.testing import SpyBody, exchange, hello, make_environ


def test_an_exchange_tells_what_a_client_would_see():
    answer = exchange(hello)

    assert answer.status == "200 OK"
    assert answer.code == 200
    assert answer.header("content-type") == "text/plain"
    assert answer.header("X-None") is None
    assert answer.body == b"Hello, world!\n"


def test_a_request_carries_method_headers_and_body():
    def echo(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        size = int(environ["CONTENT_LENGTH"])
        told = f"{environ['REQUEST_METHOD']} {environ['HTTP_X_A']} {environ['CONTENT_TYPE']} "
        return [told.encode() + environ["wsgi.input"].read(size)]

    answer = exchange(
        echo, "/", method="POST", headers={"X-A": "1", "Content-Type": "text/x"}, body=b"data"
    )

    assert answer.body == b"POST 1 text/x data"


def test_a_path_is_text_with_a_query_behind_it():
    environ = make_environ("/café?q=é", SCRIPT_NAME="/outer")

    assert environ["PATH_INFO"] == "/caf\xc3\xa9"
    assert environ["QUERY_STRING"] == "q=\xc3\xa9"
    assert environ["SCRIPT_NAME"] == "/outer"


def answering(body):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body

    return application


@pytest.mark.parametrize(("chunks", "read"), [(None, b"abc"), (2, b"ab"), (1, b"a"), (0, b"")])
def test_it_leaves_after_as_many_chunks_as_asked_and_closes(chunks, read):
    body = SpyBody([b"a", b"b", b"c"])

    answer = exchange(answering(body), chunks=chunks, validate=False)

    assert (answer.body, body.closes) == (read, 1)


def test_a_lazy_application_that_was_left_unread_has_no_status():
    def lazy(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"x"

    assert exchange(lazy, chunks=0, validate=False).status == "000 Not Started"
    assert exchange(lazy).status == "200 OK"


def test_an_application_that_breaks_the_contract_is_told_so():
    def text(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return ["text"]

    with pytest.raises(AssertionError):
        exchange(text)


def test_start_response_must_be_called():
    with pytest.raises(AssertionError, match="before the body ends"):
        exchange(lambda environ, start_response: [b"x"], validate=False)


def test_start_response_is_called_once():
    def twice(environ, start_response):
        start_response("200 OK", [])
        start_response("200 OK", [])
        return []

    with pytest.raises(AssertionError, match="must be called once"):
        exchange(twice, validate=False)


def test_an_error_still_closes_the_body():
    class Body(SpyBody):
        def __iter__(self):
            raise LookupError("on purpose")

    body = Body()
    with pytest.raises(LookupError):
        exchange(answering(body), validate=False)

    assert body.closes == 1
