"""Find the layers of a finished application, and drive each of them alone, in its place.

Look first, then touch: the finder sees the application as it is, and only then are probes
put where it said.  The layers outside give a layer a real environ; what it calls answers
synthetically; the probe above it acts as the server.  So no layer hides another's fault,
and the innermost application, with its database, is never called.
"""

from __future__ import annotations

import functools
import itertools
import re
import threading
import types
import weakref
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..environ import CHECKING
from ..ledger import Ledger
from ..origins import framework_of, where_of
from ..places import MISSING, Place, behind, is_a, lookup
from ..plausible import (
    ignores_start_response,
    is_telling,
    kind_by_looks,
    takes_requests,
)
from ..tree import Edge, adapted, candidates, describe, edges_of, name_of, package_of
from .between import called_in
from .hidden import forget, hidden_places
from .probe import Probe, Record, probe_for
from .requests import CREDENTIALS, Request, environ_for, requests_for
from .scenarios import SCENARIOS, Outcome, Scenario, answer, awaited, serve
from .swap import author_of, function_of, original_of, probe_in_code, view_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..wsgi import Body, Environ, StartResponse, WSGIApplication
    from .probe import Act

__all__ = ["Driven", "Layer", "Link", "Request", "Session", "numbered"]

WAIT_SECONDS = 0.3
"""How long a body that another thread may yet close is waited for."""

WAITS_IN_VAIN = 2
"""After so many waits for nothing, a layer is believed to close nothing later."""

_one_at_a_time = threading.RLock()


class Link:
    """The way from a layer to one that it may call; a probe stands there.

    Attributes:
        parent, child: The layers at its ends.
        label: When the parent chooses this child.
        routes: What the parent has written down on the way to it.
        sure: The finder says that this is a child; else it only could be called as one.
        places: Where the probe stands; none if it stands in the code of the child.
        hops: What the parent calls, as far as can be seen, and what then calls the child.
        request: What was seen to lead here, None if nothing did.
    """

    def __init__(self, parent: Layer, child: Layer, edge: Edge, *, sure: bool) -> None:
        self.parent, self.child, self.label, self.sure = parent, child, edge.label, sure
        self.places, self.routes, self.through = edge.places, edge.routes, edge.through
        self.request: Request | None = None
        self.hops: list[str] = []
        self.probes: list[tuple[Place, Probe]] = []


class Layer:
    """An application, and what was found out about it.

    Attributes:
        application: What is called.
        links: The ways to those that it may call.
        way: By which link it is reached from outside; None for the outermost, and for one
            that is driven alone.
        hops: What stands between it and its children, and cannot be told from it.
        is_bridge: What is called by it runs on another thread, as behind an ASGI application.
        patches: With what somebody has replaced its methods.
    """

    def __init__(self, application: Any, shown: Any) -> None:
        self.application = application
        self.shown = shown
        self.links: list[Link] = []
        self.hops: list[str] = []
        self.is_bridge = False
        self.patches: list[Any] = []
        self.way: Link | None = None
        self.waited_in_vain = 0

    @property
    def name(self) -> str:
        """What its user calls it, and what could not be told from it."""
        name = name_of(author_of(self.application) if self.links else self.shown)
        if self.patches:
            by = (framework_of(patch).rpartition(" ")[0] for patch in self.patches)
            names = zip(by, map(name_of, self.patches), strict=True)
            name += f" patched by {', '.join(dict.fromkeys(by or name for by, name in names))}"
        hops = dict.fromkeys([*self.hops, *(hop for link in self.driven for hop in link.hops)])
        return f"{name} with {', '.join(hops)} inside" if hops else name

    @property
    def origin(self) -> str:
        """The distribution that it comes from, or ``FILE:LINE``."""
        own = self.patches[0] if self.patches else author_of(self.application)
        told = describe(own)
        return where_of(view_of(own)) or told.framework or told.where

    @property
    def is_layer(self) -> bool:
        """Whether it certainly has children."""
        return any(link.sure for link in self.links)

    @property
    def driven(self) -> list[Link]:
        """The links that a request was seen to take."""
        return [link for link in self.links if link.request is not None]

    @property
    def is_guard(self) -> bool:
        """Whether it closes what is lost around it."""
        leaks = lookup(self.application, "leaks")
        return is_a(leaks, Ledger) and bool(leaks.repair)

    @property
    def is_guarded(self) -> bool:
        """Whether a guard stands directly inside it, whatever it calls."""
        return bool(self.driven) and all(link.child.is_guard for link in self.links)

    @property
    def requests(self) -> list[Request]:
        """The requests that make it call all of its children, in turn."""
        return list(dict.fromkeys(link.request for link in self.links if link.request))


