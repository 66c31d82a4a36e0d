"""``freedom-middleware serve --protocol fastcgi``, behind a real nginx."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from http.client import HTTPConnection, RemoteDisconnected

import pytest

from freedom_middleware.errors import ServeError
from freedom_middleware.fastcgi import FastCGIServer

from .deployments import FASTCGI, nginx_for
from .harness import SITES, Watch, free_port, running

pytestmark = pytest.mark.server("FastCGI behind nginx")

UNIX = replace(FASTCGI, command=FASTCGI.command.replace("town.wsgi", "failing"))

MORE_THAN_THREADS = 5


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(UNIX, tmp_path_factory.mktemp("fastcgi")) as site:
        yield site


@pytest.fixture
def watch(site):
    return Watch(site)


def answers_to_many(site):
    with ThreadPoolExecutor(12) as clients:
        return {answer.status for answer in clients.map(site.get, ["/hello"] * 36)}


def names(events):
    return [event.what for event in events]


class TestFailing:
    """The application fails, the server does not, and the client can tell."""

    def test_at_once(self, site):
        answer = site.get("/at-once")

        assert (answer.status, answer.complete) == (500, True)
        assert b"as it was asked to" not in answer.body
        assert "LookupError: the application failed, as it was asked to" in site.log()

    def test_before_the_first_chunk(self, site, watch):
        answer = site.get("/before-the-first-chunk")

        assert (answer.status, answer.complete) == (500, True)
        assert names(watch.until_closed()) == ["opened", "closed"]

    def test_in_the_middle(self, site, watch):
        """It is not ended as if it were whole."""
        answer = site.get("/in-the-middle")

        assert answer.status == 200
        assert answer.body.startswith(b"begun ")
        assert not answer.complete
        assert names(watch.until_closed()) == ["opened", "closed"]

    def test_in_the_middle_of_what_nginx_still_has_whole(self, site, watch):
        with pytest.raises(RemoteDisconnected):
            site.get("/near-the-beginning")

        assert names(watch.until_closed()) == ["opened", "closed"]

    def test_in_close(self, site, watch):
        answer = site.get("/in-close")

        assert (answer.status, answer.body) == (200, b"whole")
        assert names(watch.until_closed()) == ["opened", "closed"]

    def test_and_goes_on(self, site):
        for target in ("/at-once", "/before-the-first-chunk", "/in-close"):
            for _ in range(MORE_THAN_THREADS):
                site.get(target)

        assert site.get("/still-there").body == b"('', '/still-there')"

    def test_the_web_server_s_log_has_it_too(self, site):
        site.get("/at-once")

        assert "FastCGI sent in stderr" in site.log()


class TestLeaving:
    """The client goes away, and the response is closed."""

    @pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
    def test_closes_once_and_blames_nobody(self, site, watch, reset):
        failures = site.log().count("a request failed")

        site.leave("/endless", reset=reset)

        assert names(watch.until_closed()) == ["opened", "closed"]
        assert site.log().count("a request failed") == failures


class TestRequests:
    def test_a_path_is_decoded_once(self, site):
        answer = site.get("/stra%C3%9Fe/a%20b%2525")

        script_name, path_info = eval(answer.body)  # noqa: S307 - two texts of our own
        assert (script_name, path_info.encode("latin-1").decode()) == ("", "/straße/a b%25")

    @pytest.mark.parametrize("size", [0, 1, 100_000, 1_000_000])
    def test_what_is_posted_arrives_and_what_is_answered_too(self, site, size):
        connection = HTTPConnection("127.0.0.1", site.port, timeout=10)
        posted = os.urandom(size)
        connection.request("POST", "/echo", posted)

        assert connection.getresponse().read() == posted
        connection.close()

    def test_the_environment_of_the_process_is_not_the_request_s(self, site):
        assert b"'PATH_INFO'" in site.get("/environ").body
        assert b"'PYTHONPATH'" not in site.get("/environ").body

    def test_more_clients_than_threads_wait_for_their_turn(self, site):
        assert answers_to_many(site) == {200}

    def test_connections_that_nginx_would_keep_keep_no_thread(self, tmp_path):
        kept = "upstream kept {{ server unix:{folder}/mysite.sock; keepalive 8; }}\nserver"
        files = nginx_for(
            "fastcgi.md",
            replacing={
                "include ": "include /etc/nginx/",
                "fastcgi_pass unix:/run/mysite/mysite.sock": "fastcgi_pass kept",
                "location / {{": "fastcgi_keep_conn on;\n    location / {{",
                "server {{": f"{kept} {{{{",
            },
        )

        with running(replace(UNIX, files=files), tmp_path) as site:
            assert answers_to_many(site) == {200}

    def test_who_speaks_something_else_is_let_go(self, site):
        for _ in range(MORE_THAN_THREADS):
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.settimeout(10)
                stranger.connect(str(site.folder / "mysite.sock"))
                stranger.sendall(b"\1\1\0\1\0\2\0\0\0\0")  # a beginning, cut short
                assert stranger.recv(1) == b""

        assert site.get("/still-there").status == 200
        assert "a connection failed" in site.log()

    def test_without_file_descriptors_it_waits_for_some(self, tmp_path):
        few = f"sh -c 'ulimit -n 16; exec {UNIX.command} --threads 16'"
        path = str(tmp_path / "mysite.sock")
        with running(replace(UNIX, command=few), tmp_path) as site, ExitStack() as held:
            for _ in range(16):
                held.enter_context(socket.socket(socket.AF_UNIX)).connect(path)
            deadline = time.monotonic() + 20
            while "no connection could be accepted" not in site.log():
                assert time.monotonic() < deadline, site.log()
                time.sleep(0.01)
            held.close()

            assert site.get("/still-there").status == 200

    def test_a_role_that_it_does_not_play_is_refused(self, site):
        authorizer = b"\1\1\0\1\0\x08\0\0" + b"\0\2\0\0\0\0\0\0"
        no_parameters = b"\1\4\0\1\0\0\0\0"
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(site.folder / "mysite.sock"))
            stranger.sendall(authorizer + no_parameters)
            end = stranger.makefile("rb").read(16)  # which may come in parts

        unknown_role = 3
        assert (end[1], end[12]) == (3, unknown_role)


class TestAddresses:
    def test_at_a_port(self, tmp_path):
        address = f"127.0.0.1:{free_port()}"
        at_a_port = replace(
            UNIX,
            command=UNIX.command.replace("--unix mysite.sock", f"--port {address[10:]}"),
            files=nginx_for(
                "fastcgi.md",
                replacing={
                    "include ": "include /etc/nginx/",
                    "unix:/run/mysite/mysite.sock": address,
                },
            ),
        )

        with running(at_a_port, tmp_path) as site:
            assert site.get("/x").body == b"('', '/x')"

        assert f"FastCGI at {address}  (4 threads; Ctrl-C stops)" in site.log()

    def test_what_the_folder_holds_is_served_if_nothing_is_named(self, tmp_path):
        nameless = replace(
            UNIX,
            command=UNIX.command.replace(" failing", ""),
            files=UNIX.files | {"app.py": "from failing import application as app\n"},
        )

        with running(nameless, tmp_path) as site:
            assert site.get("/x").body == b"('', '/x')"
            assert "app:app (app.py)" in site.log()

    def test_a_socket_goes_with_its_server(self, tmp_path):
        with running(UNIX, tmp_path) as site:
            assert tmp_path.joinpath("mysite.sock").is_socket()

        assert site.process.returncode == 0
        assert not tmp_path.joinpath("mysite.sock").exists()

    def test_a_socket_that_was_left_is_replaced(self, tmp_path):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(tmp_path / "mysite.sock"))

        with running(UNIX, tmp_path) as site:
            assert site.get("/x").status == 200

    def test_a_request_that_has_begun_is_finished(self, tmp_path):
        with running(UNIX, tmp_path) as site, ThreadPoolExecutor(1) as client:
            slow = client.submit(site.get, "/slow")
            while Counter(names(site.events()))["opened"] == 0:
                time.sleep(0.01)
            site.process.send_signal(signal.SIGTERM)

            assert slow.result().body == b"begun, ended"

    def test_sigint_ends_it_as_well(self, tmp_path):
        # What runs in the background of a shell is started with SIGINT ignored.
        heeding = f"env --default-signal=INT {UNIX.command}"
        with running(replace(UNIX, command=heeding, stop=signal.SIGINT), tmp_path) as site:
            pass

        assert site.process.returncode == 0


class TestMistakes:
    """Each is said in a line, before anything is served."""

    @pytest.fixture
    def told(self, tmp_path):
        def told(*options):
            done = subprocess.run(
                [sys.executable, "-m", "freedom_middleware", "serve", "failing", *options],
                cwd=SITES,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == 2
            assert done.stderr.count("\n") == 1
            return done.stderr

        return told

    def test_no_path_is_no_abstract_socket(self, told):
        """As from a shell, where a variable is not set."""
        assert told("--protocol=fastcgi", "--unix=") == (
            "freedom-middleware: unix socket must be a path where nobody listens, got ''\n"
        )

    def test_somebody_listens_there(self, told, tmp_path):
        path = str(tmp_path / "mysite.sock")
        with socket.socket(socket.AF_UNIX) as taken:
            taken.bind(path)
            taken.listen()

            assert told("--protocol=fastcgi", f"--unix={path}") == (
                "freedom-middleware: unix socket must be a path where nobody listens, got"
                f" {path!r}: Address already in use\n"
            )

    def test_a_file_is_not_overwritten(self, told, tmp_path):
        path = tmp_path / "mysite.sock"
        path.write_text("precious")

        assert "got" in told("--protocol=fastcgi", f"--unix={path}")
        assert path.read_text() == "precious"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ("--protocol=fastcgi --port=99999", "port must be a number from 0 to 65535"),
            ("--protocol=fastcgi --threads=0", "threads must be a number from 1, got 0"),
            ("--protocol=fastcgi --reload", "--reload must be used with --protocol http"),
            ("--unix=x", "--unix must be used with --protocol fastcgi, got http"),
        ],
    )
    def test_options(self, told, options, message):
        assert message in told(*options.split())

    def test_flipflop_is_not_installed(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "flipflop", None)

        with pytest.raises(ServeError, match=r"pip install 'freedom-middleware\[fastcgi\]'"):
            FastCGIServer(lambda environ, start_response: [])
