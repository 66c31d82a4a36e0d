import functools
import types

import pytest
import wrapt
from werkzeug.local import LocalProxy

from freedom_middleware.places import MISSING, Place, declared, lookup, places_in


class Holder:
    __slots__ = ("__dict__", "empty", "slot")

    def __init__(self, value):
        self.slot = value
        self.attribute = value


class Named(tuple):
    __slots__ = ()


def closure(value):
    def function():
        return value

    return function


def default(value):
    def function(*, keyword=value):
        return keyword

    return function


def positional(value):
    def function(first, last=value):
        return last

    return function


def with_attribute(value):
    def function(): ...

    function.attribute = value
    return function


class Method:
    def __init__(self, value):
        self.value = value

    def method(self): ...


def places_of(thing, value, held=None):
    found = []
    for place in places_in(thing, held=held):
        try:
            if place.get() is value:
                found.append(place)
        except (AttributeError, ValueError):
            pass
    return found


@pytest.mark.parametrize(
    ("make", "paths"),
    [
        (Holder, [".attribute", ".slot"]),
        (closure, ["<value>"]),
        (default, ["(keyword=)", "<value>"]),
        (positional, ["(last=)", "<value>"]),
        (with_attribute, [".attribute"]),
        (lambda value: Method(value).method, [".value"]),
        (lambda value: {"key": value, 1: value, b"b": value}, ["['key']", "[1]", "[b'b']"]),
        (lambda value: [0, value], ["[1]"]),
        (lambda value: functools.partial(print, value, file=value), [".args[0]", "(file=)"]),
        (functools.partial, [".func"]),
        (wrapt.ObjectProxy, [".__wrapped__"]),
    ],
)
def test_what_is_held_is_found_and_can_be_replaced(make, paths):
    def value(): ...

    def other(): ...

    thing = make(value)

    places = places_of(thing, value)
    assert [place.path for place in places] == paths[: len(places)]
    assert places
    places[0].set(other)

    assert places[0].get() is other
    assert places_of(thing, other)


def test_a_default_argument_is_replaced_where_the_function_takes_it():
    function = default(1)

    [place] = [place for place in places_in(function) if place.name == "keyword"]
    place.set(2)

    assert function() == 2


def test_a_positional_default_is_replaced_where_the_function_takes_it():
    function = positional(1)

    [place] = [place for place in places_in(function) if place.name == "last"]
    place.set(2)

    assert function(0) == 2


def test_an_argument_of_a_partial_is_replaced_in_the_partial_itself():
    partial = functools.partial(divmod, 7)

    [place] = [place for place in places_in(partial) if place.path == ".args[0]"]
    place.set(9)

    assert partial(2) == (4, 1)


def test_a_tuple_is_made_anew_in_its_place_and_keeps_its_class():
    value = object()
    row = Named(["/shop", value])
    table = [row]
    [held] = places_in(table)

    [place] = places_of(row, value, held)
    place.set("other")

    assert table == [("/shop", "other")]
    assert type(table[0]) is Named
    assert place.get() == "other"
    assert "[1]" in repr(place)


def test_a_tuple_that_nobody_holds_cannot_be_changed():
    [place] = places_in((1,))

    with pytest.raises(TypeError, match="reached through its holder"):
        place.set(2)


@pytest.mark.parametrize("nothing", [str, types, 1, "text", print, None])
def test_what_is_everybodys_holds_nothing(nothing):
    assert list(places_in(nothing)) == []


def test_a_cache_is_not_walked_and_a_large_table_is():
    assert len(list(places_in(dict.fromkeys(range(10_000))))) == 10_000
    assert list(places_in(dict.fromkeys(range(50_001)))) == []
    assert list(places_in([None] * 50_001)) == []


class TestNothingIsCalled:
    def test_of_a_proxy_that_would_load_what_it_stands_for(self):
        def load():
            raise AssertionError("it was asked")

        for proxy in (LocalProxy(load), wrapt.LazyObjectProxy(load)):
            assert [place.name for place in places_in(proxy) if callable(place)] == []
            assert lookup(proxy, "wsgi_children") is MISSING

    def test_of_an_object_that_raises_when_it_is_asked_anything(self):
        class Hostile:
            def __getattribute__(self, name):
                raise AssertionError("it was asked")

            __eq__ = __hash__ = __bool__ = __iter__ = __len__ = __getattribute__

            @property
            def __class__(self):
                raise AssertionError("it was asked")

        hostile = Hostile()
        object.__setattr__(hostile, "application", 1)

        assert [place.name for place in places_in(hostile)] == ["application"]
        assert lookup(hostile, "application") == 1
        assert lookup(hostile, "absent") is MISSING

    def test_of_a_class_that_raises_when_it_is_asked_anything(self):
        class Hostile(type):
            def __getattribute__(cls, name):
                raise AssertionError(name)

        class Layer(metaclass=Hostile):
            __slots__ = ("application",)

        layer = object.__new__(Layer)
        [place] = places_in(layer)
        place.set("x")

        assert (place.path, place.get(), lookup(layer, "application")) == (
            ".application",
            "x",
            "x",
        )

    def test_of_a_key_that_has_a_hash_of_its_own(self):
        class Key:
            asked = False

            def __hash__(self):
                if Key.asked:
                    raise AssertionError("it was asked")
                return 1

        table = {Key(): 1, "plain": 2}
        Key.asked = True

        assert [place.get() for place in places_in(table)] == [2]

    def test_of_a_class_whose_dict_is_a_property(self):
        class Plain: ...

        class Shadowed(Plain):
            @property
            def __dict__(self):
                raise AssertionError("it was asked")

        shadowed = Shadowed()
        shadowed.application = 1

        vars(Plain)["__dict__"].__get__(shadowed)[1] = "no name at all"

        assert [place.name for place in places_in(shadowed)] == ["application"]

    def test_of_an_object_without_any_attributes_of_its_own(self):
        assert list(places_in(object())) == []


class TestLookup:
    def test_it_reads_slots_and_returns_properties_as_they_are(self):
        class Thing(Holder):
            @property
            def computed(self):
                raise AssertionError("it was asked")

        thing = Thing(1)

        assert lookup(thing, "slot") == 1
        assert lookup(thing, "empty") is MISSING
        assert isinstance(lookup(thing, "computed"), property)
        assert repr(MISSING) == "MISSING"

    def test_what_functools_wraps_has_copied_is_not_declared(self):
        def inner(): ...

        inner.wsgi_name = "inner"

        @functools.wraps(inner)
        def outer(): ...

        assert outer.wsgi_name == "inner"
        assert declared(outer, "wsgi_name") is MISSING
        outer.wsgi_name = "outer"
        assert declared(outer, "wsgi_name") == "outer"


def test_a_builtin_method_has_no_closure():
    assert [p for p in places_in([].append) if isinstance(p, Place)] == []
    assert list(places_in(types.MethodType(print, 1))) == []
