import functools
import time
import weakref

import pytest
import wrapt

from freedom_middleware import Mount
from freedom_middleware.plausible import is_telling, kind_by_looks
from freedom_middleware.testing import hello


class Instance:
    def __call__(self, environ, start_response): ...


class Bare:
    def __call__(self, a, b): ...


class Uncallable:
    __call__ = None


class Descriptor:
    def __get__(self, instance, owner):
        raise AssertionError("it was asked")


class Hidden:
    __call__ = Descriptor()


def takes_any(*args, **kwargs): ...


def with_keyword(environ, start_response, *, application): ...


@functools.wraps(hello)
def decorated(*args, **kwargs): ...


@functools.wraps(int)
def decorated_class(*args, **kwargs): ...


async def asgi(scope, receive, send): ...


async def asgi_otherwise(a, b, c): ...


async def coroutine(environ, start_response): ...


@wrapt.decorator
def wrapping(wrapped, instance, args, kwargs): ...


def with_first(name, environ, start_response): ...


def with_last(environ, start_response, extra): ...


class Response:
    def __init__(self, environ, start_response): ...

    def __iter__(self): ...


class Request(Response):
    def __init__(self, environ, start_response, application): ...


class Helper:
    def __init__(self, environ, start_response): ...


SURE = [
    hello,
    Response,
    functools.partial(Request, application=hello),
    lambda env, start: None,
    lambda environ, respond: None,
    lambda _environ, start_resp, exc_info=None: None,
    Instance(),
    Instance().__call__,
    functools.partial(with_first, "name"),
    functools.partial(with_last, extra=1),
    functools.partial(with_keyword, application=hello),
    decorated,
    Mount(None, {}),
    wrapping(hello),
]
LIKELY = [lambda a, b: None, Bare(), takes_any, Hidden(), decorated_class]
NEVER = [
    Request,
    Helper,
    weakref.ref(hello),
    lambda request, response: None,
    lambda environ: None,
    lambda environ, start_response, *, key: None,
    with_keyword,
    functools.partial(with_keyword, other=hello),
    lambda: None,
    lambda a, b, c: None,
    coroutine,
    Instance,
    time.perf_counter,
    Uncallable(),
    functools.partial(hello, {}, print),
    functools.partial(Instance, 1),
    functools.partial(time.perf_counter),
    None,
    "application",
    pytest,
]


@pytest.mark.parametrize("thing", SURE)
def test_parameters_of_the_right_names_are_enough(thing):
    assert kind_by_looks(thing, telling=False) == "WSGI"


@pytest.mark.parametrize("thing", LIKELY)
def test_whatever_takes_two_must_stand_where_applications_do(thing):
    assert kind_by_looks(thing, telling=True) == "WSGI"
    assert kind_by_looks(thing, telling=False) is None


@pytest.mark.parametrize("thing", NEVER)
def test_others_are_none_wherever_they_stand(thing):
    assert kind_by_looks(thing, telling=True) is None


@pytest.mark.parametrize(
    "thing",
    [
        lambda status, headers, exc_info=None: None,
        lambda environ, application: None,
        lambda environ, exception: None,
        lambda span, environ: None,
    ],
)
def test_helpers_of_two_parameters_are_none_elsewhere(thing):
    assert kind_by_looks(thing, telling=False) is None


def test_asgi_is_told_by_its_parameters_or_by_its_place():
    assert kind_by_looks(asgi, telling=False) == "ASGI"
    assert kind_by_looks(asgi_otherwise, telling=True) == "ASGI"
    assert kind_by_looks(asgi_otherwise, telling=False) is None


def test_what_wraps_itself_does_not_go_on_for_ever():
    def loop(*args): ...

    loop.__wrapped__ = loop

    assert kind_by_looks(loop, telling=True) == "WSGI"


@pytest.mark.parametrize(
    ("name", "telling"),
    [
        ("app", True),
        ("_app", True),
        ("application", True),
        ("wsgi_app", True),
        ("wsgi", True),
        ("nextapp", True),
        ("middleware_wraps", True),
        ("mounts", True),
        ("", False),
        ("app_factory", False),
        ("app_iter", False),
        ("callback", False),
        ("start_response", False),
        ("logger", False),
    ],
)
def test_some_names_tell(name, telling):
    assert is_telling(name) is telling
