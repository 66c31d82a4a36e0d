"""An application that is loaded before its server forks, and opens a response by then.

What happens is written to the file that FORKING_JOURNAL names, with the process that it
happened in: several of them serve.
"""

import itertools
import os
import time

from freedom_middleware import CloseGuard

journal = os.open(os.environ["FORKING_JOURNAL"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
numbers = itertools.count()


class Body:
    def __init__(self, chunks):
        self.name = f"{os.getpid()}-{next(numbers)}"
        self.chunks = chunks
        self.note("opened")

    def __iter__(self):
        return self.chunks

    def close(self):
        self.note("closed")

    def note(self, what):
        os.write(journal, f"{what} {self.name} {os.getpid()}\n".encode())


def until_told():
    """Stream until the test has seen what it waits for."""
    yield b"begun\n"
    while not os.path.exists(os.environ["FORKING_JOURNAL"] + ".end"):
        time.sleep(0.01)
        yield b"."


@CloseGuard
def guarded(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    slow = environ["PATH_INFO"] == "/slow"
    return Body(until_told() if slow else iter([str(os.getpid()).encode()]))


def loses_close(environ, start_response):
    yield from guarded(environ, start_response)


of_the_master = [guarded({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *_: None)]


def application(environ, start_response):
    if environ["PATH_INFO"] == "/cycle":
        kept = [guarded(environ, lambda *_: None)]
        kept.append(kept)
    of_the_master.clear()  # each worker drops its copy; the master serves nothing
    return loses_close(environ, start_response)
