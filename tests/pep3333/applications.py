"""The rules for applications, and so for the side of middleware that faces the server."""

import re
from collections.abc import Callable
from io import BytesIO, StringIO
from typing import NamedTuple

from .gateway import Closable, Errors, Input, environ_for, serve, shown
from .rule import Broken, NotApplicableError, Rules, check

rule = APPLICATION = Rules("A")

SIDE = "The Application/Framework Side"
DETAILS = "Specification Details"
START = "The start_response() Callable"

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
HOP_BY_HOP = (
    *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te"),
    *("trailers", "transfer-encoding", "upgrade"),
)
CGI = (
    *("AUTH_TYPE", "CONTENT_LENGTH", "CONTENT_TYPE", "GATEWAY_INTERFACE", "PATH_INFO"),
    *("PATH_TRANSLATED", "QUERY_STRING", "REMOTE_ADDR", "REMOTE_HOST", "REMOTE_IDENT"),
    *("REMOTE_USER", "REQUEST_METHOD", "SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT"),
    *("SERVER_PROTOCOL", "SERVER_SOFTWARE"),
)
MAY_BE_MISSING = ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "CONTENT_TYPE", "CONTENT_LENGTH")


def get():
    return environ_for("/site/page")


def get_html():
    return environ_for("/site/page.html", HTTP_ACCEPT_ENCODING="gzip, deflate")


def head():
    return environ_for("/site/page", method="HEAD")


def post():
    return environ_for("/site/page", method="POST", body=b"name=value")


class Subject(NamedTuple):
    """An application to judge.

    Attributes:
        make: Makes it.
        requests: Functions that make an environ each.
    """

    make: Callable
    requests: tuple = (get, get_html, head, post)


def exchanges(subject, **options):
    """Yield the exchange of each request of *subject*, by one application."""
    application = subject.make()
    for request in subject.requests:
        yield serve(application, request(), **options)


def answered(subject):
    """Yield the exchanges that have a response; there must be one."""
    found = False
    for seen in exchanges(subject):
        if seen.starts:
            found = True
            yield seen
    check(found, "no response was started")


@rule(DETAILS, "must", "It is called with two positional arguments, and returns an iterable.")
def is_called(subject):
    application = subject.make()
    for request in subject.requests:
        try:
            body = application(request(), lambda *_: lambda data: None)
        except Exception as error:  # noqa: BLE001
            raise Broken(f"called so it raises {shown(error)}") from None
        check(hasattr(body, "__iter__") or hasattr(body, "__getitem__"), f"returns {body!r}")
        if hasattr(body, "close"):
            body.close()


@rule(SIDE, "must", "It can be called again, for the next request.")
def is_called_again(subject):
    application = subject.make()
    for request in subject.requests:
        first, second = serve(application, request()), serve(application, request())
        check(
            (str(first.status)[:3], first.raised is None)
            == (str(second.status)[:3], second.raised is None),
            f"first {first.problem or first.status}, then {second.problem or second.status}",
        )


@rule(START, "must", "It calls `start_response` with positional arguments, two or three.")
def starts_positionally(subject):
    for seen in answered(subject):
        for arguments, keywords in seen.starts:
            check(not keywords, f"passes {', '.join(keywords)} by name")
            check(len(arguments) in (2, 3), f"passes {len(arguments)} arguments")


@rule(DETAILS, "must", "It starts the response before the first block of the body.")
def starts_in_time(subject):
    for seen in exchanges(subject):
        if seen.raised is None:
            check(seen.starts, "never starts it")
            check(seen.started_before_block is not False, "a block comes before the start")


@rule(
    START,
    "must",
    "The status is a native string: three digits, one space, a reason; no control characters.",
)
def status_is_right(subject):
    for seen in answered(subject):
        status = seen.status
        check(type(status) is str, f"the status is {status!r}")
        right = re.fullmatch(r"\d{3} \S(.*\S)?", status) and not CONTROL.search(status)
        check(right and is_latin(status), f"the status is {status!r}")


@rule(START, "must", "The headers are a `list`, and no subclass of one.")
def headers_are_a_list(subject):
    for seen in answered(subject):
        for type_ in seen.header_types:
            check(type_ is list, f"the headers are a {type_.__qualname__}")


@rule(
    START,
    "must",
    "Each header is a tuple of two native strings: a valid name, and a value without control"
    " characters, in ISO-8859-1.",
)
def headers_are_right(subject):
    for seen in answered(subject):
        for header in seen.headers:
            check(isinstance(header, tuple) and len(header) == 2, f"a header is {header!r}")
            name, value = header
            check(type(name) is str and type(value) is str, f"a header is {header!r}")
            check(TOKEN.fullmatch(name), f"a header's name is {name!r}")
            check(not CONTROL.search(value) and is_latin(value), f"{name} is {value!r}")


@rule("Other HTTP Features", "must", "It sends no hop-by-hop header.")
def sends_no_hop_by_hop(subject):
    for seen in answered(subject):
        for name, value in seen.headers:
            check(str(name).lower() not in HOP_BY_HOP, f"sends {name}: {value}")


