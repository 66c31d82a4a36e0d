"""Clients that behave, and clients that do not: each way of visiting is a function.

They speak through raw sockets, one connection to a visit.  A way that returns has got what
such a client waits for; it raises where the server broke off, as one does that is killed.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse

SECONDS = 30.0
"""How long a client waits for the next bytes."""

SIZES = {"page": 12, "stream": 16 * 65538, "slow": 200, "file": 1 << 22}
"""How long the whole bodies are that are read to their end."""

BROKEN_OFF = (OSError, HTTPException, EOFError)

WAYS: dict[str, Callable[[Site], None]] = {}


def way(function: Callable[[Site], None]) -> Callable[[Site], None]:
    WAYS[function.__name__.replace("_", " ")] = function
    return function


class Site:
    """One application at one server, as a client knows it."""

    def __init__(self, port: int, variant: str) -> None:
        self.port = port
        self.variant = variant

    def request(self, path: str, *headers: str, method: str = "GET") -> bytes:
        lines = [f"{method} /{self.variant}/{path} HTTP/1.1", "Host: 127.0.0.1", *headers]
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    @contextmanager
    def connection(self, sent: bytes) -> Iterator[socket.socket]:
        with socket.socket() as connection:
            connection.settimeout(SECONDS)
            # Small, so that a client that has stopped reading is felt at the other end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.connect(("127.0.0.1", self.port))
            connection.sendall(sent)
            yield connection


def read(connection: socket.socket, method: str = "GET") -> tuple[int, bytes]:
    """Return the status and the body of one answer."""
    with HTTPResponse(connection, method=method) as response:
        response.begin()
        return response.status, response.read()


def whole(connection: socket.socket, path: str) -> None:
    """Read all of one answer, and hold it against what was asked for."""
    status, body = read(connection)
    if (status, len(body)) != (200, SIZES[path]):
        raise EOFError(f"{path} must be whole, got {status} with {len(body)} bytes")


def begin(connection: socket.socket) -> None:
    """Wait until something of the body is there."""
    received = b""
    while not received.partition(b"\r\n\r\n")[2]:
        more = connection.recv(4096)
        if not more:
            raise EOFError(f"the answer must have a body, got {received!r}")
        received += more


def reset(connection: socket.socket) -> None:
    """Go, and have the other end told by an RST."""
    on, seconds = 1, 0
    linger = struct.pack("ii", on, seconds)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


# -- clients that behave --


@way
def page(site: Site) -> None:
    with site.connection(site.request("page", "Connection: close")) as connection:
        whole(connection, "page")


@way
def stream(site: Site) -> None:
    with site.connection(site.request("stream", "Connection: close")) as connection:
        whole(connection, "stream")


@way
def slow_stream(site: Site) -> None:
    with site.connection(site.request("slow", "Connection: close")) as connection:
        whole(connection, "slow")


@way
def file(site: Site) -> None:
    with site.connection(site.request("file", "Connection: close")) as connection:
        whole(connection, "file")


@way
def keep_alive(site: Site) -> None:
    """Ask three times over one connection, if the server keeps it."""
    with site.connection(b"") as connection:
        for path in ("page", "stream", "page"):
            connection.sendall(site.request(path))
            with HTTPResponse(connection) as response:
                response.begin()
                response.read()
                if response.will_close:
                    return


@way
def head(site: Site) -> None:
    for path in ("page", "stream", "file"):
        asked = site.request(path, "Connection: close", method="HEAD")
        with site.connection(asked) as connection:
            read(connection, "HEAD")
            while connection.recv(65536):  # some servers send a body after HEAD
                pass


@way
def upload(site: Site) -> None:
    for path in ("upload", "upload-in-the-body"):
        asked = site.request(path, "Connection: close", "Content-Length: 50000", method="POST")
        with site.connection(asked + bytes(50000)) as connection:
            read(connection)


@way
def chunked_upload(site: Site) -> None:
    for path in ("upload", "upload-in-the-body"):
        asked = site.request(
            path, "Connection: close", "Transfer-Encoding: chunked", method="POST"
        )
        with site.connection(asked + chunk(bytes(5000)) * 5 + chunk(b"")) as connection:
            read(connection)


@way
def expect_100(site: Site) -> None:
    """Send the body when told to go on, or when the server has said nothing for a moment."""
    for path in ("upload", "upload-in-the-body"):
        headers = "Connection: close", "Content-Length: 50000", "Expect: 100-continue"
        with site.connection(site.request(path, *headers, method="POST")) as connection:
            connection.settimeout(0.5)
            try:
                connection.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                pass
            connection.settimeout(SECONDS)
            connection.sendall(bytes(50000))
            read(connection)


# -- clients that do not --


@way
def half_a_request(site: Site) -> None:
    with site.connection(site.request("page")[:-10]):
        pass


@way
def gone_before_the_first_byte(site: Site) -> None:
    with site.connection(site.request("late")):
        pass
    with site.connection(site.request("late")) as connection:
        reset(connection)


@way
def gone_mid_stream(site: Site) -> None:
    for path in ("long", "slow", "file"):
        with site.connection(site.request(path)) as connection:
            begin(connection)


@way
def reset_mid_stream(site: Site) -> None:
    for path in ("long", "slow", "file"):
        with site.connection(site.request(path)) as connection:
            begin(connection)
            reset(connection)


@way
def gone_mid_upload(site: Site) -> None:
    for path in ("upload", "upload-in-the-body"):
        asked = site.request(path, "Content-Length: 50000", method="POST")
        with site.connection(asked + bytes(1000)):
            pass
        with site.connection(asked + bytes(1000)) as connection:
            reset(connection)


@way
def gone_mid_chunk(site: Site) -> None:
    for path in ("upload", "upload-in-the-body"):
        asked = site.request(path, "Transfer-Encoding: chunked", method="POST")
        with site.connection(asked + chunk(bytes(5000)) + b"1388\r\nnot all"):
            pass


@way
def gone_when_told_to_go_on(site: Site) -> None:
    for path in ("upload", "upload-in-the-body"):
        headers = "Content-Length: 50000", "Expect: 100-continue"
        with site.connection(site.request(path, *headers, method="POST")) as connection:
            connection.settimeout(0.5)
            try:
                connection.recv(1)
            except TimeoutError:
                pass


@way
def two_asked_for_and_one_read(site: Site) -> None:
    with site.connection(site.request("stream") + site.request("long")) as connection:
        begin(connection)


@way
def slow_reader(site: Site) -> None:
    """Read a little now and then, and give up."""
    with site.connection(site.request("long")) as connection:
        for _ in range(10):
            if not connection.recv(1024):
                raise EOFError("a long body must not have ended by now")
            time.sleep(0.05)


# -- applications that fail --


@way
def failing(site: Site) -> None:
    """Take whatever there is, until the server closes the connection."""
    for where in ("in-the-call", "at-the-first", "at-the-tenth", "in-close"):
        with site.connection(site.request(f"fails-{where}", "Connection: close")) as connection:
            while connection.recv(65536):
                pass
