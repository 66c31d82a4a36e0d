import ipaddress
import json
import re
import unicodedata
from pathlib import Path

import idna
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paste.urlmap import URLMap

from freedom_middleware import Application, Hosts, Mount
from freedom_middleware.dispatch.hosts import split_host, to_ascii
from freedom_middleware.dispatch.table import MOUNTED
from freedom_middleware.errors import (
    ApplicationError,
    ApplicationTypeError,
    HostError,
    OptionError,
    TableError,
    TableTypeError,
)
from freedom_middleware.testing import SpyBody, exchange, hello, make_environ

from .doubles import send_while_changing, start_nothing

CASES = json.loads(Path(__file__).with_name("dispatch_cases.json").read_text("utf-8"))


def named(name):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Chosen", name)])
        return [environ.get("seen", "").encode()]

    return application


def environ_of(
    host, *, scheme="http", server_name="localhost", server_port="80", forwarded=None
):
    """Return an environ whose Host is exactly *host*; None leaves it out."""
    environ = make_environ()
    environ.update(SERVER_NAME=server_name, SERVER_PORT=server_port)
    environ["wsgi.url_scheme"] = scheme
    environ["HTTP_HOST"] = host
    if host is None:
        del environ["HTTP_HOST"]
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_HOST"] = forwarded
    return environ


def ask(application, host, **more):
    """Return the pattern that *host* leads to, or the code of the answer if it is none."""
    answer = exchange(application, environ=environ_of(host, **more), validate=False)
    chosen = answer.header("X-Chosen")
    return answer.code if chosen is None else chosen


def table_of(patterns):
    return {pattern: named(pattern) for pattern in patterns}


def told_by(choice):
    answer = exchange(choice.application, environ=choice.environ, validate=False)
    chosen = answer.header("X-Chosen")
    return answer.code if chosen is None else chosen


def choose(patterns, host, **more):
    """Ask a table of *patterns*, and check that wsgi_choices says the same."""
    application = Hosts(None, table_of(patterns))
    chosen = ask(application, host, **more)
    environ = environ_of(host, **more)
    before = dict(environ)
    [choice] = application.wsgi_choices(environ)
    assert told_by(choice) == chosen
    assert environ == before
    return chosen


class TestSampleCases:
    @pytest.mark.parametrize("case", CASES["host_cases"], ids=lambda case: case["id"])
    def test_sample_case(self, case):
        chosen = choose(
            case["hosts"],
            case["http_host"],
            scheme=case["scheme"],
            server_name=case["server_name"],
            server_port=case["server_port"],
        )

        assert chosen == case["expect"]

    def test_they_are_all_there(self):
        assert len(CASES["host_cases"]) == 15


