import functools
import sys
import types
from pathlib import Path
from wsgiref.validate import validator

import flask
from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

from freedom_middleware import CloseGuard
from freedom_middleware.origins import framework_of, relative, where_of
from freedom_middleware.testing import hello


class Shop(flask.Flask):
    pass


class Layer:
    def __call__(self, environ, start_response): ...

    def method(self, environ, start_response): ...


def function(environ, start_response): ...


def line_of(text):
    lines = Path(__file__).read_text("utf-8").splitlines()
    return f"{__file__}:{lines.index(text) + 1}"


def test_a_class_is_of_the_distribution_that_holds_its_module():
    assert framework_of(flask.Flask("x")).startswith("Flask 3.")
    assert framework_of(flask.Flask("x").wsgi_app).startswith("Flask 3.")


def test_a_class_of_the_users_own_is_of_what_it_inherits_from():
    assert framework_of(Shop("x")).startswith("Flask 3.")
    assert framework_of(Layer()) == ""
    assert framework_of(function) == ""


def test_of_distributions_that_share_a_package_the_one_that_has_the_file():
    assert framework_of(OpenTelemetryMiddleware(hello)).startswith(
        "opentelemetry-instrumentation-wsgi 0."
    )


def test_the_standard_library_is_pythons_and_ours_needs_no_name():
    assert framework_of(validator(hello)) == f"Python {sys.version.split()[0]}"
    assert framework_of(hello) == ""
    assert framework_of(CloseGuard(hello)) == ""


def test_a_module_called_as_somebodys_package_is_the_users_own(monkeypatch, tmp_path):
    module = types.ModuleType("flask.of_mine")
    module.__file__ = str(tmp_path / "flask.py")
    monkeypatch.setitem(sys.modules, "flask.of_mine", module)
    exec("class Thing: pass", module.__dict__)  # noqa: S102 - a class of that module

    assert framework_of(module.Thing()) == ""
    assert where_of(module.Thing()) == ""


def test_the_users_own_code_has_a_line(monkeypatch):
    monkeypatch.chdir("/")
    assert "/" + where_of(Layer()) == line_of("class Layer:")
    assert "/" + where_of(function) == line_of("def function(environ, start_response): ...")
    assert where_of(functools.partial(function)) == where_of(function)
    assert where_of(Layer().method) == where_of(Layer.method)


def test_a_decorated_function_is_where_its_own_code_is():
    @functools.wraps(hello)
    def layer(*args): ...

    assert where_of(layer).rpartition(":")[0] == relative(__file__)


def test_what_others_wrote_has_none():
    assert where_of(flask.Flask("x")) == ""
    assert where_of(hello) == ""
    assert where_of(validator(hello)) == ""


def test_what_was_made_from_text_has_none():
    names = {"__name__": "mine"}
    exec("def function(a, b): ...\nclass Thing: ...", names)  # noqa: S102 - that is the point

    assert where_of(names["function"]) == ""
    assert where_of(names["Thing"]()) == ""
    assert framework_of(names["function"]) == ""
