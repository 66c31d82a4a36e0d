"""Two Freedom sites in one process: each rule, in a process that holds no site yet.

The sites are made by ``startproject`` and left as they are.  Django takes half a second to
import, so one process does that and forks for each test; what depends on imports starts a
process of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

import freedom_middleware
from freedom_middleware import settings
from freedom_middleware.errors import FreedomError, SettingsConflict, SettingsError

NURSERY = """
import atexit, contextlib, io, json, os, sys, warnings

import django.contrib.admin, django.contrib.auth.password_validation
import django.core.management, django.core.wsgi, django.db.backends.base.base
import django.db.migrations, django.test.utils
import freedom_middleware, freedom_middleware.errors, freedom_middleware.testing

def perform(script, variable, path):
    if variable is not None:
        os.environ["DJANGO_SETTINGS_MODULE"] = variable
    sys.path[:0] = path
    told = {"error": None}
    warnings.simplefilter("error")
    warnings.simplefilter("always", freedom_middleware.errors.SettingsWarning)
    with warnings.catch_warnings(record=True) as warned:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            try:
                exec(compile(script, "script.py", "exec"), {"__name__": "__main__"})
            except Exception as error:
                told["error"] = f"{type(error).__name__}: {error}"
    told["printed"] = printed.getvalue().splitlines()
    told["warned"] = [f"{w.filename}:{w.lineno}: {w.message}" for w in warned]
    told["variable"] = os.environ.get("DJANGO_SETTINGS_MODULE")
    print(json.dumps(told), flush=True)

for line in sys.stdin:
    child = os.fork()
    if not child:
        perform(**json.loads(line))
        atexit._run_exitfuncs()  # coverage saves what it saw
        os._exit(0)  # without the tear-down, which takes longer than most tests
    _, status = os.waitpid(child, 0)
    if status:
        print(json.dumps(f"ended with {status}"), flush=True)
"""

PRELUDE = """
import os, sys, warnings
from freedom_middleware import Application, Mount
from freedom_middleware.errors import ApplicationError, SettingsConflict, SettingsError
from freedom_middleware.settings import framework, loaded_settings
from freedom_middleware.testing import exchange, hello

site = Application.from_settings

def plain(name):
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", name)
    from django.core.wsgi import get_wsgi_application
    return get_wsgi_application()

def manage(*arguments):
    from django.core.management import execute_from_command_line
    execute_from_command_line(["manage.py", *arguments])

def served():
    from django.conf import settings
    return settings.SETTINGS_MODULE, settings.ROOT_URLCONF

def tell(function, *arguments, **keywords):
    try:
        function(*arguments, **keywords)
    except (ImportError, SettingsConflict) as error:
        print(f"{type(error).__name__}: {error}")
    else:
        print("accepted")
