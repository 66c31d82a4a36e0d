import json

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from freedom_middleware import Application, CloseGuard, Mount, When, explain
from freedom_middleware.dispatch.explanation import Explanation
from freedom_middleware.environ import native
from freedom_middleware.errors import ApplicationTypeError, OptionError
from freedom_middleware.terminal import Terminal, width_of
from freedom_middleware.testing import make_environ
from freedom_middleware.tree import Choice


def never(environ, start_response):
    raise AssertionError("nothing is called")


def answers(name):
    def application(environ, start_response):
        raise AssertionError("nothing is called")

    application.__qualname__ = name
    return application


class Chooser:
    """A dispatcher of somebody who has read the docs."""

    def __init__(self, *choices):
        self.choices = choices

    def __call__(self, environ, start_response):
        raise AssertionError("nothing is called")

    def wsgi_children(self):
        return [(label, child) for label, child, _ in self.choices]

    def wsgi_choices(self, environ):
        self.environ = environ
        return [
            Choice(label, child, environ.copy(), reason)
            for label, child, reason in self.choices
        ]


def end_of(explanation):
    while explanation.next:
        [explanation] = explanation.next
    return explanation


def environ_of(url, **more):
    chooser = Chooser(("", never, ""))
    explain(chooser, url, **more)
    return chooser.environ


class TestWay:
    def test_it_leads_through_layers_and_mounts_to_the_application(self):
        shop = answers("shop")
        site = CloseGuard(
            Mount(never, {"/shop": Mount(None, {"/eu": shop}), "/shopping": never})
        )

        steps = [explain(site, "/shop/eu/cart?x=1")]
        while steps[-1].next:
            steps += steps[-1].next

        assert [
            (step.name, step.label, step.script_name, step.path_info) for step in steps
        ] == [
            ("CloseGuard", "", "", "/shop/eu/cart"),
            ("Mount", "", "", "/shop/eu/cart"),
            ("Mount", "/shop", "/shop", "/eu/cart"),
            ("shop", "/eu", "/shop/eu", "/cart"),
        ]
        assert steps[2].reason == "longest prefix that matches"
        assert steps[0].where.endswith(f":{site.wsgi_made_at.rpartition(':')[2]}")

    def test_it_says_what_was_nearly_chosen(self):
        end = end_of(explain(Mount(never, {"/shop": never}), "/shopping/cart"))

        assert (end.label, end.reason) == ("*", "default: no prefix matches")
        assert end.near_misses == (("/shop", "'/shopping' does not end at a segment boundary"),)

    def test_a_404_is_where_it_ends_when_nobody_answers(self):
        assert end_of(explain(Mount(None, {}), "/x")).name == "404 Not Found"

    def test_names_and_adapters_are_passed(self):
        inner = Mount(None, {"/a": never})
        named = Application(inner, name="shop.wsgi")

        assert [explain(named, "/a").name, explain(Application(inner), "/a").name] == [
            "shop.wsgi",
            "Mount",
        ]
        assert end_of(explain(named, "/a/b")).path_info == "/b"
        assert end_of(explain(Application(inner), "/a/b")).path_info == "/b"
        assert end_of(explain("freedom_middleware.testing:hello", "/")).kind == "WSGI"

    def test_other_peoples_layers_are_passed(self):
        app = Flask("shop")
        app.wsgi_app = ProxyFix(app.wsgi_app)

        end = end_of(explain(Mount(None, {"/shop": app}), "/shop/cart"))

        assert (end.name, end.script_name, end.path_info) == (
            "Flask.wsgi_app",
            "/shop",
            "/cart",
        )

    def test_of_several_choices_each_is_followed(self):
        cascade = Chooser(
            ("1", Mount(None, {"/a": answers("one")}), "asked first"),
            ("2", answers("two"), "asked if that answers 404"),
        )

        explanation = explain(cascade, "/a/b")

        assert [end_of(branch).name for branch in explanation.next] == ["one", "two"]
        assert [branch.reason for branch in explanation.next] == [
            "asked first",
            "asked if that answers 404",
        ]
        assert "first of these" in explanation.note

    def test_who_knows_what_is_around_a_branch_does_not_hold_it(self):
        class Layer:
            def __call__(self, environ, start_response): ...

        layer = Layer()
        cascade = Chooser(("1", layer, "asked first"), ("2", never, "asked then"))
        layer.app, layer.outer_app = answers("inner"), cascade

        assert end_of(explain(cascade, "/").next[0]).name == "inner"

    def test_who_does_not_say_how_it_chooses_has_its_children_listed(self):
        dispatcher = DispatcherMiddleware(answers("site"), {"/a": answers("a")})

        explanation = explain(dispatcher, "/a")

        assert explanation.next == ()
        assert explanation.possible == (("/a", "a"), ("app", "site"))
        assert "does not say" in explanation.note

    def test_one_child_under_a_label_is_not_chosen_for_certain(self):
        class Urls:
            def __init__(self):
                self.applications = {"/a": never}

            def __call__(self, environ, start_response): ...

        assert explain(Urls(), "/b").possible == (("/a", "never"),)

    def test_what_leads_back_to_itself_ends(self):
        mount = Mount(None, {})
        mount.mounts["/again"] = mount
        chooser = Chooser()
        chooser.choices = [("", chooser, "")]
        both = Chooser()
        both.choices = [("", both, ""), ("", never, "")]

        assert end_of(explain(mount, "/again/again")).name == "404 Not Found"
        assert end_of(explain(chooser, "/")).note == "it leads back to itself, for ever"
        assert explain(both, "/").next[0].note == "it leads back to itself, for ever"

    def test_a_very_long_way(self):
        mount = Mount(None, {})
        mount.mounts["/a"] = mount

        explanation = explain(mount, "/a" * 3_000)

        assert end_of(explanation).script_name == "/a" * 3_000
        assert str(explanation).startswith("404 Not Found")
        assert explanation.to_dict()["name"] == "Mount"

    def test_who_has_no_choice_at_all_is_the_end(self):
        assert explain(Chooser(), "/").next == ()

    def test_the_given_environ_is_left_as_it_is(self):
        environ = make_environ("/shop/cart", SCRIPT_NAME="/outer")
        before = environ.copy()

        end = end_of(explain(Mount(None, {"/shop": never}), environ))

        assert environ == before
        assert (end.script_name, end.path_info) == ("/outer/shop", "/cart")

    def test_an_environ_may_leave_out_what_is_empty(self):
        assert explain(never, {"REQUEST_METHOD": "GET"}).path_info == ""

    @pytest.mark.parametrize("answer", [None, [never], [("", never)]])
    def test_who_fails_to_say_where_it_goes_is_named(self, answer):
        class Broken(Chooser):
            def wsgi_choices(self, environ):
                return answer

        with pytest.raises(
            ApplicationTypeError, match=r"wsgi_choices\(\) of Broken must return"
        ):
            explain(Mount(None, {"/a": Broken(("", never, ""))}), "/a")

    def test_so_is_a_predicate_that_raises(self):
        def fails(request):
            raise LookupError("no such tenant")

        says = r"of When must .*, got LookupError: no such tenant \(.*test_explain.py:\d+\)"
        with pytest.raises(ApplicationTypeError, match=says):
            explain(When(None, [(fails, never)]), "/")

    def test_what_is_no_application_is_named(self):
        with pytest.raises(ApplicationTypeError):
            explain(42, "/")


