"""The public names as a user's type checker sees them; checked by pyright, never run.

What is ignored here is wrong on purpose: an ignore that is not needed is an error too.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import assert_type
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from webob import Request, Response

import freedom_middleware
from freedom_middleware import Application, Cascade, CloseGuard, Hosts, Mount, When, explain
from freedom_middleware.cookies import Collision, collisions
from freedom_middleware.dispatch import Methods, Predicate, header, method, path, predicate
from freedom_middleware.dispatch.explanation import Explanation
from freedom_middleware.dispatch.table import Table
from freedom_middleware.errors import FreedomError, MountError
from freedom_middleware.findings import Finding, LayerFinding, LeakCount
from freedom_middleware.freedom.users import UserGuard
from freedom_middleware.leaks import LeakWatch, Report, check
from freedom_middleware.ledger import Ledger, snapshot
from freedom_middleware.serve import Server
from freedom_middleware.testing import Exchange, exchange
from freedom_middleware.tree import Edge, Node, children_of, draw, edges_of, walk


def plain(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    return [b""]


def generator(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    yield b""


def view(request: Request) -> Response:
    return Response(request.path)


def told(finding: Finding) -> None:
    assert_type(finding.where, str)


site = Application.from_settings("mysite.settings", override=True)
assert_type(site, Application)
assert_type(Application.from_view(view), Application)
assert_type(Application.from_directory("/srv", index="a.html", max_age_seconds=60), Application)
assert_type(Application.from_directory(Path("/srv")), Application)
assert_type(Application.from_redirect("/new", permanent=True), Application)
assert_type(Application("shop:app", name="shop"), Application)

mount = Mount(site, {"/a": plain, "/b": generator, "/c": "c:app", "/d": Application(plain)})
assert_type(mount.mounts, Table)
mount.mounts["/e"] = plain
mount.mounts.replace({"/f": plain})
del mount.mounts["/f"]
Mount(None, {}, back=("REMOTE_USER",), share=True, slash="redirect")

hosts = Hosts(site, {"example.org": plain, "*.example.org:8080": "b:app"}, back=(), share=True)
assert_type(hosts.hosts, Table)


def in_french(request: Request) -> bool:
    return "fr" in request.accept_language


api = path("/api") & ~method("POST", "PUT") | header("X-Tier", "beta")
assert_type(api & in_french, Predicate)
assert_type(predicate(in_french, vary=("Accept-Language",)), Predicate)
when = When(None, [(api, plain), (in_french, "fr:app")], back=(), share=True)
assert_type(when.cases[0], tuple[Predicate, Application])
assert_type([question for question, _ in when.cases], list[Predicate])
when.cases.append((path("/reports") & in_french, plain))
when.cases[0] = (lambda request: request.GET.get("new") == "1", "new:app")
assert_type(when.counts(), dict[str, dict[str, int]])

cascade = Cascade([mount, "legacy:app"], on={404}, limit=10_000, marker="X-Cascade", back=["X"])
assert_type(cascade.applications[0], Application)
assert_type(cascade.applications[:1], list[Application])
cascade.applications.append(plain)
cascade.applications.insert(0, "new:app")

methods = Methods({"GET": plain, "POST": "shop:app"}, back=("REMOTE_USER",), share=True)
assert_type(methods.methods, Table)


def counted(leak: LeakCount) -> None:
    assert_type(leak.mount + leak.id + leak.repair + leak.where, str)
    assert_type(leak.times, int)


guarded = CloseGuard(mount, repair=False, on_leak=told, on_count=counted)
assert_type(guarded.leaks, Ledger)
assert_type(guarded.leaks.snapshot(), tuple[LeakCount, ...])
assert_type(guarded.leaks.total("late"), int)
assert_type(snapshot(), tuple[LeakCount, ...])

# Names that are loaded when they are asked for are no more lenient than others.
assert_type(freedom_middleware.Cascade([plain]).applications.pop(), Application)
freedom_middleware.Cascad  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]

# Whatever is an application for us is one for everybody.
everybody: list[WSGIApplication] = [guarded, mount, hosts, when, cascade, methods, site]
everybody.append(Application(plain))
CloseGuard(CloseGuard(Mount(guarded, {"/again": guarded})))

assert_type(exchange(guarded, "/"), Exchange)
assert_type(draw(guarded), str)
assert_type(list(walk(guarded)), list[Node])
assert_type(collisions(guarded), list[Collision])
assert_type(edges_of(guarded), tuple[Edge, ...])
for _, child in children_of(guarded):
    everybody.append(child)
assert_type(explain(guarded, "/shop", headers={"Host": "a"}).next, tuple[Explanation, ...])
assert_type(str(explain("shop:app", {"PATH_INFO": "/"}, method="PUT")), str)
with Server(guarded, port=0) as server:
    assert_type(server.address, str)
assert_type(check(guarded, paths=["/shop"], inside=CloseGuard), Report)


def lost(finding: LayerFinding) -> None:
    assert_type(finding.label + finding.id + finding.detail, str)


watch = LeakWatch(guarded, sample=0.01, on_leak=lost)
assert_type(watch.counts(), dict[tuple[str, str], int])
assert_type(watch.unreached, list[str])
everybody += [watch, UserGuard("shop:app", allow=lambda user: user.is_staff)]

try:
    Mount(None, {"shop": plain})
except MountError as error:
    wrong_prefix: FreedomError = error

# What is wrong is an error, before anything is run.
Mount(plain, ["/shop", plain])  # pyright: ignore[reportArgumentType]
Mount({"/shop": plain})  # pyright: ignore[reportCallIssue]
Mount(plain, {"/shop": 42})  # pyright: ignore[reportArgumentType]
Mount(plain, {}, slash="strip")  # pyright: ignore[reportArgumentType]
mount.mounts["/g"] = 42  # pyright: ignore[reportArgumentType]
CloseGuard(42)  # pyright: ignore[reportArgumentType]
CloseGuard(plain, True)  # pyright: ignore[reportCallIssue]
CloseGuard(plain, on_leak=counted)  # pyright: ignore[reportArgumentType]
LeakWatch(plain, on_leak=told)  # pyright: ignore[reportArgumentType]
Hosts(plain, [("example.org", plain)])  # pyright: ignore[reportArgumentType]
Methods(plain)  # pyright: ignore[reportArgumentType]
When(plain, {path("/a"): plain})  # pyright: ignore[reportArgumentType]
When(plain, [(lambda: True, plain)])  # pyright: ignore[reportArgumentType]
when.cases.append(plain)  # pyright: ignore[reportArgumentType]
combined = path("/a") & 42  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
Cascade(plain)  # pyright: ignore[reportArgumentType]
Cascade([plain], on=404)  # pyright: ignore[reportArgumentType]
cascade.applications.append(42)  # pyright: ignore[reportArgumentType]
Application(None)  # pyright: ignore[reportArgumentType]
UserGuard(plain, bool)  # pyright: ignore[reportCallIssue]
check(guarded, "/shop")  # pyright: ignore[reportCallIssue]
