"""Say which application a request comes to, and why, without calling any."""

from __future__ import annotations

from ..application import Application
from ..environ import script_name_of, text, url_query
from ..errors import OptionError
from .hosts import split_host, to_ascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..application import Target
    from ..tree import Choice
    from ..wsgi import Environ, WSGIApplication
    from .explanation import Explanation

    Headers = Mapping[str, str] | Iterable[tuple[str, str]]

__all__ = ["explain"]


def explain(
    application: Target,
    url_or_environ: str | Environ,
    *,
    method: str = "GET",
    headers: Headers | None = None,
) -> Explanation:
    """Say which application answers a request, why, and what it sees of the path.

    No application is called, and a lazy one is not loaded.  So a layer that changes the
    environ, or answers by itself, is believed to pass the request on as it is; and where a
    dispatcher does not say how it chooses, as other people's do not, its children are
    listed.

    Args:
        application: The outermost application, in any form that
            :class:`~freedom_middleware.Application` takes.
        url_or_environ: A path (``"/shop/cart?x=1"``), a URL
            (``"https://shop.example:8443/cart"``), or a whole environ, which is left as it
            is.  Percent-encoded and plain text mean the same; ``%2F`` becomes ``/``, as
            servers make it.
        method: The request method, which an environ has already.
        headers: Names and values; a mapping, or pairs where a name comes twice.

    Returns:
        The outermost application.  Its ``next`` leads on; ``print()`` shows where to.

    Raises:
        OptionError: The URL, the method or a header is none.
        ApplicationError: *application* cannot be loaded.
        ApplicationTypeError: It is none, or one of those on the way fails to say where the
            request goes: a predicate raises, for example.

    Source: PEP 3333, "environ Variables" and "Unicode Issues"; RFC 3986, section 2.

    >>> from freedom_middleware import Mount
    >>> from freedom_middleware.testing import hello
    >>> print(explain(Mount(None, {"/hi": hello}), "/hi/there"))
    hello  WSGI
      through      Mount
      SCRIPT_NAME  '/hi'
      PATH_INFO    '/there'
      chosen       /hi: longest prefix that matches
    """
    if isinstance(url_or_environ, str):
        environ = _environ(url_or_environ, method, headers)
    elif isinstance(url_or_environ, dict):
        environ = url_or_environ.copy()
    else:
        raise OptionError(
            f"URL must be text, or else a whole environ, got {url_or_environ!r}; write"
            " explain(application, '/shop')"
        )
    return _follow(Application(application), environ, None, [], set())


def _follow(
    application: WSGIApplication,
    environ: Environ,
    choice: Choice | None,
    above: list[object],
    been: set[tuple[object, ...]],
) -> Explanation:
    """Walk inwards to where the way ends, or parts; return its first step."""
    from ..tree import bare, name_of

    steps: list[Explanation] = []
    while True:
        place = (id(bare(application)), environ.get("SCRIPT_NAME"), environ.get("PATH_INFO"))
        choices, children = _next(application, environ, above)
        step = _step(application, environ, choice, around=bool(choices or children))
        steps.append(step)
        if place in been:
            step = steps[-1] = step._replace(note="it leads back to itself, for ever")
            break
        been.add(place)
        if len(choices) > 1:
            around = [*above, bare(application)]
            branches = [
                _follow(each.application, each.environ, each, around.copy(), been.copy())
                for each in choices
            ]
            step = steps[-1] = step._replace(
                note="the first of these whose answer stands", next=tuple(branches)
            )
            break
        above.append(bare(application))
        if choices:
            [choice] = choices
            application, environ = choice.application, choice.environ
        elif len(children) == 1 and children[0][0] == "":
            choice, application = None, children[0][1]
        else:
            if children:
                step = steps[-1] = step._replace(
                    note="it does not say which of its applications it chooses",
                    possible=tuple((label, name_of(child)) for label, child in children),
                )
            break
    for outer in reversed(steps[:-1]):
        step = outer._replace(next=(step,))
    return step


def _next(
    application: WSGIApplication, environ: Environ, above: list[object]
) -> tuple[list[Choice], list[tuple[str, WSGIApplication]]]:
    """Return where *application* says that the request goes, else the children it has."""
    from ..places import MISSING, declared
    from ..tree import ask, bare, children_of

    children = list(children_of(application, above=above))
    inner = bare(application)
    if declared(inner, "wsgi_choices") is MISSING:
        return [], children
    return list(ask(inner, "wsgi_choices", environ)), children


