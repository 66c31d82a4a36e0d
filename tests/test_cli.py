"""The command line, as a process of its own: what people type, and what they are told."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from urllib.request import urlopen

import pytest

from freedom_middleware.terminal import width_of

SITE = """\
from freedom_middleware import Application, CloseGuard, Mount

def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello from " + environ["SCRIPT_NAME"].encode()]

def factory(name="x"):
    return hello

def fails():
    raise ValueError("no luck")

not_callable = 42
application = CloseGuard(Mount(hello, {"/shop": hello}))
"""

LOST = """
class Lost:
    def __call__(self, environ, start_response): ...
    def wsgi_children(self): raise LookupError("no children")

application = Lost()
"""


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    (tmp_path / "site_of_mine.py").write_text(SITE)
    (tmp_path / "broken.py").write_text("import site_of_mine\n1 / 0\n")
    (tmp_path / "lost.py").write_text(LOST)
    (tmp_path / "changing.py").write_text(changing_site("before"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "freedom_middleware", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "freedom_middleware", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def address_of(process, printed=None):
    """Read what *process* prints until it tells its address."""
    for line in process.stdout:
        if printed is not None:
            printed.append(line)
        if found := re.match(r"(http://\S+)/ ", line):
            return found[1]
    return pytest.fail(process.stderr.read())


@contextmanager
def serving(*arguments):
    """Start ``serve`` on a port of the system's choice; yield its address and its output."""
    process = start("serve", *arguments, "--port", "0")
    try:
        printed = []
        address = address_of(process, printed)
        yield address, "".join(printed), process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def page(address):
    """Return the page at *address*, None where nobody listens at the moment."""
    try:
        with urlopen(address, timeout=10) as response:
            return response.read()
    except OSError:
        return None


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def changing_site(text):
    return (
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        f"    return [{text!r}.encode()]\n"
    )


