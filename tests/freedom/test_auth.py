"""The users of the site, for Apache: called as mod_wsgi calls them."""

import pytest

from .test_users import project  # noqa: F401 - the fixture: a site with users

SCRIPT = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
from freedom_middleware.freedom.auth import check_password, groups_for_user
"""

AS_MOD_WSGI_DOES = """
import importlib.util, os
os.environ["SITE_DATABASE"] = {database!r}
# By its path, under a name of the server's own.
spec = importlib.util.spec_from_file_location("_mod_wsgi_0123456789", {script!r})
auth = importlib.util.module_from_spec(spec)
spec.loader.exec_module(auth)
environ = {{"REQUEST_URI": "/private/", "mod_wsgi.application_group": ""}}

def native(text, encoding="utf-8"):
    return text.encode(encoding).decode("latin-1")

def check(name, password, encoding="utf-8"):
    return auth.check_password(environ, native(name, encoding), native(password, encoding))

def groups(name):
    return auth.groups_for_user(environ, native(name))

def connections():
    from django.db import connections
    return [c.connection for c in connections.all()]
"""


@pytest.fixture
def ask(run_in, project):  # noqa: F811 - that is how a fixture is asked for
    """Return a function that runs lines in a process that has imported nothing before."""
    script = project / "auth_wsgi.py"
    script.write_text(SCRIPT)
    database = str(project / "db.sqlite3")
    prelude = AS_MOD_WSGI_DOES.format(database=database, script=str(script))

    def ask(lines):
        done = run_in(project, "-c", prelude + lines)
        return (done.stdout + done.stderr.strip().rpartition("\n")[2]).splitlines()

    return ask


def test_they_answer_when_they_are_the_first_thing_imported(ask):
    assert ask("""
print([check("alice", "right"), check("alice", "wrong"), check("nobody", "right")])
print([check("gone", "right"), check("alice\\0", "right"), check("größe", "right")])
print(groups("alice"), groups("boss"), groups("nobody"), groups("gone"), groups("a\\0"))
print(connections())
from mysite import hashers
print(len(hashers.calls))
""") == [
        "[True, False, None]",
        "[None, None, True]",
        f"[{'Käufer'.encode()!r}] [] [] [] []",
        "[None]",
        # One password is hashed for each, there or not; none for what no name can be.
        "5",
    ]


@pytest.mark.parametrize(
    "before",
    [
        "from mysite.wsgi import application",
        "from django.core.wsgi import get_wsgi_application; get_wsgi_application()",
    ],
)
def test_they_answer_beside_the_site_in_any_order(ask, before):
    assert ask(f"{before}\nprint(check('alice', 'right'))") == ["True"]
    assert ask(f"check('alice', 'right')\n{before}\nprint(check('alice', 'right'))") == ["True"]


def test_of_many_threads_each_gets_its_answer_and_keeps_no_connection(ask):
    assert ask("""
from threading import Thread
told = []
def visit():
    told.append((check("alice", "right"), groups("alice"), connections()))
threads = [Thread(target=visit) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(told), all(t[0] is True and len(t[1]) == 1 and t[2] == [None] for t in told))
""") == ["8 True"]


def test_without_settings_they_say_what_to_set(run_in, tmp_path):
    done = run_in(
        tmp_path,
        "-c",
        "from freedom_middleware.freedom.auth import check_password as c; c({}, 'a', 'b')",
    )

    last = done.stderr.strip().rpartition("\n")[2]
    assert "SettingsError: the site must say which settings are its own, got none. Set" in last
    assert "Set DJANGO_SETTINGS_MODULE first" in last


def test_settings_that_are_missing_are_named_with_their_source(run_in, tmp_path):
    done = run_in(
        tmp_path,
        "-c",
        "from freedom_middleware.freedom.auth import check_password as c; c({}, 'a', 'b')",
        DJANGO_SETTINGS_MODULE="mysite.setings",
    )

    last = done.stderr.strip().rpartition("\n")[2]
    assert (
        "SettingsError: settings module must be importable, got 'mysite.setings', which" in last
    )
    assert "DJANGO_SETTINGS_MODULE names: No module named 'mysite'" in last


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            "INSTALLED_APPS = ['django.contrib.auth'] * 2",
            "ImproperlyConfigured: Application labels",
        ),
        ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
    ],
)
def test_settings_that_fail_tell_why_themselves(run_in, tmp_path, line, error):
    """They are named, so to name them is no cure."""
    (tmp_path / "failing.py").write_text(f"SECRET_KEY = 'x'\n{line}\n")

    done = run_in(
        tmp_path,
        "-c",
        "from freedom_middleware.freedom.auth import check_password as c; c({}, 'a', 'b')",
        DJANGO_SETTINGS_MODULE="failing",
    )

    assert error in done.stderr.strip().rpartition("\n")[2]


def test_they_know_the_letters_of_every_alphabet(ask):
    assert ask("""
check("alice", "right")
from django.contrib.auth.models import Group, User
User.objects.filter(username="ελένη").delete()
user = User.objects.create_user("ελένη", password="κωδικός")
user.groups.add(Group.objects.get())
print(check("ελένη", "κωδικός"), check("ελένη", "x"), len(groups("ελένη")))
print(check("größe", "right", "latin-1"))
user.delete()
""") == ["True False 1", "True"]
