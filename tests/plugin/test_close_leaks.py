"""``pytest --close-leaks`` in runs of its own, on real clients and servers."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2]

pytest_plugins = ["pytester"]

# It may be installed or not: what is tried is this one.
OPTIONS = (
    *(
        "--color=no",
        "-p",
        "no:ddtrace",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:freedom_middleware",
    ),
    *("-p", "freedom_middleware.pytest_plugin", "-W", "ignore:'cgi' is deprecated"),
)

DROPPED = "the response was read whole and dropped without close()"

SITE = '''
import pytest
from flask import Flask
from freedom_middleware import CloseGuard


class Monitor:
    """Loses close(), as real packages do."""

    def __init__(self, application):
        self.application = application

    def __call__(self, environ, start_response):
        for chunk in self.application(environ, start_response):
            yield chunk


class Honest:
    def __init__(self, application):
        self.application = application

    def __call__(self, environ, start_response):
        return self.application(environ, start_response)


def make(*layers):
    site = Flask("site", root_path="/")
    site.closed = 0

    @site.route("/report")
    def report():
        def count():
            site.closed += 1

        response = site.response_class("one,two")
        response.call_on_close(count)
        return response

    @site.route("/stream")
    def stream():
        return site.response_class(iter(["one,"] * 1000))

    for layer in reversed(layers):
        site.wsgi_app = layer(site.wsgi_app)
    return site
'''


@pytest.fixture
def run(pytester):
    """Run pytest on what is given as a test module; *apart* in a process of its own."""

    def run(text, *options, apart=False, ini="", **modules):
        modules = {"site_": SITE, "test_it": f"from site_ import *\n{text}", **modules}
        for name, content in modules.items():
            (pytester.path / f"{name}.py").write_text(content)
        pytester.makeini(f"[pytest]\n{ini}")
        pytester.syspathinsert()
        start = pytester.runpytest_subprocess if apart else pytester.runpytest_inprocess
        return str(start(*OPTIONS, *options).stdout)

    return run


def ended(done):
    """Return how many tests ended in which way."""
    counts = re.findall(r"(\d+) (passed|failed|errors?|skipped|xfailed)", done)
    assert counts, done
    return {outcome.rstrip("s"): int(count) for count, outcome in counts}


def summary(done):
    """Return the lines of the section at the end."""
    lines = re.split(r"=+ close leaks =+\n", done)[-1].splitlines()
    return lines[: next(n for n, line in enumerate(lines) if line.startswith("="))]


class TestAFlaskClient:
    def test_a_leak_fails_the_test_with_the_layer_and_the_request(self, run):
        done = run(
            """
def test_it():
    assert make(Honest, Monitor, Honest).test_client().get("/report").data == b"one,two"
""",
            "--close-leaks",
        )

        assert ended(done) == {"failed": 1}
        message = done.partition("test_it ___")[2].partition("\n")[2]
        assert message.startswith(
            "close-lost  Monitor  (site_.py:7)\n"
            "  GET '/report': it was read to the end.\n"
            "  It takes the body and never calls close() on it.\n"
            "  Fix:    application = Monitor(CloseGuard(application))\n"
            '  Allow:  @pytest.mark.close_leaks(allow="Monitor")\n'
            "=" * 1
        )
        assert summary(done) == [
            "close-lost  Monitor  (site_.py:7)",
            "    1 response of 1 test",
            "    test_it.py::test_it: GET '/report': it was read to the end",
            "1 response through layers, in 1 test",
            "1 response never closed by the test itself (--close-leaks-client says which)",
        ]

    def test_what_a_test_does_often_is_said_once(self, run):
        done = run(
            """
def test_it():
    for number in range(3):
        make(Monitor).test_client().get(f"/report?{number}").data
""",
            "--close-leaks",
        )

        # Where CI is set, pytest's own summary repeats what it says of a failure.
        failures, _, _ = done.partition("short test summary info")
        assert failures.count("It takes the body and never calls close() on it.") == 1
        assert "  And 2 responses more.\n" in done
        assert summary(done)[1] == "    3 responses of 1 test"

    def test_without_the_option_nothing_happens(self, run):
        done = run(
            """
def test_it():
    import sys
    assert make(Monitor).test_client().get("/report").data == b"one,two"
    assert not any(name.startswith("freedom_middleware.leaks") for name in sys.modules)
