"""A door in front of an application: only users of the site come in."""

import json
import shutil
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]

PRELUDE = """
import base64, os
from freedom_middleware import Application, Mount
from freedom_middleware.freedom.users import UserGuard
from freedom_middleware.testing import SpyBody, exchange, make_environ

site = Application.from_settings("mysite.settings")

from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.core.signals import request_finished, request_started
from django.db import connection
from django.test import Client
from mysite import hashers

seen = {}

def shop(environ, start_response):
    seen.clear()
    seen.update(environ, connected=connection.connection is not None)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Vary", "Accept")])
    return [b"in"]

def session_of(name):
    client = Client()
    client.force_login(User.objects.get(username=name))
    connection.close()
    return client.cookies["sessionid"].value

def basic(name, password):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()

def ask(guard, path="/cart", *, method="GET", given=(), **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    environ = make_environ(path, method=method, headers=headers, **dict(given))
    seen.clear()
    answer = exchange(guard, environ=environ, validate=False)
    assert bool(seen) == (answer.code == 200)
    return answer

def ask_as(name, guard, **more):
    return ask(guard, Cookie=f"sessionid={session_of(name)}", **more)

guard = UserGuard(shop)
"""

HASHERS = """
from django.contrib.auth.hashers import MD5PasswordHasher

calls = []

class Counting(MD5PasswordHasher):
    def encode(self, password, salt):
        calls.append(password)
        return super().encode(password, salt)
"""

USERS = """
import os
os.environ["SITE_DATABASE"] = "db.sqlite3"
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.models import Group, User
for name in ("alice", "größe"):
    User.objects.create_user(name, password="right")
User.objects.create_user("gone", password="right", is_active=False)
User.objects.create_user("boss", password="right", is_staff=True)
User.objects.get(username="alice").groups.add(Group.objects.create(name="Käufer"))
"""

SETTINGS = """
import os
DATABASES["default"]["NAME"] = os.environ["SITE_DATABASE"]
PASSWORD_HASHERS = ["mysite.hashers.Counting"]
"""


@pytest.fixture(scope="session")
def project(make_project, run_in):
    folder = make_project()
    (folder / "mysite/hashers.py").write_text(HASHERS)
    with (folder / "mysite/settings.py").open("a") as file:
        file.write(SETTINGS)
    (folder / "mysite/no_users.py").write_text(
        "from .settings import *\nINSTALLED_APPS = []\nROOT_URLCONF = 'mysite.empty'\n"
    )
    (folder / "mysite/empty.py").write_text("urlpatterns = []\n")
    done = run_in(folder, "-c", USERS, DJANGO_SETTINGS_MODULE="mysite.settings")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run(nursery, project, tmp_path):
    """Return a function that runs a script beside the site, with a database of its own."""

    def run(script, *, prelude=PRELUDE, variable=None):
        database = tmp_path / "db.sqlite3"
        shutil.copy(project / "db.sqlite3", database)
        scenario = {
            "script": f"import os\nos.environ['SITE_DATABASE'] = {str(database)!r}\n"
            + prelude
            + dedent(script),
            "variable": variable,
            "path": [str(project)],
        }
        nursery.stdin.write(json.dumps(scenario) + "\n")
        nursery.stdin.flush()
        told = json.loads(nursery.stdout.readline())
        assert told["warned"] == []
        return [*told["printed"], *([told["error"]] if told["error"] else [])]

    return run


class TestPage:
    def test_the_composition_that_it_shows_lets_the_right_ones_in(self, run):
        page = ROOT.joinpath("docs", "authentication.md").read_text("utf-8")
        shown = page.partition("```python\n")[2].partition("```")[0]
        assert "UserGuard" in shown
        mounted = (
            "import sys, types\nfor name in ('shop', 'reports'):\n"
            "    sys.modules[name] = types.ModuleType(name); sys.modules[name].app = shop\n"
        )

        assert run(
            mounted
            + shown
            + dedent("""
                for name in ("alice", "boss"):
                    print(*(ask_as(name, application, path=path).code for path in
                        ("/shop/", "/reports/")))
                print(ask(application, "/shop/").code, ask(application, "/reports/").code)
            """)
        ) == ["200 403", "200 200", "401 401"]