"""

CURE = (
    " Settings are process-wide, so the second site would serve the first one's pages. Run each"
    " site in a process of its own (mod_wsgi: one WSGIDaemonProcess each; uWSGI: one --mount"
    " each; otherwise one server each, behind a reverse proxy)."
)

# Beside the two sites: what people write next to them, and what goes wrong.
MODULES = {
    "one/settings_dev.py": "from .settings import *\n",
    "one/settings_secret.py": (
        'import os\nfrom .settings import *\nSECRET_KEY = os.environ["SECRET"]\n'
    ),
    "one/no_settings.py": "USE_TZ = True  # or Django 4.2 has something to say as well\n",
    "one/settings_import.py": "import no_such_library\n",
    "one/settings_sibling.py": "from .no_such_sibling import *\n",
    "one/settings_app.py": "from .settings import *\nINSTALLED_APPS = ['no_such_app']\n",
    "one/composed.py": """
        from freedom_middleware import Application, Mount
        application = Mount(Application.from_settings("one.settings"), {"/shop": "shop"})
    """,
    "two/composed.py": """
        from freedom_middleware import Application
        application = Application.from_settings("two.settings")
    """,
    "two/assigns.py": """
        import os
        from django.core.wsgi import get_wsgi_application
        os.environ["DJANGO_SETTINGS_MODULE"] = "two.settings"
        application = get_wsgi_application()
    """,
    "two/needs.py": """
        import os
        from django.conf import settings
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "two.settings")
        application = settings.ONLY_IN_TWO
    """,
    "two/factory.py": """
        def make():
            import two.wsgi
            return two.wsgi.application
    """,
    "two/later.py": """
        import os
        from freedom_middleware.testing import hello as application
        os.environ["DJANGO_SETTINGS_MODULE"] = "two.settings"
    """,
    "one/later.py": """
        import os
        from freedom_middleware.testing import hello as application
        os.environ["DJANGO_SETTINGS_MODULE"] = "one.settings"
    """,
    "typo.py": """
        import os
        from django.core.wsgi import get_wsgi_application
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "one.setings")
        application = get_wsgi_application()
    """,
    "shop.py": "from freedom_middleware.testing import hello as application\n",
    "framework.py": """
        from django.core.wsgi import get_wsgi_application
        application = get_wsgi_application()
    """,
    "nested.py": """
        from freedom_middleware import Application
        application = Application("two.wsgi")
    """,
}


class Told(NamedTuple):
    error: str | None
    printed: list[str]
    warned: list[str]
    variable: str | None


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """Make the sites ``one`` and ``two``; return what has to be on sys.path."""
    root = tmp_path_factory.mktemp("projects")
    for name in ("one", "two"):
        folder = root / f"{name}_project"
        folder.mkdir()
        subprocess.run(
            [sys.executable, "-m", "django", "startproject", name, folder], check=True
        )
    beside = root / "beside"
    beside.mkdir()
    for path, source in MODULES.items():
        top = path.partition("/")[0]
        parent = root / f"{top}_project" if "/" in path else beside
        (parent / path).write_text(dedent(source))
    return [str(root / "one_project"), str(root / "two_project"), str(beside)]


def clean_environment(**more):
    kept = {key: value for key, value in os.environ.items() if key != settings.VARIABLE}
    # Without the folder of the tests on the path, and with the package that is tested.
    package = str(Path(freedom_middleware.__file__).parent.parent)
    return {**kept, "PYTHONPATH": package, **more}


@pytest.fixture(scope="module")
def nursery():
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    ) as process:
        yield process
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.fixture
def run(nursery, projects):
    """Return a function that runs a script where no site is loaded yet."""

    def run(script, *, variable=None, path=()):
        scenario = {
            "script": PRELUDE + dedent(script),
            "variable": variable,
            "path": [*map(str, path), *projects],
        }
        nursery.stdin.write(json.dumps(scenario) + "\n")
        nursery.stdin.flush()
        return Told(**json.loads(nursery.stdout.readline()))

    return run


def run_alone(script, *options, **environment):
    return subprocess.run(
        [sys.executable, *options, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=clean_environment(**environment),
    )


ACCEPTED = Told(error=None, printed=[], warned=[], variable="one.settings")


class TestOneSite:
    def test_it_is_loaded_and_serves(self, run):
        told = run("print(exchange(site('one.settings')).status, *served())")

        assert told == ACCEPTED._replace(printed=["200 OK one.settings one.urls"])

    def test_it_can_be_asked_for_again(self, run):
        told = run("print(site('one.settings') is site('one.settings'), *served())")

        assert told == ACCEPTED._replace(printed=["False one.settings one.urls"])


class TestTwoNames:
    def test_they_conflict_and_both_are_named(self, run):
        told = run("site('one.settings'); site('two.settings')")

        assert told == ACCEPTED._replace(
            error="SettingsConflict: a process must hold one Freedom site, got 'two.settings'"
            f" after 'one.settings'.{CURE}"
        )

    def test_they_conflict_in_a_process_of_their_own(self, projects):
        """The other tests run in a process that has imported the framework before."""
        script = f"import sys; sys.path[:0] = {projects!r}\n{PRELUDE}"

        done = run_alone(script + "site('one.settings'); site('two.settings')")

        assert done.returncode == 1
        assert "SettingsConflict: a process must hold one Freedom site, got" in done.stderr

    def test_they_conflict_when_they_are_of_one_site(self, run):
        told = run("site('one.settings'); site('one.settings_dev')")

        assert told.error == (
            "SettingsConflict: a process must load its settings once, got 'one.settings_dev'"
            " after 'one.settings'. Ask for one of them, and let DJANGO_SETTINGS_MODULE name"
            " the other where that is meant"
        )

    def test_they_conflict_though_the_environment_had_chosen_the_second(self, run):
        """Both would get the same site, and nobody would know."""
        told = run("site('one.settings'); site('two.settings')", variable="two.settings")

        assert "SettingsConflict" in told.error
        assert "got 'two.settings' after 'one.settings'." in told.error

    def test_override_does_not_help(self, run):
        told = run("site('one.settings'); site('two.settings', override=True)")

        assert "got 'two.settings' after 'one.settings'." in told.error
        assert told.variable == "one.settings"

    def test_they_conflict_each_time_and_the_first_goes_on(self, run):
        told = run("""
            for name in ("one.settings", "two.settings", "two.settings", "one.settings"):
                tell(site, name)
            print(*served())
        """)

        assert [line.partition(":")[0] for line in told.printed] == [
            "accepted",
            "SettingsConflict",
            "SettingsConflict",
            "accepted",
            "one.settings one.urls",
        ]

    def test_of_many_threads_one_name_is_accepted(self, run):
        told = run("""
            from threading import Barrier, Thread
            from time import sleep
            from freedom_middleware import settings
            class Slow(dict):
                def __setitem__(self, name, asked_by):
                    sleep(0.01)
                    super().__setitem__(name, asked_by)
            settings._requested = Slow()
            together = Barrier(8)
            accepted = []
            def ask(name):
                together.wait()
                try:
                    site(name)
                except SettingsConflict:
                    return
                except RuntimeError as error:  # Django's own, when it is set up twice at once
                    assert "reentrant" in str(error)
                accepted.append(name)
            names = ["one.settings", "two.settings"] * 4
            threads = [Thread(target=ask, args=[name]) for name in names]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            print(set(accepted) == {served()[0]})
        """)

        assert told.error is None
        assert told.printed == ["True"]


class TestEnvironment:
    def test_it_wins(self, run):
        told = run("site('one.settings'); print(*served())", variable="one.settings_dev")

        assert told == Told(None, ["one.settings_dev one.urls"], [], "one.settings_dev")

    def test_it_wins_for_another_site_with_one_warning_that_names_both(self, run):
        told = run("\n\nsite('one.settings')\nprint(*served())", variable="two.settings")

        line = PRELUDE.count("\n") + 3
        assert told.printed == ["two.settings two.urls"]
        (warning,) = told.warned
        assert warning == (
            f"script.py:{line}: DJANGO_SETTINGS_MODULE='two.settings' in the environment wins"
            " over 'one.settings', and is another site's; unset it, or say override=True, if"
            " that is not meant"
        )

    def test_it_is_accepted_again_without_a_second_warning(self, run):
        told = run("site('one.settings')\nsite('one.settings')", variable="two.settings")

        assert told.error is None
        assert len(told.warned) == 1

    def test_who_treats_warnings_as_errors_leaves_nothing_behind(self, run):
        told = run(
            """
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    site("one.settings")
                except RuntimeWarning as warning:
                    print(type(warning).__name__, os.environ["DJANGO_SETTINGS_MODULE"])
            site("two.settings")
            """,
            variable="two.settings",
        )

        assert told == Told(None, ["SettingsWarning two.settings"], [], "two.settings")

    def test_an_empty_one_is_none(self, run):
        assert run("site('one.settings')", variable="") == ACCEPTED

    def test_a_missing_module_in_it_is_named_with_its_source(self, run):
        told = run("site('one.settings')", variable="one.setings")

        assert told.error == (
            "SettingsError: settings module must be importable, got 'one.setings', which"
            " DJANGO_SETTINGS_MODULE names instead of 'one.settings': No module named"
            " 'one.setings'. Is the folder that holds manage.py the working directory, or on"
            " sys.path?"
        )

    @pytest.mark.parametrize("variable", [None, "one.settings_dev", "two.settings"])
    def test_override_has_the_last_word(self, run, variable):
        told = run("site('one.settings', override=True)\nprint(*served())", variable=variable)

        assert told == ACCEPTED._replace(printed=["one.settings one.urls"])


class TestLoadedBySomebodyElse:
    @pytest.mark.parametrize("override", [False, True])
    def test_what_is_loaded_can_be_asked_for(self, run, override):
        told = run(f"plain('one.settings'); site('one.settings', override={override})")

        assert told == ACCEPTED

    def test_another_site_is_refused(self, run):
        told = run("plain('one.settings'); site('two.settings')")

        assert told == ACCEPTED._replace(
            error="SettingsConflict: a process must hold one Freedom site, got 'two.settings'"
            f" when 'one.settings' is already loaded.{CURE}"
        )

    def test_another_site_is_refused_with_override_too(self, run):
        told = run("plain('one.settings'); site('two.settings', override=True)")

        assert "got 'two.settings' when 'one.settings' is already loaded." in told.error
        assert told.variable == "one.settings"

    def test_a_refused_name_is_forgotten(self, run):
        told = run("""
            plain("one.settings")
            tell(site, "two.settings")
            tell(site, "one.settings")
        """)

        assert told.printed[1:] == ["accepted"]

    def test_settings_that_manage_py_was_told_to_take_are_accepted(self, run):
        told = run("""
            manage("check", "--settings=one.settings_dev")
            site("one.settings")
            print(*served())
        """)

        assert told.error is None
        assert told.printed[-1] == "one.settings_dev one.urls"
        assert told.warned == []

    def test_settings_that_manage_py_was_told_to_take_cannot_be_overridden(self, run):
        told = run("""
            manage("check", "--settings=one.settings_dev")
            site("one.settings", override=True)
        """)

        assert told.error == (
            "SettingsConflict: a process must load its settings once, got 'one.settings' when"
            " 'one.settings_dev' is already loaded; let DJANGO_SETTINGS_MODULE name the one"
            " that is meant before anything loads them"
        )

    def test_an_environment_that_has_changed_since_accepts_nothing(self, run):
        told = run("""
            plain("one.settings_dev")
            os.environ["DJANGO_SETTINGS_MODULE"] = "one.settings"
            site("one.settings")
        """)

        assert "a process must load its settings once, got 'one.settings'" in told.error

    def test_an_environment_that_has_changed_since_an_import_string_accepts_nothing(self, run):
        told = run("""
            plain("one.settings_dev")
            Application("shop")
            os.environ["DJANGO_SETTINGS_MODULE"] = "one.settings"
            site("one.settings")
        """)

        assert "a process must load its settings once, got 'one.settings'" in told.error

    @pytest.mark.parametrize("override", [False, True])
    def test_settings_that_no_module_holds_are_refused(self, run, override):
        told = run(f"""
            from django.conf import settings
            settings.configure(ROOT_URLCONF="one.urls")
            site("one.settings", override={override})
        """)

        assert told.error == (
            "SettingsConflict: a process must configure its settings once, got 'one.settings'"
            " after settings.configure() was called; leave one of them out"
        )
        assert told.variable is None

    def test_settings_that_a_test_overrides_are_looked_through(self, run):
        told = run("""
            from django.test.utils import override_settings
            plain("one.settings")
            with override_settings(DEBUG=False), override_settings(USE_TZ=False):
                tell(site, "two.settings")
                tell(site, "one.settings")
        """)

        assert "got 'two.settings' when 'one.settings' is already loaded." in told.printed[0]
        assert told.printed[1] == "accepted"

    def test_configured_settings_that_a_test_overrides_are_looked_through(self, run):
        told = run("""
            from django.conf import settings
            from django.test.utils import override_settings
            settings.configure(ROOT_URLCONF="one.urls")
            with override_settings(DEBUG=True):
                site("one.settings")
        """)

        assert "after settings.configure() was called" in told.error


class TestImportString:
    @pytest.mark.parametrize(
        "spec",
        ["two.wsgi", "two.wsgi:application", "two.assigns", "two.factory:make()", "two.later"],
    )
    @pytest.mark.parametrize("first", ["site", "plain"])
    def test_another_sites_is_refused(self, run, first, spec):
        told = run(f"{first}('one.settings'); Application({spec!r})")

        assert told == ACCEPTED._replace(
            error="SettingsConflict: a process must hold one Freedom site, got"
            f" {spec!r}, which asks for 'two.settings', when 'one.settings' is already"
            f" loaded.{CURE}"
        )

    def test_another_sites_stays_refused(self, run):
        """Its module is imported by now, and says nothing when it is asked for again."""
        told = run("""
            site("one.settings")
            tell(Application, "two.wsgi")
            tell(Application, "two.wsgi")
        """)

        assert told.printed[0].startswith("SettingsConflict: ")
        assert told.printed[1] == told.printed[0]

    @pytest.mark.parametrize("spec", ["two.wsgi", "two.assigns", "two.composed"])
    def test_another_sites_is_refused_though_the_environment_had_chosen_it(self, run, spec):
        """Both would get the same site, as with two names that are asked of us."""
        told = run(f"site('one.settings'); Application({spec!r})", variable="two.settings")

        assert "SettingsConflict: a process must hold one Freedom site" in (told.error or "")
        assert "'two.settings'" in told.error
        assert "after 'one.settings'" in told.error

    def test_another_sites_is_refused_when_the_environment_hid_what_the_first_asks_for(
        self, run
    ):
        """Both would get the site that the environment names: ``setdefault`` does nothing."""
        told = run("Mount('one.wsgi', {'/two': 'two.wsgi'})", variable="two.settings")

        assert told.error == (
            "SettingsConflict: mount '/two': a process must hold one Freedom site, got"
            " 'two.wsgi', which asks for 'two.settings', after 'one.settings', which"
            f" 'one.wsgi' asked for.{CURE}"
        )
        (warning,) = told.warned
        assert warning.endswith(
            "DJANGO_SETTINGS_MODULE='two.settings' in the environment wins over"
            " 'one.settings', which 'one.wsgi' asks for, and is another site's; unset it if"
            " that is not meant"
        )

    @pytest.mark.parametrize("variable", ["one.settings_dev", "one.settings"])
    def test_the_environment_may_choose_among_the_settings_of_one_site(self, run, variable):
        told = run("Mount('one.wsgi', {'/again': 'one.wsgi'})", variable=variable)

        assert told == ACCEPTED._replace(variable=variable)

    def test_one_that_names_no_settings_is_no_site_of_its_own(self, run):
        told = run("Application('framework'); Application('two.wsgi')", variable="two.settings")

        assert (told.error, told.warned) == (None, [])

    def test_another_sites_that_asks_through_us_is_refused(self, run):
        told = run("site('one.settings'); Application('two.composed')")

        assert "got 'two.settings' after 'one.settings'." in told.error

    def test_another_sites_below_another_module_is_refused(self, run):
        told = run("site('one.settings'); Application('nested')")

        assert "got 'two.wsgi', which asks for 'two.settings'," in told.error
        assert told.variable == "one.settings"

    def test_another_sites_that_fails_with_these_settings_is_refused_as_such(self, run):
        told = run("""
            site("one.settings")
            try:
                Application("two.needs")
            except SettingsConflict as error:
                print(error)
                print(error.__cause__)
        """)

        assert "got 'two.needs', which asks for 'two.settings'," in told.printed[0]
        assert "'Settings' object has no attribute 'ONLY_IN_TWO'" in told.printed[1]

    def test_another_sites_is_refused_although_the_environment_names_it_now(self, run):
        told = run("""
            site("one.settings")
            os.environ["DJANGO_SETTINGS_MODULE"] = "two.settings"
            Application("two.wsgi")
        """)

        assert "got 'two.wsgi', which asks for 'two.settings'," in told.error

    def test_another_sites_is_refused_when_it_came_first(self, run):
        told = run("Application('two.wsgi'); site('one.settings')")

        assert told.error == (
            "SettingsConflict: a process must hold one Freedom site, got 'one.settings' after"
            f" 'two.settings', which 'two.wsgi' asked for.{CURE}"
        )

    @pytest.mark.parametrize("specs", [("one.wsgi", "two.wsgi"), ("two.wsgi", "one.wsgi")])
    def test_of_two_sites_the_second_is_refused(self, run, specs):
        told = run(f"for spec in {specs}: tell(Application, spec)")

        assert told.printed[0] == "accepted"
        assert f"got {specs[1]!r}, which asks for" in told.printed[1]

    def test_a_sites_is_refused_when_no_module_holds_the_settings(self, run):
        told = run("""
            from django.conf import settings
            settings.configure(ROOT_URLCONF="one.urls")
            Application("one.wsgi")
        """)

        assert told.error == (
            "SettingsConflict: a process must configure its settings once, got 'one.wsgi',"
            " which asks for 'one.settings', after settings.configure() was called; leave one"
            " of them out"
        )

    def test_of_two_that_load_nothing_yet_the_second_is_refused(self, run):
        told = run("Application('one.later'); Application('two.later')")

        assert told.error == (
            "SettingsConflict: a process must hold one Freedom site, got 'two.later', which"
            " asks for 'two.settings', after 'one.settings', which 'one.later' asked for."
            f"{CURE}"
        )
        assert told.variable == "one.settings"

    def test_what_it_asked_for_is_remembered_before_anything_is_loaded(self, run):
        told = run("Application('two.later'); site('one.settings')")

        assert "got 'one.settings' after 'two.settings', which 'two.later'" in told.error

    @pytest.mark.parametrize(
        "script",
        [
            "Application('one.wsgi'); Application('one.wsgi')",
            "Application('one.wsgi'); Application('one.wsgi:application')",
            "Application('one.wsgi'); site('one.settings')",
            "site('one.settings'); Application('one.wsgi')",
            "plain('one.settings'); Application('one.wsgi')",
            "Application('one.composed')",
            "Application('one.composed'); Application('one.wsgi')",
            "Application('one.later'); site('one.settings')",
            "Mount('one.wsgi', {'/again': 'one.wsgi', '/shop': 'shop'})",
        ],
    )
    def test_the_same_sites_is_accepted(self, run, script):
        assert run(script) == ACCEPTED

    @pytest.mark.parametrize(
        ("script", "loaded"),
        [
            ("Application('one.wsgi'); site('one.settings_dev')", "one.settings"),
            ("site('one.settings_dev'); Application('one.wsgi')", "one.settings_dev"),
        ],
    )
    def test_a_name_that_was_generated_into_wsgi_py_is_the_same_site(self, run, script, loaded):
        told = run(f"{script}; print(*served())")

        assert told == Told(None, [f"{loaded} one.urls"], [], loaded)

    def test_a_name_that_is_asked_through_us_is_remembered_as_such(self, run):
        told = run("Application('one.composed'); site('one.settings_dev')")

        assert "got 'one.settings_dev' after 'one.settings'." in told.error

    @pytest.mark.parametrize(
        "script",
        [
            "Application('one.wsgi')",
            "Application('one.composed')",
            "site('one.settings'); Application('one.wsgi')",
            "Application('one.wsgi'); site('one.settings')",
            "plain('one.settings'); Application('one.wsgi')",
            "plain('one.settings'); Application('one.composed')",
            "manage('check'); Application('one.composed')",
        ],
    )
    def test_the_environments_choice_is_accepted_as_the_same_site(self, run, script):
        told = run(script, variable="one.settings_dev")

        assert told.error is None
        assert told.warned == []
        assert told.variable == "one.settings_dev"

    def test_one_that_has_nothing_to_do_with_sites_is_accepted(self, run):
        assert run("site('one.settings'); Application('shop')") == ACCEPTED

    def test_the_environment_is_put_back_whatever_it_raises(self, run, tmp_path):
        (tmp_path / "stops.py").write_text("raise KeyboardInterrupt")
        (tmp_path / "fails.py").write_text("1 / 0")

        told = run(
            """
            site("one.settings")
            for name in ("stops", "fails", "no_such_module"):
                try:
                    Application(name)
                except (KeyboardInterrupt, ApplicationError) as error:
                    print(type(error).__name__, os.environ["DJANGO_SETTINGS_MODULE"])
            tell(Application, "one.composed")
            """,
            path=[tmp_path],
        )

        assert told.printed == [
            "KeyboardInterrupt one.settings",
            "ApplicationError one.settings",
            "ApplicationError one.settings",
            "accepted",
        ]


class TestFailedAttempt:
    @pytest.mark.parametrize("name", ["one.setings", "oen.settings", "one.settings.dev"])
    def test_a_missing_module_is_named(self, run, name):
        told = run(f"site({name!r})")

        assert told.error.startswith(
            f"SettingsError: settings module must be importable, got {name!r}: No module named "
        )
        assert told.error.endswith(
            ". Is the folder that holds manage.py the working directory, or on sys.path?"
        )
        assert told.variable is None

    def test_after_a_typo_the_right_name_is_loaded(self, run):
        told = run("""
            tell(site, "one.setings")
            print(os.environ.get("DJANGO_SETTINGS_MODULE"))
            site("one.settings")
        """)

        assert told.printed[1] == "None"
        assert (told.error, told.variable) == (None, "one.settings")

    def test_after_a_typo_another_site_is_loaded(self, run):
        assert run("tell(site, 'two.setings'); site('one.settings')").error is None

    def test_after_a_typo_that_overrides_the_environment_is_as_it_was(self, run):
        told = run("tell(site, 'one.setings', override=True)", variable="one.settings_dev")

        assert told.printed[0].startswith("SettingsError")
        assert told.variable == "one.settings_dev"

    def test_after_a_typo_in_somebodys_wsgi_py_the_right_name_is_loaded(self, run):
        told = run("tell(Application, 'typo'); site('one.settings')")

        assert "ModuleNotFoundError: No module named 'one.setings'" in told.printed[0]
        assert (told.error, told.variable) == (None, "one.settings")

    def test_a_name_that_an_import_string_set_is_missed_as_any_other(self, run, tmp_path):
        (tmp_path / "sets.py").write_text(
            "import os\nfrom shop import application\n"
            "os.environ['DJANGO_SETTINGS_MODULE'] = 'one.setings'\n"
        )

        told = run("Application('sets'); site('one.setings')", path=[tmp_path])

        assert told.error.startswith("SettingsError: settings module must be importable")

    @pytest.mark.parametrize(
        ("name", "error"),
        [
            ("one.settings_import", "No module named 'no_such_library'"),
            ("one.settings_sibling", "No module named 'one.no_such_sibling'"),
        ],
    )
    def test_a_module_that_the_settings_miss_is_not_taken_for_them(self, run, name, error):
        told = run(f"site({name!r})")

        assert told.error == f"ModuleNotFoundError: {error}"
        assert told.variable is None

    def test_settings_that_failed_are_loaded_when_they_are_mended(self, run):
        told = run("""
            try:
                site("one.settings_secret")
            except KeyError as error:
                print(error)
            os.environ["SECRET"] = "x"
            site("one.settings_secret")
            print(*served())
        """)

        assert told.printed == ["'SECRET'", "one.settings_secret one.urls"]

    def test_settings_that_are_loaded_stay_so_though_their_applications_fail(self, run):
        told = run("""
            tell(site, "one.settings_app")
            tell(site, "one.settings")
        """)

        assert told.printed[0] == "ModuleNotFoundError: No module named 'no_such_app'"
        assert "got 'one.settings' after 'one.settings_app'." in told.printed[1]

    def test_a_module_that_is_no_sites_is_refused(self, run):
        """Otherwise each request would fail, and construction would not."""
        told = run("site('one.no_settings')")

        assert told.error == (
            "SettingsError: settings module must set ROOT_URLCONF, got 'one.no_settings', which"
            " does not; without it a site can serve nothing. Is it the name of another module?"
        )

    @pytest.mark.parametrize(
        "name",
        [
            "",
            ".",
            "one.",
            ".settings",
            "one settings",
            "one/settings.py",
            "one.wsgi:app",
            None,
            1,
        ],
    )
    def test_what_is_no_module_name_is_refused(self, name):
        with pytest.raises(SettingsError) as caught:
            settings.load_site(name)

        assert str(caught.value) == (
            "settings module must be a dotted module name such as 'mysite.settings', got"
            f" {name!r}"
        )


ALIAS = """
    import importlib.util
    from importlib import import_module
    from importlib.machinery import ModuleSpec

    class Alias:
        '''Make every module of django importable under freedom, as the same object.'''

        def find_spec(self, name, path=None, target=None):
            top, _, rest = name.partition(".")
            other = f"django.{rest}" if rest else "django"
            if top == "freedom" and importlib.util.find_spec(other) is not None:
                return ModuleSpec(name, self, is_package=not rest.count(".") or None)

        def create_module(self, spec):
            module = import_module("django" + spec.name.removeprefix("freedom"))
            spec.loader_state = module.__spec__
            return module

        def exec_module(self, module):
            module.__spec__ = module.__spec__.loader_state

    sys.meta_path.insert(0, Alias())