""",
            apart=True,
        )

        assert ended(done) == {"passed": 1}
        assert "close leaks" not in done

    @pytest.mark.parametrize(
        "test",
        [
            'make(Honest).test_client().get("/report").data',
            'make(Honest).test_client().get("/report")',
            'make(Honest).test_client().get("/stream")',
            'make(Honest).test_client().get("/report", buffered=True)',
            'make(Honest).test_client().get("/report").close()',
            'make(Monitor, CloseGuard).test_client().get("/report")',
        ],
    )
    def test_an_innocent_layer_and_a_guarded_one_fail_nothing(self, run, test):
        done = run(f"def test_it():\n    {test}\n", "--close-leaks")

        assert ended(done) == {"passed": 1}
        assert summary(done)[0] == "none: 1 response through layers, in 1 test"

    def test_a_test_that_reads_in_part_or_not_at_all_is_judged_too(self, run):
        done = run(
            """
def test_in_part():
    response = make(Monitor).test_client().get("/stream")
    next(response.iter_encoded())

def test_not_at_all():
    make(Monitor).test_client().get("/stream")

def test_held_in_a_fixture(response):
    response.data

@pytest.fixture
def response():
    return make(Monitor).test_client().get("/stream")
""",
            "--close-leaks",
        )

        assert ended(done) == {"passed": 1, "failed": 2, "error": 1}
        assert summary(done)[1] == "    3 responses of 3 tests"

    def test_the_test_that_made_it_fails_not_the_one_in_which_it_is_collected(self, run):
        done = run(
            """
import gc

def test_makes_it():
    response = make(Monitor).test_client().get("/stream")
    response.cycle = response

def test_is_innocent():
    gc.collect()
""",
            "--close-leaks",
        )

        assert re.search(r"ERROR test_it.py::test_makes_it", done)
        assert ended(done) == {"passed": 2, "error": 1}

    def test_an_application_without_layers_is_left_alone(self, run):
        done = run(
            """
def test_it():
    site = make()
    response = site.test_client().get("/report")
    assert "freedom_middleware.watched" not in response.request.environ
    assert site.closed == 0
""",
            "--close-leaks",
        )

        assert ended(done) == {"passed": 1}
        assert summary(done) == [
            "no response went through a layer of middleware: nothing was judged"
        ]

    def test_the_application_is_as_it_was_once_the_response_is_over(self, run):
        done = run(
            """
def test_it():
    site = make(Honest, Honest)
    inner = site.wsgi_app.application
    response = site.test_client().get("/report")
    assert site.wsgi_app.application is not inner
    response.close()
    assert site.wsgi_app.application is inner
    assert site.closed == 1
""",
            "--close-leaks",
        )

        assert ended(done) == {"passed": 1}

    def test_a_client_that_never_closes_fails_only_when_asked(self, run):
        test = """
def test_closes():
    make().test_client().get("/report").close()

def test_never_closes():
    make().test_client().get("/report").data
"""

        assert ended(run(test, "--close-leaks")) == {"passed": 2}
        done = run(test, "--close-leaks-client")
        assert ended(done) == {"passed": 1, "failed": 1}
        assert summary(done) == [
            "server-never-closed  the test client",
            "    1 response of 1 test",
            f"    test_it.py::test_never_closes: GET '/report': {DROPPED}",
            "0 responses through layers, in 0 tests",
        ]


class TestWhatIsAllowed:
    TEST = """
@pytest.mark.close_leaks(allow="Monitor")
def test_by_name():
    make(Monitor).test_client().get("/report")

@pytest.mark.close_leaks(allow=["Other", "Mon*"])
def test_by_pattern():
    make(Monitor, Honest, Monitor).test_client().get("/report")

@pytest.mark.close_leaks(allow="Other")
def test_another_name():
    make(Monitor).test_client().get("/report")
"""

    def test_by_the_marker(self, run):
        done = run(self.TEST, "--close-leaks", "--strict-markers")

        assert ended(done) == {"passed": 2, "failed": 1}
        assert "FAILED test_it.py::test_another_name" in done
        assert "allowed: Monitor, 2 times" in summary(done)

    def test_by_the_settings(self, run):
        done = run(self.TEST, "--close-leaks", ini="close_leaks_allow =\n  Monitor\n")

        assert ended(done) == {"passed": 3}
        assert "allowed: Monitor, 3 times" in summary(done)

    def test_the_marker_is_known_without_the_option(self, run):
        assert ended(run(self.TEST, "--strict-markers")) == {"passed": 3}

    @pytest.mark.parametrize("arguments", ["'Monitor'", "", "allow=3", "allow=[3]", "alow='x'"])
    def test_the_marker_must_say_what(self, run, arguments):
        done = run(
            f"@pytest.mark.close_leaks({arguments})\ndef test_it(): pass\n", "--close-leaks"
        )

        assert "close_leaks marker must be close_leaks(allow=...)" in done
        assert "passed" not in ended(done)


class TestOtherClients:
    def test_webtest(self, run):
        done = run(
            """
