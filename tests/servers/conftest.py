"""A site at every server, and the server's log beside what failed there."""

import pytest

from .harness import SERVERS, RunningServer, Watch, each, running


@pytest.fixture(scope="class", params=each(SERVERS))
def site(request, tmp_path_factory):
    """The site and the shop, served, with around them what the test class's variant says."""
    folder = tmp_path_factory.mktemp("server")
    with running(request.param, folder, MYSITE_VARIANT=request.cls.variant) as site:
        yield site


@pytest.fixture
def watch(site):
    """What happens at the site from now on."""
    return Watch(site)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    for site in getattr(item, "funcargs", {}).values():
        if isinstance(site, RunningServer):  # shown if the test fails
            report.sections.append(
                (f"end of the log of {site.server.name}", site.log()[-5000:])
            )
    return report