"""


class TestFramework:
    def test_it_is_django_where_there_is_no_freedom(self, run):
        assert run("print(framework())").printed == ["django"]

    def test_where_there_is_none_it_is_named_with_what_to_do(self, tmp_path):
        package = tmp_path / "freedom_middleware"
        package.symlink_to(Path(freedom_middleware.__file__).parent)
        script = PRELUDE + "tell(site, 'one.settings'); print(framework())"

        # Without what is installed, but for ourselves.
        done = run_alone(script, "-S", PYTHONPATH=str(tmp_path))

        assert done.stdout == (
            "SettingsError: a Freedom site must have its framework installed, got none:"
            " neither freedom.core.wsgi nor django.core.wsgi can be imported. Install it with"
            f" pip into the environment of {sys.executable}.\n"
        )
        assert "Error: a Freedom site must have its framework installed" in done.stderr

    @pytest.mark.parametrize(
        "files",
        [
            ["freedom.py"],
            ["freedom/__init__.py"],
            ["freedom/__init__.py", "freedom/core.py"],
            ["freedom/__init__.py", "freedom/core/__init__.py"],
            ["freedom/__init__.py", "freedom/core/other.py"],
            ["freedom/__init__.py", "freedom/core/wsgi.py", "freedom/conf.py"],
            ["freedom/__init__.py", "freedom/core/__init__.py", "freedom/core/wsgi.py"],
            ["freedom/core/wsgi.py"],
        ],
        ids=" ".join,
    )
    def test_a_package_that_is_called_freedom_is_not_executed(self, run, tmp_path, files):
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text("print('executed')")

        told = run(
            "import io; site('one.settings'); print(framework(), 'freedom' in sys.modules)",
            path=[tmp_path],
        )

        assert told == ACCEPTED._replace(printed=["django False"])

    def test_a_package_that_is_called_freedom_and_was_imported_is_no_hindrance(
        self, run, tmp_path
    ):
        (tmp_path / "freedom").mkdir()
        (tmp_path / "freedom/__init__.py").touch()
        (tmp_path / "freedom/conf.py").write_text("settings = {'configured': False}")

        told = run(
            "import freedom.conf; site('one.settings'); Application('one.wsgi')",
            path=[tmp_path],
        )

        assert told == ACCEPTED

    def test_where_no_finder_finds_one_there_is_none(self, run):
        told = run("""
            del sys.modules["django.core.wsgi"]
            sys.meta_path.clear()
            framework()
        """)

        assert told.error.startswith("SettingsError: a Freedom site must have its framework")

    def test_where_a_finder_forbids_freedom_it_is_django(self, run):
        told = run("""
            class Forbid:
                def find_spec(self, name, path=None, target=None):
                    if name == "freedom":
                        raise ImportError("no freedom here")
            sys.meta_path.insert(0, Forbid())
            print(framework())
        """)

        assert told.printed == ["django"]

    def test_where_freedom_was_taken_out_of_the_modules_it_is_django(self, run):
        told = run("""
            sys.modules["freedom.core.wsgi"] = sys.modules["freedom.conf"] = None
            print(framework())
        """)

        assert told.printed == ["django"]

    def test_where_freedom_is_among_the_modules_it_need_not_be_found(self, run):
        told = run("""
            import django.core.wsgi
            sys.modules["freedom.core.wsgi"] = django.core.wsgi
            sys.modules["freedom.conf"] = django.conf
            print(framework(), exchange(site("one.settings")).status)
        """)

        assert told == ACCEPTED._replace(printed=["freedom 200 OK"])

    def test_what_freedom_has_loaded_is_noticed_where_there_is_no_django(self, run):
        told = run("""
            from types import SimpleNamespace
            settings = SimpleNamespace(
                configured=True, _wrapped=SimpleNamespace(SETTINGS_MODULE="one.settings")
            )
            sys.modules["freedom.conf"] = SimpleNamespace(settings=settings)
            del sys.modules["django.conf"]
            Application("two.later")
        """)

        assert "got 'two.later', which asks for 'two.settings'," in told.error

    def test_under_its_other_name_it_serves(self, run):
        told = run(
            dedent(ALIAS)
            + dedent("""
                print(exchange(site("one.settings")).status, framework(), *served())
                from freedom.conf import settings
                print(settings.ROOT_URLCONF)
            """)
        )

        assert told == ACCEPTED._replace(
            printed=["200 OK freedom one.settings one.urls", "one.urls"]
        )

    @pytest.mark.parametrize(
        "script",
        [
            "plain('one.settings'); site('two.settings')",
            "site('one.settings'); site('two.settings')",
            "site('one.settings'); Application('two.wsgi')",
            "Application('two.wsgi'); site('one.settings')",
        ],
    )
    def test_under_its_other_name_two_sites_conflict(self, run, script):
        told = run(dedent(ALIAS) + script)

        assert told.error.startswith("SettingsConflict: a process must hold one Freedom site")


class TestIsMissing:
    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (ModuleNotFoundError(name="one"), True),
            (ModuleNotFoundError(name="one.settings"), True),
            (ModuleNotFoundError(name="one.settings.dev"), False),
            (ModuleNotFoundError(name="one.set"), False),
            (ModuleNotFoundError(name="on"), False),
            (ModuleNotFoundError(), False),
            (ImportError(name="one.settings"), False),
            (ValueError("one.settings"), False),
        ],
        ids=repr,
    )
    def test_it_is_the_module_or_a_package_above_it(self, error, expected):
        assert settings.is_missing(error, "one.settings") is expected


def test_its_errors_are_the_builtins_that_a_caller_expects():
    assert issubclass(SettingsError, (FreedomError, ImportError))
    assert issubclass(SettingsConflict, (FreedomError, RuntimeError))
