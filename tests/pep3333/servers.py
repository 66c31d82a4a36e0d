"""The rules for servers, judged by what ``tests/sites/probe`` sees, and by what a client gets.

A subject is a server that serves the probes: a ``RunningServer`` of ``tests/servers``.
"""

import contextlib
import itertools
import json
import re
import socket
import time
from collections import Counter
from typing import NamedTuple

from .applications import is_cgi, is_latin
from .rule import Broken, NotApplicableError, Rules, check

rule = SERVER = Rules("S")

DETAILS = "Specification Details"
ENVIRON = "environ Variables"
STREAMS = "Input and Error Streams"
START = "The start_response() Callable"
LENGTH = "Handling the Content-Length Header"
STREAMING = "Buffering and Streaming"
OTHER = "Other HTTP Features"
FILES = "Optional Platform-Specific File Handling"

ANSWER_SECONDS = 10
"""How long an answer is waited for that a server may owe for ever."""

PATIENCE_SECONDS = 5
"""How long a client waits for a block."""

UNASKED_SECONDS = 2
"""How long it waits for a 100 before it goes on without; a server waits no longer than 4."""

CLOSE_SECONDS = 10
"""How long a ``close()`` is waited for."""

MOMENT_SECONDS = 0.1
"""How long a second ``close()`` has to show itself."""

_number = itertools.count()


class Answer(NamedTuple):
    """What came over the wire; *ended* is whether the server closed the connection."""

    version: str
    status: str
    headers: list
    body: bytes
    ended: bool

    def header(self, name):
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


