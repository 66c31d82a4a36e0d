"""Somebody's ``wsgi.py`` is changed as it should be, or not at all."""

import os
import pty
import re
import stat
import subprocess
import sys
from itertools import product

import pytest

from freedom_middleware.errors import EditError
from freedom_middleware.freedom.adopt import adopt, composed, find_wsgi

STANDARD = '''\
"""
WSGI config for mysite project.
"""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')

application = get_wsgi_application()
'''

HEAD = "from django.core.wsgi import get_wsgi_application\n"
IMPORT = "from freedom_middleware import CloseGuard, Mount\n"
SITE = "get_wsgi_application()"
GUARDED = "CloseGuard(Mount(get_wsgi_application(), {}))"

BOTTOM = """\
from whitenoise import WhiteNoise

application = get_wsgi_application()
application = WhiteNoise(application, root="static")
application.add_files("more")
from elasticapm.middleware import ElasticAPM
application = ElasticAPM(application)
"""

DELEGATES = """\
_site = None
import os

_site = get_wsgi_application()

def application(environ, start_response):
    os.environ["SECRET"] = environ["SECRET"]
    return _site(environ, start_response)
"""


class TestUnderstood:
    def test_what_startproject_makes(self):
        assert composed(STANDARD) == STANDARD.replace(HEAD, HEAD + IMPORT).replace(
            SITE + "\n", GUARDED + "\n"
        )

    @pytest.mark.parametrize(
        "body",
        [
            "app = Layer(get_wsgi_application())\n",
            "app = Outer(Inner(application=get_wsgi_application(), debug=True))\n",
            "app: object = get_wsgi_application()\n",
            "app = application = get_wsgi_application()\n",
            "app = Cling(get_wsgi_application()) if DEBUG else get_wsgi_application()\n",
            "if DEBUG:\n\ta = A(get_wsgi_application())\nelse:\n\ta = get_wsgi_application()\n",
            "with quiet:\n    app = get_wsgi_application()\n",
            "app = Dispatcher({'/site': get_wsgi_application()})\n",
            "get_wsgi_application.__doc__\napp = get_wsgi_application()\n",
            "app = Läyer('größe', get_wsgi_application())  # größe\n",
            "app = Layer(\n    # the site\n    get_wsgi_application(\n    ),\n)\n",
            BOTTOM,
            DELEGATES,
        ],
    )
    def test_the_site_is_guarded_wherever_it_stands(self, body):
        new = composed(HEAD + body)

        assert new == HEAD + IMPORT + re.sub(
            r"(?<!import )get_wsgi_application\(\s*\)",
            lambda found: f"CloseGuard(Mount({found[0]}, {{}}))",
            body,
        )

    def test_a_call_that_only_sets_up_is_left(self):
        body = "get_wsgi_application()\nfrom shop import tables\napp = get_wsgi_application()\n"

        assert composed(HEAD + body) == HEAD + IMPORT + body.replace(
            f"app = {SITE}", f"app = {GUARDED}"
        )

    @pytest.mark.parametrize(
        ("head", "call"),
        [
            ("from freedom.core.wsgi import get_wsgi_application", "get_wsgi_application()"),
            ("from django.core.wsgi import get_wsgi_application as get", "get()"),
            ("from django.core import wsgi", "wsgi.get_wsgi_application()"),
            ("import django.core.wsgi", "django.core.wsgi.get_wsgi_application()"),
            ("import django.core.wsgi as wsgi", "wsgi.get_wsgi_application()"),
            ("from configurations.wsgi import get_wsgi_application", "get_wsgi_application()"),
            (
                "from django.core.wsgi import (\n    get_wsgi_application,\n)",
                "get_wsgi_application()",
            ),
        ],
    )
    def test_it_is_found_by_whatever_name_it_has(self, head, call):
        assert composed(f"{head}\napp = {call}\n") == (
            f"{head}\n{IMPORT}app = CloseGuard(Mount({call}, {{}}))\n"
        )

    def test_what_the_import_may_break_is_allowed_for_it_too(self):
        head = "import site_first\n" + HEAD.rstrip() + "  # noqa: E402\n"

        assert composed(f"{head}app = {SITE}\n") == (
            f"{head}{IMPORT.rstrip()}  # noqa: E402\napp = {GUARDED}\n"
        )

    @pytest.mark.parametrize(
        "source",
        [
            f"{IMPORT}{HEAD}app = {GUARDED}\n",
            f"{HEAD}import freedom_middleware\napp = freedom_middleware.CloseGuard({SITE})\n",
            f"{HEAD}from freedom_middleware.guard import CloseGuard as C\na = C({SITE})\n",
            composed(STANDARD),
        ],
    )
    def test_one_that_has_a_guard_is_left(self, source):
        assert composed(source) == source


