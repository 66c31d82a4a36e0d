"""Prometheus' own application, mounted."""

import gzip

import pytest
from prometheus_client import CollectorRegistry, Counter, make_wsgi_app

from freedom_middleware import Application, CloseGuard, Mount
from freedom_middleware.testing import exchange, hello


@pytest.fixture
def site():
    registry = CollectorRegistry()
    Counter("sales", "What was sold", registry=registry).inc(7)
    Counter("visits", "Who came", registry=registry)
    return CloseGuard(Mount(hello, {"/metrics": make_wsgi_app(registry)}))


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/metrics/anything"])
def test_it_answers_under_its_prefix(site, path):
    answer = exchange(site, path)

    assert answer.status == "200 OK"
    assert b"sales_total 7.0" in answer.body
    assert dict(answer.headers)["Content-Type"].startswith("text/plain; version=")


def test_beside_it_the_site_answers(site):
    assert exchange(site, "/metricsandmore").body == b"Hello, world!\n"


def test_a_scraper_gets_it_compressed(site):
    answer = exchange(site, "/metrics", headers={"Accept-Encoding": "gzip"})

    assert dict(answer.headers)["Content-Encoding"] == "gzip"
    assert b"sales_total 7.0" in gzip.decompress(answer.body)


def test_the_query_reaches_it(site):
    answer = exchange(site, "/metrics?name[]=visits_total")

    assert b"visits_total" in answer.body
    assert b"sales" not in answer.body


def test_it_needs_no_closing_and_passes_untouched():
    """A list: the guard returns it itself."""
    metrics = make_wsgi_app(CollectorRegistry())

    answered = CloseGuard(metrics)(
        {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda status, headers: None
    )

    assert type(answered) is list


def test_it_is_a_plain_wsgi_application(site):
    assert Application(make_wsgi_app(CollectorRegistry())).kind == "WSGI"
