"""The real guard, driven one operation at a time on two real threads."""

import gc
import logging
import os
import sys
import threading
import warnings
from contextlib import contextmanager
from io import BytesIO
from queue import SimpleQueue
from wsgiref.util import FileWrapper

from freedom_middleware import CloseGuard, dropped
from freedom_middleware.errors import UnclosedBodyWarning

from . import promise

MOST_AT_ONCE = 2

CHILD = [
    None,
    "the child raised",
    "the child closed what its parent opened",
    "the child could not close by hand",
    "the child did not close its own",
]


class Source:
    """The body of an application; it writes down who closes it."""

    def __init__(self, world, name, kind):
        self.world, self.name, self.kind = world, name, kind
        self.read = BytesIO().read  # a file, for wsgi.file_wrapper

    def __iter__(self):
        yield b"x"
        if self.kind == promise.BREAKS:
            raise LookupError("on purpose")

    def close(self):
        names = self.world.names
        self.world.events.append((self.name, names.name, names.closing))
        self.world.closes[self.name] = self.world.closes.get(self.name, 0) + 1
        if self.kind == promise.OPENS:
            before, names.closing = names.closing, True
            self.world.respond(Quiet).close()
            names.closing = before
        if self.kind == promise.AGAIN and self.name in self.world.held:
            self.world.held[self.name].close()
        if self.kind == promise.FAILS:
            raise LookupError("on purpose")


class Quiet:
    """A body that the model does not follow."""

    def __iter__(self):
        return iter(())

    def close(self):
        pass


class Passing:
    """A layer's body that passes close() on."""

    def __init__(self, body, name):
        self._body = body
        self.name = name

    def __iter__(self):
        return iter(self._body)

    def close(self):
        self._body.close()


class Finalizer:
    """Does something when the collector finds it."""

    def __init__(self, act):
        self.act = act
        self.cycle = self

    def __del__(self):
        self.act()


class Losing(Passing):
    """A layer's body that lets go of what it holds, and does not close it."""

    def __iter__(self):
        yield from self._body
        self._body = None

    def close(self):
        self._body = None


