"""Tables that change while requests are served, beside a model of a few lines.

A :class:`Table` must stay what a ``dict`` would be, and a :class:`Series` what a ``list``
would be; what is refused must change nothing; and each request must be answered by whom
the model names, even if it is the application itself that changes the table.
"""

from contextlib import suppress

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from freedom_middleware import Cascade, Hosts, Mount, When
from freedom_middleware.dispatch import Methods, path
from freedom_middleware.errors import FreedomError
from freedom_middleware.testing import exchange, make_environ


class Child:
    """An application that says who it is, and may do something before it answers."""

    def __init__(self, name, status="200 OK"):
        self.name = name
        self.status = status
        self.before = None

    def __call__(self, environ, start_response):
        before, self.before = self.before, None
        if before is not None:
            before()
        start_response(self.status, [("Content-Type", "text/plain")])
        return [self.name.encode()]


def who(application, **environ):
    """Return the name of who answers, or the status code if it is no child."""
    answer = exchange(application, environ=make_environ(**environ), validate=False)
    return answer.body.decode() if answer.code == 200 else answer.code


names = st.integers(0, 9).map("child {}".format)


class Keyed(RuleBasedStateMachine):
    """``Mount``, ``Hosts`` and ``Methods``, whose tables are dicts."""

    KEYS = ()
    WRONG = ()

    def make(self):
        """Return the application and its table."""
        raise NotImplementedError

    def expected(self, key):
        """Return who answers a request that asks for exactly *key*."""
        raise NotImplementedError

    def asked(self, key):
        """Return the environ of such a request."""
        raise NotImplementedError

    def __init__(self):
        super().__init__()
        self.application, self.table = self.make()
        self.model = {}

    @rule(data=st.data(), name=names)
    def put(self, data, name):
        key = data.draw(st.sampled_from(self.KEYS))
        self.table[key] = Child(name)
        self.model[key] = name

    @rule(data=st.data())
    def take(self, data):
        key = data.draw(st.sampled_from(self.KEYS))
        if key in self.model:
            del self.table[key], self.model[key]
        else:
            with pytest.raises(KeyError):
                del self.table[key]

    @rule(data=st.data())
    def pop(self, data):
        key = data.draw(st.sampled_from(self.KEYS))
        found = self.table.pop(key, None)
        assert (found is None) == (self.model.pop(key, None) is None)

    @rule(data=st.data(), name=names)
    def put_if_there_is_none(self, data, name):
        key = data.draw(st.sampled_from(self.KEYS))
        self.table.setdefault(key, Child(name))
        self.model.setdefault(key, name)

    @rule(data=st.data(), way=st.sampled_from(["update", "replace", "clear"]))
    def change_many(self, data, way):
        many = data.draw(st.dictionaries(st.sampled_from(self.KEYS), names, max_size=4))
        children = {key: Child(name) for key, name in many.items()}
        if way == "update":
            self.table.update(children)
        elif way == "replace":
            self.table.replace(children)
            self.model.clear()
        else:
            self.table.clear()
            self.model.clear()
            many = {}
        self.model.update(many)

    @rule(data=st.data(), way=st.sampled_from(["put", "update", "replace"]), name=names)
    def be_refused(self, data, way, name):
        """A key that is none, or a child that is none, and everything stays as it was."""
        wrong = data.draw(st.sampled_from(self.WRONG))
        key = data.draw(st.sampled_from(self.KEYS))
        many = data.draw(
            st.sampled_from(
                [{wrong: Child(name)}, {key: Child(name), wrong: Child(name)}, {key: 42}]
            )
        )
        if way == "put":
            [*_, (each, child)] = many.items()
            with pytest.raises(FreedomError):
                self.table[each] = child
        else:
            with pytest.raises(FreedomError):
                getattr(self.table, way)(many)

    @rule(data=st.data(), name=names)
    def change_from_within(self, data, name):
        """The request goes on with the table that it began with."""
        key = data.draw(st.sampled_from(self.KEYS))
        child = Child(name)
        child.before = lambda: self.table.clear()
        self.table[key] = child
        assert who(self.application, **self.asked(key)) == name
        self.model.clear()

    @invariant()
    def is_what_the_model_is(self):
        assert dict.fromkeys(self.table) == dict.fromkeys(self.model)
        assert len(self.table) == len(self.model)
        for key in self.KEYS:
            assert (key in self.table) == (key in self.model)

    @rule(data=st.data())
    def ask(self, data):
        key = data.draw(st.sampled_from(self.KEYS))
        assert who(self.application, **self.asked(key)) == self.expected(key)


class Mounts(Keyed):
    KEYS = ("/a", "/a/b", "/a/b/c", "/ab", "/ä", "/%2F", "/..", "//a")
    WRONG = ("a", "*", "http://a/b", "\ud800", 1, "")

    def make(self):
        mount = Mount(Child("rest"), {})
        return mount, mount.mounts

    def asked(self, key):
        return {"path": f"{key}/x"}

    def expected(self, key):
        above = [each for each in self.model if f"{key}/".startswith(f"{each}/")]
        return self.model[max(above, key=len)] if above else "rest"


