"""Pure functions over the environ and the native strings in it.

PEP 3333 carries the bytes of a path in *native strings*: text in which each character
stands for one byte (latin-1).  A prefix is written by people, as text, and turned into
a native string once; no path that a client sent is ever decoded, folded or tidied here.

Source: PEP 3333, "Unicode Issues" and "environ Variables".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .wsgi import Environ

__all__ = [
    "CHECKING",
    "MOUNTED",
    "is_token",
    "keep_query",
    "native",
    "path_of",
    "request_line",
    "script_name_of",
    "text",
    "url_path",
    "url_query",
]

# What may stand unescaped in the path of a URL (RFC 3986, section 3.3), "%" not among it.
_PATH_SAFE = "/:@!$&'()*+,;=-._~"


CHECKING = "freedom_middleware.checking"
"""In the environ of requests that a check sends: what goes wrong then is nobody's leak."""

MOUNTED = "freedom_middleware.mounted"
"""The environ key that holds where the chosen application is mounted: its SCRIPT_NAME."""

# What may stand in the name of a method or of a header, beside letters and digits.
_TOKEN_MARKS = frozenset("!#$%&'*+-.^_`|~")


def is_token(text: str) -> bool:
    """Say whether *text* can be the name of a method or of a header.

    Source: RFC 9110, section 5.6.2.

    >>> is_token("X-Cascade"), is_token("X Cascade"), is_token("")
    (True, False, False)
    """
    return (
        text.isascii()
        and bool(text)
        and all(character.isalnum() or character in _TOKEN_MARKS for character in text)
    )


def native(text: str) -> str:
    """Turn text into the native string that stands for its UTF-8 bytes.

    >>> native("/café") == "/caf\\xc3\\xa9"
    True
    """
    return text.encode("utf-8").decode("latin-1")


def text(native: str) -> str:
    """Turn a native string into the text it stands for, for people to read.

    Bytes that are no UTF-8 are shown as escapes, so that this never raises.

    >>> text("/caf\\xc3\\xa9")
    '/café'
    """
    return native.encode("latin-1", "backslashreplace").decode("utf-8", "backslashreplace")


def script_name_of(environ: Environ) -> str:
    """Return SCRIPT_NAME as PEP 3333 means it: absent and ``"/"`` both count as ``""``.

    Some servers and frameworks send ``"/"`` for an application at the root; joined with
    PATH_INFO that would make ``"//x"``, which a browser takes for another host.
    """
    script_name: str = environ.get("SCRIPT_NAME", "")
    return "" if script_name == "/" else script_name


def path_of(environ: Environ) -> str:
    """Return the whole path of a request as a native string: SCRIPT_NAME + PATH_INFO."""
    path: str = script_name_of(environ) + environ.get("PATH_INFO", "")
    return path


def url_path(native: str) -> str:
    """Return a native path as the absolute path of a URL, safe to send in ``Location``.

    Leading slashes are collapsed to one, since ``//evil.example/`` names a host; all
    that is not allowed in a path is percent-encoded, line ends included.

    Source: RFC 3986, sections 3.3 and 4.2.

    >>> url_path("//evil.example/caf\\xc3\\xa9")
    '/evil.example/caf%C3%A9'
    """
    return "/" + _quote(native.lstrip("/"), _PATH_SAFE)


def url_query(query_string: str) -> str:
    """Return QUERY_STRING as it may stand in ``Location``: as sent, but printable ASCII.

    Source: RFC 3986, section 3.4.

    >>> url_query("a=%20b&c=\\r\\n")
    'a=%20b&c=%0D%0A'
    """
    return _quote(query_string, _PATH_SAFE + "?%")


def keep_query(url: str, environ: Environ) -> str:
    """Return *url* with the query of the request behind it, if there is one.

    >>> keep_query("/new", {"QUERY_STRING": "page=2"})
    '/new?page=2'
    """
    query: str = environ.get("QUERY_STRING", "")
    return f"{url}?{url_query(query)}" if query else url


def _quote(native: str, safe: str) -> str:
    from urllib.parse import quote  # costs as much as importing all of this package

    return quote(native.encode("latin-1"), safe=safe)


def request_line(environ: Environ) -> str:
    """Name a request for people: its method and its path, quoted so that nothing escapes.

    >>> request_line({"REQUEST_METHOD": "GET", "SCRIPT_NAME": "/shop", "PATH_INFO": "/cart"})
    "GET '/shop/cart'"
    """
    method = environ.get("REQUEST_METHOD", "?")
    return f"{method if str(method).isalpha() else repr(method)} {text(path_of(environ))!r}"
