"""A watch names who is at fault from real requests, and changes nothing that passes."""

import gc
import io
import re
import threading
import weakref
from wsgiref.util import FileWrapper

import pytest

from freedom_middleware import Application, CloseGuard, Mount
from freedom_middleware.errors import OptionError
from freedom_middleware.leaks import LeakWatch, boundary, check
from freedom_middleware.leaks.scenarios import SCENARIOS, answer, serve
from freedom_middleware.testing import SpyBody, exchange, hello, make_environ
from tests.leaks.layers import (
    FAULTY,
    GUILTY,
    HOLDERS,
    INNOCENT,
    Deep,
    by_list,
    by_path,
    forgets_the_first,
    proxy_fix,
    raises,
    twice,
)

REAL = {**{name: layer for name, (layer, _, _) in GUILTY.items()}, **INNOCENT}
LAYERS = {**REAL, **{layer.__name__: layer for layer in FAULTY}}


class Answering:
    """An innermost application that answers as a scenario says, and keeps its records."""

    def __init__(self, scenario):
        self.scenario = scenario
        self.records = []

    def __call__(self, environ, start_response):
        body, record = answer(self.scenario, environ, start_response)
        self.records.append(record)
        return body


def watch(application, **options):
    """Return a watch of every request, and the list that it tells what it finds."""
    found = []
    return LeakWatch(application, sample=1, on_leak=found.append, **options), found


class Slotted:
    """A wrapper that takes no attribute, as bjoern's does."""

    __slots__ = ("file",)

    def __init__(self, file):
        self.file = file

    __iter__ = None  # the server sends it by itself

    def close(self):
        self.file.close()


class Closed(Slotted):
    """So is this one, though what it holds can be referred to weakly."""

    __slots__ = ("__weakref__",)


class Methodical:
    """A wrapper whose close is a method, as waitress's is."""

    def __init__(self, file):
        self.file = file

    __iter__, close = Slotted.__iter__, Slotted.close


def spying():
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        application.bodies.append(SpyBody([b"one", b"two"]))
        return application.bodies[-1]

    application.bodies = []
    return application


def ids_of(found):
    return {finding.id for finding in found}


class Any:
    """Answers each request as the scenario that its path names says."""

    def __call__(self, environ, start_response):
        return answer(SCENARIOS[environ["PATH_INFO"][1:]], environ, start_response)[0]


def ask(application, scenario):
    environ = make_environ(f"/{scenario.name}", method=scenario.method)
    return serve(application, environ, scenario)


def settle(application):
    while application._waiting:
        application.settle(seconds=0)


# Its threads answer now so and now so, watched or not.
STEADY = {name: layer for name, layer in LAYERS.items() if name != "asgiref"}

# They complain of a server that forgets close() through a warning, which is an error here.
COMPLAINING = ("lint", "validator", "guard")


