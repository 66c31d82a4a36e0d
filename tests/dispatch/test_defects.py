"""The ways in which mounting and dispatch go wrong elsewhere: one number each, and a test.

Most drive those who do it, to show that it is so and to notice when it is mended, and then
this package.  What a server does wrong is shown by the environ that it sends.
"""

import json
import os
import subprocess
import sys
import warnings
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from urllib.parse import urljoin

import bottle
import falcon
import pytest
from a2wsgi import ASGIMiddleware
from a2wsgi.wsgi import build_environ
from cheroot.wsgi import PathInfoDispatcher
from cherrypy._cptree import Tree
from cherrypy._cpwsgi import VirtualHost
from fastapi import FastAPI
from flask import Flask, redirect, request, session, url_for
from paste.cascade import Cascade as PasteCascade
from paste.urlmap import URLMap
from starlette.applications import Starlette
from starlette.routing import Mount as StarletteMount
from waitress.task import WSGITask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.utils import append_slash_redirect
from whitenoise import WhiteNoise

from freedom_middleware import Application, Cascade, Hosts, Mount, When, explain
from freedom_middleware.cookies import collisions
from freedom_middleware.dispatch import path
from freedom_middleware.environ import native
from freedom_middleware.errors import MountWarning
from freedom_middleware.testing import SpyBody, exchange, hello, make_environ

from ..interpreters import collected

with warnings.catch_warnings():
    # They import pkg_resources, which warns of itself and of what it finds.
    warnings.simplefilter("ignore")
    from paste.deploy.config import PrefixMiddleware
    from pyramid.config import Configurator
    from pyramid.response import Response

PLAIN = [("Content-Type", "text/plain")]


class Place:
    """An application that notes where it is called."""

    def __init__(self):
        self.seen = None

    def __call__(self, environ, start_response):
        assert self.seen is None
        self.seen = environ.get("SCRIPT_NAME"), environ.get("PATH_INFO")
        return hello(environ, start_response)


def ask(application, path_info="/", script_name="", **more):
    """Send native strings as they are, and more of an environ; return what a client gets."""
    environ = make_environ(**{"SCRIPT_NAME": script_name, "PATH_INFO": path_info, **more})
    return exchange(application, environ=environ, validate=False)


def seen(make, path_info, script_name="", **more):
    """Return SCRIPT_NAME and PATH_INFO of the application in *make*, None if not reached."""
    place = Place()
    ask(make(place), path_info, script_name, **more)
    return place.seen


def named(name, status="200 OK", body=None):
    def application(environ, start_response):
        start_response(status, PLAIN)
        return [name.encode()] if body is None else body

    return application


def asgi_named(name):
    async def application(scope, receive, send):
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": name.encode()})

    return application


# -- each mounts an application at one prefix --


def ours(prefix):
    return lambda application: Mount(named("default"), {prefix: application})


def werkzeug(prefix):
    return lambda application: DispatcherMiddleware(named("default"), {prefix: application})


def cheroot(prefix):
    return lambda application: PathInfoDispatcher({prefix: application})


def pastedeploy(prefix):
    return lambda application: PrefixMiddleware(application, prefix=prefix)


def paste(prefix):
    def make(application):
        urlmap = URLMap()
        urlmap[prefix] = application
        return urlmap

    return make


def cherrypy(prefix):
    def make(application):
        tree = Tree()
        tree.graft(application, prefix)
        return tree

    return make


def bottled(prefix):
    def make(application):
        parent = bottle.Bottle()
        parent.mount(prefix, application)
        return parent

    return make