class TestOrder:
    ALL = (
        "example.org",
        "a.example.org",
        "a.example.org:8080",
        "*.example.org",
        "*.example.org:8080",
        "*.a.example.org",
        "*.b.example.org:8080",
    )

    @pytest.mark.parametrize("order", [ALL, ALL[::-1]])
    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("example.org", "example.org"),
            ("example.org:8080", "example.org"),
            ("a.example.org:8080", "a.example.org:8080"),
            ("a.example.org:9090", "a.example.org"),
            ("c.example.org", "*.example.org"),
            ("c.example.org:8080", "*.example.org:8080"),
            ("d.c.example.org:8080", "*.example.org:8080"),
            ("x.a.example.org:8080", "*.a.example.org"),  # longer, though the other has a port
            ("x.b.example.org:8080", "*.b.example.org:8080"),
            ("x.b.example.org:9090", "*.example.org"),
            ("b.example.org:8080", "*.example.org:8080"),
            ("xexample.org", 404),
            ("org", 404),
        ],
    )
    def test_exact_with_port_then_exact_then_the_longest_wildcard(self, order, host, expected):
        assert choose(order, host) == expected

    def test_an_exact_host_beats_a_wildcard_with_the_port(self):
        assert choose(["a.b.c", "*.b.c:81"], "a.b.c:81") == "a.b.c"

    def test_a_wildcard_stands_for_any_number_of_labels_and_not_for_none(self):
        assert choose(["*.example.org"], "a.example.org") == "*.example.org"
        assert choose(["*.example.org"], "a.b.c.example.org") == "*.example.org"
        assert choose(["*.example.org"], "example.org") == 404
        assert choose(["*.example.org"], "notexample.org") == 404
        assert choose(["*.example.org"], "a.example.org.evil.com") == 404

    @pytest.mark.parametrize(
        ("scheme", "host", "expected"),
        [
            ("http", "example.org", "example.org:80"),
            ("http", "EXAMPLE.org.", "example.org:80"),
            ("http", "example.org:80", "example.org:80"),
            ("http", "example.org:", "example.org:80"),
            ("http", "example.org:443", "example.org:443"),
            ("https", "example.org", "example.org:443"),
            ("https", "example.org:443", "example.org:443"),
            ("https", "example.org:80", "example.org:80"),
            ("https", "example.org:8443", "example.org"),
            ("https", "example.org:0443", "example.org:443"),
            ("http", "a.example.net", "*.example.net:80"),
            ("https", "a.example.net", 404),
            ("http", "[::1]", "[::1]:80"),
            ("https", "[::1]", 404),
        ],
    )
    def test_a_port_that_is_left_out_is_the_one_of_the_scheme(self, scheme, host, expected):
        """RFC 9110, section 4.2.3."""
        table = ["example.org:80", "example.org:443", "example.org", "*.example.net:80"]

        assert choose([*table, "[::1]:80"], host, scheme=scheme) == expected

    def test_an_address_that_ends_like_a_port_is_no_port(self):
        assert choose(["[2001:db8::80]"], "[2001:db8::80]") == "[2001:db8::80]"
        assert choose(["[2001:db8::80]"], "[2001:db8::]") == 404


class TestSpelling:
    @pytest.mark.parametrize(
        "host",
        [
            "example.org",
            "EXAMPLE.Org",
            "example.org.",
            "example.org:",
            "example.org:80",
            "Example.org.:08080",
            "example.org:0",
            "example.org:65535",
        ],
    )
    @pytest.mark.parametrize("pattern", ["example.org", "Example.ORG", "example.org."])
    def test_case_one_dot_and_the_port_do_not_matter(self, pattern, host):
        assert choose([pattern], host) == pattern

    @pytest.mark.parametrize(
        "host", ["[::1]", "[0:0::1]", "[0000:0:0:0:0:0:0:0001]", "[::0.0.0.1]", "[::1]:8000"]
    )
    @pytest.mark.parametrize("pattern", ["[::1]", "::1", "[0:0:0::1]"])
    def test_an_ipv6_address_in_any_spelling(self, pattern, host):
        assert choose([pattern], host) == pattern

    def test_ipv6_with_a_port(self):
        table = ["[::1]", "[::1]:8000"]

        assert choose(table, "[0::1]:8000") == "[::1]:8000"
        assert choose(table, "[0::1]:8001") == "[::1]"
        assert choose(["[2001:DB8::A]"], "[2001:db8:0::a]") == "[2001:DB8::A]"

    def test_the_table_shows_one_spelling(self):
        """RFC 5952, sections 4 and 5."""
        table = ["::1", "[2001:DB8:0:0::0A]:0080", "[::ffff:7f00:1]", "Bücher.Example.", ""]

        assert list(Hosts(None, table_of(table)).hosts) == [
            "[::1]",
            "[2001:db8::a]:80",
            "[::ffff:127.0.0.1]",
            "xn--bcher-kva.example",
        ]

    @pytest.mark.parametrize(
        ("pattern", "host"),
        [
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example:8080", "xn--bcher-kva.example:8080"),
            ("bu\u0308cher.example", "xn--bcher-kva.example"),
            ("*.bücher.example", "a.xn--bcher-kva.example"),
            ("*.bücher.example", "XN--4ca.xn--bcher-kva.example"),
            ("straße.example", "xn--strae-oqa.example"),
            ("STRAẞE.example", "xn--strae-oqa.example"),
            ("βόλος.example", "xn--nxasmm1c.example"),
            ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
            (
                "موقع.وزارة-الاتصالات.مصر:8080",
                "xn--4gbrim.xn----ymcbaaajlc6dj7bxne2c.xn--wgbh1c:8080",
            ),
            ("☃.example", "xn--n3h.example"),
            ("❤️.example", "xn--qei.example"),
            ("www.\uff45\uff58ample.org", "www.example.org"),
        ],
    )
    def test_a_name_in_another_alphabet_is_what_browsers_send(self, pattern, host):
        assert choose([pattern], host) == pattern

    def test_sharp_s_is_another_host_than_ss(self):
        """The codec of the standard library is of 2003, and takes them for one."""
        assert choose(["straße.example"], "strasse.example") == 404

    def test_letters_of_all_alphabets_are_mapped_as_the_package_idna_maps_them(self):
        different = []
        for number in range(0x80, 0x10000):
            letter = chr(number)
            if unicodedata.category(letter)[0] not in "LMN":
                continue
            try:
                expected = idna.encode(f"a{letter}b", uts46=True).decode()
            except idna.IDNAError:
                continue  # no browser sends it
            if to_ascii(f"a{letter}b") != expected:
                different.append(unicodedata.name(letter))

        # Letters that are not seen, and one sigma that is no letter of a language.
        invisible = re.compile("JOINER|FILLER|INHERENT|FREE VARIATION|LUNATE SIGMA")
        assert [name for name in different if not invisible.search(name)] == []

    def test_utf_8_on_the_wire_is_malformed(self):
        """Registered or not: browsers send the A-label."""
        raw = "bücher.example".encode().decode("latin-1")

        assert choose(["bücher.example"], raw) == 400


