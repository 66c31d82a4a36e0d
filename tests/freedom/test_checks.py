"""What defeats a composition is told before it is served."""

import json
import re
from pathlib import Path
from textwrap import dedent

import pytest

from ..test_settings import ALIAS

FILES = {
    "shop.py": """
        from flask import Flask
        app = Flask("shop")
        app.secret_key = "the shop's"
    """,
    "mysite/plain.py": """
        from django.core.wsgi import get_wsgi_application
        application = get_wsgi_application()
    """,
    "mysite/shopping.py": """
        from freedom_middleware import Application, CloseGuard, Mount
        site = Application.from_settings("mysite.settings")
        application = CloseGuard(Mount(site, {"/shop": "shop:app", "/static/x": "shop:app"}))
    """,
    "mysite/twins.py": """
        from flask import Flask
        from freedom_middleware import Application, Mount
        blog, wiki = Flask("blog"), Flask("wiki")
        blog.secret_key = wiki.secret_key = "the same"
        site = Application.from_settings("mysite.settings")
        application = Mount(site, {"/blog": blog, "/wiki": wiki})
    """,
    "mysite/below.py": """
        from freedom_middleware import Application, Mount
        site = Application.from_settings("mysite.settings")
        application = Mount("shop:app", {"/portal": site})
    """,
    "mysite/lossy.py": """
        from freedom_middleware import Application, Mount
        class Monitor:
            def __init__(self, application):
                self.application = application
            def __call__(self, environ, start_response):
                yield from list(self.application(environ, start_response))
        application = Monitor(Mount(Application.from_settings("mysite.settings"), {}))
    """,
    "mysite/broken.py": "import no_such_module",
    "mysite/ends.py": "raise SystemExit(3)",
}

NUMBER = iter(range(1000))


@pytest.fixture(scope="session")
def project(make_project):
    folder = make_project()
    for name, text in FILES.items():
        (folder / name).write_text(dedent(text))
    return folder


@pytest.fixture
def settings(project):
    """Return a function that makes a settings module of some lines more."""

    def make(**more):
        name = f"variant{next(NUMBER)}"
        lines = "".join(f"{key} = {value!r}\n" for key, value in more.items())
        (project / "mysite" / f"{name}.py").write_text(f"from .settings import *\n{lines}")
        return f"mysite.{name}"

    return make


@pytest.fixture
def check(project, nursery, settings):
    """Return a function that says what ``manage.py check`` tells of some settings."""

    def check(*options, alias="", **more):
        arguments = [
            "manage.py",
            "check",
            "--tag=wsgi",
            f"--settings={settings(**more)}",
            *options,
        ]
        script = f"""
import contextlib, sys
{alias}
from django.core.management import execute_from_command_line
with contextlib.redirect_stderr(sys.stdout):
    execute_from_command_line({arguments!r})
"""
        scenario = {"script": script, "variable": None, "path": [str(project)]}
        nursery.stdin.write(json.dumps(scenario) + "\n")
        nursery.stdin.flush()
        told = json.loads(nursery.stdout.readline())
        assert told["error"] is None
        return re.findall(
            r"\(freedom_middleware\.(W\d+)\) (.*)\n\tHINT: (.*)\n",
            "".join(f"{line}\n" for line in told["printed"]),
        )

    return check


def warning(number, text, hint):
    return number, text, f"{hint} See docs/system-checks.md#{number.lower()}"


def composed(name):
    return f"mysite.{name}.application"


