"""Find mounted applications that take each other's cookies.

A browser keeps one cookie for each name, domain and path, and knows nothing of mounts.
Two applications of one host that both call theirs ``session`` share it, unless they say
otherwise, and several frameworks call it so.

Flask, Django (or Freedom), Pyramid and Starlette (or FastAPI) are asked what they will set.
No framework is imported for it: an application whose framework is not loaded is not there.
"""

from __future__ import annotations

import re
import sys
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from .tree import walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .tree import Node
    from .wsgi import WSGIApplication

__all__ = ["Collision", "collisions", "is_site", "owner_of", "placed"]


class Collision(NamedTuple):
    """Two applications that set a cookie of the same name for the same requests.

    Attributes:
        cookie: The name of the cookie.
        first, second: Who sets it: ``"/shop (Flask)"``.
        effect: What happens, to be read behind the two: ``"log out each other's visitors"``.
        fix: The setting that ends it.
        same_secret: Whether both sign it with the same key: then each takes the other's
            session for its own, and what one lets a visitor write, the other believes.
    """

    cookie: str
    first: str
    second: str
    effect: str
    fix: str
    same_secret: bool

    def __str__(self) -> str:
        """Tell it to people, in two lines; the security note is a third."""
        lines = [
            f"cookie {self.cookie!r}: {self.first} and {self.second} {self.effect}",
            f"  fix: {self.fix}",
        ]
        if self.same_secret:
            lines.append(
                "  their SECRET_KEY is the same: each takes the other's session for its own"
            )
        return "\n".join(lines)


def collisions(application: WSGIApplication) -> list[Collision]:
    """Return the cookies that applications below *application* take from each other.

    It looks at what is configured, and sends no request.  A lazy application that is not
    loaded yet is unknown, and so is one inside a layer that shows no children.

    >>> from flask import Flask
    >>> from freedom_middleware import Mount
    >>> shop, blog = Flask("shop"), Flask("blog")
    >>> shop.secret_key, blog.secret_key = "the shop's", "the blog's"
    >>> for collision in collisions(Mount(shop, {"/blog": blog})):
    ...     print(collision)
    cookie 'session': / (Flask) and /blog (Flask) log out each other's visitors
      fix: set SESSION_COOKIE_NAME = 'blog_session' in /blog
    """
    found = {}
    for one, other in combinations(_claims(application), 2):
        if one.owner is other.owner or one.name != other.name or not _same_host(one, other):
            continue
        first, second = sorted((one, other), key=lambda claim: claim.prefix.count("/"))
        effect = _effect(first, second)
        if effect:
            same_secret = first.framework == second.framework and first.secret == second.secret
            found[first.name, first.who, second.who] = Collision(
                first.name, first.who, second.who, effect, second.fix, same_secret
            )
    return list(found.values())


_Hosts = tuple[tuple[int, str], ...]
"""Each table of hosts on the way, by its identity, and the host in it, without its port."""


class _Claim(NamedTuple):
    """A cookie that one application will set."""

    owner: object
    framework: str
    prefix: str
    hosts: _Hosts
    name: str
    path: str
    domain: str | None
    session: bool
    secret: object
    fix: str

    @property
    def who(self) -> str:
        return f"{self.prefix or '/'} ({self.framework})"


def placed(application: WSGIApplication) -> Iterator[tuple[str, _Hosts, Node]]:
    """Yield all that *application* is made of, with the prefix and the hosts of each."""
    above: list[tuple[Any, str, _Hosts]] = []  # who is entered, and where that is
    for node in walk(application):
        del above[node.depth :]
        prefix: str = ""
        hosts: _Hosts = ()
        if above:
            parent, prefix, hosts = above[-1]
            if hasattr(parent, "mounts") and node.label.startswith("/"):
                prefix += node.label
            if hasattr(parent, "hosts"):
                hosts += ((id(parent), re.sub(r":\d+$", "", node.label)),)
        above.append((getattr(node.application, "wsgi", node.application), prefix, hosts))
        yield prefix, hosts, node


def _claims(application: WSGIApplication) -> list[_Claim]:
    claims: dict[tuple[int, str, _Hosts], list[_Claim]] = {}
    for prefix, hosts, node in placed(application):
        owner = owner_of(node.application)
        # An adapter and what it adapts are one.
        claims[id(owner), prefix, hosts] = [
            _Claim(owner, framework, prefix, hosts, *cookie, _fix(how, prefix, cookie))
            for framework, cookie, how in _cookies_of(owner)
        ]
    return [claim for made in claims.values() for claim in made]


def owner_of(application: Any) -> Any:
    """Return the framework's own object behind *application*."""
    application = getattr(application, "wsgi", application)
    application = getattr(application, "wsgi_adapts", application)
    return getattr(application, "__self__", application)  # flask_app.wsgi_app


_Cookie = tuple[str, str, str | None, bool, object]
"""Name, path, domain, whether it is a session, and the key that it is signed with."""


