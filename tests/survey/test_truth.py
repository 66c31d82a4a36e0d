"""The truth that the survey judges by is right about layers with one known fault each."""

import gc
import threading

import pytest

from freedom_middleware import CloseGuard
from freedom_middleware.dropped import settle
from tests.leaks.layers import FAULTY, early, forgets_the_first, proxy_fix
from tests.survey import truth
from tests.survey.measure import collect
from tests.survey.truth import CASES, find_out

VERDICT_OF = {
    "close-lost": "lost",
    "close-on-iterator": "iterator",
    "close-early": "early",
    "close-repeated": "repeated",
    "close-wrong-thread": "thread",
}


def bad(found):
    return {verdict for verdict in found.verdicts.values() if verdict not in ("once", "")}


def nothing(application):
    return application


def refuses(environ, start_response):
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"not here"]


class TestFindOut:
    def test_an_application_alone_is_closed_once_in_every_case(self):
        found = find_out(nothing)

        assert set(found.verdicts) == set(CASES)
        assert set(found.verdicts.values()) == {"once"}
        assert not found.guilty
        assert (found.broken, found.stuck) == ("", "")

    @pytest.mark.parametrize("layer", FAULTY, ids=lambda layer: layer.__name__)
    def test_each_fault_is_seen_as_what_it_is(self, layer):
        found = find_out(layer)

        expected = {VERDICT_OF[id] for id in FAULTY[layer]}
        assert found.guilty
        # What closes at the first chunk loses the body that raises instead of one.
        assert expected <= bad(found) <= expected | {"lost"}

    @pytest.mark.filterwarnings("ignore::freedom_middleware.errors.UnclosedBodyWarning")
    @pytest.mark.parametrize("layer", FAULTY, ids=lambda layer: layer.__name__)
    def test_a_guard_inside_leaves_only_what_was_asked_for(self, layer):
        found = find_out(layer, CloseGuard, settle)

        assert bad(found) == bad(find_out(layer)) & {"early", "thread"}

    def test_a_body_of_either_kind_that_is_read_after_its_close_was_closed_early(self):
        found = find_out(early, cases=["whole", "file"])

        assert found.verdicts == {"whole": "early", "file": "early"}

    @pytest.mark.filterwarnings("ignore::freedom_middleware.errors.UnclosedBodyWarning")
    def test_what_only_a_collector_gives_back_to_a_guard_is_closed_when_all_is_over(self):
        def in_cycle(application):
            def layer(environ, start_response):
                kept = [application(environ, start_response)]
                kept.append(kept)
                return [b"instead"]

            return layer

        gc.disable()  # or it may run at any time
        try:
            assert bad(find_out(in_cycle, CloseGuard)) == {"lost"}
            assert bad(find_out(in_cycle, CloseGuard, collect)) == set()
        finally:
            gc.enable()
            collect()

    def test_a_body_that_is_discarded_rightly_is_no_fault(self):
        from paste.cascade import Cascade

        assert not find_out(lambda application: Cascade([application, refuses])).guilty

    def test_a_body_that_is_discarded_and_forgotten_is(self):
        found = find_out(
            lambda application: forgets_the_first(application, refuses),
            cases=["whole", "404", "404 left"],
        )

        assert found.verdicts == {"whole": "once", "404": "lost", "404 left": "lost"}

    def test_a_layer_that_calls_nobody_is_not_judged(self):
        found = find_out(lambda application: refuses)

        assert set(found.verdicts.values()) == {""}
        assert found.broken == "answers 404 Not Found"

    def test_a_layer_that_fails_is_said_to(self):
        def fails(application):
            def layer(environ, start_response):
                raise RuntimeError("no session store")

            return layer

        assert find_out(fails).broken == "raises RuntimeError('no session store')"

    def test_a_response_that_never_ends_is_left_alone(self, monkeypatch):
        over = threading.Event()
        monkeypatch.setattr(truth, "STUCK_SECONDS", 0.05)

        def sticks(application):
            def layer(environ, start_response):
                if environ["REQUEST_METHOD"] == "POST":
                    over.wait(10)
                return application(environ, start_response)

            return layer

        try:
            found = find_out(sticks, cases=["whole", "whole POST", "left Split"])
        finally:
            over.set()

        assert found.stuck == "whole POST"
        assert "left Split" not in found.verdicts

    def test_a_close_that_another_thread_is_about_to_make_is_waited_for(self):
        def later(application):
            class Body:
                def __init__(self, body):
                    self._body = body

                def __iter__(self):
                    return iter(self._body)

                def close(self):
                    threading.Timer(0.02, self._body.close).start()

            return lambda environ, start_response: Body(application(environ, start_response))

        assert bad(find_out(later, cases=["whole"])) == {"thread"}

    def test_what_a_layer_is_for_is_asked_of_it(self):
        """A compressor that is never asked to compress cannot be judged."""
        from paste.gzipper import middleware

        seen = []

        def compressed(application):
            layer = middleware(application)

            def notes(environ, start_response):
                def start(status, headers, *exc_info):
                    seen.append(dict(headers).get("content-encoding"))
                    return start_response(status, headers, *exc_info)

                return layer(environ, start)

            return notes

        find_out(compressed, cases=["whole", "page"])

        assert seen[:2] == [None, "gzip"]

    def test_is_not_confused_by_real_layers_around_it(self):
        assert not find_out(lambda application: proxy_fix(proxy_fix(application))).guilty