class TestScriptNameAndPathInfo:
    @pytest.mark.parametrize(("path_info", "taken"), [("foo/bar", "foo"), ("*", "*")])
    def test_01_a_path_without_a_slash_is_no_prefix(self, path_info, taken):
        """Werkzeug moves the first part of it into the default's SCRIPT_NAME."""

        def theirs(default):
            return DispatcherMiddleware(default, {"/x": hello})

        assert seen(theirs, path_info)[0] == taken
        assert seen(lambda root: Mount(root, {"/x": hello}), path_info) == ("", path_info)

    def test_02_a_script_name_of_one_slash_makes_no_url_of_another_host(self):
        """twisted#3721, webob#61: servers send it; Werkzeug and Paste then make '//x'."""
        for theirs in (werkzeug, paste):
            assert seen(theirs("/x"), "/x/y", "/") == ("//x", "/y")

        assert seen(ours("/x"), "/x/y", "/") == ("/x", "/y")
        assert seen(lambda root: Mount(root, {"/x": hello}), "/y", "/") == ("", "/y")
        redirecting = Mount(None, {"/x": hello}, slash="redirect")
        assert ask(redirecting, "/x", "/").header("Location") == "/x/"

    def test_03_a_prefix_is_not_doubled_by_other_keys(self):
        """dd-trace-py#17739, fastapi#2872: SCRIPT_NAME and a RAW_URI that holds it already."""
        raw = dict.fromkeys(["RAW_URI", "REQUEST_URI"], "/shop/cart/7")

        assert seen(ours("/cart"), "/cart/7", "/shop", **raw) == ("/shop/cart", "/7")
        api = FastAPI()
        sub = FastAPI()
        api.mount("/cart", sub)
        told = ask(Mount(None, {"/shop": api}), "/shop/cart/openapi.json").body
        assert json.loads(told)["servers"] == [{"url": "/shop/cart"}]

    def test_04_a_prefix_is_in_script_name_if_and_only_if_it_was_taken_off(self):
        """Waitress keeps its --url-prefix there for a path outside; granian#721 leaves both."""
        adjusted = SimpleNamespace(url_prefix="/shop", ident="", url_scheme="http")
        server = SimpleNamespace(adj=adjusted, effective_port=80, server_name="")
        channel = SimpleNamespace(server=server, addr=("", 0), check_client_disconnected=None)
        outside = SimpleNamespace(
            path="/about",
            version="1.1",
            command="GET",
            request_uri="/about",
            query="",
            url_scheme="http",
            headers={},
            connection_close=False,
            get_body_stream=lambda: None,
        )
        theirs = WSGITask(channel, outside).get_environment()

        assert (theirs["SCRIPT_NAME"], theirs["PATH_INFO"]) == ("/shop", "/about")
        assert seen(lambda root: Mount(root, {"/shop": hello}), "/about") == ("", "/about")
        assert seen(ours("/shop"), "/shop/about") == ("/shop", "/about")
        # Who sends both is believed: a site may well have a /shop below its /shop.
        assert seen(ours("/shop"), "/shop/about", "/shop") == ("/shop/shop", "/about")

    def test_05_what_a_client_says_of_script_name_is_not_read(self):
        """gunicorn#2650: 'Script_Name:' was taken for it, and #226: an IndexError."""
        said = dict.fromkeys(["HTTP_SCRIPT_NAME", "HTTP_X_SCRIPT_NAME"], "/admin")

        assert seen(ours("/x"), "/x/y", **said) == ("/x", "/y")
        assert seen(ours("/admin"), "/x/y", **said) is None
        assert seen(ours("/x"), "/x", "/no/part/of/it", REQUEST_URI="/x") == (
            "/no/part/of/it/x",
            "",
        )

    def test_06_the_outer_prefix_is_kept_by_an_inner_dispatcher(self):
        """CherryPy looks for SCRIPT_NAME + PATH_INFO in its table; uwsgi#1898, lack#101."""
        assert seen(cherrypy("/foo"), "/foo/x", "/outer") is None
        assert seen(ours("/foo"), "/foo/x", "/outer") == ("/outer/foo", "/x")

        def nested(leaf):
            return ours("/a")(ours("/b")(ours("/c")(leaf)))

        assert seen(nested, "/a/b/c/d") == ("/a/b/c", "/d")

    def test_07_an_empty_path_info_stays_empty(self):
        """Bottle, cheroot and CherryPy make '/' of it, so that '/shop' becomes '/shop/'."""
        assert seen(bottled("/shop"), "/shop") == ("/shop", "/")
        for theirs in (cheroot, cherrypy):
            assert seen(theirs("/"), "") == ("", "/")

        assert seen(ours("/shop"), "/shop") == ("/shop", "")
        assert seen(lambda root: Mount(root, {}), "") == ("", "")

    @pytest.mark.parametrize("framework", ["flask", "bottle", "falcon", "fastapi"])
    def test_07_frameworks_find_their_front_page_there(self, framework):
        """bottle#284, werkzeug#360, Radicale#610: an empty PATH_INFO was a 404 or a crash."""
        applications = {
            "flask": Flask("shop"),
            "bottle": bottle.Bottle(),
            "falcon": falcon.App(),
            "fastapi": FastAPI(),
        }
        shop = applications[framework]
        if framework == "falcon":
            shop.add_route("/", SimpleNamespace(on_get=lambda request, response: None))
        else:
            shop.get("/")(lambda: "front")

        site = Mount(None, {"/shop": shop})
        answered = ask(site, "/shop")
        if answered.code in (307, 308):  # some want a slash, and know where they are
            assert answered.header("Location") == "http://127.0.0.1/shop/"
            answered = ask(site, "/shop/")
        assert answered.code == 200

    @pytest.mark.parametrize("path_info", ["/", "/x", "/x/"])
    def test_08_a_mount_at_the_root_leaves_the_slash_where_it_is(self, path_info):
        """Werkzeug, cherrypy#644: SCRIPT_NAME '/' and PATH_INFO ''; rails#15660."""
        assert seen(werkzeug("/"), "/") == ("/", "")
        assert seen(werkzeug("/"), "/x") is None

        assert seen(lambda root: Mount(None, {"/": root}), path_info) == ("", path_info)

    def test_09_a_slash_at_the_end_of_a_prefix_never_gets_into_script_name(self):
        """Werkzeug, django#20169: links then begin with '/shop//'; '/shop' is not found."""
        assert seen(werkzeug("/shop/"), "/shop/") == ("/shop/", "")
        assert seen(werkzeug("/shop/"), "/shop") is None

        assert seen(ours("/shop/"), "/shop/") == ("/shop", "/")
        assert seen(ours("/shop/"), "/shop") == ("/shop", "")
        # A server's own is left as it is: it is the path that the server took off.
        assert seen(ours("/shop"), "/shop/x", "/outer/") == ("/outer//shop", "/x")
        assert seen(ours("/shop"), "/shop/x", "outer") == ("outer/shop", "/x")

    def test_11_the_part_of_the_path_that_is_left_is_no_link(self):
        """Misago#970, Flask-CAS#49: a redirect made of PATH_INFO loses the prefix."""
        shop = Flask("shop")
        shop.get("/wrong", endpoint="wrong")(lambda: redirect(request.path))
        shop.get("/right", endpoint="right")(lambda: redirect(url_for("right")))
        site = Mount(None, {"/shop": shop})

        assert ask(site, "/shop/wrong").header("Location") == "/wrong"
        assert ask(site, "/shop/right").header("Location") == "/shop/right"
        environ = make_environ("/shop/right")
        exchange(site, environ=environ, validate=False)
        assert environ["PATH_INFO"] == "/shop/right"  # for layers outside it is the whole

    def test_12_a_folder_is_found_below_a_prefix(self, tmp_path):
        """whitenoise#88: STATIC_URL holds the prefix, PATH_INFO does not."""
        (tmp_path / "a.css").write_text("ours")
        theirs = {
            prefix: Mount(None, {"/shop": WhiteNoise(named("404"), tmp_path, prefix)})
            for prefix in ("shop/static", "static")
        }
        composed = Mount(
            None, {"/shop": Mount(None, {"/static": Application.from_directory(tmp_path)})}
        )

        assert ask(theirs["shop/static"], "/shop/static/a.css").body == b"404"
        assert ask(theirs["static"], "/shop/static/a.css").body == b"ours"
        assert ask(composed, "/shop/static/a.css").body == b"ours"


