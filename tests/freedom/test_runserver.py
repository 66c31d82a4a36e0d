"""The framework's own ``runserver`` serves the composed application, as it is."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from threading import Thread
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from .conftest import PACKAGE

pytestmark = pytest.mark.server("runserver")

SHOP = """
from flask import Flask
app = Flask("shop")

@app.get("/")
def home():
    return "one"

@app.get("/static/shop.css")
def css():
    return "the shop's"
"""


class Running:
    """A ``runserver`` on a port of its choice, which is another one after each start."""

    def __init__(self, process):
        self.process = process
        self.lines = []
        self._reader = Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def log(self):
        return "".join(self.lines)

    def addresses(self):
        return re.findall(r"development server at (http://\S+)/", self.log())

    def address(self, *, after=0, seconds=60.0):
        deadline = time.monotonic() + seconds
        while len(self.addresses()) <= after:
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)
        return self.addresses()[-1]

    def has_started_again(self, change, *, seconds=60.0):
        """Make *change* until it is seen: a file is known a second after the start."""
        before = len(self.addresses())
        deadline = time.monotonic() + seconds
        while len(self.addresses()) == before:
            assert time.monotonic() < deadline, self.log()
            change()
            time.sleep(1.5)

    def shows(self, path, body, *, seconds=60.0):
        """Whether *path* shows *body* soon: a start may be followed by one more."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(URLError, ConnectionError):
                if page(self.addresses()[-1], path) == (200, body):
                    return True
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.2)

    def wait_for(self, text, *, seconds=60.0):
        deadline = time.monotonic() + seconds
        while text not in self.log():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)


@pytest.fixture
def project(make_project):
    folder = make_project()
    (folder / "shop.py").write_text(SHOP)
    wsgi = folder / "mysite" / "wsgi.py"
    wsgi.write_text(wsgi.read_text().replace('# "/shop"', '"/shop"'))
    return folder


@contextmanager
def serving(project, *options):
    with subprocess.Popen(
        [sys.executable, "-u", "manage.py", "runserver", "127.0.0.1:0", *options],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": PACKAGE},
        start_new_session=True,  # the reloader leaves its child alone when it is stopped
    ) as process:
        running = Running(process)
        try:
            yield running
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            running._reader.join(30)


def page(address, path):
    try:
        with urlopen(f"{address}{path}", timeout=30) as response:
            return response.status, response.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def test_it_serves_the_site_its_files_and_the_mounts(project):
    with serving(project, "--noreload") as running:
        address = running.address()

        assert page(address, "/shop/") == (200, b"one")
        assert page(address, "/shop/static/shop.css") == (200, b"the shop's")
        assert page(address, "/static/admin/css/base.css")[0] == 200
        assert b'href="/static/admin/css/base.css"' in page(address, "/admin/login/")[1]
        assert page(address, "/")[0] == 200
        assert page(address, "/nowhere")[0] == 404
        assert "WARNINGS" not in running.log()


def test_it_starts_anew_when_a_mounted_file_changes_and_when_it_is_mended(project):
    """What failed was not loaded, and runserver watches what is."""
    shop = project / "shop.py"
    with serving(project) as running:
        assert page(running.address(), "/shop/") == (200, b"one")

        running.has_started_again(lambda: shop.write_text(SHOP.replace('"one"', '"two"')))
        assert running.shows("/shop/", b"two")

        time.sleep(2)
        shop.write_text("no syntax(")
        running.wait_for("freedom_middleware.W006")
        assert "SyntaxError: '(' was never closed" in running.log()
        running.wait_for("could not be loaded")

        running.has_started_again(lambda: shop.write_text(SHOP.replace('"one"', '"three"')))
        assert running.shows("/shop/", b"three")