class TestServe:
    def test_it_prints_the_tree_and_the_address_and_serves(self):
        with serving("site_of_mine") as (address, printed, _):
            assert printed.startswith(
                "site_of_mine\n"
                "└─ CloseGuard\n"
                "   └─ Mount\n"
                "      ├─ /shop  hello\n"
                "      └─ *      hello\n"
            )
            with urlopen(f"{address}/shop/cart", timeout=10) as response:
                assert response.read() == b"Hello from /shop"

    @pytest.mark.parametrize("spec", ["site_of_mine:hello", "site_of_mine:factory(name='y')"])
    def test_it_takes_every_import_string(self, spec):
        with (
            serving(spec, "--threads", "2", "--host", "localhost") as (address, _, _),
            urlopen(address, timeout=10) as response,
        ):
            assert response.status == 200

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_ends_in_peace(self, number):
        with serving("site_of_mine") as (_, _, process):
            process.send_signal(number)

            assert process.wait(30) == 0
            assert "Traceback" not in process.stderr.read()

    def test_it_serves_where_the_terminal_knows_ascii_alone(self, project, monkeypatch):
        monkeypatch.setenv("PYTHONIOENCODING", "ascii")
        (project / "foreign.py").write_text(
            "from freedom_middleware import Mount\nfrom site_of_mine import hello\n"
            "application = Mount(None, {'/café': hello})\n",
            "utf-8",
        )

        with serving("foreign") as (_, printed, _):
            assert "\n`- Mount\n" in printed
            assert "|- /caf\\xe9  hello\n" in printed

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_ends_in_peace_while_it_loads(self, project, number):
        process = loading(project, "serve", "slow", "--port", "0")
        process.send_signal(number)

        _, errors = process.communicate(timeout=30)

        assert process.returncode == 0
        assert errors.strip() == ""

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["no_such_module"], "application must name a module that can be imported"),
            (["site_of_mine:hallo"], "no 'hallo'. Did you mean 'hello'?"),
            (["site_of_mine:fails()"], "got ValueError: no luck"),
            (["site_of_mine:fails"], "write 'pkg.mod:factory()'"),
            (["site_of_mine:not_callable"], "application must be"),
            (["site_of_mine:factory("], "import string must have the form"),
            (["broken"], "ZeroDivisionError: division by zero"),
            (["site_of_mine", "--port", "http"], "--port: must be a whole number, got 'http'"),
            (["site_of_mine", "--port", "65536"], "port must be a number from 0 to 65535"),
            (["site_of_mine", "--threads", "0"], "threads must be a number from 1, got 0"),
            (
                ["site_of_mine", "--host", "192.0.2.1"],
                "address must be free and of this machine",
            ),
            (["site_of_mine", "--host", "no such host"], "address must be free"),
            ([], "no manage.py, wsgi.py, application.py, app.py, main.py with one in"),
        ],
        ids=" ".join,
    )
    def test_a_mistake_is_named_in_two_lines_at_the_most(self, arguments, says):
        done = run("serve", *arguments)

        assert done.returncode == 2
        assert says in done.stderr
        assert done.stderr.count("\n") <= 2
        assert done.stdout == ""

    def test_reload_serves_what_was_changed_at_the_same_address(self, project):
        with serving("changing", "--reload") as (address, _, _):
            assert page(address) == b"before"
            changing = project / "changing.py"
            changing.write_text("not python\n")
            changing.write_text(changing_site("after"))

            wait_for(lambda: page(address) == b"after")

    def test_reload_lets_what_it_replaces_end_also_in_the_background(self, project):
        """A shell has the background jobs of a script ignore SIGINT."""
        changing = project / "changing.py"
        ends = "import atexit, pathlib\natexit.register(pathlib.Path('ended').touch)\n"
        changing.write_text(ends + changing_site("before"))
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        with ExitStack() as stack:
            with ExitStack() as inherited:
                inherited.callback(signal.signal, signal.SIGINT, before)
                address, _, _ = stack.enter_context(serving("changing", "--reload"))
            changing.write_text(changing_site("after"))
            wait_for(lambda: page(address) == b"after")

        assert (project / "ended").exists()

    def test_reload_waits_where_an_application_cannot_be_loaded(self, project):
        (project / "changing.py").write_text("1 / 0\n")
        process = start("serve", "changing", "--reload", "--port", "0")
        try:
            line = process.stderr.readline()
            assert "ZeroDivisionError" in line

            (project / "changing.py").write_text(changing_site("mended"))
            address = address_of(process)
            assert page(address) == b"mended"
        finally:
            process.terminate()
            process.communicate(timeout=30)

    def test_a_port_in_use_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]

            done = run("serve", "site_of_mine", "--port", str(port))

        assert done.returncode == 2
        assert (
            f"got 127.0.0.1:{port}: Address already in use. Choose another with" in done.stderr
        )
        assert done.stderr.count("\n") == 1


def loading(project, *arguments):
    """Start a command, and return when it is in the middle of loading ``slow``."""
    (project / "slow.py").write_text(
        "import pathlib, time\npathlib.Path('loading').touch()\ntime.sleep(60)\n"
    )
    process = start(*arguments)
    wait_for((project / "loading").exists)
    return process


class TestCommand:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    @pytest.mark.parametrize("command", ["check", "routes"])
    def test_what_is_stopped_has_not_found_that_all_is_well(self, project, command, number):
        """CI may end a check that takes too long, and 'check && deploy' go on."""
        process = loading(project, command, "slow")
        process.send_signal(number)

        _, errors = process.communicate(timeout=30)

        assert process.returncode == 128 + number
        assert errors.strip() == ""

    def test_a_change_is_shown_where_the_terminal_knows_ascii_alone(self, project, monkeypatch):
        monkeypatch.setenv("PYTHONIOENCODING", "ascii")
        (project / "wsgi.py").write_text(
            "from django.core.wsgi import get_wsgi_application\n"
            "application = get_wsgi_application()  # café\n",
            "utf-8",
        )

        done = run("adopt")

        assert done.returncode == 1
        assert "+application = CloseGuard(Mount(" in done.stdout
        assert done.stderr == "Nothing was changed: --yes changes it.\n"

    def test_who_stops_reading_is_told_nothing(self):
        process = start("demo", "--once")
        process.stdout.close()

        assert process.wait(60) == 1
        assert process.stderr.read() == ""
        process.stderr.close()

    def test_without_a_command_it_says_what_is_missing(self):
        done = run()

        assert done.returncode == 2
        assert "COMMAND" in done.stderr
        assert done.stderr.count("\n") == 1

    def test_a_command_it_does_not_know_is_named(self):
        done = run("fly")

        assert done.returncode == 2
        assert "'fly'" in done.stderr

    def test_help_names_the_commands(self):
        done = run("--help")

        assert done.returncode == 0
        for command in ("serve", "routes", "explain"):
            assert command in done.stdout
        assert "demo" in done.stdout

    def test_version(self):
        assert re.fullmatch(r"freedom-middleware \d+\.\d+\.\d+\n", run("--version").stdout)


