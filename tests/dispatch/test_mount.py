import json
import re
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paste.urlmap import URLMap

from freedom_middleware import Application, Mount, explain
from freedom_middleware.dispatch.table import MOUNTED
from freedom_middleware.environ import native
from freedom_middleware.errors import (
    ApplicationError,
    ApplicationTypeError,
    MountError,
    MountWarning,
    OptionError,
    TableError,
    TableTypeError,
)
from freedom_middleware.testing import SpyBody, exchange, hello, make_environ

from .doubles import send_while_changing, start_nothing

CASES = json.loads(Path(__file__).with_name("dispatch_cases.json").read_text("utf-8"))["cases"]


def where_am_i(environ, start_response):
    """Tell what is in environ, lazily: on purpose only when the body is read."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield f"{environ['SCRIPT_NAME']!r} {environ['PATH_INFO']!r}".encode()


class Recorder:
    """Remember the environ of each call."""

    def __init__(self, name=""):
        self.name = name
        self.seen = []

    def __call__(self, environ, start_response):
        self.seen.append(environ)
        return hello(environ, start_response)


def dispatch(mount, path_info, script_name=""):
    """Call *mount* with raw native strings; None leaves a key out."""
    environ = make_environ()
    for key, value in (("SCRIPT_NAME", script_name), ("PATH_INFO", path_info)):
        if value is None:
            del environ[key]
        else:
            environ[key] = value
    status = []
    mount(environ, lambda line, headers, exc_info=None: status.append(line))
    return environ, status[0]


class TestRoutingRule:
    @pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
    def test_sample_case(self, case):
        prefixes = case.get("mounts_text", case["mounts"])
        children = {prefix: Recorder(prefix) for prefix in prefixes}
        mount = Mount(None, children)

        _, status = dispatch(mount, case["path_info"], case["script_name"])

        chosen = [child for child in children.values() if child.seen]
        if case["expect"] == 404:
            assert status == "404 Not Found"
            assert chosen == []
        else:
            [child] = chosen
            [environ] = child.seen
            assert native(child.name.rstrip("/")) == case["expect"]["mount"]
            assert environ.get("SCRIPT_NAME", "") == case["expect"]["script_name"]
            assert environ["PATH_INFO"] == case["expect"]["path_info"]

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
    def test_sample_case_with_the_root_as_application(self, case):
        prefixes = case.get("mounts_text", case["mounts"])
        root = Recorder("")
        has_root = any(not prefix.rstrip("/") for prefix in prefixes)
        children = {p: Recorder(p) for p in prefixes if p.rstrip("/")}
        mount = Mount(root if has_root else None, children)

        _, status = dispatch(mount, case["path_info"], case["script_name"])

        if case["expect"] == 404:
            assert status == "404 Not Found"
        else:
            [environ] = [e for child in [root, *children.values()] for e in child.seen]
            assert environ.get("SCRIPT_NAME", "") == case["expect"]["script_name"]
            assert environ["PATH_INFO"] == case["expect"]["path_info"]

    segments = st.sampled_from(["", "a", "b", "ab", "ä", ".", "..", "%2F", "a b", "\x00", "A"])
    paths = st.lists(segments, max_size=5).map(lambda parts: "/" + "/".join(parts))
    prefixes = st.lists(
        st.lists(st.sampled_from(["a", "b", "ab", "ä", "..", "%2F"]), min_size=1, max_size=4),
        max_size=6,
    ).map(lambda table: ["/" + "/".join(parts) for parts in table])

    @given(
        prefixes=prefixes,
        path=st.one_of(paths, paths.map("a".__add__), st.text()),
        script_name=st.sampled_from(["", "/outer", "/"]),
    )
    @example(prefixes=["/a/a"], path="a/a/a", script_name="")
    @example(prefixes=["/a"], path="b/a/b", script_name="")
    def test_equals_the_rule_read_aloud(self, prefixes, path, script_name):
        """The longest prefix that equals the path or is followed by a slash; nothing else."""
        children = {prefix: Recorder(prefix) for prefix in prefixes}
        path_info = path.encode("utf-8", "surrogatepass").decode("latin-1")
        matching = [
            prefix
            for prefix in children
            if path_info == native(prefix) or path_info.startswith(native(prefix) + "/")
        ]
        expected = max(matching, key=len, default=None)

        root = Recorder()
        dispatch(Mount(root, children), path_info, script_name)

        [(name, environ)] = [
            (child.name, e) for child in [root, *children.values()] for e in child.seen
        ]
        assert name == (expected or "")
        before = ("" if script_name == "/" else script_name) + path_info
        assert environ["SCRIPT_NAME"] + environ["PATH_INFO"] == before

    def test_an_application_that_is_false_serves_all_the_same(self):
        """Many an object that holds a list of routes has a length, and is false without any."""

        class Empty(list):
            def __call__(self, environ, start_response):
                return hello(environ, start_response)

        mount = Mount(None, {"/shop": Empty(), "/a/b": Empty()})

        codes = [exchange(mount, path).code for path in ("/shop", "/a/b/c", "/a")]

        assert codes == [200, 200, 404]
        assert exchange(Mount(Empty(), {}), "/").code == 200

    def test_the_order_of_the_table_does_not_matter(self):
        table = {"/a": Recorder("/a"), "/a/b": Recorder("/a/b"), "/a/b/c": Recorder("/a/b/c")}

        for order in (table, dict(reversed(table.items()))):
            dispatch(Mount(None, order), "/a/b/x")

        assert len(table["/a/b"].seen) == 2

    def test_a_path_of_thirty_thousand_segments_reaches_its_mount(self):
        child = Recorder()

        dispatch(Mount(None, {"/a": hello, "/a/a": child}), "/a" * 30_000)

        assert child.seen[0]["PATH_INFO"] == "/a" * 29_998


class TestEnviron:
    def test_a_lazy_application_sees_its_own_environ_when_its_body_is_read(self):
        assert exchange(Mount(None, {"/a": where_am_i}), "/a/b").body == b"'/a' '/b'"

    def test_the_caller_keeps_its_own_environ(self):
        environ = make_environ("/a/b")
        before = dict(environ)

        Mount(None, {"/a": where_am_i})(environ, start_nothing)

        assert {k: environ[k] for k in before} == before

    def test_what_a_child_writes_stays_with_the_child(self):
        def writes(environ, start_response):
            environ["REMOTE_USER"] = "alice"
            environ["PATH_INFO"] = "rewritten"
            return hello(environ, start_response)

        for path in ("/a", "/"):
            environ = make_environ(path)
            exchange(Mount(writes, {"/a": writes}), environ=environ)

            assert "REMOTE_USER" not in environ
            assert environ["PATH_INFO"] == path

    def test_a_404_leaves_environ_as_it_was(self):
        environ = make_environ("/nowhere")
        before = dict(environ)

        Mount(None, {"/a": hello})(environ, start_nothing)

        assert environ == before

    @pytest.mark.parametrize("share", [False, True])
    @pytest.mark.parametrize(
        ("path_info", "script_name", "seen"),
        [
            ("/a", None, ("/a", "")),
            ("/b", None, ("", "/b")),
            ("x", None, ("", "x")),
            (None, "", ("", "")),
            (None, "/", ("", "")),
            (None, "/outer", ("/outer", "")),
            (None, None, ("", "")),
        ],
    )
    def test_what_a_server_has_left_out_is_there(self, path_info, script_name, seen, share):
        """PEP 3333 allows to leave out what is empty; the rule says what a child sees."""
        child = Recorder()

        dispatch(Mount(None, {"": child, "/a": child}, share=share), path_info, script_name)

        [environ] = child.seen
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == seen

    @pytest.mark.parametrize("share", [False, True])
    @pytest.mark.parametrize(
        ("path_info", "script_name"), [("/b", None), (None, "/outer"), (None, None), ("/b", "")]
    )
    def test_what_serves_the_rest_sees_what_the_server_sent(
        self, path_info, script_name, share
    ):
        """Pyramid's own tests compare the environ that a request has with theirs."""
        child = Recorder()
        mount = Mount(child, {"/a": child}, share=share)

        environ, _ = dispatch(mount, path_info, script_name)

        [seen] = child.seen
        assert seen == environ
        assert {"PATH_INFO": seen.get("PATH_INFO"), "SCRIPT_NAME": seen.get("SCRIPT_NAME")} == {
            "PATH_INFO": path_info,
            "SCRIPT_NAME": script_name,
        }

    @pytest.mark.parametrize("path", ["/a", "/"])
    def test_back_hands_keys_to_the_caller(self, path):
        def logs_in(environ, start_response):
            environ["REMOTE_USER"] = "alice"
            environ["secret"] = "kept"
            return hello(environ, start_response)

        environ = make_environ(path)
        exchange(
            Mount(logs_in, {"/a": logs_in}, back=("REMOTE_USER", "absent")), environ=environ
        )

        assert environ["REMOTE_USER"] == "alice"
        assert "secret" not in environ
        assert "absent" not in environ

    @pytest.mark.parametrize("path", ["/a/b", "/b"])
    def test_share_gives_the_caller_s_own_environ(self, path):
        child = Recorder()
        environ = make_environ(path)

        Mount(child, {"/a": child}, share=True)(environ, start_nothing)

        assert child.seen[0] is environ
        assert environ["PATH_INFO"] == "/b"

    @pytest.mark.parametrize("share", [False, True])
    def test_mounted_tells_layers_outside_where_the_application_was_found(self, share):
        inner = Mount(None, {"/v1": hello}, share=share)
        environ = make_environ("/api/v1/items")

        exchange(Mount(None, {"/api": inner}, share=share), environ=environ)

        assert environ[MOUNTED] == "/api/v1"

    def test_mounted_is_told_through_a_default_application(self):
        environ = make_environ("/v1/items")

        exchange(Mount(Mount(hello, {"/v1": hello}), {"/x": hello}), environ=environ)

        assert environ[MOUNTED] == "/v1"

    def test_mounted_is_told_even_if_the_application_raises(self):
        def fails(environ, start_response):
            raise LookupError("on purpose")

        environ = make_environ("/a")
        with pytest.raises(LookupError):
            Mount(None, {"/a": fails})(environ, start_nothing)

        assert environ[MOUNTED] == "/a"

    def test_mounted_is_right_when_an_environ_is_used_twice(self):
        mount = Mount(None, {"/a": hello, "/b": hello})
        environ = make_environ("/a")
        mount(environ, start_nothing)
        environ["PATH_INFO"] = "/b"

        mount(environ, start_nothing)

        assert environ[MOUNTED] == "/b"


