import json
import sys
import threading
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webob import Request

from freedom_middleware import Application, Mount, When
from freedom_middleware.dispatch import (
    Predicate,
    client,
    cookie,
    header,
    method,
    path,
    predicate,
)
from freedom_middleware.dispatch.table import MOUNTED
from freedom_middleware.dispatch.when import (
    LONGEST_SEGMENT,
    MOST_SEGMENTS,
    OTHER,
    Counts,
)
from freedom_middleware.environ import native
from freedom_middleware.errors import (
    ApplicationTypeError,
    InputError,
    MountError,
    OptionError,
    PredicateError,
    TableTypeError,
)
from freedom_middleware.response import with_vary
from freedom_middleware.testing import SpyBody, exchange, hello, make_environ
from freedom_middleware.tree import draw

from .doubles import send_while_changing, start_nothing

CASES = json.loads(Path(__file__).with_name("dispatch_cases.json").read_text("utf-8"))["cases"]


def named(name, *headers):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), *headers])
        return [name.encode()]

    return application


def request(*arguments, **more):
    return Request(make_environ(*arguments, **more))


def always(request):
    return True


def never(request):
    return False


def fails(request):
    raise LookupError("on purpose")


async def eventually(request):
    """What it returns is a coroutine, and every coroutine is true."""


def text_of(application, *arguments, **more):
    return exchange(application, *arguments, **more).body.decode()


class TestOrder:
    def test_the_first_predicate_that_is_true_wins(self):
        when = When(
            named("rest"),
            [(never, named("no")), (path("/a"), named("first")), (always, named("second"))],
        )

        assert text_of(when, "/a") == "first"
        assert text_of(when, "/b") == "second"

    def test_if_none_is_true_the_application_answers(self):
        assert text_of(When(named("rest"), [(never, named("no"))])) == "rest"
        assert exchange(When(None, [(never, hello)])).status == "404 Not Found"
        assert text_of(When(named("rest"), [])) == "rest"

    def test_what_comes_after_it_is_not_asked(self):
        asked = []

        when = When(None, [(always, hello), (lambda request: asked.append(request), hello)])
        exchange(when)

        assert asked == []

    def test_the_path_is_handed_over_whole(self):
        def tell(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            yield f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()

        when = Mount(None, {"/site": When(None, [(path("/api"), tell)])})

        assert text_of(when, "/site/api/items") == "/site /api/items"


class TestUserFunctions:
    def test_a_function_gets_a_webob_request(self):
        when = When(
            named("rest"),
            [(lambda request: request.GET.get("beta") == "1", named("beta"))],
        )

        assert text_of(when, "/?beta=1") == "beta"
        assert text_of(when, "/") == "rest"

    def test_whatever_is_true_is_yes(self):
        assert text_of(When(named("rest"), [(lambda r: r.headers.get("X-A"), hello)])) == "rest"
        assert exchange(When(None, [(lambda r: ["x"], hello)])).code == 200

    def test_what_it_changes_nobody_sees(self):
        seen = []

        def meddles(request):
            seen.append(request.path_info)
            request.path_info = "/elsewhere"
            request.method = "DELETE"
            request.environ["added"] = True
            request.adhoc = True
            del request.environ["HTTP_HOST"]
            return False

        child = []

        def tell(environ, start_response):
            child.append(environ)
            return hello(environ, start_response)

        environ = make_environ("/here")
        before = dict(environ)
        when = When(tell, [(meddles, hello), (meddles, hello)])
        exchange(when, environ=environ, validate=False)

        assert seen == ["/here", "/here"]
        assert environ == before
        assert child == [before]

    def test_one_that_raises_is_an_error_and_nothing_is_served(self):
        when = When(hello, [(fails, hello), (always, hello)])

        with pytest.raises(LookupError, match="on purpose"):
            when(make_environ(), start_nothing)

        assert when.counts() == {"fails": {}, "always": {}, "*": {}}

    def test_an_instance_that_can_be_called_is_one_too(self):
        class Beta:
            def __call__(self, request):
                return True

        assert exchange(When(None, [(Beta(), hello)])).code == 200


class TestBody:
    @pytest.mark.parametrize(
        "reads",
        [
            lambda request: request.POST,
            lambda request: request.params["a"],
            lambda request: request.body,
            lambda request: request.body_file.read(),
            lambda request: request.json,
            lambda request: request.text,
            lambda request: request.copy(),
            lambda request: request.make_body_seekable(),
            lambda request: request.environ["wsgi.input"].read(1),
            lambda request: request.environ["wsgi.input"].readline(),
            lambda request: request.environ["wsgi.input"].seek(0),
            lambda request: list(request.environ["wsgi.input"]),
        ],
    )
    @pytest.mark.parametrize("seekable", [False, True])
    def test_a_predicate_that_reads_it_is_told_so(self, reads, seekable):
        """Or the application would find it empty, and nobody would know why."""
        source = BytesIO(b"a=1")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        environ = make_environ(method="POST", headers=form, body=b"a=1")
        environ.update({"wsgi.input": source, "webob.is_body_seekable": seekable})

        with pytest.raises(
            InputError, match="predicate must not read the request body, got lam"
        ):
            When(None, [(reads, hello)])(environ, start_nothing)

        assert source.tell() == 0

    def test_the_child_reads_it_whole(self):
        def echo(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))]

        when = When(None, [(lambda request: request.content_length == 3, echo)])

        assert exchange(when, method="POST", body=b"a=1").body == b"a=1"

    def test_without_a_body_params_can_be_looked_at(self):
        when = When(None, [(lambda request: request.params.get("a") == "1", hello)])

        assert exchange(when, "/?a=1").code == 200

    def test_a_debugger_can_look_at_what_stands_for_it(self):
        seen = []
        exchange(When(hello, [(lambda r: seen.append(r.environ["wsgi.input"]), hello)]))

        assert "NoInput" in repr(seen[0])
        assert not hasattr(seen[0], "__wrapped__")