class TestWithoutASpec:
    """Each command takes what the working directory holds, and says on stderr what that is."""

    @pytest.fixture(autouse=True)
    def app(self, project):
        (project / "app.py").write_text("from site_of_mine import hello as app\n")

    def test_serve_serves_it(self):
        with serving() as (address, printed, _):
            assert printed.startswith("app:app\n")
            assert page(address) == b"Hello from "

    def test_serve_reloads_it(self):
        with serving("--reload") as (address, _, _):
            assert page(address) == b"Hello from "

    @pytest.mark.parametrize(
        "arguments",
        [["routes"], ["explain", "/"], ["explain", "--method", "PUT", "/"], ["check"]],
        ids=" ".join,
    )
    def test_the_others_look_at_it(self, arguments):
        done = run(*arguments)

        assert done.returncode == 0
        assert done.stderr == "app:app (app.py)\n"

    def test_explain_takes_options_between_spec_and_url(self):
        done = run("explain", "site_of_mine", "--method", "PUT", "/shop")

        assert done.stdout.startswith("hello  WSGI  site_of_mine.py:3\n")
        assert done.stderr == ""


NOISY = """\
print("loading")
from freedom_middleware import Application, Mount

def site(environ, start_response):
    raise AssertionError("nothing is called")

application = Mount(site, {
    "/shop": site,
    "/café/店": site,
    "/a/prefix/that/is/longer/than/anybody/would/type": site,
    "/later": Application("a_package.with_a_long_name.wsgi:application", lazy=True),
})
"""


