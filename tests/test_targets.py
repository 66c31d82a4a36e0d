"""Import strings, and telling WSGI from ASGI: what is accepted, and what a mistake is told."""

import functools
import importlib
import subprocess
import sys
import threading
import types
import warnings
from unittest.mock import AsyncMock, MagicMock, Mock, create_autospec

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from freedom_middleware import Application, CloseGuard, Mount
from freedom_middleware.errors import ApplicationError, ApplicationTypeError, FreedomError
from freedom_middleware.specs import load
from freedom_middleware.targets import is_async, kind_of, takes
from freedom_middleware.testing import hello

from .interpreters import IS_PYPY

SHOP = """\
import types
from freedom_middleware.testing import hello as app

application = "the default"
nested = types.SimpleNamespace(inner=types.SimpleNamespace(app="deep"))
not_callable = "text"

def make(*arguments, **keywords):
    return arguments, keywords

def make_strict(config):
    return app

def fails():
    raise ValueError("no luck\\n  today")

def fails_silently():
    raise RuntimeError

def leaves():
    raise SystemExit(3)

def refuses():
    from freedom_middleware.errors import OptionError
    raise OptionError("one of ours")

async def make_async():
    return app

class Unprintable:
    def __repr__(self):
        raise ValueError
unprintable = Unprintable()

def __getattr__(name):
    if name == "lazy":
        import no_such_library
    raise AttributeError(f"shop has no {name}")
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes a module; it is forgotten when the test is over."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(path, source=""):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
        importlib.invalidate_caches()
        return file

    yield write
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def shop(write):
    return write("shop.py", SHOP)


def refusal(spec):
    """Return what a user is told about *spec*: one line that could be printed as it is."""
    with pytest.raises(ApplicationError) as caught:
        load(spec)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


class TestImportString:
    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            ("shop", "the default"),
            ("shop:application", "the default"),
            ("shop:not_callable", "text"),
            ("shop:nested.inner.app", "deep"),
            ("shop:(not_callable)", "text"),
            ("shop:make()", ((), {})),
            ("shop:make('x', key=1)", (("x",), {"key": 1})),
            ("shop:make(None, True, -1, 2.5, b'x')", ((None, True, -1, 2.5, b"x"), {})),
            (
                "shop:make({'a': [1, (2,)], 'b': {3}})",
                (({"a": [1, (2,)], "b": {3}},), {}),
            ),
            ("shop:make('pkg:mod', \"it's\")", (("pkg:mod", "it's"), {})),
            ("shop:make( 1 , key = 2 )", ((1,), {"key": 2})),
        ],
    )
    def test_it_names_an_object(self, shop, spec, expected):
        assert load(spec) == expected

    def test_it_names_what_is_in_a_package(self, write):
        write("legacy/__init__.py")
        write("legacy/wsgi.py", "application = 'of the package'")

        assert load("legacy.wsgi") == "of the package"

    def test_a_module_is_imported_once(self, write):
        write("counted.py", "application = object()")

        assert load("counted") is load("counted:application")

    def test_a_factory_is_called_each_time(self, shop):
        assert load("shop:make([])")[0][0] is not load("shop:make([])")[0][0]

    @pytest.mark.parametrize(
        "spec",
        [
            "",
            ":",
            ":app",
            "shop:",
            " shop:app",
            "shop :app",
            "shop: app",
            "shop:app:more",
            "shop app",
            ".shop:app",
            "shop.:app",
            "shop..app",
            "/srv/shop.py",
            "shop-1:app",
            "1shop",
            "shop:1",
            "shop:None",
            "shop:'app'",
            "shop:app[0]",
            "shop:app or other",
            "shop:make(",
            "shop:make)",
            "shop:make()()",
            "shop:make().app",
            "shop:make(os)",
            "shop:make(os.environ)",
            "shop:make(other())",
            "shop:make(1 + x)",
            "shop:make(f'{x}')",
            "shop:make(key=x)",
            "shop:make({[]: 1})",
            "shop:make(*[1])",
            "shop:make(**{})",
            "shop:make(a=1, a=2)",
            "shop:make(x=1 for x in y)",
            "shop:make('\\d')(",
            "shop:\x00",
            "shop:\ud800",
            "shop:" + "(" * 1000,
            "shop:make(" + "-" * 20_000 + "1)",
            "shop:" + "a." * 200_000 + "a",
        ],
        ids=lambda spec: spec[:40],
    )
    def test_another_form_is_refused_with_the_forms_there_are(self, shop, spec):
        with pytest.raises(ApplicationError) as caught:
            load(spec)

        assert str(caught.value) == (
            "import string must have the form 'pkg.mod', 'pkg.mod:attribute',"
            " 'pkg.mod:factory()' or 'pkg.mod:factory(\"x\", key=1)' with literals only,"
            f" got {spec!r}"
        )

    @pytest.mark.parametrize(
        ("spec", "meant"),
        [
            ("mysite/wsgi.py", "mysite.wsgi"),
            ("./mysite/wsgi.py:app", "mysite.wsgi:app"),
            ("mysite/wsgi:make()", "mysite.wsgi:make()"),
        ],
    )
    def test_the_name_of_a_file_is_translated(self, spec, meant):
        """A shell completes it, and the commands name files so."""
        assert refusal(spec).endswith(f", got {spec!r}. Did you mean {meant!r}?")

    def test_a_file_that_is_elsewhere_has_no_import_string(self):
        assert refusal("/srv/mysite/wsgi.py").endswith(", got '/srv/mysite/wsgi.py'")

    def test_its_error_is_an_import_error_of_ours(self):
        with pytest.raises(ImportError) as caught:
            load("")

        assert isinstance(caught.value, FreedomError)


class TestModuleThatIsMissing:
    @pytest.mark.parametrize(
        ("spec", "python_says"),
        [
            ("shpo", "No module named 'shpo'"),
            ("shpo:app", "No module named 'shpo'"),
            ("shpo.wsgi:app", "No module named 'shpo'"),
            ("legacy.wsgy:app", "No module named 'legacy.wsgy'"),
            ("legacy.sub.wsgi", "No module named 'legacy.sub'"),
            ("shop.wsgi", "No module named 'shop.wsgi'; 'shop' is not a package"),
        ],
    )
    def test_it_is_named_with_where_to_look(self, shop, write, spec, python_says):
        write("legacy/__init__.py")

        assert refusal(spec) == (
            f"application must name a module that can be imported, got {spec!r}:"
            f" {python_says}. Is the folder that holds it the working directory, or on"
            " sys.path?"
        )

    @pytest.mark.parametrize(
        ("spec", "meant"),
        [
            ("shop.app", "shop:app"),  # as Django's WSGI_APPLICATION is written
            ("shop.py", "shop"),
            ("shop.py:app", "shop:app"),
        ],
    )
    def test_a_spelling_of_another_tool_is_translated(self, shop, spec, meant):
        assert refusal(spec).endswith(f" is not a package. Did you mean {meant!r}?")


class TestModuleThatFails:
    def refusal(self, write, source):
        self.file = write("broken.py", source)
        message = refusal("broken:app")
        rule = "application's module must import without an error, got "
        assert message.startswith(rule)
        return message.removeprefix(rule)

    def test_an_error_is_named_with_its_place(self, write):
        message = self.refusal(write, "import sys\n\n1 / 0\n")

        assert message == (
            f"ZeroDivisionError: division by zero ({self.file}:3) from 'broken:app'"
        )

    def test_another_module_that_is_missing_is_not_taken_for_this_one(self, write):
        message = self.refusal(write, "import no_such_library\n")

        assert message == (
            f"ModuleNotFoundError: No module named 'no_such_library' ({self.file}:1) from"
            " 'broken:app'"
        )

    def test_a_module_below_it_that_is_missing_is_not_taken_for_this_one(self, write):
        message = self.refusal(write, "import broken.models\n")

        assert message.startswith("ModuleNotFoundError: No module named 'broken.models'; ")

    def test_a_module_that_it_loads_by_name_is_not_taken_for_the_place(self, write):
        message = self.refusal(write, "import importlib\nimportlib.import_module('nowhere')\n")

        assert message.endswith(f"'nowhere' ({self.file}:2) from 'broken:app'")

    def test_a_syntax_error_is_named_with_its_line(self, write):
        message = self.refusal(write, "x = 1\na b\n")

        assert message == f"SyntaxError: invalid syntax ({self.file}:2) from 'broken:app'"

    def test_an_error_of_a_package_above_it_is_named_with_its_place(self, write):
        file = write("package/__init__.py", "1 / 0")
        write("package/wsgi.py", "")

        assert f"division by zero ({file}:1) from 'package.wsgi'" in refusal("package.wsgi")

    def test_a_script_that_ends_the_process_does_not(self, write):
        message = self.refusal(write, "import sys\nsys.exit('usage: broken')\n")

        assert message == f"SystemExit: usage: broken ({self.file}:2) from 'broken:app'"

    def test_a_key_that_ends_the_process_does(self, write):
        write("broken.py", "raise KeyboardInterrupt")

        with pytest.raises(KeyboardInterrupt):
            load("broken")

    def test_a_long_error_is_told_in_one_line(self, write):
        message = self.refusal(write, "raise ValueError('one\\n  two' + ' more' * 1000)")

        assert message.startswith("ValueError: one two more more")
        assert f"... ({self.file}:1) from" in message

    def test_an_error_of_ours_stays_as_it_is(self, write):
        write("composed.py", "from freedom_middleware import Mount\nMount(None, {'shop': 1})\n")

        with pytest.raises(FreedomError, match=r"^mount prefix must start with '/', got"):
            load("composed")

    def test_what_it_raised_is_the_cause(self, write):
        write("broken.py", "1 / 0")

        with pytest.raises(ApplicationError) as caught:
            load("broken")

        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    def test_mended_it_is_loaded(self, write):
        write("broken.py", "1 / 0")
        refusal("broken")
        write("broken.py", "application = 'well now'")

        assert load("broken") == "well now"


class TestAttributeThatIsMissing:
    @pytest.mark.parametrize(
        ("spec", "says"),
        [
            ("shop:makee", "shop has no 'makee'. Did you mean 'make'?"),
            ("shop:xyz", "shop has no 'xyz'. Did you mean 'application'?"),
            ("shop:makee()", "shop has no 'makee'. Did you mean 'make'?"),
            ("shop:nested.iner", "nested has no 'iner'. Did you mean 'inner'?"),
            ("shop:nested.inner.ap", "nested.inner has no 'ap'. Did you mean 'app'?"),
            ("shop:nested.xyz.app", "nested has no 'xyz'"),
            ("empty", "empty has no 'application'"),
        ],
    )
    def test_it_is_named_with_what_is_likely(self, shop, write, spec, says):
        write("empty.py")

        assert refusal(spec) == (
            f"application must name an attribute that exists, got {spec!r}: {says}"
        )

    def test_a_project_is_told_where_its_application_is(self, write):
        """``serve mysite`` is what one types first."""
        write("mysite/__init__.py")
        write("mysite/wsgi.py", "application = None")

        assert refusal("mysite").endswith(
            "mysite has no 'application'. Did you mean 'mysite.wsgi'?"
        )

    def test_a_settings_module_is_told_where_it_belongs(self, write):
        write("mysite/settings.py", "ROOT_URLCONF = 'mysite.urls'")

        assert refusal("mysite.settings").endswith(
            "mysite.settings has no 'application'. It is a settings module:"
            " Application.from_settings('mysite.settings')"
        )

    def test_a_module_that_asks_for_itself_is_told_so(self, write):
        write("mirror.py", "from freedom_middleware.specs import load\nload('mirror')\n")

        assert refusal("mirror").endswith(
            "mirror has no 'application'. mirror is still being imported; does it ask for"
            " itself?"
        )

    def test_an_attribute_that_fails_is_named(self, shop):
        assert refusal("shop:lazy") == (
            "application's attribute must be readable without an error, got"
            f" ModuleNotFoundError: No module named 'no_such_library' ({shop}:37) from"
            " 'shop:lazy'"
        )


class TestFactoryThatFails:
    def test_its_error_is_named_with_its_place(self, shop):
        assert refusal("shop:fails()") == (
            "factory must return an application, got ValueError: no luck today"
            f" ({shop}:15) from 'shop:fails()'"
        )

    def test_an_error_without_a_text_is_named(self, shop):
        assert f"got RuntimeError ({shop}:18) from" in refusal("shop:fails_silently()")

    def test_one_that_ends_the_process_does_not(self, shop):
        assert "got SystemExit: 3 (" in refusal("shop:leaves()")

    @pytest.mark.parametrize(
        ("spec", "python_says"),
        [
            (
                "shop:make_strict()",
                "make_strict() missing 1 required positional argument: 'config'",
            ),
            (
                "shop:make_strict(1, 2)",
                "make_strict() takes 1 positional argument but 2 were given",
            ),
            (
                "shop:make_strict(debug=True)",
                "make_strict() got an unexpected keyword argument 'debug'",
            ),
        ],
    )
    def test_wrong_arguments_are_named_without_a_place_of_ours(self, shop, spec, python_says):
        assert refusal(spec) == (
            f"factory must return an application, got TypeError: {python_says} from {spec!r}"
        )

    def test_what_cannot_be_called_is_shown(self, shop):
        assert refusal("shop:not_callable()") == (
            "factory must be callable, got 'text' from 'shop:not_callable()'; without the"
            " brackets it is taken as it is"
        )

    def test_what_cannot_even_be_shown_is_named(self, shop):
        assert "got <shop.Unprintable object at 0x" in refusal("shop:unprintable()")

    def test_an_async_one_is_refused(self, shop):
        assert refusal("shop:make_async()").startswith(
            "factory must not be async, got <function make_async at 0x"
        )

    def test_an_error_of_ours_stays_as_it_is(self, shop):
        with pytest.raises(FreedomError, match=r"^one of ours$"):
            load("shop:refuses()")


# What could be written in an import string, in any order.
PIECES = [
    *["app", "make", "x", "lambda", "if", "None", "1", "0x", "1_0", "9" * 5000],
    *["(", ")", "[", "]", "{", "}", ".", ",", "=", ":", ":=", "*", "**", "-", "+", " ", "@"],
    *["'", '"', '"""', "f'", "b'", "\\", "\\d", "\n", "\r", "\t", "\f", "#", "\x00", "\ufeff"],
    *["é", "ﬁ", "\ud800", "…", "await", "...", "1if", "0or", "1j"],
]


