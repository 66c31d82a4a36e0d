"""What the same applications cost in one order and in the other."""

from freedom_middleware import Cascade, CloseGuard, Hosts, Mount, When
from freedom_middleware.dispatch import path

from .guard import HEADERS, ignore
from .mount import asked
from .timing import shown, side_by_side


def answer(environ, start_response):
    start_response("200 OK", HEADERS)
    return [b"x"]


def missing(environ, start_response):
    start_response("404 Not Found", HEADERS)
    return [b"x"]


def main():
    ignore("200 OK", HEADERS)
    to_old = [(path("/x"), missing)]
    orders = {
        "nothing around": answer,
        "Mount, Cascade under /new": Mount(answer, {"/new": Cascade([missing, answer])}),
        "Cascade around everything": Cascade([Mount(None, {"/new": missing}), answer]),
        "Mount, When under /new": Mount(answer, {"/new": When(answer, to_old)}),
        "When around everything": When(
            Mount(answer, {"/new": answer}), [(path("/x"), missing)]
        ),
        "Hosts, Mount under each": Hosts(
            Mount(answer, {"/new": missing}), {"a.example": answer}
        ),
        "Mount, Hosts under each": Mount(
            Hosts(answer, {"a.example": answer}),
            {"/new": Hosts(missing, {"a.example": missing})},
        ),
        "CloseGuard around Mount": CloseGuard(Mount(answer, {"/new": missing})),
        "Mount around CloseGuard": Mount(CloseGuard(answer), {"/new": CloseGuard(missing)}),
    }
    cost = side_by_side({name: asked(made, "/about") for name, made in orders.items()})
    for name, nanoseconds in cost.items():
        print(f"  {name:<62}{shown(nanoseconds):>7}")
    names = list(cost)[1:]
    for cheap, dear in zip(names[::2], names[1::2], strict=True):
        print(f"  {dear} / {cheap:<44}{cost[dear] / cost[cheap]:>7.2f}")