class TestNothingChanges:
    @pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
    @pytest.mark.parametrize("name", STEADY)
    def test_a_watched_response_is_what_it_would_have_been(self, name, scenario):
        if scenario.drops and name in COMPLAINING:
            scenario = SCENARIOS["left"]

        def seen(around):
            inner = Answering(scenario)
            outcome = ask(around(LAYERS[name](proxy_fix(inner))), scenario)
            return (
                outcome.status,
                [type(error) for error in outcome.raised],
                outcome.is_file,
                [
                    (len(each.closes), each.reads, each.reads_after_close, each.ended)
                    for each in inner.records
                ],
            )

        assert seen(lambda application: watch(application)[0]) == seen(lambda bare: bare)

    @pytest.mark.parametrize("sample", [1, 1e-9])
    def test_a_list_is_returned_itself(self, sample):
        body = [b"x"]
        application = LeakWatch(proxy_fix(lambda environ, start_response: body), sample=sample)

        assert application(make_environ(), None) is body

    @pytest.mark.parametrize("sample", [1, 1e-9])
    @pytest.mark.parametrize(
        "wrapper", [FileWrapper, lambda file: file, Slotted, Closed, Methodical]
    )
    def test_a_file_is_returned_itself(self, sample, wrapper, tmp_path):
        """Any other object would cost the server its sendfile()."""
        (tmp_path / "file").write_bytes(b"x")
        file = wrapper((tmp_path / "file").open("rb"))
        application = LeakWatch(proxy_fix(lambda environ, start_response: file), sample=sample)

        body = application({**make_environ(), "wsgi.file_wrapper": wrapper}, None)
        body.close()

        assert body is file
        assert getattr(file, "file", file).closed if wrapper is not FileWrapper else True

    def test_a_file_that_has_gone_can_still_be_told_to_close(self):
        application, found = watch(lambda environ, _: environ["wsgi.file_wrapper"](None))
        body = application({**make_environ(), "wsgi.file_wrapper": Methodical}, None)
        close = body.close
        del body

        close()

        settle(application)
        assert found == []

    def test_classes_of_bodies_are_not_kept_for_ever(self):
        application, _ = watch(lambda *_: type("Body", (SpyBody,), {})([b"x"]))

        for _ in range(boundary._MOST_CLASSES + 1):
            body = application(make_environ(), None)
            body.close()

        assert len(boundary._classes) < boundary._MOST_CLASSES

    def test_in_a_request_that_is_not_in_the_sample_the_body_is_itself(self):
        body = SpyBody([b"x"])
        application = LeakWatch(proxy_fix(lambda *_: body), sample=1e-9)

        assert application(make_environ(), None) is body

    def test_what_passes_for_a_body_does_so_in_all_ways(self):
        class Body(SpyBody):
            note = "x"

            def __getitem__(self, index):
                return b"item"

            def __exit__(self, *exc_info):
                self.close()

            def __enter__(self):
                return self

        body = Body([b"x"])
        passing = watch(lambda *_: body)[0](make_environ(), None)

        assert isinstance(passing, Body)
        assert (len(passing), passing[0], passing.note, bool(passing)) == (
            1,
            b"item",
            "x",
            True,
        )
        assert passing == body
        assert hash(passing) == hash(body)
        assert repr(passing) == repr(body)
        assert list(passing) == list(passing) == [b"x"]
        passing.note = "y"
        assert body.note == "y"
        del passing.note
        passing.__class__ = SpyBody
        assert type(body) is SpyBody
        body.__class__ = Body
        with passing:
            pass
        assert body.closes == 1
        assert passing.__reduce_ex__(2)[1][0] is Body

    def test_what_is_no_body_is_left_alone(self):
        """A helper takes what an application takes, and returns an application."""
        from werkzeug.wrappers import Response
        from werkzeug.wsgi import responder

        application, found = watch(proxy_fix(responder(lambda *_: Response("x"))))

        assert exchange(application).body == b"x"
        response = Response("x")
        assert watch(lambda *_: response)[0](make_environ(), None) is response
        settle(application)
        assert found == []

    def test_a_generator_stays_one(self):
        seen = []

        def chunks():
            try:
                while True:
                    seen.append((yield b"x"))
            finally:
                seen.append("closed")

        passing = watch(lambda *_: chunks())[0](make_environ(), None)

        assert iter(passing) is passing
        assert next(passing) == b"x"
        assert passing.send("sent") == b"x"
        passing.close()
        assert seen == ["sent", "closed"]

    def test_other_calls_and_attributes_reach_the_layer(self):
        class Layer:
            def __init__(self, application):
                self.application = application

            def __call__(self, environ=None, start_response=None, *more):
                if environ is None:
                    return "something else"
                return self.application(environ=environ, start_response=start_response)

        inner = Layer(by_list(spying()))
        outer = Layer(inner)
        application, found = watch(outer)

        assert outer.application() == "something else"
        assert outer.application == inner
        assert isinstance(outer.application, Layer)
        exchange(application)
        application.settle(seconds=0)
        assert [finding.label for finding in found] == ["by_list"]

    def test_what_a_layer_holds_is_put_back_in_the_end(self):
        inner = by_list(hello)
        pair = ("first", inner)
        outer = proxy_fix(inner)
        outer.applications = pair
        application, _ = watch(outer)
        assert outer.app is not inner

        application.stop()

        assert outer.app is inner
        assert outer.applications is pair
        assert exchange(application).code == 200
        assert application.sampled == 0

    def test_what_somebody_put_there_meanwhile_stays(self):
        outer = proxy_fix(hello)
        application, _ = watch(outer)
        outer.app = by_list(outer.app)

        application.stop()

        assert outer.app.__qualname__.startswith("by_list")

    def test_what_has_gone_meanwhile_stays_so(self):
        class ByTable:
            def __init__(self, application):
                self.applications = {"first": application}

            def __call__(self, environ, start_response):
                return self.applications["first"](environ, start_response)

        outer = ByTable(by_list(hello))
        application, _ = watch(outer)
        assert exchange(application).code == 200
        outer.applications.clear()

        application.stop()

        assert outer.applications == {}

    def test_what_has_changed_since_it_was_looked_at_is_left_alone(self):
        outer = proxy_fix(hello)
        stack = boundary.Stack(outer)
        outer.app = other = by_list(hello)

        stack.put()

        assert outer.app is other

    def test_two_watches_share_what_is_inside_both(self):
        shared = proxy_fix(by_list(spying()))
        one, one_found = watch(Mount(None, {"/one": shared}))
        two, two_found = watch(shared)
        one.stop()

        exchange(two)
        two.settle(seconds=0)

        assert ids_of(two_found) == {"close-lost"}
        two.stop()
        assert type(shared.app).__name__ == "function"
        assert one_found == []

    def test_a_watch_inside_a_watch_watches_once(self):
        inner, inner_found = watch(by_list(spying()))
        outer, outer_found = watch(proxy_fix(inner))

        exchange(outer)
        inner.settle(seconds=0)
        outer.settle(seconds=0)

        assert inner.sampled == 0
        assert inner_found == []
        assert [finding.label for finding in outer_found] == ["by_list"]

    def test_a_check_sees_through_it(self):
        bare = proxy_fix(by_list(CloseGuard(hello)))
        before = check(bare)
        application, found = watch(bare)

        report = check(application)

        assert report.layers == ["LeakWatch", *before.layers]
        assert report.guarded == before.guarded
        assert application.sampled == 0
        assert found == []

    def test_routes_sees_through_it(self):
        from freedom_middleware.tree import draw

        bare = Mount(proxy_fix(hello), {"/a": by_list(hello)})
        before = draw(bare).splitlines()

        application, _ = watch(bare)

        assert draw(bare).splitlines() == before
        assert draw(application).splitlines()[0] == "LeakWatch"

    def test_explain_sees_through_it(self):
        from freedom_middleware import explain

        bare = Mount(proxy_fix(hello), {"/a": by_list(hello)})
        before = str(explain(bare, "/a/b"))
        watch(bare)

        assert str(explain(bare, "/a/b")) == before


