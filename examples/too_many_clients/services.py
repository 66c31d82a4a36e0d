"""PostgreSQL, memcached and gunicorn as processes of our own, stopped by their ids.

The two services listen at sockets in a folder that is removed afterwards: no port is taken,
nothing that runs already is touched, and a cluster that Debian has set up is not used.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from pymemcache import Client as Memcached
from pymemcache.exceptions import MemcacheError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

START_SECONDS = 60.0
STOP_SECONDS = 10.0
HERE = Path(__file__).parent


class Failure(Exception):
    """Something that the story needs is missing, or did not come up; the text says what."""


def program(name: str) -> str:
    """Return the path of a server program, also where Debian keeps PostgreSQL's."""
    versions = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(versions, key=lambda path: int(path.parts[4].partition(".")[0]), default=None)
    found = shutil.which(name) or newest
    if found is None:
        raise Failure(
            f"{name} must be installed, got none: apt-get install postgresql memcached"
        )
    return str(found)


@contextmanager
def folder_for_services() -> Iterator[Path]:
    """Make a folder that belongs to whoever runs the services: initdb refuses root."""
    folder = Path(tempfile.mkdtemp(prefix="too-many-clients-"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, *_unprivileged())
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def postgresql(folder: Path, *, connections: int) -> Iterator[psycopg.Connection]:
    """Run PostgreSQL; yield a connection to the site's database, as its superuser.

    That connection is one more than *connections*, so it can look on when all are taken.
    Nothing is reserved for superusers: what the site is told is "too many clients already".
    """
    data = folder / "data"
    made = subprocess.run(
        [
            *(program("initdb"), "--pgdata", data, "--username", "postgres"),
            *("--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **_as_unprivileged(),
    )
    if made.returncode:
        raise Failure(f"initdb ended with {made.returncode}:\n{made.stderr}")
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": folder,
        "max_connections": connections + 1,
        "superuser_reserved_connections": 0,
        "max_wal_senders": 0,
        "fsync": "off",  # the data lives for half a minute
    }
    command = [program("postgres"), "-D", data]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]

    def connect(database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host=str(folder), user="postgres", dbname=database, autocommit=True
        )

    log = folder / "postgresql.log"
    # SIGINT is its fast shutdown: it does not wait for its clients to leave.
    with _process(
        command, log, cwd=folder, stop=signal.SIGINT, **_as_unprivileged()
    ) as process:
        with _until(connect, psycopg.OperationalError, process, log) as administrator:
            administrator.execute("CREATE ROLE mysite LOGIN")
            administrator.execute("CREATE DATABASE mysite OWNER mysite")
        with connect("mysite") as observer:
            observer.execute("CREATE TABLE photo (bytes integer)")
            observer.execute("ALTER TABLE photo OWNER TO mysite")
            yield observer


def refused(folder: Path) -> int:
    """Return how often PostgreSQL has refused a connection so far, by its own log."""
    log = (folder / "postgresql.log").read_text()
    return log.count("FATAL:  sorry, too many clients already")


@contextmanager
def memcached(folder: Path) -> Iterator[Memcached]:
    """Run memcached; yield a client of it."""
    path = folder / "memcached.socket"
    command = [program("memcached"), "--unix-socket", path, "--unix-mask", "0777"]
    log = folder / "memcached.log"

    def connect() -> Memcached:
        client = Memcached(f"unix:{path}")
        client.version()
        return client

    with _process(command, log, cwd=folder, **_as_unprivileged()) as process:
        client = _until(connect, (OSError, MemcacheError), process, log)
        try:
            yield client
        finally:
            client.close()


@contextmanager
def gunicorn(application: str, log: Path, *, threads: int, services: Path) -> Iterator[int]:
    """Serve *application* and yield the port, which the system has chosen.

    The socket listens before the server is started, so nobody has to ask whether it is up:
    the first request waits for its answer.
    """
    with tempfile.TemporaryDirectory() as home, socket.create_server(("127.0.0.1", 0)) as ours:
        port = ours.getsockname()[1]
        command = [
            *(sys.executable, "-m", "gunicorn", "--worker-class", "gthread"),
            *("--threads", str(threads), "--bind", f"fd://{ours.fileno()}", application),
        ]
        environment = project_environment() | {
            "MYSITE_POSTGRESQL": str(services),
            "MYSITE_MEMCACHED": f"unix:{services / 'memcached.socket'}",
            # gunicorn puts a socket into one or the other.
            "HOME": home,
            "XDG_RUNTIME_DIR": home,
        }
        with _process(command, log, cwd=HERE, env=environment, pass_fds=[ours.fileno()]):
            ours.close()  # from here on it is refused if the server has ended
            yield port


def project_environment() -> dict[str, str]:
    """Return this process's environment, without what would configure another project."""
    ours = ("DJANGO_", "ELASTIC_APM_", "FREEDOM_MIDDLEWARE_", "GUNICORN_", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _unprivileged() -> tuple[int, int]:
    """Return the ids of the user that Debian has made for PostgreSQL, or of nobody."""
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return user.pw_uid, user.pw_gid
    raise Failure("PostgreSQL must not run as root, got neither a user postgres nor nobody")


def _as_unprivileged() -> dict[str, object]:
    if os.geteuid() != 0:
        return {}
    user, group = _unprivileged()
    return {"user": user, "group": group, "extra_groups": []}


@contextmanager
def _process(
    command: Sequence[object],
    log: Path,
    *,
    stop: signal.Signals = signal.SIGTERM,
    **options: object,
) -> Iterator[subprocess.Popen]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, and we stop it
            **options,
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)


def _until(
    attempt: Callable[[], Any],
    not_yet: type[Exception] | tuple[type[Exception], ...],
    process: subprocess.Popen,
    log: Path,
) -> Any:
    """Return what *attempt* does, once it does not raise *not_yet* any more."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return attempt()
        except not_yet as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failure(
                    f"{process.args[0]} did not come up:\n{log.read_text()}"
                ) from error
        time.sleep(0.05)