@rule(START, "must", "It leaves the list of headers to the server, which may change it.")
def gives_the_headers_away(subject):
    plain = list(exchanges(subject))
    for before, seen in zip(plain, exchanges(subject, changes_headers=True), strict=True):
        check(
            (before.raised is None, before.data, before.header("Content-Type"))
            == (seen.raised is None, seen.data, seen.header("Content-Type"))
            or differs_anyway(subject),
            f"with the list emptied it {seen.problem or 'answers otherwise'}",
        )


def differs_anyway(subject):
    """Say whether two answers to one request are not the same."""
    application = subject.make()
    return any(
        serve(application, request()).data != serve(application, request()).data
        for request in subject.requests
    )


@rule("Unicode Issues", "must", "Each block of the body is `bytes`.")
def blocks_are_bytes(subject):
    for seen in exchanges(subject):
        for block in [*seen.blocks, *seen.written]:
            check(isinstance(block, bytes), f"a block is {type(block).__name__}")


@rule(DETAILS, "must", "If the body has a `len()`, it is the number of blocks.")
def length_is_right(subject):
    found = False
    for seen in exchanges(subject):
        if seen.length is not None and seen.raised is None:
            found = True
            real = len(seen.blocks)
            check(seen.length == real, f"len() is {seen.length}, and there are {real} blocks")
    if not found:
        raise NotApplicableError("no body has a len()")


@rule(
    "Handling the Content-Length Header",
    "should",
    "A Content-Length that it sends is the length of what it sends.",
)
def content_length_is_right(subject):
    found = False
    application = subject.make()
    for request in subject.requests:
        environ = request()
        is_head = environ["REQUEST_METHOD"] == "HEAD"
        seen = serve(application, environ)
        length = seen.header("Content-Length")
        if length is None or seen.raised is not None or is_head:
            continue
        found = True
        check(
            length == str(len(seen.data)),
            f"Content-Length is {length}, and {len(seen.data)} bytes come",
        )
    if not found:
        raise NotApplicableError("sends no Content-Length")


@rule(DETAILS, "should not", "It does not assume that all of its body is read: it may be left.")
def can_be_left(subject):
    for most in (1, 0):
        for before, seen in zip(exchanges(subject), exchanges(subject, most=most), strict=True):
            check(
                seen.raised is None or before.raised is not None,
                f"closed after {most} blocks it {seen.problem}",
            )


@rule(
    "environ Variables",
    "should",
    "What would be empty may be missing: SCRIPT_NAME, PATH_INFO, QUERY_STRING, CONTENT_TYPE,"
    " CONTENT_LENGTH.",
)
def does_without_what_is_empty(subject):
    application = subject.make()
    for request in subject.requests:
        if request().get("CONTENT_LENGTH"):
            continue
        for name in MAY_BE_MISSING:
            empty = request() | {name: ""}
            less = request()
            del less[name]
            before = serve(application, empty)
            seen = serve(application, less)
            if seen.raised is not None and before.raised is None:
                check(False, f"without {name} it raises {shown(seen.raised)}")
            check(
                before.status == seen.status,
                f"without {name} it answers {seen.status}, and {before.status} with an"
                " empty one",
            )


@rule(
    "Input and Error Streams",
    "must",
    "Of `wsgi.input` and `wsgi.errors` it uses the methods in the table, and no others.",
)
def uses_streams_as_they_are(subject):
    application = subject.make()
    for request in subject.requests:
        rich, poor = request(), request()
        rich["wsgi.input"] = BytesIO(rich["wsgi.input"].read())
        rich["wsgi.errors"] = StringIO()
        before, seen = serve(application, rich), serve(application, poor)
        check(seen.raised is None or before.raised is not None, f"it {seen.problem}")
        check(
            str(before.status)[:3] == str(seen.status)[:3],
            f"answers {seen.status}, and {before.status} with streams that can do more",
        )


@rule("Input and Error Streams", "must", "It closes neither `wsgi.input` nor `wsgi.errors`.")
def closes_no_stream(subject):
    application = subject.make()
    for request in subject.requests:
        environ = request()
        streams = {
            "wsgi.input": Closable(environ["wsgi.input"]),
            "wsgi.errors": Closable(environ["wsgi.errors"]),
        }
        serve(application, environ | streams)
        for name, stream in streams.items():
            check(not stream.closes, f"closes {name}")


@rule("Input and Error Streams", "should not", "It reads no more than CONTENT_LENGTH bytes.")
def reads_no_more(subject):
    application = subject.make()
    for request in subject.requests:
        stream = Input(b"name=value")
        environ = request() | {
            "REQUEST_METHOD": "POST",
            "CONTENT_LENGTH": "10",
            "CONTENT_TYPE": "text/plain",
            "wsgi.input": stream,
            "wsgi.errors": Errors(),
        }
        serve(application, environ)
        check(not stream.asked_beyond, "asks for more than 10 bytes of a body of 10")


def is_latin(text):
    return all(ord(character) < 256 for character in text)


def is_cgi(name):
    """Say whether RFC 3875 defines an environ variable of that name."""
    return name in CGI or name.startswith("HTTP_")