class TestPath:
    @pytest.mark.filterwarnings("ignore:path prefix '/:UserWarning")
    @pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
    def test_it_follows_the_rule_of_mount(self, case):
        prefixes = case.get("mounts_text", case["mounts"])
        environ = make_environ()
        for key in ("SCRIPT_NAME", "PATH_INFO"):
            environ[key] = case[key.lower()]
            if environ[key] is None:
                del environ[key]

        answers = {native(p.rstrip("/")): path(p).ask(environ, []) for p in prefixes}

        if case["expect"] == 404:
            assert not any(answers.values())
        else:
            assert answers[case["expect"]["mount"]]
            longest = max((p for p, yes in answers.items() if yes), key=len)
            assert longest == case["expect"]["mount"]

    segments = st.sampled_from(["", "a", "b", "ab", "ä", "..", "%2F"])
    paths = st.lists(segments, max_size=4).map(lambda parts: "/" + "/".join(parts))
    prefixes = st.lists(
        st.lists(st.sampled_from(["a", "b", "ab", "ä"]), max_size=3).map(
            lambda parts: "/" + "/".join(parts)
        ),
        min_size=1,
        max_size=4,
        unique=True,
    )

    @given(prefixes=prefixes, asked=paths)
    def test_it_is_true_exactly_where_mount_would_choose(self, prefixes, asked):
        mount = Mount(None, dict.fromkeys(prefixes, hello))

        answer = path(*prefixes)(request(asked))

        assert answer == (exchange(mount, asked, validate=False).code == 200)

    def test_it_is_relative_to_where_it_stands(self):
        site = Mount(None, {"/site": When(None, [(path("/api"), hello)])})

        assert exchange(site, "/site/api").code == 200
        assert exchange(site, "/api").code == 404

    def test_several_prefixes(self):
        either = path("/a", "/b/c/")

        answers = {p: either(request(p)) for p in ("/a/x", "/b/c", "/b", "/bc", "/")}
        assert answers == {"/a/x": True, "/b/c": True, "/b": False, "/bc": False, "/": False}
        assert repr(either) == "path('/a', '/b/c')"

    def test_the_root_is_everything(self):
        assert path("/")(request("/x"))
        assert path("")(request("*"))
        assert repr(path("")) == "path('/')"

    @pytest.mark.parametrize(
        ("prefix", "error", "says"),
        [
            ("api", MountError, "path prefix must start with '/', got 'api'; write '/api'"),
            ("*", MountError, "what serves all other paths is the first argument"),
            (b"/api", TableTypeError, "path prefix must be text"),
            (None, TableTypeError, "path prefix must be text"),
        ],
    )
    def test_what_could_never_match_is_refused(self, prefix, error, says):
        with pytest.raises(error, match=says):
            path(prefix)

    def test_a_doubled_slash_is_warned_about_where_it_is_written(self):
        with pytest.warns(UserWarning, match="path prefix '//a' begins with") as told:
            path("//a")

        assert told[0].filename == __file__

    def test_none_at_all_is_refused(self):
        with pytest.raises(PredicateError, match=r"write path\('/api'\)"):
            path()


class TestMethod:
    def test_it_is_one_of_the_names(self):
        reads = method("GET", "HEAD")

        assert reads(request(method="HEAD"))
        assert not reads(request(method="POST"))
        assert not method("GET")(request(method="HEAD"))
        assert not method("GET")(request(method="get"))

    @pytest.mark.parametrize("name", ["get", "", "GE T", None, b"GET", "GET,POST"])
    def test_a_name_that_is_none_is_refused(self, name):
        with pytest.raises(PredicateError, match="method must be a name in upper case, got"):
            method(name)

    def test_the_fix_is_shown(self):
        with pytest.raises(PredicateError, match=r"got 'get'; write method\('GET'\)"):
            method("get")
        with pytest.raises(PredicateError, match="method must be given a name"):
            method()