class TestPrefixes:
    def test_13_a_prefix_does_not_swallow_a_longer_segment(self):
        """PasteDeploy, Falcon's sinks, a2wsgi and hypercorn#135: '/app' takes '/apple'."""
        sunk = falcon.App()
        sunk.add_sink(lambda request, response: None, "/app")
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/apple",
            "root_path": "/app",
            "query_string": b"",
            "headers": [],
            "http_version": "1.1",
        }

        assert seen(pastedeploy("/app"), "/apple") == ("/app", "le")
        assert ask(sunk, "/apple").code == 200
        assert build_environ(scope, None)["PATH_INFO"] == "le"

        assert seen(ours("/app"), "/apple") is None
        assert seen(lambda api: When(None, [(path("/app"), api)]), "/apple") is None
        assert ask(Hosts(None, {"*.b.org": hello}), HTTP_HOST="ab.org").code == 404

    def test_14_the_prefix_is_where_the_application_is_found(self):
        """werkzeug#1583: APPLICATION_ROOT says so, and routes nothing."""
        shop = Flask("shop")
        shop.config["APPLICATION_ROOT"] = "/shop"
        shop.get("/item")(lambda: "item")

        assert ask(shop, "/shop/item").code == 404
        assert ask(Mount(None, {"/shop": shop}), "/shop/item").body == b"item"

    @pytest.mark.parametrize(
        "prefix", ["/a.b", "/{id}", "/<id>", "/:id", "/a*", "/a+", "/[ab]"]
    )
    def test_15_a_prefix_is_text_and_no_pattern(self, prefix):
        """PasteDeploy takes it for a regular expression, Starlette and Bottle for a rule."""
        templates = Starlette(routes=[StarletteMount("/{id}", asgi_named("found"))])
        assert seen(pastedeploy("/a.b"), "/axb/c") == ("/a.b", "/c")
        assert ask(Application(templates), "/7/x").body == b"found"

        assert seen(ours(prefix), native(prefix) + "/c") == (prefix, "/c")
        for other in ("/axb", "/7", "/aa", "/a", "/b"):
            assert seen(ours(prefix), other) is None