class TestWhoIsLetIn:
    def test_by_the_session_of_the_site(self, run):
        assert run("""
            answer = ask_as("alice", guard)
            print(answer.code, answer.body, seen["REMOTE_USER"], seen["AUTH_TYPE"])
        """) == ["200 b'in' alice Session"]

    @pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
    def test_by_their_password(self, run, scheme):
        assert run(f"""
            header = basic("alice", "right").replace("Basic", {scheme!r})
            answer = ask(guard, Authorization=header)
            print(answer.code, seen["REMOTE_USER"], seen["AUTH_TYPE"])
        """) == ["200 alice Basic"]

    def test_a_name_of_other_letters_is_a_native_string(self, run):
        assert run("""
            ask(guard, Authorization=basic("größe", "right"))
            print(seen["REMOTE_USER"].encode("latin-1").decode())
        """) == ["größe"]

    def test_a_password_with_a_colon_and_a_wide_space(self, run):
        assert run("""
            User.objects.create_user("carol", password="a:b\\u00a0c")
            print(ask(guard, Authorization=basic("carol", "a:b\\u00a0c")).code)
        """) == ["200"]

    @pytest.mark.parametrize("engine", ["file", "cache", "cached_db", "signed_cookies"])
    def test_by_the_sessions_of_every_engine(self, run, engine, tmp_path):
        assert run(f"""
            from django.conf import settings
            settings.SESSION_ENGINE = "django.contrib.sessions.backends.{engine}"
            settings.SESSION_FILE_PATH = {str(tmp_path)!r}
            print(ask_as("alice", guard).code, ask(guard, Cookie="sessionid=x").code)
        """) == ["200 401"]

    @pytest.mark.parametrize(
        ("allow", "codes"),
        [
            ("lambda user: user.is_staff", "403 200"),
            ("lambda user: user.groups.filter(name='Käufer').exists()", "200 403"),
            ("lambda user: user.has_perm('auth.view_user')", "403 200"),
            ("lambda user: None", "403 403"),
        ],
    )
    def test_of_these_those_whom_a_function_allows(self, run, allow, codes):
        assert run(f"""
            User.objects.get(username="boss").user_permissions.add(
                Permission.objects.get(codename="view_user")
            )
            guard = UserGuard(shop, allow={allow})
            print(ask_as("alice", guard).code, ask_as("boss", guard, Accept="text/html").code)
        """) == [codes]


class TestWhoIsNot:
    @pytest.mark.parametrize(
        "header",
        [
            "basic('alice', 'wrong')",
            "basic('alice', '')",
            "basic('nobody', 'right')",
            "basic('gone', 'right')",
            "basic('', '')",
            "basic('alice\\0', 'right')",
            "basic('alice', 'right\\r\\n')",
            "'Basic'",
            "'Basic !!'",
            "'Basic YWxpY2U='",  # no colon
            "'Basic //79'",  # no UTF-8
            "'Bearer abc'",
            "''",
        ],
    )
    def test_by_such_a_header(self, run, header):
        assert run(f"""
            answer = ask(guard, Authorization={header})
            print(answer.code, answer.header("WWW-Authenticate"))
            print(answer.header("Cache-Control"), answer.body)
        """) == [
            '401 Basic realm="site", charset="UTF-8"',
            r"no-store b'401 Unauthorized\n'",
        ]

    def test_by_what_no_database_has_to_be_asked_for(self, run):
        """Some raise for a null character."""
        assert run("""
            for name, password in (("alice\\0", "right"), ("alice", "right\\n")):
                print(ask(guard, Authorization=basic(name, password)).code, hashers.calls)
        """) == ["401 []", "401 []"]

    @pytest.mark.parametrize(
        "change",
        [
            "User.objects.filter(username='alice').update(is_active=False)",
            "User.objects.filter(username='alice').delete()",
            "Session.objects.update(expire_date='2001-01-01T00:00:00Z')",
            "Session.objects.all().delete()",
            "user = User.objects.get(username='alice'); user.set_password('new'); user.save()",
            "settings.SECRET_KEY = 'another'",
            "settings.AUTHENTICATION_BACKENDS = ['no.such.Backend']",
            "key = 'x' * 32",
            "key = ''",
        ],
    )
    def test_by_a_session_that_is_over(self, run, change):
        assert run(f"""
            from django.conf import settings
            key = session_of("alice")
            print(ask(guard, Cookie=f"sessionid={{key}}").code)
            {change}
            print(ask(guard, Cookie=f"sessionid={{key}}").code)
        """) == ["200", "401"]

    def test_with_an_inactive_user_of_a_backend_that_lets_them_in(self, run):
        assert run("""
            from django.conf import settings
            settings.AUTHENTICATION_BACKENDS = [
                "django.contrib.auth.backends.AllowAllUsersModelBackend"
            ]
            print(ask(guard, Authorization=basic("gone", "right")).code)
            print(ask(guard, Authorization=basic("alice", "right")).code)
            print(ask_as("gone", guard).code)
        """) == ["401", "200", "401"]

    def test_takes_as_long_to_find_out_whoever_is_named(self, run):
        """As many passwords are hashed for a user that there is not."""
        assert (
            run("""
            for name in ("alice", "gone", "nobody"):
                hashers.calls.clear()
                code = ask(guard, Authorization=basic(name, "wrong")).code
                print(code, hashers.calls)
        """)
            == ["401 ['wrong']"] * 3
        )

    def test_by_a_password_where_that_is_not_asked_for(self, run):
        assert run("""
            guard = UserGuard(shop, realm=None)
            answer = ask(guard, Authorization=basic("alice", "right"))
            print(answer.code, answer.header("WWW-Authenticate"), hashers.calls)
        """) == ["403 None []"]


