"""Cookies that mounted applications take from each other: found before a visitor finds them."""

import json
import subprocess
import sys
import textwrap
import warnings

import pytest
from fastapi import FastAPI
from flask import Flask, session
from flask.sessions import SessionInterface
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from freedom_middleware import Application, CloseGuard, Hosts, Mount
from freedom_middleware.cookies import collisions
from freedom_middleware.testing import exchange, hello

with warnings.catch_warnings():
    # It imports pkg_resources, which warns of itself and of what it finds.
    warnings.simplefilter("ignore")
    from pyramid.config import Configurator
    from pyramid.session import SignedCookieSessionFactory


def flask(key="of one", **config):
    """An application that counts the visits of a visitor."""
    app = Flask("shop")
    app.config.update(SECRET_KEY=key, **config)

    @app.get("/")
    def count():
        session["visits"] = session.get("visits", 0) + 1
        return f"{session['visits']}"

    return app


def pyramid(**options):
    with Configurator(session_factory=SignedCookieSessionFactory("key", **options)) as config:
        return config.make_wsgi_app()


def starlette(kind=Starlette, **options):
    return kind(
        middleware=[
            Middleware(GZipMiddleware),
            Middleware(SessionMiddleware, secret_key="key", **options),
        ]
    )


class Visitor:
    """A browser's cookies, as far as two mounts need them: name and path, longest first."""

    def __init__(self, application):
        self.application = application
        self.jar = {}

    def get(self, path):
        found = sorted((k for k in self.jar if path.startswith(k[1])), key=lambda k: -len(k[1]))
        sent = "; ".join(f"{name}={self.jar[name, at]}" for name, at in found)
        answer = exchange(self.application, path, headers={"Cookie": sent} if sent else None)
        for header, value in answer.headers:
            if header.lower() == "set-cookie":
                pair, *attributes = value.split("; ")
                [at] = [a.removeprefix("Path=") for a in attributes if a.startswith("Path=")]
                name, _, content = pair.partition("=")
                self.jar[name, at] = content
        return answer.body.decode()


class TestWhatHappens:
    """The harm itself, so that what is said of it is known to be true."""

    def test_two_flask_applications_log_out_each_other_s_visitors(self):
        visitor = Visitor(Mount(flask("one"), {"/shop": flask("another")}))

        assert [visitor.get("/"), visitor.get("/")] == ["1", "2"]
        assert visitor.get("/shop/") == "1"
        assert visitor.get("/") == "1"

    def test_with_the_same_key_each_takes_the_other_s_session_for_its_own(self):
        visitor = Visitor(Mount(flask("same"), {"/shop": flask("same")}))

        assert [visitor.get("/"), visitor.get("/shop/")] == ["1", "2"]

    @pytest.mark.parametrize(
        "config", [{"SESSION_COOKIE_NAME": "shop_session"}, {"SESSION_COOKIE_PATH": "/shop"}]
    )
    def test_the_fix_ends_it(self, config):
        site = Mount(flask("one"), {"/shop": flask("another", **config)})
        visitor = Visitor(site)

        assert [visitor.get(path) for path in ("/", "/shop/", "/", "/shop/")] == list("1122")
        assert collisions(site) == []


