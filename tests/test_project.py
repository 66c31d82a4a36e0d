"""What is found in a folder: real projects, as their tools make them, and made-up ones."""

import os
import subprocess
import sys
from textwrap import dedent

import pytest

from freedom_middleware.errors import ProjectError
from freedom_middleware.project import Found, find, find_spec


@pytest.fixture
def project(tmp_path):
    """A project as the framework's own command makes it."""
    environ = {**os.environ}
    environ.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "-m", "django", "startproject", "mysite", str(tmp_path)]
    subprocess.run(command, check=True, env=environ)
    return tmp_path


def write(folder, **files):
    """Write Python files: ``mysite_wsgi=...`` is mysite/wsgi.py, ``mysite_`` its __init__."""
    for name, text in files.items():
        *folders, last = name.split("_")
        path = folder.joinpath(*folders, f"{last or '__init__'}.py")
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(dedent(text))
    return folder


MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "{}")\n'


class TestAProjectOfTheFramework:
    def test_is_found_as_startproject_makes_it(self, project):
        assert find(project, {}) == Found(
            "mysite.wsgi", "WSGI_APPLICATION in mysite/settings.py"
        )

    def test_the_environment_wins_as_it_does_in_manage_py(self, project):
        write(project, mysite_production='WSGI_APPLICATION = "mysite.served.site"')

        found = find(project, {"DJANGO_SETTINGS_MODULE": "mysite.production"})

        assert found == Found("mysite.served:site", "WSGI_APPLICATION in mysite/production.py")

    def test_what_the_environment_names_elsewhere_is_passed_over(self, project):
        assert find(project, {"DJANGO_SETTINGS_MODULE": "other.settings"}).spec == "mysite.wsgi"

    def test_without_manage_py_the_environment_is_enough(self, project):
        (project / "manage.py").unlink()

        found = find(project, {"DJANGO_SETTINGS_MODULE": "mysite.settings"})

        assert found.reason == "WSGI_APPLICATION in mysite/settings.py"

    def test_the_process_has_an_environment(self, project, monkeypatch):
        monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "mysite.other")
        write(project, mysite_other='WSGI_APPLICATION = "mysite.other.application"')

        assert find_spec(project) == "mysite.other"

    @pytest.mark.parametrize(
        "base",
        [".base", "..settings.base", "config.settings.base"],
    )
    def test_settings_in_pieces_are_followed(self, tmp_path, base):
        write(
            tmp_path,
            manage=MANAGE.format("config.settings.local"),
            config_settings_base='WSGI_APPLICATION = "config.run.application"',
            config_settings_local=f"from {base} import *\nDEBUG = True",
        )

        assert find_spec(tmp_path) == "config.run"

    def test_settings_that_are_a_package_are_followed(self, tmp_path):
        write(
            tmp_path,
            manage=MANAGE.format("mysite.settings"),
            mysite_settings_="""\
                from ............................................................ import *
                from . import *
                try:
                    from .local import *
                except ImportError:
                    pass
            """,
            mysite_settings_local='WSGI_APPLICATION = "mysite.run.application"',
        )

        assert find_spec(tmp_path) == "mysite.run"

    def test_the_last_value_counts_and_a_computed_one_is_not_known(self, tmp_path):
        write(
            tmp_path,
            manage=MANAGE.format("mysite.settings"),
            mysite_settings="""\
                WSGI_APPLICATION = 'mysite.old.application'
                WSGI_APPLICATION = None
            """,
            mysite_wsgi="",
        )

        assert find(tmp_path, {}) == Found(
            "mysite.wsgi", "it is beside the settings mysite.settings"
        )

    def test_one_without_wsgi_py_says_what_is_missing(self, tmp_path):
        write(
            tmp_path,
            manage='import os\nos.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"',
            mysite_settings="",
        )

        with pytest.raises(ProjectError, match="WSGI_APPLICATION in its settings, or a wsgi"):
            find(tmp_path, {})

    @pytest.mark.parametrize("text", ["import os", "not python", "\0"])
    def test_a_manage_py_that_says_nothing_is_passed_over(self, tmp_path, text):
        write(tmp_path, manage=text, mysite_wsgi="application = 1")

        assert find(tmp_path, {}) == Found("mysite.wsgi", "mysite/wsgi.py")


class TestAnyOtherApplication:
    @pytest.mark.parametrize(
        ("files", "spec"),
        [
            ({"wsgi": "application = 1"}, "wsgi"),
            ({"wsgi": "app = 1"}, "wsgi:app"),
            ({"app": "app: object = 1"}, "app:app"),
            ({"app": "app: object", "main": "app = 1"}, "main:app"),
            ({"app": "def application(environ, start_response): ..."}, "app"),
            ({"app": "from shop import app as application"}, "app"),
            ({"app": "from shop import app"}, "app:app"),
            ({"app": "def create_app(config=None, *, debug=False): ..."}, "app:create_app()"),
            ({"app": "try:\n    app = 1\nexcept ImportError:\n    app = 2"}, "app:app"),
            ({"app": "app = 1", "wsgi": "from app import app"}, "wsgi:app"),
            ({"main": "if 1:\n    app = 1"}, "main:app"),
            ({"flaskr_": "def create_app(): ..."}, "flaskr:create_app()"),
            ({"site_wsgi": "application = 1", "site_": "app = 1"}, "site.wsgi"),
        ],
        ids=str,
    )
    def test_is_found(self, tmp_path, files, spec):
        assert find_spec(write(tmp_path, **files)) == spec

    @pytest.mark.parametrize(
        "files",
        [
            {},
            {"app": "print('hello')"},
            {"app": "def create_app(config): ..."},
            {"app": "def create_app(*, config): ..."},
            {"app": "if __name__ == '__main__':\n    app = 1"},
            {"app": "def f():\n    app = 1"},
            {"app": "app[0] = 1"},
            {"app": "app ="},
            {"not-a-package_app": "app = 1"},
        ],
        ids=str,
    )
    def test_is_not_made_up(self, tmp_path, files):
        with pytest.raises(ProjectError) as caught:
            find_spec(write(tmp_path, **files))

        assert "no manage.py, wsgi.py, application.py, app.py, main.py" in str(caught.value)
        assert str(tmp_path) in str(caught.value)

    def test_a_virtual_environment_is_not_looked_into(self, tmp_path):
        write(tmp_path, venv_app="app = 1", shop_app="app = 1")
        (tmp_path / "venv" / "pyvenv.cfg").touch()

        assert find_spec(tmp_path) == "shop.app:app"

    def test_several_are_named(self, tmp_path):
        write(tmp_path, blog_wsgi="application = 1", shop_app="app = 1")

        with pytest.raises(ProjectError, match=r"got blog\.wsgi, shop\.app:app\. Name one"):
            find_spec(tmp_path)


class TestWhereToGo:
    def test_a_package_is_not_where_import_strings_start(self, tmp_path):
        write(tmp_path, mysite_="", mysite_wsgi="application = 1", manage="")

        with pytest.raises(ProjectError) as caught:
            find_spec(tmp_path / "mysite")

        assert f"got a package: {tmp_path / 'mysite'}. There is a manage.py in" in str(
            caught.value
        )

    @pytest.mark.parametrize("where", ["mysite", "mysite/deep", "."])
    def test_a_manage_py_nearby_is_pointed_out(self, tmp_path, where):
        top = tmp_path / "src"
        write(tmp_path, src_manage="", src_mysite_deep_views="")
        folder = tmp_path if where == "." else top / where

        with pytest.raises(ProjectError) as caught:
            find_spec(folder)

        assert f"There is a manage.py in {top}: go there first" in str(caught.value)