class TestRefused:
    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ("", "it does not call the framework's get_wsgi_application()"),
            (f"from .base import get_wsgi_application\napp = {SITE}\n", "does not call"),
            (f"{HEAD}{SITE}\n", "it does not call"),
            (
                f"{HEAD}def application(e, s):\n    return {SITE}(e, s)\n",
                "in line 3, the site is called where it is made",
            ),
            (
                f"{HEAD}application = lambda: {SITE}\n",
                "the site is not simply assigned",
            ),
            (f"{HEAD}a, b = {SITE}, 1\n", "the site is not simply assigned to a name"),
            (f"{HEAD}a[0] = {SITE}\n", "in line 2, the site is not simply assigned to a name"),
            (f"{HEAD}def get():\n    app = {SITE}\n    return app\n", "is made inside of get"),
            (f"{HEAD}class A:\n    app = Layer({SITE})\n", "the site is made inside of A"),
            (
                f"{HEAD}for _ in '12':\n    app = {SITE}\n",
                "line 3, the site is made in a loop",
            ),
            (f"{HEAD}kind = type({SITE})\n", "in line 2, the site is given to type()"),
            (
                f"{HEAD}middleware = {SITE}._middleware_chain\n",
                "the site is not simply assigned",
            ),
            (
                f"{HEAD}app = {SITE}\napp.load_middleware()\n",
                "in line 3, app.load_middleware is used, which a guarded application has not",
            ),
            (
                f"{HEAD}app = {SITE}\napp = Layer(app.get_response)\n",
                "app.get_response is",
            ),
            (f"{HEAD}from shop import Mount\napp = {SITE}\n", "the name Mount has another"),
            (
                f"{HEAD}def CloseGuard(a): ...\napp = {SITE}\n",
                "name CloseGuard has another",
            ),
            (f"{HEAD}app = Mount({SITE})\n", "the name Mount has another meaning in it"),
            (f"{HEAD}app = lambda Mount: 1\napp = {SITE}\n", "the name Mount has another"),
            (f"{HEAD}from shop import *\napp = {SITE}\n", "an 'import *' may give the names"),
            (f"{HEAD.rstrip()}; app = {SITE}\n", "not imported on a line of its own"),
            (
                f"{HEAD.rstrip()}; import os\napp = {SITE}\n",
                "not imported on a line of its own",
            ),
            (
                f"try:\n    {HEAD}except ImportError:\n    raise\napp = {SITE}\n",
                "get_wsgi_application is not imported on a line of its own at the top",
            ),
            (f"if True:\n    {HEAD}app = {SITE}\n", "not imported on a line of its own"),
        ],
    )
    def test_the_reason_is_told_and_the_file_is_left(self, source, reason, tmp_path):
        path = tmp_path / "wsgi.py"
        path.write_text(source)

        with pytest.raises(EditError) as raised:
            adopt(path)

        assert reason in str(raised.value)
        assert "Change it by hand: 'from freedom_middleware import" in str(raised.value)
        assert path.read_text() == source

    @pytest.mark.parametrize(
        ("source", "says"),
        [
            (b"a = 1\napplication application\n", "invalid syntax in line 2$"),
            (b"a = '\0'\n", "null bytes"),
            (b"# gr\xf6\xdfe\n", "invalid or missing encoding"),
            (b"# coding: klingon\n", "unknown encoding"),
            (HEAD.encode() + b"a = 1\n" * 9 + b"# gr\xf6\xdfe\n", "'utf-8' codec can't decode"),
        ],
    )
    def test_what_is_not_python(self, source, says, tmp_path):
        path = tmp_path / "wsgi.py"
        path.write_bytes(source)

        with pytest.raises(EditError, match=f"wsgi.py must be Python, got .*{says}"):
            adopt(path)

    def test_what_cannot_be_read(self, tmp_path):
        with pytest.raises(EditError, match=r"can be read, got .*: No such file"):
            adopt(tmp_path / "wsgi.py")


