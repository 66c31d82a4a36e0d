from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freedom_middleware.environ import (
    native,
    path_of,
    request_line,
    script_name_of,
    text,
    url_path,
    url_query,
)

natives = st.text(st.characters(max_codepoint=255))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_is_the_way_back_from_native(original):
    assert text(native(original)) == original


@given(st.text())
def test_text_never_raises(anything):
    text(anything)


@pytest.mark.parametrize(
    ("environ", "script_name", "path"),
    [
        ({}, "", ""),
        ({"SCRIPT_NAME": "/", "PATH_INFO": "/x"}, "", "/x"),
        ({"SCRIPT_NAME": "/a", "PATH_INFO": ""}, "/a", "/a"),
        ({"SCRIPT_NAME": "/a/", "PATH_INFO": "/x"}, "/a/", "/a//x"),
    ],
)
def test_script_name_is_empty_where_a_server_says_slash(environ, script_name, path):
    assert script_name_of(environ) == script_name
    assert path_of(environ) == path


@given(natives)
def test_a_url_path_is_printable_and_never_names_a_host(path):
    location = url_path(path)

    assert location.isascii()
    assert location.isprintable()
    assert " " not in location
    assert location.startswith("/")
    assert not location.startswith("//")
    assert urlsplit(location).path == location
    assert unquote(location, "latin-1") == "/" + path.lstrip("/")


@given(natives)
def test_a_url_query_is_printable_and_stays_a_query(query):
    location = "/?" + url_query(query)

    assert location.isascii()
    assert location.isprintable()
    assert " " not in location
    assert urlsplit(location).query == location[2:]


def test_a_url_query_that_was_in_order_is_left_as_it_was():
    assert url_query("a=%20b&c=d/e?f") == "a=%20b&c=d/e?f"


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"REQUEST_METHOD": "GET", "PATH_INFO": native("/café")}, "GET '/café'"),
        ({"REQUEST_METHOD": "GET", "PATH_INFO": "/a\nb"}, r"GET '/a\nb'"),
        ({"REQUEST_METHOD": "GET\n", "PATH_INFO": "/"}, r"'GET\n' '/'"),
        ({}, "'?' ''"),
    ],
)
def test_a_request_is_named_without_a_line_end(environ, line):
    assert request_line(environ) == line