MALFORMED = [
    " ",
    "example.org ",
    " example.org",
    "exa mple.org",
    "example.org,evil.com",
    "example.org, example.org",
    "example.org@evil.com",
    "user:pass@example.org",
    "example.org/",
    "example.org/path",
    "http://example.org",
    "example.org?x",
    "example.org#x",
    "example.org\\x",
    "*.example.org",
    "*",
    "exam%70le.org",
    "<script>",
    "example.org\r\nX: y",
    "example.org\x00",
    "example.org\x7f",
    "\texample.org",
    "b\xc3\xbccher.example",
    "\u212aexample.org",  # KELVIN SIGN, whose lower case is k
    "example.org:\u0664\u0662",
    "example.org:²",
    ".",
    "..",
    ".example.org",
    "example..org",
    "example.org..",
    ":80",
    ":",
    ".:80",
    "example.org:80:80",
    "example.org::80",
    "example.org:http",
    "example.org:8o",
    "example.org:-1",
    "example.org:+80",
    "example.org: 80",
    "example.org:8_0",
    "example.org:65536",
    "example.org:99999999999999999999",
    "example.org:" + "0" * 5000,
    "::1",
    "::1:8000",
    "[::1",
    "::1]",
    "[]",
    "[]:80",
    "[::1]x",
    "[::1]80",
    "[::1].",
    "[::1]:x",
    "[::1]]",
    "[[::1]]",
    "[::1]:80:80",
    "[::g]",
    "[::1%eth0]",
    "[fe80::1%25eth0]",
    "[127.0.0.1]",
    "[example.org]",
    "[v1.fe80::a]",
    "[:::1]",
    "[ ::1]",
    "a" * 64 + ".example.org",
    ".".join(["a" * 60] * 5),
    "a." * 200 + "org",
    "a" * 1_000_000,
]


