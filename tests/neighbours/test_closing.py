"""A real site under real middleware: request_finished is sent once for each response.

A site's connections are given back by that signal.  A layer that never calls the site (a
generator that is closed unread) has opened nothing; then both counts are 0.
"""

import gc
import logging
import os
import warnings

import pytest

from freedom_middleware import CloseGuard
from freedom_middleware.errors import UnclosedBodyWarning
from freedom_middleware.testing import exchange, make_environ

from ..interpreters import let_go
from . import layers

READS = {"whole": None, "left": 1, "unread": 0}

LOSES = {
    layers.nothing: set(),
    layers.elastic_apm: {"whole", "left"},
    layers.ddtrace: {"whole", "left", "unread"},
    layers.ddtrace_iterator: set(),
    layers.opentelemetry: {"unread"},
    layers.instana: set(),
    layers.werkzeug_debugger: {"left"},
    layers.raven_shaped: {"whole", "left"},
    layers.asgiref: {"whole", "left", "unread"},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.neighbours.site"
    # A file: Django never closes what is in memory only.
    os.environ["SITE_DATABASE"] = str(tmp_path_factory.mktemp("site") / "db.sqlite3")
    from django.core.wsgi import get_wsgi_application
    from django.db import connections

    yield get_wsgi_application()
    connections.close_all()
    del os.environ["DJANGO_SETTINGS_MODULE"], os.environ["SITE_DATABASE"]


@pytest.fixture
def signals(site):
    """Count requests that started, and that finished."""
    from django.core.signals import request_finished, request_started

    counts = {"started": 0, "finished": 0}

    def started(**kwargs):
        counts["started"] += 1

    def finished(**kwargs):
        counts["finished"] += 1

    request_started.connect(started)
    request_finished.connect(finished)
    yield counts
    request_started.disconnect(started)
    request_finished.disconnect(finished)


@pytest.fixture
def quiet():
    """The reports are expected; and so is what the neighbours themselves warn of."""
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.disable(logging.NOTSET)


@pytest.fixture(params=["page", "stream", "file"])
def path(request):
    return f"/{request.param}"


NEEDED = {
    layers.ddtrace: [pytest.mark.ddtrace],
    layers.ddtrace_iterator: [pytest.mark.ddtrace],
    layers.instana: [pytest.mark.tracemalloc],
}


def cases(reads_of):
    return [
        pytest.param(layer, read, id=f"{layer.__name__}-{read}", marks=NEEDED.get(layer, ()))
        for layer in LOSES
        for read in sorted(READS)
        if read in reads_of(layer)
    ]


@pytest.mark.parametrize(("layer", "read"), cases(lambda layer: READS))
def test_every_response_is_closed_once_under_the_guard(layer, read, path, site, signals, quiet):
    application = layer(CloseGuard(site))

    for _ in range(2):
        exchange(application, path, chunks=READS[read], validate=False)
    let_go()

    assert signals["finished"] == signals["started"]
    assert signals["started"] in ({2} if read == "whole" else {0, 2})


@pytest.mark.parametrize(("layer", "read"), cases(lambda layer: LOSES[layer]))
def test_without_the_guard_it_is_lost(layer, read, path, site, signals, quiet):
    """Or the test above would prove nothing."""
    exchange(layer(site), path, chunks=READS[read], validate=False)

    assert signals == {"started": 1, "finished": 0}


def test_the_guard_says_so(site, signals):
    application = layers.elastic_apm(CloseGuard(site))

    def asks():
        exchange(application, "/page", validate=False)
        let_go()

    with pytest.warns(UnclosedBodyWarning, match="GET '/page' was never closed"):
        asks()


class TestStreamingQuery:
    """A response that is dropped while a later one on the thread streams from the database.

    Its close would have the framework close the connection: on SQLite the query then fails
    with "Cannot operate on a closed database".
    """

    def test_a_body_that_a_traceback_kept_does_not_end_it(self, site, signals, quiet):
        application = CloseGuard(site)
        kept = []
        try:
            body = application(make_environ("/page"), lambda *_: None)
            raise LookupError("on purpose", body)
        except LookupError as error:
            kept.append(error)
        del body

        streaming = application(make_environ("/rows"), lambda *_: None)
        sent = []
        for chunk in streaming:
            sent.append(chunk)
            if len(sent) == 10:
                kept.clear()
        assert signals["finished"] == 0
        streaming.close()
        let_go()

        assert len(sent) == 10_000
        assert signals == {"started": 2, "finished": 2}

    def test_a_cycle_that_is_collected_meanwhile_does_not_end_it(self, site, signals, quiet):
        application = CloseGuard(site)
        cycle = [application(make_environ("/page"), lambda *_: None)]
        cycle.append(cycle)
        del cycle

        streaming = application(make_environ("/rows"), lambda *_: None)
        sent = [next(streaming)]
        gc.collect()
        sent += streaming
        streaming.close()
        let_go()

        assert len(sent) == 10_000
        assert signals == {"started": 2, "finished": 2}
