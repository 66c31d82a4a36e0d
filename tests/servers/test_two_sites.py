"""Two sites under one Apache: processes keep them apart, sub-interpreters do not."""

import json
from dataclasses import replace

import pytest

from .deployments import MOD_WSGI, apache_for, serving

SITES = {
    "/srv/mysite/mysite": "{sites}/mysite",
    "python-path=/srv/mysite": "python-path={path}",
    "/srv/other/other": "{sites}/town",
    "python-path=/srv/other": "python-path={path}",
    "<Directory /srv>": "<Directory {sites}>",
}

pytestmark = [pytest.mark.server("mod_wsgi"), pytest.mark.compiled]


def two_sites(folder, **replacing):
    files = apache_for("two sites, a process each", SITES | replacing)
    return serving(replace(MOD_WSGI, files=files), folder, MYSITE_VARIANT="alone")


def test_in_two_processes_each_serves_its_own_pages(tmp_path):
    with two_sites(tmp_path) as apache:
        ours = apache.get("/shop/cart")
        town = apache.get("/other/where/")
        neither = apache.get("/where/")

    assert json.loads(ours.body)["url"] == "/shop/cart"
    assert json.loads(town.body)["SCRIPT_NAME"] == "/other"
    assert neither.body == b"the site has no /where/"
    assert "SettingsWarning" not in apache.log()


def test_in_two_interpreters_of_one_process_the_second_is_warned_of(tmp_path):
    with two_sites(
        tmp_path,
        **{
            " process-group=other application-group=%{{GLOBAL}}": " process-group=mysite",
            " process-group=mysite application-group=%{{GLOBAL}}": " process-group=mysite",
        },
    ) as apache:
        served = apache.get("/other/where/")

    assert (
        "SettingsWarning: DJANGO_SETTINGS_MODULE='mysite.settings' in the environment wins"
        " over 'town.settings', and is another site's"
    ) in apache.log()
    assert served.body == b"the site has no /other/where/"


def test_in_one_interpreter_the_second_is_refused(tmp_path):
    """Which of them is the second is Apache's to say: it loads both when it starts."""
    with two_sites(tmp_path, **{"process-group=other ": "process-group=mysite "}) as apache:
        statuses = {apache.get(target).status for target in ("/page/", "/other/where/")}

    assert statuses == {200, 500}
    assert "SettingsConflict: a process must hold one Freedom site, got " in apache.log()
