"""Start real servers, speak to them through raw sockets, and stop them again."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import freedom_middleware

START_SECONDS = 30.0
FIRST_ANSWER_SECONDS = 1.0
ANSWER_SECONDS = 10.0
STOP_SECONDS = 5.0
CLOSE_SECONDS = 5.0

SITES = Path(__file__).parent.parent / "sites"

RUN_BY_ROOT = os.geteuid() == 0

SOMEBODY_ELSE = shlex.split(
    "setpriv --reuid www-data --regid www-data --clear-groups"
    " --inh-caps +dac_read_search --ambient-caps +dac_read_search"
)
"""Become another user, who may read what root may: the Python, below root's own folder."""

MOMENT_SECONDS = 0.05
"""How long a second ``close()`` has time to show itself."""

TRIES = 3
"""How often a server is started that finds its port taken meanwhile."""


@dataclass(frozen=True)
class Server:
    """A server, how it is started, and what it does otherwise than most.

    Attributes:
        name: What people call it; the argument of its marker.
        command: Its start line as a user would type it; the port, the folder that it runs
            in and the one that holds the sites are filled in.
        announces: Whether it takes port 0 and prints the address that it then listens at.
            One that does not is given a port that was free a moment ago.
        stop: The signal that ends it.
        compiled: Whether it is built when it is installed: the extra ``compiled``.
        sends_files: Whether it has the kernel send files, by ``sendfile()``.
        counts_one_chunk: Whether it sends the ``Content-Length`` of a list of one chunk.
        closes_lists: Whether it closes an instance of a subclass of ``list``.  PEP 3333
            wants it closed; some servers take it for a list, which has no ``close()``.
        starts_late: Whether it heeds a ``start_response()`` that is called while the body
            is read, as PEP 3333 allows.  Under a layer that is a generator the answers of
            one that does not are all 200, without headers.
        dropped_file: When CloseGuard can close a file that a layer drops: ``"at once"``;
            ``"late"``, by the first request after a collection, where the server's wrapper
            hands out the file itself, which Django has put in a cycle; ``"perhaps"``, where
            the wrapper takes no attribute that would notice the drop: then it depends on
            the order in which the collector finalizes the file and what the file is made of.
        interleaves: Whether one thread has many responses open at a time.  One that is
            dropped while a newer one is open is then closed by the next request.
        files: Its configuration: names, and texts that are filled in with ``str.format``.
        front: The start line of what stands in front of it, and has the port.
        refuses_root: Whether it must be started by somebody else, if root runs the tests.
        ready: What it is asked for to see whether it has started.
    """

    name: str
    command: str
    announces: bool = True
    stop: signal.Signals = signal.SIGTERM
    compiled: bool = False
    sends_files: bool = False
    counts_one_chunk: bool = False
    closes_lists: bool = True
    starts_late: bool = True
    dropped_file: str = "at once"
    interleaves: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    front: str = ""
    refuses_root: bool = False
    ready: str = "/_events"


SERVERS = [
    Server(
        "gunicorn sync",
        "gunicorn -k sync -b 127.0.0.1:{port} mysite.wsgi",
        sends_files=True,
    ),
    Server(
        "gunicorn gthread",
        "gunicorn -k gthread --threads 4 -b 127.0.0.1:{port} mysite.wsgi",
        sends_files=True,
    ),
    Server("gunicorn gevent", "gunicorn -k gevent -b 127.0.0.1:{port} mysite.wsgi"),
    Server(
        "waitress",
        "waitress-serve --threads=4 --listen=127.0.0.1:{port} mysite.wsgi:application",
        counts_one_chunk=True,
    ),
    Server(
        "granian",
        "granian --interface wsgi --host 127.0.0.1 --port {port} --workers 1"
        " --blocking-threads 4 mysite.wsgi:application",
        announces=False,
        counts_one_chunk=True,
        closes_lists=False,
        starts_late=False,
    ),
    Server(
        "cheroot",
        "cheroot --threads 4 --bind 127.0.0.1:{port} mysite.wsgi:application",
        announces=False,
    ),
    # SIGTERM would make it reload.  Its worker hangs if a thread of the application runs
    # Python code while the master forks, and ElasticAPM starts one: so it forks first.
    Server(
        "uWSGI",
        "uwsgi --http-socket 127.0.0.1:{port} --master --die-on-term --lazy-apps"
        " --enable-threads --need-app --module mysite.wsgi",
        compiled=True,
        sends_files=True,
        dropped_file="late",
    ),
    # It has no command of its own.  Its loop is in C and runs no handler of Python's: where
    # one is set for SIGTERM, as coverage does, only SIGINT ends it.
    Server(
        "bjoern",
        "python -c 'import bjoern, mysite.wsgi as site;"
        ' bjoern.run(site.application, "127.0.0.1", {port})\'',
        announces=False,
        stop=signal.SIGINT,
        compiled=True,
        sends_files=True,
        closes_lists=False,
        dropped_file="perhaps",
        interleaves=True,
    ),
]
"""One process each: what was opened and closed is counted in the process."""