class TestSlashesAndDots:
    @pytest.mark.parametrize("theirs", [paste, cherrypy])
    def test_16_slashes_in_a_row_stay_as_they_are(self, theirs):
        """Paste and CherryPy fold them, for the application below as well."""
        assert seen(theirs("/x"), "//x//y") == ("/x", "/y")

        assert seen(ours("/x"), "//x//y") is None
        assert seen(ours("/x"), "/x//y///z") == ("/x", "//y///z")

    @pytest.mark.parametrize(
        "path_info",
        ["//admin", "///admin/x", "/./admin", "/x/../admin", "/ADMIN", "/%61dmin", "admin"],
    )
    def test_17_no_spelling_of_a_path_gets_past_what_guards_it(self, path_info):
        """vllm#43426, x402#51: the guard compares, the dispatcher behind it folds."""
        guarded = paste("/admin")(named("secret"))
        guard = When(guarded, [(path("/admin"), named("log in"))])
        assert ask(guard, "//admin").body == b"secret"

        site = Mount(named("public"), {"/admin": named("secret")})
        assert ask(When(site, [(path("/admin"), named("log in"))]), path_info).body == b"public"

    def test_18_dots_are_segments_like_others(self, tmp_path):
        """Pyramid's traversal resolves '..', so '/x/../admin' is '/admin'; pywb#931."""
        with Configurator(root_factory=lambda request: {"admin": {}}) as config:
            config.add_view(lambda request: Response("admin"), context=dict)
            traversing = config.make_wsgi_app()
        (tmp_path / "public").mkdir()
        (tmp_path / "secret").write_text("secret")

        assert ask(traversing, "/x/../admin").body == b"admin"
        assert seen(ours("/admin"), "/x/../admin") is None
        assert seen(ours("/x"), "/x/../admin/.") == ("/x", "/../admin/.")
        folder = Mount(None, {"/files": Application.from_directory(tmp_path / "public")})
        assert ask(folder, "/files/../secret").code == 404

    def test_19_a_path_is_not_decoded_again_and_not_taken_from_elsewhere(self):
        """werkzeug#797, falcon#897: servers decode '%2F'; who undoes it makes it worse."""
        raw = dict.fromkeys(["RAW_URI", "REQUEST_URI"], "/a%2Fb")

        assert seen(ours("/a"), "/a%2Fb") is None
        assert seen(ours("/a"), "/a/b", **raw) == ("/a", "/b")
        assert seen(ours("/a%2Fb"), "/a/b", **raw) is None
        asked = explain(ours("/a")(hello), "/a%2Fb")  # a URL, which a server decodes
        assert asked.next[0].script_name == "/a"

    def test_20_a_path_that_a_server_left_encoded_stays_so(self):
        """fastwsgi#57: whoever decodes it decodes other servers' paths twice."""
        assert seen(ours("/café"), "/caf%C3%A9") is None
        assert seen(lambda root: Mount(root, {"/é": hello}), "/%C3%A9") == ("", "/%C3%A9")

    def test_21_an_added_slash_is_all_that_a_redirect_changes(self):
        """werkzeug#2338 lost SCRIPT_NAME, axum#714 took the slash off, go#10572 the quoting."""
        redirecting = Mount(None, {"/shop": hello, "/a b": hello}, slash="redirect")

        mended = append_slash_redirect(make_environ("/shop", SCRIPT_NAME="/outer")).location
        assert urljoin("/outer/shop", mended) == "/outer/shop/"
        found = ask(redirecting, "/shop", "/outer", QUERY_STRING="q=%2F&r")
        assert (found.code, found.header("Location")) == (308, "/outer/shop/?q=%2F&r")
        assert ask(redirecting, "/a b").header("Location") == "/a%20b/"
        assert ask(redirecting, "/shop", "//evil.example").header("Location") == (
            "/evil.example/shop/"
        )
        assert ask(redirecting, "/shop/").code == 200

    def test_22_mounts_at_the_root_of_each_other_make_no_double_slash(self):
        """axum#691: each level added a slash of its own."""

        def nested(leaf):
            return Mount(None, {"/": Mount(None, {"/": ours("/x")(leaf)})})

        assert seen(nested, "/x/y", "/") == ("/x", "/y")
        with pytest.warns(MountWarning, match="holds '//'"):
            Mount(None, {"/a//b": hello})
        with pytest.warns(MountWarning):
            Mount(None, {"//a": hello})