class TestHeader:
    def test_it_is_there_or_it_is_that(self):
        sent = request(headers={"X-Tier": "beta", "X-Empty": ""})

        assert header("x-tier")(sent)
        assert header("X-Empty")(sent)
        assert not header("X-Other")(sent)
        assert header("X-Tier", "beta")(sent)
        assert not header("X-Tier", "Beta")(sent)
        assert header("X-Empty", "")(sent)
        assert not header("X-Other", "")(sent)

    def test_two_headers_have_names_of_their_own_in_environ(self):
        sent = request(method="POST", headers={"Content-Type": "text/plain"}, body=b"x")

        assert header("Content-Type", "text/plain")(sent)
        assert header("content-length", "1")(sent)

    @pytest.mark.parametrize("name", ["Content-Type", "Content-Length"])
    def test_these_two_are_empty_in_environ_where_none_was_sent(self, name):
        """By PEP 3333 they may be; nginx's uwsgi_params and Twisted do so (werkzeug#1308)."""
        key = name.upper().replace("-", "_")

        assert not header(name).ask(make_environ() | {key: ""}, [])
        assert header(name).ask(make_environ() | {key: "1"}, [])

    @pytest.mark.parametrize("name", ["", "X Tier", "X-Tier:", None, b"X-Tier", "é"])
    def test_a_name_that_is_none_is_refused(self, name):
        with pytest.raises(PredicateError, match="header must be a name as it is sent, got"):
            header(name)

    @pytest.mark.parametrize("name", ["HTTP_X_TIER", "X_Tier"])
    def test_the_name_in_environ_is_not_the_name_of_the_header(self, name):
        with pytest.raises(PredicateError, match="; write 'X-Tier'"):
            header(name)

    @pytest.mark.parametrize("value", [1, b"x", "é", "a\nb", True, " x", "x "])
    def test_a_value_that_is_none_is_refused(self, value):
        with pytest.raises(PredicateError, match="header value must be printable ASCII"):
            header("X-Tier", value)


class TestCookie:
    @pytest.mark.parametrize(
        ("sent", "there", "one"),
        [
            (None, False, False),
            ("", False, False),
            ("beta=1", True, True),
            ("a=b; beta=1; c=d", True, True),
            ("a=b;beta=1", True, True),
            ('beta="1"', True, True),
            ("beta=2", True, False),
            ("beta=2; beta=1", True, True),
            ("beta=", True, False),
            ("beta", False, False),
            ("alphabeta=1", False, False),
            ("Beta=1", False, False),
            ("a=beta=1", False, False),
            ("beta=1=1", True, False),
            ("beta=\xff\x00", True, False),
        ],
    )
    def test_it_is_there_or_it_is_that(self, sent, there, one):
        environ = make_environ(headers={} if sent is None else {"Cookie": sent})

        assert cookie("beta").ask(environ, []) is there
        assert cookie("beta", "1").ask(environ, []) is one

    @pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", None, "é"])
    def test_a_name_that_is_none_is_refused(self, name):
        with pytest.raises(PredicateError, match="cookie name must be a token"):
            cookie(name)

    @pytest.mark.parametrize("value", [1, "a b", "a;b", 'a"b', "é", "a,b", "\\"])
    def test_a_value_that_is_none_is_refused(self, value):
        with pytest.raises(PredicateError, match="cookie value must be as it is sent"):
            cookie("beta", value)

    @given(st.text())
    def test_it_never_raises(self, sent):
        cookie("a").ask(make_environ(headers={"Cookie": sent}), [])


