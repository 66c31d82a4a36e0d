"""A project from its first day: made by the command, and run by its own commands."""

import re
from pathlib import Path

import pytest

from freedom_middleware.freedom import startproject as module

from .conftest import BOTH_NAMES


@pytest.fixture(scope="session")
def project(command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("projects")
    done = command(folder, "startproject", "mysite")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "mysite/mysite/wsgi.py: the application, ready for mounts. Next:\n\n"
        "  cd mysite\n  python manage.py migrate\n  python manage.py runserver\n"
    )
    return folder / "mysite"


@BOTH_NAMES
class TestAsGenerated:
    def test_check_finds_nothing(self, project, run_in):
        done = run_in(project, "manage.py", "check")

        assert done.returncode == 0
        assert done.stdout == "System check identified no issues (0 silenced).\n"

    def test_migrate_makes_its_tables(self, project, run_in):
        done = run_in(project, "manage.py", "migrate")

        assert done.returncode == 0, done.stderr
        assert "Applying auth.0001_initial... OK" in done.stdout

    def test_no_layer_loses_close(self, project, command):
        done = command(project, "check", "mysite.wsgi")

        assert done.returncode == 0, done.stderr
        assert re.findall(r"^  (\w+) .*ok$", done.stdout, re.M) == ["CloseGuard", "Mount"]

    def test_it_is_composed_and_its_settings_say_so(self, project, command, run_in):
        routes = command(project, "routes", "mysite.wsgi")
        asked = run_in(
            project,
            "-c",
            "import mysite.settings as s; print(s.WSGI_APPLICATION, s.INSTALLED_APPS[-1])",
        )

        assert [line.split()[0] for line in routes.stdout.splitlines()[:2]] == [
            "CloseGuard",
            "└─",
        ]
        assert asked.stdout == "mysite.wsgi.application freedom_middleware.freedom\n"

    def test_a_mount_takes_one_line(self, project, run_in):
        (project / "shop.py").write_text(
            "from freedom_middleware.testing import hello as app\n"
        )
        wsgi = project / "mysite" / "wsgi.py"
        source = wsgi.read_text()
        wsgi.write_text(source.replace('# "/shop"', '"/shop"'))
        try:
            done = run_in(
                project,
                "-c",
                "from freedom_middleware.testing import exchange\n"
                "from mysite.wsgi import application\n"
                "print(exchange(application, '/shop/').body, exchange(application).code)",
            )
        finally:
            wsgi.write_text(source)

        assert done.stdout == "b'Hello, world!\\n' 200\n", done.stderr

    def test_but_for_two_files_it_is_the_framework_s_own(self, project, run_in, tmp_path):
        """So it is right for versions that do not exist yet."""
        run_in(tmp_path, "-m", "django", "startproject", "mysite")

        own = tmp_path / "mysite"
        differ = []
        for path in own.rglob("*"):
            made = project / path.relative_to(own)
            secret = re.compile("django-insecure-.*")
            if path.is_file() and secret.sub("", path.read_text()) != secret.sub(
                "", made.read_text()
            ):
                differ.append(path.relative_to(own).as_posix())
        assert sorted(differ) == ["mysite/settings.py", "mysite/wsgi.py"]


@BOTH_NAMES
class TestCommand:
    def test_it_fills_a_folder_that_exists(self, command, tmp_path):
        """Also one of the same name, which Python takes for a package that is there already."""
        (tmp_path / "site").mkdir()
        (tmp_path / "shop").mkdir()

        done = command(tmp_path, "startproject", "shop", "shop")
        inside = command(tmp_path / "site", "startproject", "mysite", ".")

        assert (tmp_path / "shop/manage.py").exists(), done.stderr
        assert (tmp_path / "site/manage.py").exists()
        assert "cd shop\n" in done.stdout
        assert "cd " not in inside.stdout

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["my-site"], "got 'my-site': 'my-site' is not a valid project name"),
            (["json"], "got 'json': 'json' conflicts with the name of an existing Python"),
            (["there"], "/there' already exists"),
        ],
        ids=["no name", "taken", "in the way"],
    )
    def test_what_the_framework_refuses_is_said_in_its_words(
        self, command, tmp_path, arguments, says
    ):
        (tmp_path / "there").mkdir()

        done = command(tmp_path, "startproject", *arguments)

        assert done.returncode == 2
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
        assert list(tmp_path.rglob("*")) == [tmp_path / "there"]

    def test_settings_of_another_project_do_not_matter(self, command, tmp_path):
        done = command(tmp_path, "startproject", "mysite", DJANGO_SETTINGS_MODULE="no.such")

        assert (done.returncode, done.stderr) == (0, "")


class TestInstalled:
    def test_the_app_is_the_last_of_the_list(self):
        settings = "A = 1\nINSTALLED_APPS = [\n    'one',\n{}]\nB = [\n]\n"

        assert module._installed(settings.format("")) == settings.format(
            "    'freedom_middleware.freedom',\n"
        )

    @pytest.mark.parametrize("settings", ["A = 1\n", "INSTALLED_APPS = [*BASE]\n"])
    def test_a_list_that_is_not_found_is_added_to(self, settings):
        assert module._installed(settings) == (
            f"{settings}\nINSTALLED_APPS += ['freedom_middleware.freedom']\n"
        )


def test_the_template_is_part_of_the_package():
    assert (Path(module.__file__).parent / "project_template/project_name/wsgi.py-tpl").exists()


@BOTH_NAMES
def test_these_projects_are_made_by_the_framework_under_both_names(run_in, framework, tmp_path):
    done = run_in(
        tmp_path, "-c", "import freedom_middleware.settings as s; print(s.framework())"
    )

    assert done.stdout.strip() == ("freedom" if "alias" in framework else "django")