class TestWhatAClientCannotSay:
    CLAIMS = "Remote_User='boss', X_Remote_User='boss', X_Forwarded_User='boss'"

    def test_who_it_is(self, run):
        assert run(f"""
            print(ask(guard, {self.CLAIMS}).code)
            ask_as("alice", guard, {self.CLAIMS})
            print(sorted((key, value) for key, value in seen.items() if "USER" in key))
        """) == ["401", "[('REMOTE_USER', 'alice')]"]

    def test_and_neither_can_a_server_that_is_not_trusted(self, run):
        assert run("""
            given = {"REMOTE_USER": "boss", "AUTH_TYPE": "Basic"}
            print(ask(guard, given=given).code)
            ask_as("alice", guard, given=given)
            print(seen["REMOTE_USER"], seen["AUTH_TYPE"])
        """) == ["401", "alice Session"]

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("boss", "200 boss Basic"),
            ("gr\xc3\xb6\xc3\x9fe", "200 gr\xc3\xb6\xc3\x9fe Basic"),
            ("gone", "401"),
            ("nobody", "401"),
            ("boss\0", "401"),
            ("", "401"),
        ],
    )
    def test_one_that_is_trusted_names_a_user_who_must_be_there(self, run, name, told):
        assert run(f"""
            guard = UserGuard(shop, trust_remote_user=True)
            given = {{"REMOTE_USER": {name!r}, "AUTH_TYPE": "Basic"}}
            answer = ask(guard, given=given, Remote_User="boss")
            print(answer.code, *(seen[key] for key in given if seen))
        """) == [told]

    def test_the_application_sees_no_password_of_the_site(self, run):
        assert run("""
            ask(guard, Authorization=basic("alice", "right"))
            print("HTTP_AUTHORIZATION" in seen)
            ask_as("alice", guard, Authorization="Bearer abc")
            print(seen["HTTP_AUTHORIZATION"])
            ask_as("alice", UserGuard(shop, realm=None), Authorization="Basic YTpi")
            print(seen["HTTP_AUTHORIZATION"])
        """) == ["False", "Bearer abc", "Basic YTpi"]


