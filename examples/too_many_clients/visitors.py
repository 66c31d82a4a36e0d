"""The load: many visitors at once over slow lines, then one after the other.

How many of them are with the database at the same time is decided here and not by chance:
an upload is sent to its end only when it is its turn.
"""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_SECONDS = 60.0
PHOTO = b"." * 1000


class Answer(NamedTuple):
    """What a visitor got: *code* is 0 where it was no answer at all."""

    seconds: float
    code: int


def ask(port: int, path: str) -> Answer:
    """Ask for a page, and wait until the server has closed the connection."""
    with Visitor(port, f"GET {path} HTTP/1.1\r\n") as visitor:
        return visitor.answer()


def uploads(port: int, visitors: int, *, at_a_time: int) -> Iterator[Answer]:
    """Send *visitors* photos, each of which has a thread of the server to itself.

    All of them are begun, and the server has a thread waiting for the rest of each, before
    the first is sent to its end; then *at_a_time* of them are.
    """
    head = f"POST /upload HTTP/1.1\r\nContent-Length: {len(PHOTO)}\r\nExpect: 100-continue\r\n"
    begun = [Visitor(port, head) for _ in range(visitors)]
    try:
        for visitor in begun:
            visitor.wait_for_a_thread()
        with ThreadPoolExecutor(at_a_time) as pool:
            yield from pool.map(Visitor.upload, begun)
    finally:
        for visitor in begun:
            visitor.close()


def one_by_one(port: int, visitors: int, *, every_seconds: float) -> Iterator[Answer]:
    """Ask for the first page, one visitor after the other."""
    begin = time.monotonic()
    for number in range(visitors):
        time.sleep(max(0.0, begin + number * every_seconds - time.monotonic()))
        yield ask(port, "/")


class Visitor:
    """A client with one request, whose *head* has been sent."""

    def __init__(self, port: int, head: str) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self._connection.sendall(
            f"{head}Host: 127.0.0.1\r\nConnection: close\r\n\r\n".encode("ascii")
        )

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_for_a_thread(self) -> None:
        """Wait for 100 Continue: it is a thread's first word, which then waits for us."""
        expected = b"HTTP/1.1 100 Continue\r\n\r\n"
        received = b""
        while len(received) < len(expected):
            more = self._connection.recv(len(expected) - len(received))
            if not more:
                break
            received += more
        if received != expected:
            raise HTTPException(f"a server must say {expected!r} first, got {received!r}")

    def upload(self) -> Answer:
        """Send the photo, and return the answer."""
        self._connection.sendall(PHOTO)
        return self.answer()

    def answer(self) -> Answer:
        """Return the answer when the server has closed the connection: all is over then."""
        code = 0
        try:
            with HTTPResponse(self._connection) as response:
                response.begin()
                response.read()
                while self._connection.recv(1024):
                    pass
                code = response.status
        except (OSError, HTTPException):
            pass  # no answer is an error like any other
        self.close()
        return Answer(time.monotonic(), code)

    def close(self) -> None:
        """Close the connection, also more than once."""
        self._connection.close()
