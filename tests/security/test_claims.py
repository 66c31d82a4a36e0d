"""What docs/security/threat-model.md claims, as far as no other test shows it."""

import gc
import io
import os
import tracemalloc
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from freedom_middleware import Application, Cascade, Hosts, Mount, When
from freedom_middleware.dispatch import Methods, cookie, header, path
from freedom_middleware.dispatch.predicates import predicate
from freedom_middleware.errors import FreedomError
from freedom_middleware.testing import SpyBody, exchange, hello, make_environ

LINE_END = "\r\nSet-Cookie: a=b"


async def asgi(scope, receive, send):
    raise AssertionError("nobody is to ask it")


def answering(status):
    def application(environ, start_response):
        start_response(status, [("Content-Type", "text/plain")])
        return [status.encode()]

    return application


def reads_all(environ, start_response):
    environ["wsgi.input"].read()
    return answering("404 Not Found")(environ, start_response)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "index.html").write_text("a page")
    return tmp_path


BODY = {"CONTENT_LENGTH": "3", "wsgi.input": io.BytesIO(b"abc")}
AT_X = {"PATH_INFO": "/x", "QUERY_STRING": ""}

# Each answer that the package gives by itself: how to make it, and the environ that gets it.
OWN = {
    "404 of a Mount": (lambda folder: Mount(None, {"/shop": hello}), {}),
    "404 of a When": (lambda folder: When(None, []), {}),
    "404 of a Hosts": (lambda folder: Hosts(None, {"a.example": hello}), {}),
    "404 of a folder": (Application.from_directory, {}),
    "405 of a folder": (Application.from_directory, {"REQUEST_METHOD": "PUT"}),
    "412 of a folder": (
        Application.from_directory,
        {"PATH_INFO": "/sub/index.html", "HTTP_IF_MATCH": '"secret"'},
    ),
    "400 of a Hosts": (lambda folder: Hosts(hello, {}), {"HTTP_HOST": "secret host"}),
    "405 of a Methods": (lambda folder: Methods({"PUT": hello}), {}),
    "413 of a Cascade": (lambda folder: Cascade([reads_all, hello], limit=2), BODY),
    "503 of what cannot be loaded": (
        lambda folder: Application("there_is_no_such_module:application", lazy=True),
        {},
    ),
    "501 to a WebSocket": (
        lambda folder: Application(asgi),
        {"HTTP_UPGRADE": "websocket"},
    ),
    "400 to a path": (lambda folder: Application(asgi), {"PATH_INFO": "/secret\xff"}),
    "400 to a length": (lambda folder: Application(asgi), {"CONTENT_LENGTH": "secret"}),
    "308 of a Mount": (lambda folder: Mount(None, {"/x": hello}, slash="redirect"), AT_X),
    "308 of a folder": (
        lambda folder: Application.from_directory(folder, index="index.html"),
        {"PATH_INFO": "/sub", "QUERY_STRING": ""},
    ),
    "307 of a redirect": (
        lambda folder: Mount(None, {"/x": Application.from_redirect("/y")}),
        AT_X,
    ),
}


def given_by_us(which, folder, **more):
    make, keys = OWN[which]
    environ = make_environ() | SECRET | keys | more
    if which.startswith("413"):
        environ["wsgi.input"].seek(0)
    return exchange(make(folder), environ=environ, validate=False)


SECRET = {
    "PATH_INFO": "/secret-path",
    "QUERY_STRING": "secret=query",
    "HTTP_HOST": "secret.example",
    "HTTP_COOKIE": "secret=cookie",
    "HTTP_REFERER": "http://secret.example/",
    "HTTP_X_FORWARDED_HOST": "secret.example",
}