class TestRoutesAndExplain:
    @pytest.fixture(autouse=True)
    def noisy(self, project, monkeypatch):
        (project / "noisy.py").write_text(NOISY, "utf-8")
        monkeypatch.setenv("PYTHONUTF8", "1")
        for name in ("COLUMNS", "FORCE_COLOR", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)

    def test_routes_shows_kinds_and_lines(self):
        done = run("routes", "site_of_mine")

        assert done.returncode == 0
        assert done.stdout == (
            "CloseGuard          site_of_mine.py:14\n"
            "└─ Mount            site_of_mine.py:14\n"
            "   ├─ /shop  hello  WSGI  site_of_mine.py:3\n"
            "   └─ *      hello  WSGI  site_of_mine.py:3\n"
        )

    def test_routes_of_one_application_shows_its_name(self):
        assert run("routes", "site_of_mine:hello").stdout == (
            "site_of_mine:hello  WSGI  site_of_mine.py:3\n"
        )

    def test_explain_says_which_and_why(self):
        done = run("explain", "site_of_mine", "/shopping/cart")

        assert done.returncode == 0
        assert done.stdout == (
            "hello  WSGI  site_of_mine.py:3\n"
            "  through      CloseGuard, Mount\n"
            "  SCRIPT_NAME  ''\n"
            "  PATH_INFO    '/shopping/cart'\n"
            "  chosen       default: no prefix matches\n"
            "  near miss    /shop: '/shopping' does not end at a segment boundary\n"
        )

    def test_what_a_module_prints_is_kept_apart(self):
        done = run("routes", "noisy", "--json")

        assert done.stderr == "loading\n"
        assert json.loads(done.stdout)["name"] == "Mount"

    def test_cookies_that_collide_are_explained(self, project):
        (project / "two.py").write_text(
            "from flask import Flask\n"
            "from freedom_middleware import Mount\n"
            "shop, blog = Flask('shop'), Flask('blog')\n"
            "shop.secret_key, blog.secret_key = 'a', 'b'\n"
            "application = Mount(None, {'/shop': shop, '/blog': blog})\n"
        )

        text = run("routes", "two").stdout
        told = json.loads(run("routes", "two", "--json").stdout)

        assert text.splitlines()[-3:] == [
            "",
            "cookie 'session': /shop (Flask) and /blog (Flask) log out each other's visitors",
            "  fix: set SESSION_COOKIE_NAME = 'blog_session' in /blog",
        ]
        assert [collision["cookie"] for collision in told["cookies"]] == ["session"]

    def test_json_says_all_that_the_text_says(self):
        told = json.loads(run("routes", "noisy", "--json").stdout)
        assert [child["label"] for child in told["children"]] == [
            "/shop",
            "/café/店",
            "/a/prefix/that/is/longer/than/anybody/would/type",
            "/later",
            "*",
        ]
        assert told["children"][0] == {
            "label": "/shop",
            "name": "site",
            "kind": "WSGI",
            "framework": "",
            "where": "noisy.py:4",
            "children": [],
        }
        told = json.loads(run("explain", "noisy", "/caf%C3%A9/店/x", "--json").stdout)
        assert told["next"][0]["label"] == "/café/店"
        assert told["next"][0]["script_name"] == "/café/店".encode().decode("latin-1")

    def test_explain_takes_a_method_and_headers(self, project):
        (project / "choosing.py").write_text(
            "from freedom_middleware.tree import Choice\n"
            "from site_of_mine import hello\n"
            "class Chooser:\n"
            "    def __call__(self, environ, start_response): ...\n"
            "    def wsgi_children(self): return [('x', hello)]\n"
            "    def wsgi_choices(self, e):\n"
            "        told = [e['REQUEST_METHOD'], e['HTTP_X_BETA'], e['HTTP_HOST']]\n"
            "        return [Choice('x', hello, e.copy(), ' '.join(told))]\n"
            "application = Chooser()\n"
        )
        options = ["--method", "PUT", "--header", "X-Beta: 1", "--header", "x-beta:2"]

        done = run("explain", "choosing", "https://shop.example/", *options)

        assert "  chosen       x: PUT 1, 2 shop.example\n" in done.stdout

    @pytest.mark.parametrize("columns", [40, 60, 80])
    @pytest.mark.parametrize("arguments", [["routes"], ["explain", "/later"]])
    def test_lines_fit_and_stay_aligned(self, arguments, columns, monkeypatch):
        monkeypatch.setenv("COLUMNS", str(columns))

        done = run(arguments[0], "noisy", *arguments[1:])

        lines = done.stdout.splitlines()
        assert max(map(width_of, lines)) <= columns
        if arguments == ["routes"]:
            found = [re.search(" (WSGI|lazy|noisy)", line) for line in lines]
            places = {
                width_of(line[: match.start()])
                for line, match in zip(lines, found, strict=True)
            }
            assert len(places) == 1

    def test_colour_is_for_those_who_ask(self, monkeypatch):
        monkeypatch.setenv("FORCE_COLOR", "1")
        coloured = run("routes", "site_of_mine").stdout
        assert "\x1b[2m   ├─ /shop  \x1b[0mhello" in coloured
        monkeypatch.setenv("NO_COLOR", "1")
        assert "\x1b" not in run("routes", "site_of_mine").stdout

    def test_a_terminal_without_unicode_is_written_to_in_ascii(self, monkeypatch):
        monkeypatch.setenv("PYTHONIOENCODING", "ascii")

        assert "|- /shop " in run("routes", "noisy").stdout
        assert "`- * " in run("routes", "noisy").stdout
        assert r"|- /caf\xe9/\u5e97 " in run("routes", "noisy").stdout
        assert r"PATH_INFO    '/\xe9'" in run("explain", "noisy", "/é").stdout

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["routes", "no_such_module"], "application must name a module"),
            (["routes", "broken"], "ZeroDivisionError: division by zero"),
            (["routes"], "the working directory must hold an application"),
            (["routes", "lost"], "wsgi_children() of Lost must return"),
            (["explain"], "the following arguments are required: URL"),
            (["explain", "site_of_mine"], "explain must have a URL after SPEC, got 'site_of_m"),
            (["explain", "site_of_mine", "/", "/"], "unrecognized arguments: /"),
            (["routes", "site_of_mine", "--no"], "unrecognized arguments: --no"),
            (["explain", "site_of_mine", "shop"], "URL must be a path that starts with '/'"),
            (["explain", "site_of_mine", "/", "--method", "GET /"], "method must be one word"),
            (["explain", "site_of_mine", "/", "--header", "X"], "must be 'Name: value'"),
            (["explain", "site_of_mine", "/", "--header", ": 1"], "must be 'Name: value'"),
            (["explain", "site_of_mine", "/", "--header", "X Y: 1"], "header must have a name"),
        ],
        ids=" ".join,
    )
    def test_a_mistake_is_named_in_one_line(self, arguments, says):
        done = run(*arguments)

        assert done.returncode == 2
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""


