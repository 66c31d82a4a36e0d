"""What ``python -m tests.suites`` goes by, on a suite of five tests; nothing is fetched."""

import re
import sys

import pytest

from .. import written
from .__main__ import PAGE
from .comparing import compared
from .page import COMMAND, faults, rows
from .projects import SUITES, Suite

TESTS = """
from werkzeug.test import Client, create_environ, run_wsgi_app


class Body:
    def __iter__(self):
        return iter([b"one", b"two"])

    def close(self):
        pass


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body()


def generated(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one"
    yield b"two"


def listed(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"one", b"two"]


def test_closes():
    with Client(application).get("/") as response:
        assert response.data == b"onetwo"


def test_closes_what_was_generated():
    with Client(generated).get("/") as response:
        next(response.iter_encoded())


def test_never_closes():
    Client(application).get("/")


def test_closes_again():
    response = Client(application).get("/")
    response.close()
    response.close()


def test_gets_a_list():
    assert run_wsgi_app(listed, create_environ())[1] == "200 OK"
"""

BROKEN = """
def shortened(application):
    def wrapped(environ, start_response):
        body = application(environ, start_response)
        try:
            return list(body)[:1]
        finally:
            if hasattr(body, "close"):
                body.close()

    return wrapped


def loses_close(application):
    def wrapped(environ, start_response):
        return list(application(environ, start_response))

    return wrapped
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    source = tmp_path_factory.mktemp("tiny-1.0")
    source.joinpath("test_tiny.py").write_text(TESTS, "utf-8")
    source.joinpath("broken.py").write_text(BROKEN, "utf-8")
    ways = {
        "counted": "transparency.ways:counted",
        "guard": "transparency.ways:guard",
        "mount": "broken:shortened",
        "composed": "broken:loses_close",
    }
    # The plugins of this environment belong to other tests.
    alone = (("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1"),)
    tiny = Suite("tiny", tests=("test_tiny.py",), environment=alone)
    return compared(tiny, source, sys.executable, ways, path=(source,))


def test_what_clients_do_is_counted(result):
    counts = result.ways["counted"].counts

    assert (counts.plain, counts.opened, counts.held) == (1, 4, 0)
    assert (counts.once, counts.never, counts.again) == (2, 1, 1)
    assert counts.at_fault == (("test_tiny.Body", 2),)


def test_under_the_guard_every_body_is_closed_once(result):
    counts = result.ways["guard"].counts

    assert (counts.plain, counts.opened, counts.held) == (1, 4, 0)
    assert (counts.once, counts.never, counts.again) == (4, 0, 0)
    assert result.ways["guard"].differ == []


def test_a_wrapper_that_is_broken_makes_a_difference(result):
    assert result.passed == 5
    assert result.unsteady == []
    assert result.ways["mount"].differ == ["test_tiny.py::test_closes"]


def test_what_is_wrong_is_told(result):
    difference, lost = faults([result])

    assert "(Mount), `test_tiny.py::test_closes`: not explained." in difference
    assert "composed: 4 never closed, 0 closed again" in lost


def test_the_table_has_a_row_for_each_way(result):
    assert [row[1:4] for row in rows([result])] == [
        ["Application", "5", "0"],
        ["CloseGuard", "5", "0"],
        ["Mount", "4", "1"],
        ["composed", "5", "0"],
    ]


def test_the_page_holds_every_project_and_nothing_that_is_wrong():
    part = written.part(PAGE.read_text("utf-8"), COMMAND)
    table = written.rows(part)
    projects = [row["project"].rpartition("-")[0] for row in table if row["project"]]
    guarded = [row for row in table if re.search("CloseGuard|composed", row["wrapped in"])]

    assert projects == [suite.name for suite in SUITES]
    assert len(guarded) == 3 * len(SUITES)
    assert {(row["never"], row["more than once"]) for row in guarded} == {("0", "0")}
    assert "not explained" not in part
