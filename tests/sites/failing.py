"""What an application may do to a server, below any framework: fail, early and late."""

import time

import journal


class Body:
    """Is closed, and says so."""

    def __init__(self, chunks):
        self.chunks = chunks
        journal.note("opened")

    def __iter__(self):
        return iter(self.chunks)

    def close(self):
        journal.note("closed")


def fails_after(*chunks):
    yield from chunks
    raise LookupError("the body failed, as it was asked to")


def slowly():
    yield b"begun, "
    time.sleep(1)
    yield b"ended"


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/_events":
        return journal.tell(environ, start_response)
    if path == "/at-once":
        raise LookupError("the application failed, as it was asked to")
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/before-the-first-chunk":
        return Body(fails_after())
    if path == "/in-the-middle":
        return Body(fails_after(b"begun " * 100_000))
    if path == "/near-the-beginning":
        return Body(fails_after(b"begun"))
    if path == "/in-close":
        return FailsInClose([b"whole"])
    if path == "/slow":
        return Body(slowly())
    if path == "/endless":
        return Body(iter(lambda: b"chunk " * 1000, None))
    if path == "/echo":
        return Body([environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))])
    if path == "/environ":
        told = {name: value for name, value in environ.items() if isinstance(value, str)}
        return Body([repr(sorted(told)).encode()])
    return Body([repr((environ["SCRIPT_NAME"], path)).encode()])


class FailsInClose(Body):
    def close(self):
        super().close()
        raise LookupError("close() failed, as it was asked to")