class TestEncoding:
    def test_23_a_prefix_in_any_alphabet_is_found(self):
        """Werkzeug and Paste never match one; Bottle puts text where bytes belong."""
        path_info = native("/café/x")

        for theirs in (werkzeug, paste):
            assert seen(theirs("/café"), path_info) is None
        assert seen(bottled("/café"), path_info) == ("/café", "/x")

        assert seen(ours("/café"), path_info) == (native("/café"), "/x")
        assert seen(ours("/caf\xe9"), path_info) == (native("/café"), "/x")  # text, not a byte
        assert seen(ours("/日本"), native("/日本")) == (native("/日本"), "")
        assert seen(ours("/日"), native("/日本")) is None


class TestSharedEnviron:
    def tells_late(self, environ, start_response):
        start_response("200 OK", PLAIN)
        return (str((environ["SCRIPT_NAME"], environ["PATH_INFO"])).encode() for _ in "1")

    def test_25_a_lazy_application_sees_its_own_place(self):
        """Bottle and Rack put the environ back before the body is read (bottle#566)."""
        assert ask(bottled("/a")(self.tells_late), "/a/b").body == b"('/', '/a/b')"
        assert ask(ours("/a")(self.tells_late), "/a/b").body == b"('/a', '/b')"

    @pytest.mark.parametrize(
        ("theirs", "left"),
        [(werkzeug, ("/a", "/b")), (paste, ("/a", "/b")), (bottled, ("/", "/a/b"))],
    )
    def test_26_an_access_log_finds_the_path_that_was_asked_for(self, theirs, left):
        """rack#1070, uvicorn#1384: what the application was given is still there."""

        def after(application):
            environ = make_environ("/a/b")
            exchange(application, environ=environ, validate=False)
            return environ["SCRIPT_NAME"], environ["PATH_INFO"]

        assert after(theirs("/a")(hello)) == left
        assert after(ours("/a")(hello)) == ("", "/a/b")


class TestClose:
    def test_27_a_body_is_closed_though_its_application_wrote(self):
        """Bottle's mount chains what was written and the body, and loses close()."""

        def closes(mounted):
            body = SpyBody([b"body"])

            def writes(environ, start_response):
                start_response("200 OK", PLAIN)(b"written, ")
                return body

            assert ask(mounted(writes), "/a").body == b"written, body"
            return body.closes

        assert closes(bottled("/a")) == 0
        assert closes(ours("/a")) == 1
        assert closes(lambda application: Cascade([application, hello])) == 1

    def test_27_a_skipped_body_is_closed_though_it_raises(self):
        """Paste's Cascade reads it first, and forgets close() when that fails."""

        class Fails(SpyBody):
            def __iter__(self):
                raise OSError("on purpose")

        def closes(cascade):
            body = Fails()
            with pytest.raises(OSError, match="on purpose"):
                ask(cascade([named("", "404 Not Found", body), hello]))
            return body.closes

        assert closes(PasteCascade) == 0
        assert closes(Cascade) == 1