def _cookies_of(owner: Any) -> Iterator[tuple[str, _Cookie, str]]:
    """Yield the framework, the cookies that it will set, and how another name is given.

    The last is a text with ``{}`` where the new name belongs.
    """
    if _is(owner, "flask", "Flask"):
        interface = owner.session_interface
        signs = _is(interface, "flask.sessions", "SecureCookieSessionInterface")
        if owner.secret_key or not signs:  # without a key there is no session
            yield (
                "Flask",
                (
                    interface.get_cookie_name(owner),
                    interface.get_cookie_path(owner),
                    interface.get_cookie_domain(owner),
                    True,
                    owner.secret_key,
                ),
                "set SESSION_COOKIE_NAME = {}",
            )
    for package, name in (("freedom", "Freedom"), ("django", "Django")):
        if is_site(owner, package):
            yield from _cookies_of_site(package, name)
    if _is(owner, "pyramid.router", "Router"):
        interfaces = sys.modules["pyramid.interfaces"]
        factory = owner.registry.queryUtility(interfaces.ISessionFactory)
        if hasattr(factory, "_cookie_name"):
            yield (
                "Pyramid",
                (
                    factory._cookie_name,
                    factory._cookie_path,
                    factory._cookie_domain,
                    True,
                    object(),  # kept where nobody can see it
                ),
                "give cookie_name={} to the session factory",
            )
    if _is(owner, "starlette.applications", "Starlette"):
        for layer in owner.user_middleware:
            if layer.cls is getattr(
                sys.modules.get("starlette.middleware.sessions"), "SessionMiddleware", object()
            ):
                options = layer.kwargs
                yield (
                    "FastAPI" if _is(owner, "fastapi", "FastAPI") else "Starlette",
                    (
                        options.get("session_cookie", "session"),
                        options.get("path", "/"),
                        options.get("domain"),
                        True,
                        options.get("secret_key"),
                    ),
                    "give session_cookie={} to SessionMiddleware",
                )


def _cookies_of_site(package: str, framework: str) -> Iterator[tuple[str, _Cookie, str]]:
    settings: Any = sys.modules[f"{package}.conf"].settings
    for what, module, middleware in (
        ("SESSION", f"{package}.contrib.sessions.middleware", "SessionMiddleware"),
        ("CSRF", f"{package}.middleware.csrf", "CsrfViewMiddleware"),
    ):
        if what == "CSRF" and settings.CSRF_USE_SESSIONS:
            continue
        if any(_names(path, module, middleware) for path in settings.MIDDLEWARE):
            yield (
                framework,
                (
                    getattr(settings, f"{what}_COOKIE_NAME"),
                    getattr(settings, f"{what}_COOKIE_PATH"),
                    getattr(settings, f"{what}_COOKIE_DOMAIN"),
                    what == "SESSION",
                    object(),  # one site to a process: there is no other to share it with
                ),
                f"set {what}_COOKIE_NAME = {{}}",
            )


def is_site(owner: object, package: str) -> bool:
    """Say whether *owner* is a site of the framework that is called *package*."""
    return _is(owner, f"{package}.core.handlers.wsgi", "WSGIHandler")


def _names(path: str, module: str, name: str) -> bool:
    """Say whether *path* names that class, or one that inherits from it."""
    where, _, what = path.rpartition(".")
    found = getattr(sys.modules.get(where), what, None)
    wanted = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and isinstance(wanted, type) and issubclass(found, wanted)


def _is(thing: object, module: str, name: str) -> bool:
    """Do as ``isinstance`` does, without importing the class."""
    wanted = getattr(sys.modules.get(module), name, None)
    return isinstance(wanted, type) and isinstance(thing, wanted)


def _same_host(one: _Claim, other: _Claim) -> bool:
    if one.domain and other.domain:
        first, second = ("." + claim.domain.lstrip(".").lower() for claim in (one, other))  # type: ignore[union-attr]
        return first.endswith(second) or second.endswith(first)
    if one.domain or other.domain:
        return True  # a cookie of the domain is sent to its hosts as well
    for (table, host), (other_table, other_host) in zip(one.hosts, other.hosts, strict=False):
        # In one table a host leads to one child; "*" in another may lead to any.
        if host != other_host and (table == other_table or "*" not in host + other_host):
            return False
    return True


def _effect(outer: _Claim, inner: _Claim) -> str:
    """Say what happens between two claims of one name, nothing if there is no harm."""
    if outer.path.rstrip("/") == inner.path.rstrip("/") and outer.domain == inner.domain:
        if outer.session and inner.session:
            return "log out each other's visitors"
        return "overwrite each other's"
    # Both are kept.  A browser sends the one with the longer path first; Werkzeug takes the
    # first, all others the last.
    losing = []
    for reader, writer in ((outer, inner), (inner, outer)):
        both = _covers(reader.path, reader.prefix) and _covers(writer.path, reader.prefix)
        own_is_first = len(reader.path) > len(writer.path)
        if both and own_is_first != (reader.framework == "Flask"):
            losing.append(reader.prefix or "/")
    if len(losing) == 2:
        return "may each read the other's"  # one is the domain's: which is sent first is chance
    return f"both reach {losing[0]}, which reads the other's" if losing else ""


def _covers(path: str, prefix: str) -> bool:
    return f"{prefix}/".startswith(f"{path.rstrip('/')}/")


def _fix(how: str, prefix: str, cookie: _Cookie) -> str:
    words = "_".join(re.findall(r"[a-z0-9]+", prefix.lower())) or "site"
    name = f"{words}_{'session' if cookie[3] else 'csrf'}"
    return f"{how.format(repr(name))} in {prefix or '/'}"