class TestOfSettings:
    @pytest.mark.parametrize("alias", ["", dedent(ALIAS)], ids=["django", "freedom"])
    def test_nothing_is_said_of_a_new_project(self, check, alias):
        assert check(alias=alias) == []

    @pytest.mark.parametrize("alias", ["", dedent(ALIAS)], ids=["django", "freedom"])
    def test_a_forced_script_name(self, check, alias):
        assert check(alias=alias, FORCE_SCRIPT_NAME="/app") == [
            warning(
                "W001",
                "FORCE_SCRIPT_NAME = '/app' wins over where the site is mounted, which is at /:"
                " every URL that it makes begins with the wrong prefix.",
                "Take it away: the server and the mounts say what SCRIPT_NAME is.",
            )
        ]

    def test_a_forced_script_name_that_the_mount_has_too(self, check):
        """Their setting is then of no use, and of no harm."""
        told = check(
            FORCE_SCRIPT_NAME="/portal/",
            WSGI_APPLICATION=composed("below"),
            STATIC_URL="/portal/static/",
        )

        assert [number for number, _, _ in told if number == "W001"] == []

    def test_cookies_that_collide(self, check):
        told = check(
            WSGI_APPLICATION=composed("shopping"),
            SESSION_COOKIE_NAME="session",
            STATIC_URL="/files/",
        )

        assert told == [
            warning(
                "W002",
                f"Cookie 'session': / (Django) and {prefix} (Flask) log out each other's"
                " visitors.",
                f"Set SESSION_COOKIE_NAME = '{name}' in {prefix}.",
            )
            for prefix, name in (("/shop", "shop_session"), ("/static/x", "static_x_session"))
        ]

    def test_cookies_that_are_signed_by_one_key(self, check):
        assert check(WSGI_APPLICATION=composed("twins")) == [
            warning(
                "W002",
                "Cookie 'session': /blog (Flask) and /wiki (Flask) log out each other's"
                " visitors. Their SECRET_KEY is the same: each takes the other's session for"
                " its own.",
                "Set SESSION_COOKIE_NAME = 'wiki_session' in /wiki.",
            )
        ]

    @pytest.mark.parametrize(
        ("setting", "url"), [("STATIC_URL", "/shop/static/"), ("MEDIA_URL", "/shop/media/")]
    )
    def test_files_below_a_mount(self, check, setting, url):
        static = {"STATIC_URL": "/files/", setting: url}

        told = check(WSGI_APPLICATION=composed("shopping"), **static)

        assert told == [
            warning(
                "W003",
                f"{setting} = '{url}' is below the mount /shop: the site's files are asked of"
                " what is mounted there.",
                f"Move it below the site, or mount a folder at {url[:-1]}.",
            )
        ]

    def test_a_mount_below_the_files(self, check):
        told = check(WSGI_APPLICATION=composed("shopping"), MEDIA_URL="/")

        assert told == [
            warning(
                "W003",
                "The mount /static/x is below STATIC_URL = 'static/': runserver looks for its"
                " pages among the site's files.",
                "Mount it elsewhere.",
            )
        ]

    @pytest.mark.parametrize(
        ("url", "numbers"),
        [
            ("static/", []),  # below wherever the site is
            ("/portal/static/", []),
            ("/static/", ["W003"]),
            ("https://cdn.example/static/", []),
            ("//cdn.example/static/", []),
        ],
    )
    def test_files_of_a_site_below_a_prefix(self, check, url, numbers):
        told = check(WSGI_APPLICATION=composed("below"), STATIC_URL=url)

        assert [number for number, _, _ in told] == numbers
        assert all("is below the mount /:" in text for _, text, _ in told)

    def test_a_folder_at_the_url_of_the_files_is_as_it_should_be(self, check):
        assert check(WSGI_APPLICATION=composed("shopping"), MEDIA_URL="/static/x/")[0][1] == (
            "The mount /static/x is below STATIC_URL = 'static/': runserver looks for its pages"
            " among the site's files."
        )


