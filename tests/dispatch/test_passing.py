"""What every dispatcher does with the environ of its caller and of its child."""

import pytest

from freedom_middleware import Cascade, Hosts, Mount, When
from freedom_middleware.dispatch import Methods
from freedom_middleware.dispatch.table import MOUNTED
from freedom_middleware.testing import hello, make_environ

BACK = ("REMOTE_USER",)
DISPATCHERS = {
    "Mount, under a prefix": lambda child: Mount(None, {"/a": child}, back=BACK),
    "Mount, by default": lambda child: Mount(child, {"/x": hello}, back=BACK),
    "Hosts": lambda child: Hosts(None, {"127.0.0.1": child}, back=BACK),
    "When": lambda child: When(child, [], back=BACK),
    "Methods": lambda child: Methods({"GET": child}, back=BACK),
    "Cascade, first": lambda child: Cascade([child, hello], back=BACK),
    "Cascade, last": lambda child: Cascade([Mount(None, {}), child], back=BACK),
}


@pytest.fixture(params=DISPATCHERS.values(), ids=DISPATCHERS)
def dispatcher(request):
    return request.param


def logs_in(environ, start_response):
    environ["REMOTE_USER"] = "ada"
    environ["SCRIPT_NAME"] = environ["own"] = "changed"
    return hello(environ, start_response)


def logs_in_and_fails(environ, start_response):
    logs_in(environ, start_response)
    raise LookupError("on purpose")


def test_the_caller_s_environ_is_as_it_was_but_for_what_is_handed_back(dispatcher):
    environ = make_environ("/a/b")
    before = dict(environ)

    below = Mount(logs_in, {"/a": logs_in, "/b": logs_in}, back=BACK)
    dispatcher(below)(environ, lambda *_: None)

    told = {MOUNTED: environ.pop(MOUNTED), "REMOTE_USER": environ.pop("REMOTE_USER")}
    assert environ == before
    assert told["REMOTE_USER"] == "ada"
    assert told[MOUNTED] in ("/a", "/a/b")


@pytest.mark.parametrize("child", [logs_in, logs_in_and_fails])
def test_it_is_handed_back_whether_the_application_raises_or_not(dispatcher, child):
    """So that an access log, or a tracer, knows where it was that something failed."""
    environ = make_environ("/a/b/c")
    below = Mount(Mount(None, {"/a/b": child, "/b": child}, back=BACK), {}, back=BACK)

    try:
        dispatcher(below)(environ, lambda *_: None)
    except LookupError:
        pass

    assert environ[MOUNTED] == "/a/b"
    assert environ["REMOTE_USER"] == "ada"