class TestResponse:
    def test_the_body_of_the_child_is_returned_itself(self):
        body = SpyBody([b"x"])

        def application(environ, start_response):
            return body

        for path in ("/a", "/"):
            assert Mount(application, {"/a": application})(make_environ(path), None) is body

    def test_404_lists_and_reflects_nothing(self):
        answer = exchange(Mount(None, {"/secret": hello}), "/<script>alert(1)</script>")

        assert answer.status == "404 Not Found"
        assert answer.body == b"404 Not Found\n"
        assert answer.header("Content-Length") == "14"

    def test_404_to_head_has_no_body(self):
        assert exchange(Mount(None, {}), "/x", method="HEAD").body == b""


class TestRedirect:
    def redirect(self, path, *, script_name="", query=""):
        mount = Mount(None, {"/shop": hello, "/café": hello, "/a b": hello}, slash="redirect")
        environ = make_environ(path, SCRIPT_NAME=script_name, QUERY_STRING=query)
        return exchange(mount, environ=environ)

    def test_an_exact_hit_is_sent_on_to_the_prefix_with_a_slash(self):
        answer = self.redirect("/shop")

        assert answer.status == "308 Permanent Redirect"
        assert answer.header("Location") == "/shop/"

    @pytest.mark.parametrize("path", ["/shop/", "/shop/cart"])
    def test_anything_below_is_served(self, path):
        assert self.redirect(path).code == 200

    def test_the_query_is_kept(self):
        assert self.redirect("/shop", query="a=%20b&c").header("Location") == "/shop/?a=%20b&c"

    def test_the_location_is_percent_encoded(self):
        assert self.redirect("/café").header("Location") == "/caf%C3%A9/"
        assert self.redirect("/a b").header("Location") == "/a%20b/"

    def test_the_outer_prefix_is_part_of_it(self):
        assert self.redirect("/shop", script_name="/site").header("Location") == "/site/shop/"

    @pytest.mark.parametrize(
        "script_name", ["//evil.example", "///evil.example", "/\\evil.example"]
    )
    def test_it_never_leaves_the_host(self, script_name):
        location = self.redirect("/shop", script_name=script_name).header("Location")

        assert location.startswith("/")
        assert urlsplit(location).netloc == ""
        assert "\\" not in location

    def test_line_ends_cannot_split_the_response(self):
        location = self.redirect("/shop", query="a\r\nSet-Cookie: x=1").header("Location")

        assert "\r" not in location
        assert "\n" not in location
        assert " " not in location