from webtest import TestApp

def test_lost():
    assert TestApp(make(Monitor)).get("/report").body == b"one,two"

def test_without_lint():
    TestApp(make(Monitor), lint=False).get("/report")

def test_innocent():
    TestApp(make(Honest)).get("/report")
""",
            "--close-leaks",
        )

        assert ended(done) == {"passed": 1, "failed": 2}

    def test_ours_and_not_what_a_check_drives(self, run):
        done = run(
            """
from freedom_middleware.testing import exchange
from freedom_middleware.leaks import check

def test_lost():
    assert exchange(make(Monitor), "/report").body == b"one,two"

def test_check():
    assert check(make(Monitor)).findings
""",
            "--close-leaks",
        )

        assert ended(done) == {"passed": 1, "failed": 1}

    def test_a_server_of_the_standard_library(self, run):
        """Its responses are closed on other threads, and perhaps after the client has them."""
        done = run(
            """
import threading, urllib.request
from wsgiref.simple_server import make_server

@pytest.fixture(scope="module", params=[Monitor, Honest])
def server(request):
    with make_server("127.0.0.1", 0, make(Honest, request.param)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()

@pytest.mark.parametrize("time", range(3))
def test_it(server, time):
    url = f"http://127.0.0.1:{server.server_port}/report"
    assert urllib.request.urlopen(url).read() == b"one,two"
""",
            "--close-leaks",
        )

        assert ended(done) == {"passed": 3, "failed": 3}
        assert summary(done)[-1] == "6 responses through layers, in 6 tests"

    def test_django_s_live_server(self, run, tmp_path):
        done = run(
            """
import os, urllib.request
os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
import django; django.setup()
from django.test import LiveServerTestCase

class Site(LiveServerTestCase):
    static_handler = Honest

    def test_it(self):
        with urllib.request.urlopen(self.live_server_url + "/page") as page:
            self.assertEqual(page.read(), b"page")

class Lossy(Site):
    static_handler = Monitor
""",
            "--close-leaks",
            settings=f"""
SECRET_KEY = "a test's"
DATABASES = {{
    "default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {str(tmp_path / "db")!r}}}
}}
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "settings"
STATIC_URL = "/static/"
USE_TZ = True
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("page", lambda request: HttpResponse("page"))]
""",
            apart=True,
        )

        assert ended(done) == {"passed": 1, "failed": 1}
        assert "FAILED test_it.py::Lossy::test_it" in done
        assert summary(done)[0].startswith("close-lost  Monitor")


class TestHowTestsAreWritten:
    def test_test_cases_and_fixtures_of_classes_and_modules(self, run):
        done = run(
            """
import unittest

class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        make(Honest).test_client().get("/report")

    def setUp(self):
        self.client = make(Monitor).test_client()

    def test_lost(self):
        self.response = self.client.get("/report")
        self.response.data

    def test_asks_nobody(self):
        pass

@pytest.fixture(scope="module")
def page():
    return make(Monitor).test_client().get("/report").data

def test_fixture(page):
    pass

def test_the_same_fixture_later(page):
    pass
""",
            "--close-leaks",
        )

        # In a TestCase self lives on when the test has ended.
        assert "FAILED test_it.py::Case::test_lost" in done or (
            "ERROR test_it.py::Case::test_lost" in done
        )
        assert "ERROR test_it.py::test_fixture" in done
        assert "test_the_same_fixture_later" not in done
        assert "Case::test_asks_nobody" not in done

    def test_what_fails_or_is_skipped_keeps_its_own_reason(self, run):
        done = run(
            """
def test_fails():
    make(Monitor).test_client().get("/report").data
    assert 1 == 2

def test_skips():
    make(Monitor).test_client().get("/report").data
    pytest.skip("not today")

@pytest.mark.xfail(strict=True)
def test_expected():
    make(Monitor).test_client().get("/report").data
    assert 1 == 2
