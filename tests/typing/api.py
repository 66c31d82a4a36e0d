"""The public names as a user's type checker sees them; checked by pyright, never run."""

from collections.abc import Iterable, Iterator
from typing import assert_type
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from webob import Request, Response

from freedom_middleware import Application, Cascade, CloseGuard, Mount
from freedom_middleware.dispatch import Methods
from freedom_middleware.dispatch.table import Series, Table
from freedom_middleware.findings import Finding
from freedom_middleware.serve import Server
from freedom_middleware.testing import Exchange, exchange
from freedom_middleware.tree import Node, draw, walk


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
assert_type(Application("shop:app", name="shop"), Application)

mount = Mount(site, {"/a": plain, "/b": generator, "/c": "c:app", "/d": Application(plain)})
assert_type(mount.mounts, Table)
mount.mounts["/e"] = plain
mount.mounts.replace({"/f": plain})
del mount.mounts["/f"]
Mount(None, {}, back=("REMOTE_USER",), share=True, slash="redirect")

cascade = Cascade([mount, "legacy:app"], on={404}, limit=10_000, marker="X-Cascade", back=["X"])
assert_type(cascade.applications, Series)
cascade.applications.append(plain)

methods = Methods({"GET": plain, "POST": "shop:app"}, back=("REMOTE_USER",), share=True)
assert_type(methods.methods, Table)

guarded = CloseGuard(mount, repair=False, on_leak=told)

# Whatever is an application for us is one for everybody.
everybody: list[WSGIApplication] = [guarded, mount, cascade, methods, site, Application(plain)]
CloseGuard(CloseGuard(Mount(guarded, {"/again": guarded})))

assert_type(exchange(guarded, "/"), Exchange)
assert_type(draw(guarded), str)
assert_type(list(walk(guarded)), list[Node])
with Server(guarded, port=0) as server:
    assert_type(server.address, str)
