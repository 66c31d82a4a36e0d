"""What CloseGuard promises, as a model that can be run.

The model knows bodies, threads and what waits, and nothing of how the guard is made.  It
says which bodies an operation closes, on which thread and in which order.  The promise
itself is in ``Promise._closes``: whatever the model lets happen is held against it there.

Operations are tuples:

    open THREAD KIND    a request; its response is held
    request THREAD      a request whose response has nothing to close
    read BODY           to its end, on the first thread
    close THREAD BODY   as a server does, or a layer
    drop THREAD BODY    let its last reference go
    cycle BODY          let go of it, but in a reference cycle
    trap BODY           the same, with a layer that closes it when the collector finds it
    collect THREAD      run the garbage collector
    end                 of the second thread
    pass                more time than a body waits for its own thread
    inside THREAD OP    a request whose application does OP while it is called
    fork                a child process, which tries to close what is not its own
    finalizer THREAD OP a collection that runs a finalizer, which does OP
"""

from dataclasses import dataclass, field, replace

THREADS = ("A", "B")

PLAIN = "plain"
FAILS = "fails"  # close() raises
BREAKS = "breaks"  # reading raises
OPENS = "opens"  # close() makes a request of its own, and closes it
AGAIN = "again"  # close() calls itself, through the guard
FILE = "file"  # made by the server's wsgi.file_wrapper
NESTED = "nested"  # two guards, and between them a layer that passes close() on
LOSSY = "lossy"  # two guards, and between them a layer that loses it

LAYERS = (NESTED, LOSSY)


@dataclass(slots=True)
class Body:
    kind: str
    owner: tuple[str, int]  # the thread's name, and which of that name
    serial: int
    where: str = "held"  # then "inside" another, "cycle", "trap", "dropped"
    closed: bool = False
    read: bool = False
    inner: int | None = None


@dataclass(slots=True)
class Waiting:
    body: int
    repaired: str = ""  # "closed": it was, and waits to be reported
    overdue: bool = False
    found: bool = False  # by the collector, in the last operation


