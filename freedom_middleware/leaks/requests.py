"""What to ask for, so that an application calls each of its children."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING, NamedTuple

from ..environ import CHECKING
from ..testing import make_environ

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..wsgi import Environ
    from . import instrument  # which imports this one

__all__ = ["CREDENTIALS", "Request", "environ_for", "requests_for"]


CREDENTIALS = (
    ("REMOTE_USER", "check"),
    ("AUTH_TYPE", "Basic"),
    ("HTTP_AUTHORIZATION", "Basic Y2hlY2s6Y2hlY2s="),  # check:check
)
"""What somebody who has logged in sends, and what the server says of him."""


class Request(NamedTuple):
    """What makes an application call one of its children.

    Attributes:
        path, method, host: Of the request.
        asks: What the environ has besides.
        refusing: The links whose children have to answer 404 first, as in a cascade.
    """

    path: str
    method: str = "GET"
    host: str = ""
    asks: tuple[tuple[str, str], ...] = ()
    refusing: frozenset[instrument.Link] = frozenset()

    def __str__(self) -> str:
        at = f" at {self.host}" if self.host else ""
        behind = " after a 404" if self.refusing else ""
        return f"{self.method} {self.path}{at}{behind}"


def environ_for(request: Request, number: int) -> Environ:
    """Return an environ for *request*, with a query of its own, so that no cache answers."""
    path, _, query = request.path.partition("?")
    own = f"freedom_middleware={number}"
    environ = make_environ(
        f"{path}?{query}&{own}" if query else f"{path}?{own}", method=request.method
    )
    if request.host:
        environ["HTTP_HOST"] = request.host
    environ.update(request.asks)
    environ[CHECKING] = True
    return environ


def requests_for(
    links: Sequence[instrument.Link], entry: Request, paths: Sequence[str]
) -> list[Request]:
    """Return *entry*, and what the labels and routes of *links* suggest instead of it.

    Args:
        links: The ways from one layer to its children.
        entry: The request that leads to the layer.
        paths: Where its user wants it to be asked.
    """
    requests = [entry, *(entry._replace(path=path) for path in paths)]
    if links and all(link.routes for link in links):
        # A framework that serves others beside its own pages; those are not called.
        requests = [request for request in requests if request.path != "/"]
    base = entry.path.partition("?")[0].rstrip("/")
    for route in dict.fromkeys(route for link in links for route in link.routes):
        requests += (entry._replace(path=path) for path in _paths_of_route(route, base))
    for link in links:
        requests += _of_label(link.label, entry, base)
    if any(link.label == "GET" for link in links):
        requests.append(entry._replace(method="CHECK"))  # for who answers the others
    return list(dict.fromkeys(requests))


def _paths_of_route(route: str, base: str) -> Iterator[str]:
    """Yield paths that a route, or a regular expression, is likely to match.

    >>> list(_paths_of_route("/legacy/<path:rest>", ""))[:2]
    ['/legacy/', '/legacy/check']
    """
    fixed = re.split(r"[<{(*:\[$?+\\]", route.lstrip("^"), maxsplit=1)[0]
    for path in dict.fromkeys((base + fixed, fixed, base + fixed.rstrip("/") + "/")):
        yield path
        if fixed != route:
            yield f"{path}check"


def _of_label(label: str, entry: Request, base: str) -> Iterator[Request]:
    method = re.search(r"method\('(\w+)'| ([A-Z]+)$", label)
    asks = tuple(_asks_of(label))
    told = entry._replace(
        method=(method[1] or method[2]) if method else entry.method, asks=(*entry.asks, *asks)
    )
    for path in re.findall(r"/[^\s'\"(),]*", label):
        host = label[: label.index("/")].strip() if "." in label and not asks else ""
        for at in (base + path.rstrip("/") + "/", base + path, path):
            yield told._replace(path=at, host=host)
    if re.fullmatch(r"[A-Z]+", label):
        yield entry._replace(method=label)
    elif re.fullmatch(r"[\w.*:\[\]-]+", label) and re.search(r"[a-z:]", label):
        yield entry._replace(host=label.replace("*", "check"))
    elif told != entry:
        yield told


def _asks_of(label: str) -> Iterable[tuple[str, str]]:
    """Yield what the predicates in *label* ask an environ for.

    >>> dict(_asks_of("header('X-Beta', '1') & cookie('new') & client('10.0.0.0/8')"))
    {'HTTP_X_BETA': '1', 'REMOTE_ADDR': '10.0.0.0', 'HTTP_COOKIE': 'new=check'}
    """
    cookies = []
    for kind, name, value in re.findall(
        r"\b(header|cookie|client)\('([^']*)'(?:, '([^']*)')?", label
    ):
        if kind == "header":
            key = name.upper().replace("-", "_")
            is_cgi = key in ("CONTENT_TYPE", "CONTENT_LENGTH")
            yield key if is_cgi else f"HTTP_{key}", value or "check"
        elif kind == "client":
            yield "REMOTE_ADDR", str(ip_network(name).network_address)
        else:
            cookies.append(f"{name}={value or 'check'}")
    if cookies:
        yield "HTTP_COOKIE", "; ".join(cookies)