def each(servers: list[Server]) -> list[Any]:
    """Return *servers* as the parameters of a test, with their marks."""
    return [
        pytest.param(
            server,
            id=server.name,
            marks=[
                pytest.mark.server(server.name),
                *([pytest.mark.compiled] if server.compiled else []),
            ],
        )
        for server in servers
    ]


class StartError(Exception):
    """A server did not come up; the text ends with its log."""


class Answer(NamedTuple):
    """What a client got; *complete* is False where it could tell that something is missing."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    complete: bool


class Event(NamedTuple):
    """Something that happened to a response at a site, and on which of its threads."""

    what: str
    thread: int


class RunningServer:
    """A server process, and the client's side of it."""

    def __init__(
        self,
        server: Server,
        folder: Path,
        *,
        port: int,
        environment: dict[str, str],
        under: Sequence[str] = (),
    ) -> None:
        self.server = server
        self.port = port
        self.folder = folder
        self._log = folder / "server.log"
        self._log.touch()
        filled_in = {
            "port": port,
            "folder": folder,
            "sites": SITES,
            "path": environment["PYTHONPATH"],
            "user": "user root;" if RUN_BY_ROOT else "",
        }
        for name, text in server.files.items():
            (folder / name).write_text(text.format(**filled_in))
        under = [*under]
        if server.refuses_root:
            # Coverage writes where only who runs the tests may.
            environment = {k: v for k, v in environment.items() if "COVERAGE" not in k}
            if RUN_BY_ROOT:
                give_away(folder)
                under += SOMEBODY_ELSE

        def start(command: str, *under: str) -> subprocess.Popen[bytes]:
            with self._log.open("ab") as log:
                return subprocess.Popen(
                    [*under, *shlex.split(command.format(**filled_in))],
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

        self.process = start(server.command, *under)
        self.processes = [self.process, *([start(server.front)] if server.front else [])]

    # -- the process --

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            for process in self.processes:
                if process.poll() is not None:
                    raise StartError(
                        f"{self.server.name} ended with {process.returncode}:\n{self.log()}"
                    )
            if time.monotonic() > deadline:
                raise StartError(f"{self.server.name} does not answer:\n{self.log()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        if self.port == 0:
            url = re.search(r"127\.0\.0\.1:([1-9]\d*)", self.log())
            if url is None:
                return False
            self.port = int(url[1])
        try:
            answer = self.get(self.server.ready, seconds=FIRST_ANSWER_SECONDS)
        except (ConnectionError, TimeoutError):
            return False
        if self.server.front and answer.status == 502:  # there is nothing behind it yet
            return False
        return self.process.poll() is None  # or it was another's answer

    def stop(self) -> None:
        """Stop each process as an operator would; if that takes too long, its whole group."""
        for process in reversed(self.processes):
            process.send_signal(self.server.stop)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(STOP_SECONDS)

    # -- the client --

    def get(
        self, target: str, *, method: str = "GET", seconds: float = ANSWER_SECONDS
    ) -> Answer:
        """Ask for *target* and read the answer until the server closes the connection."""
        with self._ask(method, target, seconds) as connection:
            with HTTPResponse(connection, method=method) as response:
                response.begin()
                try:
                    body, complete = response.read(), True
                except IncompleteRead as error:
                    body, complete = error.partial, False
                while connection.recv(65536):  # some servers send a body after HEAD
                    pass
            return Answer(response.status, response.getheaders(), body, complete)

    def leave(self, target: str, *, reset: bool = False) -> None:
        """Ask for *target* and go away when its body has begun; *reset* sends an RST."""
        with self._ask("GET", target, ANSWER_SECONDS) as connection:
            received = b""
            while not received.partition(b"\r\n\r\n")[2]:
                more = connection.recv(1024)
                if not more:
                    raise EOFError(f"the answer must have a body, got {received!r}")
                received += more
            if reset:
                on, seconds = 1, 0
                linger = struct.pack("ii", on, seconds)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def _ask(self, method: str, target: str, seconds: float) -> socket.socket:
        connection = socket.socket()
        try:
            connection.settimeout(seconds)
            # Small, so that a client that has stopped reading is felt at the other end.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.connect(("127.0.0.1", self.port))
            request = (
                f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            )
            connection.sendall(request.encode("ascii"))
        except BaseException:
            connection.close()
            raise
        return connection

    # -- what happened in the process --

    def events(self, *, collect: bool = False) -> list[Event]:
        """Return what has happened so far; *collect* runs the garbage collector first."""
        answer = self.get("/_events?collect" if collect else "/_events")
        return [Event(*event) for event in json.loads(answer.body)]


class Watch:
    """What happens at a site from now on."""

    def __init__(self, site: RunningServer) -> None:
        self._site = site
        self._before = len(site.events(collect=True))  # what was dropped before is not ours

    def until_closed(self, responses: int = 1, *, late: bool = False) -> list[Event]:
        """Return what happened until *responses* were closed, or until it took too long.

        A moment is added, in which one close too many would show.  What is closed *late*
        needs the collector to find it, and then a request.
        """
        deadline = time.monotonic() + CLOSE_SECONDS
        while self._closed(collect=late) < responses and time.monotonic() < deadline:
            if late:
                self._site.get("/plain/one-chunk")
            time.sleep(0.01)
        return self.in_a_moment()

    def in_a_moment(self) -> list[Event]:
        """Return what has happened a moment from now, when the collector has run as well."""
        time.sleep(MOMENT_SECONDS)
        return self._events(collect=True)

    def _closed(self, *, collect: bool) -> int:
        return sum(event.what == "closed" for event in self._events(collect=collect))

    def _events(self, *, collect: bool = False) -> list[Event]:
        return self._site.events(collect=collect)[self._before :]


@contextmanager
def running(
    server: Server,
    folder: Path,
    *,
    choose_port: Callable[[], int] | None = None,
    under: Sequence[str] = (),
    **variables: str,
) -> Iterator[RunningServer]:
    """Run *server* in *folder*, which is its home too, with environment *variables*.

    A command that it is to run *under* must become the server, as ``env`` and ``nice`` do.
    """
    environment = _environment(folder) | variables
    started = _start(server, folder, environment, choose_port or free_port, under)
    try:
        yield started
    finally:
        started.stop()


def _start(
    server: Server,
    folder: Path,
    environment: dict[str, str],
    choose_port: Callable[[], int],
    under: Sequence[str],
) -> RunningServer:
    tries = TRIES
    while True:
        tries -= 1
        port = 0 if server.announces else choose_port()
        starting = RunningServer(
            server, folder, port=port, environment=environment, under=under
        )
        try:
            starting.wait_until_it_answers()
            return starting
        except BaseException as error:
            starting.stop()
            if not tries or "already in use" not in str(error):
                raise


def give_away(folder: Path) -> None:
    """Let somebody else write in *folder*."""
    for path in [folder, *folder.rglob("*")]:
        shutil.chown(path, "www-data", "www-data")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _environment(folder: Path) -> dict[str, str]:
    """Return this process's environment without what would configure a site or a server."""
    ours = ("DJANGO_", "ELASTIC_APM_", "FREEDOM_MIDDLEWARE_", "GRANIAN_", "GUNICORN_", "UWSGI_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    package = Path(freedom_middleware.__file__).parent.parent
    return environment | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join([str(SITES), str(package)]),
        "PYTHONUNBUFFERED": "1",
        # gunicorn puts a socket into one or the other.
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
    }
