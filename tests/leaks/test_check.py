"""A check names who is at fault, wherever it stands, and leaves everything as it was."""

import functools
import sys
import threading
import types
from contextlib import contextmanager

import pytest
import wrapt

from freedom_middleware import Application, Cascade, CloseGuard, Hosts, Mount, When
from freedom_middleware.dispatch import Methods
from freedom_middleware.dispatch.predicates import client, cookie, header, path
from freedom_middleware.errors import OptionError, UnclosedBodyWarning
from freedom_middleware.leaks import check
from freedom_middleware.leaks.report import to_text
from freedom_middleware.places import places_in
from freedom_middleware.testing import SpyBody, exchange, hello
from tests.leaks import layers
from tests.leaks.layers import (
    CONDITIONS,
    FAULTY,
    HIDERS,
    HOLDERS,
    InTuple,
    MadeLate,
    asks_a_helper,
    by_chain,
    by_list,
    by_path,
    calls_nobody,
    closes_unread,
    fails,
    forgets_the_first,
    generates,
    in_partial,
    in_weak_proxy,
    keeps_errors,
    on_last_reference,
    proxy_fix,
    raises,
    remembers,
    remembers_some,
    stops,
    wants_a_name,
)


def never_called(environ, start_response):
    raise AssertionError("the innermost application must not be called")


def ids_of(report):
    return {finding.id for finding in report.findings}