class TestCascade:
    def test_28_an_application_that_says_its_status_later_is_waited_for(self):
        """Paste sends on the body of a generator, and the server never gets a status."""

        def generates(environ, start_response):
            start_response("404 Not Found", PLAIN)
            yield b"not here"

        with pytest.raises(AssertionError, match="start_response must be called before"):
            ask(PasteCascade([generates, hello]))
        assert ask(Cascade([generates, hello])).code == 200

    def test_29_a_skipped_body_is_not_read_to_its_end(self):
        """Paste reads all of it: an endless 404 would keep the worker for ever."""

        def reads(cascade):
            chunks = iter([b"404"] * 1_000)
            body = (chunk for chunk in chunks)
            ask(cascade([named("", "404 Not Found", body), hello]))
            return 1_000 - len(list(chunks))

        assert reads(PasteCascade) == 1_000
        assert reads(Cascade) <= 1

    @pytest.mark.filterwarnings("ignore::ResourceWarning")  # Paste's temporary file
    def test_30_a_request_body_is_there_for_each_and_read_by_need(self):
        """Paste reads all before it asks; without a length the second finds the rest of it."""

        class Input:
            left = 100_000

            def read(self, size=-1):
                taken = min(size if size >= 0 else self.left, self.left)
                self.left -= taken
                return b"x" * taken

        def answers(cascade, **framing):
            """Return what was left on the server at first, and how much the second reads."""
            posted, left = Input(), []

            def first(environ, start_response):
                left.append(posted.left)
                environ["wsgi.input"].read(10)
                return named("", "404 Not Found")(environ, start_response)

            def second(environ, start_response):
                found = len(environ["wsgi.input"].read())
                return named(str(found))(environ, start_response)

            more = {"REQUEST_METHOD": "POST", "wsgi.input": posted, **framing}
            found = int(ask(cascade([first, second]), **more).body)
            return *left, found

        by_length = {"CONTENT_LENGTH": "100000"}
        chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
        assert answers(PasteCascade, **by_length) == (0, 100_000)
        assert answers(PasteCascade, **chunked) == (100_000, 99_990)
        assert answers(Cascade, **by_length) == (100_000, 100_000)
        assert answers(Cascade, **chunked) == (100_000, 100_000)
        collected()  # while the warning is ignored

    def test_31_two_calls_of_start_response_are_an_error_and_not_two_answers(self):
        """hypercorn#331, waitress#52: the second was sent as well."""

        def twice(environ, start_response):
            start_response("404 Not Found", PLAIN)
            return named("again")(environ, start_response)

        with pytest.raises(AssertionError, match="start_response"):
            ask(Cascade([twice, hello]))

    def test_32_no_such_route_and_no_such_thing_can_be_told_apart(self):
        """Paste asks the next for each 404; Rails has a header for it, axum#1086 lost it."""
        missing = named("no item 7", "404 Not Found")

        assert ask(PasteCascade([missing, named("another")])).body == b"another"
        marked = Cascade([missing, named("another")], marker="X-Cascade")
        assert ask(marked).body == b"no item 7"


class TestTables:
    def test_33_the_order_of_a_table_hides_nothing(self):
        """starlette#1548, bottle#581: what stands first answers for what comes after."""
        routes = [
            StarletteMount("/", asgi_named("root")),
            StarletteMount("/shop", asgi_named("shop")),
        ]
        assert ask(Application(Starlette(routes=routes)), "/shop/x").body == b"root"

        for table in ({"/": 1, "/shop": 2, "/shop/x": 3}, {"/shop/x": 3, "/shop": 2, "/": 1}):
            site = Mount(None, {prefix: named(str(n)) for prefix, n in table.items()})
            assert [ask(site, p).body for p in ("/x", "/shop/y", "/shop/x")] == [
                b"1",
                b"2",
                b"3",
            ]

    def test_34_one_application_may_be_mounted_twice(self):
        """Bottle 0.13 warns and falls back to another kind of mount; rails#27352."""
        child, parent = bottle.Bottle(), bottle.Bottle()
        child.get("/where")(lambda: bottle.request.script_name)
        with pytest.warns(DeprecationWarning, match="Falling back to WSGI mount"):
            parent.mount("/one", child)

        site = Mount(None, {"/one": child, "/two": child})

        assert ask(site, "/one/where").body == b"/one/"
        assert ask(site, "/two/where").body == b"/two/"

    def test_35_a_mount_can_be_replaced_while_requests_are_served(self):
        """Paste takes the old away before the new is there: for a moment it is a 404."""

        def answers(site, replace):
            """Ask before each line that is run to replace it."""
            codes = set()

            def before_each_line(*told):  # pragma: no cover - takes the place of coverage
                codes.add(ask(site, "/a").code)
                return before_each_line

            previous = sys.gettrace()
            sys.settrace(before_each_line)
            try:
                replace("/a", hello)
            finally:
                sys.settrace(previous)
            return codes

        theirs, mount = paste("/a")(hello), ours("/a")(hello)

        assert answers(theirs, theirs.__setitem__) == {200, 404}
        assert answers(mount, mount.mounts.__setitem__) == {200}

    def test_36_the_404_lists_and_reflects_nothing(self):
        """Paste's page names the path, and every mount in a comment."""
        told = ask(paste("/secret")(hello), "/<b>x", HTTP_ACCEPT="text/html").body
        assert b"/secret" in told
        assert b"/&lt;b&gt;x" in told

        for site in (
            Mount(None, {"/secret": hello}),
            Hosts(None, {"secret.example": hello}),
            When(None, [(path("/secret"), hello)]),
        ):
            assert ask(site, "/<b>x", HTTP_ACCEPT="text/html").body == b"404 Not Found\n"

    def test_37_a_path_of_many_segments_costs_no_more_than_it_must(self):
        """Werkzeug and CherryPy look at '/a' * n for n**2 characters: 0.2 s for 30,000."""

        def steps(make, segments):
            """Return how many functions a dispatch calls, Python's own among them."""
            site, environ, seen = make("/x")(hello), make_environ("/a" * segments), []
            sys.setprofile(lambda frame, event, argument: seen.append(event))
            try:
                site(environ, lambda *arguments: None)
            finally:
                sys.setprofile(None)
            return len([event for event in seen if event.endswith("call")])

        assert steps(ours, 8_000) == steps(ours, 80)
        for peer in (werkzeug, cherrypy):  # and each step cuts a string of that length
            assert steps(peer, 8_000) > 50 * steps(peer, 80)