class TestFinding:
    def test_two_flask_applications(self):
        [found] = collisions(Mount(flask("one"), {"/shop": flask("another")}))

        assert str(found) == (
            "cookie 'session': / (Flask) and /shop (Flask) log out each other's visitors\n"
            "  fix: set SESSION_COOKIE_NAME = 'shop_session' in /shop"
        )

    def test_the_same_key_is_told_as_well(self):
        [found] = collisions(Mount(None, {"/blog": flask("same"), "/shop": flask("same")}))

        assert found.same_secret
        assert str(found).splitlines()[-1] == (
            "  their SECRET_KEY is the same: each takes the other's session for its own"
        )
        assert all(len(line) <= 80 for line in str(found).splitlines())

    @pytest.mark.parametrize(
        ("make", "framework", "fix"),
        [
            (pyramid, "Pyramid", "give cookie_name='b_session' to the session factory in /b"),
            (
                starlette,
                "Starlette",
                "give session_cookie='b_session' to SessionMiddleware in /b",
            ),
            (
                lambda: starlette(FastAPI),
                "FastAPI",
                "give session_cookie='b_session' to SessionMiddleware in /b",
            ),
        ],
    )
    def test_other_frameworks_call_theirs_session_too(self, make, framework, fix):
        [found] = collisions(Mount(None, {"/a": flask(), "/b": make()}))

        assert (found.first, found.second) == ("/a (Flask)", f"/b ({framework})")
        assert (found.fix, found.same_secret) == (fix, False)

    def test_at_any_depth_and_inside_of_layers(self):
        inner = Mount(None, {"/deep": Application(flask(), name="deep")})
        site = CloseGuard(Mount(Application(flask("x")), {"/a": CloseGuard(inner)}))

        [found] = collisions(site)

        assert (found.first, found.second) == ("/ (Flask)", "/a/deep (Flask)")
        assert "'a_deep_session'" in found.fix

    def test_as_the_method_that_people_wrap(self):
        assert len(collisions(Mount(flask().wsgi_app, {"/a": flask().wsgi_app}))) == 1

    def test_under_a_dispatcher_of_others(self):
        """Werkzeug's has mounts as well; what answers the rest is at no prefix "app"."""
        [found] = collisions(DispatcherMiddleware(flask(), {"/shop": flask("another")}))

        assert (found.first, found.second) == ("/ (Flask)", "/shop (Flask)")

    def test_each_pair_is_told_once(self):
        table = {"/a": flask(), "/b": flask(), "/c": flask()}

        assert len(collisions(Mount(None, table))) == 3

    def test_a_domain_s_cookie_reaches_its_hosts(self):
        """Both are sent then, and which one is read depends on the browser."""
        wide = flask(SESSION_COOKIE_DOMAIN="shop.example")
        wider = flask(SESSION_COOKIE_DOMAIN=".Shop.example")

        assert len(collisions(Mount(wide, {"/a": wider}))) == 1
        [found] = collisions(Mount(wide, {"/a": flask()}))
        assert found.effect == "may each read the other's"


class TestNotFinding:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (flask(), hello),
            (flask(), flask(SESSION_COOKIE_NAME="other")),
            (flask(None), flask()),
            (flask(SESSION_COOKIE_PATH="/a"), flask(SESSION_COOKIE_PATH="/b")),
            (flask(APPLICATION_ROOT="/a"), flask(APPLICATION_ROOT="/b")),
            (flask(), pyramid(cookie_name="other")),
            (flask(), starlette(session_cookie="other")),
            (flask(), Starlette()),
            (flask(), Configurator().make_wsgi_app()),
            (
                flask(SESSION_COOKIE_DOMAIN="a.example"),
                flask(SESSION_COOKIE_DOMAIN="b.example"),
            ),
        ],
    )
    def test_what_does_not_meet(self, one, other):
        assert collisions(Mount(None, {"/a": one, "/b": other})) == []

    def test_one_application_at_two_places_shares_its_session_on_purpose(self):
        shop = flask()

        assert collisions(Mount(shop, {"/a": shop, "/b": Application(shop)})) == []

    def test_hosts_keep_cookies_apart_but_ports_do_not(self):
        apart = {"a.example": Mount(None, {"/x": flask()}), "b.example": flask()}
        together = {"a.example:80": flask(), "a.example:81": flask()}

        assert collisions(Hosts(None, apart)) == []
        assert len(collisions(Hosts(None, together))) == 1

    def test_the_rest_of_one_table_meets_the_hosts_of_another(self):
        rest, named = Hosts(flask(), {}), Hosts(None, {"a.example": flask()})
        other = Hosts(None, {"b.example": flask()})

        assert len(collisions(Mount(None, {"/a": rest, "/b": named}))) == 1
        assert collisions(Mount(None, {"/a": other, "/b": named})) == []

    def test_on_one_host_they_meet_below_it(self):
        host = Mount(flask(), {"/x": flask()})

        assert len(collisions(Hosts(None, {"a.example": host}))) == 1

    def test_a_lazy_application_is_unknown_until_it_is_loaded(self):
        lazy = Application("freedom_middleware.testing:hello", lazy=True)

        assert collisions(Mount(flask(), {"/a": lazy})) == []