class TestClient:
    @pytest.mark.parametrize(
        ("address", "inside"),
        [
            ("10.1.2.3", True),
            ("::ffff:10.1.2.3", True),
            ("11.1.2.3", False),
            ("192.0.2.1", True),
            ("192.0.2.2", False),
            ("2001:db8::1", True),
            ("2001:db9::1", False),
            ("fe80::1%eth0", True),
            ("", False),
            ("unix:", False),
            ("10.1.2.3:80", False),
            ("é", False),
        ],
    )
    def test_it_is_in_one_of_the_networks(self, address, inside):
        office = client("10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "fe80::/10")

        assert office.ask(make_environ(REMOTE_ADDR=address), []) is inside

    def test_a_network_of_mapped_addresses_is_one_too(self):
        mapped = client("::ffff:10.0.0.0/104")

        assert mapped.ask(make_environ(REMOTE_ADDR="::ffff:10.1.2.3"), [])
        assert not mapped.ask(make_environ(REMOTE_ADDR="::ffff:11.1.2.3"), [])

    def test_without_an_address_it_is_in_none(self):
        environ = make_environ()
        environ.pop("REMOTE_ADDR", None)

        assert not client("0.0.0.0/0", "::/0").ask(environ, [])

    def test_what_is_forwarded_is_never_read(self):
        sent = {"X-Forwarded-For": "10.0.0.1", "Forwarded": "for=10.0.0.1"}
        environ = make_environ(headers=sent, REMOTE_ADDR="192.0.2.1")

        assert not client("10.0.0.0/8").ask(environ, [])

    @pytest.mark.parametrize(
        ("network", "fix"),
        [
            ("10.0.0.1/8", "; write '10.0.0.0/8'"),
            ("10.0.0.0/33", ""),
            ("example.org", ""),
            ("", ""),
            (1, ""),
            (None, ""),
        ],
    )
    def test_a_network_that_is_none_is_refused(self, network, fix):
        with pytest.raises(PredicateError, match=f"client must be a network.*{fix}$") as raised:
            client(network)

        assert ("write" in str(raised.value)) == bool(fix)

    def test_none_at_all_is_refused(self):
        with pytest.raises(PredicateError, match="client must be given a network"):
            client()


class TestCombining:
    @pytest.mark.parametrize("a", [False, True])
    @pytest.mark.parametrize("b", [False, True])
    def test_and_or_not(self, a, b):
        left = path("/a") if a else path("/z")
        right = method("GET") if b else method("PUT")
        sent = request("/a")

        assert (left & right)(sent) == (a and b)
        assert (left | right)(sent) == (a or b)
        assert (~left)(sent) == (not a)
        assert (~(left & right) | left)(sent) is True

    def test_functions_can_be_mixed_in_on_either_side(self):
        for mixed in (
            path("/a") & always,
            always & path("/a"),
            path("/z") | always,
            always | path("/z"),
        ):
            assert exchange(When(None, [(mixed, hello)]), "/a").code == 200
        for mixed in (path("/a") & never, never & path("/a"), path("/z") | never):
            assert exchange(When(None, [(mixed, hello)]), "/a").code == 404

    @pytest.mark.parametrize(
        ("made", "shown"),
        [
            (path("/a") & ~method("POST"), "path('/a') & ~method('POST')"),
            (
                path("/a") | path("/b") & method("GET"),
                "path('/a') | path('/b') & method('GET')",
            ),
            (
                (path("/a") | path("/b")) & method("GET"),
                "(path('/a') | path('/b')) & method('GET')",
            ),
            (~(path("/a") & always), "~(path('/a') & always)"),
            (~~path("/a"), "~~path('/a')"),
            (header("X-A") & cookie("b", "1"), "header('X-A') & cookie('b', '1')"),
            (always | client("::1"), "always | client('::1')"),
            (predicate(always, vary=("DNT",)), "predicate(always, vary=('DNT',))"),
            (predicate(always), "always"),
        ],
    )
    def test_it_reads_as_it_was_written(self, made, shown):
        assert repr(made) == shown

    def test_a_lambda_is_named_by_its_place(self):
        made = predicate(lambda request: True)
        line = sys._getframe().f_lineno - 1

        assert repr(made) == f"lambda at test_when.py:{line}"

    @pytest.mark.parametrize(
        "combine",
        [
            lambda: path("/a") and always,
            lambda: path("/a") or always,
            lambda: not path("/a"),
        ],
    )
    def test_words_instead_of_signs_are_refused(self, combine):
        with pytest.raises(TableTypeError, match="predicate must be combined with"):
            combine()

    def test_what_is_no_predicate_cannot_be_mixed_in(self):
        with pytest.raises(TableTypeError, match="predicate must be a function of one"):
            path("/a") & "GET"

    def test_it_stops_as_soon_as_it_knows(self):
        assert not (never & path("/a") & fails)(request("/a"))
        assert (path("/a") | fails)(request("/a"))


class TestVary:
    def vary_of(self, when, *headers, **sent):
        answer = exchange(when, "/a", headers=sent)
        return [value for name, value in answer.headers if name.lower() == "vary"]

    def test_a_header_that_was_asked_for_is_named(self):
        when = When(hello, [(header("X-Tier", "beta"), hello)])

        assert self.vary_of(when, **{"X-Tier": "beta"}) == ["X-Tier"]

    def test_also_when_the_answer_was_no(self):
        """Or a cache would show the ordinary page to those who have the cookie."""
        assert self.vary_of(When(hello, [(cookie("beta"), hello)])) == ["Cookie"]
        assert self.vary_of(When(None, [(cookie("beta"), hello)])) == ["Cookie"]
        assert self.vary_of(When(hello, [(~cookie("beta"), hello)])) == ["Cookie"]

    def test_only_what_was_asked_for_is_named(self):
        when = When(
            hello,
            [
                (path("/z") & cookie("a"), hello),
                (path("/a") | header("X-B"), hello),
                (header("X-C"), hello),
            ],
        )

        assert self.vary_of(when) == []

    def test_each_is_named_once(self):
        when = When(
            None,
            [(cookie("a"), hello), (cookie("b") | header("cookie") | header("DNT"), hello)],
        )

        assert [v.lower() for v in self.vary_of(when)] == ["cookie, dnt"]

    def test_functions_say_what_they_look_at(self):
        french = predicate(never, vary=("Accept-Language", "DNT"))

        assert self.vary_of(When(hello, [(french, hello)])) == ["Accept-Language, DNT"]
        assert self.vary_of(When(hello, [(french & path("/"), hello)])) != []
        assert self.vary_of(When(hello, [(path("/z") & french, hello)])) == []

    def test_a_ready_made_one_that_is_wrapped_is_still_named(self):
        wrapped = predicate(cookie("beta"), vary=("DNT",))

        assert repr(wrapped) == "predicate(cookie('beta'), vary=('DNT',))"
        assert self.vary_of(When(hello, [(predicate(cookie("beta")), hello)])) == ["Cookie"]
        assert self.vary_of(When(hello, [(wrapped, hello)])) == ["DNT, Cookie"]
        assert not wrapped.runs_code
        assert predicate(path("/a")).hint(make_environ("/ab")) is not None

    def test_nothing_is_wrapped_when_nothing_varies(self):
        seen = []

        def application(environ, start_response):
            seen.append(start_response)
            return []

        When(application, [(path("/z"), hello)])(make_environ(), start_nothing)

        assert seen == [start_nothing]

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ([], [("Vary", "Cookie")]),
            ([("vary", "Accept")], [("Vary", "Accept, Cookie")]),
            ([("Vary", "cookie")], [("Vary", "cookie")]),
            ([("Vary", "Accept,COOKIE")], [("Vary", "Accept,COOKIE")]),
            ([("Vary", "*")], [("Vary", "*")]),
            ([("Vary", "Accept, *")], [("Vary", "Accept, *")]),
            ([("Vary", "A"), ("Vary", "*")], [("Vary", "A"), ("Vary", "*")]),
            ([("Vary", "A"), ("VARY", "B")], [("Vary", "A, B, Cookie")]),
            ([("Vary", "A"), ("VARY", "cookie")], [("Vary", "A"), ("VARY", "cookie")]),
            ([("Vary", "")], [("Vary", "Cookie")]),
            ([("Vary", "Accept-Cookie")], [("Vary", "Accept-Cookie, Cookie")]),
        ],
    )
    def test_it_is_merged_with_what_the_application_says(self, before, after):
        application = named("x", *before)
        answer = exchange(When(application, [(cookie("beta"), hello)]))

        assert [h for h in answer.headers if h[0].lower() == "vary"] == [
            (name if (name, value) in before else "Vary", value) for name, value in after
        ]

    def test_the_place_in_the_headers_is_kept(self):
        headers = [("A", "1"), ("vary", "x"), ("B", "2"), ("Vary", "y"), ("C", "3")]
        before = headers.copy()

        merged = with_vary(headers, ["Cookie"])

        assert merged == [("A", "1"), ("Vary", "x, y, Cookie"), ("B", "2"), ("C", "3")]
        assert headers == before

    names = st.sampled_from(["Cookie", "cookie", "DNT", "X-A", "Accept"])
    lines = st.one_of(st.lists(names, max_size=3).map(", ".join), st.just("*"))

    @given(
        headers=st.lists(st.tuples(st.sampled_from(["Vary", "vary", "ETag"]), lines)),
        asked=st.lists(names, min_size=1),
    )
    def test_nothing_is_lost_and_nothing_said_twice(self, headers, asked):
        def listed(headers):
            values = [v for n, v in headers if n.lower() == "vary"]
            return [name.lower() for v in values for name in v.split(", ") if name]

        after = with_vary(headers, asked)

        before, told = listed(headers), listed(after)
        if "*" in before:
            assert after == headers
        else:
            assert set(told) == set(before) | {name.lower() for name in asked}
            assert len(told) - len(before) == len(set(told) - set(before))
        assert [h for h in after if h[0] == "ETag"] == [h for h in headers if h[0] == "ETag"]
        assert with_vary(after, asked) == after

    def test_a_lazy_application_and_one_that_starts_again_are_told_too(self):
        def lazy(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            try:
                raise LookupError("on purpose")
            except LookupError:
                write = start_response(
                    "500 Oops", [("Content-Type", "text/plain")], sys.exc_info()
                )
            write(b"written, ")
            yield b"returned"

        answer = exchange(When(lazy, [(cookie("beta"), hello)]), validate=False)

        assert answer.status == "500 Oops"
        assert answer.header("Vary") == "Cookie"
        assert answer.body == b"written, returned"

    def test_a_head_request_is_told_too(self):
        answer = exchange(When(None, [(cookie("beta"), hello)]), method="HEAD")

        assert (answer.code, answer.header("Vary"), answer.body) == (404, "Cookie", b"")


class TestCounts:
    def test_they_say_who_answers_what(self):
        when = When(hello, [(path("/api"), hello), (path("/gone"), hello)])

        for asked in ("/api/a", "/api/b?c=/d", "/old/x", "/old", "/", "/älter/x", "/old//"):
            exchange(when, asked)

        assert when.counts() == {
            "path('/api')": {"/api": 2},
            "path('/gone')": {},
            "*": {"/old": 3, "/": 1, "/älter": 1},
        }

    def test_the_busiest_comes_first(self):
        when = When(hello, [])
        for asked in ("/a", "/b", "/b", "/c", "/c", "/c"):
            exchange(when, asked)

        assert list(when.counts()["*"]) == ["/c", "/b", "/a"]

    def test_looking_counts_nothing(self):
        when = When(hello, [])
        exchange(when, "/a")

        assert [when.counts() for _ in range(3)] == [{"*": {"/a": 1}}] * 3
        exchange(when, "/a")
        assert when.counts() == {"*": {"/a": 2}}

    def test_the_segment_is_what_is_left_to_this_dispatcher(self):
        when = When(hello, [])
        exchange(Mount(None, {"/site": when}), "/site/a/b")
        exchange(Mount(None, {"/site": when}), "/site")

        assert when.counts() == {"*": {"/a": 1, "": 1}}

    def test_a_request_that_fails_is_counted(self):
        def fails(environ, start_response):
            raise LookupError("on purpose")

        when = When(fails, [])
        with pytest.raises(LookupError):
            when(make_environ("/a"), start_nothing)

        assert when.counts() == {"*": {"/a": 1}}

    def test_hostile_paths_cannot_fill_the_memory(self):
        when = When(hello, [])
        environ = make_environ()
        for number in range(MOST_SEGMENTS + 500):
            when({**environ, "PATH_INFO": f"/{number}/x"}, start_nothing)
        when({**environ, "PATH_INFO": "/7"}, start_nothing)
        when({**environ, "PATH_INFO": "/" + "a" * LONGEST_SEGMENT}, start_nothing)

        counts = when.counts()["*"]
        assert len(counts) == MOST_SEGMENTS + 1
        assert counts[OTHER] == 501
        assert counts["/7"] == 2
        assert max(map(len, counts)) <= LONGEST_SEGMENT

    def test_a_segment_that_is_too_long_is_not_kept(self):
        when = When(hello, [])
        for length in (LONGEST_SEGMENT - 1, LONGEST_SEGMENT, 100_000):
            exchange(when, "/" + "a" * length)

        assert when.counts() == {"*": {OTHER: 2, "/" + "a" * (LONGEST_SEGMENT - 1): 1}}

    def test_bytes_that_are_no_text_are_shown_as_escapes(self):
        when = When(hello, [])
        environ = make_environ()
        for raw in ("/\xff", "/\\xff"):  # two segments that look the same to people
            when({**environ, "PATH_INFO": raw}, start_nothing)

        assert when.counts() == {"*": {"/\\xff": 2}}

    def test_cases_that_read_the_same_are_counted_together(self):
        when = When(None, [(path("/a") & method("GET"), hello), (path("/a"), hello)])
        when.cases.append((path("/a"), hello))
        exchange(when, "/a", method="POST")

        assert when.counts() == {
            "path('/a') & method('GET')": {},
            "path('/a')": {"/a": 1},
            "*": {},
        }

    def test_a_change_keeps_the_counts_of_what_stays(self):
        when = When(hello, [(path("/a"), hello), (path("/b"), hello)])
        for asked in ("/a", "/b", "/c"):
            exchange(when, asked)

        when.cases.replace([(path("/c"), hello), (path("/a"), named("new"))])
        exchange(when, "/c")

        assert when.counts() == {
            "path('/c')": {"/c": 1},
            "path('/a')": {"/a": 1},
            "*": {"/c": 1},
        }

    def test_two_threads_may_begin_with_one_segment_at_once(self):
        class Racing(dict):
            """What another thread puts in is seen too late."""

            def __contains__(self, key):
                return False

        for kind in (dict, Racing):
            counts = Counts()
            counts.by_head = kind()
            for _ in range(MOST_SEGMENTS):
                counts.begin("/a")
            counts.begin("/b")

            assert counts.snapshot() == {"/a": MOST_SEGMENTS, "/b": 1}

    def test_threads_lose_no_request(self):
        threads, requests = 8, 5_000
        when = When(hello, [(path("/api"), hello)])
        snapshots = []
        go = threading.Barrier(threads + 1)

        def send(mine):
            environ = make_environ()
            go.wait()
            for number in range(requests):
                # New segments all the time, so that threads meet where one begins.
                asked = ("/api", "/old", f"/n{number // 50}", f"/{mine}")[number % 4]
                when({**environ, "PATH_INFO": asked}, start_nothing)

        running = [threading.Thread(target=send, args=(n,)) for n in range(threads)]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for thread in running:
                thread.start()
            go.wait()
            while any(thread.is_alive() for thread in running):
                snapshots.append(sum(sum(c.values()) for c in when.counts().values()))
            for thread in running:
                thread.join()
        finally:
            sys.setswitchinterval(interval)

        counts = when.counts()
        assert counts["path('/api')"] == {"/api": threads * requests // 4}
        assert counts["*"]["/old"] == threads * requests // 4
        assert sum(counts["*"].values()) == threads * requests * 3 // 4
        assert OTHER not in counts["*"]
        assert snapshots == sorted(snapshots)


class TestEnviron:
    def test_the_child_gets_a_copy(self):
        def writes(environ, start_response):
            environ["REMOTE_USER"] = "alice"
            environ["PATH_INFO"] = "rewritten"
            return hello(environ, start_response)

        for asked in ("/a", "/b"):
            environ = make_environ(asked)
            before = dict(environ)
            exchange(When(writes, [(path("/a"), writes)]), environ=environ, validate=False)

            assert environ == before

    @pytest.mark.parametrize("asked", ["/a", "/b"])
    def test_back_hands_keys_to_the_caller(self, asked):
        def logs_in(environ, start_response):
            environ["REMOTE_USER"] = "alice"
            environ["secret"] = "kept"
            return hello(environ, start_response)

        environ = make_environ(asked)
        when = When(logs_in, [(path("/a"), logs_in)], back=("REMOTE_USER", "absent"))
        exchange(when, environ=environ)

        assert environ["REMOTE_USER"] == "alice"
        assert "secret" not in environ
        assert "absent" not in environ

    def test_share_gives_the_caller_s_own_environ(self):
        seen = []

        def application(environ, start_response):
            seen.append(environ)
            return hello(environ, start_response)

        environ = make_environ("/a")
        When(None, [(path("/a") & always, application)], share=True)(environ, start_nothing)

        assert seen[0] is environ

    def test_mounted_is_told_through_it(self):
        environ = make_environ("/v1/items")

        exchange(When(None, [(path("/v1"), Mount(None, {"/v1": hello}))]), environ=environ)

        assert environ[MOUNTED] == "/v1"

    def test_the_body_of_the_child_is_returned_itself(self):
        body = SpyBody([b"x"])
        when = When(None, [(cookie("a") | always, lambda environ, start_response: body)])

        assert when(make_environ(), start_nothing) is body


class TestConstruction:
    @pytest.mark.parametrize(
        "cases", [{path("/a"): hello}, {(path("/a"), hello)}, hello, None, "/a", 7]
    )
    def test_cases_that_are_no_list_are_refused(self, cases):
        with pytest.raises(TableTypeError, match=r"write \[\(path\('/api'\), api\)\]"):
            When(None, cases)

    @pytest.mark.parametrize("row", [path("/a"), hello, (path("/a"),), "/a", (1, 2, 3), None])
    def test_a_case_that_is_no_pair_is_refused(self, row):
        with pytest.raises(TableTypeError, match="case must be a pair of a predicate and an"):
            When(None, [row])

    @pytest.mark.parametrize("first", [path("/a"), [(path("/a"), hello)], "/a"])
    def test_a_first_argument_that_is_none_shows_the_right_call(self, first):
        with pytest.raises(TableTypeError, match=r"write \[\(path\('/api'\), api\)\]"):
            When(first, hello)

    @pytest.mark.parametrize(
        ("wrong", "says"),
        [
            ("/api", r"one webob\.Request, .*, got '/api'; write path\('/api'\)"),
            ("GET", "must be a function of one webob.Request"),
            (None, "must be a function of one webob.Request"),
            (True, "must be a function of one webob.Request"),
            (lambda: True, "must be a function of one webob.Request"),
            (hello, "must be a function of one webob.Request"),
            (dict, "must be a function of one webob.Request"),
            (path, r"predicate must be made first, got path; write path\(\.\.\.\)"),
            (method, r"write method\(\.\.\.\)"),
            (client, r"write client\(\.\.\.\)"),
            (predicate, r"write predicate\(\.\.\.\)"),
        ],
    )
    def test_what_is_no_predicate_is_refused(self, wrong, says):
        """Some of these would be true for every request."""
        with pytest.raises(TableTypeError, match=says):
            When(None, [(wrong, hello)])

    def test_an_async_predicate_is_refused(self):
        with pytest.raises(TableTypeError, match="and not async"):
            When(None, [(eventually, hello)])

    @pytest.mark.parametrize("vary", ["DNT", ("A B",), (1,), ("HTTP_DNT",), None, 1])
    def test_a_vary_that_is_none_is_refused(self, vary):
        with pytest.raises(PredicateError, match="must be"):
            predicate(always, vary=vary)

    def test_a_child_that_is_no_application_is_named_by_its_predicate(self):
        with pytest.raises(ApplicationTypeError, match=r"case path\('/a'\): application must"):
            When(None, [(path("/a"), 42)])

    @pytest.mark.parametrize("options", [{"back": "REMOTE_USER"}, {"share": "yes"}])
    def test_an_option_it_does_not_know_is_refused(self, options):
        with pytest.raises(OptionError, match="When's"):
            When(None, [], **options)

    def test_it_says_what_it_is(self):
        when = When(hello, [(path("/api") & ~method("POST"), hello)])

        assert repr(when).startswith("<function When at ")
        assert when.wsgi_made_at.startswith(__file__)
        assert draw(when).splitlines() == [
            "When",
            "├─ path('/api') & ~method('POST')  hello",
            "└─ *                               hello",
        ]
        assert draw(When(None, [])).splitlines()[1] == "└─ *  404 Not Found"


def test_what_a_function_sets_on_its_request_nobody_sees():
    """Where a layer outside is made with WebOb, the attributes are in the environ already."""

    def sets(request):
        request.seen, user = True, request.user
        return user == "ada"

    request = Request.blank("/")
    request.user = "ada"

    assert When(None, [(sets, hello)])(request.environ, start_nothing)
    assert request.environ["webob.adhoc_attrs"] == {"user": "ada"}


class TestChange:
    def test_cases_come_move_and_go(self):
        when = When(named("rest"), [])

        when.cases.append((path("/a"), named("a")))
        assert text_of(when, "/a") == "a"
        when.cases.insert(0, (always, named("all")))
        assert text_of(when, "/a") == "all"
        when.cases[0] = (never, named("none"))
        assert text_of(when, "/a") == "a"
        when.cases.reverse()
        assert [repr(p) for p, _ in when.cases] == ["path('/a')", "never"]
        del when.cases[0]
        assert text_of(when, "/a") == "rest"
        when.cases.replace([(path("/b"), named("b"))])
        assert text_of(when, "/b") == "b"
        when.cases.clear()
        assert text_of(when, "/b") == "rest"

    def test_a_case_is_a_predicate_and_an_application(self):
        [(question, child)] = When(None, [(always, hello)]).cases

        assert isinstance(question, Predicate)
        assert isinstance(child, Application)

    def test_a_change_that_is_refused_changes_nothing(self):
        when = When(None, [(path("/a"), hello)])

        with pytest.raises(TableTypeError):
            when.cases.replace([(path("/b"), hello), ("/c", hello)])

        assert len(when.cases) == 1
        assert exchange(when, "/a").code == 200

    def test_while_threads_send_requests_none_goes_astray(self):
        cases = [(path("/stays"), hello), (path("/moves") & method("GET"), hello)]
        when = When(None, cases)
        answers = []

        def start_response(status, headers, exc_info=None):
            answers.append(status)

        def send():
            environ = make_environ()
            for number in range(25_000):
                environ["PATH_INFO"] = ("/stays", "/moves/x")[number % 2]
                when(environ.copy(), start_response)

        def change(number):
            when.cases.replace(cases[::-1])
            when.cases.insert(0, (path("/comes"), hello))
            when.cases[1:] = cases
            when.cases.replace(cases)

        send_while_changing(send, change)

        assert Counter(answers) == {"200 OK": 100_000}
        counts = when.counts()
        assert counts["path('/stays')"] == {"/stays": 50_000}
        assert counts["path('/moves') & method('GET')"] == {"/moves": 50_000}


class TestChoices:
    def told(self, cases, *arguments, **more):
        when = When(named("rest"), cases)
        environ = make_environ(*arguments, **more)
        before = dict(environ)

        [choice] = when.wsgi_choices(environ)

        assert environ == before
        assert choice.environ == before
        assert choice.environ is not environ
        assert not any(when.counts().values())
        assert text_of(choice.application) == text_of(when, environ=environ)
        return choice.label, choice.reason, dict(choice.near_misses)

    def test_it_says_what_decided(self):
        cases = [(never, named("no")), (path("/a"), named("a"))]

        assert self.told(cases, "/a") == ("path('/a')", "first predicate that is true", {})
        assert self.told(cases, "/b") == ("*", "default: no predicate is true", {})

    @pytest.mark.parametrize(
        ("question", "why"),
        [
            (path("/ap"), "'/api' does not end at a segment boundary"),
            (path("/API"), "upper and lower case"),
            (path("/api") & method("POST"), "method('POST') is false"),
            (path("/ap") & method("GET"), "does not end at a segment boundary"),
            (path("/api") & path("/api/item"), "does not end at a segment boundary"),
            (never | path("/ap"), "does not end at a segment boundary"),
            (client("10.0.0.0/8"), "X-Forwarded-For names such a client, and is not read"),
            (path("/api") & client("10.0.0.0/8"), "X-Forwarded-For names such a client"),
        ],
    )
    def test_what_looks_as_if_it_should_be_true(self, question, why):
        label, _, misses = self.told(
            [(question, named("x"))],
            "/api/items",
            headers={"X-Forwarded-For": "203.0.113.9, 10.0.0.1"},
            REMOTE_ADDR="192.0.2.1",
        )

        assert label == "*"
        assert why in misses[repr(question)]

    @pytest.mark.parametrize(
        "question",
        [
            path("/b"),
            ~path("/api"),
            method("PUT"),
            never,
            client("10.0.0.0/8"),
            predicate(never) & always,
        ],
    )
    def test_what_has_nothing_to_do_with_it_is_not_listed(self, question):
        assert self.told([(question, named("x"))], "/api", REMOTE_ADDR="192.0.2.1")[2] == {}

    def test_what_comes_too_late_is_listed(self):
        """And a function that a request would not get to is not called."""
        cases = [
            (path("/a"), named("a")),
            (path("/a/b"), named("b")),
            (path("/c"), named("c")),
            (fails, named("x")),
            (~predicate(fails), named("x")),
            (path("/a") & fails, named("x")),
            (fails | path("/a"), named("x")),
        ]

        assert self.told(cases, "/a/b")[2] == {
            "path('/a/b')": "true as well, but path('/a') comes first"
        }