class TestPagesOfOurOwn:
    @pytest.mark.parametrize("which", OWN)
    def test_they_repeat_nothing_and_tell_nothing(self, which, folder, caplog):
        """No path, header or query comes back, no table, module, file or traceback goes out."""
        answer = given_by_us(which, folder)

        assert answer.status.startswith(which[:3])
        told = repr(answer).lower()
        for word in ("secret", "shop", "example", "no_such", "traceback", "line ", str(folder)):
            assert word not in told

    @pytest.mark.parametrize("which", [which for which in OWN if which != "405 of a folder"])
    def test_to_head_they_have_no_body(self, which, folder, caplog):
        """Six servers would send one, and the client would take it for the next answer."""
        answer = given_by_us(which, folder, REQUEST_METHOD="HEAD")

        assert answer.status.startswith(which[:3])
        assert answer.body == b""

    @pytest.mark.parametrize("which", OWN)
    def test_they_say_how_long_they_are(self, which, folder, caplog):
        answer = given_by_us(which, folder)

        assert answer.header("Content-Length") == str(len(answer.body))


# What a server may put into an environ: each character is one byte.
NATIVE = st.text(st.characters(max_codepoint=255), max_size=12)
HOSTILE = st.lists(
    st.sampled_from(
        [
            "/",
            "//",
            "\\",
            "evil.example",
            "@",
            ":",
            "\r\n",
            "X: y",
            "..",
            "%2f",
            "?",
            "#",
            "\t",
            "x",
        ]
    ),
    max_size=6,
).map("".join)


class TestRedirects:
    @given(st.one_of(NATIVE, HOSTILE), st.one_of(NATIVE, HOSTILE), st.one_of(NATIVE, HOSTILE))
    @example("//evil.example/", "", "")
    @example("/\\evil.example", "/..", "a\r\nX: y")
    def test_none_leads_to_another_host_or_adds_a_header(self, script_name, path_info, query):
        """Whatever the path, the query, and what the server says is before the path."""
        environ = make_environ(SCRIPT_NAME=script_name, QUERY_STRING=query)
        mount = Mount(None, {"/shop": hello}, slash="redirect")
        away = Application.from_redirect("https://there.example/new")
        for application, asked, host in [
            (mount, "/shop", None),
            (Application.from_redirect("/new"), path_info, None),
            (Application.from_redirect("/"), path_info, None),
            (away, path_info, "there.example"),
        ]:
            answer = exchange(
                application, environ=environ | {"PATH_INFO": asked}, validate=False
            )

            location = answer.header("Location")
            assert answer.code in (307, 308)
            assert urlsplit(location).hostname == host
            assert not location.startswith("//")
            assert location.isascii()
            assert location.isprintable()
            assert not set(location) & set("\\ ")

    def test_nor_does_that_of_a_folder(self, folder):
        files = Application.from_directory(folder, index="index.html")
        environ = make_environ(
            SCRIPT_NAME="//evil.example\r\n", PATH_INFO="/sub", QUERY_STRING="\r\nX: y"
        )

        answer = exchange(files, environ=environ, validate=False)

        assert answer.header("Location") == "/evil.example%0D%0A/sub/?%0D%0AX:%20y"


class TestResponseSplitting:
    """An operator's own table may come from a form or a file."""

    @pytest.mark.parametrize(
        "make",
        [
            lambda text: Hosts(None, {f"a.example{text}": hello}),
            lambda text: Methods({f"GET{text}": hello}),
            lambda text: header(f"X-Tier{text}"),
            lambda text: header("X-Tier", f"a{text}"),
            lambda text: cookie(f"a{text}"),
            lambda text: cookie("a", f"b{text}"),
            lambda text: predicate(lambda request: True, vary=(f"Accept{text}",)),
            lambda text: Cascade([hello], marker=f"X-Cascade{text}"),
            lambda text: Application.from_redirect(f"/new{text}"),
        ],
    )
    @pytest.mark.parametrize("text", [LINE_END, "\n", "\r", "\0"])
    def test_what_would_reach_a_header_is_refused(self, make, text):
        make("")  # it is the text that is refused

        with pytest.raises(FreedomError):
            make(text)

    def test_a_prefix_is_encoded_where_it_comes_back(self):
        mount = Mount(None, {f"/shop{LINE_END}": hello}, slash="redirect")

        answer = exchange(mount, f"/shop{LINE_END}", validate=False)

        assert answer.header("Location") == "/shop%0D%0ASet-Cookie:%20a=b/"


