import functools
from pathlib import Path
from unittest.mock import Mock
from wsgiref.validate import validator

import a2wsgi
import cherrypy
import pytest
import webob.dec
import wrapt
from cheroot.wsgi import PathInfoDispatcher
from fastapi import FastAPI
from flask import Flask
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
from paste.cascade import Cascade
from paste.urlmap import URLMap
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from webtest.lint import middleware as lint
from werkzeug.local import LocalProxy
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from whitenoise import WhiteNoise

from freedom_middleware import Application, CloseGuard, Mount
from freedom_middleware.errors import ApplicationTypeError
from freedom_middleware.testing import exchange, hello
from freedom_middleware.tree import (
    candidates,
    children_of,
    describe,
    draw,
    edges_of,
    name_of,
    walk,
)
from tests.neighbours import layers


def test_it_walks_outermost_first_with_labels_and_names():
    application = CloseGuard(Mount(hello, {"/a": Mount(None, {"/b": hello})}))

    nodes = [(node.depth, node.label, node.name) for node in walk(application)]

    assert nodes == [
        (0, "", "CloseGuard"),
        (1, "", "Mount"),
        (2, "/a", "Mount"),
        (3, "/b", "hello"),
        (3, "*", "404 Not Found"),
        (2, "*", "hello"),
    ]


def test_it_draws_what_it_walked():
    application = CloseGuard(
        Mount(
            hello,
            {"/a": Mount(None, {"/b": hello}), "/long": "freedom_middleware.testing:hello"},
        )
    )

    assert draw(application) == (
        "CloseGuard\n"
        "└─ Mount\n"
        "   ├─ /a     Mount\n"
        "   │  ├─ /b  hello\n"
        "   │  └─ *   404 Not Found\n"
        "   ├─ /long  freedom_middleware.testing:hello\n"
        "   └─ *      hello"
    )


def test_any_object_may_name_its_children():
    class Layer:
        def __call__(self, environ, start_response):
            return hello(environ, start_response)

        def wsgi_children(self):
            return [("", hello)]

    assert draw(Layer()).endswith("Layer\n└─ hello")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda self: 1 / 0, r"got ZeroDivisionError: division by zero \(.*test_tree.py:\d+\)"),
        (lambda self: None, "got TypeError: 'NoneType' object is not iterable$"),
        (lambda self: [hello], "got <function hello .*> among them"),
        (lambda self: [("/a", hello, "more")], r"got \('/a', .*\) among them"),
        (lambda self: [(1, hello)], r"got \(1, .*\) among them"),
        ([("/a", hello)], "got TypeError: 'list' object is not callable"),
    ],
)
def test_who_fails_to_name_its_children_is_named(answer, says):
    class Layer:
        wsgi_children = answer

        def __call__(self, environ, start_response): ...

    rule = r"wsgi_children\(\) of Layer must return pairs of a label, which is text, and .*, "
    with pytest.raises(ApplicationTypeError, match=rule + says):
        draw(Mount(None, {"/a": Layer()}))


def test_an_adapter_is_not_shown_beside_what_it_adapts():
    inner = Mount(None, {"/a": hello})

    assert draw(Application(inner)) == draw(inner)


def test_a_name_stands_above_what_it_names():
    inner = Mount(None, {})

    assert draw(Application(inner, name="shop")) == "shop\n└─ Mount\n   └─ *  404 Not Found"
    assert list(children_of(Application(hello, name="shop"))) == []


def test_an_application_below_itself_is_named_and_not_entered():
    mount = Mount(None, {})
    mount.mounts["/again"] = mount

    assert [node.depth for node in walk(mount)] == [0, 1, 1]


def test_a_leaf_is_one_line():
    assert draw(hello) == "hello"


def other(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"other"]


def ask(application, path="/"):
    return exchange(application, path).body


def flask_behind_a_proxy():
    app = Flask("shop")
    app.wsgi_app = ProxyFix(app.wsgi_app)
    return app


class Layer:
    def __init__(self, application):
        self.app = application

    def __call__(self, environ, start_response):
        return self.app(environ, start_response)