class TestConstruction:
    @pytest.mark.parametrize(
        ("prefix", "says"),
        [
            ("shop", "mount prefix must start with '/', got 'shop'; write '/shop'"),
            ("http://x/shop", "got 'http://x/shop'; write '/shop', and Hosts for hosts$"),
            (" /shop", "got ' /shop'; write '/shop'$"),
            ("^/shop", r"got '\^/shop'; write '/shop'$"),
            ("*", r"got '\*'; what serves all other paths is the first argument$"),
            ("/\ud800", "UTF-8"),
        ],
    )
    def test_a_prefix_that_can_never_match_is_refused(self, prefix, says):
        with pytest.raises(MountError, match=says):
            Mount(None, {prefix: hello})

        with pytest.raises(MountError, match=says):
            Mount(None, {}).mounts[prefix] = hello

    @pytest.mark.parametrize(
        ("prefix", "why", "meant"),
        [
            ("//c", "begins with '//'", "/c"),
            ("/a//b", "holds '//'", "/a/b"),
            ("/shop?x=1", "holds '?'", "/shop"),
            ("/shop#top", "holds '#'", "/shop"),
            ("/?x", "holds '?'", "/"),
            ("/caf%C3%A9", "holds '%C3'", "/café"),
            ("/shop/*", "ends with '*'", "/shop"),
        ],
    )
    def test_a_legal_prefix_that_hardly_matches_is_warned_about(self, prefix, why, meant):
        match = f"mount prefix '{re.escape(prefix)}' {re.escape(why)}.*; {meant!r} was probably"
        child = Recorder()
        with pytest.warns(MountWarning, match=match) as told:
            mount = Mount(None, {prefix: child})
        assert told[0].filename == __file__
        with pytest.warns(MountWarning, match=match) as told:
            mount.mounts[prefix] = child
        assert told[0].filename == __file__

        dispatch(mount, f"{native(prefix)}/x")

        [environ] = child.seen
        assert environ["SCRIPT_NAME"] == native(prefix)
        assert environ["PATH_INFO"] == "/x"

    def test_looking_into_the_table_warns_of_nothing(self):
        with pytest.warns(MountWarning):
            mount = Mount(None, {"//c": hello})

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert "//c" in mount.mounts
            assert "/a?b" not in mount.mounts
            assert explain(mount, "//c/x").next[0].script_name == "//c"
            del mount.mounts["//c"]

    @pytest.mark.parametrize("prefix", [b"/shop", None, 7, ("/shop",)])
    def test_a_prefix_that_is_no_text_is_refused(self, prefix):
        with pytest.raises(TableTypeError, match="mount prefix must be text, got"):
            Mount(None, {prefix: hello})

    @pytest.mark.parametrize(
        "table",
        [{"/a": hello, "/a/": hello}, {"/": hello, "": hello}, {"//": hello, "/": hello}],
    )
    def test_two_prefixes_that_are_one_are_refused(self, table):
        with pytest.raises(TableError, match="mounts must differ"):
            Mount(None, table)

    def test_the_root_is_given_once(self):
        with pytest.raises(MountError, match="root must be given once"):
            Mount(hello, {"/": hello})

    def test_the_likely_slip_shows_the_right_call(self):
        with pytest.raises(TableTypeError, match=r"write Mount\(None, \{'/shop': ...\}\)"):
            Mount("/shop", hello)

    @pytest.mark.parametrize("table", [hello, [("/a", hello)], None, "/a"])
    def test_a_table_that_is_no_mapping_is_refused(self, table):
        with pytest.raises(TableTypeError, match="mounts must be a mapping"):
            Mount(None, table)

    def test_a_mapping_as_application_is_refused(self):
        with pytest.raises(TableTypeError, match=r"write Mount\(None, "):
            Mount({"/shop": hello}, {})

    def test_a_child_that_is_no_application_is_named_by_its_prefix(self):
        with pytest.raises(ApplicationTypeError, match="mount '/shop': application must"):
            Mount(None, {"/shop": 42})
        with pytest.raises(ApplicationError, match=r"mount '/shop': .*no_such_module"):
            Mount(None, {"/shop": "no_such_module:app"})

    def test_none_under_a_prefix_is_refused(self):
        with pytest.raises(ApplicationTypeError, match="mount '/shop'"):
            Mount(hello, {"/shop": None})

    @pytest.mark.parametrize(
        "options",
        [
            {"slash": "append"},
            {"back": "REMOTE_USER"},
            {"back": [1]},
            {"back": 1},
            {"share": "yes"},
        ],
    )
    def test_an_option_it_does_not_know_is_refused(self, options):
        with pytest.raises(OptionError, match="must be"):
            Mount(None, {}, **options)

    def test_children_take_every_form_that_application_takes(self):
        mount = Mount(
            None, {"/a": "freedom_middleware.testing:hello", "/b": Application(hello)}
        )

        assert exchange(mount, "/a").body == exchange(mount, "/b").body == b"Hello, world!\n"

    def test_it_says_what_it_is(self):
        mount = Mount(hello, {"/a": hello})

        assert repr(mount).startswith("<function Mount at ")
        assert repr(mount.mounts) == "<Table /a>"
        assert repr(Mount(None, {}).mounts) == "<Table of nothing>"