class TestEveryByte:
    @pytest.mark.parametrize("end", ["", "newline"])
    @pytest.mark.parametrize(
        ("encoding", "newline"),
        [
            *product(["utf-8", "utf-8-sig", "latin-1", "shift_jis"], ["\n", "\r\n"]),
            ("utf-8", "\r"),  # which Python takes, but not behind a cookie
        ],
    )
    def test_is_kept(self, tmp_path, newline, end, encoding):
        """Endings, a last line without one, a form feed, and letters of every encoding."""
        word = "größe" if encoding == "latin-1" else "日本"
        cookie = "" if encoding.startswith("utf-8") else f"# -*- coding: {encoding} -*-\n"
        source = f"{cookie}# {word}\x0c\n\x0c\n{STANDARD.rstrip()}  # {word}{end and chr(10)}"
        old = source.replace("\n", newline).encode(encoding)
        path = tmp_path / "wsgi.py"
        path.write_bytes(old)

        change = adopt(path)
        change.write()

        imported = IMPORT.replace("\n", newline).encode()
        head = HEAD.replace("\n", newline).encode()
        expected = old.replace(head, head + imported).replace(
            b"= " + SITE.encode(), b"= " + GUARDED.encode()
        )
        assert path.read_bytes() == change.after == expected
        assert change.before == old
        compile(change.after, "wsgi.py", "exec")

    def test_mode_and_link_are_kept(self, tmp_path):
        path, link = tmp_path / "real.py", tmp_path / "wsgi.py"
        path.write_text(STANDARD)
        path.chmod(0o754)
        link.symlink_to("real.py")

        adopt(link).write()

        assert link.is_symlink()
        assert stat.S_IMODE(path.stat().st_mode) == 0o754
        assert path.read_text() == composed(STANDARD)
        assert sorted(file.name for file in tmp_path.iterdir()) == ["real.py", "wsgi.py"]

    def test_a_file_that_somebody_changed_meanwhile_is_left(self, tmp_path):
        path = tmp_path / "wsgi.py"
        path.write_text(STANDARD)
        change = adopt(path)
        path.write_text("another\n")

        with pytest.raises(EditError, match="must not change meanwhile"):
            change.write()

        assert path.read_text() == "another\n"

    def test_where_nothing_can_be_written_nothing_is_left(self, tmp_path, monkeypatch):
        path = tmp_path / "wsgi.py"
        path.write_text(STANDARD)
        change = adopt(path)

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(EditError, match=r"can be written, got .*: No space left"):
            change.write()

        assert path.read_text() == STANDARD
        assert [file.name for file in tmp_path.iterdir()] == ["wsgi.py"]


class TestDiff:
    def test_it_is_what_patch_takes(self, tmp_path, run_in):
        path = tmp_path / "wsgi.py"
        path.write_text(STANDARD.rstrip())
        change = adopt(path)
        text = change.diff()

        patched = run_in(
            tmp_path,
            "-c",
            "import subprocess, sys; sys.exit(subprocess.call(['patch', '-p0', 'wsgi.py']))",
            answer=text,
        )

        assert patched.returncode == 0, patched.stdout + patched.stderr
        assert path.read_bytes() == change.after
        assert text.count("\\ No newline at end of file\n") == 2