class TestWhoIsNamed:
    @pytest.mark.parametrize("layer", FAULTY, ids=lambda layer: layer.__name__)
    def test_each_fault_by_its_id(self, layer):
        application, found = watch(proxy_fix(layer(proxy_fix(Any()))))

        for scenario in SCENARIOS.values():
            if not scenario.drops:
                ask(application, scenario)
        settle(application)

        assert ids_of(found) == FAULTY[layer]
        assert {finding.label for finding in found} == {layer.__name__}

    @pytest.mark.parametrize("name", [name for name in GUILTY if name != "asgiref"])
    def test_real_layers_among_innocent_ones(self, name):
        layer, label, ids = GUILTY[name]
        stack = Any()
        for around in (proxy_fix, layer, INNOCENT["sentry"], INNOCENT["whitenoise"]):
            stack = around(stack)
        application, found = watch(stack)

        for scenario in SCENARIOS.values():
            if not scenario.drops:
                ask(application, scenario)
        settle(application)

        assert {finding.label for finding in found} == {label}
        assert ids_of(found) >= ids

    @pytest.mark.parametrize("name", INNOCENT)
    def test_no_innocent_layer(self, name):
        application, found = watch(proxy_fix(INNOCENT[name](proxy_fix(Any()))))

        for scenario in SCENARIOS.values():
            if not scenario.drops:
                ask(application, scenario)
        settle(application)

        assert found == []
        assert application.counts() == {}

    @pytest.mark.parametrize(
        "layer", [each for each in HOLDERS if each is not Deep], ids=lambda each: each.__name__
    )
    def test_wherever_a_layer_holds_what_it_calls(self, layer):
        application, found = watch(proxy_fix(layer(proxy_fix(spying()))))

        exchange(application)
        settle(application)

        assert ids_of(found) == {"close-lost"}

    def test_two_at_once(self):
        application, found = watch(twice(by_list(spying())))

        exchange(application)
        settle(application)

        assert {(each.label, each.id) for each in found} == {("by_list", "close-lost")}

    def test_not_the_layer_that_was_never_told(self):
        """What is below a guilty layer is not closed either, and that is not its fault."""
        application, found = watch(by_list(proxy_fix(proxy_fix(spying()))))

        exchange(application)
        settle(application)

        assert [each.label for each in found] == ["by_list"]

    def test_the_layer_that_raises_with_a_body_in_its_hand(self):
        application, found = watch(raises(spying()))

        with pytest.raises(RuntimeError, match="no session store"):
            exchange(application)
        settle(application)

        assert [(each.id, each.label, each.scenario) for each in found] == [
            ("close-lost", "raises", "raises")
        ]

    def test_the_body_of_a_404_has_to_be_closed_too(self):
        def missing(environ, start_response):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return SpyBody()

        application, found = watch(forgets_the_first(missing, spying()))

        exchange(application)
        settle(application)

        assert [each.label for each in found] == ["forgets_the_first"]

    def test_whoever_called_it_when_the_outermost_body_was_dropped(self):
        application, found = watch(proxy_fix(spying()))

        body = application(make_environ("/report"), lambda *_: None)
        next(iter(body))
        assert found == []
        del body
        settle(application)

        assert [(each.id, each.layer, each.request) for each in found] == [
            ("server-never-closed", None, "GET '/report'")
        ]
        assert str(found[0]) == (
            "server-never-closed: whoever called it, GET '/report': the response was read"
            " in part and dropped without close()"
        )

    def test_also_when_it_was_a_file(self):
        def application(environ, start_response):
            return environ["wsgi.file_wrapper"](Methodical([]))

        application, found = watch(application)

        body = application({**make_environ(), "wsgi.file_wrapper": FileWrapper}, None)
        del body
        settle(application)

        assert ids_of(found) == {"server-never-closed"}

    def test_a_layer_that_a_guard_makes_up_for_is_named_and_that_is_said(self, caplog):
        application, found = watch(twice(CloseGuard(spying())))

        exchange(application)
        settle(application)

        assert [each.label for each in found] == ["twice"]
        assert "twice" in caplog.text
        assert "; the CloseGuard inside it makes up for that" in caplog.text


