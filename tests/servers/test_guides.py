"""The pages on deploying: each command and each configuration in them is run here.

The pages are the source: what is run is read from them, and only what stands for a reader's
own is replaced, such as ``/srv/mysite``.  The site is the README's.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from .deployments import BRACES, MOD_WSGI, NGINX_COMMAND, SITE, apache_for, nginx_for
from .harness import Server, free_port, running
from .pages import PAGES, block, blocks

ROOT = Path(__file__).parents[2]
IN_THE_FOLDER = "in /srv/mysite"

# The page and the caption of each start line, those of nginx's configuration if it is
# behind it, and the prefix that the site is then at.
STARTED = {
    ("gunicorn.md", IN_THE_FOLDER): (None, ""),
    ("uwsgi.md", IN_THE_FOLDER): (("uwsgi.md", SITE), ""),
    ("fastcgi.md", IN_THE_FOLDER): (("fastcgi.md", SITE), ""),
    ("proxy.md", IN_THE_FOLDER): (("proxy.md", "the same, under a path"), "/intranet"),
    ("proxy.md", "gunicorn's own"): (("proxy.md", "the same, under a path"), "/intranet"),
    ("proxy.md", "waitress's own"): (("proxy.md", "the same, under a path"), "/intranet"),
    ("proxy.md", "at the root"): (("proxy.md", SITE), ""),
}
APACHE = ["/etc/apache2/sites-available/mysite.conf", "the same, embedded"]

# What a start line needs beside the project.
UWSGI_INI = ("uwsgi.md", "/srv/mysite/uwsgi.ini")
UNDER_A_PATH = ("proxy.md", "at the end of /srv/mysite/mysite/wsgi.py")

ELSEWHERE = {("mod_wsgi.md", "two sites, a process each")}  # in test_two_sites.py

BESIDE = ["in the folder of the project", "shop.py", "wsgi.py", "look", "serve"]

COMPILED = ("uwsgi.md", "mod_wsgi.md")


def marked(page):
    return [pytest.mark.server(page.removesuffix(".md"))] + [pytest.mark.compiled] * (
        page in COMPILED
    )


@contextmanager
def serving(server, folder):
    """Serve the README's site, a copy of which is *folder*."""
    shutil.copytree(ROOT / "examples" / "composed", folder, dirs_exist_ok=True)
    with running(server, folder, PYTHONPATH=str(ROOT), ELASTIC_APM_ENABLED="false") as site:
        yield site


@pytest.mark.parametrize(
    ("start", "front", "prefix"),
    [
        pytest.param(start, front, prefix, id=": ".join(start), marks=marked(start[0]))
        for start, (front, prefix) in STARTED.items()
    ],
)
def test_a_start_line_serves_the_site(start, front, prefix, tmp_path):
    address = f"127.0.0.1:{free_port()}" if front else "127.0.0.1:{port}"
    own = {"/srv/mysite": "{folder}", "/run/mysite": "{folder}", "127.0.0.1:8000": address}
    files = {}
    if front:
        own_there = {"include ": "include /etc/nginx/"} | own
        files = nginx_for(*front, found_in(block(*front), own_there))
    if start[0] == "uwsgi.md":
        files["uwsgi.ini"] = filled(block(*UWSGI_INI), own)
    if start == ("proxy.md", IN_THE_FOLDER):
        wsgi = ROOT / "examples" / "composed" / "mysite" / "wsgi.py"
        text = wsgi.read_text() + block(*UNDER_A_PATH)
        files["mysite/wsgi.py"] = filled(text, BRACES)
    command = filled(block(*start), own)
    server = Server(
        start[0],
        f"env {command}",  # which takes a variable in front of it, as a shell does
        announces=False,
        files=files,
        front=NGINX_COMMAND if front else "",
        ready=f"{prefix}/",
    )

    with serving(server, tmp_path) as site:
        assert_it_is_the_readme_s(site, prefix)


