"""Predicates over a request: what :func:`~freedom_middleware.When` chooses by.

The ready-made ones look at the environ itself and change nothing in it, so that a request
which they decide costs no :class:`webob.Request`.  Each takes its answer from what the
client and the server said of this connection; a header that any client can send, such as
X-Forwarded-For, counts only where it is asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..environ import native, text
from ..errors import InputError, PredicateError, TableTypeError
from ..targets import is_async, name_of, shown, takes
from .mount import near_miss, normal_prefix, warn_of_slip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from webob import Request

    from ..wsgi import Environ

    Ask = Callable[[Environ, list[str]], bool]
    Hint = Callable[[Environ], str | None]
    Question = Callable[[Request], object]

__all__ = ["Predicate", "client", "cookie", "header", "method", "path", "predicate"]


class Predicate:
    """A question about a request, to be answered with yes or no.

    Made by the functions of this module, and by combining them: ``a & b``, ``a | b`` and
    ``~a``, where the other side may be any function of a request.  It stops asking as soon
    as the answer is known.  It can be called with a :class:`webob.Request`, as in a test.

    >>> from webob import Request
    >>> question = path("/api") & ~method("POST")
    >>> question, question(Request.blank("/api/items"))
    (path('/api') & ~method('POST'), True)
    """

    __slots__ = ("_binding", "_name", "ask", "hint", "runs_code")

    def __init__(
        self,
        name: str,
        ask: Ask,
        *,
        hint: Hint = lambda environ: None,
        runs_code: bool = False,
        binding: int = 4,
    ) -> None:
        self.ask = ask
        """Answer for an environ; adds what the answer depends on to a list for Vary."""
        self.hint = hint
        """Say in plain words why the answer is no although it looks as if it were yes."""
        self.runs_code = runs_code
        """Whether a function of the user's is asked."""
        self._name = name
        self._binding = binding

    def __call__(self, request: Request) -> bool:
        """Answer for a request."""
        return self.ask(request.environ, [])

    def __and__(self, other: Question) -> Predicate:
        return _both(self, as_predicate(other))

    def __rand__(self, other: Question) -> Predicate:
        return _both(as_predicate(other), self)

    def __or__(self, other: Question) -> Predicate:
        return _either(self, as_predicate(other))

    def __ror__(self, other: Question) -> Predicate:
        return _either(as_predicate(other), self)

    def __invert__(self) -> Predicate:
        ask = self.ask
        return Predicate(
            f"~{self._within(3)}",
            lambda environ, vary: not ask(environ, vary),
            runs_code=self.runs_code,
            binding=3,
        )

    def __bool__(self) -> NoReturn:
        raise TableTypeError(
            f"predicate must be combined with '&', '|' and '~', not with 'and', 'or' and"
            f" 'not', got {self!r}"
        )

    def __repr__(self) -> str:
        return self._name

    def _within(self, binding: int) -> str:
        return self._name if self._binding >= binding else f"({self._name})"


def _both(left: Predicate, right: Predicate) -> Predicate:
    first, second = left.ask, right.ask

    def hint(environ: Environ) -> str | None:
        if not first(environ, []):
            return left.hint(environ)
        return right.hint(environ) or f"{right!r} is false"

    return Predicate(
        f"{left._within(2)} & {right._within(2)}",
        lambda environ, vary: first(environ, vary) and second(environ, vary),
        hint=hint,
        runs_code=left.runs_code or right.runs_code,
        binding=2,
    )


def _either(left: Predicate, right: Predicate) -> Predicate:
    first, second = left.ask, right.ask
    return Predicate(
        f"{left._within(1)} | {right._within(1)}",
        lambda environ, vary: first(environ, vary) or second(environ, vary),
        hint=lambda environ: left.hint(environ) or right.hint(environ),
        runs_code=left.runs_code or right.runs_code,
        binding=1,
    )


