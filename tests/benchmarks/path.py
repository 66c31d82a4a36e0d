"""What each class puts on the path of a request: its time and its work, beside a peer's.

Where nobody else has the like, the peer is what one writes by hand.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from werkzeug.middleware.dispatcher import DispatcherMiddleware

from freedom_middleware import Application, Cascade, CloseGuard, Hosts, Mount, When
from freedom_middleware.dispatch import Methods, method, path

from . import cascade, guard, hosts, mount, when
from .timing import shown, side_by_side
from .work import Work, work_of


class Case(NamedTuple):
    """An application bare, behind a class of ours, and behind a peer.

    Attributes:
        request: Makes a request of an application: a function that sends it.
    """

    name: str
    request: Callable[[Any], Callable[[], object]]
    bare: object
    ours: object
    peer: str
    theirs: object

    def requests(self) -> dict[str, Callable[[], object]]:
        """Return the same request to each of the three."""
        three = {"bare": self.bare, "ours": self.ours, "theirs": self.theirs}
        return {name: self.request(application) for name, application in three.items()}


class Figures(NamedTuple):
    """What ours and theirs add to a bare request: nanoseconds and work."""

    ours_ns: float
    theirs_ns: float
    ours: Work
    theirs: Work


def instance(application):
    """Return a layer as most of them are: an instance that is called, and only forwards."""

    class Layer:
        def __call__(self, environ, start_response):
            return application(environ, start_response)

    return Layer()


def cases() -> list[Case]:
    """Return what is compared; the requests are those of the other parts."""
    listed, missing = guard.answering_a_list, cascade.passing
    body = guard.answering(guard.Body(1))
    mounts, names = {"/m00000": mount.answer}, {"m00000.example.org": hosts.answer}
    rules = [(path("/m00000") & method("GET"), when.answer)]

    def below(application):
        return mount.asked(application, "/m00000/x")

    def elsewhere(application):
        return mount.asked(application, "/nowhere/x")

    def by_host(application):
        return hosts.asked(application, "m00000.example.org")

    cheroot, by_hand = "cheroot's dispatcher", "a function that compares and copies"
    return [
        Case(
            "Application",
            guard.called,
            listed,
            Application(listed),
            "an instance that only forwards",
            instance(listed),
        ),
        Case(
            "CloseGuard, a list",
            guard.called,
            listed,
            CloseGuard(listed),
            "a function that only forwards",
            guard.forwarding(listed),
        ),
        Case(
            "CloseGuard, a body with close()",
            guard.served,
            body,
            CloseGuard(body),
            "Werkzeug's ClosingIterator",
            guard.closing(body),
        ),
        Case(
            "Mount, a prefix",
            below,
            mount.answer,
            Mount(mount.other, mounts),
            cheroot,
            mount.cheroot(mounts),
        ),
        Case(
            "Mount, the rest",
            elsewhere,
            mount.other,
            Mount(mount.other, mounts),
            cheroot,
            mount.cheroot(mounts),
        ),
        Case(
            "Mount(share=True), a prefix",
            below,
            mount.answer,
            Mount(mount.other, mounts, share=True),
            "Werkzeug's dispatcher",
            DispatcherMiddleware(mount.other, mounts),
        ),
        Case(
            "Hosts, a name",
            by_host,
            hosts.answer,
            Hosts(hosts.other, names),
            "Paste's URLMap",
            hosts.paste(names),
        ),
        Case(
            "Methods, GET",
            cascade.asked,
            listed,
            Methods({"GET": listed, "POST": missing}),
            by_hand,
            cascade.by_hand,
        ),
        Case(
            "When, a path and a method",
            when.asked,
            when.answer,
            When(when.other, rules),
            by_hand,
            when.by_hand(["/m00000"]),
        ),
        Case(
            "Cascade, the first",
            cascade.asked,
            listed,
            Cascade([listed, missing]),
            "Paste's cascade",
            cascade.paste([listed, missing]),
        ),
        Case(
            "Cascade, the second",
            cascade.asked,
            listed,
            Cascade([missing, listed]),
            "Paste's cascade",
            cascade.paste([missing, listed]),
        ),
    ]


def figures(case: Case) -> Figures:
    """Measure a case."""
    requests = case.requests()
    cost = side_by_side(requests, windows=600)
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