class TestFindWsgi:
    @pytest.mark.parametrize("name", ["wsgi.py", "mysite/wsgi.py", "src/mysite/wsgi.py"])
    def test_the_one_below_the_folder(self, tmp_path, name):
        for other in (name, ".tox/x/wsgi.py", "venv/site-packages/wsgi.py", "a/b/c/wsgi.py"):
            path = tmp_path / other
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

        assert find_wsgi(tmp_path) == tmp_path / name

    def test_none_and_several_are_named(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(EditError, match=r"must have one wsgi.py, got none\. Say which"):
            find_wsgi()
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "wsgi.py").touch()
        with pytest.raises(EditError, match=r"got one/wsgi.py, two/wsgi.py\. Say which"):
            find_wsgi()


class TestCommand:
    @pytest.fixture
    def project(self, run_in, tmp_path):
        run_in(tmp_path, "-m", "django", "startproject", "mysite", ".")
        return tmp_path

    def test_yes_changes_it_and_the_site_serves(self, command, run_in, project):
        old = (project / "mysite/wsgi.py").read_text()
        done = command(project, "adopt", "--yes")

        assert done.returncode == 0, done.stderr
        assert "+application = CloseGuard(Mount(get_wsgi_application(), {}))\n" in done.stdout
        assert done.stdout.endswith(
            "mysite/wsgi.py: changed. Mounts go into the braces: {'/shop': 'shop:app'}\n"
        )
        assert (project / "mysite/wsgi.py").read_text() == composed(old)
        checked = command(project, "check", "mysite.wsgi")
        assert checked.returncode == 0
        assert re.findall(r"^  (\w+) .*ok$", checked.stdout, re.M) == ["CloseGuard", "Mount"]
        again = command(project, "adopt", "--yes")
        assert again.stdout == "mysite/wsgi.py: has a CloseGuard already; nothing to do\n"

    def test_without_a_terminal_it_only_shows(self, command, project):
        old = (project / "mysite/wsgi.py").read_text()

        done = command(project, "adopt", "mysite/wsgi.py", answer="y\n")

        assert done.returncode == 1
        assert done.stdout.startswith("--- a/mysite/wsgi.py\n+++ b/mysite/wsgi.py\n@@")
        assert done.stderr == "Nothing was changed: --yes changes it.\n"
        assert (project / "mysite/wsgi.py").read_text() == old

    @pytest.mark.parametrize(
        ("answer", "changes"), [("y", True), ("Yes", True), ("n", False), ("", False)]
    )
    def test_at_a_terminal_it_asks(self, project, framework, answer, changes):
        old = (project / "mysite/wsgi.py").read_text()
        terminal, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "freedom_middleware", "adopt"],
            cwd=project,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": framework},
        )
        os.write(terminal, answer.encode() + b"\n")
        shown, asked = process.communicate(timeout=60)
        os.close(terminal)
        os.close(theirs)

        assert shown.startswith("--- a/mysite/wsgi.py\n")
        assert asked.startswith("Change it? [y/N] ")
        assert process.returncode == (0 if changes else 1)
        assert asked.endswith("Nothing was changed.\n") is not changes
        assert ((project / "mysite/wsgi.py").read_text() != old) is changes

    def test_what_it_does_not_understand_it_leaves(self, command, tmp_path):
        (tmp_path / "wsgi.py").write_text("application = 1\n")

        done = command(tmp_path, "adopt", "--yes")

        assert done.returncode == 2
        assert "got 'wsgi.py': it does not call the framework's" in done.stderr
        assert (tmp_path / "wsgi.py").read_text() == "application = 1\n"