class TestTheLoginPage:
    def ask(self, run, path, *, options="", **headers):
        given = ", ".join(f"{name}={value!r}" for name, value in headers.items())
        (told,) = run(f"""
            guard = UserGuard(shop, {options})
            answer = ask(Mount(None, {{"/shop": guard}}), {path!r}, {given})
            print(answer.code, answer.header("Location"))
        """)
        return told

    @pytest.mark.parametrize(
        ("path", "back"),
        [
            ("/shop/cart", "/shop/cart"),
            (
                "/shop/cart?a=1&next=//evil.example",
                "/shop/cart%3Fa%3D1%26next%3D//evil.example",
            ),
            ("/shop//evil.example/", "/shop//evil.example/"),
            ("/shop/größe", "/shop/gr%25C3%25B6%25C3%259Fe"),
            (
                "/shop/a\r\nSet-Cookie: b",
                "/shop/a%250D%250ASet-Cookie:%2520b".replace(":", "%3A"),
            ),
            ("/shop/\\evil.example", "/shop/%255Cevil.example"),
        ],
    )
    def test_is_where_a_browser_is_sent_and_comes_back_from(self, run, path, back):
        told = self.ask(run, path, Accept="text/html,*/*")

        assert told == f"302 /accounts/login/?next={back}"

    @pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "///x"])
    def test_it_never_sends_a_browser_to_another_host(self, run, path):
        (told,) = run(f"""
            answer = ask(guard, {path!r}, Accept="text/html")
            print(answer.header("Location"))
        """)

        assert told.startswith("/accounts/login/?next=/")
        assert told[len("/accounts/login/?next=/") :][:1] not in ("/", "\\")

    @pytest.mark.parametrize(
        ("login_url", "location"),
        [
            ("/hello/?a=1", "/hello/?a=1&next=/shop/"),
            ("admin:login", "/admin/login/?next=/shop/"),
            ("https://login.example/", "https://login.example/?next=/shop/"),
        ],
    )
    def test_it_is_where_it_is_said_to_be(self, run, login_url, location):
        told = self.ask(run, "/shop/", options=f"login_url={login_url!r}", Accept="text/html")

        assert told == f"302 {location}"

    def test_its_name_means_the_same_whatever_was_served_before(self, run):
        assert run("""
            exchange(Mount(None, {"/portal": site}), "/portal/admin/login/")
            guard = UserGuard(shop, login_url="admin:login")
            print(ask(guard, Accept="text/html").header("Location"))
        """) == ["/admin/login/?next=/cart"]

    @pytest.mark.parametrize(
        ("headers", "told"),
        [
            ({"Accept": "*/*"}, "401 None"),
            ({}, "401 None"),
            ({"Accept": "TEXT/HTML"}, "302"),
            ({"Accept": "*/*", "Sec_Fetch_Mode": "navigate"}, "302"),
            # No dialogue of the browser's own pops up for what a page loads.
            ({"Accept": "text/html", "Sec_Fetch_Mode": "cors"}, "403 None"),
            ({"Accept": "image/png", "Sec_Fetch_Mode": "no-cors"}, "403 None"),
            ({"Accept": "text/html", "Authorization": "Basic YTpi"}, "401 None"),
            ({"Sec_Fetch_Mode": "cors", "Authorization": "Basic YTpi"}, "401 None"),
        ],
    )
    def test_it_is_for_people_and_programs_get_a_status(self, run, headers, told):
        assert self.ask(run, "/shop/", **headers).startswith(told)

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ("login_url=''", "401 None"),
            ("login_url='', realm=None", "403 None"),
            ("realm=None", "302 /accounts/login/?next=/shop/"),
        ],
    )
    def test_both_can_be_left_out(self, run, options, told):
        assert self.ask(run, "/shop/", options=options, Accept="text/html") == told

    def test_it_is_not_sent_to_itself(self, run):
        """A guard around the site would do so for ever."""
        assert run("""
            print(ask(UserGuard(site), "/accounts/login/", Accept="text/html").code)
        """) == ["401"]