class TestEachFault:
    @pytest.mark.parametrize("layer", FAULTY, ids=lambda layer: layer.__name__)
    def test_is_named_by_its_id(self, layer):
        report = check(layer(never_called))

        assert ids_of(report) == FAULTY[layer]
        assert {finding.label for finding in report.findings} == {layer.__name__}
        assert report.baseline == []

    @pytest.mark.parametrize("layer", FAULTY, ids=lambda layer: layer.__name__)
    def test_is_repaired_by_a_guard_inside_or_said_not_to_be(self, layer):
        report = check(layer(never_called), inside=CloseGuard)

        # What is closed too early, or elsewhere, was asked for by the layer itself.
        beyond = {"close-early", "close-wrong-thread"}
        assert ids_of(report) == FAULTY[layer] & beyond

    def test_what_only_a_finalizer_closes_is_lost(self):
        report = check(on_last_reference(never_called))

        assert ids_of(report) == {"close-lost"}
        assert check(on_last_reference(never_called), inside=CloseGuard).findings == []

    @pytest.mark.filterwarnings("error")
    def test_what_was_dropped_before_is_no_fault_of_a_layer(self, monkeypatch):
        kept = []  # as pytest keeps what is told to this hook, until the test is over
        monkeypatch.setattr(sys, "unraisablehook", kept.append)

        def opens(environ, start_response):
            start_response("200 OK", [])
            return SpyBody([b"x"])

        CloseGuard(opens)({"REQUEST_METHOD": "GET"}, lambda *answer: None)
        report = check(by_chain(never_called), inside=CloseGuard)

        assert [type(told.exc_value) for told in kept] == [UnclosedBodyWarning]
        assert report.findings == []

    @pytest.mark.parametrize("layer", HOLDERS, ids=lambda layer: layer.__name__)
    def test_is_found_wherever_a_layer_holds_what_it_calls(self, layer):
        report = check(proxy_fix(layer(proxy_fix(never_called))))

        assert len(report.culprits) == 1
        assert report.layers[0] == "ProxyFix"
        assert report.layers[-2:] == ["ProxyFix #2", "never_called"]

    @pytest.mark.parametrize("layer", HIDERS, ids=lambda layer: layer.__name__)
    def test_is_found_where_only_its_code_says_what_it_calls(self, layer):
        report = check(proxy_fix(layer(proxy_fix(never_called))))

        assert len(report.culprits) == 1
        assert report.layers[0] == "ProxyFix"
        assert not any("ProxyFix" in label for label in report.culprits)
        if layer is not in_weak_proxy:  # what it stands for is nobody's to ask
            assert report.layers[-2:] == ["ProxyFix #2", "never_called"]

    @pytest.mark.parametrize("condition", CONDITIONS)
    def test_is_found_where_it_takes_a_page_or_a_status(self, condition):
        report = check(proxy_fix(CONDITIONS[condition](proxy_fix(never_called))))

        [label] = report.culprits
        assert label in ("if_answered", "if_asked")
        assert report.table[label]["whole"] == "ok"

    def test_what_stands_between_is_named_with_it(self):
        class Box:
            def __init__(self, application):
                self.held = [application]

            def __call__(self, *request):
                return self.held[0](*request)

        class Outer:
            def __init__(self, application):
                self.box = [{1: {2: {3: {4: {5: [application]}}}}}]

            def __call__(self, environ, start_response):
                [table] = self.box
                return list(table[1][2][3][4][5][0](environ, start_response))

        report = check(Outer(Box(hello)))

        assert report.layers == ["Outer", "Box", "hello"]
        assert list(report.culprits) == ["Outer"]

    def test_what_cannot_be_told_apart_is_named_with_it(self):
        box = wrapt.CallableObjectProxy(by_list)

        class Outer:
            def __init__(self, application):
                self.box = [box, application]

            def __call__(self, environ, start_response):
                layer, application = self.box
                return layer(application)(environ, start_response)

        report = check(Outer(hello))

        assert set(report.culprits) == {"Outer"}

    def test_names_tell_nothing_of_who_is_called(self):
        class Passes:
            def __init__(self, thing):
                self.held = [thing]

            def __call__(self, *request):
                return self.held[0](*request)

        def loses(thing):
            return lambda e, s: list(thing(e, s))

        report = check(Passes(Passes(loses(Passes(hello)))))

        assert report.layers == [
            "Passes",
            "Passes #2",
            "TestEachFault.test_names_tell_nothing_of_who_is_called",
            "Passes #3",
            "hello",
        ]
        assert list(report.culprits) == [
            "TestEachFault.test_names_tell_nothing_of_who_is_called"
        ]

    def test_a_context_manager_that_takes_a_request_is_no_layer(self):
        @contextmanager
        def opened(e, s):
            yield hello(e, s)

        def layer(environ, start_response):
            with opened(environ, start_response) as body:
                return list(body)

        assert check(layer).baseline == []

    def test_what_only_answers_a_helper_is_no_child(self):
        report = check(asks_a_helper(by_list(hello)))

        assert report.layers == ["asks_a_helper", "by_list", "hello"]
        assert set(report.culprits) == {"by_list"}

    def test_is_found_inside_a_layer_that_reads_nothing(self):
        report = check(closes_unread(generates(by_list(hello))))

        assert set(report.culprits) == {"generates", "by_list"}

    def test_is_found_behind_a_layer_that_remembers(self):
        report = check(remembers_some(proxy_fix(by_list(remembers_some(by_chain(hello))))))

        assert set(report.culprits) == {"by_list", "by_chain"}
        assert (report.not_driven, report.alone, report.unreached) == ([], [], [])
        assert "n/a" not in report.table["remembers_some"].values()

    def test_is_found_where_nobody_asks(self):
        report = check(calls_nobody(proxy_fix(by_list(proxy_fix(hello)))))

        assert report.alone[0] == "ProxyFix"
        assert set(report.culprits) == {"by_list"}

    @pytest.mark.parametrize("layer", [remembers, wants_a_name])
    def test_is_found_where_not_every_request_comes_through(self, layer):
        report = check(proxy_fix(layer(never_called)))

        assert set(report.culprits) == {layer.__name__}

    def test_the_body_of_a_404_has_to_be_closed_too(self):
        report = check(forgets_the_first(proxy_fix(hello), proxy_fix(hello)))

        assert set(report.culprits) == {"forgets_the_first"}
        assert report.alone == []


