"""Fire at one server: clients of every way, while its workers are killed and replaced."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ..servers.harness import RunningServer, running
from .clients import BROKEN_OFF, SIZES, WAYS, Site
from .journal import Figures, Journal
from .targets import Target

VARIANTS = {
    "bare": "bare",
    "composed": "composed",
    "leaking": "composed, under a leak",
}

CLIENTS = 8
SECONDS_BETWEEN_MISHAPS = 1.5
WAIT_SECONDS = 60.0
"""How long it is waited for what must come; a body that waits is overdue after 30 seconds."""


class Fired(NamedTuple):
    """What became of a server.

    Attributes:
        figures: What became of the responses, by application.
        visits: How often clients came.
        ended: By way and application: how often a client got what it waited for.
        killed: How many workers were killed outright, in the middle of a stream.
        reloads: How often the server was reloaded, in the middle of a stream.
        processes: How many processes answered.
        uncounted: How many the layer lost that are closed, and not in the guard's count.
        told: What was not closed once, or elsewhere, by application: a line each.
    """

    figures: dict[str, Figures]
    visits: int
    ended: Counter[tuple[str, str]]
    killed: int
    reloads: int
    processes: int
    uncounted: int
    told: dict[str, str]


def fire(target: Target, folder: Path, *, seconds: float = 0.0, visits: int = 0) -> Fired:
    """Fire for *seconds* and for *visits* at least, and for each mishap once."""
    (folder / "file").write_bytes(bytes(SIZES["file"]))
    journal = Journal(folder / "journal")
    with running(target.server, folder, FIRE_FOLDER=str(folder)) as site:
        volley = Volley(site.port)
        mishaps = Mishaps(target, site, journal)
        with ThreadPoolExecutor(CLIENTS) as clients:
            visiting = [clients.submit(volley.client, number) for number in range(CLIENTS)]
            try:
                begun = time.monotonic()
                mishaps.happen_until(
                    lambda: volley.visits >= visits and time.monotonic() > begun + seconds
                )
            finally:
                volley.over.set()
            for client in visiting:
                client.result()
        killed = mishaps.killed
        settle(
            site.port,
            lambda: (
                not guarded_and_open(journal, killed)
                and not journal.uncounted("leaking", killed)
            ),
        )
    journal.read()
    return Fired(
        {variant: journal.figures(variant, killed) for variant in VARIANTS},
        volley.visits,
        volley.ended,
        len(killed),
        mishaps.reloads,
        len(journal.processes()),
        journal.uncounted("leaking", killed),
        {variant: journal.told(variant, killed) for variant in VARIANTS},
    )


class Volley:
    """The clients: each goes through all ways and applications, in an order of its own."""

    def __init__(self, port: int) -> None:
        self.over = threading.Event()
        self.ended: Counter[tuple[str, str]] = Counter()
        self._port = port
        self._counting = threading.Lock()
        self.visits = 0

    def client(self, number: int) -> None:
        for way, variant in in_turn(number):
            if self.over.is_set():
                return
            try:
                WAYS[way](Site(self._port, variant))
                ended = 1
            except BROKEN_OFF:
                ended = 0
                time.sleep(0.01)  # there may be nobody for a moment
            with self._counting:
                self.visits += 1
                self.ended[way, variant] += ended


def in_turn(seed: int) -> Iterator[tuple[str, str]]:
    chance = random.Random(seed)  # noqa: S311 - so that a run can be repeated
    all_of_them = list(itertools.product(WAYS, VARIANTS))
    while True:
        chance.shuffle(all_of_them)
        yield from all_of_them


class Mishaps:
    """Workers are killed and replaced, again and again, while they stream."""

    def __init__(self, target: Target, site: RunningServer, journal: Journal) -> None:
        self.killed: set[int] = set()
        self.reloads = 0
        self._target = target
        self._site = site
        self._journal = journal

    def happen_until(self, enough: Callable[[], bool]) -> None:
        """Let each happen that can, and go on with them until there is *enough*."""
        possible = [self._kill] if self._target.workers else []
        possible += [self._reload] if self._target.reload else []
        for number in itertools.count():
            if number >= len(possible) and enough():
                return
            if possible:
                possible[number % len(possible)](self._one_that_streams())
            time.sleep(SECONDS_BETWEEN_MISHAPS)

    def _one_that_streams(self) -> int:
        """Return a worker that is in the middle of a stream."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            for response in self._journal.open(but_of=self.killed):
                worker = response.opened.process
                if response.path == "slow" and is_below(worker, self._site.process.pid):
                    return worker
            time.sleep(0.01)
        raise TimeoutError(f"{self._target.server.name} streams nothing:\n{self._site.log()}")

    def _kill(self, worker: int) -> None:
        os.kill(worker, signal.SIGKILL)
        self.killed.add(worker)

    def _reload(self, _worker: int) -> None:
        self._site.process.send_signal(self._target.reload)
        self.reloads += 1


def is_below(process: int, ancestor: int) -> bool:
    """Say whether *process* lives, and was started by *ancestor*, or by one that was."""
    while process > 1:
        if process == ancestor:
            return True
        try:
            status = Path(f"/proc/{process}/stat").read_text("ascii")
        except (FileNotFoundError, ProcessLookupError):
            return False
        process = int(status.rpartition(")")[2].split()[1])
    return False


def guarded_and_open(journal: Journal, killed: set[int]) -> bool:
    return any(response.variant != "bare" for response in journal.open(but_of=killed))


def settle(port: int, condition: Callable[[], bool]) -> None:
    """Ask for something small until *condition* holds, or for as long as it may take.

    What a thread has to close waits for a request to it, or half a minute for one to any.
    """
    quiet = Site(port, "composed")

    def ask(_number: int) -> None:
        try:
            with quiet.connection(quiet.request("quiet", "Connection: close")) as connection:
                while connection.recv(1024):
                    pass
        except BROKEN_OFF:
            pass

    deadline = time.monotonic() + WAIT_SECONDS
    with ThreadPoolExecutor(CLIENTS) as clients:
        while not condition() and time.monotonic() < deadline:
            list(clients.map(ask, range(CLIENTS)))
            time.sleep(0.05)