class HostNames(Keyed):
    KEYS = ("a.example", "b.a.example", "*.a.example", "*.b.a.example", "a.example:81", "[::1]")
    WRONG = ("a b", "http://a", "*", "a.*.b", ".a", "a:b:c", b"a", "")

    def make(self):
        hosts = Hosts(Child("rest"), {})
        return hosts, hosts.hosts

    def asked(self, key):
        return {"headers": {"Host": key.replace("*", "X").upper()}}

    def expected(self, key):
        host, _, port = key.partition(":") if key[0] != "[" else (key, "", "")
        host = host.replace("*", "x")
        for name in (f"{host}:{port}", host):
            if name in self.model:
                return self.model[name]
        wild = [each for each in self.model if each[0] == "*" and host.endswith(each[1:])]
        return self.model[max(wild, key=len)] if wild else "rest"


class MethodNames(Keyed):
    KEYS = ("GET", "POST", "BREW", "x")
    WRONG = ("get", "*", "A B", "", None)

    def make(self):
        methods = Methods({})
        return methods, methods.methods

    def asked(self, key):
        return {"method": key}

    def expected(self, key):
        return self.model.get(key, 405)


class Ordered(RuleBasedStateMachine):
    """``When`` and ``Cascade``, whose tables are lists."""

    def make(self):
        """Return the application and its series."""
        raise NotImplementedError

    def row(self, name):
        """Return a row for the child *name*."""
        raise NotImplementedError

    def expected(self):
        """Return who answers."""
        raise NotImplementedError

    WRONG = (42, None, "no such module", ("a",), (1, 2, 3))

    def __init__(self):
        super().__init__()
        self.application, self.series = self.make()
        self.model = self.first()

    def first(self):
        return []

    @rule(index=st.integers(-9, 9), name=names)
    def insert(self, index, name):
        self.series.insert(index, self.row(name))
        self.model.insert(index, name)

    @rule(name=names)
    def append(self, name):
        self.series.append(self.row(name))
        self.model.append(name)

    @rule(many=st.lists(names, max_size=3))
    def extend(self, many):
        self.series.extend([self.row(name) for name in many])
        self.model.extend(many)

    @rule(index=st.integers(-9, 9), name=names)
    def put(self, index, name):
        with suppress(IndexError):
            self.model[index] = name
            self.series[index] = self.row(name)
            return
        with pytest.raises(IndexError):
            self.series[index] = self.row(name)

    @rule(cut=st.slices(6), many=st.lists(names, max_size=3))
    def put_slice(self, cut, many):
        model = self.model.copy()
        try:
            model[cut] = many
        except ValueError:
            with pytest.raises(ValueError, match="slice"):
                self.series[cut] = [self.row(name) for name in many]
            return
        if model or self.may_be_empty:
            self.series[cut] = [self.row(name) for name in many]
            self.model = model

    @rule(cut=st.one_of(st.integers(-9, 9), st.slices(6)))
    def take(self, cut):
        model = self.model.copy()
        try:
            del model[cut]
        except IndexError:
            with pytest.raises(IndexError):
                del self.series[cut]
            return
        if model or self.may_be_empty:
            del self.series[cut]
            self.model = model
        else:
            with pytest.raises(FreedomError):
                del self.series[cut]

    @rule()
    def turn_round(self):
        self.series.reverse()
        self.model.reverse()

    @rule(many=st.lists(names, min_size=1, max_size=3))
    def replace(self, many):
        self.series.replace([self.row(name) for name in many])
        self.model = many.copy()

    @rule(data=st.data(), name=names)
    def be_refused(self, data, name):
        wrong = data.draw(st.sampled_from(self.WRONG))
        for change in (
            lambda: self.series.append(wrong),
            lambda: self.series.extend([self.row(name), wrong]),
            lambda: self.series.replace([self.row(name), wrong]),
            lambda: self.series.insert(0, wrong),
        ):
            with pytest.raises(FreedomError):
                change()

    @invariant()
    def is_as_long_as_the_model(self):
        assert len(self.series) == len(self.model)

    @invariant()
    def answers_as_the_model_says(self):
        assert who(self.application, path="/x") == self.expected()


class Cases(Ordered):
    may_be_empty = True

    def make(self):
        when = When(Child("rest"), [])
        return when, when.cases

    def row(self, name):
        # Every second child is asked for another path.
        return path("/x" if int(name[-1]) % 2 else "/y"), Child(name)

    def expected(self):
        return next((name for name in self.model if int(name[-1]) % 2), "rest")


class Applications(Ordered):
    may_be_empty = False

    def make(self):
        cascade = Cascade([self.row("child 0")])
        return cascade, cascade.applications

    def first(self):
        return ["child 0"]

    def row(self, name):
        return Child(name, "200 OK" if int(name[-1]) % 2 else "404 Not Found")

    def expected(self):
        return next((name for name in self.model if int(name[-1]) % 2), 404)


MACHINES = {
    "mounts": Mounts,
    "hosts": HostNames,
    "methods": MethodNames,
    "cases": Cases,
    "applications": Applications,
}