class TestWhereItStands:
    @pytest.mark.parametrize(
        "around",
        [
            lambda guilty: Mount(hello, {"/a": Mount(None, {"/b": guilty})}),
            lambda guilty: Mount(guilty, {"/a": hello}),
            lambda guilty: Hosts(hello, {"shop.example": guilty}),
            lambda guilty: Hosts(hello, {"*.shop.example": guilty}),
            lambda guilty: Hosts(hello, {"shop.example:8443": guilty}),
            lambda guilty: Methods({"GET": hello, "POST": guilty}),
            lambda guilty: When(hello, [(path("/api"), guilty)]),
            lambda guilty: When(hello, [(header("X-Beta", "1"), guilty)]),
            lambda guilty: When(hello, [(header("Content-Type"), guilty)]),
            lambda guilty: When(hello, [(cookie("beta") & cookie("tier", "2"), guilty)]),
            lambda guilty: When(hello, [(client("10.0.0.0/8", "::1"), guilty)]),
            lambda guilty: When(hello, [(path("/api") & header("X-Tier", "2"), guilty)]),
            lambda guilty: Cascade([hello, hello, guilty]),
            lambda guilty: CloseGuard(Mount(hello, {"/a": Cascade([hello, guilty])})),
            lambda guilty: Mount(hello, {"/a": Application(guilty, name="the shop")}),
        ],
    )
    def test_behind_every_dispatcher_of_ours(self, around):
        report = check(around(by_list(never_called)))

        assert set(report.culprits) == {"by_list"}
        assert report.baseline == []
        assert report.alone == []

    def test_where_one_application_stands_in_two_places(self):
        report = check(Mount(hello, {"/x": by_list(hello)}))

        assert set(report.culprits) == {"by_list"}

    def test_where_a_method_was_replaced_by_a_layer_around_it(self):
        from flask import Flask

        site = Flask("site", root_path="/")
        site.wsgi_app = by_list(proxy_fix(site.wsgi_app))

        report = check(site)

        assert report.layers == ["Flask", "by_list", "ProxyFix", "Flask.wsgi_app"]
        assert set(report.culprits) == {"by_list"}

    def test_a_lazy_application_is_loaded_and_looked_into(self):
        report = check(Application("tests.leaks.test_check:made_late", lazy=True))

        assert set(report.culprits) == {"by_list"}

    def test_names_that_occur_twice_are_numbered(self):
        report = check(proxy_fix(by_list(proxy_fix(by_list(hello)))))

        assert report.layers == ["ProxyFix", "by_list", "ProxyFix #2", "by_list #2", "hello"]
        assert list(report.culprits) == ["by_list", "by_list #2"]

    def test_a_hand_written_dispatcher_needs_the_path(self):
        other = proxy_fix(never_called)
        assert check(by_path(never_called, other)).alone == ["ProxyFix"]
        assert set(check(by_path(hello, other), paths=["/", "/here"]).culprits) == {"by_path"}


def by_list_of_a_method(method):
    def serve(self, environ, start_response):
        return list(method(self, environ, start_response))

    return serve


made_late = by_list(hello)


TRACER = """
def patch(original):
    def traced(self, environ, start_response):
        return list(original(self, environ, start_response))

    return traced


def wrapper(wrapped, instance, args, kwargs):
    return list(wrapped(*args, **kwargs))
"""


class TestWhatWasPatchedAtStart:
    @pytest.fixture
    def site(self):
        class Site:
            def __call__(self, environ, start_response):
                return self.wsgi_app(environ, start_response)

            def wsgi_app(self, environ, start_response):
                raise AssertionError("the innermost application must not be called")

        return Site()

    @pytest.fixture
    def tracer(self):
        tracer = types.ModuleType("tracer")
        exec(TRACER, vars(tracer))  # noqa: S102 - another package has to have written it
        return tracer

    def test_by_a_function_that_holds_the_original(self, site, tracer):
        original = type(site).__call__
        type(site).__call__ = tracer.patch(original)
        code = original.__code__

        report = check(proxy_fix(site))

        assert report.layers[:2] == ["ProxyFix", "Site patched by patch"]
        assert set(report.culprits) == {"Site patched by patch"}
        assert original.__code__ is code
        assert check(proxy_fix(site), inside=CloseGuard).findings == []

    def test_by_a_proxy_around_it(self, site, tracer):
        type(site).wsgi_app = wrapt.FunctionWrapper(type(site).wsgi_app, tracer.wrapper)

        report = check(site)

        assert set(report.culprits) == {"Site patched by wrapper"}
        assert "Fix:  keep wrapper from patching Site, and put its middleware" in to_text(
            report
        )

    def test_a_decorator_of_its_own_is_no_patch(self):
        class Site:
            @by_list_of_a_method
            def __call__(self, environ, start_response):
                raise AssertionError("the innermost application must not be called")

        report = check(Site())

        assert set(report.culprits) == {"Site"}


