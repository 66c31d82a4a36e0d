"""Let several applications read one request body, each from its start.

What an application reads is taken from the server as it asks for it, and recorded.  So nothing
is read that nobody wants, no byte is asked for twice, and a client that waits for
``100 Continue`` gets it when somebody wants the body.

Source: PEP 3333, "Input and Error Streams".
"""

from __future__ import annotations

from io import BytesIO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from ..wsgi import Environ, InputStream

__all__ = ["MEMORY_BYTES", "UNKNOWN", "Recording", "Replay", "length_of"]

MEMORY_BYTES = 1024 * 1024
"""How much of a request body is recorded in memory; more goes to a temporary file."""

BLOCK_BYTES = 64 * 1024
"""How much is asked for at a time when all is wanted and nobody knows how much there is."""

UNKNOWN = -1


def length_of(environ: Environ) -> int:
    """Return the length of the request body: 0 if there is none, else perhaps UNKNOWN.

    Without Content-Length there is one if the server says that it ends by itself, or if it is
    chunked.  A Content-Length that is no number counts as none.

    >>> length_of({"CONTENT_LENGTH": "3"}), length_of({"wsgi.input_terminated": True})
    (3, -1)
    """
    text = environ.get("CONTENT_LENGTH")
    if text:
        try:
            length = int(text)
        except ValueError:
            length = 0
        if length > 0:
            return length
    if environ.get("wsgi.input_terminated"):
        return UNKNOWN
    encoding = environ.get("HTTP_TRANSFER_ENCODING")
    return UNKNOWN if encoding and "chunked" in encoding.lower() else 0


class Recording:
    """What was read of a request body, and the rest, which the server still has.

    Above *limit* bytes nothing is recorded any more, and what was is given up: reading goes
    on, a replay is no longer possible.  The same holds when the disk is full.

    Args:
        source: The server's ``wsgi.input``.
        length: See :func:`length_of`; never more is asked for.
        limit: How many bytes to record at the most.

    Attributes:
        turn: Which application may read: the first, the second...
        position: How much it has read.
    """

    __slots__ = (
        "_error",
        "_left",
        "_limit",
        "_size",
        "_source",
        "_spool",
        "_stopped",
        "_too_long",
        "position",
        "turn",
    )

    def __init__(self, source: InputStream, length: int, limit: int) -> None:
        self._source = source
        self._left = length  # UNKNOWN is negative until the end has been seen
        self._limit = limit
        self._size = 0
        self._spool: IO[bytes] | None = None
        self._stopped = self._too_long = False
        self._error: OSError | None = None
        self.turn = self.position = 0

    def rewind(self, environ: Environ) -> None:
        """Let the application that gets *environ* read from the start, and no other."""
        self.turn += 1
        self.position = 0
        environ["wsgi.input"] = Replay(self)
        environ.pop("webob.is_body_seekable", None)  # true of the input that was there

    def rewind_last(self, environ: Environ) -> None:
        """Do so for the last one: nothing more is recorded, and perhaps nothing was."""
        if self._size or not self._left:
            self.rewind(environ)
        else:
            self.turn += 1  # it gets the server's own
        self.stop()

    def can_rewind(self) -> bool:
        """Say whether all that was read is still there.

        Raises:
            OSError: It could not be written to disk.
        """
        if self._error is not None:
            raise self._error
        return not self._too_long

    def stop(self) -> None:
        """Record no more; what is still to be replayed stays."""
        self._stopped = True
        if self.position >= self._size:
            self.close()

    def is_done(self) -> bool:
        """Say whether nothing is recorded any more, and nothing left to be replayed."""
        return self._stopped and self.position >= self._size

    def close(self) -> None:
        """Forget what was recorded."""
        self._stopped = True
        spool, self._spool = self._spool, None
        if spool is not None:
            try:
                spool.close()
            except OSError:
                pass  # the disk is full: what is lost was not wanted any more

    __del__ = close

    def read(self, size: int) -> bytes:
        """Return the next *size* bytes, fewer at the end; all if it is negative."""
        recorded = b""
        if self.position < self._size:
            recorded = self._replayed(self._spool_here().read(size))
        if size < 0:
            return recorded + self._take_all()
        return recorded + self._take(size - len(recorded))

    def read_line(self, size: int) -> bytes:
        """Return the rest of the line, or its first *size* bytes."""
        recorded = b""
        if self.position < self._size:
            recorded = self._replayed(self._spool_here().readline(size))
            if recorded.endswith(b"\n"):
                return recorded
        return recorded + self._take_line(size if size < 0 else size - len(recorded))

    def _spool_here(self) -> IO[bytes]:
        if self._spool is None:
            raise ValueError("wsgi.input must be read before the response is closed")
        self._spool.seek(self.position)
        return self._spool

    def _replayed(self, data: bytes) -> bytes:
        self.position += len(data)
        if self._stopped and self.position == self._size:
            self.close()
        return data

    def _take(self, size: int) -> bytes:
        if 0 <= self._left < size:
            size = self._left
        return self._record(self._source.read(size)) if size else b""

    def _take_all(self) -> bytes:
        pieces = []
        while self._left:
            pieces.append(self._take(BLOCK_BYTES if self._left < 0 else self._left))
        return b"".join(pieces)

    def _take_line(self, size: int) -> bytes:
        if size < 0 or 0 <= self._left < size:
            size = self._left
        if size < 0:
            return self._record(self._source.readline())
        return self._record(self._source.readline(size)) if size else b""

    def _record(self, data: bytes) -> bytes:
        self.position += len(data)
        if not data:
            self._left = 0  # some servers block when they are asked once more
        elif self._left > 0:
            self._left -= len(data)
        if self._stopped or not data:
            return data
        if self.position > self._limit:
            self._too_long = True
            self.close()
            return data
        try:
            spool = self._spool
            if spool is None:
                self._spool = spool = BytesIO(data)  # no copy
            else:
                spool.seek(self._size)
                spool.write(data)
            if self.position > MEMORY_BYTES and type(spool) is BytesIO:
                self._move_to_disk(spool)
            self._size = self.position
        except OSError as error:
            self._error = error
            self.close()
        return data

    def _move_to_disk(self, memory: BytesIO) -> None:
        from tempfile import TemporaryFile  # slow to import, and seldom needed

        self._spool = TemporaryFile()  # noqa: SIM115 - see close()
        self._spool.write(memory.getbuffer())


class Replay:
    """``wsgi.input`` for one application: what was recorded, then what the server has.

    It is read like any file, and never sought in.  ``close()`` ends it alone: neither the
    recording nor the server's input is touched.
    """

    __slots__ = ("_recording", "_turn")

    def __init__(self, recording: Recording) -> None:
        self._recording: Recording | None = recording
        self._turn = recording.turn

    def read(self, size: int | None = -1, /) -> bytes:
        """Return *size* bytes, fewer at the end; all that is left if it is negative or None."""
        return self._open().read(-1 if size is None else size)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the rest of the line, or its first *size* bytes."""
        return self._open().read_line(-1 if size is None else size)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Return the lines that are left, or those that begin in the next *hint* bytes."""
        lines, read = [], 0
        for line in self:
            lines.append(line)
            read += len(line)
            if hint is not None and 0 < hint <= read:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def close(self) -> None:
        """Let nobody read through this one any more."""
        self._recording = None

    def _open(self) -> Recording:
        recording = self._recording
        if recording is None or self._turn != recording.turn:
            raise ValueError(
                "wsgi.input must be read by the application whose turn it is, and before it"
                " is closed"
            )
        return recording
