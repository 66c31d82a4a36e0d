"""Each example runs, as a process in its own folder; README.md shows one of them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"

ASK = """
import importlib, sys
from freedom_middleware.testing import exchange
application = importlib.import_module(sys.argv[1]).application
for path in sys.argv[2:]:
    answer = exchange(application, path)
    print(answer.code, answer.header("X-Hello"), answer.body.decode().strip())
"""

# Counts the closes below elastic-apm's middleware: under every mount, and with every
# application that README.md names.
COUNT = """
import sys
from freedom_middleware.testing import exchange
from freedom_middleware.tree import children_of
from mysite.wsgi import application
closes = {}

class Counted:
    def __init__(self, body, name):
        self.body, self.name = body, name
    def __iter__(self):
        return iter(self.body)
    def close(self):
        closes[self.name] += 1
        getattr(self.body, "close", lambda: None)()

def counted(child, name):
    closes[name] = 0
    return lambda environ, start_response: Counted(child(environ, start_response), name)

guard = application.application
[(_, mount)] = children_of(guard)
mount = mount.wsgi
for prefix, child in list(mount.mounts.items()):
    mount.mounts[prefix] = counted(child, prefix)

def finished(**kwargs):
    closes["*"] += 1

closes["*"] = 0
from django.core.signals import request_finished
request_finished.connect(finished)

if sys.argv[1] == "without":
    application.application = mount
for path in ("/", "/shop/cart", "/api/items", "/old/"):
    answer = exchange(application, path)
    print(path, answer.code, answer.body.decode().strip())
print(closes)
"""


COMMAND = """
import sys
from freedom_middleware.cli import main
sys.stdout.reconfigure(encoding="utf-8")
sys.exit(main(sys.argv[1:]))
"""


def without_versions(text):
    return re.sub(r" \d+(\.\d+)+", " N", text)


def python(folder, script, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=EXAMPLES / folder,
        env={
            "PATH": "",
            "ELASTIC_APM_ENABLED": "false",
            "PYTHONPATH": os.pathsep.join([".", os.environ.get("PYTHONPATH", ".")]),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_site():
    assert python("site", ASK, "mysite.wsgi", "/") == ["200 None The site"]


def test_two_frameworks():
    assert python(".", ASK, "two_frameworks", "/shop/", "/wiki/", "/nowhere") == [
        "200 None Flask at /shop/",
        "200 None Pyramid at /wiki/",
        "404 None 404 Not Found",
    ]


def test_middleware_that_wraps_and_an_application_that_delegates():
    assert python("middleware", ASK, "mysite.wsgi", "/", "/hello") == [
        "200 world The site",
        "200 world Hello, world!",
    ]


def test_metrics():
    lines = python(".", "import runpy; runpy.run_path('metrics.py', run_name='__main__')")

    samples = [re.sub(r"where=.*}", "where=...}", line) for line in lines if line[:1] == "w"]
    assert samples == [
        'wsgi_leaks_total{id="close-lost",mount="",repair="closed",where=...} 1.0',
        'wsgi_leaks_total{id="close-lost",mount="/shop",repair="closed",where=...} 2.0',
    ]


class TestComposed:
    """The ``wsgi.py`` of README.md, under the middleware that it names."""

    def test_every_child_answers_and_is_closed_once(self):
        *answers, closes = python("composed", COUNT, "with")

        assert answers == [
            "/ 200 The site",
            "/shop/cart 200 The cart at /shop/cart",
            '/api/items 200 {"served at":"/api/items"}',
            "/old/ 200 Still here, at /old",
        ]
        assert closes == str({"/shop": 1, "/api": 1, "/old": 1, "*": 1})

    def test_without_the_guard_the_middleware_loses_every_one(self):
        assert python("composed", COUNT, "without")[-1] == str(
            {"/shop": 0, "/api": 0, "/old": 0, "*": 0}
        )

    def test_the_commands_print_what_the_page_shows(self):
        page = (ROOT / "docs" / "seeing.md").read_text("utf-8")
        shown = re.findall(r"```console\n\$ freedom-middleware (.*?)\n(.*?)```", page, re.S)

        assert [command.split()[0] for command, _ in shown] == ["explain", "routes"]
        for command, expected in shown:
            printed = "\n".join(python("composed", COMMAND, *command.split()))
            assert without_versions(printed) == without_versions(expected.rstrip())

    def test_it_is_what_the_readme_shows(self):
        [shown] = re.findall(
            r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S
        )

        assert shown == (EXAMPLES / "composed" / "mysite" / "wsgi.py").read_text("utf-8")


RUN = re.findall(
    r"`(?:cd (\w+); )?(freedom-middleware serve|python) ([\w./]+)` \|$",
    (EXAMPLES / "README.md").read_text("utf-8"),
    re.M,
)


def test_each_example_has_a_command():
    page = (EXAMPLES / "README.md").read_text("utf-8")

    assert len(RUN) == page.count("\n| [")


@pytest.mark.parametrize(("folder", "program", "argument"), RUN, ids=" ".join)
def test_the_command_finds_what_it_runs(folder, program, argument):
    if program == "python":
        assert (EXAMPLES / argument).exists()
    else:
        assert python(folder or ".", COMMAND, "routes", argument)


@pytest.mark.parametrize("page", [EXAMPLES / "README.md", ROOT / "README.md"], ids=str)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / link).exists(), link
