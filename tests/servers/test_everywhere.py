"""One project at every server, asked everything: the answers are those of the docs' table."""

import re
from dataclasses import replace

import pytest

from ..written import rewritten
from .checks import ask
from .deployments import DEPLOYMENTS, serving
from .harness import each, running
from .table import COMMAND, PAGE, committed, written


@pytest.fixture(params=each(DEPLOYMENTS))
def town(request, tmp_path):
    with serving(request.param, tmp_path) as town:
        yield town


def test_a_server_does_what_is_written_of_it(town):
    """One test for each server: it is started once, and asked everything."""
    assert ask(town) == committed()[town.server.name]


@pytest.mark.server("Werkzeug")
def test_a_server_that_does_otherwise_is_found_out(tmp_path):
    """An application that is not the town stands for it."""
    [werkzeug] = [deployment for deployment in DEPLOYMENTS if deployment.name == "Werkzeug"]
    other = replace(werkzeug, command=werkzeug.command.replace("town.wsgi", "failing"))

    with running(other, tmp_path) as site:
        row = ask(site)

    assert {head for head, answer in row.items() if answer.startswith("broken: ")} >= {
        *("pages", "redirects", "cookies", "read", "error", "wrapping", "sendfile")
    }


@pytest.mark.server("all of them")
@pytest.mark.compiled
def test_the_page_is_written_as_it_stands():
    page = PAGE.read_text(encoding="utf-8")
    again = rewritten(page, COMMAND, written(committed()))

    assert without_versions(again) == without_versions(page)


def without_versions(page):
    return re.sub(r"^With .*$", "", page, flags=re.MULTILINE)


def test_the_table_has_a_row_for_each_server_and_no_other():
    assert list(committed()) == [deployment.name for deployment in DEPLOYMENTS]
