"""The line that made a layer is found by reading the user's code, or not made up."""

import functools
import sys
from textwrap import dedent

import pytest

from freedom_middleware.leaks.added import MOST, lines_of

LAYERS = """\
import functools

def outer(application):
    def layer(environ, start_response): return application(environ, start_response)
    return layer

def with_options(option):
    def wrap(application):
        def layer(environ, start_response): return application(environ, start_response)
        return layer
    return wrap

class Layer:
    def __init__(self, application): self.application = application
    def __call__(self, environ, start_response): ...
    def wsgi_app(self, environ, start_response): ...
    @staticmethod
    def around(application):
        def layer(environ, start_response): return application(environ, start_response)
        return layer

@functools.lru_cache
def cached(application):
    def layer(environ, start_response): return application(environ, start_response)
    return layer

def with_first(application, environ, start_response):
    return application(environ, start_response)

def site(environ, start_response): ...
"""


@pytest.fixture
def import_(tmp_path, monkeypatch):
    """Import a module that is written for one test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def import_module(name, text):
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))
        return functools.reduce(getattr, name.split(".")[1:], __import__(name))

    import_module("layers", LAYERS)
    yield import_module
    for name in set(sys.modules) - before:
        del sys.modules[name]


def places(layer, first="mine"):
    return [str(line) for line in lines_of(layer, first)]


@pytest.mark.parametrize(
    "text",
    [
        "from layers import *\n\napplication = Layer(site)",
        "import layers\n\napplication = layers.Layer(layers.site)",
        "import layers as l\n\napplication = l.Layer(application=l.site)",
        "from layers import *\n\napplication = outer(site)",
        "from layers import *\n\napplication = with_options(1)(site)",
        "from layers import *\n\napplication = Layer.around(site)",
        "from layers import *\n\napplication = cached(site)",
        "from layers import *\n\napplication = Layer(site).wsgi_app",
        "from layers import *\n\n@outer\ndef application(environ, start_response): ...",
        "from layers import *\n\n@with_options(1)\ndef application(environ, start): ...",
        "from layers import *\n\napplication = functools.partial(with_first, site)",
        "def f():\n    from layers import Layer as L\n    return L(None)\napplication = f()",
        "def f():\n    import layers\n    return layers.outer(layers.site)\napplication = f()",
        "from layers import *\nif site:\n    application = Layer(Layer.around(site))",
        "from layers import *\n\nsite.wsgi_app = Layer(site)\napplication = site.wsgi_app",
    ],
)
def test_the_line_is_found(import_, text):
    module = import_("mine", text)

    assert places(module.application) == ["mine.py:3"]


@pytest.mark.parametrize(
    "text",
    [
        "from layers import *\nmakers = [Layer]\napplication = makers[0](site)",
        "import layers\napplication = getattr(layers, 'outer')(layers.site)",
        "from layers import *\napplication = site",
        "from layers import *\napplication = functools.partial(*[with_first, site])",
        "from layers import *\nunused = Layer(site)\napplication = [Layer][0](site)",
        "from layers import *\nsite = functools.partial(site)\napplication = outer",
    ],
)
def test_none_is_made_up(import_, text):
    module = import_("mine", text)

    assert places(module.application) == []


def test_a_partial_is_told_by_its_function(import_):
    module = import_(
        "mine",
        """\
        from layers import *
        call = functools.partial
        other, application = call(site), call(with_first, site)
        """,
    )

    assert [line.skip for line in lines_of(module.application, "mine")] == [1]
    assert places(module.application) == ["mine.py:3"]
    assert places(outer := module.outer(None)) == []
    assert places(functools.partial(outer)) == []


def test_all_that_may_have_made_it_are_named_up_to_some(import_):
    module = import_("mine", "from layers import *\na = [outer(site)]\nb = [outer(site)]\n")
    assert places(module.b[0]) == ["mine.py:2", "mine.py:3"]

    many = import_("many", "from layers import *\n" + "a = [outer(site)]\n" * 20)
    assert len(places(many.a[0], "many")) == MOST


@pytest.mark.parametrize(
    "text",
    [
        "one = outer(site)\nlayer = outer(site)\ntwo = outer(site)",
        "layer = outer(site)\nlayer = outer(site)\nother = outer(layer)",
        "a = Layer(site)\na.wsgi_app = outer(site); layer = a.wsgi_app\nb = outer(site)",
    ],
)
def test_a_name_that_still_stands_for_it_tells_which(import_, text):
    module = import_("mine", f"from layers import *\n{text}")

    assert places(module.layer) == ["mine.py:3"]


def test_other_modules_of_the_users_own_are_read_too(import_):
    import_("package.__init__", "")
    import_("package.parts", "from layers import Layer, site\n\n\nmade = Layer(site)\n")
    module = import_("package.wsgi", "from .parts import made as application\n")

    assert places(module.application, "package.wsgi") == ["package/parts.py:4"]


def test_what_a_function_imports_from_its_package_is_followed(import_):
    import_("package.__init__", "from layers import outer, site")
    module = import_(
        "package.wsgi",
        """\
        def make():
            from . import outer, site
            return outer(site)

        def make_other():
            from .nowhere import Layer
            return Layer(site)

        application = make()
        """,
    )

    assert places(module.application, "package.wsgi") == ["package/wsgi.py:3"]


def test_a_file_that_has_gone_is_passed_over(import_, tmp_path):
    module = import_("mine", "from layers import *\napplication = outer(site)")
    import_("other", "from layers import *\napplication = outer(site)")
    (tmp_path / "mine.py").unlink()
    (tmp_path / "other.py").unlink()

    assert places(module.application) == []


def test_a_file_that_changed_is_read_again(import_, tmp_path):
    module = import_("mine", "from layers import *\napplication = outer(site)")
    assert places(module.application) == ["mine.py:2"]

    (tmp_path / "mine.py").write_text("from layers import *\n\n\napplication = outer(site)")

    assert places(module.application) == ["mine.py:4"]


def test_libraries_are_not_read(import_):
    from wsgiref.validate import validator

    module = import_("mine", "from layers import site")

    assert places(validator(module.site)) == []


def test_a_module_that_is_not_loaded_has_no_lines(import_):
    assert places(import_("mine", "from layers import *").outer(None), "nowhere") == []