class TestCost:
    """A client pays for what it sends, and the site no more than that."""

    SEGMENTS = 30_000

    def test_a_folder_looks_for_no_segment_behind_one_that_is_not_there(
        self, folder, monkeypatch
    ):
        """The disk would be asked thirty thousand times for one request."""
        asked = []
        lstat = os.lstat
        monkeypatch.setattr(os, "lstat", lambda *a, **k: asked.append(a) or lstat(*a, **k))
        files = Application.from_directory(folder)

        def questions(target):
            asked.clear()
            exchange(files, target)
            return len(asked)

        assert questions("/sub/index.html") > 0
        assert questions("/x" * self.SEGMENTS) == questions("/x")

    @pytest.mark.parametrize(
        "segments", ["/x", "/", "/..", "/%2e", "/shop", "/x/..", ";", "\xff"]
    )
    def test_a_path_of_very_many_segments_is_a_path_like_any_other(self, segments, folder):
        long = segments * self.SEGMENTS
        site = Hosts(
            When(
                Mount(answering("200 rest"), {"/shop/shop/shop": answering("200 shop")}),
                [(path("/x/x/x/x"), answering("200 x"))],
            ),
            {},
        )
        found = exchange(site, environ=make_environ(PATH_INFO=long), validate=False)

        expected = {"/x": "200 x", "/shop": "200 shop"}.get(segments, "200 rest")
        assert found.status == expected
        files = Application.from_directory(folder)
        assert exchange(files, environ=make_environ(PATH_INFO=long), validate=False).code == 404

    def test_so_are_very_many_headers(self):
        many = {f"HTTP_X_{number}": "x" * 100 for number in range(5_000)}
        site = Cascade([Mount(None, {}), When(hello, [(header("X-4999", "y"), hello)])])

        answer = exchange(site, environ=make_environ() | many, validate=False)

        assert answer.header("Vary") == "X-4999"

    def test_what_clients_choose_is_not_remembered(self):
        """Hosts, paths, methods and cookies that nobody asked for before leave nothing."""
        site = Hosts(
            Methods({"GET": When(Mount(hello, {"/a": hello}), [(cookie("a", "1"), hello)])}),
            {"*.example.org": hello},
        )

        def ask(numbers):
            for n in numbers:
                environ = make_environ(
                    f"/{n}/{n}",
                    method="GET" if n % 2 else f"M{n}",
                    headers={"Host": f"h{n}.example", "Cookie": f"c{n}={n}"},
                )
                exchange(site, environ=environ, validate=False)

        ask(range(3_000))  # When counts a thousand first segments apart, and then no more
        gc.collect()
        tracemalloc.start()
        try:
            ask(range(3_000, 3_200))
            gc.collect()
            before = tracemalloc.get_traced_memory()[0]
            ask(range(3_200, 5_200))
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert grown < 2_000 * 8  # not one pointer for each of them


class TestLogs:
    def test_no_line_of_a_client_s_own_gets_into_the_log(self, caplog):
        """A path with a line end in it must not look like an entry of its own."""
        failing = SpyBody(error=RuntimeError("close failed"))

        def passed_over(environ, start_response):
            start_response("404 Not Found", [])
            return failing

        environ = make_environ(
            PATH_INFO="/x\r\n2026-01-01 root logged in", REQUEST_METHOD="GET\nROOT"
        )

        exchange(Cascade([passed_over, hello]), environ=environ, validate=False)

        [record] = caplog.records
        assert "root logged in" in record.getMessage()
        assert "\n" not in record.getMessage()
        assert "\r" not in record.getMessage()