class Client:
    """A connection, and one request on it."""

    def __init__(self, site, path, *, method="GET", body=b"", headers=(), name=""):
        try:
            address = ("127.0.0.1", site.port)
            self._connection = socket.create_connection(address, ANSWER_SECONDS)
        except OSError as error:
            raise Broken(f"no connection: {error}") from None
        self.received = b""
        lines = [f"{method} {path}?{name} HTTP/1.1", "Host: 127.0.0.1", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        if not any(line.lower().startswith("connection:") for line in lines):
            lines.append("Connection: close")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def send(self, data):
        with contextlib.suppress(OSError):  # what it has answered is there all the same
            self._connection.sendall(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._connection.close()

    def until(self, wanted, seconds=ANSWER_SECONDS):
        """Receive until *wanted* is there; say whether it came in time."""
        deadline = time.monotonic() + seconds
        while wanted not in self.received:
            self._connection.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                more = self._connection.recv(65536)
            except (TimeoutError, ConnectionError):
                return False
            if not more:
                return False
            self.received += more
        return True

    def rest(self, seconds=ANSWER_SECONDS):
        """Receive until the server closes; return the answer."""
        ended = False
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._connection.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                more = self._connection.recv(65536)
            except TimeoutError:
                break
            except ConnectionError:
                more = b""
            if not more:
                ended = True
                break
            self.received += more
        return parsed(self.received, ended)


def parsed(received, ended):
    """Return the answer in what was received, without its chunked coding."""
    while received.startswith(b"HTTP/1.1 100"):
        received = received.partition(b"\r\n\r\n")[2]
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (ln.partition(":") for ln in lines)]
    version, _, status = first.partition(" ")
    answer = Answer(version, status, headers, body, ended)
    if (answer.header("Transfer-Encoding") or "").lower() == "chunked":
        answer = answer._replace(body=dechunked(body))
    return answer


def dechunked(data):
    """Return what is in chunks, as far as it came.

    >>> dechunked(b"3\\r\\none\\r\\n5\\r\\nthr")
    b'onethr'
    """
    found = b""
    while match := re.match(rb"([0-9a-fA-F]+)[^\r\n]*\r\n", data):
        size = int(match[1], 16)
        found += data[match.end() : match.end() + size]
        data = data[match.end() + size + 2 :]
    return found


def ask(site, path, **more):
    """Ask for a probe, and return the answer and what the probe saw."""
    name = f"n{next(_number)}"
    with Client(site, path, name=name, **more) as client:
        answer = client.rest()
    return answer, seen(site, name)


def seen(site, name):
    return [tuple(event) for event in told(site, "/_seen", name=name)]


def told(site, path, **more):
    """Return the JSON that a probe answers with."""
    with Client(site, path, **more) as client:
        answer = client.rest()
    check(answer.status.startswith("200"), f"the client gets {sent(answer)}")
    try:
        return json.loads(answer.body)
    except ValueError:
        raise Broken(f"the client gets {answer.body[:40]!r}") from None


def environ_of(site, path="/environ", **more):
    return told(site, path, **more)


def sent(answer):
    return answer.status or "no answer"


# -- what the application is given --


@rule(DETAILS, "must", "The application is called with two positional arguments.")
def calls_positionally(site):
    called = told(site, "/called")
    check(not called["keywords"], f"passes {', '.join(called['keywords'])} by name")
    check(called["positional"] == 2, f"passes {called['positional']} arguments")


@rule(DETAILS, "must", "The environ is a `dict`, and no subclass of one.")
def environ_is_a_dict(site):
    type_ = environ_of(site)["type"]
    check(type_ == "builtins.dict", f"the environ is a {type_}")


@rule(DETAILS, "must", "The application may do with it what it likes: empty it, for example.")
def environ_may_be_changed(site):
    answer, _ = ask(site, "/clears")
    check(
        answer.status.startswith("200") and answer.body == b"one",
        f"then the client gets {sent(answer)}",
    )


@rule(
    ENVIRON,
    "must",
    "In it are REQUEST_METHOD, SERVER_NAME, SERVER_PORT and SERVER_PROTOCOL, none of them"
    " empty.",
)
def environ_is_complete(site):
    strings = environ_of(site)["strings"]
    for name in ("REQUEST_METHOD", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"):
        check(strings.get(name), f"{name} is {strings.get(name)!r}")


@rule(ENVIRON, "must", "Each CGI variable in it is a native string in ISO-8859-1.")
def environ_has_strings(site):
    environ = environ_of(site, "/environ/caf%C3%A9", headers=["X-Probe: yes"])
    for name, type_ in environ["types"].items():
        if is_cgi(name):
            check(type_ == "str", f"{name} is a {type_}")
            value = environ["strings"][name]
            check(is_latin(value), f"{name} is {value!r}")


@rule(
    ENVIRON,
    "must",
    "`wsgi.version` is the tuple `(1, 0)`, `wsgi.url_scheme` the scheme, and the other"
    " `wsgi.*` are there.",
)
def environ_has_wsgi(site):
    environ = environ_of(site)
    check(environ["version"] == ["tuple", 1, 0], f"wsgi.version is {environ['version']}")
    check(environ["scheme"] == "http", f"wsgi.url_scheme is {environ['scheme']!r}")
    for name in ("input", "errors", "multithread", "multiprocess", "run_once"):
        check(f"wsgi.{name}" in environ["types"], f"there is no wsgi.{name}")


@rule(
    "URL Reconstruction",
    "must",
    "SCRIPT_NAME and PATH_INFO together are the path, its escapes decoded once; QUERY_STRING"
    " is as it was sent.",
)
def environ_has_the_url(site):
    strings = environ_of(site, "/environ/caf%C3%A9/a%20b/%2541", name="x=%20%C3%A9")["strings"]
    path = strings.get("SCRIPT_NAME", "") + strings.get("PATH_INFO", "")
    check(path == "/environ/caf\xc3\xa9/a b/%41", f"the path is {path!r}")
    query = strings.get("QUERY_STRING", "")
    check(query == "x=%20%C3%A9", f"QUERY_STRING is {query!r}")


@rule(ENVIRON, "should", "`HTTP_*` are there for the headers of the request, and no others.")
def environ_has_headers(site):
    strings = environ_of(site, headers=["X-Probe: yes", "Cookie: a=1"])["strings"]
    found = {name for name in strings if name.startswith("HTTP_")}
    wanted = {"HTTP_HOST", "HTTP_X_PROBE", "HTTP_COOKIE", "HTTP_CONNECTION"}
    missing = wanted - found - {"HTTP_CONNECTION"}  # a hop-by-hop header is the server's own
    check(not missing, f"{', '.join(sorted(missing))} is missing")
    check(not found - wanted, f"{', '.join(sorted(found - wanted))} is there")


SENT = "one\ntwo\n"


def read(site, way, expected, **more):
    data = told(site, way, method="POST", body=SENT.encode(), **more)
    what = way.lstrip("/")
    check(isinstance(data, list), f"{what} {data}")
    chunks, types = data
    check(set(types) <= {"bytes"}, f"{what} gives {types}")
    check(chunks == expected, f"{what} gives {chunks} of {SENT!r}")


@rule(
    STREAMS,
    "must",
    "`wsgi.input` has `read(size)`, `readline()`, `readlines(hint)` and `__iter__()`, and"
    " gives what was sent.",
)
def input_can_be_read(site):
    read(site, "/read-size", ["one\n", "two\n"])
    for way in ("/readline", "/readlines", "/iterated"):
        read(site, way, ["one\n", "two\n"])


@rule(STREAMS, "should", "`read()` without a size gives the rest of it.")
def input_can_be_read_whole(site):
    read(site, "/read-all", [SENT])


@rule(STREAMS, "should", "`readline()` takes a size.")
def input_has_lines_with_a_size(site):
    read(site, "/readline-size", ["on", "e\n"])


@rule(STREAMS, "should", "At CONTENT_LENGTH it ends: reading on gives empty bytestrings.")
def input_ends(site):
    name = f"n{next(_number)}"
    options = {"method": "POST", "body": SENT.encode(), "headers": ["Connection: keep-alive"]}
    with Client(site, "/read-beyond", name=name, **options) as client:
        came = client.until(b"]]", CLOSE_SECONDS)  # the connection stays open
        answer = parsed(client.received, ended=False)
    check(came, f"reading on waits for more, or fails ({sent(answer)})")
    chunks = json.loads(answer.body)[0]
    check(chunks == [SENT, "", "", ""], f"reading on gives {chunks[1:]}")


@rule(OTHER, "must", "A request body that comes chunked is decoded, where that is supported.")
def input_is_dechunked(site):
    headers = ["Transfer-Encoding: chunked", "Connection: close"]
    with Client(site, "/unsized", method="POST", headers=headers) as client:
        client.send(b"4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n")
        answer = client.rest()
    if not answer.status.startswith("200"):
        raise NotApplicableError(f"it is refused: {sent(answer)}")
    data = json.loads(answer.body)
    if data is None:
        raise NotApplicableError("not supported: nothing says where the body ends")
    check(data == SENT, f"it gives {data!r} of {SENT!r}")


@rule(STREAMS, "must", "`wsgi.errors` has `write()`, `writelines()` and `flush()`.")
def errors_can_be_written(site):
    for problem in told(site, "/errors"):
        raise Broken(problem)


def expecting(site):
    """Expect 100, and send the body when it comes, or unasked; return what came."""
    headers = [f"Content-Length: {len(SENT)}", "Expect: 100-continue", "Connection: close"]
    with Client(site, "/read-size", method="POST", headers=headers) as client:
        came = client.until(b"HTTP/1.", UNASKED_SECONDS)
        client.send(SENT.encode())
        return came, client.rest()


@rule(
    "HTTP 1.1 Expect/Continue",
    "must",
    "A client that expects 100 is answered: its body arrives, at the latest when it is sent"
    " unasked.",
)
def continues(site):
    _, answer = expecting(site)
    check(answer.status.startswith("200"), f"the client gets {sent(answer)}")
    came = answer.body and "".join(json.loads(answer.body)[0])  # or the connection was reset
    check(came == SENT, f"the answer is {answer.body!r}")


@rule(
    "HTTP 1.1 Expect/Continue",
    "should",
    "It does not have to wait: 100, or a final answer, comes at once.",
)
def continues_at_once(site):
    came, answer = expecting(site)
    if answer.version == "HTTP/1.0":
        raise NotApplicableError("it answers with HTTP/1.0")
    check(came, f"nothing comes in {UNASKED_SECONDS} s")


# -- how the response is started --


@rule(
    DETAILS,
    "must",
    "`start_response` returns `write`; what it is given is sent, and before what is iterated"
    " over.",
)
def write_is_sent(site):
    answer, events = ask(site, "/write")
    check(("callable", True) in events, "it returns nothing that can be called")
    check(
        answer.body == b"onetwothree", f"the client gets {sent(answer)}, {answer.body[:40]!r}"
    )


@rule(DETAILS, "must", "The response may be started as late as by the first iteration.")
def may_start_late(site):
    answer, _ = ask(site, "/late")
    check(
        answer.status.startswith("203") and answer.header("X-Late") == "yes",
        f"the client gets {sent(answer)}, X-Late {answer.header('X-Late')}",
    )


@rule(START, "should", "With `exc_info`, and nothing sent, the new status and headers count.")
def may_start_again(site):
    answer, _ = ask(site, "/changes-at-once")
    check(
        answer.status.startswith("503") and answer.body == b"sorry",
        f"the client gets {sent(answer)}, {answer.body[:40]!r}",
    )


@rule(START, "must", "Headers are not sent before the first block that is not empty.")
def headers_wait(site):
    answer, _ = ask(site, "/changes-after-empty")
    check(
        answer.status.startswith("503") and answer.body == b"sorry",
        f"after an empty block the answer stays {sent(answer)}",
    )


@rule(START, "must", "With `exc_info`, and something sent, `start_response` raises.")
def raises_exc_info(site):
    _, events = ask(site, "/changes-too-late")
    check(any(event[0] == "raised" for event in events), "it raises nothing")


@rule(START, "must", "A second start without `exc_info` is a fatal error.")
def may_not_start_twice(site):
    answer, events = ask(site, "/twice")
    check(("accepted",) not in events, f"it is accepted: {sent(answer)}")


@rule(START, "should", "A hop-by-hop header is refused when the response is started.")
def refuses_hop_by_hop(site):
    _, events = ask(site, "/hop-by-hop")
    check(("accepted",) not in events, "`Connection` is accepted")


@rule(START, "should", "A header with a line break is refused when the response is started.")
def refuses_bad_headers(site):
    answer, events = ask(site, "/bad-header")
    injected = ", and the client gets two headers" if answer.header("X-Injected") else ""
    check(("accepted",) not in events, f"it is accepted{injected}")


@rule(START, "must", "A header that HTTP requires is added: Date.")
def adds_date(site):
    answer, _ = ask(site, "/whole")
    check(answer.header("Date"), "there is no Date")


# -- what is sent --


def sends_at_once(site, path):
    name = f"n{next(_number)}"
    with Client(site, path, name=name) as client:
        came = client.until(b"first", PATIENCE_SECONDS)
        site.folder.joinpath(f"sign-{name}").touch()
        answer = client.rest()
    check(answer.status.startswith("200"), f"the client gets {sent(answer)}")
    check(came, "it comes with the next one, and not before")
    check(answer.body == b"firstsecond", f"the body is {answer.body[:40]!r}")


@rule(STREAMING, "must", "A block is sent while the application makes the next one.")
def sends_blocks_at_once(site):
    sends_at_once(site, "/slow")


@rule("The write() Callable", "must", "So is what is given to `write`.")
def sends_writes_at_once(site):
    sends_at_once(site, "/slow-write")


@rule(DETAILS, "should", "Bytes are sent as they are, line ends too.")
def sends_bytes(site):
    answer, _ = ask(site, "/all-bytes")
    check(
        answer.body == bytes(range(256)) + b"\r\n\n\r", f"{len(answer.body)} bytes came of 260"
    )


@rule(START, "must", "A body without any block is a response too, with its headers.")
def may_be_empty(site):
    answer, _ = ask(site, "/no-blocks")
    check(
        answer.status.startswith("203") and answer.header("X-Empty") == "yes",
        f"the client gets {sent(answer)}",
    )
    check(answer.body == b"" and answer.ended, f"the body is {answer.body!r}")


@rule(LENGTH, "should not", "No more is sent than the Content-Length allows.")
def sends_no_more(site):
    answer, _ = ask(site, "/too-long")
    check(len(answer.body) <= 5, f"{len(answer.body)} bytes are sent with Content-Length: 5")


@rule(LENGTH, "should", "When less comes than that, the connection is closed.")
def closes_what_is_short(site):
    headers = ["Connection: keep-alive"]
    with Client(site, "/too-short", headers=headers) as client:
        client.until(b"hello")
        client.send(b"GET /whole? HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        answer = client.rest(CLOSE_SECONDS)
    check(b"HTTP/1.1 200" not in answer.body, "the next answer is taken for the rest of it")
    check(answer.ended, f"it is kept open for {CLOSE_SECONDS} s, and the client waits")


@rule(OTHER, "should", "Headers are sent as they are: two of one name stay two.")
def sends_headers(site):
    answer, _ = ask(site, "/cookies")
    found = [value for name, value in answer.headers if name.lower() == "set-cookie"]
    check(found == ["a=1", "b=2"], f"Set-Cookie is {found}")


@rule("Error Handling", "should", "An exception is trapped and logged, and others are served.")
def traps_errors(site):
    ask(site, "/raises-in-the-call")
    deadline = time.monotonic() + CLOSE_SECONDS
    while "on purpose: the call raises" not in site.log():
        check(time.monotonic() < deadline, "it is not logged")
        time.sleep(0.02)
    answer, _ = ask(site, "/whole")
    check(answer.status.startswith("200"), f"the next client gets {sent(answer)}")


# -- close() --


def closed_once(site, name):
    """Check that the body is closed once, and not read on."""
    deadline = time.monotonic() + CLOSE_SECONDS
    while ("close",) not in seen(site, name) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(MOMENT_SECONDS)
    events = seen(site, name)
    closes = Counter(events)[("close",)]
    check(closes, "close() is not called")
    check(closes == 1, f"close() is called {closes} times")
    check(events[-1] == ("close",), "the body is read on after close()")


def whole(site, path, **more):
    name = f"n{next(_number)}"
    with Client(site, path, name=name, **more) as client:
        client.rest()
    closed_once(site, name)


@rule(DETAILS, "must", "`close()` of the body is called once when the body was read.")
def closes_what_was_read(site):
    whole(site, "/whole")


@rule(DETAILS, "must", "`close()` is called once when the client leaves.")
def closes_what_was_left(site):
    name = f"n{next(_number)}"
    with Client(site, "/endless", name=name) as client:
        client.until(b"xxxx")
    closed_once(site, name)


@rule(DETAILS, "must", "`close()` is called once when the body raises.")
def closes_what_raised(site):
    whole(site, "/fails")


@rule(DETAILS, "must", "`close()` is called once after HEAD.")
def closes_after_head(site):
    whole(site, "/whole", method="HEAD")


@rule(DETAILS, "must", "`close()` is called where a body is a subclass of `list`.")
def closes_lists(site):
    whole(site, "/listed")


@rule(DETAILS, "must not", "Of the body it uses iteration, `len()` and `close()`, no more.")
def uses_nothing_else(site):
    _, events = ask(site, "/whole")
    used = sorted({event[1] for event in events if event[0] == "used"})
    check(not used, f"uses {', '.join(used)} of the body")


# -- wsgi.file_wrapper --


CONTENT = b"0123456789" * 1000


def file(site, path, expected, closes=1):
    answer, events = ask(site, path)
    if ("none",) in events:
        raise NotApplicableError("there is no wsgi.file_wrapper")
    raised = [event[1] for event in events if event[0] == "raised"]
    check(not raised, f"{path[1:]} raises {', '.join(raised)}")
    check(
        answer.body == expected,
        f"{path[1:]}: {len(answer.body)} bytes of {len(expected)}, {sent(answer)}",
    )
    if closes:
        found = Counter(events)[("close",)]
        check(found == closes, f"{path[1:]}: close() is called {found} times")


@rule(FILES, "must", "`wsgi.file_wrapper` sends a file whole, and closes it.")
def sends_files(site):
    file(site, "/file", CONTENT)
    file(site, "/file-real", CONTENT)


@rule(FILES, "must", "It takes the size of a block, as a suggestion, and sends the same.")
def takes_a_block_size(site):
    file(site, "/file-in-blocks", CONTENT)
    file(site, "/file-real-in-blocks", CONTENT)


@rule(FILES, "must", "It sends what has `read()` and nothing else.")
def sends_what_can_be_read(site):
    file(site, "/file-only-read", CONTENT, closes=0)


@rule(FILES, "must", "It begins where the file stands.")
def sends_from_here(site):
    file(site, "/file-from-here", CONTENT[5000:])
    file(site, "/file-real-from-here", CONTENT[5000:])


@rule(FILES, "must", "What it returns can be iterated over, by middleware for example.")
def makes_an_iterable(site):
    file(site, "/file-in-a-layer", CONTENT)