class TestKinds:
    def test_a_lazy_application_is_not_loaded(self):
        end = end_of(explain(Mount(None, {"/a": Application("no_such:x", lazy=True)}), "/a"))

        assert (end.name, end.kind) == ("no_such:x", "lazy")
        assert "not loaded" in end.note

    @pytest.mark.parametrize("slash", ["", "/"])
    def test_asgi_has_names_of_its_own_for_the_path(self, slash):
        async def asgi(scope, receive, send): ...

        mount = Mount(None, {"/api": asgi})
        end = end_of(explain(mount, make_environ("/api/café", SCRIPT_NAME=slash)))

        assert (end.kind, end.root_path, end.path) == ("ASGI", "/api", "/api/café")

    def test_asgi_cannot_be_given_a_path_that_is_not_utf8(self):
        async def asgi(scope, receive, send): ...

        end = explain(asgi, "/caf%E9")

        assert "400" in end.note
        assert end.path == "/caf\\xe9"


class TestURL:
    @pytest.mark.parametrize(
        ("url", "path_info", "query"),
        [
            ("/", "/", ""),
            ("/shop/cart?x=1&y=%20", "/shop/cart", "x=1&y=%20"),
            ("/caf%C3%A9", "/caf\xc3\xa9", ""),
            ("/café?q=é", "/caf\xc3\xa9", "q=%C3%A9"),
            ("/caf%E9", "/caf\xe9", ""),
            ("/caf\udce9", "/caf\xe9", ""),  # as a terminal that is not UTF-8 hands it over
            ("/a%2Fb%3Fc", "/a/b?c", ""),
            ("/a%zz", "/a%zz", ""),
            ("//shop", "//shop", ""),
            ("/a/../b", "/a/../b", ""),
            ("/a#part?x", "/a", ""),
            ("/a?x?y", "/a", "x?y"),
            ("https://shop.example", "/", ""),
            ("https://shop.example?x=1", "/", "x=1"),
            ("https://shop.example/cart", "/cart", ""),
        ],
    )
    def test_a_path_becomes_what_a_server_makes_of_it(self, url, path_info, query):
        environ = environ_of(url)

        assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path_info, query)
        assert environ["SCRIPT_NAME"] == ""
        assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"

    @pytest.mark.parametrize(
        ("url", "host", "name", "port", "scheme"),
        [
            (
                "https://shop.example:8443/",
                "shop.example:8443",
                "shop.example",
                "8443",
                "https",
            ),
            ("https://shop.example/", "shop.example", "shop.example", "443", "https"),
            ("HTTP://Shop.Example/", "Shop.Example", "Shop.Example", "80", "http"),
            ("http://user:pw@shop.example/", "shop.example", "shop.example", "80", "http"),
            ("http://[::1]:8000/", "[::1]:8000", "[::1]", "8000", "http"),
            ("http://[::1]/", "[::1]", "[::1]", "80", "http"),
            ("http://bücher.example/", "xn--bcher-kva.example", None, "80", "http"),
            ("http://straße.example/", "xn--strae-oqa.example", None, "80", "http"),
            ("/", "127.0.0.1", "127.0.0.1", "80", "http"),
        ],
    )
    def test_a_host_becomes_the_header(self, url, host, name, port, scheme):
        environ = environ_of(url)

        assert environ["HTTP_HOST"] == host
        assert environ["SERVER_NAME"] == (name or host)
        assert environ["SERVER_PORT"] == port
        assert environ["wsgi.url_scheme"] == scheme

    @pytest.mark.parametrize(
        "url",
        [
            *("", "shop", "shop/cart", "ftp://shop.example/", "http:///cart", "?x=1"),
            *("http://[::1/", "http://a b/", "http://a\\b/", "http://a%41/", "http://a..b/"),
            *("http://a:b/", "http://a:65536/", "http://:80/", "http://" + "ü" * 70 + "/"),
        ],
    )
    def test_what_is_no_url_is_named(self, url):
        with pytest.raises(OptionError, match="URL must"):
            explain(never, url)

    @pytest.mark.parametrize("url", [None, b"/", 5, never])
    def test_neither_a_url_nor_an_environ_is_named(self, url):
        """As where the two arguments are in the wrong order."""
        with pytest.raises(OptionError, match=r"got .*; write explain\(application, '/shop'\)"):
            explain(never, url)

    def test_method_and_headers(self):
        headers = [
            ("Host", "shop.example"),
            ("Content-Type", "text/plain"),
            ("X-Beta", " 1 "),
            ("Accept", "text/html"),
            ("accept", "text/plain"),
            ("Cookie", "a=1"),
            ("Cookie", "b=é"),
        ]
        environ = environ_of("http://other.example/", method="PROPFIND", headers=headers)

        assert environ["REQUEST_METHOD"] == "PROPFIND"
        assert environ["HTTP_HOST"] == "shop.example"
        assert environ["CONTENT_TYPE"] == "text/plain"
        assert environ["HTTP_X_BETA"] == "1"
        assert environ["HTTP_ACCEPT"] == "text/html, text/plain"
        assert environ["HTTP_COOKIE"] == "a=1; b=\xc3\xa9"
        assert environ_of("/", headers={"X-Beta": "2"})["HTTP_X_BETA"] == "2"
        # As a terminal that is not UTF-8 hands it over.
        assert environ_of("/", headers={"X-Beta": "\udce9"})["HTTP_X_BETA"] == "\xe9"

    @pytest.mark.parametrize("method", ["", "GET /", "GÉT", "G\n", None])
    def test_what_is_no_method_is_named(self, method):
        with pytest.raises(OptionError, match="method must"):
            explain(never, "/", method=method)

    @pytest.mark.parametrize("headers", ["X-Beta: 1", {"X-Beta": 1}, [("X-Beta",)]])
    def test_headers_are_pairs_of_text(self, headers):
        with pytest.raises(OptionError, match="header must be a pair of name and value"):
            explain(never, "/", headers=headers)

    @pytest.mark.parametrize("name", ["", "X Beta", "X:", "É"])
    def test_what_is_no_header_is_named(self, name):
        with pytest.raises(OptionError, match="header must"):
            explain(never, "/", headers={name: "1"})

    @given(
        path=st.text(st.characters(exclude_characters="?#%", codec="utf-8")),
        prefix=st.sampled_from(["/a", "/é", "/a/b"]),
    )
    def test_it_chooses_as_the_mount_does(self, path, prefix):
        seen = []

        def record(environ, start_response):
            seen.append((environ["SCRIPT_NAME"], environ["PATH_INFO"]))
            return []

        mount = Mount(record, {prefix: record})
        url = f"{prefix}{path}"

        end = end_of(explain(mount, url))
        mount(make_environ(PATH_INFO=native(url)), lambda *_: None)

        assert seen == [(end.script_name, end.path_info)]


