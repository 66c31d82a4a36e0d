"""Note, for each body that has ``close()``, that it was opened, closed, and let go.

A note is a line in a file of the process, written at once: a server that is killed has noted
what it did until then.  The body stays what it is, of a class that is a subclass of its own.
Only where its class cannot be replaced, as that of a generator, a body of ours stands for it.
"""

import atexit
import gc
import itertools
import os
import weakref

OPENED, CLOSED, GONE, PLAIN = "opened", "closed", "gone", "plain"


class Notes:
    """The notes of this process.

    Attributes:
        last: The number of the response with ``close()`` that was opened last.
    """

    def __init__(self, folder):
        self._folder = folder
        self._begin()
        os.register_at_fork(after_in_child=self._begin)
        atexit.register(self._end)

    def _begin(self):
        path = os.path.join(self._folder, str(os.getpid()))
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        self._process = os.getpid()
        self._numbers = itertools.count(1)
        self._open = {}
        self.last = 0

    def _end(self):
        if os.getpid() == self._process:
            gc.collect()  # what is in a cycle is let go as well

    def _note(self, what, number=0, more=""):
        os.write(self._file, f"{what} {number} {more}\n".encode())

    def opened(self, body, before):
        """Note that *body* was returned, and return it so that its end is noted.

        One that was opened after *before* has been noted in the same call, further in.
        """
        if getattr(body, "close", None) is None:
            self._note(PLAIN)
            return body
        if type(body).__module__.startswith("freedom_middleware."):
            return body  # it stands for one that was noted further in
        known = getattr(body, KEY, None)
        if known is None:
            kind = f"{type(body).__module__}.{type(body).__qualname__}"
            known = Known(next(self._numbers), kind)
            body = self._followed(body, known)
        elif known.serial > before:
            return body
        self.last = known.serial = self.last + 1
        self._note(OPENED, known.number, known.kind)
        return body

    def closed(self, known):
        """Note that a body is being closed."""
        self._note(CLOSED, known.number)

    def _followed(self, body, known):
        kind = type(body)
        try:
            self._follow(body, known.number)
            if "close" in vars(body):  # as some servers' file wrappers have it
                body.close = Closing(body.close, self, known)
            elif hasattr(kind, "close"):
                body.__class__ = subclass_of(kind, self)
            else:
                raise TypeError("its close() comes from __getattr__")
            vars(body)[KEY] = known
        except TypeError:
            body = CountedBody(body, self, known)
            self._follow(body, known.number)
        return body

    def _follow(self, body, number):
        def gone(_):
            self._open.pop(number, None)
            self._note(GONE, number)

        # Kept here: one that is garbage together with its body calls nobody.
        self._open[number] = weakref.ref(body, gone)


KEY = "transparency_known"


class Known:
    """What is known of a body; it stays with it."""

    def __init__(self, number, kind):
        self.number = number
        self.kind = kind
        self.serial = 0


class Closing:
    """Stands for a ``close`` that a body has in its ``__dict__``."""

    def __init__(self, close, notes, known):
        self._close = close
        self._notes = notes
        self._known = known

    def __call__(self):
        self._notes.closed(self._known)
        return self._close()


def subclass_of(kind, notes, made={}):  # noqa: B006 - each class is made once
    """Return a subclass of *kind* that looks like it and notes ``close()``."""
    if kind not in made:

        def close(self):
            notes.closed(vars(self)[KEY])
            return kind.close(self)

        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        made[kind] = type(kind)(
            kind.__name__, (kind,), {**names, "__slots__": (), "close": close}
        )
    return made[kind]


class CountedBody:
    """Stands for a body whose class cannot be replaced: a generator, or one written in C."""

    def __init__(self, body, notes, known):
        self._body = body
        self._notes = notes
        vars(self)[KEY] = known

    def __iter__(self):
        return iter(self._body)

    def __next__(self):
        return next(self._body)

    def __getattr__(self, name):
        return getattr(self._body, name)

    def close(self):
        self._notes.closed(vars(self)[KEY])
        return self._body.close()
