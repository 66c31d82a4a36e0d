"""Only users of the site: a door in front of an application that knows none of them."""

from __future__ import annotations

import base64
import binascii
import unicodedata
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..application import Application, made_at
from ..environ import keep_query, native, path_of, text, url_path
from ..errors import OptionError
from ..response import answer, with_headers, with_vary
from ..targets import is_async, takes
from .auth import set_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..application import Target
    from ..wsgi import Body, Environ, StartResponse, WSGIApplication

__all__ = ["UserGuard"]

_CLAIMS = (
    "REMOTE_USER",
    "AUTH_TYPE",
    # What a client sends as "Remote-User" and the like, and some applications believe.
    "HTTP_REMOTE_USER",
    "HTTP_X_REMOTE_USER",
    "HTTP_X_FORWARDED_USER",
)


class UserGuard:
    """Let only users of the Freedom site through to an application.

    A user is known by the session cookie of the site, or by HTTP Basic with the password
    of the site.  Who is not active is nobody.  The application finds the name in
    REMOTE_USER; it never sees a REMOTE_USER of anybody else's making.

    Who is nobody and browses is sent to the login page, and comes back from there; a
    program gets a 401.  Who is somebody and not allowed gets a 403.

    The session is only read: it is not prolonged, rotated or flushed.  ``last_login`` stays
    as it is.  What was opened to ask for the user is given back before *application* is
    called, as the framework does at the end of a request.

    Put it around what is mounted beside the site, and not around the site: the login page
    must stay open.

    Touches:
        environ: the application gets a copy, without REMOTE_USER, AUTH_TYPE and the headers
            Remote-User, X-Remote-User and X-Forwarded-User that came in; without
            Authorization if that is Basic; and with REMOTE_USER and AUTH_TYPE of the user.
            These two are also set in the environ of the caller, for access logs.
        start_response: wrapped, to add ``Vary: Cookie``.
        body: passed on as it is.

    Args:
        application: The application to guard, in any form that
            :class:`~freedom_middleware.Application` takes.
        allow: Says of a user whether to let it through: ``lambda user: user.is_staff``,
            ``lambda user: user.has_perm("shop.view_order")``.  None lets all through.
        realm: What a client is asked to log in to by HTTP Basic; None refuses Basic.
        login_url: The path of the login page, as a browser sees it, or the name of its
            view; None takes the site's LOGIN_URL, and ``""`` redirects nobody.
        trust_remote_user: True believes a REMOTE_USER that the server has set, as Apache
            does; it must be the name of an active user all the same.

    Raises:
        OptionError: An option cannot be understood, or the site has no users.
        SettingsError: The site is not there: make it first.
        ApplicationError, ApplicationTypeError: *application* is not one.

    Source: RFC 7617; RFC 9110, section 11; RFC 3875, sections 4.1.1 and 4.1.11.
    """

    def __init__(
        self,
        application: Target,
        *,
        allow: Callable[[Any], object] | None = None,
        realm: str | None = "site",
        login_url: str | None = None,
        trust_remote_user: bool = False,
    ) -> None:
        # What an async function returns is always true.
        if allow is not None and (not takes(allow, 1) or is_async(allow)):
            raise OptionError(
                "UserGuard's allow must be a function of one user, and not async, or None, got"
                f" {allow!r}"
            )
        if realm is not None and not _is_realm(realm):
            raise OptionError(
                "UserGuard's realm must be printable ASCII without quotes and backslashes, or"
                f" None, got {realm!r}"
            )
        if not isinstance(trust_remote_user, bool):
            raise OptionError(
                "UserGuard's trust_remote_user must be True or False, got"
                f" {trust_remote_user!r}"
            )
        if not isinstance(login_url, str | None):
            raise OptionError(
                "UserGuard's login_url must be a path, the name of a view, or None, got"
                f" {login_url!r}"
            )
        self._application = Application(application)
        self._site = _Site(set_up())
        self._allow, self._realm, self._trust = allow, realm, trust_remote_user
        self._login_url = self._site.login_url(login_url)
        self.wsgi_made_at = made_at()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Body:
        """Serve one request (PEP 3333)."""
        with self._site:
            user, how = self._user(environ)
            name = native(str(user.get_username())) if user is not None else ""
            allowed = user is not None and (self._allow is None or bool(self._allow(user)))
            del user  # what it may still load would open a connection again
        if not name:
            return self._refuse(environ, start_response)
        if not allowed:
            return answer(environ, start_response, "403 Forbidden", _NO_STORE)
        child = {key: value for key, value in environ.items() if key not in _CLAIMS}
        if self._realm is not None and _basic(environ) is not None:
            del child["HTTP_AUTHORIZATION"]  # the password is the site's
        for each in (child, environ):
            each["REMOTE_USER"], each["AUTH_TYPE"] = name, how
        start = with_headers(start_response, lambda headers: with_vary(headers, ["Cookie"]))
        return self._application.wsgi(child, start)

    def wsgi_children(self) -> list[tuple[str, WSGIApplication]]:
        """Name what is guarded (see :mod:`freedom_middleware.tree`)."""
        return [("", self._application)]

    def _user(self, environ: Environ) -> tuple[Any, str]:
        """Return an active user, or None; and how the user is known."""
        site = self._site
        if self._trust and environ.get("REMOTE_USER"):
            named = text(environ["REMOTE_USER"])
            return _active(site.user_called(named)), environ.get("AUTH_TYPE") or "Server"
        user = _active(site.user_of_session(environ))
        if user is not None:
            return user, "Session"
        given = _basic(environ) if self._realm is not None else None
        if given:
            return _active(site.user_with_password(environ, *given)), "Basic"
        return None, ""

    def _refuse(self, environ: Environ, start_response: StartResponse) -> Body:
        """Ask who it is: by the login page in a browser, else by HTTP Basic, if that may be."""
        tried = self._realm is not None and _basic(environ) is not None
        mode = environ.get("HTTP_SEC_FETCH_MODE", "")
        browses = mode == "navigate" or (
            not mode and "text/html" in environ.get("HTTP_ACCEPT", "").lower()
        )
        path = url_path(path_of(environ))
        if self._login_url and browses and not tried and path != self._login_url.split("?")[0]:
            # A path of this host, whatever was asked for: it begins with one slash.
            back = quote(keep_query(path, environ), safe="/")
            mark = "&" if "?" in self._login_url else "?"
            location = f"{self._login_url}{mark}next={back}"
            return answer(
                environ, start_response, "302 Found", ("Location", location), _NO_STORE
            )
        # What a page loads in the background must not open the browser's own dialogue.
        if self._realm is None or (mode and not tried and self._login_url):
            return answer(environ, start_response, "403 Forbidden", _NO_STORE)
        challenge = f'Basic realm="{self._realm}", charset="UTF-8"'
        return answer(
            environ,
            start_response,
            "401 Unauthorized",
            ("WWW-Authenticate", challenge),
            _NO_STORE,
        )


