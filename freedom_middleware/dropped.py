"""Bodies that were dropped unclosed: who closes them, when, and who is told.

A body may be dropped anywhere: at the end of a loop, inside another request, by the
garbage collector on a thread that never saw the response.  What ``close()`` runs is the
framework's: it may take locks, and it hands back the connections *of the thread it runs
on*.  So there are four rules for this file.

Rule 1: in a finalizer, foreign code runs only where an explicit ``close()`` could stand
as well: on the thread that opened the body, outside its collections, with no later
response on that thread that could lose its connections.  Anything else is put in
``waiting``, and closed between two requests.

Rule 2: a finalizer takes no lock, logs nothing and warns of nothing; ``deque.append`` is
all it needs.

Rule 3: identities are objects.  ``get_ident()`` is given to the next thread at once, and
greenlets share it.

Rule 4: a request looks at a few of those that wait, however many do.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from _thread import get_ident
from collections import deque
from time import monotonic

from . import ledger
from .environ import CHECKING, MOUNTED, request_line, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any, Protocol

    from .ledger import Ledger
    from .wsgi import Environ

    class Claim(Protocol):
        """What a guarded body remembers: the right to close, and where it was opened."""

        _pending: list[Any]
        _thread: Thread
        _serial: int
        _environ: Environ
        _ledger: Ledger


__all__ = [
    "AT_ONCE",
    "Drop",
    "Thread",
    "collecting_here",
    "dropped",
    "enter",
    "raced",
    "settle",
    "settle_after_close",
    "start",
    "waiting",
]

MOST_AT_ONCE = 16
"""How many waiting bodies one request closes or reports, at the most.

It looks at no more threads than that for which bodies wait.
"""

MOST_MORE_AT_EXIT = 1000
"""How many bodies are closed when the process ends that were dropped after it had begun to.

What is told of a body may drop others, and a process must end.
"""

OVERDUE_SECONDS = 30.0
"""How long a body waits for its own thread before any thread may close it."""


class Thread:
    """A thread, or a greenlet, on which bodies are opened, and the drops that wait for it."""

    __slots__ = ("alive", "announced", "drops", "process", "serial", "settling")

    def __init__(self, process: object) -> None:
        self.process = process
        self.alive = True
        self.serial = 0
        self.settling = False
        self.drops: deque[Drop] = deque()
        self.announced = False

    def announce(self) -> None:
        """Have every thread know that something waits here; also called in finalizers."""
        if not self.announced:
            self.announced = True
            waiting.append(self)

    def settle(self, thread: Thread | None, most: int) -> int:
        """Settle those of the drops here that *thread* may; return how many.

        The oldest comes first, so where it is not due none is.
        """
        settled = 0
        for _ in range(min(len(self.drops), most)):
            try:
                if self.drops[0].due(thread) is None:
                    break
                drop = self.drops.popleft()
            except IndexError:  # another thread was faster
                break
            settled += drop.settle(thread)
        return settled


class _Life:
    """Lives in the thread's own storage only, and so dies with the thread."""

    __slots__ = ("_thread",)

    def __init__(self, thread: Thread) -> None:
        self._thread = thread

    def __del__(self) -> None:
        self._thread.alive = False


def _without_frames(error: Exception, handled: BaseException | None) -> Exception:
    # A traceback holds frames, these their callers, and they what these opened: other bodies.
    # The error that was being handled meanwhile is its handler's, and so is its traceback.
    chain: list[BaseException] = [error]
    while chain:
        link = chain.pop()
        if link is handled or link.__traceback__ is None:
            continue
        link.__traceback__ = None
        if link.__cause__ is not None and link.__cause__ is handled:
            link.__cause__ = None
        if link.__context__ is handled:
            link.__context__ = None
        chain += [other for other in (link.__cause__, link.__context__) if other is not None]
    return error