def flask_with_a_session(key):
    app = Flask("shop")
    app.secret_key = key

    @app.get("/")
    def visit():
        session["visits"] = 1
        return ""

    return app


class TestSites:
    def test_39_two_sessions_of_one_name_are_found(self):
        """Two Flasks on one host set 'session' for '/': each logs out the other's visitors."""
        site = Mount(flask_with_a_session("one"), {"/shop": flask_with_a_session("two")})

        for at in ("/", "/shop/"):
            cookie = ask(site, at).header("Set-Cookie")
            assert cookie.startswith("session=")
            assert cookie.endswith("Path=/")
        [found] = collisions(site)
        assert found.cookie == "session"

    def test_40_an_asgi_application_gets_the_whole_path_and_its_root_path(self, monkeypatch):
        """starlette#2400, asgiref#424; a2wsgi takes SCRIPT_NAME from the process instead."""
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/x",
            "root_path": "/api",
            "query_string": b"",
            "headers": [],
            "http_version": "1.1",
        }
        monkeypatch.setenv("SCRIPT_NAME", "/of/the/process")
        assert build_environ(scope, None)["SCRIPT_NAME"] == "/of/the/process"

        got = {}

        async def application(scope, receive, send):
            got.update(scope)
            await asgi_named("")(scope, receive, send)

        ask(ours("/été")(application), native("/été/x"), native("/à"))
        assert (got["root_path"], got["path"]) == ("/à/été", "/à/été/x")

    def test_40_a_path_that_is_no_utf_8_is_a_400(self):
        """a2wsgi raises, which servers make a 500 of."""
        application = asgi_named("")

        with pytest.raises(UnicodeDecodeError):
            ask(ASGIMiddleware(application), "/\xff")
        assert ask(Application(application), "/\xff").code == 400

    def test_41_the_lifespan_of_a_mounted_application_is_run(self):
        """starlette#649, fastapi#811: only the outermost one's is."""

        def starts(compose):
            started = []

            @asynccontextmanager
            async def lifespan(app):
                started.append(app)
                yield

            inner = Starlette(lifespan=lifespan, routes=[StarletteMount("/", asgi_named(""))])
            assert ask(compose(inner), "/api/x").code == 200
            return len(started)

        def theirs(inner):
            return Application(Starlette(routes=[StarletteMount("/api", inner)]))

        assert starts(theirs) == 0
        assert starts(ours("/api")) == 1

    def test_42_the_documentation_of_a_mounted_fastapi_finds_its_schema(self):
        """fastapi#615, #829: the page asked for '/openapi.json'."""
        site = Mount(None, {"/outer": Mount(None, {"/api": FastAPI()})})

        assert b"'/outer/api/openapi.json'" in ask(site, "/outer/api/docs").body
        assert ask(site, "/outer/api/openapi.json").code == 200

    def test_43_a_websocket_is_told_that_it_cannot_cross(self):
        """headroom#2379, starlette#1548: it was a 404, or an error far away."""
        answered = ask(ours("/api")(FastAPI()), "/api/ws", HTTP_UPGRADE="websocket")

        assert answered.code == 501
        assert b"WebSocket cannot cross WSGI" in answered.body

    def test_44_what_a_client_says_of_another_host_is_not_read(self):
        """CherryPy believes X-Forwarded-Host; code-dot-org#31301: poisoned caches."""
        said = {"HTTP_HOST": "a.example", "HTTP_X_FORWARDED_HOST": "b.example"}
        table = {"b.example": named("b")}

        assert ask(VirtualHost(named("a"), table), **said).body == b"b"
        assert ask(Hosts(named("a"), table), **said).body == b"a"

    @pytest.mark.parametrize(
        ("pattern", "host", "paste_finds"),
        [
            ("shop.example", "Shop.Example", True),
            ("shop.example", "shop.example:8080", True),
            ("shop.example", "shop.example.", False),
            ("[::1]", "[::1]:8080", False),
            ("[::1]", "[0:0::1]", False),
        ],
    )
    def test_45_a_host_is_found_in_all_its_spellings(self, pattern, host, paste_finds):
        """CherryPy compares the header as it is; Paste knows neither the dot nor IPv6."""
        table = {pattern: named("shop")}
        urlmap = URLMap()
        urlmap["/"] = named("other")
        urlmap[f"http://{pattern}/"] = named("shop")

        assert ask(VirtualHost(named("other"), table), HTTP_HOST=host).body == b"other"
        assert (ask(urlmap, HTTP_HOST=host).body == b"shop") is paste_finds
        assert ask(Hosts(None, table), HTTP_HOST=host).body == b"shop"