class TestWhatIsNotJudged:
    def test_an_application_that_fails_is_said_first(self):
        report = check(proxy_fix(raises(hello)))

        assert "raises raises RuntimeError('no session store')" in report.baseline

    def test_so_is_one_that_answers_500(self):
        report = check(fails(hello))

        assert report.baseline[0] == "GET / is answered with 500 Internal Server Error"

    def test_a_layer_that_calls_nobody(self):
        report = check(calls_nobody(hello))

        assert report.not_driven == ["calls_nobody"]
        assert report.table == {}
        assert report.unreached == ["hello (in calls_nobody)"]

    def test_an_application_without_layers(self):
        report = check(never_called)

        assert (report.layers, report.table) == (["never_called"], {})

    def test_the_guard_reports_nothing_meanwhile(self, caplog):
        guarded = CloseGuard(by_list(hello))

        check(by_list(guarded), scenarios=["whole", "dropped"])
        check(guarded, scenarios=["dropped", "left"], inside=CloseGuard)

        assert caplog.records == []
        assert guarded.leaks.snapshot() == ()


class TestAfterwards:
    @staticmethod
    def held(thing, depth=8):
        """Return the identities of all that can be reached, and in which place."""
        seen, waiting, found = set(), [(thing, "", None)], {}
        for _ in range(depth):
            further = []
            for each, where, place in waiting:
                for inner in places_in(each, where, place):
                    value = inner.get()
                    found[inner.path] = id(value)
                    if id(value) not in seen:
                        seen.add(id(value))
                        further.append((value, inner.path, inner))
            waiting = further
        return found

    def stack(self):
        return proxy_fix(
            Mount(InTuple(in_partial(hello)), {"/a": Cascade([hello, by_list(hello)])})
        )

    def test_each_place_holds_what_it_held(self):
        stack = self.stack()
        before = self.held(stack)

        report = check(stack)

        assert len(report.layers) > 6
        assert self.held(stack) == before

    @pytest.mark.parametrize("layer", HIDERS, ids=lambda layer: layer.__name__)
    def test_so_where_others_share_the_place(self, layer):
        stack = layer(hello)
        shared = [self.held(stack), vars(layers).copy(), vars(type(stack)).copy()]
        code = hello.__code__

        assert check(stack).culprits

        assert [self.held(stack), vars(layers).copy(), vars(type(stack)).copy()] == shared
        assert hello.__code__ is code

    def test_also_where_a_layer_stops_the_process(self):
        stack = proxy_fix(stops(self.stack()))
        before = self.held(stack)

        with pytest.raises(KeyboardInterrupt):
            check(stack)

        assert self.held(stack) == before

    def test_what_was_made_meanwhile_holds_no_probe(self):
        cached = functools.cache(lambda: inner)
        inner = by_list(hello)
        late = MadeLate(lambda: inner)
        asks = lambda environ, start_response: cached()(environ, start_response)  # noqa: E731

        assert check(late).culprits
        check(asks)

        assert late.application is inner
        assert cached() is inner

    def test_it_serves_as_before(self):
        stack = proxy_fix(InTuple(hello))

        check(stack)

        assert exchange(stack).body == b"Hello, world!\n"

    def test_two_checks_at_once_take_turns(self):
        stack = proxy_fix(by_list(hello))
        reports = []
        threads = [
            threading.Thread(target=lambda: reports.append(check(stack))) for _ in range(4)
        ]

        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [set(report.culprits) for report in reports] == [{"by_list"}] * 4


class TestArguments:
    @pytest.mark.parametrize("paths", ["/", [], ["shop"]])
    def test_paths_must_be_paths(self, paths):
        with pytest.raises(OptionError, match="paths must"):
            check(hello, paths=paths)

    def test_scenarios_must_exist(self):
        with pytest.raises(OptionError, match=r"must be one of whole, .* got 'hole'"):
            check(hello, scenarios=["hole"])


def test_notes_are_no_findings():

    report = check(keeps_errors(hello))

    assert report.findings == []
    assert {note.id for note in report.notes} == {
        "buffered-stream",
        "file-wrapper-lost",
        "close-error-swallowed",
    }