class TestMalformed:
    @pytest.mark.parametrize("host", MALFORMED, ids=lambda host: repr(host)[:40])
    def test_it_is_400_whatever_the_table_holds(self, host):
        for patterns in (["example.org", "*.org", "[::1]", "::1:8000", ""], []):
            called = []

            def application(environ, start_response, called=called):
                called.append(environ)
                return hello(environ, start_response)

            table = dict.fromkeys(patterns, application)
            hosts = Hosts(application, table) if "" not in table else Hosts(None, table)
            assert ask(hosts, host) == 400
            assert called == []
            ask(hosts, "example.org")
            assert len(called) == 1

    def test_bytes_are_none(self):
        assert ask(Hosts(hello, {}), b"example.org") == 400

    @pytest.mark.parametrize(
        "host", ["example.org:65535", "a_b.example", "-a.b", "a--b-.c", "1"]
    )
    def test_what_is_unusual_and_legal_is_served(self, host):
        assert ask(Hosts(None, {"": named("default")}), host) == "default"

    def test_the_longest_name_there_can_be(self):
        name = ".".join(["a" * 63] * 3 + ["b" * 61])

        assert len(name) == 253
        assert choose([name], name) == name
        assert choose([name], f"{name}.:65535") == name
        assert choose([name], f"{name}c") == 400

    def test_the_page_reflects_nothing(self):
        answer = exchange(
            Hosts(None, {"secret.example": hello}), headers={"Host": "<script>alert(1)"}
        )

        assert answer.status == "400 Bad Request"
        assert answer.body == b"400 Bad Request\n"
        assert answer.header("Content-Length") == "16"
        assert answer.header("Content-Type") == "text/plain; charset=utf-8"

    def test_to_head_it_has_no_body(self):
        answer = exchange(Hosts(None, {}), method="HEAD", headers={"Host": "a,b"})

        assert (answer.status, answer.body) == ("400 Bad Request", b"")


class TestFallback:
    @pytest.mark.parametrize("host", [None, ""])
    def test_without_a_host_the_server_s_own_name_and_port_decide(self, host):
        table = ["example.org", "example.org:8080", "[::1]", "*.example.net:443"]

        assert choose(table, host, server_name="Example.org.") == "example.org"
        more = {"server_name": "example.org", "server_port": "8080"}
        assert choose(table, host, **more) == "example.org:8080"
        assert choose(table, host, server_name="::1") == "[::1]"
        assert choose(table, host, server_name="[0::1]") == "[::1]"
        more = {"server_name": "a.example.net", "scheme": "https"}
        assert choose(table, host, **more, server_port="443") == "*.example.net:443"
        assert choose(table, host, **more, server_port="") == "*.example.net:443"
        assert choose(table, host, **more, server_port="80") == 404

    @pytest.mark.parametrize("name", ["", "_", "*", "unix:/run/site.sock", "a b", "é", "a..b"])
    def test_a_server_without_a_proper_name_is_no_fault_of_the_client(self, name):
        assert choose(["example.org", ""], "", server_name=name) == ""

    @pytest.mark.parametrize("port", ["", "unix", "-1", "²", "9" * 30])
    def test_nor_is_one_without_a_port(self, port):
        more = {"server_name": "example.org", "server_port": port}

        assert choose(["example.org:80"], None, **more) == "example.org:80"

    def test_nor_one_that_says_nothing_at_all(self):
        environ = environ_of(None)
        del environ["SERVER_NAME"], environ["SERVER_PORT"]

        assert exchange(Hosts(hello, {}), environ=environ, validate=False).code == 200

    def test_when_there_is_a_host_the_server_s_port_is_not_looked_at(self):
        more = {"server_name": "example.org", "server_port": "8080"}

        assert choose(["example.org:8080"], "example.org", **more) == 404

    def test_x_forwarded_host_is_never_read(self):
        """CherryPy's VirtualHost trusts it by default: cache poisoning across domains."""
        table = ["example.org", ""]

        assert choose(table, "foo.org", forwarded="example.org") == ""
        assert choose(table, None, forwarded="example.org") == ""
        assert choose(table, "example.org", forwarded="a,b") == "example.org"


LABELS = st.sampled_from(["a", "b", "www", "example", "org", "xn--4ca", "a_b", "0", "-"])
NAMES = st.lists(LABELS, min_size=1, max_size=5).map(".".join)
ADDRESSES = st.sampled_from(["[::1]", "[0::1]", "[2001:db8::1]", "[::ffff:1.2.3.4]"])
PORTS = st.sampled_from(["", ":80", ":443", ":8080", ":080"])
PATTERNS = st.builds(
    str.__add__, st.one_of(NAMES, ADDRESSES, NAMES.map("*.".__add__)), PORTS
).filter(lambda pattern: not re.search(r"^\*\..*\b0(:|$)", pattern))
HOSTS = st.one_of(
    st.builds(str.__add__, st.one_of(NAMES, ADDRESSES), PORTS),
    st.builds("{}.{}".format, NAMES, PORTS),
    st.text(),
    st.text(alphabet="ab.:[]1*, @%\xe9", max_size=12),
    st.binary(max_size=40).map(lambda raw: raw.decode("latin-1")),
)


