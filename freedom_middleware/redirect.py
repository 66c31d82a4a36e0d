"""A redirect as an application: what was under one prefix is somewhere else now."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .environ import keep_query, url_path
from .errors import OptionError

if TYPE_CHECKING:
    from .wsgi import Body, Environ, StartResponse, WSGIApplication

__all__ = ["redirect_to"]

_NEVER = set(" ?#\\")


def redirect_to(url: str, *, permanent: bool) -> WSGIApplication:
    """Return an application that redirects to *url*, rest of the path and query kept.

    See :meth:`freedom_middleware.Application.from_redirect`.
    """
    base = _base(url)
    if not isinstance(permanent, bool):
        raise OptionError(f"permanent must be True or False, got {permanent!r}")
    status = "308 Permanent Redirect" if permanent else "307 Temporary Redirect"

    def redirect(environ: Environ, start_response: StartResponse) -> Body:
        path_info = environ.get("PATH_INFO", "")
        location = base + url_path(path_info) if path_info or not base else base
        headers = [
            ("Location", keep_query(location, environ)),
            ("Content-Type", "text/plain"),
            ("Content-Length", "0"),
        ]
        start_response(status, headers)
        return []

    return redirect


def _base(url: str) -> str:
    """Return *url* without a slash at its end, if it can be redirected to."""
    # A browser takes "/\\evil.example" for "//evil.example", which names a host.
    if isinstance(url, str) and url.isascii() and url.isprintable() and not set(url) & _NEVER:
        with suppress(ValueError):  # half an IPv6 address, or a port that is none
            parts = urlsplit(url)
            absolute = parts.scheme in ("http", "https") and parts.hostname
            here = url.startswith("/") and not url.startswith("//")
            if (absolute or here) and parts.port != 0:
                return url.rstrip("/")
    raise OptionError(
        "redirect must go to a path that starts with one '/', or to an http or https URL,"
        f" percent-encoded and without '?' and '#', got {url!r}"
    )