LEAKING = """\
from freedom_middleware import CloseGuard
from freedom_middleware.testing import hello

def loses(application):
    def layer(environ, start_response):
        print("served")
        return list(application(environ, start_response))

    return layer

application = loses(hello)
guarded = loses(CloseGuard(hello))
clean = CloseGuard(hello)
"""

CHECKED = """\
1 layer, 42 scenarios, no innermost application called                     N.N s

  outermost first                whole   left unread raises  empty   HEAD   file
  loses          leaking.py:5     LOST   LOST   LOST   LOST   LOST   LOST   LOST
  hello                            not called

close-lost  loses  (leaking.py:5, added at leaking.py:11)
  It takes the body and never calls close() on it. What close() hands back stays
  open: request_finished is not sent, and connections and files are kept until
  something else happens to release them.
  Seen: whole, left, unread, raises, empty, HEAD, file.
  whole: it was read to the end.
  Fix:  application = loses(CloseGuard(application))
  Try:  freedom-middleware check leaking --guarded
  Do:   freedom-middleware check leaking --fix
  Help: freedom-middleware help close-lost

Note: loses reads the whole body before it sends the first chunk
(buffered-stream).
Note: loses hides files from the server, which cannot use sendfile() for them
(file-wrapper-lost).
1 layer at fault. Exit 1.
"""


ELASTIC = """\
from elasticapm.middleware import ElasticAPM
from freedom_middleware.testing import hello
application = ElasticAPM(hello, object())
"""