def brute_force(patterns, host, scheme):
    """The rule, read aloud, over the whole table and with a regular expression."""

    def split(text):
        found = re.fullmatch(
            r"(?:(?P<name>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\.?|\[(?P<v6>[0-9A-Fa-f:.]+)\])"
            r"(?::(?P<port>[0-9]*))?",
            text,
            re.ASCII,
        )
        if found is None or len(text) > 260:
            return None
        port = int(found["port"]) if found["port"] else None
        if port is not None and port > 65535:
            return None
        if found["v6"] is None:
            if len(found["name"]) > 253 or re.search(r"[^.]{64}", found["name"]):
                return None
            return found["name"].lower(), port
        try:
            return int(ipaddress.IPv6Address(found["v6"])), port
        except ValueError:
            return None

    asked = split(host)
    if asked is None:
        return 400
    name, port = asked
    if port is None:
        port = {"http": 80, "https": 443}[scheme]
    best = None
    for pattern in patterns:
        wild = pattern.startswith("*.")
        own, wanted = split(pattern.removeprefix("*."))
        if wanted not in (None, port):
            continue
        if name == own if not wild else str(name).endswith(f".{own}"):
            rank = (not wild, len(str(own)), wanted is not None)
            best = max(best or (rank, pattern), (rank, pattern))
    return best[1] if best else 404


class TestProperties:
    @given(patterns=st.lists(PATTERNS, max_size=6), host=HOSTS)
    @example(patterns=["*.a:80", "*.b.a"], host="c.b.a")
    @example(patterns=["a"], host="a:65536")
    @example(patterns=["a"], host="a" * 64)
    @example(patterns=["a"], host="a." * 131)
    @example(patterns=["[::1]"], host="[:::1]")
    @example(patterns=["a", "A."], host="a")
    def test_equals_the_rule_read_aloud(self, patterns, host):
        table = {}
        for pattern in patterns:
            try:
                Hosts(None, table_of([*table, pattern]))
            except TableError:
                continue  # the same as another
            table[pattern] = named(pattern)
        application = Hosts(None, table)

        for scheme in ("http", "https"):
            expected = brute_force(table, host, scheme) if host else 404
            assert ask(application, host, scheme=scheme) == expected
            [choice] = application.wsgi_choices(environ_of(host, scheme=scheme))
            assert told_by(choice) == expected

    @given(host=st.one_of(st.text(), st.binary()))
    def test_it_never_raises(self, host):
        chosen = ask(Hosts(None, {"example.org": hello, "*.a": hello}), host)

        assert chosen in (400, 404, 200)

    @given(pattern=PATTERNS.filter(lambda pattern: "*" not in pattern), data=st.data())
    def test_a_registered_host_is_found_in_any_case_and_with_a_dot(self, pattern, data):
        name, port = re.fullmatch(r"(\[.*\]|[^:]*)(:\d+)?", pattern).groups("")
        upper = data.draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name)))
        spelled = "".join(c.upper() if up else c for c, up in zip(name, upper, strict=True))
        dot = data.draw(st.sampled_from(["", "."])) if "[" not in name else ""

        assert ask(Hosts(None, table_of([pattern])), spelled + dot + port) == pattern

    @given(host=HOSTS)
    def test_what_it_takes_stays_what_it_is(self, host):
        split = split_host(host)

        if split is not None:
            assert split_host(":".join(split).removesuffix(":")) == split


