"""A redirect as an application."""

from urllib.parse import urlsplit

import pytest
from webob.exc import HTTPFound

from freedom_middleware import Application, Mount
from freedom_middleware.errors import OptionError
from freedom_middleware.testing import exchange, make_environ


def location(application, path_info, *, query="", host="www.example", script_name=""):
    environ = make_environ()
    environ.update(
        SCRIPT_NAME=script_name, PATH_INFO=path_info, QUERY_STRING=query, HTTP_HOST=host
    )
    answer = exchange(application, environ=environ, validate=False)
    assert answer.status == "307 Temporary Redirect"
    return dict(answer.headers)["Location"]


OLD = Mount(None, {"/old": Application.from_redirect("/new")})


@pytest.mark.parametrize(
    ("path_info", "query", "expected"),
    [
        ("/old", "", "/new"),
        ("/old/", "", "/new/"),
        ("/old/cart", "page=2&a=%20b", "/new/cart?page=2&a=%20b"),
        ("/old/caf\xc3\xa9 x", "", "/new/caf%C3%A9%20x"),
        ("/old/a%2fb", "", "/new/a%252fb"),
    ],
)
def test_the_rest_of_the_path_and_the_query_are_kept(path_info, query, expected):
    assert location(OLD, path_info, query=query) == expected


def test_a_prefix_of_the_server_s_own_takes_no_part():
    """The path is the one that a browser sees; what it replaces has the prefix as well."""
    assert location(OLD, "/old/x", script_name="/intranet") == "/new/x"


def test_it_may_go_to_another_site():
    elsewhere = Application.from_redirect("https://shop.example/de/")

    assert location(elsewhere, "/cart") == "https://shop.example/de/cart"
    assert location(elsewhere, "") == "https://shop.example/de"


def test_the_root_is_a_place_to_go_to():
    root = Application.from_redirect("/")

    assert location(root, "") == "/"
    assert location(root, "/x") == "/x"


HOSTILE = [
    "//evil.example",
    "///evil.example/..",
    "/\\evil.example",
    "evil.example",
    "@evil.example",
    ".evil.example",
    ":80@evil.example/",
    "/\r\nSet-Cookie: a=b",
    "/\t//evil.example",
]


@pytest.mark.parametrize("path_info", HOSTILE)
@pytest.mark.parametrize(
    ("target", "host"),
    [("/", None), ("/new", None), ("https://shop.example", "shop.example")],
)
def test_no_path_leads_to_another_host_or_adds_a_header(path_info, target, host):
    found = location(Application.from_redirect(target), path_info, query="a=\r\nX: y")

    assert urlsplit(found).hostname == host
    assert not found.startswith("//")
    assert found.isascii()
    assert found.isprintable()
    assert "\\" not in found


def test_the_host_that_a_client_claims_is_not_repeated():
    assert "evil" not in location(OLD, "/old", host="evil.example")


def test_a_view_of_one_line_would_repeat_it_and_lose_the_rest():
    """Why there is from_redirect()."""
    view = Mount(
        None, {"/old": Application.from_view(lambda request: HTTPFound(location="/new"))}
    )

    answer = exchange(view, "/old/cart?page=2", headers={"Host": "evil.example"})

    assert dict(answer.headers)["Location"] == "http://evil.example/new"


def test_permanent_is_308_and_keeps_the_method_too():
    application = Application.from_redirect("/new", permanent=True)

    assert exchange(application, "/x", method="POST").status == "308 Permanent Redirect"


@pytest.mark.parametrize(
    "url",
    [
        "new",
        "",
        "//evil.example",
        "/\\evil.example",
        "/a?b",
        "/a#b",
        "ftp://a.example",
        "https://",
        "https://[::1",
        "https://a.example:x/",
        "https://a.example:99999/",
        "https://a.example\\@b.example/",
        "javascript:alert(1)",
        "/café",
        "/a b",
        "/a\r\nX: y",
        None,
        b"/new",
    ],
)
def test_what_is_no_place_to_go_to_is_refused(url):
    with pytest.raises(OptionError, match="redirect must go to"):
        Application.from_redirect(url)


def test_permanent_is_true_or_false():
    with pytest.raises(OptionError, match="permanent must be True or False, got 301"):
        Application.from_redirect("/new", permanent=301)


def test_it_shows_where_it_goes():
    application = Application.from_redirect("/new")

    assert (application.kind, application.wsgi_name) == ("redirect", "-> /new")