class TestChange:
    def test_one_mount_is_added_replaced_and_removed(self):
        mount = Mount(None, {})

        mount.mounts["/a/"] = hello
        assert exchange(mount, "/a").code == 200
        mount.mounts["/a"] = where_am_i
        assert exchange(mount, "/a").body == b"'/a' ''"
        del mount.mounts["/a"]
        assert exchange(mount, "/a").code == 404

    def test_all_mounts_are_replaced_at_once(self):
        mount = Mount(None, {"/a": hello})

        mount.mounts.replace({"/b": hello})

        assert list(mount.mounts) == ["/b"]
        assert exchange(mount, "/a").code == 404
        assert exchange(mount, "/b").code == 200

    def test_the_table_is_a_mapping_of_applications(self):
        mounts = Mount(None, {"/a": hello, "/b/": hello}).mounts

        assert list(mounts) == ["/a", "/b"]
        assert len(mounts) == 2
        assert mounts["/b/"].wsgi is hello
        assert "/c" not in mounts

    def test_what_could_never_be_a_prefix_is_not_in_the_table(self):
        mounts = Mount(None, {"/a": hello}).mounts

        assert "a" not in mounts
        assert mounts.get("a") is None
        assert 1 not in mounts
        with pytest.raises(KeyError, match="mount prefix must start with '/'"):
            mounts["a"]

    def test_the_root_cannot_be_changed(self):
        with pytest.raises(TableError, match="mount '' must not be given here"):
            Mount(None, {}).mounts["/"] = hello

    def test_removing_what_is_not_mounted_says_what_is(self):
        with pytest.raises(KeyError, match=r"must be one of \['/a'\], got '/b'"):
            del Mount(None, {"/a": hello}).mounts["/b"]

    @pytest.mark.parametrize("change", ["replace", "update"])
    def test_a_change_that_is_refused_changes_nothing(self, change):
        """MutableMapping's own update() would leave the first one in."""
        mount = Mount(None, {"/a": hello})

        with pytest.raises(MountError):
            getattr(mount.mounts, change)({"/b": hello, "c": hello})

        assert list(mount.mounts) == ["/a"]

    def test_many_come_and_go(self):
        mount = Mount(None, {"/a": hello})

        mount.mounts.update({"/a/": hello}, **{"/b": hello})
        mount.mounts.update([("/c", hello)])
        assert list(mount.mounts) == ["/a", "/b", "/c"]
        mount.mounts.clear()
        assert exchange(mount, "/a").code == 404

    def test_a_response_that_is_being_sent_is_not_touched(self):
        body = SpyBody([b"one", b"two"])

        def old(environ, start_response):
            start_response("200 OK", [])
            return body

        mount = Mount(None, {"/a": old})
        reading = iter(mount(make_environ("/a"), start_nothing))
        next(reading)
        mount.mounts["/a"] = hello

        assert list(reading) == [b"two"]
        assert body.closes == 0


