"""Each rule for servers can be broken, and real servers do what the page says of them."""

import sys

import pytest

from ..servers.harness import SITES, each
from . import servers
from .__main__ import PAGE
from .deployments import SERVERS, serving
from .page import committed
from .reference import Reference
from .rule import NO, YES, judged
from .servers import SERVER

SHORT = ("gunicorn gthread", "waitress", "FastCGI behind nginx")
"""Two of others, and our own."""


@pytest.fixture
def reference(tmp_path, monkeypatch):
    """Serve the probes, from this process, by a server that breaks one rule or none."""
    monkeypatch.syspath_prepend(SITES)
    from probe import wsgi

    monkeypatch.setattr(wsgi, "FOLDER", tmp_path)

    def reference(fault=""):
        return Reference(wsgi.application, tmp_path, fault)

    yield reference
    for name in ("probe", "probe.wsgi"):
        sys.modules.pop(name, None)


def test_a_server_that_breaks_no_rule(reference):
    with reference() as site:
        assert [rule.number for rule in SERVER if judged(rule, site) != (YES, "")] == []


@pytest.mark.parametrize("rule", SERVER, ids=lambda rule: rule.number)
def test_a_server_that_breaks_a_rule(rule, reference, monkeypatch):
    # What never comes is not waited for long.
    for name in ("PATIENCE_SECONDS", "CLOSE_SECONDS"):
        monkeypatch.setattr(servers, name, 0.5)

    with reference(rule.judge.__name__) as site:
        mark, seen = judged(rule, site)

    assert (mark, bool(seen)) == (NO, True)


@pytest.mark.parametrize("server", each([one for one in SERVERS if one.name in SHORT]))
def test_a_server_does_what_the_page_says(server, tmp_path):
    """The others are judged by the command that writes the page."""
    with serving(server, tmp_path) as site:
        found = {rule.number: judged(rule, site)[0] for rule in SERVER}

    assert found == marks_on_the_page()[server.name]


def marks_on_the_page():
    """Return the marks of each server as they are written down."""
    marks = {}
    heads = []
    for line in committed(PAGE.read_text("utf-8"), "servers").splitlines():
        if not line.startswith("|"):
            continue
        first, *cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        if first == "servers":
            heads = cells
        elif not set(first) <= set("- "):
            row = dict(zip(heads, cells, strict=True))
            marks.setdefault(first.partition(" (")[0], {}).update(row)
    return marks


def test_every_server_is_on_the_page_and_judged_by_every_rule():
    marks = marks_on_the_page()

    assert list(marks) == [server.name for server in SERVERS]
    assert {tuple(row) for row in marks.values()} == {tuple(rule.number for rule in SERVER)}