def make_layer(application):
    def layer(environ, start_response):
        return application(environ, start_response)

    return layer


def decorate(application):
    @functools.wraps(application)
    def decorated(*args, **kwargs):
        return application(*args, **kwargs)

    return decorated


class Slotted:
    __slots__ = ("_wsgi_app", "empty")

    def __init__(self, application):
        self._wsgi_app = application

    def __call__(self, environ, start_response):
        return self._wsgi_app(environ, start_response)


def call(application, environ, start_response):
    return application(environ, start_response)


@wrapt.decorator
def wrapping(wrapped, instance, args, kwargs):
    return wrapped(*args, **kwargs)


@webob.dec.wsgify.middleware
def wsgify(request, application):
    return request.get_response(application)


def with_default(application):
    def layer(environ, start_response, app=application):
        return app(environ, start_response)

    return layer


def by_keyword(inner):
    return functools.partial(with_keyword, application=inner)


def with_keyword(environ, start_response, *, application):
    return application(environ, start_response)


def method_of_a_local_class(inner):
    class Local:
        def __init__(self):
            self.application = inner

        def serve(self, environ, start_response):
            return self.application(environ, start_response)

    return Local().serve


class ThatHolds(list):
    def __init__(self, inner):
        super().__init__([inner])

    def __call__(self, environ, start_response):
        return self[0](environ, start_response)


OF_ONE = [
    (Layer, "Layer", "tests/test_tree.py"),
    (lambda inner: Layer(inner).__call__, "Layer.__call__", "tests/test_tree.py"),
    (Slotted, "Slotted", "tests/test_tree.py"),
    (make_layer, "make_layer", "tests/test_tree.py"),
    (decorate, "decorate", "tests/test_tree.py"),
    (with_default, "with_default", "tests/test_tree.py"),
    (lambda inner: functools.partial(call, inner), "call", "tests/test_tree.py"),
    (by_keyword, "with_keyword", "tests/test_tree.py"),
    (method_of_a_local_class, "Local.serve", "tests/test_tree.py"),
    (ThatHolds, "ThatHolds", "tests/test_tree.py"),
    (wrapping, "FunctionWrapper", ""),
    (wrapt.CallableObjectProxy, "CallableObjectProxy", ""),
    (wsgify, "wsgify", "WebOb"),
    (validator, "validator", "Python"),
    (lint, "middleware", "WebTest"),
    (ProxyFix, "ProxyFix", "Werkzeug"),
    (WhiteNoise, "WhiteNoise", "whitenoise"),
    (SentryWsgiMiddleware, "SentryWsgiMiddleware", "sentry-sdk"),
    (OpenTelemetryMiddleware, "OpenTelemetryMiddleware", "opentelemetry-instrumentation-wsgi"),
    (layers.elastic_apm, "ElasticAPM", "elastic-apm"),
    pytest.param(layers.ddtrace, "DDWSGIMiddleware", "ddtrace", marks=pytest.mark.ddtrace),
    pytest.param(
        *(layers.instana, "InstanaWSGIMiddleware", "instana"), marks=pytest.mark.tracemalloc
    ),
    (layers.werkzeug_debugger, "DebuggedApplication", "Werkzeug"),
    (layers.raven_shaped, "raven_shaped", "tests/neighbours/layers.py"),
]


