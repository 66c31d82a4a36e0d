"""What the frameworks never return: lists, files of unknown length, and no body at all."""

from tempfile import TemporaryFile
from wsgiref.util import FileWrapper

import journal


class ClosableList(list):
    """A list and, since it can be closed, a body that must be."""

    def __init__(self, chunks):
        super().__init__(chunks)
        journal.note("opened")

    def close(self):
        journal.note("closed")


def file(environ):
    opened = TemporaryFile()  # noqa: SIM115 - the server closes it
    opened.write(b"a file")
    opened.seek(0)
    return environ.get("wsgi.file_wrapper", FileWrapper)(opened)


TEXT = [("Content-Type", "text/plain")]

ANSWERS = {
    "/one-chunk": lambda environ: ("200 OK", TEXT, [b"one chunk"]),
    "/three-chunks": lambda environ: ("200 OK", TEXT, [b"one ", b"two ", b"three"]),
    "/closable-list": lambda environ: ("200 OK", TEXT, ClosableList([b"one chunk"])),
    "/file": lambda environ: ("200 OK", TEXT, file(environ)),
    "/no-content": lambda environ: ("204 No Content", [], []),
    "/not-modified": lambda environ: ("304 Not Modified", [("ETag", '"1"')], []),
}


def application(environ, start_response):
    status, headers, body = ANSWERS[environ["PATH_INFO"]](environ)
    start_response(status, list(headers))  # some servers add theirs to the list
    return body
