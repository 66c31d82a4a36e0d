"""What starts and stops the servers; tried on the standard library's own."""

import signal
import socket

import pytest

from . import harness
from .harness import Server, StartError, free_port, running

STDLIB = "python -m http.server --bind 127.0.0.1 {port}"

DEAF = """python -c '
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
from http.server import test
test(port={port}, bind="127.0.0.1")
'"""


@pytest.mark.parametrize("announces", [True, False], ids=["its own port", "a free port"])
def test_starts_a_server_and_waits_until_it_answers(tmp_path, announces):
    (tmp_path / "hello.txt").write_text("hello")

    with running(Server("stdlib", STDLIB, announces), tmp_path) as site:
        answer = site.get("/hello.txt")

    assert (answer.status, answer.body, answer.complete) == (200, b"hello", True)
    assert ("Content-Length", "5") in answer.headers
    with pytest.raises(ConnectionRefusedError):
        site.get("/hello.txt")


def test_tries_again_when_the_port_was_taken_meanwhile(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([taken.getsockname()[1], free_port()])

        with running(
            Server("stdlib", STDLIB, announces=False), tmp_path, choose_port=ports.__next__
        ) as site:
            assert site.get("/").status == 200


def test_shows_the_log_of_a_server_that_does_not_start(tmp_path):
    broken = Server("broken", "python -c 'raise SystemExit(\"no such worker\")'")

    match = "broken ended with 1:\nno such worker"
    with pytest.raises(StartError, match=match), running(broken, tmp_path):
        ...


def test_gives_up_on_a_server_that_never_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "START_SECONDS", 0.5)
    silent = Server("silent", "python -c 'import time; print(\"hm\"); time.sleep(60)'")

    with pytest.raises(StartError, match="silent does not answer"), running(silent, tmp_path):
        ...


def test_kills_a_server_that_does_not_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "STOP_SECONDS", 0.2)

    with running(Server("deaf", DEAF), tmp_path) as site:
        pass

    assert site.process.returncode == -signal.SIGKILL


def test_leaving_needs_a_body_to_leave(tmp_path):
    (tmp_path / "empty.txt").touch()

    with running(Server("stdlib", STDLIB), tmp_path) as site, pytest.raises(EOFError):
        site.leave("/empty.txt")