class TestOtherPeoplesLayers:
    @pytest.mark.parametrize(("make", "name", "origin"), OF_ONE)
    def test_a_layer_is_named_and_what_it_is_around_is_found(
        self, make, name, origin, monkeypatch
    ):
        monkeypatch.chdir(Path(__file__).parent.parent)

        nodes = list(walk(make(hello)))

        assert [node.name for node in nodes] == [name, "hello"]
        assert (nodes[0].framework or nodes[0].where).startswith(origin)
        assert [node.kind for node in nodes] == ["", "WSGI"]

    @pytest.mark.parametrize(("make", "name", "_"), OF_ONE)
    def test_the_place_that_holds_a_child_is_the_one_that_is_called(self, make, name, _):
        layer = make(hello)
        [edge] = edges_of(layer)

        for place in edge.places:
            assert place.get() is hello
            place.set(other)

        assert ask(layer) == b"other"
        [edge] = edges_of(layer)
        assert edge.application is other

    def test_what_functools_wraps_copies_does_not_hide_the_guard(self):
        guard = CloseGuard(hello)

        assert draw(decorate(guard)) == "decorate\n└─ CloseGuard\n   └─ hello"
        assert draw(decorate(flask_behind_a_proxy())).startswith("decorate\n└─ Flask\n")

    def test_nor_does_it_behind_a_proxy_or_in_an_instance(self):
        assert draw(decorate(wrapping(CloseGuard(hello)))).startswith(
            "decorate\n└─ FunctionWrapper\n   └─ CloseGuard\n"
        )

        class Decorates:
            def __init__(self, application):
                functools.update_wrapper(self, application)

            def __call__(self, environ, start_response):
                return self.__wrapped__(environ, start_response)

        assert not draw(Decorates(CloseGuard(hello))).startswith("CloseGuard")

    def test_a_function_that_only_names_what_it_wraps(self):
        def layer(environ, start_response):
            return hello(environ, start_response)

        layer.__wrapped__ = hello

        assert [name for name, _ in children_of(layer)] == [""]

    def test_flask_is_around_its_own_method(self):
        assert draw(flask_behind_a_proxy()) == ("Flask\n└─ ProxyFix\n   └─ Flask.wsgi_app")
        assert draw(Flask("shop")) == "Flask"

    def test_what_an_object_holds_is_not_below_its_own_method(self):
        app = flask_behind_a_proxy()
        app.fallback_app = hello

        assert [node.depth for node in walk(app)] == [0, 1, 2, 1]

    def test_who_knows_the_application_around_it_does_not_hold_it(self):
        inner = Layer(None)
        outer = Layer(inner)
        inner.app = outer

        assert draw(outer) == "Layer\n└─ Layer"

    # It imports pkg_resources, which warns of itself and of what it finds.
    @pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
    def test_pyramid_is_one_application(self):
        from pyramid.config import Configurator

        with Configurator() as config:
            router = config.make_wsgi_app()

        [node] = walk(router)

        assert (node.name, node.kind) == ("Router", "WSGI")
        assert node.framework.startswith("pyramid 2.")

    def test_an_asgi_application_is_shown_and_not_entered(self):
        nodes = list(walk(a2wsgi.ASGIMiddleware(FastAPI())))

        assert [(node.name, node.kind) for node in nodes] == [
            ("ASGIMiddleware", ""),
            ("FastAPI", "ASGI"),
        ]
        assert nodes[1].framework.startswith("fastapi 0.")

    def test_nothing_is_loaded_and_no_attribute_is_made_up(self):
        def load():
            raise AssertionError("it was asked")

        mock = Mock()

        assert draw(Layer(LocalProxy(load))) == "Layer\n└─ LocalProxy"
        assert draw(Layer(mock)) == "Layer\n└─ Mock"
        assert mock.mock_calls == []
        assert "wsgi_children" not in mock._mock_children

    def test_callbacks_loggers_and_classes_are_no_children(self):
        class Busy(Layer):
            def __init__(self, application):
                super().__init__(application)
                self.callback = lambda request, response: None
                self.on_error = lambda environ, exception: None
                self.app_factory = make_layer
                self.start_response = lambda status, headers, exc_info=None: None
                self.application_class = Layer
                self.clock = time
                self.helper = self.help
                self.handlers = [lambda a, b: None]
                self.cache = dict.fromkeys(range(60_000), hello)
                self.itself = self

            def help(self, environ, start_response): ...

        def time(): ...

        [(label, child)] = children_of(Busy(hello))

        assert (label, child) == ("", hello)