def predicate(function: Question, *, vary: Iterable[str] = ()) -> Predicate:
    """Make a predicate of a function, and say which headers its answer depends on.

    The function gets a request of its own, on a copy of the environ: what it changes there,
    nobody sees.  The request body is not in it, since what it read would be missing for the
    application; trying to read it raises.

    Args:
        function: Takes a :class:`webob.Request`; yes is what is true.
        vary: The request headers that it looks at, such as ``("Accept-Language",)``.  Each
            is named in the response, so that no cache mixes up two visitors.

    Raises:
        TableTypeError: *function* cannot be called with a request alone, or is async.
        PredicateError: *vary* holds something that is no header.
        InputError: At a request, the function read the body.

    >>> def in_french(request):
    ...     return request.accept_language.lookup(["en", "fr"], default="en") == "fr"
    >>> predicate(in_french, vary=("Accept-Language",))
    predicate(in_french, vary=('Accept-Language',))
    """
    given: object = function
    if any(given is maker for maker in (client, cookie, header, method, path, predicate)):
        raise TableTypeError(
            f"predicate must be made first, got {name_of(function)}; write"
            f" {name_of(function)}(...)"
        )
    if isinstance(function, (str, type)) or not takes(function, 1) or is_async(function):
        fix = f"; write path({function!r})" if str(function).startswith("/") else ""
        raise TableTypeError(
            "predicate must be a function of one webob.Request, and not async, got"
            f" {shown(function)}{fix}"
        )
    if isinstance(vary, str) or not isinstance(vary, Iterable):
        fix = f"; write ({vary!r},)" if isinstance(vary, str) else ""
        raise PredicateError(f"predicate's vary must be a tuple, got {vary!r}{fix}")
    names = tuple(vary)
    for name in names:
        _header_key(name)
    if isinstance(function, Predicate):
        return _naming(function, names)
    from webob import Request

    label = _label(function)

    def ask(environ: Environ, vary: list[str]) -> bool:
        vary.extend(names)
        seen = {**environ, "wsgi.input": NoInput(label)}
        if "webob.adhoc_attrs" in seen:  # what a layer outside has set on its Request
            seen["webob.adhoc_attrs"] = seen["webob.adhoc_attrs"].copy()
        return bool(function(Request(seen)))

    named = f"predicate({label}, vary={names!r})" if names else label
    return Predicate(named, ask, runs_code=True)


def _naming(inner: Predicate, names: tuple[str, ...]) -> Predicate:
    """Return *inner* as one whose answer depends on these headers as well."""

    def ask(environ: Environ, vary: list[str]) -> bool:
        vary.extend(names)
        return inner.ask(environ, vary)

    if not names:
        return inner
    named = f"predicate({inner!r}, vary={names!r})"
    return Predicate(named, ask, hint=inner.hint, runs_code=inner.runs_code)


def as_predicate(thing: object) -> Predicate:
    """Return *thing* if it is a predicate, else make one of the function that it must be."""
    if isinstance(thing, Predicate):
        return thing
    function: Callable[[Request], object] = thing  # type: ignore[assignment]  # checked there
    return predicate(function)


def _label(function: object) -> str:
    """Name a function; a lambda by its place, or every one would be called the same."""
    code = getattr(function, "__code__", None)
    if code is None or code.co_name != "<lambda>":
        return name_of(function)
    file = code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"lambda at {file}:{code.co_firstlineno}"


class NoInput:
    """Stands for the body in the request of a predicate: whatever is asked of it raises."""

    __slots__ = ("_label",)

    def __init__(self, label: str) -> None:
        self._label = label

    def _refuse(self) -> NoReturn:
        raise InputError(
            f"predicate must not read the request body, got {self._label}, which does: the"
            " chosen application would find it empty. Decide by method, path and headers,"
            " or in the application"
        )

    def __iter__(self) -> NoReturn:
        self._refuse()

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # what debuggers and copies look for
            raise AttributeError(name)
        self._refuse()


# -- ready-made --