class Driven:
    """What one layer did in one scenario: the server's side, and the records below."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.records: list[Record] = []
        self.buffered = False
        self.files_lost = False

    def let_go(self) -> None:
        """Keep no body any longer, so that a guard sees what is dropped."""
        for outcome in self.outcomes:
            outcome.body = None


def numbered(layers: Iterable[Layer]) -> dict[Layer, str]:
    """Return the name of each layer; one that occurs again gets a number."""
    seen = Counter[str]()
    names = {}
    for layer in layers:
        name = layer.name
        seen[name] += 1
        names[layer] = f"{name} #{seen[name]}" if seen[name] > 1 else name
    return names


class Session:
    """Probes between the layers of one application, until it is left.

    One check at a time: a second one waits.

    Attributes:
        layers: Those that were reached, outermost first.
        alone: Those among them that are called directly, since no request came through.
        unreached: What could not be tried: names, and labels.

    >>> from freedom_middleware import CloseGuard
    >>> from freedom_middleware.testing import hello
    >>> with Session(CloseGuard(hello)) as session:
    ...     [layer.name for layer in session.layers]
    ['CloseGuard', 'hello']
    """

    def __init__(
        self,
        application: WSGIApplication,
        paths: Sequence[str] = ("/",),
        *,
        inside: Callable[[WSGIApplication], WSGIApplication] | None = None,
    ) -> None:
        self._paths = list(paths)
        self._inside = inside
        self._number = itertools.count()
        self._set: list[tuple[Place, Any]] = []
        self._probes: list[weakref.ref[Probe]] = []
        self._acts: dict[Link, Act] | None = None
        self._known: dict[int, Layer] = {}
        self._told_apart: list[Any] = []
        self._application = application
        self.root: Layer
        self.layers: list[Layer] = []
        self.alone: list[Layer] = []
        self.unreached: list[str] = []
        self.baseline: list[str] = []

    def __enter__(self) -> Session:
        _one_at_a_time.acquire()
        try:
            self._find()
            while between := self._between():
                self._told_apart += between
                self._put_back()
                self._take_out()
                self._find()
            self.unreached = [
                f"{name_of(link.child.shown)} (in {f'{layer.name} {link.label}'.rstrip()})"
                for layer in self.layers
                for link in layer.links
                if link.request is None and link.sure and link.child not in self.layers
            ]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            stopped = self._put_back()
            self._take_out()
        except BaseException:  # interrupted: what is left is put back all the same
            self.__exit__()
            raise
        _one_at_a_time.release()
        if stopped is not None:
            raise stopped

    def _put_back(self, count: int = 0) -> Exception | None:
        """Undo all but the first *count* changes; return what one of them raised."""
        stopped: Exception | None = None
        while len(self._set) > count:
            place, value = self._set[-1]
            try:
                place.set(value)
            except Exception as error:  # noqa: BLE001 - the others are put back as well
                stopped = error
            self._set.pop()
        return stopped

    def _take_out(self) -> None:
        """Take out the probes that layers have put elsewhere, when they were first asked."""
        for layer in self._known.values():
            for link in layer.links:
                link.probes.clear()
        kept = {
            id(probe): probe for probe in (kept() for kept in self._probes) if probe is not None
        }
        for layer in self._known.values() if kept else ():
            own = layer.application
            for edge in candidates(own, look=hidden_places(own)):
                if id(edge.application) in kept:
                    for place in edge.places:
                        if place.path.endswith("()"):
                            forget(place)
                            continue
                        with suppress(AttributeError, TypeError, ValueError, LookupError):
                            place.set(kept[id(edge.application)]._freedom_target)

    def _find(self) -> None:
        self._known.clear()
        self.layers.clear()
        self.alone.clear()
        self.root = self._look(adapted(self._application), self._application, [])
        for layer in self._known.values():
            for link in layer.links:
                self._put(link)
        self._discover(self.root)

    def _between(self) -> list[Any]:
        """Return what stands between a layer and its children, and is a layer as well."""
        found: list[Any] = []
        for layer in self.layers:
            for link in [] if layer.is_bridge else layer.driven:
                things = [thing for thing in link.through if not self._is_told_apart(thing)]
                assert link.request is not None
                send = functools.partial(self._attempt, layer, link.request)
                found += called_in(send, things) if things else []
        return found

    def _is_told_apart(self, thing: Any) -> bool:
        return any(thing is each for each in self._told_apart)

    # -- look: nothing is touched, nothing is called --

    def _look(self, application: Any, shown: Any, above: list[Any]) -> Layer:
        layer = self._known[id(application)] = Layer(application, shown)
        for edge, sure in self._edges(layer, above):
            held = behind(edge.places[0].get()) if edge.places else adapted(edge.application)
            if any(held is outer for outer in (*above, application)):
                continue
            child = self._known.get(id(held))
            if child is None:
                child = self._look(held, edge.application, [*above, application])
            link = Link(layer, child, edge, sure=sure)
            through = edge.through[-1:] if layer.is_bridge else edge.through
            link.hops = [name_of(thing) for thing in through]
            layer.links.append(link)
        return layer

    def _edges(self, layer: Layer, above: list[Any]) -> Iterator[tuple[Edge, bool]]:
        """Yield the ways down, and whether they are sure; through an ASGI application too."""
        found = False
        original, patches = original_of(layer.application)
        own = package_of(layer.application)
        layer.patches = [patch for patch in patches if package_of(patch) != own]
        edges = edges_of(layer.application, above=above)
        if len(edges) > 1:
            edges = tuple(edge for edge in edges if not _is_helper(edge)) or edges
        for edge in edges:
            found = True
            if kind_by_looks(edge.application, telling=True) != "ASGI":
                yield edge, True
                continue
            below = self._guesses(edge.application, [*above, layer.application])
            if below:
                layer.hops.append(name_of(edge.application))
                layer.is_bridge = True
            for guess in below:
                yield guess, False
        if not found and patches:
            yield Edge("", original, ()), True
        elif not found:
            for guess in self._guesses(layer.application, above):
                yield guess, False

    def _guesses(self, application: Any, above: list[Any]) -> list[Edge]:
        """Return what lies deeper and is written as PEP 3333 applications are."""
        own = [*above, application]
        guesses = [
            guess
            for guess in candidates(application, look=hidden_places(application))
            if kind_by_looks(
                guess.application,
                telling=_tells(guess) or self._is_told_apart(guess.application),
            )
            and not _is_response(guess.application)
            and not any(
                guess.application is outer
                or _owner(guess.application) is outer
                or any(guess.application is proxy for proxy in weakref.getweakrefs(outer))
                for outer in own
            )
        ]
        paths = [place.path for guess in guesses for place in guess.places]
        return [
            guess
            for guess in guesses
            # What is inside another guess is that one's to call.
            if not any(_is_inside(guess.places[0], path) for path in paths)
        ]

    # -- touch --

    def _put(self, link: Link) -> None:
        if not link.places:
            self._put_in_code(link)
        for place in link.places:
            held = behind(place.get())
            if type(held).__mro__[1] is Probe or held is not link.child.application:
                continue  # somebody else's place as well
            kept = [(each, each.get()) for each in place.chain()]
            probe = probe_for(held, self._act_of(link))
            try:
                place.set(probe)
            except (AttributeError, TypeError, ValueError, LookupError):
                self._put_in_code(link)  # as where a layer is a tuple: it cannot be replaced
                continue
            self._set += kept
            link.probes.append((place, probe))
            self._probes.append(weakref.ref(probe))

    def _put_in_code(self, link: Link) -> bool:
        """Put a probe into the code of what is called, which stays what it is."""
        function = function_of(link.child.application)
        if function is None:
            return False
        for place, probe in link.probes:
            if place.get() is probe:
                self._set.append((place, probe))
                place.set(link.child.application)
        code = Place(
            "",
            "",
            functools.partial(getattr, function, "__code__"),
            functools.partial(setattr, function, "__code__"),
        )
        self._set.append((code, function.__code__))
        probe_in_code(link.child.application, function, self._act_of(link))
        return True

    def _act_of(self, link: Link) -> Act:
        def act(target: Any, environ: Environ, start_response: StartResponse) -> Body:
            acts = self._acts
            if acts is not None:
                environ[CHECKING] = True  # an ASGI application in between drops it
            chosen = _pass_on if acts is None else acts.get(link, _neutral)
            body: Body = chosen(target, environ, start_response)
            return body

        return act

    def _discover(self, layer: Layer) -> None:
        """Find requests that make *layer* call its children, and go on with those."""
        self.layers.append(layer)
        if not layer.links:
            return
        entry = layer.way.request if layer.way else None
        requests = requests_for(layer.links, entry or Request(self._paths[0]), self._paths)
        for request in requests:
            self._attempt(layer, request)
        if layer.is_layer and not layer.driven:
            self._insist(layer, requests)
        for request in requests[:1] if layer.driven else []:
            while any(link.request is None for link in layer.links):
                called = frozenset(layer.driven)
                self._attempt(layer, request._replace(refusing=request.refusing | called))
                if len(called) == len(layer.driven):
                    break
        for link in layer.links:
            child = link.child
            fresh = child not in self.layers
            if link.request is not None and fresh:
                child.way = link
            elif link.request is None and link.sure and fresh and child.is_layer:
                self.alone.append(child)  # nobody asks it, so the check does
            elif link.request is None or not fresh:
                continue
            self._discover(child)

    def _insist(self, layer: Layer, requests: list[Request]) -> None:
        """Try what else may make *layer* call its children, until something does."""
        count = len(self._set)
        put = [self._put_in_code(link) for link in layer.links if link.sure]
        if any(put):
            # It refuses whatever passes for what it holds.
            for request in requests:
                self._attempt(layer, request)
            if not layer.driven:
                self._put_back(count)
        # It, or what is around it, remembers what was asked before, or wants to know who asks.
        for asks, elsewhere in (((), True), (CREDENTIALS, False), (CREDENTIALS, True)):
            for request in () if layer.driven else requests:
                more = request._replace(asks=(*request.asks, *asks))
                self._attempt(layer, self._elsewhere(more) if elsewhere else more)

    def _elsewhere(self, request: Request) -> Request:
        """Return *request* for a path below its own that nobody has asked for yet."""
        path, mark, query = request.path.partition("?")
        below = f"{path.rstrip('/')}/{next(self._number)}"
        return request._replace(path=f"{below}{mark}{query}")

    def _attempt(self, layer: Layer, request: Request) -> None:
        """Send *request*, and note which of the children are called."""

        def noting(link: Link) -> Act:
            def act(_target: Any, environ: Environ, start_response: StartResponse) -> Body:
                if link.request is None:
                    link.request = request
                refuses = link in request.refusing
                return (_refuse if refuses else _neutral)(None, environ, start_response)

            return act

        reached: list[Any] = []

        def alone(target: Any, environ: Environ, start_response: StartResponse) -> Body:
            reached.append(target)
            return _read_here(target, environ, start_response)

        acts: dict[Link, Act] = {link: noting(link) for link in layer.links}
        if layer.way is not None:
            acts[layer.way] = alone
        outcome = self._send(layer, request, acts)
        if layer.way is not None and not reached:
            # What is around it remembers what it was asked before.
            request = self._elsewhere(request)
            self._send(layer, request, acts)
        if layer is self.root and request == Request(self._paths[0]):
            if outcome.raised:
                self.baseline = [f"{request} raised {outcome.raised[0]!r}"]
            elif outcome.status is None or outcome.status >= "500":
                self.baseline = [f"{request} is answered with {outcome.status}"]
            else:
                self.baseline = []

    # -- drive --

    def _send(self, layer: Layer, request: Request, acts: dict[Link, Act]) -> Outcome:
        """Send a request to the outermost layer on the way to *layer*."""
        entry, acts = layer, dict(acts)
        for link in request.refusing:
            acts.setdefault(link, _refuse)
        while entry.way is not None:
            acts.setdefault(entry.way, _read_here)
            entry = entry.way.parent
        self._acts = acts
        try:
            return serve(entry.application, self._environ(request), SCENARIOS["whole"])
        finally:
            self._acts = None

    def _environ(self, request: Request) -> Environ:
        return environ_for(request, next(self._number))

    def drive(
        self, layer: Layer, scenario: Scenario, request: Request, *, guarded: bool = False
    ) -> Driven:
        """Send *layer* a request, through those outside, and end it as *scenario* says.

        Where its children are not called, something may remember what it was asked before,
        so another path is tried.

        Args:
            layer: Which layer.
            scenario: How its children answer, and how the response is ended.
            request: One of its requests.
            guarded: Leave the guards that are its children where they are, and answer for
                what they guard.
        """
        driven = self._driven(layer, scenario, request, guarded)
        if driven.records:
            return driven
        again = self._driven(layer, scenario, self._elsewhere(request), guarded)
        return again if again.records else driven

    def _driven(
        self, layer: Layer, scenario: Scenario, request: Request, guarded: bool
    ) -> Driven:
        driven = Driven()
        if layer.is_bridge and scenario.most is not None:
            return driven  # a thread would wait for ever to hand over the next chunk
        if scenario.method != "GET":
            if request.method != "GET":
                return driven
            request = request._replace(method=scenario.method)
        reads_at_first: list[int] = []

        def note_first() -> None:
            if driven.records:
                reads_at_first.append(driven.records[-1].reads)

        def below(link: Link) -> Act:
            shown = SCENARIOS["refused"] if link in request.refusing else scenario

            def application(environ: Environ, start_response: StartResponse) -> Body:
                body, record = answer(shown, environ, start_response)
                driven.records.append(record)
                return body

            called = self._inside(application) if self._inside else application
            return lambda _target, environ, start_response: called(environ, start_response)

        def judged(target: Any, environ: Environ, start_response: StartResponse) -> Body:
            driven.outcomes.append(serve(target, environ, scenario, note_first))
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"judged"]

        acts: dict[Link, Act] = {link: below(link) for link in layer.links}
        if guarded:
            for link in layer.links:
                acts.update((inner, below(inner)) for inner in link.child.links)
            acts.update((link, _pass_on) for link in layer.links)
        if layer.way is None:
            self._acts = acts
            try:
                judged(layer.application, self._environ(request), lambda *_: lambda _data: None)
            finally:
                self._acts = None
        else:
            self._send(layer, request, {**acts, layer.way: judged})
        self._wait(layer, driven, scenario)
        last = len(scenario.chunks)
        driven.buffered = last > 1 and bool(reads_at_first) and reads_at_first[0] > last
        driven.files_lost = (
            scenario.name == "file"
            and bool(driven.records)
            and not any(outcome.is_file or outcome.raised for outcome in driven.outcomes)
        )
        return driven

    def _wait(self, layer: Layer, driven: Driven, scenario: Scenario) -> None:
        """Give other threads a while to close what is not closed yet."""
        if scenario.drops or layer.waited_in_vain >= WAITS_IN_VAIN:
            return
        if not awaited(lambda: all(record.closes for record in driven.records), WAIT_SECONDS):
            layer.waited_in_vain += 1


def _is_inside(place: Place, path: str) -> bool:
    return place.path.startswith((f"{path}.", f"{path}[", f"{path}<", f"{path}(", f"{path}:"))


def _tells(guess: Edge) -> bool:
    """Say whether the name tells under which a guess is held.

    Further in, only a variable of a function does, or of a module that the layer itself names,
    and not if what it holds takes anything: a proxy may.
    """
    place = guess.places[0]
    if not is_telling(place.name):
        return False
    if place.path == f".{place.name}":
        return True
    return (
        place.path.endswith(f"<{place.name}>")
        or place.path == f":{place.name}"
        or re.fullmatch(rf":\w+\['{place.name}'\]", place.path) is not None
    ) and takes_requests(guess.application)


def _is_helper(edge: Edge) -> bool:
    """Say whether a variable holds what is called as an application is, and answers nothing."""
    return (
        bool(edge.places)
        and all(
            place.path in (f".{place.name}", f"<{place.name}>") and not is_telling(place.name)
            for place in edge.places
        )
        and ignores_start_response(edge.application)
    )


def _is_response(thing: Any) -> bool:
    """Say whether *thing* only answers for itself, as WebOb's and Werkzeug's responses do."""
    return lookup(thing, "headers") is not MISSING and any(
        lookup(thing, name) is not MISSING for name in ("status", "status_code", "code")
    )


def _owner(thing: Any) -> Any:
    return thing.__self__ if type(thing) is types.MethodType else thing


def _pass_on(target: Any, environ: Environ, start_response: StartResponse) -> Body:
    body: Body = target(environ, start_response)
    return body


def _read_here(target: Any, environ: Environ, start_response: StartResponse) -> Body:
    """Read and close what *target* answers: what is around it may not."""
    serve(target, environ, SCENARIOS["whole"])
    return _neutral(target, environ, start_response)


def _neutral(_target: Any, _environ: Environ, start_response: StartResponse) -> Body:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"one"]


def _refuse(_target: Any, _environ: Environ, start_response: StartResponse) -> Body:
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"no"]