class TestOtherPeoplesDispatchers:
    def test_werkzeug(self):
        dispatcher = DispatcherMiddleware(hello, {"/a": hello, "/b": flask_behind_a_proxy()})

        assert draw(dispatcher) == (
            "DispatcherMiddleware\n"
            "├─ /a   hello\n"
            "├─ /b   Flask\n"
            "│       └─ ProxyFix\n"
            "│          └─ Flask.wsgi_app\n"
            "└─ app  hello"
        ).replace("│       └─", "│  └─").replace("│          └─", "│     └─")

    def test_one_that_holds_only_its_default_is_a_layer(self):
        assert list(children_of(DispatcherMiddleware(hello))) == [("", hello)]

    def test_paste(self):
        urlmap = URLMap()
        urlmap["/a"] = hello
        urlmap["http://shop.example/b"] = other

        assert list(children_of(urlmap)) == [("shop.example /b", other), ("/a", hello)]
        assert list(children_of(Cascade([hello, other]))) == [("1", hello), ("2", other)]
        assert list(children_of(Cascade([hello]))) == [("", hello)]

    def test_cheroot(self):
        dispatcher = PathInfoDispatcher({"/": hello, "/a": other})

        assert list(children_of(dispatcher)) == [("/a", other), ("''", hello)]

    def test_cherrypy(self):
        tree = cherrypy._cptree.Tree()
        tree.graft(hello, "/a")
        tree.graft(other, "")
        tree.mount(object(), "/b")

        assert draw(tree) == (
            "Tree\n├─ /a  hello\n├─ ''  other\n└─ /b  Application\n   └─ CPWSGIApp"
        )

    @pytest.mark.parametrize(
        "table",
        [
            {"/a": [("GET", hello), ("PUT", other)]},
            [["/a GET", hello], ["/a PUT", other]],
            [("/a", [("GET", hello), ("PUT", other)])],
        ],
    )
    def test_tables_in_tables(self, table):
        class Dispatcher(Layer): ...

        assert list(children_of(Dispatcher(table))) == [("/a GET", hello), ("/a PUT", other)]

    def test_a_table_is_not_followed_for_ever(self):
        deep = [[[[[[("/a", hello)]]]]]]

        assert list(children_of(Layer(deep))) == []

    def test_a_row_in_a_tuple_is_made_anew(self):
        urlmap = URLMap()
        urlmap["/a"] = hello
        [edge] = edges_of(urlmap)
        edge.places[0].set(other)

        assert ask(urlmap, "/a") == b"other"

    def test_ten_thousand_mounts_are_shown(self):
        dispatcher = DispatcherMiddleware(hello, {f"/{n}": hello for n in range(10_000)})

        assert draw(dispatcher).count("\n") == 10_001


class TestEdges:
    def test_of_our_own_tree_they_lead_to_what_is_called(self):
        children = {path: make_layer(hello) for path in ("/a", "/b/c/d", "/b")}
        mount = Mount(hello, children)
        guard = CloseGuard(mount)

        for edge in edges_of(mount):
            [place] = edge.places
            assert place.get() is children.get(edge.label, hello)
            place.set(other)

        for path in ("/", "/a", "/b", "/b/c/d"):
            assert ask(guard, path) == b"other"
        [edge] = edges_of(guard)
        [place] = edge.places
        place.set(hello)
        assert ask(guard) == b"Hello, world!\n"

    def test_of_an_adapter_they_are_those_of_what_it_adapts(self):
        app = flask_behind_a_proxy()

        [edge] = edges_of(Application(app))
        assert edge.application is app.wsgi_app
        assert [place.path for place in edge.places] == [".wsgi_app"]
        [edge] = edges_of(Application(app, name="shop"))
        assert edge.application is app

    def test_of_what_names_its_children_and_hides_them_there_are_no_places(self):
        class Hidden:
            __slots__ = ()

            def __call__(self, environ, start_response): ...

            def wsgi_children(self):
                return [("", hello)]

        [edge] = edges_of(Hidden())

        assert edge[:3] == ("", hello, ())

    def test_nobody_elses_objects_are_searched_for_them(self):
        class Callback:
            def __init__(self):
                self.held = guarded

            def __call__(self, finding): ...

        guarded = Layer(hello)
        guard = CloseGuard(guarded, on_leak=Callback())

        [edge] = edges_of(guard)

        assert [place.path for place in edge.places] == ["<call>"]