def path(*prefixes: str) -> Predicate:
    """Ask whether the path is one of *prefixes*, or below one.

    The rule is that of :func:`~freedom_middleware.Mount`: a prefix ends at a segment
    boundary, and nothing is decoded or folded.  It is compared with PATH_INFO, the part of
    the path that is left to this dispatcher; the chosen application gets that whole.

    Raises:
        MountError, TableTypeError: A prefix is none that Mount would take.
        PredicateError: There is no prefix.

    >>> from webob import Request
    >>> [path("/api")(Request.blank(p)) for p in ("/api", "/api/x", "/apis")]
    [True, True, False]
    """
    normal = []
    for prefix in prefixes:
        normal.append(normal_prefix(prefix, "path prefix"))
        warn_of_slip(normal[-1], "path prefix", stacklevel=3)
    if not normal:
        raise PredicateError("path must be given a prefix, got none; write path('/api')")
    name = _call("path", *(prefix or "/" for prefix in normal))
    if "" in normal:
        return Predicate(name, lambda environ, vary: True)
    whole = frozenset(map(native, normal))
    below = tuple(f"{prefix}/" for prefix in whole)

    def ask(environ: Environ, vary: list[str]) -> bool:
        path_info = environ.get("PATH_INFO", "")
        return path_info in whole or path_info.startswith(below)

    def hint(environ: Environ) -> str | None:
        path_info = text(environ.get("PATH_INFO", ""))
        return next(filter(None, (near_miss(prefix, path_info) for prefix in normal)), None)

    return Predicate(name, ask, hint=hint)


def method(*names: str) -> Predicate:
    """Ask whether the request method is one of *names*.

    Exactly: ``method("GET")`` is not true for HEAD.

    Raises:
        PredicateError: There is no name, or one is not in upper case.

    Source: RFC 9110, section 9.1: methods are case-sensitive.
    """
    if not names:
        raise PredicateError("method must be given a name, got none; write method('POST')")
    for name in names:
        if not isinstance(name, str) or not _is_token(name) or name != name.upper():
            fix = f"; write method({name.upper()!r})" if isinstance(name, str) else ""
            raise PredicateError(f"method must be a name in upper case, got {name!r}{fix}")
    wanted = frozenset(names)
    return Predicate(
        _call("method", *names), lambda environ, vary: environ["REQUEST_METHOD"] in wanted
    )


def header(name: str, value: str | None = None) -> Predicate:
    """Ask whether a header is there, or whether it is exactly *value*.

    The response will say ``Vary: <name>``.

    Raises:
        PredicateError: *name* cannot be a header, or *value* cannot be in one.

    >>> from webob import Request
    >>> beta = header("X-Tier", "beta")
    >>> beta(Request.blank("/", headers={"x-tier": "beta"})), beta(Request.blank("/"))
    (True, False)
    """
    key = _header_key(name)
    if value is None:
        # Content-Type and Content-Length may be empty where none was sent (PEP 3333).
        may_be_empty = key.startswith("HTTP_")

        def ask(environ: Environ, vary: list[str]) -> bool:
            vary.append(name)
            return key in environ and (may_be_empty or environ[key] != "")

        return Predicate(_call("header", name), ask)
    if (
        not isinstance(value, str)
        or not (value.isascii() and value.isprintable())
        or value != value.strip()  # servers take that away
    ):
        raise PredicateError(
            "header value must be printable ASCII text without space at its ends, got"
            f" {value!r}"
        )

    def ask_value(environ: Environ, vary: list[str]) -> bool:
        vary.append(name)
        return bool(environ.get(key) == value)

    return Predicate(_call("header", name, value), ask_value)


