"""A browser, as far as prefixes matter: it keeps cookies, and goes where it is sent."""

from __future__ import annotations

import json
import re
from html import unescape
from http.cookiejar import CookieJar
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urljoin
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, Request, build_opener

SECONDS = 10.0

TOKEN = r'name="csrfmiddlewaretoken" value="([^"]*)"'


class Page(NamedTuple):
    """What a browser got; *url* is where from, *location* where it is sent to."""

    url: str
    status: int
    location: str | None
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def found(self, pattern: str) -> str:
        """Return the one place where *pattern* stands in the page."""
        [found] = set(re.findall(pattern, self.text))
        return found


class Stay(HTTPRedirectHandler):
    """Do not follow a redirect: it is to be looked at."""

    def redirect_request(self, *args):
        return None


class Browser:
    def __init__(self, address: str, base: str) -> None:
        self.address = address
        self.base = base
        self.jar = CookieJar()
        self._open = build_opener(HTTPCookieProcessor(self.jar), Stay).open

    def cookie(self, name: str) -> Any:
        [cookie] = [cookie for cookie in self.jar if cookie.name == name]
        return cookie

    def get(self, path: str) -> Page:
        """Ask for a path below the base."""
        return self.open(self.base + path)

    def send(self, url: str, **fields: str) -> Page:
        """Post a form."""
        return self.open(url, urlencode(fields).encode())

    def log_in(self, form: Page, username: str, password: str) -> Page:
        """Send the framework's login form, filled in."""
        return self.send(
            unescape(form.found(r'action="([^"]*)"')),
            username=username,
            password=password,
            next=form.found(r'name="next" value="([^"]*)"'),
            csrfmiddlewaretoken=form.found(TOKEN),
        )

    def follow(self, page: Page) -> Page:
        """Go where *page* sends a browser to; it must be there that it wants to go."""
        assert page.location is not None
        assert page.location.isascii(), page.location
        return self.open(urljoin(page.url, page.location))

    def open(self, url: str, data: bytes | None = None) -> Page:
        # A link in a page may be an IRI, which a browser encodes as UTF-8.
        url = urljoin(self.address, quote(url, safe="/:?&=#%+~-._"))
        request = Request(url, data, headers={"Referer": url})
        try:
            answer = self._open(request, timeout=SECONDS)
        except HTTPError as error:
            answer = error
        with answer:
            return Page(url, answer.status, answer.headers["Location"], answer.read())