""",
            "--close-leaks",
        )

        assert ended(done) == {"failed": 1, "skipped": 1, "xfailed": 1}
        assert "assert 1 == 2" in done
        assert "- Captured close leaks call -" in done
        assert summary(done)[1] == "    3 responses of 3 tests"

    def test_leaving_early_waits_for_nothing(self, run):
        done = run(
            """
def test_it():
    make(Monitor).test_client().get("/report").data
    pytest.exit("enough")
""",
            "--close-leaks",
            apart=True,
        )

        assert "enough" in done
        assert "0 responses" not in done
        assert "no response went through a layer of middleware: nothing was judged" in done

    def test_what_a_guard_would_not_repair_is_not_told_to_use_one(self, run):
        done = run(
            """
def early(application):
    def layer(environ, start_response):
        body = application(environ, start_response)
        first = next(chunks := iter(body))
        body.close()
        return [first, *chunks]
    return layer

def test_it():
    make(early).test_client().get("/stream")
""",
            "--close-leaks",
        )

        assert "close-early  early" in done
        assert "Fix:" not in done

    def test_what_could_not_be_watched_is_said(self, run):
        done = run(
            """
from a2wsgi import ASGIMiddleware

async def api(scope, receive, send): ...

def test_it():
    table = Honest(make(Honest))
    table.api = Honest(ASGIMiddleware(api))
    from freedom_middleware.testing import exchange
    assert exchange(table, "/report").code == 200
""",
            "--close-leaks",
        )

        assert summary(done)[-1] == "not watched: api (in ASGIMiddleware): it is ASGI"

    def test_a_layer_that_asks_as_a_client_does_is_part_of_one_response(self, run):
        done = run(
            """
from freedom_middleware.testing import exchange

def asks(application):
    def layer(environ, start_response):
        answer = exchange(application, environ=environ)
        start_response(answer.status, answer.headers)
        return [answer.body]
    return layer

def test_it():
    assert make(Honest, asks, Honest).test_client().get("/report").data == b"one,two"
""",
            "--close-leaks",
        )

        assert summary(done)[0] == "none: 1 response through layers, in 1 test"

    def test_what_was_made_while_collecting_is_said(self, run):
        done = run(
            """
make(Monitor).test_client().get("/report").data

def test_it():
    pass
""",
            "--close-leaks",
        )

        assert "Made by what was imported or collected." in done

    def test_with_xdist(self, run):
        done = run(
            """
@pytest.mark.parametrize("number", range(4))
def test_it(number):
    make(Monitor if number == 2 else Honest).test_client().get("/report").data
""",
            *("--close-leaks", "-n", "2"),
            apart=True,
        )

        assert ended(done) == {"passed": 3, "failed": 1}
        assert summary(done)[2:4] == [
            "    test_it.py::test_it[2]: GET '/report': it was read to the end",
            "4 responses through layers, in 4 tests",
        ]


class TestItsEntryPoint:
    @pytest.fixture
    def installed(self, tmp_path):
        """Return the folder of an installation that has nothing but the entry point."""
        folder = tmp_path / "installed" / "freedom_middleware_test-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Name: freedom-middleware-test\nVersion: 1.0\n")
        import tomllib

        project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
        [(name, module)] = project["entry-points"]["pytest11"].items()
        (folder / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\n")
        return folder.parent

    def loaded(self, installed, tmp_path, *options):
        (tmp_path / "test_it.py").write_text(
            "def test_it(pytestconfig):\n"
            "    import json, sys\n"
            "    names = [n for n in sys.modules if n.startswith('freedom_middleware')]\n"
            "    plugins = pytestconfig.pluginmanager.list_name_plugin()\n"
            "    known = [n for n, plugin in plugins if plugin]\n"
            "    print('LOADED', json.dumps([sorted(names), known]))\n"
        )
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-s", "-p", "no:ddtrace", *options, "test_it.py"],
            cwd=tmp_path,
            env={"PYTHONPATH": f"{installed}:{HERE}", "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(re.search("LOADED (.*)", done.stdout)[1])

    def test_loads_the_plugin_and_next_to_nothing_else(self, installed, tmp_path):
        modules, plugins = self.loaded(installed, tmp_path)

        assert "freedom_middleware" in plugins
        assert "close-leaks" not in plugins
        assert not [name for name in modules if ".leaks" in name]
        assert "freedom_middleware.testing" not in modules

    def test_can_be_turned_off(self, installed, tmp_path):
        modules, plugins = self.loaded(installed, tmp_path, "-p", "no:freedom_middleware")

        assert "freedom_middleware" not in plugins
        assert modules == []