class TestEnviron:
    def test_the_child_gets_a_copy(self):
        def writes(environ, start_response):
            environ["REMOTE_USER"] = "alice"
            environ["HTTP_HOST"] = "rewritten"
            return hello(environ, start_response)

        for host in ("example.org", "other.example"):
            environ = environ_of(host)
            before = dict(environ)
            exchange(Hosts(writes, {"example.org": writes}), environ=environ, validate=False)

            assert environ == before

    @pytest.mark.parametrize("host", ["example.org", "other.example"])
    def test_back_hands_keys_to_the_caller(self, host):
        def logs_in(environ, start_response):
            environ["REMOTE_USER"] = "alice"
            environ["secret"] = "kept"
            return hello(environ, start_response)

        environ = environ_of(host)
        exchange(
            Hosts(logs_in, {"example.org": logs_in}, back=("REMOTE_USER", "absent")),
            environ=environ,
        )

        assert environ["REMOTE_USER"] == "alice"
        assert "secret" not in environ
        assert "absent" not in environ

    @pytest.mark.parametrize("host", ["example.org", "other.example"])
    def test_share_gives_the_caller_s_own_environ(self, host):
        seen = []

        def application(environ, start_response):
            seen.append(environ)
            return hello(environ, start_response)

        environ = environ_of(host)
        Hosts(application, {"example.org": application}, share=True)(environ, start_nothing)

        assert seen[0] is environ

    def test_mounted_is_told_through_it(self):
        environ = environ_of("example.org")
        environ["PATH_INFO"] = "/v1/items"

        exchange(Hosts(None, {"example.org": Mount(None, {"/v1": hello})}), environ=environ)

        assert environ[MOUNTED] == "/v1"

    def test_the_body_of_the_child_is_returned_itself(self):
        body = SpyBody([b"x"])
        hosts = Hosts(lambda environ, start_response: body, {})

        assert hosts(environ_of("example.org"), start_nothing) is body

    def test_an_application_that_is_false_serves_all_the_same(self):
        class Empty(list):
            def __call__(self, environ, start_response):
                return hello(environ, start_response)

        hosts = Hosts(Empty(), {"example.org": Empty(), "*.example.org:80": Empty()})

        for host in ("example.org", "EXAMPLE.org", "a.example.org", "other.example"):
            assert ask(hosts, host) == 200