class TestCheck:
    @pytest.fixture(autouse=True)
    def leaking(self, project):
        (project / "leaking.py").write_text(LEAKING)

    def test_who_loses_close_is_named_with_the_line_to_type(self):
        checked = run("check", "leaking")

        assert re.sub(r"\d+\.\d s\n", "N.N s\n", checked.stdout) == CHECKED
        assert checked.returncode == 1
        assert max(map(width_of, checked.stdout.splitlines())) <= 80

    def test_what_a_layer_prints_is_kept_apart(self):
        assert "served" in run("check", "leaking").stderr

    def test_real_calls_the_real_application(self):
        checked = run("check", "leaking", "--real", "/page")

        assert "innermost application called for /page" in checked.stdout
        assert "served" in checked.stderr
        assert checked.returncode == 1

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            (["--guarded"], "real must come without inside (--real without --guarded)"),
            (["--fix"], "--fix must come without --real"),
        ],
        ids=["guarded", "fix"],
    )
    def test_what_real_does_not_go_with_is_said(self, options, says):
        checked = run("check", "leaking", "--real", "/page", *options)

        assert says in checked.stderr
        assert checked.returncode == 2

    def test_guarded_tries_what_is_proposed(self):
        checked = run("check", "leaking", "--guarded")

        assert "Each layer closes every response exactly once.\n" in checked.stdout
        assert checked.returncode == 0

    def test_what_a_guard_holds_is_no_finding(self):
        checked = run("check", "leaking:guarded")

        assert "Held: loses is at fault (close-lost)" in checked.stdout
        assert "thanks to CloseGuard.\n" in checked.stdout
        assert checked.returncode == 0

    def test_a_clean_one_says_so(self):
        checked = run("check", "leaking:clean")

        assert "Each layer closes every response exactly once.\n" in checked.stdout
        assert checked.returncode == 0

    def test_one_without_layers_says_so(self):
        checked = run("check", "site_of_mine:hello")

        assert "nothing can lose close()" in checked.stdout
        assert checked.returncode == 0

    def test_json_has_it_all(self):
        checked = run("check", "leaking", "--json", "--path", "/a")

        told = json.loads(checked.stdout)
        assert told["layers"][0]["label"] == "loses"
        assert told["layers"][0]["scenarios"]["whole"] == "close-lost"
        assert told["findings"][0] == {
            "id": "close-lost",
            "label": "loses",
            "where": "leaking.py:5",
            "scenario": "whole",
            "detail": "it was read to the end",
            "added": ["leaking.py:11"],
        }
        assert checked.returncode == 1

    @pytest.mark.parametrize(
        ("arguments", "starts"),
        [
            (["--format", "json"], '{\n  "layers": ['),
            (["--format", "sarif"], '{\n  "$schema": '),
            (["--format", "junit"], "<?xml version="),
            (["--format", "text"], "1 layer, 42 scenarios"),
        ],
        ids=str,
    )
    def test_each_format_is_printed(self, arguments, starts):
        checked = run("check", "leaking", *arguments)

        assert checked.stdout.startswith(starts)
        assert checked.returncode == 1

    @pytest.mark.parametrize(
        ("name", "arguments", "starts"),
        [
            ("leaks.sarif", [], '{\n  "$schema": '),
            ("leaks.xml", [], "<?xml version="),
            ("leaks.json", [], '{\n  "layers": ['),
            ("leaks", ["--format", "junit"], "<?xml version="),
            ("leaks.txt", [], "1 layer, 42 scenarios"),
        ],
    )
    def test_a_file_is_written_and_the_text_printed(self, project, name, arguments, starts):
        checked = run("check", "leaking", "--output", name, *arguments)

        assert (project / name).read_text().startswith(starts)
        assert checked.stdout.startswith("1 layer, 42 scenarios")
        assert checked.stdout.endswith(f"Written: {name}\n")
        assert checked.returncode == 1

    def test_sarif_names_the_line_and_the_file(self):
        log = json.loads(run("check", "leaking", "--format", "sarif").stdout)

        result = log["runs"][0]["results"][0]
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "leaking.py"
        assert place["region"] == {"startLine": 11}

    def test_of_what_others_wrote_the_line_that_adds_it_is_named(self, project):
        (project / "traced.py").write_text(ELASTIC)

        checked = run("check", "traced")

        assert re.search(
            r"ElasticAPM  \(elastic-apm [\d.]+, added at\n? *traced.py:3\)", checked.stdout
        )

    def test_where_nothing_tells_the_line_the_file_is_named(self, project):
        (project / "traced.py").write_text(ELASTIC.replace("ElasticAPM(", "[ElasticAPM][0]("))

        log = json.loads(run("check", "traced", "--format", "sarif").stdout)

        place = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "traced.py"
        assert "region" not in place

    def test_a_clean_one_is_told_what_else_holds_connections(self, project):
        (project / "gunicorn.conf.py").write_text("workers = 4\nthreads = 32")

        lines = run("check", "leaking:clean").stdout.splitlines()

        assert "What else can hold connections" in lines
        assert (
            "  - gunicorn (gunicorn.conf.py): 4 processes x 32 threads, so 128 requests at a"
            in lines
        )
        assert max(map(width_of, lines)) <= 80

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--yes"], "--yes must come with --fix"),
            (["--fix", "--guarded"], "--fix must come without --guarded and --format"),
            (["--fix", "--json"], "--fix must come without --guarded and --format"),
            (["--format", "pdf"], "invalid choice: 'pdf'"),
            (["--output", "no/such/folder.xml"], "--output must be in a folder that exists"),
            (["--output", "."], "--output must be a file that can be written, got '.'"),
        ],
        ids=str,
    )
    def test_a_mistake_is_named_in_one_line(self, arguments, says):
        checked = run("check", "leaking:hello", *arguments)

        assert says in checked.stderr
        assert checked.stderr.count("\n") == 1
        assert checked.returncode == 2

    def test_a_path_must_start_with_a_slash(self):
        checked = run("check", "leaking", "--path", "shop")

        assert "must start with '/', got 'shop'" in checked.stderr
        assert checked.returncode == 2


