"""gunicorn loads the application, and forks: workers end, and others take their place."""

import re
import signal
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from .harness import Server, running

SECONDS = 20.0

kinds = pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.server(f"gunicorn {kind}"))
        for kind in ("sync", "gthread", "gevent")
    ],
)


class Journal:
    """What happened to each response, and in which process."""

    def __init__(self, file):
        self.file = file
        self.end = file.with_name(file.name + ".end")

    def responses(self):
        """Return for each response what happened to it, and where: (what, process) pairs."""
        seen = defaultdict(list)
        for line in self.file.read_text().splitlines():
            what, name, process = line.split()
            seen[name].append((what, int(process)))
        return dict(seen)

    def of_workers(self, master):
        return {k: v for k, v in self.responses().items() if v[0] != ("opened", master)}


@contextmanager
def gunicorn(kind, folder, options=""):
    journal = Journal(folder / "journal")
    server = Server(
        f"gunicorn {kind}",
        f"gunicorn --preload -w 2 -k {kind} {options} -b 127.0.0.1:{{port}} forking",
    )
    with running(server, folder, FORKING_JOURNAL=str(journal.file)) as site:
        yield site, journal


def until(condition):
    deadline = time.monotonic() + SECONDS
    while not (told := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return told


def closed_once(responses):
    return all(
        [what for what, _ in events] == ["opened", "closed"] for events in responses.values()
    )


def answered_by_another(site, old):
    try:
        return site.get("/", seconds=1).body.decode() not in old
    except (ConnectionError, TimeoutError):  # taken by one that is about to end
        return False


def booted(site):
    return set(re.findall(r"Booting worker with pid: (\d+)", site.log()))


@kinds
def test_a_worker_closes_nothing_that_was_opened_before_the_fork(kind, tmp_path):
    with gunicorn(kind, tmp_path) as (site, journal):
        opened_by_the_master = ("opened", site.process.pid)
        for _ in range(10):
            site.get("/")

        (events,) = [
            events
            for events in journal.responses().values()
            if events[0] == opened_by_the_master
        ]
        assert events == [opened_by_the_master]


@kinds
def test_a_reload_in_the_middle_of_a_stream_closes_each_response_once(kind, tmp_path):
    with gunicorn(kind, tmp_path) as (site, journal), ThreadPoolExecutor(1) as client:
        master = site.process.pid
        old = until(lambda: len(told := booted(site)) == 2 and told)
        slow = client.submit(site.get, "/slow", seconds=SECONDS)
        try:
            until(lambda: not closed_once(journal.of_workers(master)))
            site.process.send_signal(signal.SIGHUP)
            until(lambda: answered_by_another(site, old))
            assert not slow.done()
        finally:
            journal.end.touch()
        answer = slow.result()

        assert answer.body.startswith(b"begun")
        assert answer.complete
        until(lambda: closed_once(journal.of_workers(master)))


@kinds
def test_workers_that_are_replaced_close_each_response_once(kind, tmp_path):
    """Half of the responses are in cycles, and no collection may come before the end."""
    with gunicorn(kind, tmp_path, "--max-requests 5") as (site, journal):
        master = site.process.pid
        served = set()

        def ask(target):
            served.add(site.get(target).body)

        with ThreadPoolExecutor(4) as clients:
            until(lambda: list(clients.map(ask, ["/", "/cycle"] * 5)) and len(served) > 4)

    responses = journal.of_workers(master)
    assert {k: v for k, v in responses.items() if not closed_once({k: v})} == {}
