"""Choose by the host that a request asks for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from ..application import Application
from ..errors import HostError, TableTypeError
from ..response import answer
from .table import (
    MOUNTED,
    Table,
    as_dispatcher,
    check_mapping,
    check_passing,
    hand_back,
    not_found,
    read_table,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Collection, Iterator
    from typing import Any

    from ..application import Target
    from ..tree import Choice
    from ..wsgi import Body, Environ, StartResponse, WSGIApplication
    from .shapes import HostApplications

    _Exact = dict[str, WSGIApplication]
    # Labels from the right; the applications of a wildcard by port are under "*".
    _Wildcards = dict[str, Any]
    _Compiled = tuple[_Exact, _Exact, _Exact, _Wildcards]

__all__ = ["Hosts"]

_EXAMPLE = "Hosts(application, {'shop.example.org': ...})"


def Hosts(  # noqa: N802 - reads as the application that it makes
    application: Target | None,
    hosts: Mapping[str, Target],
    *,
    back: Collection[str] = (),
    share: bool = False,
) -> HostApplications:
    """Serve applications by the host that is asked for, and *application* for all others.

    ``"example.org:8080"`` is asked before ``"example.org"``, which stands for every port;
    that one before ``"*.example.org"``, which stands for ``a.example.org`` and
    ``a.b.example.org``, and not for ``example.org``.  Of several wildcards the longest
    wins, and of two that are equally long the one with the port.

    Upper and lower case are the same, and so are a name with and without one dot at its
    end, an IPv6 address in all its spellings, and a port that is left out and the one that
    the scheme implies.  A name in another alphabet is turned into what browsers send.

    A Host header that is no host is answered 400, whatever the table holds, and no
    application is called.  One that is empty or absent leaves the choice to SERVER_NAME and
    SERVER_PORT.  X-Forwarded-Host is never read: any client can send it.

    The table can be changed while requests are served: it is the attribute ``hosts`` of
    what is returned, a :class:`~freedom_middleware.dispatch.table.Table`.

    Touches:
        environ: the chosen application gets a copy; what it changes there stays there,
            except for the keys in *back* and ``freedom_middleware.mounted``.
        start_response: passed on as it is.
        body: passed on as it is.

    Args:
        application: Serves the hosts that are not in the table; None answers 404.  Any form
            that :class:`~freedom_middleware.Application` takes.
        hosts: Patterns, as text, and the applications that they lead to: a name, an
            address, or ``*.`` and a name, each with ``:port`` or without.  ``""`` names
            what *application* does.
        back, share: See :func:`~freedom_middleware.Mount`.

    Returns:
        The application, with its table as the attribute ``hosts``.

    Raises:
        HostError: A pattern is no host, or holds a ``*`` anywhere but at its start.
        TableError: A host is given twice.
        TableTypeError: The table is no mapping, or a pattern is not text.
        OptionError: *back* or *share* cannot be understood.
        ApplicationError, ApplicationTypeError: A child is not an application.

    Source: RFC 9110, sections 4.2 and 7.2; RFC 9112, section 3.2; RFC 3986, section 3.2.2.

    >>> from freedom_middleware.testing import exchange, hello
    >>> site = Hosts(None, {"*.example.org": hello})
    >>> exchange(site, headers={"Host": "Shop.Example.org:8000"}).body
    b'Hello, world!\\n'
    >>> exchange(site, headers={"Host": "example.org"}).status
    '404 Not Found'
    >>> exchange(site, headers={"Host": "shop.example.org@evil.example"}).status
    '400 Bad Request'
    """
    if isinstance(application, Mapping):
        raise TableTypeError(
            f"Hosts' application must be an application or None, got {application!r};"
            " write Hosts(None, {...})"
        )
    check_mapping("host", _EXAMPLE, hosts)  # first, if they are the wrong way round
    keys = check_passing("Hosts", back, share)
    default = None if application is None else Application(application)
    children = _read(hosts)
    if "" in children:
        if default is not None:
            raise HostError(
                "host '' must not be in the table when Hosts has an application: both"
                " answer for all other hosts; leave one of them out"
            )
        default = children.pop("")
    rest = not_found if default is None else default.wsgi
    compiled = _compile(children)

    def dispatch(environ: Environ, start_response: StartResponse) -> Body:
        table = compiled
        known = table[environ.get("wsgi.url_scheme") == "https"]
        application = known.get(environ.get("HTTP_HOST", ""))
        if application is None:
            asked = _asked(environ)
            if asked is None:
                return bad_request(environ, start_response)
            application = _find(table, *asked)
            if application is None:
                application = rest
        if share:
            return application(environ, start_response)
        child = environ.copy()
        try:
            body = application(child, start_response)
        finally:
            if MOUNTED in child:
                environ[MOUNTED] = child[MOUNTED]
            if keys:
                hand_back(environ, child, keys)
        try:
            return body
        finally:
            del body  # as in CloseGuard: a traceback may keep this frame

    def publish(hosts: dict[str, Application]) -> None:
        nonlocal compiled
        compiled = _compile(hosts)

    table = Table("host", children, normalise=_normalise, read=_read, publish=publish)

    def name_children() -> Iterator[tuple[str, WSGIApplication]]:
        yield from table.items()
        yield "*", default or not_found

    def choose(environ: Environ) -> list[Choice]:
        return [_explain(environ, default or not_found, table)]

    made: HostApplications = as_dispatcher(
        "Hosts", dispatch, name_children, choose, hosts=table
    )
    return made


def bad_request(environ: Environ, start_response: StartResponse) -> Body:
    """Answer 400, with a body that lists and reflects nothing."""
    return answer(environ, start_response, "400 Bad Request")


vars(bad_request)["wsgi_name"] = "400 Bad Request"

# -- the request --


def _asked(environ: Environ) -> tuple[str, str] | None:
    """Return the host and the port that a request asks for, both normal; None for a 400."""
    value = environ.get("HTTP_HOST")
    if value:
        asked = split_host(value)
    else:
        # What the server calls itself is no client's fault: it may be "_", or a socket.
        name, port = environ.get("SERVER_NAME", ""), environ.get("SERVER_PORT", "")
        name = f"[{name}]" if ":" in name and not name.startswith("[") else name
        asked = split_host(f"{name}:{port}") or split_host(name) or ("", "")
    if asked is None or asked[1]:
        return asked
    return asked[0], "443" if environ.get("wsgi.url_scheme") == "https" else "80"


def _find(table: _Compiled, host: str, port: str) -> WSGIApplication | None:
    """Return what serves a host, however it was spelled."""
    _, _, exact, branches = table
    key = f"{host}:{port}"
    if key in exact:
        return exact[key]
    if host in exact:
        return exact[host]
    found = None
    if branches:
        for label in reversed(host.split(".")):
            if "*" in branches:  # there is a label left for it to stand for
                by_port = branches["*"]
                found = by_port.get(port) or by_port.get("") or found
            if label not in branches:
                break
            branches = branches[label]
    return None if found is None else found[0]


def split_host(value: object) -> tuple[str, str] | None:
    """Split a Host header into host and port, both normal; None if it is no such thing.

    A name is what can be one in DNS, with ``_`` allowed: the rest of what a URL may hold
    there (``%41``, ``a,b``) is never sent by a browser, but by two Host headers in one.

    >>> split_host("Example.ORG.:8080"), split_host("[::0:1]"), split_host("a,b")
    (('example.org', '8080'), ('[::1]', ''), None)

    Source: RFC 3986, section 3.2.2; RFC 1035, section 2.3.4, on lengths.
    """
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isascii():
        return None
    found = _grammar().fullmatch(value.lower())
    if found is None:
        return None
    name, address, port = found.groups("")
    host = _address(address) if address else name
    if not host or len(host) > _NAME_LENGTH or (len(port) == 5 and port > "65535"):
        return None
    return host, port


_NAME_LENGTH = 253
_LONGEST = _NAME_LENGTH + len(".:65535")


@cache
def _grammar() -> re.Pattern[str]:
    """Return what a Host header in lower case is; it never looks at a character twice."""
    import re  # by the first table, and not by every import of this package

    return re.compile(
        r"(?: ([a-z0-9_-]{1,63} (?: \.[a-z0-9_-]{1,63} )*) \.? | \[ ([0-9a-f:.]+) \] )"
        r"(?: : (?: 0* ([1-9][0-9]{0,4} | 0) )? )?",
        re.VERBOSE,
    )


def _address(address: str) -> str | None:
    """Return an IPv6 address in the one spelling of RFC 5952, in brackets.

    A zone (``%eth0``) means something on one machine only, and is never sent (RFC 9844);
    the grammar has no place for it.
    """
    from ipaddress import IPv6Address

    try:
        parsed = IPv6Address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped  # section 5; not every Python writes it so
    return f"[::ffff:{mapped}]" if mapped else f"[{parsed.compressed}]"


# -- the table --


def _compile(hosts: Mapping[str, Application]) -> _Compiled:
    """Return what decides for a raw Host header over http, over https, and for the rest.

    A header that is spelled like a pattern is decided by one look-up, however many there
    are.  Only what the table holds is remembered, and nothing that clients choose.
    """
    exact: _Exact = {}
    implied: list[_Exact] = [{}, {}]
    wildcards: _Wildcards = {}
    for pattern, application in hosts.items():
        if not pattern.startswith("*."):
            exact[pattern] = application.wsgi
            for number, port in enumerate((":80", ":443")):
                if pattern.endswith(port):
                    implied[number][pattern.removesuffix(port)] = application.wsgi
            continue
        name, _, port = pattern[2:].partition(":")
        branches = wildcards
        for label in reversed(name.split(".")):
            branches = branches.setdefault(label, {})
        # In a tuple, since an application may be false.
        branches.setdefault("*", {})[port] = (application.wsgi,)
    return {**exact, **implied[0]}, {**exact, **implied[1]}, exact, wildcards


def _read(hosts: Mapping[str, Target]) -> dict[str, Application]:
    return read_table("host", _normalise, _EXAMPLE, hosts)


def _normalise(pattern: str) -> str:
    if not isinstance(pattern, str):
        raise TableTypeError(f"host must be text, got {pattern!r}; write 'example.org'")
    if not pattern:
        return ""
    if "/" in pattern:
        host = pattern.rpartition("//")[2].partition("/")[0]
        fix = f"write {host!r}, and Mount for paths" if host else "paths are for Mount"
        raise HostError(f"host must be without scheme and path, got {pattern!r}; {fix}")
    if pattern.startswith("."):
        bare = pattern.lstrip(".")
        raise HostError(
            f"host must not start with '.', got {pattern!r}; write {'*.' + bare!r} for what"
            f" is below it, and {bare!r} for itself"
        )
    wildcard = "*." if pattern.startswith("*.") else ""
    name = pattern.removeprefix(wildcard)
    if name.startswith("*") and not name.strip("*:0123456789"):
        raise HostError(
            f"host must be one host or those below one, got {pattern!r}; what serves all"
            " other hosts is the first argument of Hosts"
        )
    if name.endswith(":*") and "*" not in name[:-1]:
        raise HostError(
            f"host must be without '*' as its port, got {pattern!r}; write {pattern[:-2]!r},"
            " which stands for every port"
        )
    if "*" in name:
        tail = name.rpartition("*")[2].lstrip("-.") or "example.org"
        raise HostError(
            f"host wildcard must be '*.' at the start, got {pattern!r}; write {'*.' + tail!r}"
        )
    if name.count(":") > 1 and not name.startswith("["):
        name = f"[{name}]"
    if not name.isascii():
        host, colon, port = name.partition(":")
        name = to_ascii(host) + colon + port
    split = split_host(name)
    if split is None or name.endswith(":"):
        raise HostError(
            "host must be a name or an address that can stand in a Host header, such as"
            f" 'example.org', 'example.org:8080' or '[::1]', got {pattern!r}"
        )
    host, port = split
    if wildcard and (host.startswith("[") or host.rpartition(".")[2].isdecimal()):
        raise HostError(
            f"host wildcard must stand above a name, got {pattern!r}; nothing is below an"
            f" address: write {name!r}"
        )
    return f"{wildcard}{host}:{port}" if port else wildcard + host


def to_ascii(name: str) -> str:
    """Turn a name in any alphabet into what browsers send for it.

    That is UTS 46, non-transitional.  The codec ``idna`` of the standard library is its
    predecessor of 2003, which takes ``straße`` for ``strasse``, another host.

    Source: RFC 5891; Unicode Technical Standard 46, section 4.

    >>> to_ascii("Bücher.example"), to_ascii("straße.example")
    ('xn--bcher-kva.example', 'xn--strae-oqa.example')
    """
    from unicodedata import category, normalize

    folded = "".join(
        c if c in _KEPT else c.casefold()
        for c in normalize("NFKC", name.replace("\u1e9e", "\xdf"))  # a capital sharp s
    )
    mapped = normalize("NFKC", folded.translate(_IGNORED)).replace("\u3002", ".")
    labels = []
    for label in mapped.split("."):
        if any(category(c)[0] in "CZ" and c not in _KEPT for c in label):
            return ""  # no browser would send it
        if label.isascii():
            labels.append(label)
        else:
            labels.append("xn--" + label.encode("punycode").decode("ascii"))
    return ".".join(labels)


# What a browser of 2003 would have mapped: sharp s, final sigma, and the two joiners.
_KEPT = "\xdf\u03c2\u200c\u200d"
# What is left out: the soft hyphen, spaces without width, and how to draw an emoji.
_IGNORED = dict.fromkeys([0xAD, 0x200B, 0x2060, 0xFEFF, *range(0xFE00, 0xFE10)])

# -- for people --


def _explain(environ: Environ, default: WSGIApplication, table: Table) -> Choice:
    """Say which child is chosen, in the plainest way: by trying every pattern."""
    from ..tree import Choice

    child = environ.copy()
    asked = _asked(environ)
    if asked is None:
        return Choice("*", bad_request, child, "the Host header is malformed")
    host, port = asked
    matching, misses = [], []
    for pattern in table:
        rank = _rank(pattern, host, port)
        if rank:
            matching.append((rank, pattern))
        elif miss := _near_miss(pattern, host, port, environ):
            misses.append((pattern, miss))
    if not matching:
        return Choice("*", default, child, "default: no host matches", tuple(misses))
    _, chosen = max(matching)
    reason = "longest wildcard that matches" if chosen[0] == "*" else "host"
    if chosen.rpartition(":")[2] == port:
        reason += ", with its port"
    return Choice(chosen, table[chosen], child, reason, tuple(misses))


def _split_pattern(pattern: str) -> tuple[str, str]:
    """Return a normal pattern as host and port; the port may be empty."""
    host, _, port = pattern.rpartition(":")
    return (pattern, "") if not host or pattern.endswith("]") else (host, port)


def _rank(pattern: str, host: str, port: str) -> tuple[bool, int, bool] | None:
    """Return how strongly *pattern* matches: exact, then its length, then the port."""
    name, wanted = _split_pattern(pattern)
    if wanted not in ("", port):
        return None
    if name == host or (name.startswith("*.") and host.endswith(name[1:])):
        return not name.startswith("*"), len(name), bool(wanted)
    return None


def _near_miss(pattern: str, host: str, port: str, environ: Environ) -> str | None:
    name, wanted = _split_pattern(pattern)
    bare = name.removeprefix("*.")
    if _rank(name, host, port):
        return f"the request asks for port {port}"
    if name != bare and host == bare:
        return "a wildcard stands for at least one label more"
    if name == f"www.{host}" or host == f"www.{name}":
        return f"the request asks for {host!r}: 'www.' makes another host"
    forwarded = split_host(environ.get("HTTP_X_FORWARDED_HOST"))
    if forwarded and _rank(pattern, forwarded[0], forwarded[1] or wanted):
        return "X-Forwarded-Host asks for it, and is never read"
    if host.endswith(bare):
        if name == bare and host.endswith(f".{bare}"):
            return f"{host!r} is below it, and only a wildcard stands for that"
        return f"{host!r} ends with it, but not at a dot"
    if host.startswith(f"{bare}."):
        return f"{host!r} only begins with it"
    return None
