"""``python -m tests.soak.clients PORT REQUESTS``: ask as fast as is answered, and count.

Each connection is kept alive and has many requests sent at once.  A process of its own, so
that neither waits for the other's interpreter.
"""

import socket
import sys
from contextlib import ExitStack
from itertools import islice

PATHS = ("/kept", "/lost", "/lost", "/ring")
CONNECTIONS = 4
AT_ONCE = 20
SECONDS = 60.0

REQUESTS = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() for path in PATHS]
ANSWERED = b"\r\n\r\nsoaked through\n"


def ask(port: int, requests: int) -> None:
    """Have *requests* answered; EOFError if the server breaks off."""
    asked = (REQUESTS[number % len(REQUESTS)] for number in range(requests))
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), SECONDS))
            for _ in range(CONNECTIONS)
        ]
        while True:
            sent = []
            for connection in connections:
                batch = [*islice(asked, AT_ONCE)]
                connection.sendall(b"".join(batch))
                sent.append(len(batch))
            if not any(sent):
                return
            for connection, due in zip(connections, sent, strict=True):
                received = b""
                while received.count(ANSWERED) < due:
                    more = connection.recv(65536)
                    if not more:
                        raise EOFError(f"{due} answers must have come, got {received!r}")
                    received += more


if __name__ == "__main__":
    ask(*map(int, sys.argv[1:]))