@pytest.mark.server("gunicorn")
def test_a_flask_application_comes_beside_a_project_of_today(tmp_path):
    """The page is followed from its first line to its last."""
    left = list(BESIDE)

    def shown(caption):
        left.remove(caption)
        return block("beside.md", caption)

    def run(program, *arguments):
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("django-admin", "startproject", "mysite", ".")
    [adopt] = shown("in the folder of the project").splitlines()
    adopted = run(*adopt.split(), "--yes").splitlines()
    tmp_path.joinpath("shop.py").write_text(shown("shop.py"))
    wsgi = tmp_path / "mysite" / "wsgi.py"
    was = "application = CloseGuard(Mount(get_wsgi_application(), {}))\n"
    assert f"+{was}".rstrip() in adopted
    assert wsgi.read_text().endswith(was)
    wsgi.write_text(wsgi.read_text().replace(was, shown("wsgi.py")))
    routes, explain, check = [run(*line.split()) for line in shown("look").splitlines()]
    start = filled(shown("serve"), {"127.0.0.1:8000": "127.0.0.1:{port}"})
    assert left == []

    assert "/shop" in routes
    assert "chosen       /shop" in explain
    assert "Each layer closes every response exactly once." in check
    with running(
        Server("gunicorn", start, announces=False), tmp_path, PYTHONPATH=str(ROOT)
    ) as site:
        assert b"The install worked successfully!" in site.get("/").body
        assert site.get("/shop/").body == b"The cart, at /shop/\n"


@pytest.mark.parametrize("caption", APACHE)
@pytest.mark.server("mod_wsgi")
@pytest.mark.compiled
def test_apache_serves_the_site(caption, tmp_path):
    files = apache_for(caption, {"/srv/mysite": "{folder}"})

    with serving(replace(MOD_WSGI, files=files), tmp_path) as site:
        assert_it_is_the_readme_s(site, "")


@pytest.mark.server("mod_wsgi")
@pytest.mark.compiled
def test_what_is_to_be_installed_is_what_is_tried_here():
    for page in pages():
        for _, _, text in blocks(page):
            for names in re.findall(r"^pip install (.+)$", text, re.MULTILINE):
                for name in names.replace("'", "").split():
                    assert version(name.partition("[")[0])


@pytest.mark.server("mod_wsgi")
@pytest.mark.compiled
def test_the_packages_of_the_system_are_those_of_ci():
    [names] = re.findall(r"^sudo apt install (.+)$", block("mod_wsgi.md", "once"), re.MULTILINE)
    listed = ROOT.joinpath(".ci", "debian-packages").read_text().splitlines()

    assert set(names.split()) <= set(listed)


def test_nothing_on_the_pages_is_left_untried():
    tried = {*STARTED, *(front for front, _ in STARTED.values() if front)}
    tried |= {("mod_wsgi.md", caption) for caption in APACHE}
    tried |= {UWSGI_INI, UNDER_A_PATH} | ELSEWHERE
    tried |= {("beside.md", caption) for caption in BESIDE}
    shown = {(page, caption) for page in pages() for _, caption, _ in blocks(page)}

    assert {pair for pair in shown if pair[1] != "once"} == tried


def test_a_block_without_a_caption_is_not_run_and_so_not_a_command():
    for page in pages():
        fences = re.findall(r"^```(.+)$", PAGES.joinpath(page).read_text(), re.MULTILINE)
        assert set(fences) <= {
            *("{code-block} sh", "{code-block} ini", "{code-block} nginx"),
            *("{code-block} apache", "{code-block} python", "text", "{toctree}"),
        }


def pages():
    return sorted(path.name for path in PAGES.glob("*.md"))


def found_in(text, replacing):
    return {old: new for old, new in replacing.items() if old in text}


def filled(text, replacing):
    for old, new in replacing.items():
        text = text.replace(old, new)
    return text


def assert_it_is_the_readme_s(site, prefix):
    """Each application answers, and knows where it is."""
    assert site.get(f"{prefix}/").body == b"The site\n"
    assert site.get(f"{prefix}/shop/cart").body == f"The cart at {prefix}/shop/cart\n".encode()
    assert json.loads(site.get(f"{prefix}/api/items").body) == {
        "served at": f"{prefix}/api/items"
    }
    assert site.get(f"{prefix}/old/").body == f"Still here, at {prefix}/old\n".encode()
