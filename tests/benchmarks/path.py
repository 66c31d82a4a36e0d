"""What each class puts on the path of a request: its time and its work, beside a peer's.

Where nobody else has the like, the peer is what one writes by hand.
"""

from collections.abc import Callable
from typing import NamedTuple

from werkzeug.middleware.dispatcher import DispatcherMiddleware

from freedom_middleware import Application, Cascade, CloseGuard, Hosts, Mount, When
from freedom_middleware.dispatch import Methods, method, path

from . import cascade, guard, hosts, mount, when
from .timing import shown, side_by_side
from .work import Work, work_of


class Case(NamedTuple):
    """Requests to the same application: bare, behind a class of ours, and behind a peer."""

    name: str
    peer: str
    bare: Callable[[], object]
    ours: Callable[[], object]
    theirs: Callable[[], object]


class Figures(NamedTuple):
    """What ours and theirs add to a bare request: nanoseconds and work."""

    ours_ns: float
    theirs_ns: float
    ours: Work
    theirs: Work


def closed(application):
    """Return a layer as most of them are: a class whose instances are called."""

    class Layer:
        def __call__(self, environ, start_response):
            return application(environ, start_response)

    return Layer()


def cases() -> list[Case]:
    """Return what is compared; the requests are those of the other parts."""
    listed = guard.answering_a_list
    body = guard.answering(guard.Body(1))
    two = {"/m00000": mount.answer}
    named = {"m00000.example.org": hosts.answer}
    host = "m00000.example.org"
    to_path = [(path("/m00000") & method("GET"), when.answer)]
    chosen = [listed, cascade.passing]
    passed = [cascade.passing, listed]

    def mounted(application, below="/m00000/x"):
        return mount.asked(application, below)

    return [
        Case(
            "Application",
            "an instance that only forwards",
            guard.called(listed),
            guard.called(Application(listed)),
            guard.called(closed(listed)),
        ),
        Case(
            "CloseGuard, a list",
            "a function that only forwards",
            guard.called(listed),
            guard.called(CloseGuard(listed)),
            guard.called(guard.forwarding(listed)),
        ),
        Case(
            "CloseGuard, a body with close()",
            "Werkzeug's ClosingIterator",
            guard.served(body),
            guard.served(CloseGuard(body)),
            guard.served(guard.closing(body)),
        ),
        Case(
            "Mount, a prefix",
            "cheroot's dispatcher",
            mounted(mount.answer),
            mounted(Mount(mount.other, two)),
            mounted(mount.cheroot(two)),
        ),
        Case(
            "Mount, the rest",
            "cheroot's dispatcher",
            mounted(mount.other, "/nowhere/x"),
            mounted(Mount(mount.other, two), "/nowhere/x"),
            mounted(mount.cheroot(two), "/nowhere/x"),
        ),
        Case(
            "Mount(share=True), a prefix",
            "Werkzeug's dispatcher",
            mounted(mount.answer),
            mounted(Mount(mount.other, two, share=True)),
            mounted(DispatcherMiddleware(mount.other, two)),
        ),
        Case(
            "Hosts, a name",
            "Paste's URLMap",
            hosts.asked(hosts.answer, host),
            hosts.asked(Hosts(hosts.other, named), host),
            hosts.asked(hosts.paste(named), host),
        ),
        Case(
            "Methods, GET",
            "a function that compares and copies",
            cascade.asked(listed),
            cascade.asked(Methods({"GET": listed, "POST": cascade.passing})),
            cascade.asked(cascade.by_hand),
        ),
        Case(
            "When, a path and a method",
            "a function that compares and copies",
            when.asked(when.answer),
            when.asked(When(when.other, to_path)),
            when.asked(when.by_hand(["/m00000"])),
        ),
        Case(
            "Cascade, the first",
            "Paste's cascade",
            cascade.asked(listed),
            cascade.asked(Cascade(chosen)),
            cascade.asked(cascade.paste(chosen)),
        ),
        Case(
            "Cascade, the second",
            "Paste's cascade",
            cascade.asked(listed),
            cascade.asked(Cascade(passed)),
            cascade.asked(cascade.paste(passed)),
        ),
    ]


def figures(case: Case, *, windows: int = 200) -> Figures:
    """Measure a case."""
    requests = {"bare": case.bare, "ours": case.ours, "theirs": case.theirs}
    cost = side_by_side(requests, windows=windows)
    work = {name: work_of(request) for name, request in requests.items()}
    return Figures(
        cost["ours"] - cost["bare"],
        cost["theirs"] - cost["bare"],
        work["ours"] - work["bare"],
        work["theirs"] - work["bare"],
    )


def main():
    print(f"  {'':<34}{'adds':>9}{'calls':>7}{'instr.':>8}  / the peer's time, instructions")
    for case in cases():
        found = figures(case)
        ratios = [
            f"{found.ours_ns / found.theirs_ns:.2f}",
            f"{found.ours.instructions / found.theirs.instructions:.2f}",
        ]
        print(
            f"  {case.name:<34}{shown(found.ours_ns):>9}{found.ours.calls:>7}"
            f"{found.ours.instructions:>8}  {'  '.join(ratios)}  {case.peer}"
        )
