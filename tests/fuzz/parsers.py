"""What is read from clients, operators and files, each as a function of any bytes.

A target takes bytes, makes of them what it needs, and raises AssertionError where an answer
is wrong, or anything else where the code under it has failed in a way that it does not
document.  Each has seeds to start from.
"""

from __future__ import annotations

import ast
import logging
import re
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from freedom_middleware import Application, Mount, When
from freedom_middleware.dispatch import client, cookie, header, path
from freedom_middleware.dispatch.hosts import _normalise, split_host, to_ascii
from freedom_middleware.dispatch.mount import normal_prefix
from freedom_middleware.dispatch.replay import UNKNOWN, length_of
from freedom_middleware.environ import is_token, native, text, url_path, url_query
from freedom_middleware.errors import (
    ApplicationError,
    FreedomError,
    HostError,
    MountError,
    OptionError,
    PredicateError,
    ProjectError,
)
from freedom_middleware.project import find
from freedom_middleware.response import with_vary
from freedom_middleware.specs import module_of
from freedom_middleware.testing import exchange, hello, make_environ


class Target(NamedTuple):
    """What is fuzzed: a function of bytes, and where to begin."""

    function: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


TARGETS: dict[str, Target] = {}


def target(*seeds: bytes) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Make a function a target, by its own name."""

    def add(function: Callable[[bytes], None]) -> Callable[[bytes], None]:
        TARGETS[function.__name__] = Target(function, seeds)
        return function

    return add


def as_text(data: bytes) -> str:
    """Return text of all alphabets, lone surrogates among it."""
    return data.decode("utf-8", "surrogatepass" if b"\xed" in data else "replace")


def as_any_text(data: bytes) -> str:
    try:
        return as_text(data)
    except UnicodeDecodeError:
        return data.decode("latin-1")


def documented(error: FreedomError) -> None:
    """Look at a refusal: it says what must be, in words that can be printed."""
    if " must " not in str(error):
        raise AssertionError(f"a refusal must say what must be, got {error!r}")


# -- what a client sends --


@target(
    b"a.example:80", b"[::1]:8080", b"[::ffff:1.2.3.4]", b"A.EXAMPLE.", b"a,b", b"a@b", b"1"
)
def host(data: bytes) -> None:
    """``split_host``: the Host header of a request."""
    sent = data.decode("latin-1")
    found = split_host(sent)
    if found is None:
        return
    name, port = found
    assert name == name.lower()
    assert name.isascii()
    assert re.fullmatch(r"\[[0-9a-f:.]+\]|[a-z0-9_.-]+", name), name
    assert port == "" or str(int(port)) == port
    assert port == "" or int(port) <= 65535
    assert not name.endswith(".")
    whole = f"{name}:{port}" if port else name
    assert split_host(whole) == found  # what is normal stays as it is
    assert split_host(sent.upper()) == found


@target(b"a=1; beta=1", b'a="1"', b"beta", b"; ;beta=1 ;", b"beta=\xff")
def cookie_header(data: bytes) -> None:
    """``cookie()``: the Cookie header of a request."""
    sent = data.decode("latin-1")
    environ = make_environ(HTTP_COOKIE=sent)
    there, one = (cookie("beta", *value).ask(environ, []) for value in ((), ("1",)))
    pairs = [tuple(part.strip(" \t").partition("=")) for part in sent.split(";")]
    assert there == any(key == "beta" and equals for key, equals, _ in pairs)
    assert one == any(key == "beta" and value in ("1", '"1"') for key, _, value in pairs)
    assert there or not one


@target(b"127.0.0.1", b"::ffff:10.0.0.1", b"10.0.0.1", b"fe80::1%eth0", b"", b"unix:", b"1")
def client_address(data: bytes) -> None:
    """``client()``: the address of a request, which some servers make up."""
    inside = client("10.0.0.0/8", "fe80::/10")
    answer = inside.ask(make_environ(REMOTE_ADDR=data.decode("latin-1")), [])
    assert answer in (True, False)


SIZE = 10


@cache
def files() -> Application:
    folder = tempfile.mkdtemp()
    Path(folder, "ten.txt").write_bytes(b"0123456789")
    Path(folder, "sub").mkdir()
    Path(folder, "sub", "index.html").write_bytes(b"index")
    Path(folder, ".hidden").write_bytes(b"hidden")
    return Application.from_directory(folder, index="index.html")


@target(
    b"bytes=0-4", b"bytes=5-", b"bytes=-3", b"bytes=-", b"bytes=0-1,3-4", b"bytes=99-", b"x"
)
def range_header(data: bytes) -> None:
    """``from_directory``: the Range header of a request."""
    answer = exchange(
        files(),
        environ=make_environ("/ten.txt", headers={"Range": data.decode("latin-1")}),
        validate=False,
    )
    assert answer.code in (200, 206, 416)
    if answer.code == 416:
        assert answer.header("Content-Range") == f"bytes */{SIZE}"
        return
    assert answer.header("Content-Length") == str(len(answer.body))
    if answer.code == 200:
        assert answer.body == b"0123456789"
        return
    found = re.fullmatch(rf"bytes (\d+)-(\d+)/{SIZE}", answer.header("Content-Range") or "")
    assert found
    assert answer.body == b"0123456789"[int(found[1]) : int(found[2]) + 1]
    assert answer.body


@target(
    b'IF_MATCH"x"', b"IF_NONE_MATCH*", b'IF_NONE_MATCHW/"x", "y', b"IF_RANGE\xff",
    b"IF_MODIFIED_SINCESat, 21 Nov 2026 00:00:00 GMT", b"IF_UNMODIFIED_SINCE0",
)  # fmt: skip
def condition(data: bytes) -> None:
    """``from_directory``: the conditions of a request."""
    names = "IF_MATCH", "IF_NONE_MATCH", "IF_RANGE", "IF_MODIFIED_SINCE", "IF_UNMODIFIED_SINCE"
    sent = data.decode("latin-1")
    name = next((n for n in reversed(names) if sent.startswith(n)), "")
    name = name or names[len(data) % len(names)]
    answer = exchange(
        files(),
        environ=make_environ("/ten.txt") | {f"HTTP_{name}": sent.removeprefix(name)},
        validate=False,
    )
    assert answer.code in (200, 304, 412)
    assert answer.body == (b"0123456789" if answer.code == 200 else answer.body)


@target(b"/ten.txt", b"/sub", b"/sub/", b"/../x", b"/.hidden", b"//ten.txt", b"/sub/../ten.txt")
def file_path(data: bytes) -> None:
    """``from_directory``: the path of a request."""
    path_info = data.decode("latin-1")
    answer = exchange(files(), environ=make_environ(PATH_INFO=path_info), validate=False)
    served = {
        **dict.fromkeys(("/ten.txt", "ten.txt"), b"0123456789"),
        **dict.fromkeys(("/sub/", "/sub/index.html", "sub/", "sub/index.html"), b"index"),
    }
    if answer.code == 308:
        assert path_info in ("/sub", "sub")
    elif path_info in served:
        assert (answer.code, answer.body) == (200, served[path_info])
    else:
        assert answer.code == 404, answer


@target(b"/x", b"//evil.example", b"/\\x", b"/x\r\nX: y", b"/x?a=b\r\n")
def location(data: bytes) -> None:
    """``url_path`` and ``url_query``: what becomes of a path and a query in a Location."""
    sent = data.decode("latin-1")
    path_part, _, query = sent.partition("?")
    for made in (url_path(path_part), url_query(query)):
        assert made.isascii()
        assert made.isprintable()
        assert not set(made) & set(' "<>\\^`{|}#')
    assert url_path(path_part).startswith("/")
    assert not url_path(path_part).startswith("//")


@target(b"0", b"12", b"-1", b"1_0", b" 7", b"+5", b"\xb2", b"9" * 5000)
def content_length(data: bytes) -> None:
    """``length_of``: the Content-Length of a request."""
    for more in ({}, {"wsgi.input_terminated": True}):
        length = length_of({"CONTENT_LENGTH": data.decode("latin-1"), **more})
        assert length == UNKNOWN or length >= 0
        assert length != UNKNOWN or more


PREFIXES = "/x", "/x/y", "/x/y/z", "/a/b", "/é"
SEEN: list[Any] = []


def telling(name: str) -> Any:
    def application(environ: Any, start_response: Any) -> Any:
        SEEN.append((name, environ["SCRIPT_NAME"], environ["PATH_INFO"]))
        return hello(environ, start_response)

    return application


@cache
def composed() -> tuple[Any, Any]:
    rows = [(path(each), telling("yes")) for each in PREFIXES]
    return Mount(telling(""), {p: telling(p) for p in PREFIXES}), When(telling("no"), rows)


@target(b"/x/y", b"/x", b"x", b"//x", b"", b"/x//", b"/a/b/c/d", b"*")
def mounted_path(data: bytes) -> None:
    """``Mount`` and ``path()``: the path of a request, against the rule."""
    path_info = data.decode("latin-1")
    under = [
        each
        for each in PREFIXES
        if path_info == native(each) or path_info.startswith(f"{native(each)}/")
    ]
    best = max(under, key=len, default="")
    SEEN.clear()
    for application in composed():
        environ = make_environ(PATH_INFO=path_info)
        application(environ, lambda status, headers, exc_info=None: None)
    assert SEEN[0] == (best, native(best), path_info[len(native(best)) :])
    assert SEEN[1][0] == ("yes" if best else "no")


# -- what an operator writes --


@target(
    b"*.a.example:80", "bücher.example".encode(), b"[::1]:443", b"http://a", b"*", b".a", b""
)
def host_pattern(data: bytes) -> None:
    """``Hosts``: a pattern in its table."""
    pattern = as_any_text(data)
    try:
        normal = _normalise(pattern)
    except HostError as error:
        documented(error)
        return
    assert _normalise(normal) == normal
    if normal and "*" not in normal:
        assert split_host(normal) is not None


@target("bücher.example".encode(), "straße".encode(), "\u200d.x".encode(), "ﬁ。x".encode())
def idna(data: bytes) -> None:
    """``to_ascii``: a name in any alphabet."""
    name = as_any_text(data)
    made = to_ascii(name)
    assert made.isascii()
    for label in made.split("."):
        assert not label.startswith("xn--") or label.isprintable()


@target(b"/shop", b"shop/", "/café".encode(), b"/a//b", b"//a", b"/a?b", b"/", b"")
def prefix(data: bytes) -> None:
    """``Mount``: a prefix in its table."""
    given = as_any_text(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            normal = normal_prefix(given)
        except MountError as error:
            documented(error)
            return
        assert normal_prefix(normal) == normal
    assert normal == "" or (normal[0] == "/" and normal[-1] != "/")
    assert text(native(normal)) == normal
    assert given.rstrip("/") == normal


@target(b"X-Tier", b"X Tier", b"a\nb", b"", b"1", b"a=b", b"10.0.0.0/8", b"10.0.0.1/8", b"::1")
def predicates(data: bytes) -> None:
    """``header``, ``cookie``, ``client`` and ``path``: what they are made of."""
    given = as_any_text(data)
    makers: list[Callable[[], Any]] = [
        lambda: header(given),
        lambda: header("X", given),
        lambda: cookie(given),
        lambda: cookie("x", given),
        lambda: client(given),
        lambda: path(given),
    ]
    for make in makers:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                made = make()
            except (PredicateError, MountError) as error:
                documented(error)
                continue
        assert repr(made).isprintable() or not given.isprintable()
        vary: list[str] = []
        assert made.ask(make_environ(), vary) in (True, False)
        assert all(map(is_token, vary))


@target(b"/new", b"https://a.example/x", b"//evil.example", b"/\\x", b"https://[::1", b"/a b")
def redirect(data: bytes) -> None:
    """``from_redirect``: where to."""
    given = as_any_text(data)
    try:
        made = Application.from_redirect(given)
    except OptionError:
        return
    answer = exchange(made, "//evil.example/\r\n", validate=False)
    assert (answer.header("Location") or "").startswith(given.rstrip("/") + "/")
    assert (answer.header("Location") or "").isprintable()


@target(b"a.b:c", b"a:b()", b'a:b("x", key=1)', b"a:b(*c)", b"a:b.c.d", b"a:(b)", b"a.py", b":")
def spec(data: bytes) -> None:
    """Import strings: nothing is imported, only read."""
    given = as_any_text(data)
    try:
        module = module_of(given)
    except ApplicationError as error:
        documented(error)
        return
    assert all(part.isidentifier() for part in module.split("."))
    assert given.startswith(module)


@target(b"Accept\nCookie", b"*\nX", b"a, b\nA", b"\n", b" \t,,\ncookie")
def vary(data: bytes) -> None:
    """``with_vary``: a header of the application's, and names to add."""
    sent, _, names = data.decode("latin-1").partition("\n")
    wanted = [name for name in names.split("\n") if is_token(name)]
    headers = with_vary([("Vary", sent), ("X", "y")], wanted)
    listed = {
        name.strip(" \t").lower()
        for key, value in headers
        if key == "Vary"
        for name in value.split(",")
    }
    assert "*" in listed or {name.lower() for name in wanted} <= listed
    assert ("X", "y") in headers
    assert with_vary(headers, wanted) == headers