def cookie(name: str, value: str | None = None) -> Predicate:
    """Ask whether a cookie is there, or whether it is exactly *value*.

    A browser may send several cookies of one name, in no order that a server may rely on:
    one of them is enough.  The response will say ``Vary: Cookie``.

    Raises:
        PredicateError: *name* or *value* could not be in a cookie.

    Source: RFC 6265, sections 4.1.1 and 4.2.

    >>> from webob import Request
    >>> cookie("beta", "1")(Request.blank("/", headers={"Cookie": "a=b; beta=1"}))
    True
    """
    if not isinstance(name, str) or not _is_token(name):
        raise PredicateError(f"cookie name must be a token (RFC 6265, 4.1.1), got {name!r}")
    if value is not None and (not isinstance(value, str) or not _is_cookie_value(value)):
        raise PredicateError(
            "cookie value must be as it is sent: ASCII without space, quote, comma,"
            f" semicolon and backslash, got {value!r}"
        )
    wanted = (value, f'"{value}"')

    def ask(environ: Environ, vary: list[str]) -> bool:
        vary.append("Cookie")
        sent: str = environ.get("HTTP_COOKIE", "")
        if name not in sent:
            return False
        for pair in sent.split(";"):
            key, equals, found = pair.strip(" \t").partition("=")
            if key == name and equals and (value is None or found in wanted):
                return True
        return False

    return Predicate(_call("cookie", name, *(() if value is None else (value,))), ask)


def client(*networks: str) -> Predicate:
    """Ask whether the client's address is in one of *networks*: ``"10.0.0.0/8"``, ``"::1"``.

    The address is REMOTE_ADDR, whatever X-Forwarded-For says.  Behind a proxy it is the
    proxy's, unless the server is told to trust that one.  An IPv4 address that comes as
    IPv6 (``::ffff:10.0.0.1``) counts as both.  A client without one, as on a Unix socket,
    is in no network.

    Raises:
        PredicateError: There is no network, or one cannot be read.
    """
    from ipaddress import ip_address, ip_network

    if not networks:
        raise PredicateError("client must be given a network, got none; write '10.0.0.0/8'")
    wanted = []
    for network in networks:
        fix = ""
        try:
            if not isinstance(network, str):
                raise ValueError(network)  # ip_network would take 1 for 0.0.0.1
            fix = f"; write {str(ip_network(network, strict=False))!r}"
            wanted.append(ip_network(network))
        except ValueError:
            raise PredicateError(
                f"client must be a network such as '10.0.0.0/8', got {network!r}{fix}"
            ) from None

    def among(address: object) -> bool:
        try:
            found = ip_address(address)  # type: ignore[arg-type]  # what is none raises
        except ValueError:
            return False
        both = (found, getattr(found, "ipv4_mapped", None) or found)
        return any(address in network for network in wanted for address in both)

    def ask(environ: Environ, vary: list[str]) -> bool:
        return among(environ.get("REMOTE_ADDR", ""))

    def hint(environ: Environ) -> str | None:
        forwarded = environ.get("HTTP_X_FORWARDED_FOR", "").split(",")
        if any(among(address.strip()) for address in forwarded):
            return "X-Forwarded-For names such a client, and is not read"
        return None

    return Predicate(_call("client", *networks), ask, hint=hint)


def _call(function: str, *arguments: str) -> str:
    return f"{function}({', '.join(map(repr, arguments))})"


_NAME_CHARACTERS = (
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


def _is_token(name: str) -> bool:
    """RFC 9110, section 5.6.2."""
    return name != "" and not name.strip(_NAME_CHARACTERS)


def _is_cookie_value(value: str) -> bool:
    """RFC 6265, section 4.1.1."""
    return value.isascii() and value.isprintable() and not set(value) & set(' ",;\\')


def _header_key(name: object) -> str:
    """Return the environ key of a header."""
    if not isinstance(name, str) or not _is_token(name) or "_" in name:
        fix = ""
        if isinstance(name, str) and "_" in name:
            fix = f"; write {name.removeprefix('HTTP_').replace('_', '-').title()!r}"
        raise PredicateError(f"header must be a name as it is sent, got {name!r}{fix}")
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