_NO_STORE = ("Cache-Control", "no-store")


class _Site:
    """The users and sessions of the site; a context that gives back what asking opened."""

    def __init__(self, package: str) -> None:
        apps = import_module(f"{package}.apps").apps
        if not any(app.name.endswith(".contrib.auth") for app in apps.get_app_configs()):
            raise OptionError(
                "UserGuard must stand beside a site that has users, got one without"
                f" {package}.contrib.auth in INSTALLED_APPS"
            )
        self._settings = import_module(f"{package}.conf").settings
        self._db = import_module(f"{package}.db")
        self._caches = import_module(f"{package}.core.cache").caches
        self._auth = import_module(f"{package}.contrib.auth")
        self._request_class = import_module(f"{package}.core.handlers.wsgi").WSGIRequest
        self._shortcuts = import_module(f"{package}.shortcuts")
        self._urls = import_module(f"{package}.urls")

    def __enter__(self) -> None:
        self._close_old_connections()

    def __exit__(self, *_: object) -> None:
        # As at the end of a request; the signal itself would count as one that there was not.
        self._close_old_connections()
        self._caches.close_all()

    def _close_old_connections(self) -> None:
        # The framework's own would end the transaction that the user's test is in.
        for connection in self._db.connections.all(initialized_only=True):
            if not connection.in_atomic_block:
                connection.close_if_unusable_or_obsolete()

    def login_url(self, named: str | None) -> str:
        """Return the path of the login page, for a path or for the name of a view."""
        named = self._settings.LOGIN_URL if named is None else named
        prefix = self._urls.get_script_prefix()
        self._urls.set_script_prefix("/")  # a request on this thread may have left another
        try:
            url: str = self._shortcuts.resolve_url(named) if named else ""
        except self._urls.NoReverseMatch as error:
            raise OptionError(
                "login_url must be the path of the login page, as a browser sees it, or the"
                f" name of its view, got {named!r}: {error}"
            ) from error
        finally:
            self._urls.set_script_prefix(prefix)
        return url

    def user_of_session(self, environ: Environ) -> Any:
        """Return whom the session cookie is of; the session stays as it is."""
        request = self._request_class(dict(environ))
        key = request.COOKIES.get(self._settings.SESSION_COOKIE_NAME)
        if not key:
            return None
        store = import_module(self._settings.SESSION_ENGINE).SessionStore(key)
        request.session = _Seen(store.load())
        return self._auth.get_user(request)

    def user_with_password(self, environ: Environ, name: str, password: str) -> Any:
        """Return whom the backends of the site know by *password*."""
        request = self._request_class(dict(environ))
        request.session = _Seen()
        return self._auth.authenticate(request, username=name, password=password)

    def user_called(self, name: str) -> Any:
        """Return the user of that name."""
        model = self._auth.get_user_model()
        if _has_control(name):
            return None
        try:
            return model._default_manager.get_by_natural_key(name)
        except model.DoesNotExist:
            return None


class _Seen(dict[str, Any]):
    """What was in a session; whoever would change the session changes nothing."""

    def cycle_key(self) -> None:
        """Leave the key as it is: no response here could tell the browser of another."""

    def flush(self) -> None:
        """Leave the session as it is."""


def _active(user: Any) -> Any:
    is_somebody = getattr(user, "is_authenticated", False) and getattr(user, "is_active", True)
    return user if is_somebody else None


def _is_realm(realm: object) -> bool:
    return (
        isinstance(realm, str)
        and realm.isascii()
        and realm.isprintable()
        and not set(realm) & {'"', "\\"}
    )


def _has_control(given: str) -> bool:
    return any(unicodedata.category(character) == "Cc" for character in given)


def _basic(environ: Environ) -> tuple[str, str] | tuple[()] | None:
    """Return name and password that were given; none for a malformed header, None for no Basic.

    Source: RFC 7617, section 2: control characters are in neither.
    """
    scheme, _, credentials = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        given = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return ()
    name, colon, password = given.partition(":")
    if not colon or _has_control(given):
        return ()
    return name, password