@cache
def folder() -> Path:
    return Path(tempfile.mkdtemp())


@target(
    b"application = 1", b"from x import app", b"def create_app(a=1): pass", b"if 1:\n app = 2",
    b"try:\n from a import *\nexcept E:\n app: int = 3", b"match x:\n case 1: app = 1",
    b"import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 's')", b"\xef\xbb\xbfapp = 1",
    b"# coding: latin-1\napp = '\xff'", b"with a as b: application = b", b"async def f(): pass",
)  # fmt: skip
def project(data: bytes) -> None:
    """The project finder: any file in the place of ``app.py``, ``manage.py`` and settings."""
    here = folder()
    here.joinpath("app.py").write_bytes(data)
    manage = b"DJANGO_SETTINGS_MODULE" in data
    for name in ("manage.py", "s.py"):
        file = here / name
        file.write_bytes(data) if manage else file.unlink(missing_ok=True)
    try:
        found = find(here, {})
    except ProjectError as error:
        documented(error)
        return
    if manage:
        return
    ast.parse(data)  # what holds an application is Python
    name = found.spec.partition(":")[2].removesuffix("()") or "application"
    assert found.spec.partition(":")[0] == "app"
    assert name.encode() in data


def quiet() -> None:
    """Let nothing be logged or warned of."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