class TestAnyText:
    @given(st.text() | st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
    @example("shop:make('\\d')")
    @example("shop:make(1if 1else 2)")
    @pytest.mark.warns
    def test_as_an_import_string_it_is_loaded_or_refused_in_one_line(self, text):
        stub = types.ModuleType("shop")
        stub.app, stub.make = hello, lambda *arguments, **keywords: hello

        for spec in (text, f"shop:{text}", f"shop:make({text})"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(sys.modules, "shop", stub)
                message = repr(spec)
                try:
                    load(spec)
                except ApplicationError as error:
                    message = str(error)

                assert repr(spec) in message
                assert "\n" not in message


# What follows is looked at and never called, so it does nothing.


async def asgi(scope, receive, send): ...


async def asgi_with_a_default(scope, receive, send=None): ...


def forwarding(function):
    """Decorate as most people do."""

    @functools.wraps(function)
    def forward(*arguments, **keywords): ...

    return forward


def forwarding_the_first(function):
    """Decorate as those do who look at the first argument."""

    @functools.wraps(function)
    def forward(first, *rest): ...

    return forward


def forwarding_unseen(function):
    """Decorate as careless people do."""

    def forward(*arguments, **keywords): ...

    return forward


def forwarding_unseen_async(function):
    async def forward(*arguments): ...

    return forward


def configured(config, environ, start_response): ...


async def configured_async(config, scope, receive, send): ...


class Instance:
    def __call__(self, environ, start_response): ...

    def method(self, environ, start_response): ...

    @staticmethod
    def static(environ, start_response): ...

    @forwarding
    def decorated(self, environ, start_response): ...


class Decorated:
    @forwarding
    def __call__(self, environ, start_response): ...


class AsyncInstance:
    async def __call__(self, scope, receive, send): ...

    @forwarding
    async def decorated(self, scope, receive, send): ...


class AsyncDecorated:
    @forwarding
    async def __call__(self, scope, receive, send): ...


class InSlot:
    """Hold what is called as a value, as some generated and some traced classes do."""

    __slots__ = ("__call__",)

    def __init__(self, call):
        self.__call__ = call


class Body:
    """PEP 3333's example: the class is the application, its instance the body."""

    def __init__(self, environ, start_response): ...

    def __iter__(self): ...


class Awaitable:
    def __init__(self, scope, receive, send): ...

    def __await__(self): ...


class LikeADecorator:
    """Have ``__get__``, which makes signature() take an instance for C code."""

    def __call__(self, environ, start_response): ...

    def __get__(self, instance, owner): ...


def django_wsgi():
    from django.core.handlers.wsgi import WSGIHandler

    return WSGIHandler.__new__(WSGIHandler)  # made without settings: it is only looked at


def django_asgi():
    from django.core.handlers.asgi import ASGIHandler

    return ASGIHandler.__new__(ASGIHandler)


def flask():
    from flask import Flask

    return Flask(__name__)


def flask_behind_a_proxy():
    from werkzeug.middleware.proxy_fix import ProxyFix

    site = flask()
    site.wsgi_app = ProxyFix(site.wsgi_app)
    return site.wsgi_app


def flask_through_a_local():
    from werkzeug.local import LocalProxy

    return LocalProxy(flask)


def pyramid():
    with warnings.catch_warnings():
        # It imports pkg_resources, which warns of itself and of what it finds.
        warnings.simplefilter("ignore")
        from pyramid.config import Configurator

    return Configurator().make_wsgi_app()


def wsgify():
    from webob import Response
    from webob.dec import wsgify

    return wsgify(lambda request: Response("made by a view"))


def wsgify_middleware():
    from webob.dec import wsgify

    return wsgify.middleware(lambda request, app: request.get_response(app))(hello)


def webob_response():
    from webob import Response

    return Response("a response is an application")


def fastapi():
    from fastapi import FastAPI

    return FastAPI()


def starlette():
    from starlette.applications import Starlette

    return Starlette()


def sentry_wsgi():
    from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware

    return SentryWsgiMiddleware(hello)


def sentry_asgi():
    from sentry_sdk.integrations.asgi import SentryAsgiMiddleware

    return SentryAsgiMiddleware(asgi)


def elastic():
    from elasticapm.middleware import ElasticAPM

    return ElasticAPM(hello, client=Mock())


def a2wsgi_to_wsgi():
    from a2wsgi import ASGIMiddleware

    middleware = ASGIMiddleware.__new__(ASGIMiddleware)  # without the thread of its loop
    middleware.app = asgi
    return middleware


def a2wsgi_to_asgi():
    from a2wsgi import WSGIMiddleware

    return WSGIMiddleware(hello)


def asgiref_to_asgi():
    from asgiref.wsgi import WsgiToAsgi

    return WsgiToAsgi(hello)


def asgiref_single_callable():
    from asgiref.compatibility import guarantee_single_callable

    return guarantee_single_callable(Double)


def sync_to_async():
    from asgiref.sync import sync_to_async

    return sync_to_async(forwarding_unseen(hello))


def traced(target):
    """Wrap as the agents of New Relic, Datadog and OpenTelemetry do."""
    from wrapt import FunctionWrapper

    return FunctionWrapper(target, lambda wrapped, instance, args, kw: wrapped(*args, **kw))


def proxied(target):
    from wrapt import CallableObjectProxy

    return CallableObjectProxy(target)


def itself():
    def loop(*arguments): ...

    loop.__wrapped__ = loop
    return loop


WSGI = {
    "function": lambda: hello,
    "generator function": lambda: lambda environ, start_response: (yield b""),
    "lambda": lambda: lambda environ, start_response: [],
    "function with more, optional": lambda: with_more,
    "function that takes any number": lambda: forwarding_unseen(hello),
    "function with two and any number more": lambda: lambda environ, start, *more: [],
    "decorated function": lambda: forwarding(hello),
    "function decorated twice": lambda: forwarding(forwarding(hello)),
    "decorated function whose decorator names the first": lambda: forwarding_the_first(hello),
    "decorated adapter of a view": lambda: forwarding(adapter_of_a_view),
    "decorated sync adapter of a coroutine": lambda: forwarding(adapter_of_a_coroutine),
    "instance": Instance,
    "method": lambda: Instance().method,
    "static method": lambda: Instance.static,
    "decorated method": lambda: Instance().decorated,
    "instance whose __call__ is decorated": Decorated,
    "instance that holds its __call__ in a slot": lambda: InSlot(hello),
    "instance with __get__": LikeADecorator,
    "class whose instances are bodies": lambda: Body,
    "partial": lambda: functools.partial(configured, "x"),
    "partial by keyword": lambda: functools.partial(with_more, more=1),
    "partial of a decorated function": lambda: functools.partial(forwarding(configured), 1),
    "partial of an instance": lambda: functools.partial(Instance()),
    "C code without a signature": lambda: C_CODE,
    "method wrapper of C": lambda: hello.__call__,
    "function that says it wraps itself": itself,
    "Mock": Mock,
    "MagicMock": MagicMock,
    "Mock of a function": lambda: Mock(spec=hello),
    "autospec": lambda: create_autospec(hello),
    "Django": django_wsgi,
    "Flask": flask,
    "Flask behind ProxyFix": flask_behind_a_proxy,
    "Flask through a LocalProxy": flask_through_a_local,
    "Pyramid": pyramid,
    "WebOb wsgify": wsgify,
    "WebOb wsgify.middleware": wsgify_middleware,
    "WebOb Response": webob_response,
    "Sentry around WSGI": sentry_wsgi,
    "Elastic APM around WSGI": elastic,
    "a2wsgi around ASGI": a2wsgi_to_wsgi,
    "wrapt around a function": lambda: traced(hello),
    "wrapt around Flask": lambda: traced(flask()),
    "wrapt proxy of Flask": lambda: proxied(flask()),
    "CloseGuard": lambda: CloseGuard(hello),
    "Mount": lambda: Mount(None, {"/": hello}),
    "Application": lambda: Application(hello),
    "Application around ASGI": lambda: Application(asgi),
}

ASGI = {
    "function": lambda: asgi,
    "function with a default": lambda: asgi_with_a_default,
    "function that is not async": lambda: lambda scope, receive, send: asgi(None, None, None),
    "async function that takes any number": lambda: forwarding_unseen_async(asgi),
    "decorated function": lambda: forwarding(asgi),
    "decorated function whose decorator names the first": lambda: forwarding_the_first(asgi),
    "decorated async function": lambda: forwarding(forwarding_unseen_async(asgi)),
    "instance": AsyncInstance,
    "instance whose __call__ is decorated": AsyncDecorated,
    "decorated method": lambda: AsyncInstance().decorated,
    "instance that holds its __call__ in a slot": lambda: InSlot(asgi),
    "class whose instances can be awaited": lambda: Awaitable,
    "partial": lambda: functools.partial(configured_async, 1),
    "partial of a decorated function": lambda: functools.partial(
        forwarding(configured_async), 1
    ),
    "partial of an instance": lambda: functools.partial(AsyncInstance()),
    "Mock of a function": lambda: Mock(spec=asgi),
    "AsyncMock": AsyncMock,
    "autospec": lambda: create_autospec(asgi),
    "Django": django_asgi,
    "FastAPI": fastapi,
    "Starlette": starlette,
    "Sentry around ASGI": sentry_asgi,
    "a2wsgi around WSGI": a2wsgi_to_asgi,
    "asgiref around WSGI": asgiref_to_asgi,
    "asgiref around ASGI 2": asgiref_single_callable,
    "asgiref's sync_to_async": sync_to_async,
    "wrapt around a function": lambda: traced(asgi),
    "wrapt around Starlette": lambda: traced(starlette()),
    "wrapt proxy of Starlette": lambda: proxied(starlette()),
}


def with_more(environ, start_response, more=None): ...


@functools.wraps(lambda request: None)
def adapter_of_a_view(environ, start_response, *more): ...


async def async_of_two(environ, start_response): ...


async def async_generator(environ, start_response):
    yield b""  # pragma: no cover - without it this would be a coroutine


@functools.wraps(async_of_two)
def adapter_of_a_coroutine(*arguments): ...


# It does not say what it takes: on no version, and on PyPy hardly anything else.
C_CODE = threading.RLock().__exit__ if IS_PYPY else {}.update


class Double:
    """An ASGI 2 application: called once with the scope, then awaited with the rest."""

    def __init__(self, scope): ...

    async def __call__(self, receive, send): ...


@functools.lru_cache
def cached_factory(): ...


class TestKind:
    @pytest.mark.parametrize("make", WSGI.values(), ids=WSGI.keys())
    def test_it_is_wsgi(self, make):
        assert kind_of(make()) == "WSGI"

    @pytest.mark.parametrize("make", ASGI.values(), ids=ASGI.keys())
    def test_it_is_asgi(self, make):
        assert kind_of(make()) == "ASGI"

    def test_looking_calls_nothing(self):
        target = Mock()

        kind_of(target)

        assert target.mock_calls == []


def refusal_of(target):
    with pytest.raises(ApplicationTypeError) as caught:
        kind_of(target)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


class Layer:
    def __init__(self, application, options): ...


class Collection:
    def __init__(self, items): ...

    def __iter__(self): ...


class Form:
    def __init__(self, name, size, colour): ...


class Task:
    def __init__(self, name): ...

    def __await__(self): ...


class TestNeitherKind:
    @pytest.mark.parametrize(
        "target", [None, 42, b"shop:app", ["shop:app"], types.ModuleType("shop")], ids=repr
    )
    def test_what_cannot_be_called_is_shown(self, target):
        assert refusal_of(target) == (
            "application must be a WSGI or ASGI callable, an import string or an"
            f" Application, got {target!r}"
        )

    def test_a_large_value_is_shown_in_part(self):
        message = refusal_of({"/shop": "x" * 10_000})

        assert message.endswith("xxx...")

    @pytest.mark.parametrize(
        "factory",
        [
            lambda: hello,
            lambda config=None: hello,
            lambda config=None, debug=False: hello,
            lambda config=None, debug=False, *, name="x": hello,
            lambda config=None, debug=False, name="x": hello,
            forwarding(lambda: hello),
            forwarding(lambda config=None, debug=False: hello),
            cached_factory,
            functools.partial(lambda config: hello, 1),
        ],
    )
    def test_a_factory_is_to_be_called(self, factory):
        assert refusal_of(factory) == (
            f"application must take (environ, start_response), got {factory!r}, which needs"
            " no argument and looks like a factory: call it, or write 'pkg.mod:factory()'"
        )

    @pytest.mark.parametrize(
        "target",
        [
            lambda config: hello,  # a factory
            lambda global_conf, **local_conf: hello,  # PasteDeploy's
            lambda request: None,  # a view
            len,  # C code that says so
            lambda scope: asgi,  # ASGI 2
            forwarding(lambda config: hello),
        ],
    )
    def test_what_takes_one_argument_is_told_what_it_may_be(self, target):
        assert refusal_of(target) == (
            f"application must take (environ, start_response), got {target!r}, which takes"
            " one argument. Call a factory first, 'pkg.mod:factory(\"x\")'; give a view of"
            " Request -> Response to Application.from_view; give an ASGI 2 application to"
            " asgiref.compatibility.guarantee_single_callable"
        )

    @pytest.mark.parametrize(
        ("target", "signature"),
        [
            (lambda a, b, c, d: None, "(a, b, c, d)"),
            (lambda environ, start_response, *, key: None, "(environ, start_response, *, key)"),
        ],
    )
    def test_any_other_is_told_what_it_takes(self, target, signature):
        assert refusal_of(target) == (
            f"application must take (environ, start_response), got {target!r}, which takes"
            f" {signature}"
        )

    @pytest.mark.parametrize(
        "target",
        [async_of_two, async_generator, functools.partial(async_of_two), InSlot(async_of_two)],
    )
    def test_an_async_function_of_two_is_refused(self, target):
        assert refusal_of(target) == (
            f"WSGI application must not be async, got {target!r}; an ASGI one takes (scope,"
            " receive, send)"
        )

    @pytest.mark.parametrize(
        "target",
        [Instance, AsyncInstance, Layer, Collection, Form, Task, Double, dict, enumerate],
    )
    def test_a_class_is_to_be_called_first(self, target):
        assert refusal_of(target) == (
            f"application must be an instance, got the class {target!r}: call it first, or"
            f" write 'pkg.mod:{target.__name__}(...)'; an ASGI 2 application goes through"
            " asgiref.compatibility.guarantee_single_callable"
        )

    def test_its_error_is_a_type_error_of_ours(self):
        with pytest.raises(TypeError) as caught:
            kind_of(None)

        assert isinstance(caught.value, FreedomError)


class TestTakes:
    def test_it_counts_what_can_be_given_by_position(self):
        def function(a, b=None, *, c=None): ...

        assert [takes(function, count) for count in range(4)] == [False, True, True, False]

    def test_c_code_that_does_not_say_is_believed(self):
        assert takes(C_CODE, 1)
        assert takes(C_CODE, 2)

    def test_what_cannot_be_called_takes_nothing(self):
        assert not takes("text", 0)


class TestIsAsync:
    @pytest.mark.parametrize(
        ("call", "expected"),
        [
            (hello, False),
            (Instance(), False),
            (asgi, True),
            (async_generator, True),
            (AsyncInstance(), True),
            (functools.partial(asgi), True),
            (InSlot(asgi), True),
        ],
    )
    def test_it_looks_at_what_is_called(self, call, expected):
        assert is_async(call) is expected


def test_telling_kinds_apart_costs_an_import_only_when_it_is_done():
    """Loading inspect would double the time that ``import freedom_middleware`` takes."""
    script = (
        "import sys; before = set(sys.modules); import freedom_middleware;"
        " print({'inspect', 'ast'} & (set(sys.modules) - before))"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "set()\n"
