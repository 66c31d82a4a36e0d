"""FORCE_SCRIPT_NAME set by mistake: what breaks, so that it can be recognised."""

import pytest

from .browser import Browser
from .conftest import served


@pytest.fixture(scope="module")
def forced(tmp_path_factory):
    """A site that is told that it is at /portal, and mounted at /outer/été/portal."""
    folder = tmp_path_factory.mktemp("forced")
    with served("under two prefixes", folder, PORTAL_FORCE_SCRIPT_NAME="/portal") as place:
        site, base = place
        yield Browser(f"http://127.0.0.1:{site.port}", base)


def test_the_mount_still_finds_it(forced):
    assert forced.get("/portal/item/7/").text == "item 7"


def test_every_url_that_it_makes_leads_nowhere(forced):
    told = forced.get("/portal/where/").json

    assert told["reverse"] == "/portal/item/7/"
    assert forced.open(told["reverse"]).status == 404
    assert forced.open(told["static"]).status == 404


def test_it_takes_itself_to_be_elsewhere(forced):
    told = forced.get("/portal/where/").json

    assert told["path"] == "/portal/where/"
    assert told["absolute"] == f"{forced.address}/portal/where/"


def test_its_login_cannot_be_reached(forced):
    page = forced.get("/portal/admin/")

    assert page.location == "/portal/admin/login/?next=/portal/admin/"
    assert forced.follow(page).status == 404


def test_the_other_frameworks_are_not_concerned(forced):
    assert forced.follow(forced.get("/shop/go")).text == "item 7"