@contextmanager
def terminal(*arguments, answer=b"", columns=80):
    """Run a command on a terminal; yield a function that reads what it says until it ends."""
    master, slave = os.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "freedom_middleware", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environ,
    )
    os.close(slave)
    os.write(master, answer)

    def read():
        said = b""
        while True:
            try:
                said += os.read(master, 10000)
            except OSError:  # the other side is closed
                break
        return process.wait(60), said.decode()

    try:
        yield read
    finally:
        os.close(master)
        process.wait(60)


FIXED = """\
-application = loses(hello)
+application = loses(CloseGuard(hello))
 guarded = loses(CloseGuard(hello))
"""


class TestFix:
    @pytest.fixture(autouse=True)
    def leaking(self, project):
        path = project / "leaking.py"
        path.write_text(LEAKING)
        return path

    def test_a_diff_is_proposed_that_was_checked(self, leaking):
        done = run("check", "leaking", "--fix")

        assert "--- a/leaking.py\n+++ b/leaking.py\n@@ " in done.stdout
        assert FIXED in done.stdout
        assert done.stdout.endswith(
            "Checked again with this change, in a process of its own: nothing is lost,\n"
            "repeated or misplaced any more.\n"
            "To write it:  freedom-middleware check leaking --fix --yes\n"
        )
        assert "Exit" not in done.stdout
        assert done.returncode == 1
        assert leaking.read_text() == LEAKING

    def test_yes_writes_it_and_then_all_is_well(self, leaking):
        done = run("check", "leaking", "--fix", "--yes")

        assert done.stdout.endswith("Written: leaking.py\n")
        assert done.returncode == 0
        assert leaking.read_text() == LEAKING.replace(
            "loses(hello)", "loses(CloseGuard(hello))"
        )
        assert run("check", "leaking").returncode == 0

    @pytest.mark.parametrize(
        ("answer", "status"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1), (b"\x04", 1)]
    )
    def test_on_a_terminal_it_asks(self, leaking, answer, status):
        with terminal("check", "leaking", "--fix", answer=answer) as read:
            done, said = read()

        assert "Write it? [y/N] " in said
        assert done == status
        assert (leaking.read_text() != LEAKING) == (status == 0)

    def test_where_nothing_is_wrong_nothing_is_proposed(self):
        done = run("check", "leaking:clean", "--fix", "--yes")

        assert "---" not in done.stdout
        assert done.returncode == 0

    def test_one_line_may_make_two_layers(self, project):
        (project / "loop.py").write_text(
            "from leaking import hello, loses\n"
            "application = hello\n"
            "for _ in range(2):\n"
            "    application = loses(application)\n"
        )

        done = run("check", "loop", "--fix", "--yes")

        assert "+    application = loses(CloseGuard(application))\n" in done.stdout
        assert done.returncode == 0

    def test_each_argument_is_tried(self, project):
        (project / "second.py").write_text(
            "from leaking import hello\n"
            "def Layer(first, application, *others):\n"
            "    return lambda environ, start: list(application(environ, start))\n"
            "application = Layer(hello, hello)\n"
        )

        done = run("check", "second", "--fix", "--yes")

        assert "+application = Layer(hello, CloseGuard(hello))\n" in done.stdout
        assert done.returncode == 0

    def test_each_of_several_is_put_where_it_helps(self, project):
        (project / "several.py").write_text(
            "from leaking import hello, loses\n"
            "def around(application): return loses(loses(application))\n"
            "def unused(application): return loses(application)\n"
            "application = around(hello)\n"
        )

        done = run("check", "several", "--fix", "--yes")

        assert done.returncode == 0
        guarded = "loses(CloseGuard(loses(CloseGuard(application))))"
        assert "-def around(application): return loses(loses(application))\n" in done.stdout
        assert f"+def around(application): return {guarded}\n" in done.stdout
        assert "unused" in (project / "several.py").read_text()
        assert "-def unused" not in done.stdout

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            (
                "application = [loses][0](hello)",
                "loses: the line that puts it around the application was not found. Write ",
            ),
            (
                "application = loses(*[hello])",
                "is left alone: line 2 does not show which argument is the application",
            ),
            (
                "f = lambda a, b: lambda *c: [*a(*c), *b(*c)]\napplication = f(hello, hello)",
                "<lambda>, at other.py:3, is left alone: with a guard there it was no better.",
            ),
            (
                "if 'Close' + 'Guard' in vars(): raise SystemExit\napplication = loses(hello)",
                "is left alone: application's module must import without an error, got System",
            ),
            (
                "from tests.leaks.layers import early\napplication = early(hello)",
                "early: CloseGuard cannot repair close-early; see freedom-middleware help",
            ),
        ],
        ids=str,
    )
    def test_where_it_cannot_words_say_where(self, project, text, says):
        source = f"from leaking import hello, loses\n{text}\n"
        (project / "other.py").write_text(source)

        done = run("check", "other", "--fix", "--yes")

        assert says in " ".join(done.stdout.split())
        assert "Written" not in done.stdout
        assert done.returncode == 1
        assert (project / "other.py").read_text() == source

    def test_what_is_beyond_it_remains_and_is_said(self, project):
        (project / "both.py").write_text(
            "from leaking import hello, loses\n"
            "from tests.leaks.layers import early\n"
            "application = early(loses(hello))\n"
        )

        done = run("check", "both", "--fix", "--yes")

        assert "what remains is close-early of early." in " ".join(done.stdout.split())
        assert "early(loses(CloseGuard(hello)))" in (project / "both.py").read_text()
        assert done.returncode == 1


