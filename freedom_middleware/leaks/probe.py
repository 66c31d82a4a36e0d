"""Probes: stand at a boundary, and write down what one side does with a response.

Rule 1: a probe hands out an iterator that is another object than the body and has no
``close()``.  A body that is its own iterator hides the commonest mistake, which is to close
the iterator.

Rule 2: a record holds the body that it is about, so that no collector closes it.  What is
not closed by the time its layer was closed is lost; no verdict waits for garbage.

Rule 3: a second close is counted, and goes no further.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from ..origins import relative

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from ..wsgi import Body, Environ, StartResponse, WSGIApplication

    Act = Callable[[WSGIApplication, Environ, StartResponse], Body]

__all__ = [
    "Call",
    "FalseWhenEmpty",
    "File",
    "LikeGenerator",
    "OtherIterator",
    "OwnIterator",
    "Probe",
    "Record",
    "SubList",
    "probe_for",
]


_SERVER = f"{__package__}.scenarios"


def line_of(file: str, line: int) -> str:
    """Return ``FILE:LINE`` as people write it."""
    return f"{relative(file).rpartition('site-packages/')[2]}:{line}"


class Call:
    """One call of ``close()``: on which thread, and from which line."""

    __slots__ = ("thread", "where")

    def __init__(self, depth: int) -> None:
        self.thread = threading.current_thread()
        frame = sys._getframe(depth)
        self.where = line_of(frame.f_code.co_filename, frame.f_lineno)
        if frame.f_globals.get("__name__") == _SERVER:
            self.where = "the end of a generator"  # whose ``yield from`` closes what it reads


class Record:
    """What a layer did with one body that it was handed.

    Attributes:
        body: The body.
        opened_on: The thread on which it was handed over.
        closes: Each ``close()``.
        reads: How many chunks were asked for.
        reads_after_close: How many of them after the first ``close()``.
        ended: The body was read to its end, or raised.
        sought_on_iterator: ``close`` was looked up on the iterator, which has none.
        before_first_read: Called then.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.body: object = None
        self.opened_on = threading.current_thread()
        self.closes: list[Call] = []
        self.reads = 0
        self.reads_after_close = 0
        self.ended = False
        self.sought_on_iterator = False
        self.before_first_read: Callable[[], object] | None = None
        self._error = error

    def close(self) -> None:
        """Count a close; raise, if this body's close is to raise."""
        self.closes.append(Call(3))
        if self._error is not None and len(self.closes) == 1:
            raise self._error

    def read(self) -> None:
        """Count a chunk that was asked for."""
        self.reads += 1
        self.reads_after_close += bool(self.closes)
        if self.before_first_read is not None:
            start, self.before_first_read = self.before_first_read, None
            start()


class _Chunks:
    """The iterator of a body: another object, and without ``close()``."""

    def __init__(self, chunks: Iterable[bytes | Exception], record: Record) -> None:
        self._left = iter(chunks)
        self._record = record

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._record.read()
        chunk = next(self._left, None)
        if isinstance(chunk, bytes):
            return chunk
        self._record.ended = True
        raise StopIteration if chunk is None else chunk

    def __getattr__(self, name: str) -> Any:
        # ``yield from`` looks it up by itself where a generator is closed by the check.
        if name == "close" and sys._getframe(1).f_globals.get("__name__") != _SERVER:
            self._record.sought_on_iterator = True
        raise AttributeError(name)


class OtherIterator:
    """A body as Django's are: its iterator is another object."""

    def __init__(self, chunks: Iterable[bytes | Exception], record: Record) -> None:
        self._chunks = chunks
        self._record = record
        record.body = self

    def __iter__(self) -> Iterator[bytes]:
        return _Chunks(self._chunks, self._record)

    def close(self) -> None:
        """Count it."""
        self._record.close()


class FalseWhenEmpty(OtherIterator):
    """A body that has a length, and so is false when it holds nothing."""

    def __len__(self) -> int:
        return len(list(self._chunks))