class TestWhatIsLeftBehind:
    def test_no_connection_is_open_when_the_application_is_called_or_refused(self, run):
        assert run("""
            ask_as("alice", guard)
            print(seen["connected"], connection.connection)
            ask(guard, Authorization=basic("alice", "wrong"))
            print(connection.connection)
            ask_as("alice", UserGuard(shop, allow=lambda user: user.has_perm("a.b")))
            print(connection.connection)
            def fails(user):
                user.has_perm("a.b")
                raise LookupError("no luck")
            try:
                ask_as("alice", UserGuard(shop, allow=fails))
            except LookupError:
                print(connection.connection)
        """) == ["False None", "None", "None", "None"]

    def test_of_no_thread_and_the_signals_count_no_request(self, run):
        assert run("""
            from threading import Thread
            cookie = f"sessionid={session_of('alice')}"
            opened, signals = [], []
            from django.db.backends.signals import connection_created
            def created(connection, **_): opened.append(connection)
            connection_created.connect(created)
            for signal in (request_started, request_finished):
                signal.connect(lambda **_: signals.append(1), weak=False)
            codes = []
            def visit(): codes.append(exchange(guard, headers={"Cookie": cookie}).code)
            threads = [Thread(target=visit) for _ in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            print(codes == [200] * 8, len({id(c) for c in opened}), signals)
            print({c.connection for c in opened})
        """) == ["True 8 []", "{None}"]

    def test_a_visit_costs_two_queries(self, run):
        assert run("""
            from django.test.utils import CaptureQueriesContext
            key = session_of("alice")
            connection.settings_dict["CONN_MAX_AGE"] = None
            with CaptureQueriesContext(connection) as queries:
                ask(guard, Cookie=f"sessionid={key}")
            print([query["sql"].split()[0] for query in queries])
        """) == ["['SELECT', 'SELECT']"]

    def test_a_connection_that_may_live_on_does(self, run):
        assert run("""
            connection.settings_dict["CONN_MAX_AGE"] = None
            ask_as("alice", guard)
            print(seen["connected"])
        """) == ["True"]

    def test_a_transaction_around_it_goes_on(self, run):
        assert run("""
            from django.db import transaction
            key = session_of("alice")
            with transaction.atomic():
                User.objects.create_user("dave")
                print(ask(guard, Cookie=f"sessionid={key}").code)
            print(User.objects.filter(username="dave").count())
        """) == ["200", "1"]

    def test_the_session_and_the_user_stay_as_they_are(self, run):
        """Also where the site itself would flush it, as after a new password."""
        assert run("""
            key = session_of("alice")
            def state():
                return [*Session.objects.values_list(), *User.objects.values_list("last_login")]
            before = state()
            print(ask(guard, Cookie=f"sessionid={key}").code, state() == before)
            user = User.objects.get(username="alice"); user.set_password("new"); user.save()
            before = state()
            print(ask(guard, Cookie=f"sessionid={key}").code, state() == before)
        """) == ["200 True", "401 True"]

    def test_where_the_site_would_rotate_the_key_it_is_kept(self, run):
        """No browser could be told of the new one, and the user would be logged out."""
        assert run("""
            from django.conf import settings
            settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
            key = session_of("alice")
            settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", [settings.SECRET_KEY]
            print(*(ask(guard, Cookie=f"sessionid={key}").code for _ in range(2)))
        """) == ["200 200"]

    def test_the_body_is_the_application_s_own(self, run):
        assert run("""
            body = SpyBody([b"one"])
            def application(environ, start_response):
                start_response("200 OK", [("Content-Type", "text/plain"), ("Vary", "Accept")])
                return body
            environ = make_environ(headers={"Cookie": f"sessionid={session_of('alice')}"})
            told = []
            print(UserGuard(application)(environ, lambda *sent: told.append(sent)) is body)
            print(told[0][1], environ["REMOTE_USER"], body.closes)
        """) == ["True", "[('Content-Type', 'text/plain'), ('Vary', 'Accept, Cookie')] alice 0"]


class TestConstruction:
    @pytest.mark.parametrize(
        ("options", "says"),
        [
            (
                "allow=True",
                "allow must be a function of one user, and not async, or None, got True",
            ),
            ("allow=lambda: True", "allow must be a function of one user"),
            ("allow=anyone", "allow must be a function of one user, and not async"),
            ("realm='a\"b'", "realm must be printable ASCII without quotes"),
            ("realm='größe'", "realm must be printable ASCII"),
            ("realm=1", "realm must be printable ASCII"),
            ("trust_remote_user='no'", "trust_remote_user must be True or False, got 'no'"),
            ("login_url=True", "login_url must be a path, the name of a view, or None"),
            ("login_url='no_such_view'", "login_url must be the path of the login page"),
        ],
    )
    def test_an_option_that_is_none(self, run, options, says):
        (told,) = run(f"""
            async def anyone(user): return False
            UserGuard(shop, {options})
        """)

        assert told.startswith("OptionError: ")
        assert says in told

    def test_without_a_site_it_says_how_to_make_one(self, run):
        (told,) = run(
            "from freedom_middleware.freedom.users import UserGuard\n"
            "UserGuard('freedom_middleware.testing:hello')",
            prelude="",
        )

        assert told.startswith("SettingsError: the site must say which settings are its own")
        assert "Application.from_settings" in told

    def test_a_site_without_users(self, run):
        (told,) = run(
            "from freedom_middleware.freedom.users import UserGuard\n"
            "UserGuard('freedom_middleware.testing:hello')",
            prelude="",
            variable="mysite.no_users",
        )

        assert told.startswith("OptionError: UserGuard must stand beside a site that has users")

    def test_it_shows_what_it_guards(self, run):
        printed = run("""
            from freedom_middleware.tree import draw, walk
            print(draw(Mount(site, {"/shop": guard})))
            print([node.where for node in walk(guard)][0])
        """)

        assert printed[1:3] == ["├─ /shop  UserGuard", "│  └─ shop"]
        assert "script.py:" in printed[-1]