class TestWhatIsSaid:
    @pytest.mark.parametrize("file", [True, False])
    def test_the_lines_that_closed(self, file):
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return environ["wsgi.file_wrapper"](Methodical(io.BytesIO())) if file else SpyBody()

        application, found = watch(twice(application))

        exchange(
            application,
            environ={**make_environ(), "wsgi.file_wrapper": FileWrapper},
            chunks=0,
        )
        settle(application)

        assert re.fullmatch(
            r"2 times, at tests/leaks/layers.py:\d+ and tests/leaks/layers.py:\d+",
            found[0].detail,
        )

    def test_a_generator_that_is_closed_closes_what_it_reads(self):
        def by_yield_from(application):
            def layer(environ, start_response):
                body = application(environ, start_response)
                try:
                    yield from body
                finally:
                    body.close()

            return layer

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            while True:
                yield b"one"

        application, found = watch(proxy_fix(by_yield_from(application)))

        exchange(application, chunks=1)
        settle(application)

        assert found[0].detail.startswith("2 times, at the end of a generator and tests/")

    def test_the_request_as_it_came(self):
        """A mount changes what the layers inside it see."""
        application, found = watch(Mount(None, {"/shop": by_list(spying())}))

        exchange(application, "/shop/cart")
        settle(application)

        assert found[0].request == "GET '/shop/cart'"