class World:
    """Two threads that make requests under one guard, and hold what they get."""

    def __init__(self):
        self.guard = CloseGuard(lambda environ, start_response: environ["model"]())
        self.nested = CloseGuard(lambda e, s: Passing(self.guard(e, s), self.opened + 1))
        self.lossy = CloseGuard(lambda e, s: Losing(self.guard(e, s), self.opened + 1))
        self.clock = 0.0
        self.boxes = {"A": SimpleQueue(), "B": SimpleQueue()}
        self.names = threading.local()
        self.names.name, self.names.closing = "A", False
        self.second = None
        self.begin()

    def begin(self):
        self.events, self.closes, self.held, self.opened = [], {}, {}, 0
        self.unraisable = []
        self.deep = 0  # how often this thread is inside a call or a collection
        self.outer = set()  # bodies of a guard around a guard
        self.owners = {}  # the names of the threads that opened something
        self.before = self._totals()

    def counts(self):
        return {name: total - self.before[name] for name, total in self._totals().items()}

    def queue(self):
        """Return what waits, as the model sees it: for whom, and the bodies."""
        return [
            (self._label(thread), [self._name_of(*drop._pending) for drop in thread.drops])
            for thread in dropped.waiting
        ]

    def _label(self, thread):
        if thread is dropped._anybody:
            return "anybody"
        return self.owners[thread] if thread.alive else "ended"

    def thread(self):
        return self.names.name

    def respond(self, model, guard=None):
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "model": model}
        environ["wsgi.file_wrapper"] = FileWrapper
        return (guard or self.guard)(environ, None)

    # -- operations --

    def perform(self, op):
        """Do *op*; return the name of the exception that it raised, or None."""
        self.events.clear()
        return self._do(op)

    def finish(self):
        """Let go of everything; return how often those were closed that were not once."""
        for name in list(self.held):
            self.held.pop(name)
        gc.collect()
        for _ in range(20):
            if not dropped.waiting:
                break
            self._on("A", self._request)
            if dropped.waiting and self.second is not None:
                self._on("B", self._request)
        wrong = {}
        for name in range(self.opened):
            if name not in self.outer and self.closes.get(name, 0) != 1:
                wrong[name] = self.closes.get(name, 0)
        return wrong

    def stop(self):
        self._end()

    def _do(self, op):
        match op:
            case ["open", thread, kind]:
                return self._on(thread, lambda: self._open(kind))
            case ["request", thread]:
                return self._on(thread, self._request)
            case ["read", name]:
                return self._on("A", lambda: self._read(name))
            case ["close", thread, name]:
                return self._on(thread, lambda: self.held[name].close())
            case ["drop", thread, name]:
                return self._on(thread, lambda: self._drop(name))
            case ["cycle", name]:
                return self._on("A", lambda: self._cycle(name))
            case ["trap", name]:
                return self._on("A", lambda: self._trap(name))
            case ["collect", thread]:
                return self._on(thread, self._collect)
            case ["end"]:
                return self._end()
            case ["pass"]:
                self.clock += 1000.0
                return None
            case ["inside", thread, inner]:
                return self._on(thread, lambda: self._inside(inner))
            case ["fork"]:
                return self._on("A", self._fork)
            case ["finalizer", thread, inner]:
                return self._on(thread, lambda: self._finalizer(inner))
        raise AssertionError(op)

    def _open(self, kind):
        name = self.opened
        guard = {promise.NESTED: self.nested, promise.LOSSY: self.lossy}.get(kind)

        def application():
            source = Source(self, name, kind)
            return FileWrapper(source) if kind == promise.FILE else source

        body = self.respond(application, guard)
        self.owners[dropped.here.thread] = self.thread()
        self.opened += 2 if guard else 1
        if guard:
            self.outer.add(name + 1)
        self.held[self.opened - 1] = body

    def _request(self):
        self.respond(list)

    def _read(self, name):
        for _ in self.held[name]:
            pass

    def _drop(self, name):
        del self.held[name]

    def _cycle(self, name):
        cycle = [self.held.pop(name)]
        cycle.append(cycle)

    def _trap(self, name):
        Finalizer(self._closer(self.held.pop(name)))

    def _closer(self, body):
        def close():
            try:
                body.close()
            except LookupError:
                pass

        return close

    def _collect(self):
        gc.collect()

    def _inside(self, inner):
        raised = []

        def application():
            raised.append(self._do(inner))
            return []

        self.deep += 1
        try:
            self.respond(application)
        finally:
            self.deep -= 1
        return raised[0]

    def _finalizer(self, inner):
        raised = []
        deep = self.thread() == "A"
        Finalizer(lambda: raised.append(self._do(inner)))
        self.deep += deep
        try:
            gc.collect()
        finally:
            self.deep -= deep
        return raised[0]

    def _fork(self):
        """Make a child, and let it look: it must close nothing of its parent's."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # there is a second thread
            child = os.fork()
        if child == 0:
            status = 1
            try:
                status = self._child()
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return CHILD[status]

    def _child(self):
        before = dict(self.closes)
        kept = next(iter(self.held.items()), None)
        self.held.clear()
        gc.collect()
        self._request()
        if self.closes != before:
            return 2
        if kept is not None:
            name, body = kept
            body.close()
            if self.closes.get(name, 0) != 1:
                return 3
        if not self.deep:
            self._open(promise.PLAIN)
            own = self.opened - 1
            self._drop(own)
            if self.closes.get(own, 0) != 1:
                return 4
        return 0

    # -- the two threads --

    def _on(self, thread, act):
        """Run *act* on *thread*, and wait for it; meanwhile that one may ask for this."""
        asking = self.thread()
        if thread == asking:
            return self._run(act)
        if thread == "B" and self.second is None:
            self.second = threading.Thread(target=self._serve, daemon=True)
            self.second.start()
        self.boxes[thread].put((act, asking))
        del act
        while True:
            asked, answer = self.boxes[asking].get()
            if asked is None:
                return answer
            self.boxes[answer].put((None, self._run(asked)))
            del asked

    def _run(self, act):
        try:
            return act()
        except LookupError as error:
            return type(error).__name__
        except Exception as error:  # noqa: BLE001 - no operation may raise another
            return repr(error)

    def _serve(self):
        self.names.name, self.names.closing = "B", False
        while True:
            asked, asking = self.boxes["B"].get()
            if asked is None:
                return
            answer = self._run(asked)
            del asked
            self.boxes[asking].put((None, answer))

    def _end(self):
        if self.second is not None:
            self.boxes["B"].put((None, "A"))
            self.second.join()
            self.second = None

    # -- what can be seen --

    def _totals(self):
        guards = (self.guard, self.nested, self.lossy)
        return {
            repair: sum(guard.leaks.total(repair) for guard in guards)
            for repair in promise.REPAIRS
        }

    def _name_of(self, body=None):
        """Return the name of a body that can be closed, or None."""
        owner = getattr(getattr(body, "close", None), "__self__", None)  # the file's own
        return getattr(owner, "name", None)


@contextmanager
def quiet_world():
    """Give a World: a clock of its own, a short queue, and no collection but ours."""
    logger = logging.getLogger("freedom_middleware.leaks")
    level = logger.level
    limit, clock = dropped.MOST_AT_ONCE, dropped.monotonic
    enabled = gc.isenabled()
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if processors:  # one thread at a time runs: on one processor they take turns faster
        os.sched_setaffinity(0, {sorted(processors)[os.getpid() % len(processors)]})
    hook = sys.unraisablehook
    logger.setLevel(logging.CRITICAL)
    gc.disable()
    gc.collect()
    gc.freeze()
    world = World()
    dropped.MOST_AT_ONCE = MOST_AT_ONCE
    dropped.monotonic = lambda: world.clock
    sys.unraisablehook = lambda args: world.unraisable.append(repr(args.exc_value))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnclosedBodyWarning)
            yield world
            world.stop()
    finally:
        dropped.MOST_AT_ONCE, dropped.monotonic = limit, clock
        while dropped.waiting:
            thread = dropped.waiting.popleft()
            thread.announced = False
            thread.drops.clear()
        sys.unraisablehook = hook
        logger.setLevel(level)
        gc.unfreeze()
        if processors:
            os.sched_setaffinity(0, processors)
        if enabled:
            gc.enable()
