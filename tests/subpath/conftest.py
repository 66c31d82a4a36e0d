"""Six frameworks under prefixes of one site, at a real server, in three places."""

from contextlib import contextmanager
from dataclasses import replace

import pytest

from ..servers.harness import SERVERS, RunningServer, running
from .browser import Browser

WAITRESS, GUNICORN = (
    replace(server, command=server.command.replace("mysite.wsgi", "portal.wsgi"))
    for name in ("waitress", "gunicorn sync")
    for server in SERVERS
    if server.name == name
)
UNDER_INTRANET = replace(
    WAITRESS,
    command=WAITRESS.command.replace("waitress-serve", "waitress-serve --url-prefix=/intranet"),
)

# server, environment, where the composed application is then
PLACES = {
    "at the root": (WAITRESS, {}, ""),
    "under two prefixes": (WAITRESS, {"PORTAL_UNDER": "/outer/été"}, "/outer/%C3%A9t%C3%A9"),
    "under the server's own prefix": (UNDER_INTRANET, {}, "/intranet"),
    "under the server's own and ours": (
        UNDER_INTRANET,
        {"PORTAL_UNDER": "/outer"},
        "/intranet/outer",
    ),
    "gunicorn": (
        GUNICORN,
        {"SCRIPT_NAME": "/intranet", "PORTAL_UNDER": "/outer"},
        "/intranet/outer",
    ),
}


@contextmanager
def served(place, folder, **variables):
    """Serve the site at *place*; give the server, and where the site is."""
    server, environment, base = PLACES[place]
    with running(server, folder, **environment, **variables) as site:
        yield site, base


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(
            place, marks=[pytest.mark.server("gunicorn")] if place == "gunicorn" else []
        )
        for place in PLACES
    ],
)
def place(request, tmp_path_factory):
    with served(request.param, tmp_path_factory.mktemp("portal")) as place:
        yield place


@pytest.fixture
def browser(place):
    """A visitor who comes for the first time."""
    site, base = place
    return Browser(f"http://127.0.0.1:{site.port}", base)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    place = getattr(item, "funcargs", {}).get("place")
    if place is not None and isinstance(place[0], RunningServer):  # shown if the test fails
        report.sections.append(("end of the server's log", place[0].log()[-5000:]))
    return report
