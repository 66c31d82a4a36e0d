"""Application: anything that can serve, as one PEP 3333 application."""

import gc
import subprocess
import sys
import types
import weakref

import pytest
from webob import Request, Response
from webob.exc import HTTPFound, HTTPNotFound

from freedom_middleware import Application, CloseGuard, Mount
from freedom_middleware.errors import (
    ApplicationError,
    ApplicationTypeError,
    FreedomError,
    OptionError,
    SettingsError,
)
from freedom_middleware.testing import SpyBody, exchange, hello, make_environ


async def echo(scope, receive, send):
    """Answer with what was asked and sent, as ASGI has it."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    sent = await receive()
    body = f"{scope['method']} {scope['path']}?".encode() + scope["query_string"] + b" "
    await send(
        {
            "type": "http.response.start",
            "status": 201,
            "headers": [(b"content-type", b"text/plain"), (b"x-framework", b"none")],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": sent["body"]})


def view(request):
    return Response(f"{request.method} {request.path}")


def view_of_two(request, more): ...


async def async_view(request): ...


class ViewInstance:
    def __call__(self, request): ...


@pytest.fixture
def shop(monkeypatch):
    """Put a module called ``shop`` in reach of import strings."""
    module = types.ModuleType("shop")
    module.application = hello
    module.adapted = Application(hello, name="its own name")
    module.api = echo
    module.make = lambda answer=hello: answer
    module.make_any = lambda *names, **options: Mount(hello, {f"/{n}": hello for n in names})
    module.number = 42
    monkeypatch.setitem(sys.modules, "shop", module)
    return module


class TestTarget:
    @pytest.mark.parametrize(
        ("target", "kind", "name"),
        [
            (hello, "WSGI", "hello"),
            (echo, "ASGI", "echo"),
            (CloseGuard(hello), "WSGI", "CloseGuard"),
            (Mount(None, {"/hello": hello}), "WSGI", "Mount"),
            (Response("a response is an application"), "WSGI", "Response"),
            (Application(hello), "WSGI", "hello"),
            (Application(echo), "ASGI", "echo"),
            (Application.from_view(view), "view", "view"),
            (Application(Application(hello, name="mine")), "WSGI", "mine"),
            ("shop", "WSGI", "shop"),
            ("shop:application", "WSGI", "shop:application"),
            ("shop:api", "ASGI", "shop:api"),
            ("shop:adapted", "WSGI", "shop:adapted"),
            ("shop:make()", "WSGI", "shop:make()"),
            ("shop:make_any('x')", "WSGI", "shop:make_any('x')"),
        ],
    )
    def test_each_form_has_a_kind_and_a_name(self, shop, target, kind, name):
        application = Application(target)

        assert (application.kind, application.wsgi_name) == (kind, name)
        assert repr(application) == f"<Application {name} ({kind})>"

    @pytest.mark.parametrize(
        "target",
        [hello, echo, Application(hello), Application.from_view(view), "shop"],
    )
    def test_each_form_can_be_given_a_name(self, shop, target):
        application = Application(target, name="the shop")

        assert application.wsgi_name == "the shop"

    def test_a_name_is_given_to_the_adapter_and_not_to_what_it_adapts(self):
        inner = Application(hello)

        Application(inner, name="other")

        assert inner.wsgi_name == "hello"

    @pytest.mark.parametrize("name", ["", 42, b"shop", ["shop"]])
    def test_a_name_is_text(self, name):
        with pytest.raises(OptionError) as caught:
            Application(hello, name=name)

        assert str(caught.value) == f"Application's name must be text or None, got {name!r}"

    @pytest.mark.parametrize(
        "target",
        [hello, Application(hello), Application(Application(hello)), "shop", "shop:adapted"],
    )
    def test_a_request_goes_to_the_application_itself(self, shop, target):
        assert Application(target).wsgi is hello

    @pytest.mark.parametrize("target", ["shop:make()", "shop:make_any('x')", echo])
    def test_it_can_be_called(self, shop, target):
        assert exchange(Application(target)).code in (200, 201)

    def test_nothing_is_copied_or_wrapped(self):
        seen = []
        body = SpyBody([b"x"])

        def application(environ, start_response):
            seen.extend([environ, start_response])
            return body

        environ = make_environ()

        def start_response(status, headers, exc_info=None): ...

        assert Application(application)(environ, start_response) is body
        assert seen[0] is environ
        assert seen[1] is start_response

    def test_what_the_application_raises_reaches_the_server(self):
        def application(environ, start_response):
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            exchange(Application(application))

    def test_a_subclass_stays_one(self):
        class Site(Application): ...

        assert type(Site.from_view(view)) is Site
        assert Application(Site(hello)).wsgi is hello

    def test_its_children_are_those_of_what_it_adapts(self):
        mount = Mount(None, {"/hello": hello})

        assert list(Application(mount).wsgi_children()) == list(mount.wsgi_children())


class TestWrongTarget:
    def test_it_is_shown(self):
        with pytest.raises(ApplicationTypeError) as caught:
            Application(42)

        assert str(caught.value) == (
            "application must be a WSGI or ASGI callable, an import string or an Application,"
            " got 42"
        )

    @pytest.mark.parametrize(
        ("spec", "says"),
        [
            ("shop:number", "or an Application, got 42"),
            ("shop:make(None)", "or an Application, got None"),
            ("shop:make('text')", "or an Application, got 'text'"),
            ("shop:make", "call it, or write 'pkg.mod:factory()'"),
        ],
    )
    def test_where_it_comes_from_is_named(self, shop, spec, says):
        with pytest.raises(ApplicationTypeError) as caught:
            Application(spec)

        assert str(caught.value).endswith(f"{says} (from {spec!r})")

    def test_an_import_string_that_names_nothing_is_refused(self, shop):
        with pytest.raises(ApplicationError, match="got 'shop:app': shop has no 'app'"):
            Application("shop:app")

    def test_a_settings_module_that_cannot_be_named_is_refused(self):
        with pytest.raises(SettingsError, match=r"got 'mysite\.wsgi:application'"):
            Application.from_settings("mysite.wsgi:application")

    @pytest.mark.parametrize(
        ("target", "says"),
        [
            (42, "mount '/shop': application must be a WSGI or ASGI callable"),
            ("shop:number", "mount '/shop': application must be a WSGI or ASGI callable"),
            ("shop:app", "mount '/shop': application must name an attribute that exists"),
            ("no_shop", "mount '/shop': application must name a module that can be imported"),
            ("shop:make(", "mount '/shop': import string must have the form"),
        ],
    )
    def test_where_it_was_to_be_mounted_is_named(self, shop, target, says):
        with pytest.raises(FreedomError) as caught:
            Mount(None, {"/": hello, "/shop": target})

        assert str(caught.value).startswith(says)

    def test_the_whole_way_to_it_is_named(self, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "of_mounts.py").write_text(
            "from freedom_middleware import Mount\n"
            "application = Mount(None, {'/inner': 'no_such_module'})\n"
        )

        with pytest.raises(ApplicationError) as caught:
            Mount(None, {"/outer": "of_mounts"})

        assert str(caught.value).startswith("mount '/outer': mount '/inner': application must")


class TestFromView:
    def test_it_answers_with_the_response_of_the_view(self):
        application = Application.from_view(view)

        assert exchange(application, "/cart", method="PUT").body == b"PUT /cart"

    def test_the_view_reads_the_request(self):
        application = Application.from_view(lambda request: Response(request.POST["size"]))

        answer = exchange(
            application,
            method="POST",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=b"size=XL",
        )

        assert answer.body == b"XL"

    def test_the_view_gets_the_environ_itself(self):
        seen = []
        environ = make_environ()

        def view(request):
            seen.append(request)
            return Response()

        exchange(Application.from_view(view), environ=environ, validate=False)

        assert type(seen[0]) is Request
        assert seen[0].environ is environ

    def test_any_application_is_a_response(self):
        assert exchange(Application.from_view(lambda request: hello)).body == b"Hello, world!\n"

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("chunks", [None, 1, 0])
    def test_the_body_is_closed_once(self, method, chunks):
        body = SpyBody([b"one", b"two"])
        application = Application.from_view(lambda request: Response(app_iter=body))

        exchange(application, method=method, chunks=chunks)

        assert body.closes == 1

    def test_a_body_that_fails_to_close_is_heard(self):
        body = SpyBody([b"one"], error=ZeroDivisionError())
        application = Application.from_view(lambda request: Response(app_iter=body))

        with pytest.raises(ZeroDivisionError):
            exchange(application)

    def test_an_http_exception_is_a_response(self):
        def view(request):
            raise HTTPFound(location="/elsewhere")

        answer = exchange(Application.from_view(view), "/here")

        assert answer.code == 302
        assert answer.header("Location") == "http://127.0.0.1/elsewhere"

    @pytest.mark.refcounts
    def test_an_http_exception_is_gone_when_its_response_is(self):
        """Kept in a cycle with its traceback it would hold the body until a collection."""
        seen = []

        def noted(error):
            seen.append(weakref.ref(error))
            return error

        def view(request):
            raise noted(HTTPNotFound())

        gc.disable()
        try:
            exchange(Application.from_view(view), validate=False)

            assert seen[0]() is None
        finally:
            gc.enable()

    def test_any_other_exception_reaches_the_server(self):
        def view(request):
            return 1 / 0

        with pytest.raises(ZeroDivisionError):
            exchange(Application.from_view(view))

    @pytest.mark.parametrize("response", [None, "text", b"bytes", ["list"]])
    def test_a_view_that_returns_no_response_is_named(self, response):
        def greet(request):
            return response

        with pytest.raises(ApplicationTypeError) as caught:
            exchange(Application.from_view(greet))

        assert str(caught.value) == (
            f"view {greet.__qualname__} must return a webob.Response, got {response!r}"
        )

    @pytest.mark.parametrize(
        ("view", "name"),
        [
            (view, "view"),
            (ViewInstance(), "ViewInstance"),
            (ViewInstance().__call__, "ViewInstance.__call__"),
            (lambda *any_number: Response(), "<lambda>"),
            (lambda request, more=None: Response(), "<lambda>"),
            (Response, "Response"),
        ],
    )
    def test_what_takes_a_request_is_a_view(self, view, name):
        application = Application.from_view(view)

        assert application.kind == "view"
        assert application.wsgi_name.endswith(name)

    @pytest.mark.parametrize(
        "view", [42, "shop:view", None, lambda: Response(), view_of_two, hello, async_view]
    )
    def test_what_does_not_is_refused(self, view):
        with pytest.raises(ApplicationTypeError) as caught:
            Application.from_view(view)

        assert str(caught.value) == (
            f"view must be a function of one webob.Request, and not async, got {view!r}"
        )


class TestAsgi:
    def test_a_request_crosses(self):
        answer = exchange(Application(echo), "/items?size=2")

        assert answer.code == 201
        assert answer.header("X-Framework") == "none"
        assert answer.body == b"GET /items?size=2 "

    def test_a_request_body_crosses(self):
        answer = exchange(Application(echo), "/items", method="POST", body=b"sent")

        assert answer.body == b"POST /items? sent"

    def test_mounted_it_sees_its_own_path(self):
        """What comes before it is in root_path, which the ASGI specification repeats."""
        answer = exchange(Mount(None, {"/api": echo}), "/api/items")

        assert answer.body == b"GET /api/items? "

    def test_below_each_other_applications_stay_what_they_are(self):
        site = CloseGuard(Mount(hello, {"/api": Application(echo, name="api"), "/old": hello}))

        assert exchange(site, "/api").code == 201
        assert exchange(site, "/old").body == exchange(site, "/").body == b"Hello, world!\n"


SITE = """
import sys, types

settings = types.ModuleType("mysite")
settings.ROOT_URLCONF = "mysite"
settings.urlpatterns = []
settings.ALLOWED_HOSTS = ["*"]
settings.SECRET_KEY = "a secret"
sys.modules["mysite"] = settings

from freedom_middleware import Application
from freedom_middleware.testing import exchange

site = Application.from_settings("mysite")
from django.core.signals import request_finished
finished = []
request_finished.connect(lambda **more: finished.append(1), weak=False)
print(repr(site), site.kind, site.wsgi_name)
print(exchange(site, "/nowhere").status, len(finished))
print(repr(Application(site)), repr(Application(site, name="mine")))
"""


def test_a_site_has_a_kind_and_a_name_and_serves():
    done = subprocess.run(
        [sys.executable, "-c", SITE], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.splitlines() == [
        "<Application mysite (Freedom)> Freedom mysite",
        "404 Not Found 1",
        "<Application mysite (Freedom)> <Application mine (Freedom)>",
    ]