def _step(
    application: WSGIApplication, environ: Environ, choice: Choice | None, *, around: bool
) -> Explanation:
    from ..tree import describe, name_of
    from .explanation import Explanation

    told = describe(application, around=around)
    step = Explanation(
        name_of(application),
        *told,
        script_name=environ.get("SCRIPT_NAME", ""),
        path_info=environ.get("PATH_INFO", ""),
    )
    if choice is not None:
        step = step._replace(
            label=choice.label, reason=choice.reason, near_misses=tuple(choice.near_misses)
        )
    if told.kind == "lazy":
        return step._replace(note="not loaded yet: the first request for it does that")
    if told.kind != "ASGI":
        return step
    root_path = script_name_of(environ)
    path = root_path + step.path_info
    try:
        path.encode("latin-1").decode("utf-8")
    except UnicodeError:
        step = step._replace(note="the path is not UTF-8, as ASGI must have it: 400")
    return step._replace(root_path=text(root_path), path=text(path))


def _environ(url: str, method: str, headers: Headers | None) -> Environ:
    """Return the environ that a server would make of a request for *url*."""
    from urllib.parse import unquote_to_bytes
    from wsgiref.util import setup_testing_defaults

    rest, _, _ = url.partition("#")  # a browser keeps that for itself
    rest, _, query = rest.partition("?")
    scheme, authority, path = "http", "", rest
    if not rest.startswith("/"):
        scheme, slashes, after = rest.partition("://")
        authority, _, path = after.partition("/")
        path = "/" + path
        scheme = scheme.lower()
        if not slashes or not authority or scheme not in ("http", "https"):
            raise OptionError(
                "URL must be a path that starts with '/', or start with 'http://' or"
                f" 'https://' and a host, got {url!r}"
            )
    if (
        not isinstance(method, str)
        or not method.isascii()
        or not method.replace("-", "").isalnum()
    ):
        raise OptionError(f"method must be one word such as 'GET', got {method!r}")
    raw = unquote_to_bytes(_as_sent(path).encode("latin-1"))
    environ: Environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": raw.decode("latin-1"),
        "QUERY_STRING": url_query(_as_sent(query)),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": scheme,
    }
    if authority:
        _set_host(environ, authority.rpartition("@")[2], scheme, url)
    setup_testing_defaults(environ)
    given: dict[str, str] = {}
    for key, value in _headers(headers or ()):
        comma = "; " if key == "HTTP_COOKIE" else ", "
        given[key] = f"{given[key]}{comma}{value}" if key in given else value
    return {**environ, **given}


def _as_sent(typed: str) -> str:
    """Return text as a native string; bytes of a terminal that are no UTF-8 stay."""
    return typed.encode("utf-8", "surrogateescape").decode("latin-1")


def _set_host(environ: Environ, host: str, scheme: str, url: str) -> None:
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]"):  # an IPv6 address, and no port
        name, port = host, ""
    name = name if name.isascii() else to_ascii(name)  # as a browser, and as Hosts does
    host = f"{name}:{port}" if port else name
    if split_host(host) is None:
        raise OptionError(f"URL must have a host, and a port that is a number, got {url!r}")
    environ["HTTP_HOST"] = host
    environ["SERVER_NAME"] = name
    environ["SERVER_PORT"] = port or ("443" if scheme == "https" else "80")


def _headers(headers: Headers) -> Iterator[tuple[str, str]]:
    """Yield the keys that headers have in environ, and their values as native strings."""
    from collections.abc import Mapping

    for row in headers.items() if isinstance(headers, Mapping) else headers:
        if len(row) != 2 or not all(isinstance(part, str) for part in row):
            raise OptionError(
                f"header must be a pair of name and value, both text, got {row!r}; write"
                " headers={'X-Beta': '1'}"
            )
        name, value = row
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
            raise OptionError(f"header must have a name such as 'X-Beta', got {name!r}")
        key = name.upper().replace("-", "_")
        is_cgi = key in ("CONTENT_TYPE", "CONTENT_LENGTH")
        yield key if is_cgi else f"HTTP_{key}", _as_sent(value.strip())