class TestWhen:
    def test_a_response_is_judged_a_second_after_it_is_over(self, monkeypatch):
        """A layer may have somebody close for it."""
        now = [100.0]
        monkeypatch.setattr("freedom_middleware.leaks.watch.monotonic", lambda: now[0])
        application, found = watch(by_list(spying()))
        exchange(application, "/first")
        exchange(application, "/second")
        assert found == []

        now[0] += 1.5
        exchange(application, "/third")

        assert [finding.request for finding in found] == ["GET '/first'"]
        assert application.counts() == {("close-lost", "by_list"): 2}

    def test_a_body_that_is_closed_by_then_is_not_lost(self):
        later = []

        def closes_later(application):
            def layer(environ, start_response):
                later.append(application(environ, start_response))
                return list(later[-1])

            return layer

        application, found = watch(closes_later(spying()))
        exchange(application)
        later.pop().close()
        settle(application)

        assert found == []

    def test_it_does_not_wait_for_the_collector(self):
        kept = []

        def keeps(application):
            def layer(environ, start_response):
                kept.append(application(environ, start_response))
                return list(kept[-1])

            return layer

        application, found = watch(keeps(spying()))
        exchange(application)
        settle(application)

        assert ids_of(found) == {"close-lost"}

    def test_a_cycle_is_reported_and_nothing_runs_in_the_collector(self):
        application, found = watch(spying())
        body = application(make_environ(), lambda *_: None)
        cycle = [body]
        cycle.append(cycle)
        del body, cycle

        gc.collect()
        assert found == []
        settle(application)

        assert ids_of(found) == {"server-never-closed"}

    def test_each_fault_of_a_layer_is_told_once_and_counted_always(self, caplog):
        application, found = watch(by_list(spying()))
        for _ in range(40):
            exchange(application)
        settle(application)

        assert len(found) == 1
        assert len(caplog.records) == 1
        assert caplog.records[0].name == "freedom_middleware.leaks"
        assert caplog.records[0].message == (
            f"close-lost: by_list ({found[0].where}), GET '/': it was read to the end"
            " (reported once for this layer)"
        )
        assert application.counts() == {("close-lost", "by_list"): 40}
        assert application.sampled == 40

    def test_the_sample_is_about_as_large_as_asked(self):
        application = LeakWatch(hello, sample=0.25)
        for _ in range(2000):
            application(make_environ(), lambda *_: None)

        assert 400 < application.sampled < 600

    def test_another_thread_may_be_faster(self):
        class Emptied(list):
            def __len__(self):
                return 1

            popleft = list.pop

        application, found = watch(by_list(spying()))
        application._waiting = Emptied()

        application.settle(seconds=0)

        assert found == []

    def test_on_leak_that_raises_is_logged_and_fails_no_request(self, caplog):
        def fails(finding):
            raise LookupError("on purpose")

        application = LeakWatch(by_list(spying()), sample=1, on_leak=fails)
        exchange(application)
        settle(application)

        assert exchange(application).code == 200
        assert "on_leak raised for: close-lost: by_list" in caplog.text

    def test_what_cannot_be_judged_is_logged_and_fails_no_request(self, caplog, monkeypatch):
        application, _ = watch(by_list(spying()))
        exchange(application)
        monkeypatch.setattr("freedom_middleware.leaks.watch.blame", None)
        settle(application)

        assert "a response could not be judged: GET '/'" in caplog.text


class TestAtOnce:
    def test_many_threads_each_name_their_own(self):
        """Every response is right, and every leak is counted."""
        application, found = watch(
            Mount(proxy_fix(spying()), {"/lost": proxy_fix(by_list(spying()))})
        )
        wrong = []

        def client(path):
            bodies = [exchange(application, path).body for _ in range(100)]
            wrong.extend(body for body in bodies if body != b"onetwo")

        threads = [threading.Thread(target=client, args=(path,)) for path in ("/", "/lost") * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        settle(application)

        assert wrong == []
        assert application.counts() == {("close-lost", "by_list"): 400}
        assert len(found) == 1

    def test_a_table_may_change_while_it_is_served(self):
        site = Mount(proxy_fix(hello), {"/old": by_list(spying())})
        application, found = watch(site)

        site.mounts["/new"] = by_list(spying())
        assert exchange(application, "/new").body == b"onetwo"
        del site.mounts["/new"]
        assert exchange(application, "/old").body == b"onetwo"
        settle(application)

        assert [finding.request for finding in found] == ["GET '/old'"]

    def test_a_layer_may_ask_for_another_child_than_it_had(self):
        layer = proxy_fix(hello)
        application, found = watch(layer)

        layer.app = proxy_fix(by_list(spying()))

        assert exchange(application).body == b"onetwo"
        settle(application)
        assert found == []

    def test_a_traceback_that_is_kept_does_not_keep_the_body(self):
        """Or what a layer drops would not die where it does, while somebody looks."""
        kept = []

        def handles(application):
            def layer(environ, start_response):
                body = application(environ, start_response)
                try:
                    raise LookupError("on purpose")
                except LookupError as error:
                    kept.append(error)
                try:
                    return body
                finally:
                    del body

            return layer

        def catches(environ, start_response):
            try:
                raise LookupError("on purpose")
            except LookupError as error:
                kept.append(error)
            return SpyBody()

        died = []
        application, found = watch(proxy_fix(handles(catches)))
        body = application(make_environ(), lambda *_: None)
        weakref.finalize(body, died.append, "passing")
        weakref.finalize(body._watched_body._watched_body, died.append, "inner")
        del body

        assert sorted(died) == ["inner", "passing"]
        settle(application)
        assert ids_of(found) == {"server-never-closed"}

    def test_a_child_that_answers_one_request_twice(self):
        def retries(application):
            def layer(environ, start_response):
                application(environ, lambda *_: None).close()
                return application(environ, start_response)

            return layer

        inner = spying()
        application, found = watch(retries(proxy_fix(inner)))
        exchange(application)
        settle(application)

        assert found == []
        assert [body.closes for body in inner.bodies] == [1, 1]

    def test_a_fork_leaves_to_the_parent_what_the_parent_saw(self):
        import os

        application, found = watch(by_list(spying()))
        exchange(application)
        body = application(make_environ(), lambda *_: None)
        reader, writer = os.pipe()
        if os.fork() == 0:  # pragma: no cover - it does not live to tell
            del body
            settle(application)
            os.write(writer, str(len(found)).encode())
            os._exit(0)
        os.wait()

        assert os.read(reader, 10) == b"0"
        os.close(reader)
        os.close(writer)
        settle(application)
        assert len(found) == 1

    def test_what_is_left_is_reported_at_exit(self):
        import subprocess
        import sys

        code = """
import logging; logging.basicConfig(format="%(message)s")
from freedom_middleware.leaks import LeakWatch
from freedom_middleware.testing import SpyBody, exchange
def spy(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return SpyBody([b"x"])
def loses(application):
    return lambda environ, start_response: list(application(environ, start_response))
exchange(LeakWatch(loses(spy), sample=1))
"""
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )

        assert done.stderr.startswith("close-lost: loses, GET '/'")


