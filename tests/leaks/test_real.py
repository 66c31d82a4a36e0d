"""With the real application, for the paths that were asked for."""

import pytest

from freedom_middleware import CloseGuard, Mount
from freedom_middleware.errors import OptionError
from freedom_middleware.leaks import check
from freedom_middleware.leaks.real import ENDS
from freedom_middleware.leaks.report import to_dict, to_text
from freedom_middleware.testing import SpyBody
from tests.leaks.layers import by_list


class Site:
    """Counts its requests, and the bodies that were closed."""

    def __init__(self, status="200 OK", *, error=None):
        self.asked, self.bodies = [], []
        self._status, self._error = status, error

    def __call__(self, environ, start_response):
        self.asked.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if self._error:
            raise self._error
        start_response(self._status, [("Content-Type", "text/x-real")])
        self.bodies.append(SpyBody([b"one", b"two"]))
        return self.bodies[-1]


def loses_what_is_real(application):
    """Loses the bodies of one type of content, which no check can think of."""

    def layer(environ, start_response):
        types = []

        def start(status, headers, *exc_info):
            types.append(dict(headers).get("Content-Type"))
            return start_response(status, headers, *exc_info)

        body = application(environ, start)
        return [b"".join(body)] if types == ["text/x-real"] else body

    return layer


def passes_on(application):
    def layer(environ, start_response):
        return application(environ, start_response)

    return layer


def test_no_real_application_is_called_unless_asked_for():
    site = Site()

    report = check(loses_what_is_real(site))

    assert (site.asked, report.findings, report.real) == ([], [], [])


def test_a_layer_that_loses_what_only_the_real_one_answers_is_named():
    site = Site()

    report = check(passes_on(loses_what_is_real(site)), real=["/page"])

    assert {(finding.id, finding.label) for finding in report.findings} == {
        ("close-lost", "loses_what_is_real")
    }
    assert [finding.scenario for finding in report.findings] == list(ENDS)
    assert report.findings[0].detail == "GET '/page': it was read to the end"
    assert report.table["loses_what_is_real"]["left"] == "close-lost"
    assert report.table["passes_on"]["left"] == "ok"


def test_each_path_is_asked_once_for_each_end():
    site = Site()

    report = check(Mount(site, {}), real=["/a", "/b"])

    ends = ["GET", "GET", "GET", "HEAD"]
    assert site.asked == [
        *((method, "/a") for method in ends),
        *((method, "/b") for method in ends),
    ]
    assert [body.closes for body in site.bodies] == [1] * 8
    assert report.findings == []


def test_the_name_is_that_of_the_other_scenarios():
    report = check(passes_on(passes_on(by_list(Site()))), scenarios=["whole"], real=["/"])

    assert report.table == {
        "passes_on": {"whole": "ok"},
        "passes_on #2": {"whole": "ok"},  # by_list hands it a list, with nothing to close
        "by_list": dict.fromkeys(ENDS, "close-lost"),
    }
    assert len(report.findings) == len(ENDS)


def test_what_a_guard_makes_up_for_is_no_finding():
    report = check(by_list(CloseGuard(Site())), real=["/"])

    assert report.findings == []
    assert {finding.label for finding in report.guarded} == {"by_list"}


def test_the_layers_hold_what_they_held():
    site = Site()
    layer = by_list(site)

    check(layer, real=["/"])

    assert layer.__closure__[0].cell_contents is site


@pytest.mark.parametrize(
    ("site", "says"),
    [
        (Site("500 Oh"), "GET '/x', asked of the real application, is answered with 500 Oh"),
        (
            Site(error=LookupError("no database")),
            "GET '/x', asked of the real application, raised LookupError('no database')",
        ),
    ],
)
def test_a_real_application_that_fails_is_no_innocence(site, says):
    report = check(passes_on(site), real=["/x"])

    assert report.baseline[0] == says


def test_a_lazy_layer_that_is_not_read_fails_nothing():
    """It says its status with its first chunk, and a client that goes before asks for none."""

    def lazy(application):
        def layer(environ, start_response):
            yield from application(environ, start_response)

        return layer

    assert check(lazy(Site()), real=["/x"]).baseline == []


def test_an_application_that_says_no_status_fails():
    def silent(environ, start_response):
        return [b"one"]

    report = check(passes_on(silent), real=["/x"])

    assert set(report.baseline) == {
        f"{method} '/x', asked of the real application, is answered with no status"
        for method in ("GET", "HEAD")
    }


def test_both_forms_say_that_it_was_called():
    report = check(passes_on(Site()), real=["/a", "/b"])

    assert to_dict(report)["real"] == ["/a", "/b"]
    assert "innermost application called for /a, /b" in to_text(report)


@pytest.mark.parametrize("real", ["/page", ["page"]])
def test_paths_must_be_paths(real):
    with pytest.raises(OptionError, match="real must be a list of paths that start with '/'"):
        check(Site(), real=real)


def test_nothing_is_put_into_a_real_application():
    with pytest.raises(OptionError, match="real must come without inside"):
        check(Site(), real=["/"], inside=CloseGuard)
