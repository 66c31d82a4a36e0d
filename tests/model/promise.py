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

REPAIRS = ("closed", "late", "elsewhere", "")

ANYBODY = ("anybody", 0)  # as whose thread that counts which is only to be reported


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
        most: How many waiting bodies one request closes or reports, and at how many threads
            it looks for which some wait.
        waiting: What waits for each thread, the oldest first.
        turns: The threads for which something waits, in the order in which others look.
        events: What was closed, in this order: the body, the thread, and whether that was
            inside another close() on this thread.
        counts: How many bodies were repaired in which way.
    """

    most: int = 2
    bodies: dict[int, Body] = field(default_factory=dict)
    waiting: dict[tuple[str, int], list[Waiting]] = field(default_factory=dict)
    turns: list[tuple[str, int]] = field(default_factory=list)
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
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REPAIRS, 0))

    def copy(self):
        return replace(
            self,
            bodies={name: replace(body) for name, body in self.bodies.items()},
            waiting={
                owner: [replace(entry) for entry in entries]
                for owner, entries in self.waiting.items()
            },
            turns=list(self.turns),
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
                (
                    self._label(owner),
                    tuple(
                        "closed"
                        if entry.repaired
                        else (
                            names[entry.body],
                            self.bodies[entry.body].closed or entry.overdue,
                        )
                        for entry in self.waiting[owner]
                    ),
                )
                for owner in self.turns
            ),
            tuple(names[name] for name in self.traps if name in names),
            self.second_runs,
        )

    def queue(self):
        """Return what waits, as it can be seen from outside: bodies, or None once closed."""
        return [(self._label(owner), self._names(owner)) for owner in self.turns]

    def _names(self, owner):
        return [
            None if self._is_closed(entry.body) else entry.body for entry in self.waiting[owner]
        ]

    def entries(self):
        return [entry for entries in self.waiting.values() for entry in entries]

    def adopt(self, queue):
        """Take over the order of what a collection found: it is the collector's own."""
        if len(queue) != len(self.turns):
            return  # the comparison will say so
        places = [
            place
            for place, owner in enumerate(self.turns)
            if all(entry.found for entry in self.waiting[owner]) and self.waiting[owner]
        ]
        owners = [self.turns[place] for place in places]
        for place in places:
            label, names = queue[place]
            match = next(
                (
                    owner
                    for owner in owners
                    if self._label(owner) == label
                    and sorted(map(str, self._names(owner))) == sorted(map(str, names))
                ),
                owners[0],
            )
            owners.remove(match)
            self.turns[place] = match
        for owner, (_, names) in zip(self.turns, queue, strict=True):
            if len(names) == len(self.waiting[owner]):
                self._reorder(owner, names)

    def _reorder(self, owner, queue):
        names, entries = self._names(owner), self.waiting[owner]
        places = [place for place, entry in enumerate(entries) if entry.found]
        found = [(names[place], entries[place]) for place in places]
        for place in places:
            match = next((pair for pair in found if pair[0] == queue[place]), found[0])
            found.remove(match)
            entries[place] = match[1]

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
        if any(not entry.overdue for entry in self.entries()):
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
        for entry in self.entries():
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
                for entry in self.entries():
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
        return self._label(body.owner)

    def _label(self, owner):
        return owner[0] if owner == ANYBODY or self._runs(owner) else "ended"

    def _runs(self, owner):
        return owner == ("A", 0) or (self.second_runs and owner == ("B", self.second))

    def _is_newest(self, body):
        return self.serials[body.owner] == body.serial

    def _is_closed(self, name):
        return name not in self.bodies or self.bodies[name].closed

    def _forget(self):
        """Leave out what nobody has any more."""
        waits = {entry.body for entry in self.entries() if not entry.repaired}
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
            if here and self.collecting != thread and thread not in self.called:
                self._closes(thread, name, "closed")
                self._wait(ANYBODY, Waiting(name, "closed"))
            else:
                self._wait(body.owner, Waiting(name))
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
                self._wait(self.bodies[name].owner, Waiting(name, found=True))
        before, self.collecting = self.collecting, thread
        for name in self.traps:
            if name in self.bodies:
                self._close(thread, name)
        self.traps.clear()
        self.collecting = before

    def _wait(self, owner, entry):
        self.waiting.setdefault(owner, []).append(entry)
        if owner not in self.turns:
            self.turns.append(owner)

    def _settle(self, thread):
        """Between two requests: close what *thread* may close, its own first."""
        if thread in (self.collecting, *self.called, *self.settling):
            return
        self.settling.append(thread)
        settled = self._settle_those_of(self._thread(thread), thread, self.most)
        for _ in range(min(len(self.turns), self.most)):
            if settled == self.most:
                break
            owner = self.turns.pop(0)
            settled += self._settle_those_of(owner, thread, self.most - settled)
            if self.waiting[owner] and owner not in self.turns:
                self.turns.append(owner)
        self.settling.remove(thread)

    def _settle_those_of(self, owner, thread, most):
        settled = 0
        entries = self.waiting.get(owner, [])
        for _ in range(min(len(entries), most)):
            entry = entries[0]
            if (
                entry.repaired
                or self.bodies[entry.body].closed
                or owner == self._thread(thread)
            ):
                repair = "late"
            elif entry.overdue or not self._runs(owner):
                repair = "elsewhere"
            else:
                break  # the oldest is not overdue, and so none is
            entries.pop(0)
            settled += 1
            if entry.repaired:
                self.counts[entry.repaired] += 1
            elif not self.bodies[entry.body].closed:  # by another, while it waited
                self._closes(thread, entry.body, repair)
                self.counts[repair] += 1
        return settled