class TestOfTheApplication:
    def test_one_that_is_not_set(self, check):
        assert check(WSGI_APPLICATION=None) == [
            warning(
                "W004",
                "WSGI_APPLICATION is not set: runserver serves the site without what is mounted"
                " beside it.",
                "Name the composed application: 'mysite.wsgi.application'.",
            )
        ]

    def test_one_that_is_not_composed(self, check):
        assert check(WSGI_APPLICATION=composed("plain")) == [
            warning(
                "W004",
                "WSGI_APPLICATION = 'mysite.plain.application' is not composed: no CloseGuard"
                " and no Mount is in it.",
                "Run 'freedom-middleware adopt', or name the composed application.",
            )
        ]

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("mysite.broken.application", "No module named 'no_such_module'"),
            ("mysite.ends.application", "SystemExit: 3"),
            ("mysite.wsgi.no_such", "no 'no_such'"),
            ("no_where.application", "No module named 'no_where'"),
        ],
    )
    def test_one_that_cannot_be_loaded_is_told_and_ends_nothing(self, check, name, why):
        (told,) = check(WSGI_APPLICATION=name)

        assert told[0] == "W006"
        assert told[1].startswith(f"WSGI_APPLICATION = {name!r} cannot be loaded: ")
        assert why in told[1]
        assert check("--deploy", WSGI_APPLICATION=name) == [told]

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("mysite.wsgi", "it is the name of a module, without an attribute"),
            ("mysite.wsgi:application", "it must be text with a dot before the attribute"),
            ("application", "it must be text with a dot before the attribute"),
            (5, "it must be text with a dot before the attribute"),
        ],
    )
    def test_one_that_is_written_otherwise_is_told_how_it_is_written(self, check, name, why):
        """A server takes the first two, under which people know their application."""
        told = warning(
            "W006",
            f"WSGI_APPLICATION = {name!r} cannot be loaded: {why}.",
            "Write it like 'mysite.wsgi.application'.",
        )

        assert check(WSGI_APPLICATION=name) == [told]
        assert check("--deploy", WSGI_APPLICATION=name) == [told]

    def test_a_layer_that_loses_close_is_found_for_a_deployment_only(self, check):
        """To find it, each layer is called some hundred times."""
        assert check(WSGI_APPLICATION=composed("lossy")) == []
        assert check("--deploy", WSGI_APPLICATION=composed("lossy")) == [
            warning(
                "W005",
                "Middleware Monitor does not close responses as it should: close-lost.",
                "Put a CloseGuard inside it: Monitor(CloseGuard(application)).",
            )
        ]
        assert check("--deploy", WSGI_APPLICATION=None)[0][0] == "W004"

    def test_each_can_be_silenced(self, check):
        assert (
            check(FORCE_SCRIPT_NAME="/app", SILENCED_SYSTEM_CHECKS=["freedom_middleware.W001"])
            == []
        )


class TestCommand:
    @pytest.fixture
    def run(self, project, command, settings):
        def run(spec, *options, **more):
            return command(
                project, "check", spec, *options, DJANGO_SETTINGS_MODULE=settings(**more)
            )

        return run

    def test_they_are_told_behind_the_layers(self, run):
        done = run("mysite.wsgi", FORCE_SCRIPT_NAME="/app")

        assert done.returncode == 0, done.stderr
        assert (
            "Each layer closes every response exactly once.\n"
            "\n"
            "freedom_middleware.W001\n"
            "  FORCE_SCRIPT_NAME = '/app' wins over where the site is mounted, which is at /:\n"
            "  every URL that it makes begins with the wrong prefix.\n"
            "  Take it away: the server and the mounts say what SCRIPT_NAME is. See\n"
            "  docs/system-checks.md#w001\n"
        ) in done.stdout

    def test_programs_get_them_too(self, run):
        done = run("mysite.wsgi", "--json", FORCE_SCRIPT_NAME="/app")

        (told,) = json.loads(done.stdout)["system_checks"]
        assert told.keys() == {"id", "text", "hint"}
        assert told["id"] == "freedom_middleware.W001"

    def test_what_is_silenced_is_not_told(self, run):
        silenced = ["freedom_middleware.W001"]

        done = run("mysite.wsgi", FORCE_SCRIPT_NAME="/app", SILENCED_SYSTEM_CHECKS=silenced)

        assert "W001" not in done.stdout

    @pytest.mark.parametrize(
        ("named", "says"),
        [
            (None, None),
            (composed("wsgi"), None),
            (composed("plain"), "is another application than this one: runserver serves that."),
            (composed("broken"), "cannot be loaded: application's module must import"),
        ],
    )
    def test_wsgi_application_is_the_one_that_is_checked(self, run, named, says):
        done = run("mysite.wsgi", WSGI_APPLICATION=named)

        assert ("freedom_middleware.W" in done.stdout) == (says is not None)
        assert (says or "Each layer closes") in re.sub(r"\n +", " ", done.stdout)

    def test_an_application_without_a_site_has_none(self, project, command):
        done = command(project, "check", "shop:app", "--json")

        assert json.loads(done.stdout)["system_checks"] == []


def test_every_check_has_its_section():
    root = Path(__file__).parents[2]
    source = (root / "freedom_middleware/freedom/checks.py").read_text()
    page = (root / "docs/system-checks.md").read_text()

    numbers = sorted(set(re.findall(r"_problem\(\s*(\d+),", source)))
    assert numbers == ["1", "2", "3", "4", "5", "6"]
    assert re.findall(r"^### (W\d+)$", page, re.M) == [f"W{int(n):03}" for n in numbers]