async def api(scope, receive, send): ...


class TestWhatIsNotReached:
    def test_is_said_at_construction(self):
        application = LeakWatch(
            Mount(hello, {"/api": api, "/late": Application("tests.nowhere:app", lazy=True)})
        )

        assert application.layers == ["Mount", "api", "hello"]
        assert application.unreached == [
            "tests.nowhere:app (in Mount /late): it is not loaded yet"
        ]

    def test_so_is_what_calls_applications_in_its_own_way(self):
        from a2wsgi import ASGIMiddleware

        application = LeakWatch(proxy_fix(ASGIMiddleware(api)))

        assert application.layers == ["ProxyFix", "ASGIMiddleware"]
        assert application.unreached == ["api (in ASGIMiddleware): it is ASGI"]

    def test_so_is_an_application_that_is_loaded_later(self):
        application = LeakWatch(Application("tests.nowhere:app", lazy=True))

        assert application.unreached == ["tests.nowhere:app: it is not loaded yet"]

    def test_and_what_is_made_anew_each_time(self):
        class Maker:
            def wsgi_children(self):
                return [("made", by_list(hello))]

            def __call__(self, environ, start_response):
                return hello(environ, start_response)

        application = LeakWatch(Maker())

        assert exchange(application).code == 200
        assert application.unreached == [
            "by_list (in Maker made): it cannot be replaced where it is held"
        ]

    def test_an_application_that_holds_itself_is_not_its_own_child(self):
        outer = proxy_fix(hello)
        outer.wrapped = outer
        inner = proxy_fix(outer)
        outer.app = inner

        assert LeakWatch(outer).layers == ["ProxyFix", "ProxyFix #2"]

    def test_and_a_place_that_takes_nothing_else(self):
        class Frozen(tuple):
            def __call__(self, environ, start_response):
                return self[0](environ, start_response)

        application = LeakWatch(Frozen([hello]))

        assert len(application.unreached) == 1
        assert exchange(application).code == 200

    def test_a_dispatcher_by_hand_is_watched_by_what_is_asked_for(self):
        application, found = watch(by_path(hello, proxy_fix(spying())))

        exchange(application, "/here")
        settle(application)

        assert [finding.label for finding in found] == ["by_path"]


class TestOptions:
    @pytest.mark.parametrize("sample", [0, -1, 1.5, True, "0.1", None, float("nan")])
    def test_a_sample_must_be_a_share(self, sample):
        with pytest.raises(OptionError, match="must be a number above 0 and at most 1, got"):
            LeakWatch(hello, sample=sample)

    def test_on_leak_must_be_callable(self):
        with pytest.raises(OptionError, match="on_leak must be callable or None, got 'log'"):
            LeakWatch(hello, on_leak="log")