@dataclass(slots=True)
class Promise:
    """The state of the world.

    Attributes:
        most: How many waiting bodies one request closes or reports.
        events: What was closed, in this order: the body, the thread, and whether that was
            inside another close() on this thread.
        counts: How many bodies were repaired in which way.
    """

    most: int = 2
    bodies: dict[int, Body] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    opened: int = 0
    serials: dict[tuple[str, int], int] = field(default_factory=dict)
    traps: list[int] = field(default_factory=list)
    second: int = 0  # which second thread this is
    second_runs: bool = False
    collecting: str = ""  # the thread that is
    called: list[str] = field(default_factory=list)  # threads inside a guarded call
    settling: list[str] = field(default_factory=list)
    closing: list[str] = field(default_factory=list)  # threads inside a close()
    events: list[tuple[int, str, bool]] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: {"closed": 0, "late": 0, "elsewhere": 0, "left": 0}
    )

    def copy(self):
        return replace(
            self,
            bodies={name: replace(body) for name, body in self.bodies.items()},
            waiting=[replace(entry) for entry in self.waiting],
            serials=dict(self.serials),
            traps=list(self.traps),
            closing=[],
            called=[],
            settling=[],
            events=[],
            counts=dict(self.counts),
        )

    def key(self):
        """Return what tells this state from others, whatever led to it."""
        names = {name: place for place, name in enumerate(sorted(self.bodies))}
        return (
            tuple(
                (
                    body.kind,
                    self._owner(body),
                    self._is_newest(body),
                    body.where,
                    body.closed,
                    body.read,
                    names.get(body.inner),
                )
                for _, body in sorted(self.bodies.items())
            ),
            tuple(
                "closed"
                if entry.repaired
                else (names[entry.body], self.bodies[entry.body].closed or entry.overdue)
                for entry in self.waiting
            ),
            tuple(names[name] for name in self.traps if name in names),
            self.second_runs,
        )

    def queue(self):
        """Return what waits, as it can be seen from outside: bodies, or None once closed."""
        return [None if self._is_closed(entry.body) else entry.body for entry in self.waiting]

    def adopt(self, queue):
        """Take over the order of what a collection found: it is the collector's own."""
        names = self.queue()
        places = [place for place, entry in enumerate(self.waiting) if entry.found]
        found = [(names[place], self.waiting[place]) for place in places]
        if len(queue) != len(names):
            return  # the comparison will say so
        for place in places:
            match = next((pair for pair in found if pair[0] == queue[place]), found[0])
            found.remove(match)
            self.waiting[place] = match[1]

    # -- what can happen --

    def operations(self, kinds, most_bodies, wrapped=True):
        """Return every operation that is possible now."""
        held = [name for name, body in self.bodies.items() if body.where == "held"]
        simple = [("collect", thread) for thread in THREADS]
        for name in held:
            simple += [(act, thread, name) for act in ("close", "drop") for thread in THREADS]
        found = [("request", thread) for thread in THREADS]
        found += simple
        if len(self.bodies) < most_bodies:
            found += [("open", thread, kind) for thread in THREADS for kind in kinds]
        for name in held:
            found += [("cycle", name), ("trap", name)]
            if not self.bodies[name].read and not self.bodies[name].closed:
                found.append(("read", name))
        if self.second_runs:
            found.append(("end",))
        if any(not entry.overdue for entry in self.waiting):
            found.append(("pass",))
        if wrapped:
            found += [("inside", op[1], op) for op in simple]
            found += [
                ("finalizer", thread, op)
                for thread in THREADS
                for op in simple
                if op[0] != "collect"
            ]
        return found

    def perform(self, op):
        """Do *op*; return the name of the exception that it raises, or None."""
        self.events.clear()
        for entry in self.waiting:
            entry.found = False
        raised = self._do(op)
        self._forget()
        return raised

    def _do(self, op):
        match op:
            case ["open", thread, kind]:
                self._enter(thread)
                self._open(thread, kind)
            case ["request", thread]:
                self._enter(thread)
            case ["read", name]:
                return self._read(self.bodies[name])
            case ["close", thread, name]:
                self._start(thread)
                return self._close(thread, name)
            case ["drop", thread, name]:
                self._start(thread)
                self._drop(thread, name)
            case ["cycle" | "trap" as where, name]:
                self.bodies[name].where = where
                if where == "trap":
                    self.traps.append(name)
            case ["collect", thread]:
                self._start(thread)
                self._collect(thread)
            case ["end"]:
                self.second_runs = False
            case ["pass"]:
                for entry in self.waiting:
                    entry.overdue = True
            case ["inside", thread, inner]:
                self._enter(thread)
                self.called.append(thread)
                raised = self._do(inner)
                self.called.remove(thread)
                return raised
            case ["finalizer", thread, inner]:
                self._start(thread)
                self._collect(thread)
                self.collecting = thread
                raised = self._do(inner)
                self.collecting = ""
                return raised
        return None

    # -- the parts of it --

    def _start(self, thread):
        if thread == "B" and not self.second_runs:
            self.second_runs = True
            self.second += 1

    def _thread(self, name):
        return (name, self.second if name == "B" else 0)

    def _owner(self, body):
        return body.owner[0] if self._runs(body.owner) else "ended"

    def _runs(self, owner):
        return owner == ("A", 0) or (self.second_runs and owner == ("B", self.second))

    def _is_newest(self, body):
        return self.serials[body.owner] == body.serial

    def _is_closed(self, name):
        return name not in self.bodies or self.bodies[name].closed

    def _forget(self):
        """Leave out what nobody has any more."""
        waits = {entry.body for entry in self.waiting if not entry.repaired}
        for name, body in sorted(self.bodies.items(), reverse=True):  # the outer one first
            gone = body.where == "dropped" and name not in waits
            if body.where == "inside":
                gone = all(outer.inner != name for outer in self.bodies.values())
            if gone:
                assert body.closed, "never"
                del self.bodies[name]

    def _enter(self, thread):
        """A guarded call begins."""
        self._start(thread)
        self._settle(thread)

    def _serial(self, thread):
        owner = self._thread(thread)
        self.serials[owner] = self.serials.get(owner, 0) + 1
        return self.serials[owner]

    def _open(self, thread, kind):
        body = Body(kind, self._thread(thread), self._serial(thread))
        self.bodies[self.opened] = body
        self.opened += 1
        if kind in LAYERS:
            body.kind, body.where = PLAIN, "inside"
            outer = Body(kind, body.owner, self._serial(thread), inner=self.opened - 1)
            self.bodies[self.opened] = outer
            self.opened += 1

    def _read(self, body):
        body.read = True
        if body.kind == LOSSY:
            # As a generator does that ends: it lets go in the middle of the reading.
            self._drop("A", body.inner)
        return "LookupError" if body.kind == BREAKS else None

    def _close(self, thread, name):
        """Someone outside calls close()."""
        body = self.bodies[name]
        if body.closed:
            return None
        if body.kind == FILE and self.collecting == thread:
            return None  # its own finalizer calls what it finds: it is dropped as well
        raised = self._closes(thread, name)
        self._settle(thread)
        return raised

    def _closes(self, thread, name, guard=""):
        """The body is closed: is that allowed?  *guard* says as what the guard does it."""
        body = self.bodies[name]
        assert not body.closed, "twice"
        if guard:
            assert body.where in ("dropped", "cycle", "inside"), "early"
            assert self.collecting != thread, "within a collection"
            assert thread not in self.called, "while an application is being called"
            if guard != "elsewhere":
                assert body.owner == self._thread(thread), "on a thread not its own"
        body.closed = True
        if body.kind in LAYERS:
            inner = self.bodies.get(body.inner)
            if inner is not None and body.kind == NESTED:
                self._close(thread, body.inner)
            elif inner is not None and inner.where == "inside":
                self._drop(thread, body.inner)
            return None
        self.events.append((name, thread, thread in self.closing))
        if body.kind == OPENS:
            self.closing.append(thread)
            self._settle(thread)
            self._serial(thread)
            self._settle(thread)
            self.closing.remove(thread)
        return "LookupError" if body.kind == FAILS else None

    def _drop(self, thread, name):
        """The last reference goes."""
        body = self.bodies[name]
        body.where = "dropped"
        if not body.closed:
            here = body.owner == self._thread(thread) and self._is_newest(body)
            if here and not self.collecting and thread not in self.called:
                self._closes(thread, name, "closed")
                self.waiting.append(Waiting(name, "closed"))
            else:
                self.waiting.append(Waiting(name))
                return  # what it holds waits with it
        if body.inner in self.bodies and self.bodies[body.inner].where == "inside":
            self._drop(thread, body.inner)

    def _collect(self, thread):
        """What is in a cycle, or held by that, is found in the order it was made."""
        found = {name for name, body in self.bodies.items() if body.where in ("cycle", "trap")}
        found |= {
            self.bodies[name].inner
            for name in found
            if self.bodies[name].inner in self.bodies
            and self.bodies[self.bodies[name].inner].where == "inside"
        }
        for name in sorted(found):
            self.bodies[name].where = "dropped"
            if not self.bodies[name].closed:
                self.waiting.append(Waiting(name, found=True))
        before, self.collecting = self.collecting, thread
        for name in self.traps:
            if name in self.bodies:
                self._close(thread, name)
        self.traps.clear()
        self.collecting = before

    def _settle(self, thread):
        """Between two requests: close what *thread* may close."""
        if thread in (self.collecting, *self.called, *self.settling):
            return
        self.settling.append(thread)
        settled = 0
        for _ in range(len(self.waiting)):
            if settled == self.most:
                break
            entry = self.waiting.pop(0)
            settled += 1
            if entry.repaired:
                self.counts[entry.repaired] += 1
                continue
            body = self.bodies[entry.body]
            if body.closed:
                continue  # by another, while it waited
            if body.owner == self._thread(thread):
                repair = "late"
            elif entry.overdue or not self._runs(body.owner):
                repair = "elsewhere"
            else:
                self.waiting.append(entry)
                settled -= 1
                continue
            self._closes(thread, entry.body, repair)
            self.counts[repair] += 1
        self.settling.remove(thread)