class TestCandidates:
    def test_they_are_whatever_could_be_called_within_three_hops(self):
        class Chain:
            def __init__(self):
                self.steps = [{"run": lambda a, b: None}]
                self.next = hello

        class Hiding:
            def __init__(self):
                self._chain = Chain()

            def __call__(self, environ, start_response): ...

        layer = Hiding()

        assert list(children_of(layer)) == []
        assert [edge.label for edge in candidates(layer)] == [
            "._chain.next",
            "._chain.steps[0]['run']",
        ]
        assert list(candidates(layer, hops=1)) == []

    def test_an_empty_slot_is_passed_over(self):
        assert [edge.label for edge in candidates(Slotted(hello))] == ["._wsgi_app"]

    def test_they_hold_everything_that_is_a_child_for_sure(self):
        app = flask_behind_a_proxy()

        assert app.wsgi_app in [edge.application for edge in candidates(app)]


class TestDescription:
    def test_kinds_frameworks_and_lines(self, monkeypatch):
        monkeypatch.chdir(Path(__file__).parent.parent)
        view = Application.from_view(lambda request: None)
        mount = Mount(
            hello,
            {
                "/flask": Application(flask_behind_a_proxy(), name="shop:app"),
                "/api": FastAPI(),
                "/lazy": Application("no_such:app", lazy=True),
                "/view": view,
            },
        )

        told = {node.name: (node.kind, node.framework.split(" ")[0]) for node in walk(mount)}

        assert told == {
            "Mount": ("", ""),
            "shop:app": ("", ""),
            "Flask": ("", "Flask"),
            "ProxyFix": ("", "Werkzeug"),
            "Flask.wsgi_app": ("WSGI", "Flask"),
            "FastAPI": ("ASGI", "fastapi"),
            "no_such:app": ("lazy", ""),
            "TestDescription.test_kinds_frameworks_and_lines": ("view", ""),
            "hello": ("WSGI", ""),
        }
        assert describe(mount).where.startswith("tests/test_tree.py:")
        assert describe(view).where.startswith("tests/test_tree.py:")

    def test_a_lazy_application_is_shown_when_it_is_loaded(self):
        lazy = Application("freedom_middleware.testing:hello", lazy=True)
        assert describe(lazy) == ("lazy", "", "")

        lazy.load()

        assert describe(lazy).kind == "WSGI"
        assert draw(lazy) == "freedom_middleware.testing:hello"
        guard = Application("tests.test_tree:A_GUARD", lazy=True)
        guard.load()
        assert draw(guard) == "tests.test_tree:A_GUARD\n└─ CloseGuard\n   └─ hello"
        assert [edge.application for edge in edges_of(guard)] == [A_GUARD]

    def test_a_404_is_no_kind_of_application(self):
        assert [node.kind for node in walk(Mount(None, {}))] == ["", ""]

    @pytest.mark.parametrize(
        ("thing", "name"),
        [
            (functools.partial(call, hello), "call"),
            (Layer(hello).__call__, "Layer.__call__"),
            (flask_behind_a_proxy, "flask_behind_a_proxy"),
            (Layer, "Layer"),
            (print, "print"),
        ],
    )
    def test_names(self, thing, name):
        assert name_of(thing) == name


class TestLargeTrees:
    def test_a_thousand_layers(self):
        application = hello
        for _ in range(1_000):
            application = Layer(application)

        assert draw(application).count("\n") == 1_000

    def test_shared_applications_are_shown_often_and_not_for_ever(self):
        application = hello
        for _ in range(30):
            application = Cascade([application, application])

        assert 1_000 < sum(1 for _ in walk(application)) < 10_000

    def test_what_would_move_the_cursor_is_shown_as_an_escape(self):
        dispatcher = DispatcherMiddleware(hello, {"/\x1b[2J": Application(hello, name="a\nb")})

        assert "\x1b" not in draw(dispatcher)
        assert draw(dispatcher).count("\n") == 2


A_GUARD = CloseGuard(hello)