class TestPathsWithinPaths:
    """Both cookies are kept and sent, the one with the longer path first."""

    def test_flask_takes_the_first_and_is_not_harmed(self):
        inner = flask("another", SESSION_COOKIE_PATH="/shop")

        assert collisions(Mount(flask("one"), {"/shop": inner})) == []

    @pytest.mark.parametrize(
        "inner", [pyramid(path="/b"), starlette(path="/b")], ids=["Pyramid", "Starlette"]
    )
    def test_who_takes_the_last_reads_the_other_s(self, inner):
        [found] = collisions(Mount(flask(), {"/b": inner}))

        assert found.effect == "both reach /b, which reads the other's"

    def test_that_is_what_they_do(self):
        from django.http.cookie import parse_cookie
        from starlette.requests import cookie_parser
        from webob import Request
        from werkzeug.http import parse_cookie as werkzeug

        header = "session=inner; session=outer"

        assert werkzeug(header)["session"] == "inner"
        assert parse_cookie(header)["session"] == "outer"
        assert cookie_parser(header)["session"] == "outer"
        assert Request.blank("/", headers={"Cookie": header}).cookies["session"] == "outer"


def test_a_session_of_another_kind_needs_no_key():
    server_side = flask(None)
    server_side.session_interface = SessionInterface()

    assert len(collisions(Mount(flask(), {"/a": server_side}))) == 1


SITE = """
import json, sys
from django.conf import settings
settings.configure(
    SECRET_KEY="key", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.common.CommonMiddleware",
    ][: int(sys.argv[1])],
    **json.loads(sys.argv[2]),
)
urlpatterns = []
from django.core.wsgi import get_wsgi_application
site = get_wsgi_application()
from flask import Flask
from freedom_middleware import Mount
from freedom_middleware.cookies import collisions
def flask(name):
    shop = Flask("shop")
    shop.config.update(SECRET_KEY="key", SESSION_COOKIE_NAME=name)
    return shop
shops = {"/shop": flask("sessionid"), "/blog": flask("csrftoken"), "/news": flask("other")}
for found in collisions(Mount(site, shops)):
    print(found)
"""


def in_a_process(middleware, **settings):
    """A Django site is one to a process."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SITE, str(middleware), json.dumps(settings)],
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout


class TestDjango:
    def test_its_session_and_its_csrf_token(self):
        assert in_a_process(3) == textwrap.dedent("""\
            cookie 'sessionid': / (Django) and /shop (Flask) log out each other's visitors
              fix: set SESSION_COOKIE_NAME = 'shop_session' in /shop
            cookie 'csrftoken': / (Django) and /blog (Flask) overwrite each other's
              fix: set SESSION_COOKIE_NAME = 'blog_session' in /blog
            """)

    def test_what_is_renamed_or_not_used_meets_nothing(self):
        renamed = {"SESSION_COOKIE_NAME": "a", "CSRF_COOKIE_NAME": "b"}
        assert in_a_process(3, **renamed) == ""
        assert "csrftoken" not in in_a_process(3, CSRF_USE_SESSIONS=True)
        assert in_a_process(0) == ""

    def test_no_framework_is_imported_for_it(self):
        program = (
            "import sys; from freedom_middleware import Mount\n"
            "from freedom_middleware.cookies import collisions\n"
            "from freedom_middleware.testing import hello\n"
            "assert collisions(Mount(hello, {'/a': hello})) == []\n"
            "print({'flask', 'django', 'pyramid', 'starlette', 'webob'} & set(sys.modules))"
        )

        ended = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )

        assert ended.stdout == "set()\n"