class Drop:
    """One dropped body, from its finalizer to its report."""

    __slots__ = (
        "_ledger",
        "_pending",
        "_since",
        "_taken",
        "error",
        "id",
        "is_told",
        "mount",
        "place",
        "repair",
        "request",
        "thread",
    )

    def __init__(self, claim: Claim) -> None:
        self.thread = claim._thread
        self.id = "close-lost"
        self.repair = ""
        self.error: Exception | None = None
        self._pending = claim._pending
        self._ledger = claim._ledger
        self.place: tuple[str, int] | None = None
        self.request, self.mount = "?", ""
        self.is_told = True
        self._since = monotonic()
        self._taken = False

    def describe(self, environ: Environ) -> None:
        """Remember which request it was, and not the environ: uWSGI uses it for the next.

        Also called in finalizers, and so it raises nothing.
        """
        try:
            self.is_told = CHECKING not in environ
            self.request = request_line(environ)
            self.mount = text(environ.get(MOUNTED, ""))
        except Exception:  # noqa: BLE001, S110 - it is counted all the same
            pass

    def wait(self) -> None:
        """Wait for the thread that may close the body, or for any if there is but to report."""
        thread = self.thread if self._pending else _anybody
        thread.drops.append(self)
        thread.announce()

    def due(self, thread: Thread | None) -> str | None:
        """Say as what *thread* may close the body: None while it is not its turn.

        Where the process ends, *thread* is None and it is everybody's turn.  So it is where
        nothing will be closed.
        """
        if not self._pending or thread is self.thread or not self._ledger.repair:
            return "late"
        overdue = monotonic() - self._since > OVERDUE_SECONDS
        ownerless = thread is None or not self.thread.alive
        return "elsewhere" if overdue or ownerless else None

    def close(self, repair: str) -> None:
        """Close the body, unless that has been done; remember what it raised."""
        try:
            body = self._pending.pop()
        except IndexError:
            return
        self._taken = True
        if self._ledger.repair:
            self.repair = repair
            handled = sys.exc_info()[1]
            try:
                body.close()
            except Exception as error:  # noqa: BLE001 - it is reported
                self.error = _without_frames(error, handled)

    def settle(self, thread: Thread | None) -> bool:
        """Close the body if it is due, and report it; else say that it waits on: False.

        A signal or a timeout may interrupt this anywhere.
        """
        try:
            repair = self.due(thread)
            if repair is not None:
                self.close(repair)
        finally:
            if self._pending:
                self.wait()
            elif self._taken:  # else it was closed after all, by another finalizer
                try:
                    self.report()
                except Exception as error:  # noqa: BLE001 - no request fails for it
                    ledger.unraisable(error)
        return not self._pending

    def report(self) -> None:
        """Count the drop and tell whoever listens; never called in a finalizer."""
        if not self.is_told:
            return
        from .findings import Finding

        where = "{}:{}".format(*self.place) if self.place else ""
        finding = Finding(self.id, self.request, where, self.repair, self.error)
        self._ledger.record(finding, self.mount, self.place)


waiting: deque[Thread] = deque()
"""The threads for which a drop waits: each once, and perhaps one for which none does."""

guarded_calls: set[CodeType] = set()
"""The code of every function that calls an application under guard."""

# A thread's own storage, and who it is from: made at the first request, and again when
# gevent has patched threading since.  None has no attribute ``thread`` either.
here: Any = None
threading: Any = None
_made: dict[Any, Any] = {}

_process = object()
_finishing: object = None  # the process in which that has been seen to

# Any thread may report what has been closed.
_anybody = Thread(_process)

_collecting = False
_collector = 0
_started = False

AT_ONCE = hasattr(gc, "callbacks") and "free-threading" not in sys.version
"""Whether a finalizer can be told from other code, so that it may close.

On PyPy it runs between any two steps of any thread.  Where threads are free, so does that of
what another thread let go of last: it is left to the one that made the object, and nothing
tells it from a drop of its own.
"""

_COLLECTIONS_AT_EXIT = 1 if hasattr(gc, "callbacks") else 10


def start() -> None:
    """Watch the collector, forks and the end of the process; once, at the first guard."""
    global _started
    if not _started:
        _started = True
        if hasattr(gc, "callbacks"):
            gc.callbacks.append(_watch_collector)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_forget)
        atexit.register(_finish)


def enter() -> Thread:
    """Return the thread that is running, on its first guarded response or later."""
    global here, threading
    if not _storage_is_right():
        import threading

        # One for all threads that come here at once.  Whoever had an older one is no
        # thread any more, but a number of greenlets.
        storage = _made.setdefault(threading.local, threading.local())
        for kind in list(_made):
            if kind is not type(storage):
                _made.pop(kind, None)
        here = storage
    try:
        thread: Thread = here.thread
    except AttributeError:
        thread = here.thread = Thread(_process)
        here.life = _Life(thread)
        _finish_with_multiprocessing()
    return thread


def _finish_with_multiprocessing() -> None:
    """Have a process of ``multiprocessing`` finish: before Python 3.13 it runs no atexit.

    Such is a worker of granian.  It may have been forked after the guard was made, and when
    it begins it forgets what was to be done at the end.
    """
    global _finishing
    if _finishing is not _process:
        _finishing = _process
        process = sys.modules.get("multiprocessing.process")
        if process is not None and process.parent_process() is not None:
            from multiprocessing.util import Finalize

            Finalize(None, _finish, exitpriority=0)


def _storage_is_right() -> bool:
    """Say whether threads are what they were when ``here`` was made: gevent changes that."""
    return here is not None and type(here) is threading.local