class TestConstruction:
    @pytest.mark.parametrize(
        ("pattern", "says"),
        [
            ("*", "what serves all other hosts is the first argument of Hosts"),
            ("*:8080", "what serves all other hosts is the first argument of Hosts"),
            ("*example.org", r"must be '\*\.' at the start, .*; write '\*\.example\.org'"),
            ("www.*.org", r"must be '\*\.' at the start, got 'www\.\*\.org'; write '\*\.org'"),
            ("www.*", r"write '\*\.example\.org'"),
            ("*.*.org", r"write '\*\.org'"),
            ("**.org", r"write '\*\.org'"),
            (".example.org", r"write '\*\.example\.org' for what is below it, and 'example"),
            ("http://example.org/", "without scheme and path, .*; write 'example.org'"),
            ("https://example.org:8080/shop", "write 'example.org:8080', and Mount"),
            ("example.org/shop", "write 'example.org', and Mount for paths"),
            ("//example.org", "write 'example.org', and Mount for paths"),
            ("/shop", "got '/shop'; paths are for Mount"),
            ("*.[::1]", r"nothing is below an address: write '\[::1\]'"),
            ("*.10.0.0.1:80", "nothing is below an address: write '10.0.0.1:80'"),
            ("*.", "must be a name or an address"),
            ("example.org:", "must be a name or an address"),
            ("example.org:http", "must be a name or an address"),
            ("example.org:65536", "must be a name or an address"),
            ("a b", "must be a name or an address"),
            ("a..b", "must be a name or an address"),
            ("[::1", "must be a name or an address"),
            ("::1::", "must be a name or an address"),
            ("a" * 64, "must be a name or an address"),
            ("bü cher.example", "must be a name or an address"),
            ("bü\ud800cher.example", "must be a name or an address"),
            ("ü" * 64, "must be a name or an address"),
            (".", "must not start with"),
            (
                "..example.org",
                r"write '\*\.example\.org' for .*, and 'example\.org' for itself",
            ),
            ("example.org:*", "write 'example.org', which stands for every port"),
            ("*.example.org:*", r"write '\*\.example\.org', which stands for every port"),
        ],
    )
    def test_a_pattern_that_can_never_match_is_refused(self, pattern, says):
        with pytest.raises(HostError, match=says):
            Hosts(None, {pattern: hello})
        with pytest.raises(HostError, match=says):
            Hosts(None, {}).hosts[pattern] = hello

    @pytest.mark.parametrize("pattern", [b"example.org", None, 7, ("example.org",)])
    def test_a_pattern_that_is_no_text_is_refused(self, pattern):
        with pytest.raises(TableTypeError, match="host must be text, got"):
            Hosts(None, {pattern: hello})

    @pytest.mark.parametrize(
        "table",
        [
            ["example.org", "Example.org."],
            ["[::1]", "::1"],
            ["example.org:80", "example.org:080"],
            ["bücher.example", "xn--bcher-kva.example"],
            ["*.example.org", "*.EXAMPLE.org"],
        ],
    )
    def test_two_patterns_that_are_one_are_refused(self, table):
        with pytest.raises(TableError, match="hosts must differ"):
            Hosts(None, dict.fromkeys(table, hello))

    def test_the_default_is_given_once(self):
        with pytest.raises(HostError, match="host '' must not be in the table"):
            Hosts(hello, {"": hello})

    @pytest.mark.parametrize("table", [hello, [("example.org", hello)], None, "example.org"])
    def test_a_table_that_is_no_mapping_is_refused(self, table):
        with pytest.raises(TableTypeError, match="hosts must be a mapping"):
            Hosts(None, table)

    def test_a_mapping_as_application_is_refused(self):
        with pytest.raises(TableTypeError, match=r"write Hosts\(None, \{\.\.\.\}\)"):
            Hosts({"example.org": hello}, {})

    def test_a_host_as_application_shows_the_right_call(self):
        with pytest.raises(TableTypeError, match=r"write Hosts\(application, \{'shop"):
            Hosts("example.org", hello)

    def test_a_child_that_is_no_application_is_named_by_its_host(self):
        with pytest.raises(
            ApplicationTypeError, match=r"host 'example\.org': application must"
        ):
            Hosts(None, {"example.org": 42})
        with pytest.raises(ApplicationError, match=r"host 'example\.org': .*no_such_module"):
            Hosts(None, {"example.org": "no_such_module:app"})

    @pytest.mark.parametrize("options", [{"back": "REMOTE_USER"}, {"share": "yes"}])
    def test_an_option_it_does_not_know_is_refused(self, options):
        with pytest.raises(OptionError, match="Hosts's"):
            Hosts(None, {}, **options)

    def test_it_says_what_it_is(self):
        hosts = Hosts(hello, {"example.org": hello, "*.example.org": hello})

        assert repr(hosts).startswith("<function Hosts at ")
        assert repr(hosts.hosts) == "<Table example.org, *.example.org>"
        assert hosts.wsgi_made_at.startswith(__file__)
        assert [label for label, _ in hosts.wsgi_children()] == [
            "example.org",
            "*.example.org",
            "*",
        ]


class TestChange:
    def test_one_host_is_added_replaced_and_removed(self):
        hosts = Hosts(None, {})

        hosts.hosts["Example.org"] = named("old")
        assert ask(hosts, "example.org") == "old"
        hosts.hosts["example.org."] = named("new")
        assert ask(hosts, "example.org") == "new"
        assert "EXAMPLE.org" in hosts.hosts
        del hosts.hosts["example.ORG"]
        assert ask(hosts, "example.org") == 404

    def test_all_hosts_are_replaced_at_once(self):
        hosts = Hosts(None, {"a.example": hello})

        hosts.hosts.replace(table_of(["*.example"]))

        assert list(hosts.hosts) == ["*.example"]
        assert ask(hosts, "a.example") == "*.example"

    def test_the_default_cannot_be_changed(self):
        with pytest.raises(TableError, match="host '' must not be given here"):
            Hosts(None, {}).hosts[""] = hello

    def test_a_change_that_is_refused_changes_nothing(self):
        hosts = Hosts(None, {"a.example": hello})

        with pytest.raises(HostError):
            hosts.hosts.replace({"b.example": hello, "*": hello})

        assert list(hosts.hosts) == ["a.example"]
        assert ask(hosts, "a.example") == 200