class OwnIterator(_Chunks):
    """A body as a generator is: its own iterator."""

    def __init__(self, chunks: Iterable[bytes | Exception], record: Record) -> None:
        super().__init__(chunks, record)
        record.body = self

    def close(self) -> None:
        """Count it."""
        self._record.close()


class LikeGenerator(OwnIterator, Generator[bytes, None, None]):  # type: ignore[misc]
    """A body that is a generator by ``isinstance``, and counts its closes."""

    def send(self, value: None, /) -> bytes:
        """Read on; what is sent is not wanted."""
        return next(self)

    def throw(self, *error: Any) -> bytes:
        """Raise, as a generator that catches nothing does."""
        raise error[0]

    def close(self) -> None:
        """Count it."""
        self._record.close()


class SubList(list[Any]):
    """A list that has to be closed."""

    def __init__(self, chunks: Iterable[bytes | Exception], record: Record) -> None:
        super().__init__(chunks)
        self._record = record
        record.body = self

    def __iter__(self) -> Iterator[Any]:
        return _Chunks(list.__iter__(self), self._record)

    def close(self) -> None:
        """Count it."""
        self._record.close()


class File:
    """What a server's ``wsgi.file_wrapper`` is given."""

    def __init__(self, chunks: Iterable[bytes], record: Record) -> None:
        self._left = list(chunks)
        self._record = record
        record.body = self

    def read(self, size: int = -1) -> bytes:
        """Return the next chunk, whatever the *size*."""
        self._record.read()
        self._record.ended = not self._left
        return self._left.pop(0) if self._left else b""

    def close(self) -> None:
        """Count it."""
        self._record.close()


class Probe:
    """Stands in the place of an application, and passes for it.

    What is called as PEP 3333 says goes to *act*; any other call, and any attribute, to the
    application itself.

    Attributes of the class, which no application has:
        _freedom_target: The application.
        _freedom_act: Called with the application, the environ and start_response.
    """

    _freedom_target: Any
    _freedom_act: Act

    def __init__(self, target: Any, act: Act) -> None:
        object.__setattr__(self, "_freedom_target", target)
        object.__setattr__(self, "_freedom_act", act)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Do what is to be done with a request; pass any other call on."""
        request = request_in(arguments, keywords)
        if request is None:
            return self._freedom_target(*arguments, **keywords)
        return self._freedom_act(self._freedom_target, *request)

    @property
    def __class__(self) -> type:
        return type(self._freedom_target)

    @__class__.setter
    def __class__(self, value: type) -> None:
        self._freedom_target.__class__ = value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._freedom_target, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._freedom_target, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._freedom_target, name)

    def __eq__(self, other: object) -> bool:
        return bool(self._freedom_target == getattr(other, "_freedom_target", other))

    def __hash__(self) -> int:
        return hash(self._freedom_target)

    def __repr__(self) -> str:
        return repr(self._freedom_target)

    def __get__(self, instance: object, owner: type | None = None) -> Self:
        return self  # a function in an instance is no method, and neither is this


def request_in(
    arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> tuple[Environ, StartResponse] | None:
    """Return environ and start_response if that is what an application was called with."""
    given = [*arguments, *keywords.values()]
    if len(given) != 2 or not callable(given[1]):
        return None
    environ = given[0]
    return (environ, given[1]) if isinstance(environ, dict) and _KEY in environ else None


_KEY = "REQUEST_METHOD"

_FORWARDED = (
    *("__len__", "__bool__", "__iter__", "__contains__", "__getitem__", "__setitem__"),
    *("__delitem__", "__enter__", "__exit__"),
)


def probe_for(target: Any, act: Act, **more: Any) -> Probe:
    """Return a probe that has the special methods which the class of *target* has.

    Args:
        target: The application.
        act: See :class:`Probe`.
        more: Attributes for its class, which no other probe shares.
    """
    methods = {name: _forwarding(name) for name in _FORWARDED if hasattr(type(target), name)}
    probe: Probe = type("Probe", (Probe,), methods | more)(target, act)
    return probe


def _forwarding(name: str) -> Any:
    def method(self: Probe, *arguments: Any) -> Any:
        return getattr(self._freedom_target, name)(*arguments)

    return method
