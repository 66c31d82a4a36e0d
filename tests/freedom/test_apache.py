"""Apache asks the users of the site, through mod_wsgi."""

import base64
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from .conftest import PACKAGE
from .test_users import project  # noqa: F401 - the fixture: a site with users

pytestmark = [pytest.mark.server("Apache"), pytest.mark.compiled]

MODULES = "mpm_event authz_core authz_user authn_core auth_basic"

CONFIGURATION = """
ServerRoot {folder}
PidFile run/httpd.pid
DefaultRuntimeDir run
ErrorLog run/error.log
ServerName localhost
Listen 127.0.0.1:{port}
{modules}
LoadModule wsgi_module {mod_wsgi}
WSGIPythonHome {prefix}
WSGIPythonPath {path}
WSGIApplicationGroup %{{GLOBAL}}
DocumentRoot {folder}/files
"""

PAGE = Path(__file__).parents[2].joinpath("docs", "authentication.md").read_text("utf-8")


def shown(language, replacing):
    """Return the page's last block in *language*, with what is a reader's own replaced."""
    text = PAGE.rpartition(f"```{language}\n")[2].partition("```")[0]
    for old, new in replacing.items():
        assert old in text
        text = text.replace(old, new)
    return text


RIGHT = "right"

# Apache does not serve as root, and a virtual environment may stand where only root reads.
AS_NOBODY = [
    *("setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
]


@pytest.fixture(scope="module")
def apache(project, tmp_path_factory):  # noqa: F811 - that is how a fixture is asked for
    folder = tmp_path_factory.mktemp("apache")
    for name in ("run", "files/members", "files/buyers"):
        (folder / name).mkdir(parents=True)
    for name in ("members", "buyers"):
        (folder / "files" / name / "page").write_text(f"for {name}")
    (project / "auth_wsgi.py").write_text(
        f"import os; os.environ['SITE_DATABASE'] = {str(project / 'db.sqlite3')!r}\n"
        + shown("python", {})
    )
    for_members = shown(
        "apache",
        {
            "/private/": "/members/",
            "/path/to/mysite/auth_wsgi.py": f"{project}/auth_wsgi.py",
            "wsgi-group editors": "valid-user",
        },
    )
    for_buyers = for_members.replace("/members/", "/buyers/").replace(
        "valid-user", "wsgi-group Käufer"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    mod_wsgi = subprocess.run(
        [Path(sys.executable).with_name("mod_wsgi-express"), "module-location"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    modules = "\n".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so"
        for name in MODULES.split()
    )
    configuration = folder / "httpd.conf"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            port=port,
            modules=modules,
            mod_wsgi=mod_wsgi,
            prefix=sys.prefix,
            path=os.pathsep.join([PACKAGE, str(project)]),
        )
        + for_members
        + for_buyers
    )
    as_nobody = []
    if os.geteuid() == 0:
        as_nobody = AS_NOBODY
        for path in (folder / "run", folder):
            shutil.chown(path, "www-data", "www-data")
    with subprocess.Popen(
        [*as_nobody, "apache2", "-f", str(configuration), "-DFOREGROUND"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 5).close()
                    break
                except OSError:
                    assert process.poll() is None, process.stderr.read()
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            yield f"http://127.0.0.1:{port}", folder / "run/error.log"
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture
def ask(apache):
    """Return a function that asks for a page with a name and a password."""
    address, log = apache

    def ask(path, name=None, password=RIGHT):
        request = Request(f"{address}{path}")
        if name is not None:
            given = base64.b64encode(f"{name}:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {given}")
        try:
            with urlopen(request, timeout=60) as response:
                return response.status
        except HTTPError as error:
            with error:
                code = error.code
        if code == 500:
            pytest.fail(log.read_text())
        return code

    return ask


def test_an_active_user_with_the_right_password_comes_in(ask):
    assert ask("/members/page", "alice") == 200
    assert ask("/members/page", "größe") == 200


@pytest.mark.parametrize(
    ("name", "password"),
    [(None, ""), ("alice", "wrong"), ("nobody", "right"), ("gone", "right")],
)
def test_nobody_else_does(ask, name, password):
    assert ask("/members/page", name, password) == 401


def test_where_a_group_is_required_its_members_do(ask):
    assert ask("/buyers/page", "alice") == 200
    assert ask("/buyers/page", "boss") == 401