# -- a framework whose settings are the process's: each in a process of its own --

SITE = """
import os
from django.http import HttpResponse
from django.urls import path, reverse

NAME = __name__
SECRET_KEY = "of a test"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
FORCE_SCRIPT_NAME = os.environ.get("FORCED")
where = lambda request: HttpResponse(f"{NAME} {reverse('where')}")
urlpatterns = [path("", where), path("where", where, name="where")]
"""


def told_by(script, folder, **environment):
    """Run *script* with two Django sites beside it; return what it printed as JSON."""
    for name in ("one", "two"):
        (folder / f"{name}.py").write_text(SITE)
    prelude = """
    import json, os
    from django.core.wsgi import get_wsgi_application
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from freedom_middleware import Application, Mount
    from freedom_middleware.environ import native
    from freedom_middleware.errors import SettingsConflict
    from freedom_middleware.testing import exchange, make_environ

    def text(application, path):
        return exchange(application, path, validate=False).body.decode()
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(prelude) + dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
            **environment,
        },
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class TestDjango:
    @pytest.mark.parametrize(
        ("forced", "urls"),
        [({}, ["/a/where", "/b/where"]), ({"FORCED": "/x"}, ["/x/where", "/x/where"])],
    )
    def test_10_the_prefix_is_the_mount_s_unless_the_site_forces_one(
        self, tmp_path, forced, urls
    ):
        """channels#1016: FORCE_SCRIPT_NAME is the process's, and ends all prefixes."""
        script = """
        site = Application.from_settings("one")
        mount = Mount(None, {"/a": site, "/b": site})
        print(json.dumps([text(mount, "/a"), text(mount, "/b/")]))
        """

        assert told_by(script, tmp_path, **forced) == [f"one {url}" for url in urls]

    def test_24_what_django_writes_into_its_environ_stays_there(self, tmp_path):
        """It puts text into SCRIPT_NAME and '/' into PATH_INFO; a log outside reads that."""
        script = """
        site = Application.from_settings("one")
        found = []
        for mount in (
            DispatcherMiddleware(None, {native("/café"): site}),
            Mount(None, {"/café": site}),
        ):
            environ = make_environ("/café")
            exchange(mount, environ=environ, validate=False)
            found.append([environ["SCRIPT_NAME"], environ["PATH_INFO"]])
        print(json.dumps(found))
        """

        assert told_by(script, tmp_path) == [["/café", "/"], ["", native("/café")]]

    def test_38_two_sites_in_one_process_are_refused(self, tmp_path):
        """Django's second get_wsgi_application() serves the first one's pages, silently."""
        script = """
        applications = []
        for name in ("one", "two"):
            os.environ["DJANGO_SETTINGS_MODULE"] = name
            applications.append(get_wsgi_application())
        theirs = text(DispatcherMiddleware(applications[0], {"/two": applications[1]}), "/two/")
        del os.environ["DJANGO_SETTINGS_MODULE"]
        os.environ["DJANGO_SETTINGS_MODULE"] = "one"
        try:
            Application.from_settings("one"), Application.from_settings("two")
        except SettingsConflict as error:
            print(json.dumps([theirs, str(error)]))
        """

        theirs, ours = told_by(script, tmp_path)

        assert theirs == "one /two/where"
        assert "'two'" in ours
        assert "'one'" in ours


def test_all_forty_five_are_here():
    text = Path(__file__).read_text("utf-8")

    assert [n for n in range(1, 46) if f"    def test_{n:02}_" not in text] == []