class TestChangeUnderLoad:
    """While threads send requests, hosts come, go and are replaced."""

    THREADS = 4
    HOSTS = ("stays.example", "MOVES.example:8080", "a.wild.example", "[0::1]:80")

    def wrong_answers(self, application, change, dispatches):
        wrong = []

        def send():
            status = []

            def start_response(line, headers, exc_info=None):
                status.append(line)

            environ = make_environ()
            for number in range(dispatches // self.THREADS):
                environ["HTTP_HOST"] = self.HOSTS[number % len(self.HOSTS)]
                application(environ.copy(), start_response)
                if status.pop() != "200 OK":
                    wrong.append(environ["HTTP_HOST"])

        send_while_changing(send, change, self.THREADS)
        return wrong

    def test_of_two_hundred_thousand_requests_none_goes_astray(self):
        table = dict.fromkeys(
            ["stays.example", "moves.example", "*.wild.example", "[::1]"], hello
        )
        hosts = Hosts(None, table)

        def change(number):
            hosts.hosts["moves.example"] = (hello, Application(hello))[number % 2]
            hosts.hosts["moves.example:8080"] = hello
            hosts.hosts[f"*.b{number % 7}.wild.example"] = hello
            hosts.hosts.replace(table)

        assert self.wrong_answers(hosts, change, 200_000) == []

    def test_in_paste_s_urlmap_some_do(self):
        """Or the test above would prove nothing."""
        urlmap = URLMap()
        urls = ["http://stays.example/", "http://moves.example/", "http://a.wild.example/"]
        for url in [*urls, *(f"http://other{number}.example/" for number in range(10))]:
            urlmap[url] = hello
        urlmap["http://[0/"] = hello  # it splits the address at its first colon

        def change(number):
            urlmap["http://moves.example/"] = hello

        assert any(self.wrong_answers(urlmap, change, 40_000) for _ in range(20))


class TestChoices:
    def misses(self, patterns, host, **more):
        [choice] = Hosts(None, table_of(patterns)).wsgi_choices(environ_of(host, **more))
        return choice.label, choice.reason, dict(choice.near_misses)

    def test_it_says_what_decided(self):
        table = ["example.org", "example.org:80", "*.example.org", "*.example.org:8080"]

        assert self.misses(table, "Example.org")[:2] == (
            "example.org:80",
            "host, with its port",
        )
        assert self.misses(table, "example.org:81")[:2] == ("example.org", "host")
        assert self.misses(table, "a.example.org")[:2] == (
            "*.example.org",
            "longest wildcard that matches",
        )
        assert self.misses(table, "a.example.org:8080")[:2] == (
            "*.example.org:8080",
            "longest wildcard that matches, with its port",
        )
        assert self.misses(table, "other.example")[:2] == ("*", "default: no host matches")
        assert self.misses(table, "a,b")[:2] == ("*", "the Host header is malformed")

    @pytest.mark.parametrize(
        ("pattern", "host", "why"),
        [
            ("example.org:8080", "example.org", "the request asks for port 80"),
            ("*.example.org:8080", "a.example.org:81", "the request asks for port 81"),
            ("*.example.org", "example.org", "a wildcard stands for at least one label more"),
            ("www.example.org", "example.org", "'www.' makes another host"),
            ("example.org", "www.example.org", "'www.' makes another host"),
            ("example.org", "a.example.org", "only a wildcard stands for that"),
            ("*.example.org", "notexample.org", "ends with it, but not at a dot"),
            ("example.org", "notexample.org", "ends with it, but not at a dot"),
            ("example.org", "example.org.evil.com", "only begins with it"),
            ("[::1]:80", "[::1]:81", "the request asks for port 81"),
        ],
    )
    def test_what_looks_as_if_it_should_match(self, pattern, host, why):
        label, _, misses = self.misses([pattern], host)

        assert label == "*"
        assert why in misses[pattern]

    def test_x_forwarded_host_is_pointed_out(self):
        for pattern in ("example.org", "example.org:8080", "*.org"):
            _, _, misses = self.misses([pattern], "backend", forwarded="example.org")

            assert misses == {pattern: "X-Forwarded-Host asks for it, and is never read"}
        assert self.misses(["example.org"], "backend", forwarded="a,b")[2] == {}

    def test_what_has_nothing_to_do_with_it_is_not_listed(self):
        assert self.misses(["example.net", "*.example.com", "[::1]"], "example.org")[2] == {}