class TestChangeUnderLoad:
    """While threads send requests, prefixes come, go and are replaced."""

    THREADS = 4

    def wrong_answers(self, application, change, dispatches):
        """Send *dispatches* requests while *change* is called; return what went wrong."""
        wrong = []

        def ask():
            status = []

            def start_response(line, headers, exc_info=None):
                status.append(line)

            environ = make_environ()
            for number in range(dispatches // self.THREADS):
                environ["SCRIPT_NAME"] = ""
                environ["PATH_INFO"] = ("/stays/x", "/moves/x", "/deep/er/x")[number % 3]
                application(environ.copy(), start_response)
                if status.pop() != "200 OK":
                    wrong.append(environ["PATH_INFO"])

        send_while_changing(ask, change, self.THREADS)
        return wrong

    def table(self):
        others = {f"/m{number}": hello for number in range(10)}
        return {**others, "/stays": hello, "/moves": hello, "/deep": hello, "/deep/er": hello}

    def test_of_a_million_dispatches_none_goes_astray(self):
        table = self.table()
        mount = Mount(None, table)

        def change(number):
            mount.mounts["/moves"] = (hello, Application(hello))[number % 2]
            mount.mounts[f"/comes{number % 7}"] = hello
            mount.mounts.replace(table)

        assert self.wrong_answers(mount, change, 1_000_000) == []

    @pytest.mark.switches
    def test_in_paste_s_urlmap_some_do(self):
        """Or the test above would prove nothing."""
        urlmap = URLMap()
        for prefix, application in self.table().items():
            urlmap[prefix] = application

        def change(number):
            urlmap["/moves"] = hello

        assert any(self.wrong_answers(urlmap, change, 100_000) for _ in range(20))