SLOW = """\
import sys, time
from freedom_middleware.testing import hello

def slow(application):
    def layer(environ, start_response):
        time.sleep(0.03)
        return application(environ, start_response)

    return layer

application = slow(slow(hello))
"""


class TestProgress:
    @pytest.fixture(autouse=True)
    def slow(self, project):
        (project / "slow.py").write_text(SLOW)

    def test_a_terminal_sees_it_come_and_go(self):
        with terminal("check", "slow") as read:
            _, said = read()

        first, *_, last = said.split("\r\x1b[2K")
        assert "slow #2" in said
        assert "[#" in said
        assert last.startswith("2 layers, 42 scenarios")
        assert first == ""

    def test_nobody_else_does(self):
        done = run("check", "slow")

        assert done.stderr == ""
        assert "[" not in done.stdout


class TestHelp:
    def test_a_page_is_shown(self):
        done = run("help", "close-lost")

        assert done.returncode == 0
        assert done.stdout.startswith("close-lost\n\nIt takes the body and never calls close()")

    def test_without_a_name_they_are_listed(self):
        assert "server-never-closed" in run("help").stdout

    def test_an_unknown_name_is_told_the_others(self):
        done = run("help", "leak")

        assert done.returncode == 2
        assert done.stderr.startswith("freedom-middleware: finding must be one of close-lost, ")
        assert done.stderr.count("\n") == 1
