"""Every way in which one and the same project is served.

The servers of the harness, and what takes a configuration or a second process: Apache, and
nginx in front.  Their configurations are those that the pages under ``docs/deploying`` show.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from .harness import SERVERS, SITES, RunningServer, Server, running
from .pages import block

# What is on a page is filled in with str.format(), and has braces of its own.
BRACES = {"{": "{{", "}": "}}"}

NGINX = """\
daemon off;
{user}
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
"""
"""What stands around a site's configuration, in the place of Debian's nginx.conf."""

APACHE = """\
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile httpd.pid
ErrorLog {folder}/server.log
ServerName localhost
Listen 127.0.0.1:{port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
Include {folder}/module.conf
StartServers 1
ServerLimit 1
ThreadLimit 8
ThreadsPerChild 8
MaxRequestWorkers 8
WSGISocketPrefix {folder}/wsgi
"""
"""The same for Apache: one process, since what happens is counted in the process."""


SITE = "/etc/nginx/sites-available/mysite"

AT_A_SOCKET = {"include ": "include /etc/nginx/", "/run/mysite": "{folder}"}


def nginx_for(
    page: str, caption: str = SITE, replacing: Mapping[str, str] = AT_A_SOCKET
) -> dict[str, str]:
    """Return nginx's configuration with the site's as *page* shows it."""
    port = {"listen 80": "listen 127.0.0.1:{port}"}
    site = block(page, caption, {**BRACES, **port, **replacing})
    return {"nginx.conf": f"{NGINX}{site}}}}}\n"}


def apache_for(caption: str, replacing: dict[str, str]) -> dict[str, str]:
    """Return Apache's configuration with a site's as the page on mod_wsgi shows it."""
    site = block("mod_wsgi.md", caption, {**BRACES, "*:80": "127.0.0.1:{port}", **replacing})
    return {"httpd.conf": f"{APACHE}{site}"}


APACHE_COMMAND = (
    "sh -c 'mod_wsgi-express module-config > module.conf"
    " && exec apache2 -f {folder}/httpd.conf -DFOREGROUND'"
)
NGINX_COMMAND = "nginx -p {folder} -c nginx.conf -e stderr"

IN_THE_SITE = {"/srv/mysite/mysite": "{sites}/town", "/srv/mysite": "{path}"}

MOD_WSGI = Server(
    "mod_wsgi, daemon",
    APACHE_COMMAND,
    announces=False,
    compiled=True,
    refuses_root=True,
    files=apache_for(
        "/etc/apache2/sites-available/mysite.conf",
        IN_THE_SITE | {"processes=2 threads=15": "processes=1 threads=4"},
    ),
)

FASTCGI = Server(
    "FastCGI behind nginx",
    "freedom-middleware serve town.wsgi --protocol fastcgi --unix mysite.sock",
    announces=False,
    files=nginx_for("fastcgi.md"),
    front=NGINX_COMMAND,
)

[UWSGI] = [server for server in SERVERS if server.name == "uWSGI"]


def uwsgi_behind_nginx(name: str, socket: str, page: str) -> Server:
    command = UWSGI.command.replace("--http-socket 127.0.0.1:{port}", f"{socket} mysite.sock")
    return replace(
        UWSGI,
        name=name,
        command=command.replace("mysite.wsgi", "town.wsgi"),
        announces=False,
        files=nginx_for(page),
        front=NGINX_COMMAND,
    )


DEPLOYMENTS = [
    *(replace(s, command=s.command.replace("mysite.wsgi", "town.wsgi")) for s in SERVERS),
    uwsgi_behind_nginx("uWSGI behind nginx", "--socket", "uwsgi.md"),
    FASTCGI,
    uwsgi_behind_nginx("uWSGI, FastCGI behind nginx", "--fastcgi-socket", "fastcgi.md"),
    MOD_WSGI,
    replace(
        MOD_WSGI,
        name="mod_wsgi, embedded",
        files=apache_for("the same, embedded", IN_THE_SITE),
    ),
    Server(
        "Werkzeug",
        "python -c 'from werkzeug.serving import run_simple; from town.wsgi import application;"
        ' run_simple("127.0.0.1", {port}, application, threaded=True)\'',
        announces=False,
    ),
    Server(
        "runserver",
        "python -m django runserver --noreload --settings=town.settings 127.0.0.1:{port}",
        announces=False,
        stop=signal.SIGINT,
    ),
]


TRACE = "trace"
"""The file in a server's folder that tells of its calls of ``sendfile()``."""

# -DD: the tracer is a grandchild, so the process that is started and stopped is the server.
# --seccomp-bpf: no other call costs anything.
STRACE = (
    *("strace", "-DD", "-f", "--seccomp-bpf", "-o", TRACE),
    *("-e", "trace=sendfile,sendfile64", "-e", "signal=none"),
)


@contextmanager
def serving(deployment: Server, folder: Path, **variables: str) -> Iterator[RunningServer]:
    """Serve the town in *folder*, and have ``sendfile()`` watched."""
    shutil.copy(database(), folder / "town.sqlite3")
    with running(
        deployment, folder, under=STRACE, TOWN_FOLDER=str(folder), **variables
    ) as site:
        yield site


@cache
def database() -> Path:
    """Return the town's database, with one user; it is made once and then copied."""
    folder = Path(mkdtemp())
    atexit.register(shutil.rmtree, folder)
    environment = dict(os.environ, TOWN_FOLDER=str(folder), PYTHONPATH=str(SITES))
    subprocess.run([sys.executable, "-c", MAKE_DATABASE], env=environment, check=True)
    return folder / "town.sqlite3"


MAKE_DATABASE = """
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "town.settings"
import django
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
call_command("migrate", verbosity=0)
User.objects.create_superuser("ann", password="ann's password")
"""