def dropped(claim: Claim) -> None:
    """Take over a body whose last reference has gone; called by its finalizer.

    It is closed at once if an explicit ``close()`` could stand here, else later.
    """
    thread = claim._thread
    if thread.process is not _process or sys.is_finalizing():
        return  # the body of a parent process, or too late to run anything
    drop = Drop(claim)
    try:
        drop.describe(claim._environ)
        # A collection on another thread is no concern of this one, which let go by itself.
        collected = collecting_here() or _watch_collector not in getattr(gc, "callbacks", ())
        frame = sys._getframe(1).f_back  # None where no Python code runs: a server in C
        if frame is not None and not collected:
            drop.place = _place_of(frame)
        if not collected and (
            not claim._ledger.repair  # nothing of ours runs; nobody has it who could close it
            or (
                AT_ONCE
                and getattr(here, "thread", None) is thread
                and _storage_is_right()
                and thread.serial == claim._serial
                and not _inside_a_call(frame)
            )
        ):
            drop.close("closed")
    finally:  # whatever interrupts this
        drop.wait()


def _place_of(frame: FrameType) -> tuple[str, int]:
    # None is the line of what the compiler adds: it lets go of an error that was handled,
    # and so of the frames that raised it.
    code, line = frame.f_code, frame.f_lineno
    return code.co_filename, code.co_firstlineno if line is None else line


def raced(claim: Claim) -> None:
    """Have it reported that a body was closed while another thread was executing it.

    Not here: whoever closes may be a finalizer.
    """
    drop = Drop(claim)
    drop.describe(claim._environ)
    drop.id, drop._pending, drop._taken = "close-raced", [], True
    drop.wait()


def settle_after_close() -> None:
    """Settle, unless it may be a finalizer that has closed: then the next request does."""
    if AT_ONCE:
        settle()


def settle() -> int:
    """Close what this thread may close, and report what was closed; return how many.

    Called between two requests: before a guarded call, or after a guarded close.
    """
    thread = enter()
    if thread.settling or collecting_here() or _inside_a_call(sys._getframe(1).f_back):
        return 0
    thread.settling = True
    try:
        settled = thread.settle(thread, MOST_AT_ONCE)
        # Its own were looked at first.  Two threads that only took turns at a common queue
        # could show one another the wrong ones forever.
        for _ in range(min(len(waiting), MOST_AT_ONCE)):
            if settled == MOST_AT_ONCE:
                break
            settled += _settle_next(thread, MOST_AT_ONCE - settled)
        return settled
    finally:
        thread.settling = False


def _settle_next(thread: Thread | None, most: int) -> int:
    """Settle what *thread* may of what waits for the thread that was announced first."""
    try:
        waiting[0].announced = False  # first: if this is interrupted, it can be announced anew
        owner = waiting.popleft()
    except IndexError:  # another thread was faster
        return 0
    owner.announced = False
    try:
        return owner.settle(thread, most)
    finally:
        if owner.drops:
            owner.announce()


def _inside_a_call(frame: FrameType | None) -> bool:
    """Say whether an application under guard is being called, from *frame* outwards.

    A response that is still being made uses the connections that a close would give back.
    """
    while frame is not None:
        if frame.f_code in guarded_calls:
            return True
        frame = frame.f_back
    return False


def _watch_collector(phase: str, _info: dict[str, int]) -> None:
    # The reference count cannot tell a collection: a generator that is collected drops
    # what its frame holds one reference at a time, like any other code.
    global _collecting, _collector
    _collector = get_ident()
    _collecting = phase == "start"


def collecting_here() -> bool:
    """Say whether this thread is collecting garbage: then a finalizer is what runs.

    A collection is shorter than its thread, so here the ident can only be that thread's.
    """
    return _collecting and _collector == get_ident() and _watch_collector in gc.callbacks


def _forget() -> None:
    """Start afresh in a forked child: what the parent opened is the parent's to close."""
    global here, _anybody, _collecting, _process
    here = None
    # Where a finalizer forked, the child goes on with the collection; else that was on a
    # thread which it does not have.
    _collecting = collecting_here()
    _made.clear()
    waiting.clear()
    _process = object()
    _anybody = Thread(_process)
    ledger.forget()


def _finish() -> None:
    """Close what is left when the process ends, whichever thread opened it.

    What is in a cycle has to be found now: the interpreter's last collection comes when
    nothing can be run any more.  So has what the last error keeps that was printed, with
    the frames of its traceback; the interpreter lets go of that next, and too late.  On PyPy
    each collection finds the outermost finalizers only: those of the layers come first.
    """
    for name in ("last_exc", "last_value", "last_traceback"):
        vars(sys).pop(name, None)
    for _ in range(_COLLECTIONS_AT_EXIT):
        gc.collect()
    stopped: BaseException | None = None
    left = sum(1 + len(thread.drops) for thread in tuple(waiting)) + MOST_MORE_AT_EXIT
    while waiting and left > 0:
        left -= 1
        try:
            left -= _settle_next(None, left)
        except BaseException as error:  # noqa: BLE001 - raised once all are closed
            stopped = error
    if stopped is not None:
        raise stopped