class TestText:
    def test_it_shows_where_the_way_ends_and_why(self):
        site = CloseGuard(Mount(Mount(None, {"/shop/é": never}), {"/shop": answers("shop")}))

        assert str(explain(site, "/shop%C3%A9/x")).splitlines()[1:] == [
            "  through      CloseGuard, Mount, Mount",
            "  SCRIPT_NAME  ''",
            "  PATH_INFO    '/shopé/x'",
            r"               '/shop\xc3\xa9/x' in environ",
            "  chosen       default: no prefix matches (by Mount)",
            "  near miss    /shop: '/shopé' does not end at a segment boundary",
            "  chosen       default: no prefix matches (by Mount)",
        ]

    def test_it_shows_each_branch(self):
        cascade = Chooser(
            ("a", answers("one"), "asked first"), ("", answers("two"), "asked then")
        )
        text = str(explain(cascade, "/x"))

        assert "\n\n  1. one  WSGI  " in text
        assert "\n       chosen       a: asked first\n\n  2. two  WSGI  " in text
        assert text.endswith("\n       chosen       asked then")

    def test_it_shows_asgi_and_what_is_possible(self):
        async def asgi(scope, receive, send): ...

        text = str(explain(Mount(None, {"/api": asgi}), "/api/x"))
        assert "\n  root_path    '/api'\n  path         '/api/x'\n" in text
        text = str(explain(DispatcherMiddleware(never, {"/a": never}), "/a"))
        assert text.endswith("\n  possible     /a  never\n  possible     app  never")

    @pytest.mark.parametrize("columns", [40, 60, 80])
    def test_it_is_as_wide_as_the_terminal(self, columns):
        child = Application(never, name="a.package.with.a/very/long/name:application")
        cascade = Chooser(("1", child, "a reason " * 12), ("2", child, "店" * 9))

        text = explain(cascade, "/a/b").text(Terminal(columns))

        assert max(width_of(line) for line in text.splitlines()) <= columns

    def test_colour_is_in_names_and_keys_only(self):
        text = explain(Mount(never, {"/a": never}), "/ab").text(Terminal(colour=True))

        assert text.startswith("\x1b[1mnever\x1b[0m  \x1b[2mWSGI")
        assert "\x1b[33mnear miss  \x1b[0m  /a: " in text

    def test_nothing_of_a_request_moves_the_cursor(self):
        assert "\x1b" not in str(explain(Mount(never, {"/a": never}), "/a\x1b[2J"))


class TestDict:
    def test_it_is_json_under_stable_keys(self):
        explanation = explain(
            Mount(never, {"/a": DispatcherMiddleware(never, {"/x": never})}), "/a/b"
        )

        told = explanation.to_dict()

        assert json.loads(json.dumps(told)) == told
        assert set(told) == set(Explanation._fields)
        [child] = told["next"]
        assert child["label"] == "/a"
        assert child["script_name"] == "/a"
        assert child["possible"] == [
            {"label": "/x", "name": "never"},
            {"label": "app", "name": "never"},
        ]
        assert explain(Mount(never, {"/a": never}), "/ab").to_dict()["next"][0][
            "near_misses"
        ] == [{"label": "/a", "reason": "'/ab' does not end at a segment boundary"}]
